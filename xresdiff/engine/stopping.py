"""Let a run that is interrupted stop within one call of a network.

A run is what a thread computes within :func:`watched`. It stops where it calls :func:`check`.
"""

import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["Stopped", "check", "stop_running", "watched"]


class Stopped(Exception):
    """What a run that was asked to stop raises, between two calls of a network."""


_CHANGED = threading.Condition()
_RUNNING: dict[int, int] = {}  # how often had been asked to stop when each began, by thread
_asked = 0
_ending = False


@contextmanager
def watched() -> Iterator[None]:
    """Make what this thread does within a run that can be stopped; inner runs are part of it.

    Raises
    ------
    Stopped
        If it is to stop before it has begun, as of :func:`check`.
    """
    check()
    own = threading.get_ident()
    if own in _RUNNING:
        yield
        return
    with _CHANGED:
        _RUNNING[own] = _asked
    try:
        yield
    finally:
        with _CHANGED:
            del _RUNNING[own]
            _CHANGED.notify_all()


def check() -> None:
    """Stop the run of this thread here if nobody waits for it any more.

    So it is if the run was asked to stop (:func:`stop_running`); if the main thread has come to
    its end, as after Ctrl-C, or the process that made this one has; or if this is a task of a
    distributed worker that was cancelled or is closing. Costs a few microseconds.

    Raises
    ------
    Stopped
        If it is to stop. In a distributed worker it is a ``Reschedule``, too: a task that is
        wanted again by then is computed again, and others leave no error behind.
    """
    if _ending or not threading.main_thread().is_alive():
        raise Stopped("the main thread has ended; join the threads that are to run on")
    if _RUNNING.get(threading.get_ident(), _asked) < _asked:
        raise Stopped("asked to stop")
    if _given_up():
        raise _rescheduled()("nobody waits for this task any more")
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise Stopped("the process that made this one has ended")


def stop_running(timeout: float = 60.0) -> bool:
    """Ask all runs of this process to stop, and wait until they have; later runs are not affected.

    Parameters
    ----------
    timeout : float, default 60
        Seconds to wait: as long as one call of a network may take.

    Returns
    -------
    bool
        Whether all have stopped. The run of the thread that asks is not waited for.

    Examples
    --------
    >>> stop_running()
    True
    """
    global _asked
    own = threading.get_ident()
    with _CHANGED:
        _asked = asked = _asked + 1
        return _CHANGED.wait_for(
            lambda: all(began >= asked for who, began in _RUNNING.items() if who != own), timeout
        )


def _given_up() -> bool:
    """Tell whether this thread runs a task that a distributed worker no longer wants."""
    module = sys.modules.get("distributed.worker")
    if module is None:
        return False
    try:
        worker: Any = module.get_worker()
        key = worker.get_current_task()
    except (ValueError, KeyError, AttributeError):  # no task: of no worker, or partly imported
        return False
    task = worker.state.tasks.get(key)
    gone = task is None or task.state == "cancelled"
    return gone or worker.status.name in ("closing", "closed", "failed")


@lru_cache(maxsize=1)
def _rescheduled() -> type[Stopped]:
    """Make what a worker takes quietly: neither logged nor sent to anybody as an error."""
    from distributed import Reschedule

    return type("Cancelled", (Stopped, Reschedule), {})


def _end() -> None:
    global _ending
    _ending = True


# the pools of concurrent.futures are waited for while the main thread still counts as alive
_register = getattr(threading, "_register_atexit", None)
if _register is not None:
    _register(_end)
