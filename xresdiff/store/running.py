"""Compute and write the pieces of a store, with whatever scheduler dask has."""

import sys
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import dask
import dask.base
import dask.local
import dask.multiprocessing
import dask.threaded
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.store.on_cluster import run_on_cluster
from xresdiff.store.on_this_machine import WriterBeside, run_here, run_with_scheduler
from xresdiff.store.pieces import Block, Piece, write
from xresdiff.store.places import Place
from xresdiff.store.segments import segments, writer_to

__all__ = ["run"]


def run(
    ens: xr.Dataset, blocks: Iterable[Block], place: Place, finished: Callable[[Piece], None]
) -> None:
    """Compute every piece once, write it, and tell when it is on disk.

    Parameters
    ----------
    ens : xarray.Dataset
        Data variables that are to be written, lazy or not, without coordinates.
    blocks : iterable of Block
        What is missing.
    place : Place
        Of a store that has been made.
    finished : callable
        Called with every piece that is written: in this process, one after the other.

    Raises
    ------
    StoreError
        If the workers of a cluster cannot write there, keep dying, or are lost.
    Exception
        Whatever computing or writing a piece raises. What has begun is then stopped, as it is
        after Ctrl-C, before the error is raised.

    Notes
    -----
    What is in memory is written from here. What is lazy is computed by the scheduler that dask
    would take: this thread (for "threads", too, as the networks use all cores by themselves),
    another that ``dask.config`` names, or the workers of a ``distributed.Client``.

    Killed in this thread, it costs at most two pieces and the means they need, which are to be
    computed again: the one that was being computed, and the one that was being written and told
    of. Under another scheduler it costs that for every worker or process, and the workers that
    survive their client stop at the next call of a network.
    """
    if not any(variable.chunks for variable in ens.variables.values()):
        for block in blocks:
            for piece in block:
                write(ens.isel(piece.source), piece.region, place)
                finished(piece)
        return
    name = f"write_piece-{uuid4().hex[:8]}"
    get = _scheduler()
    if get in (dask.threaded.get, dask.local.get_sync):
        with WriterBeside(place, finished) as writer:
            run_here(segments(ens, blocks, writer, name), writer)
        return
    stretches = segments(ens, blocks, writer_to(place), name)
    client = getattr(get, "__self__", None)
    if "distributed" in sys.modules and isinstance(client, sys.modules["distributed"].Client):
        run_on_cluster(client, stretches, place, finished, name)
    else:
        _check_shared(get, place)
        run_with_scheduler(get, stretches, finished)


def _check_shared(get: Callable[..., Any], place: Place) -> None:
    """Refuse a place that is in the memory of this process, where others would write."""
    if get is dask.multiprocessing.get and "memory://" in place.url:
        raise StoreError(
            f"{place} is in the memory of this process, which others do not see; a folder is "
            'needed, or to write from here: with dask.config.set(scheduler="threads")'
        )


def _scheduler() -> Callable[..., Any]:
    """Return the function that computes graphs, as ``dask.compute`` picks it."""
    if "distributed" not in sys.modules and not dask.config.get("scheduler", None):
        return dask.threaded.get  # dask would import it, to find no Client there
    try:
        return dask.base.get_scheduler() or dask.threaded.get
    except RuntimeError as error:
        raise StoreError(
            f"{error}; writing waits for what is computed, so a Client that is not asynchronous "
            "is needed: distributed.Client(address)"
        ) from error
