"""Work on many fields in batches that fit into memory, one thread at a time per device.

A thread keeps the device until all its fields are done: those that wait for it hold their inputs,
but no half-filled results.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from xresdiff.engine.stopping import check
from xresdiff.engine.threads import own_share

__all__ = ["PIXELS_AT_ONCE", "in_batches", "memory_ran_out"]

Array = NDArray[np.float32]

PIXELS_AT_ONCE = {"cpu": 2**18, "cuda": 2**24, "mps": 2**22}  # batch that is tried first
PATIENCE = 0.2  # seconds between two looks of a waiting thread at whether it is to stop

_LOCKS: dict[str, threading.Lock] = {}
_LOCKS_GUARD = threading.Lock()


def in_batches(
    some: Callable[[slice], Array],
    n: int,
    pixels: int,
    device: torch.device,
    order: Sequence[int] | None = None,
) -> Array:
    """Call a function on slices of 0 to `n`, halving them whenever memory runs out.

    The device is this thread's until the end; `some` must not come back here.

    Parameters
    ----------
    some : callable
        ``slice -> results``, the results one behind the other.
    n : int
        How many results there are in all, at least one.
    pixels : int
        Of one field, as the networks see it.
    device : torch.device
        Where they work.
    order : sequence of int, optional
        The place of each result; what comes first goes to the place that is named first.

    Returns
    -------
    numpy.ndarray, (n, ...)
        All results.

    Raises
    ------
    Stopped
        If nobody waits for it any more, also while it waits for the device itself.
    """
    with _alone(device), own_share(), torch.inference_mode():
        return _filled(some, n, pixels, device, order)


def _filled(
    some: Callable[[slice], Array],
    n: int,
    pixels: int,
    device: torch.device,
    order: Sequence[int] | None,
) -> Array:
    places = np.arange(n) if order is None else np.asarray(order)
    size = min(max(PIXELS_AT_ONCE[device.type] // pixels, 1), n)
    whole: Array | None = None
    done = 0
    while done < n:
        try:
            picked = slice(done, min(done + size, n))
            part = some(picked)
            if whole is None:
                whole = np.empty((n, *part.shape[1:]), part.dtype)
            whole[places[picked]] = part
            done += size
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not memory_ran_out(error):
                raise
            size //= 2
    assert whole is not None  # there is something to do
    return whole


def memory_ran_out(error: Exception) -> bool:
    """Tell whether this is why: on CPU and MPS, torch says so in the text of a RuntimeError."""
    text = str(error)
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "out of memory" in text or "can't allocate memory" in text


@contextmanager
def _alone(device: torch.device) -> Iterator[None]:
    """Let one thread at a time use the device."""
    with _LOCKS_GUARD:
        lock = _LOCKS.setdefault(str(device), threading.Lock())
    while not lock.acquire(timeout=PATIENCE):
        check()
    try:
        check()
        yield
    finally:
        lock.release()
