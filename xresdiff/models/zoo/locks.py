"""One download of a file at a time, among all processes that share a cache."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":  # where each process downloads for itself, see `stage`
    import fcntl

__all__ = ["locked", "stage"]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a file of the cache; wait for the process that holds it.

    The system frees the lock of a process that is killed. Its file stays: to remove it would let
    two processes lock two files of one name.

    Raises
    ------
    OSError
        If the cache cannot be written.
    """
    with target.with_name(f".{target.name}.lock").open("a") as file:
        if sys.platform != "win32":
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("another process fetches %s; waiting for it", target.name)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def stage(target: Path) -> Path:
    """Return the folder in which a download grows: the same for all, if they can lock it."""
    owner = f"{os.getpid()}." if sys.platform == "win32" else ""
    return target.with_name(f".{target.name}.{owner}part")
