"""Give every process its share of the cores."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from dask.system import CPU_COUNT

__all__ = ["own_share"]


@contextmanager
def own_share() -> Iterator[None]:
    """Set torch's threads so that all worker processes together use no more than the cores.

    In a task of a distributed worker, torch gets as many threads as the worker has, since one
    task at a time computes there; in other processes that were made by one, a single thread; in
    the main process nothing changes. A number that was set lower is kept, but for the 1 that
    dask's nannies put into the environment of their workers (``OMP_NUM_THREADS``). Torch keeps a
    number for every thread: it is set in this one, and set back afterwards.
    """
    import torch

    before, share = torch.get_num_threads(), _share()
    if share is not None and share != before:
        torch.set_num_threads(share)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _share() -> int | None:
    """Return the threads that are this process's; None where nothing is known of others."""
    worker, made = _worker(), multiprocessing.parent_process() is not None
    if worker is not None:
        limits = [min(worker.state.nthreads, CPU_COUNT), _found()]
        if made:
            asked = os.environ.get("OMP_NUM_THREADS", "")
            limits += [int(asked)] if asked.isdigit() else []
            limits[1:] = [limit for limit in limits[1:] if limit > 1]  # 1 is dask's own
        return min(limits)
    return 1 if made else None


@lru_cache(maxsize=1)
def _found() -> int:
    """Return the threads of torch as they were before anything was changed here."""
    import torch

    return torch.get_num_threads()


def _worker() -> Any:
    """Return the distributed worker of which this thread runs a task."""
    module = sys.modules.get("distributed.worker")
    try:
        return None if module is None else module.get_worker()
    except (ValueError, AttributeError):  # in no task, or partly imported
        return None
