"""Let a run that nobody waits for any more stop within one call of a network."""

import multiprocessing
import sys
import threading
from functools import lru_cache
from typing import Any

__all__ = ["Stopped", "check"]


class Stopped(Exception):
    """What a run that is to stop raises, between two calls of a network."""


_ending = False


def check() -> None:
    """Stop the run of this thread here if nobody waits for it any more.

    So it is if the main thread has come to its end, as after Ctrl-C, or the process that made this
    one has; or if this is a task of a distributed worker that was cancelled or is closing. Costs a
    few microseconds.

    Raises
    ------
    Stopped
        If it is to stop. In a distributed worker it is a ``Reschedule``, too: a task that is
        wanted again by then is computed again, and others leave no error behind.
    """
    if _ending or not threading.main_thread().is_alive():
        raise Stopped("the main thread has ended; join the threads that are to run on")
    if _given_up():
        raise _rescheduled()("nobody waits for this task any more")
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise Stopped("the process that made this one has ended")


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
