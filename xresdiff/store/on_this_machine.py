"""Run the tasks of a store on this machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import xarray as xr
from dask.callbacks import Callback
from dask.local import get_sync

from xresdiff.store.pieces import Piece, write
from xresdiff.store.places import Place
from xresdiff.store.segments import Key, Segment

__all__ = ["WriterBeside", "run_here", "run_with_scheduler"]

PIECES_AT_ONCE = 64  # that another scheduler is given: it may hold the means of all of them


class WriterBeside:
    """Writes a piece in a thread of its own, while the next one is computed.

    It holds one piece: who brings the next waits until that is written and told of.

    Parameters
    ----------
    place : Place
        Of the store.
    finished : callable
        Called with every piece that is written, in that thread.
    """

    def __init__(self, place: Place, finished: Callable[[Piece], None]) -> None:
        self._place, self._finished = place, finished
        self._thread = ThreadPoolExecutor(1, "xresdiff-writing")
        self._last: Future[None] | None = None

    def __enter__(self) -> "WriterBeside":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def __call__(self, data: xr.Dataset, piece: Piece) -> None:
        """Take a piece; raise what went wrong with the one before."""
        self.wait()
        self._last = self._thread.submit(self._write, data, piece)

    def wait(self) -> None:
        """Wait for the piece that is being written; raise what went wrong with it."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def _write(self, data: xr.Dataset, piece: Piece) -> None:
        write(data, piece.region, self._place)
        self._finished(piece)


def run_here(stretches: Iterable[Segment], writer: WriterBeside) -> None:
    """Compute the pieces one after the other in this thread, and write each beside the next.

    The networks use all cores for a piece, so nothing is gained by computing several at once.
    Ctrl-C ends the network that runs, and waits for the piece that is being written.

    Parameters
    ----------
    stretches : iterable of Segment
        What is missing; its tasks hand what they have computed to the writer.
    writer : WriterBeside
        Of the store.
    """
    for stretch in stretches:
        for block in stretch.blocks:
            get_sync(dict(stretch.part(block)), list(block))
    writer.wait()


def run_with_scheduler(
    get: Callable[..., Any], stretches: Iterable[Segment], finished: Callable[[Piece], None]
) -> None:
    """Compute and write with another scheduler of dask: processes, or the user's own.

    Parameters
    ----------
    get : callable
        ``(graph, keys) -> results``.
    stretches : iterable of Segment
        What is missing.
    finished : callable
        Called with every piece that is written.
    """
    for stretch in stretches:
        for block in _several(stretch.blocks):
            left = dict(block)

            def written(key: Key, *_: Any, left: dict[Key, Piece] = left) -> None:
                if key in left:
                    finished(left.pop(key))

            with Callback(posttask=written):
                get(dict(stretch.part(block)), list(block))
            for piece in left.values():  # a scheduler of the user's may know no callbacks
                finished(piece)


def _several(blocks: Iterable[Mapping[Key, Piece]]) -> Iterator[Mapping[Key, Piece]]:
    """Join blocks that follow each other, up to some number of pieces."""
    some: dict[Key, Piece] = {}
    for block in blocks:
        some |= block
        if len(some) >= PIECES_AT_ONCE:
            yield some
            some = {}
    if some:
        yield some
