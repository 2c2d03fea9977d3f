"""What several test modules use."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask


class CountingScheduler:
    """A dask scheduler that counts how often it is called, and refuses once too often."""

    def __init__(self, max_computes: int) -> None:
        self.max_computes = max_computes
        self.computes = 0

    def __call__(self, dsk: Any, keys: Any, **kwargs: Any) -> Any:
        self.computes += 1
        if self.computes > self.max_computes:
            raise RuntimeError(f"computed {self.computes} times, {self.max_computes} allowed")
        return dask.get(dsk, keys, **kwargs)


@contextmanager
def raise_if_dask_computes(max_computes: int = 0) -> Iterator[CountingScheduler]:
    """Fail where dask computes more often than `max_computes` times within the block."""
    scheduler = CountingScheduler(max_computes)
    with dask.config.set(scheduler=scheduler):
        yield scheduler
