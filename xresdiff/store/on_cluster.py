"""Run the tasks of a store on the workers of dask.distributed."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import inf
from queue import Empty, SimpleQueue
from typing import Any

from xresdiff.errors import StoreError
from xresdiff.store.pieces import Piece
from xresdiff.store.places import Place
from xresdiff.store.segments import Key, Segment

__all__ = ["run_on_cluster"]

PIECES_PER_THREAD = 2  # of the workers, so that none waits for the next
PATIENCE = 30.0  # seconds that workers are given to stop writing
LOOK_AGAIN = 2.0  # seconds between two looks at which workers are there
HINT_AFTER = 15.0  # seconds without any worker

_LOG = logging.getLogger(__name__)


def run_on_cluster(
    client: Any,
    stretches: Iterable[Segment],
    place: Place,
    finished: Callable[[Piece], None],
    name: str,
) -> None:
    """Compute and write on workers, some blocks at a time; see :func:`xresdiff.store.running.run`.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster; not asynchronous. Workers may come and go.
    stretches : iterable of Segment
        What is missing.
    place : Place
        That all workers reach.
    finished : callable
        Called with every piece that is written.
    name : str
        Of the tasks that write.

    Raises
    ------
    StoreError
        If the workers cannot write there, keep dying, or are lost.
    """
    _check_shared(client, place)
    flight = _Flight(client)
    try:
        for stretch in stretches:
            for block in stretch.blocks:
                flight.start(stretch.part(block), block)
                while flight.full():
                    finished(flight.next())
        while flight.pieces:
            finished(flight.next())
    except BaseException as error:
        flight.stop(name)
        if told := _told(error, place):
            raise StoreError(told) from error
        raise


class _Flight:
    """The blocks that workers are at."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.pieces: dict[Key, tuple[Any, int, Piece]] = {}  # the future, and which block
        self.done: SimpleQueue[Any] = SimpleQueue()
        self.count = 0
        self.threads, self.looked = 0, -inf
        self.seen = time.monotonic()  # when a worker was there, or a hint was given

    def start(self, graph: Mapping[Any, Any], pieces: Mapping[Key, Piece]) -> None:
        """Hand a block to the workers."""
        self.count += 1
        self.look()
        futures = self.client.get(dict(graph), list(pieces), sync=False, fifo_timeout=0)
        for future, (key, piece) in zip(futures, pieces.items(), strict=True):
            self.pieces[key] = future, self.count, piece
            future.add_done_callback(self.done.put)

    def full(self) -> bool:
        """Tell whether the workers have enough to do: two blocks at least."""
        several = len({number for _, number, _ in self.pieces.values()}) > 1
        return several and len(self.pieces) >= PIECES_PER_THREAD * self.threads

    def look(self) -> None:
        """Count the threads of the workers that are there by now; say so if there are none."""
        now = time.monotonic()
        if now - self.looked < LOOK_AGAIN or self.client.status != "running":
            return
        self.looked, self.threads = now, sum(self.client.nthreads().values())
        if self.threads:
            self.seen = now
        elif now - self.seen > HINT_AFTER:
            self.seen = inf  # once is enough
            _LOG.warning("%s has no workers; writing goes on as soon as there are", self.client)

    def next(self) -> Piece:
        """Wait for a piece that is written; raise what went wrong with it."""
        while True:
            try:
                future = self.done.get(timeout=1.0)
                break
            except Empty:
                if self.client.status == "closed":
                    raise StoreError(_LOST) from None
                self.look()
        if future.status != "finished":
            raise future.exception() or StoreError(_LOST)
        _, _, piece = self.pieces.pop(future.key)
        future.release()
        return piece

    def stop(self, name: str) -> None:
        """Take everything back from the workers, and wait until none of them writes."""
        if self.client.status != "running":
            return
        with suppress(OSError, TimeoutError):  # of a connection that is lost
            self.client.cancel([future for future, _, _ in self.pieces.values()])
            end, quiet = time.monotonic() + PATIENCE, 0
            while quiet < 2 and time.monotonic() < end:  # what was on its way may arrive
                time.sleep(0.1)
                busy = self.client.run(_knows, name, on_error="ignore")
                quiet = 0 if any(busy.values()) else quiet + 1


def _knows(name: str, dask_worker: Any = None) -> bool:
    """Tell whether a worker has tasks of this name, if only one that was cancelled and goes on."""
    return any(isinstance(key, tuple) and key[0] == name for key in list(dask_worker.state.tasks))


def _check_shared(client: Any, place: Place) -> None:
    """Refuse a place that is in the memory of this process, where the workers are others."""
    addresses = [client.scheduler.address, *client.nthreads()]
    if "memory://" in place.url and not all(each.startswith("inproc://") for each in addresses):
        raise StoreError(
            f"{place.url} is in the memory of this process, which the workers of {client} do not "
            "see; a folder or a URL that all of them reach is needed, or to write from here: "
            'with dask.config.set(scheduler="threads")'
        )


_LOST = (
    "the workers were lost, as the Client was closed or its scheduler ended; what is finished "
    "stays. Run the same line again, with a new Client, to go on"
)


def _told(error: BaseException, place: Place) -> str | None:
    """Put errors of a cluster in words."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            f"{error} What is finished stays. If memory was short, give each worker more, or "
            "write smaller chunks; then run the same line again to go on. To bear more losses: "
            'dask.config.set({"distributed.scheduler.allowed-failures": 10}) before the cluster '
            "starts"
        )
    if isinstance(error, FileNotFoundError):
        return (
            f"a worker does not find {place.url} ({error}); a folder or a URL that all workers "
            "reach, under the same name, is needed"
        )
    return None
