"""One download of a file at a time, among all processes that share a cache."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.platform != "win32":  # where each process downloads for itself, see `stage`
    import fcntl

__all__ = ["locked", "stage"]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a file of the cache; wait for the process that holds it.

    The system frees the lock of a process that is killed. Windows has no such locks.

    Raises
    ------
    OSError
        If the cache cannot be written.
    """
    if sys.platform == "win32":
        yield
        return
    path = target.with_name(f".{target.name}.lock")
    file = _held(path, target)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: who waits for it sees that it is gone
        file.close()


def _held(path: Path, target: Path) -> IO[str]:
    """Lock a file, and open it anew for as long as another process removes it meanwhile."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process makes %s; waiting for it", target.name)
            fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def stage(target: Path) -> Path:
    """Return the folder in which a download grows: the same for all, if they can lock it."""
    owner = f"{os.getpid()}." if sys.platform == "win32" else ""
    return target.with_name(f".{target.name}.{owner}part")
