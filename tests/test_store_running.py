"""Pieces are computed once, written as they are computed, and told of as they land."""

import threading
import time
from collections import Counter

import dask
import numpy as np
import pytest
import xarray as xr
from dask.local import get_sync
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clusters import cut_up, empty_store, ensemble_of, expected_of
from tests.helpers import raise_if_dask_computes
from xresdiff.errors import StoreError
from xresdiff.store import on_this_machine, pieces
from xresdiff.store.pieces import Piece
from xresdiff.store.places import Place
from xresdiff.store.running import run
from xresdiff.store.segments import PIECES_AT_ONCE, segments

TIMES, MEMBERS = 4, 2


def same(chunk):
    return chunk


def blocks_of(ens):
    return list(cut_up(ens, "member", member=1, time=1))


def bare(graph, keys, **_):
    """A scheduler that knows no callbacks."""
    return get_sync(graph, keys, callbacks=[(None,) * 5])


def computed(ens, tmp_path, **scheduler):
    """Write all of an ensemble; return what is in the store, and the pieces told of."""
    place, told = empty_store(ens, tmp_path / "ens.zarr"), []
    with dask.config.set(**scheduler):
        run(ens, blocks_of(ens), place, told.append)
    return xr.open_zarr(place.url, consolidated=False).load(), told


SCHEDULERS = pytest.mark.parametrize(
    "scheduler", ["threads", "synchronous", bare], ids=["threads", "in line", "the user's own"]
)


@SCHEDULERS
def test_every_scheduler_writes_all_and_tells_of_each_piece_once(tmp_path, scheduler):
    ens = ensemble_of(TIMES, MEMBERS, same, same)
    written, told = computed(ens, tmp_path, scheduler=scheduler)
    np.testing.assert_array_equal(written.rain, expected_of(TIMES, MEMBERS))
    np.testing.assert_array_equal(written.twice, 2 * expected_of(TIMES, MEMBERS))
    assert Counter(p.number for p in told) == Counter(np.ndindex(MEMBERS, TIMES))


@pytest.mark.slow
def test_processes_write_all_and_tell_of_each_piece_once(tmp_path):
    ens = ensemble_of(TIMES, MEMBERS, same, same)
    written, told = computed(ens, tmp_path, scheduler="processes", num_workers=2)
    np.testing.assert_array_equal(written.rain, expected_of(TIMES, MEMBERS))
    assert Counter(p.number for p in told) == Counter(np.ndindex(MEMBERS, TIMES))


def test_a_place_in_memory_is_refused_where_processes_would_write():
    ens = ensemble_of(TIMES, MEMBERS, same, same)
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(StoreError, match="in the memory of this process"),
    ):
        run(ens, blocks_of(ens), Place("memory://ens.zarr"), print)


@SCHEDULERS
def test_a_mean_is_computed_once_and_so_is_every_member(tmp_path, scheduler):
    means, members = [], []
    ens = ensemble_of(TIMES, MEMBERS, noting(means), noting(members))
    computed(ens, tmp_path, scheduler=scheduler)
    assert (len(means), len(members)) == (TIMES, TIMES * MEMBERS)


def noting(calls):
    def function(chunk):
        if chunk.size:
            calls.append(chunk.ravel()[0])
        return chunk

    return function


@SCHEDULERS
def test_what_is_told_of_is_on_disk_and_told_by_one_thread(tmp_path, scheduler):
    ens = ensemble_of(TIMES, MEMBERS, same, same)
    place, seen = empty_store(ens, tmp_path / "ens.zarr"), []

    def finished(piece):
        there = xr.open_zarr(place.url, consolidated=False).isel(piece.region)
        seen.append((threading.current_thread(), float(there.rain.isnull().sum())))

    with dask.config.set(scheduler=scheduler):
        run(ens, blocks_of(ens), place, finished)
    assert seen == [(seen[0][0], 0.0)] * (TIMES * MEMBERS)


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_one_piece_is_computed_while_one_is_written_and_no_more(tmp_path, monkeypatch, scheduler):
    told, ahead, beside = [], [], []
    whole_write = pieces.write

    def member(chunk):
        ahead.append(len(ahead) + 1 - len(told))
        time.sleep(0.05)
        beside.append(writing.is_set())
        return chunk

    def write(*arguments):
        writing.set()
        time.sleep(0.2)  # slower than what it waits for
        whole_write(*arguments)
        writing.clear()

    writing = threading.Event()
    monkeypatch.setattr(on_this_machine, "write", write)
    ens = ensemble_of(4, 3, same, member)
    del ens["twice"]
    with dask.config.set(scheduler=scheduler):
        run(ens, blocks_of(ens), empty_store(ens, tmp_path / "ens.zarr"), told.append)
    begun = ahead[-12:]  # the first calls are dask's, to learn of the type
    assert max(begun) - min(begun) <= 1
    assert sum(beside) >= 9


def test_what_is_in_memory_is_written_without_dask(tmp_path):
    ens = ensemble_of(TIMES, MEMBERS, same, same).compute()
    place, told = empty_store(ens.chunk(member=1, time=1), tmp_path / "ens.zarr"), []
    with raise_if_dask_computes():
        run(ens, blocks_of(ens), place, told.append)
    written = xr.open_zarr(place.url, consolidated=False)
    np.testing.assert_array_equal(written.rain, expected_of(TIMES, MEMBERS))
    assert len(told) == TIMES * MEMBERS


def test_a_piece_of_several_chunks_and_what_is_in_memory_beside_it(tmp_path):
    ens = ensemble_of(6, 3, same, same)
    ens["near"] = ens.twice.compute()
    place = empty_store(ens.chunk(member=3, time=2), tmp_path / "ens.zarr")
    run(ens, cut_up(ens, "member", member=3, time=2), place, lambda _: None)
    written = xr.open_zarr(place.url, consolidated=False)
    np.testing.assert_array_equal(written.rain, expected_of(6, 3))
    np.testing.assert_array_equal(written.near, 2 * expected_of(6, 3))


# --- errors


@SCHEDULERS
def test_an_error_is_raised_and_what_is_finished_was_told(tmp_path, scheduler):
    def member(chunk):
        if chunk.size and chunk.max() >= 1000 * 3 * 2:  # from the third time on
            raise OSError(28, "no space left")
        return chunk

    ens = ensemble_of(TIMES, 1, same, member)
    place, told = empty_store(ens, tmp_path / "ens.zarr"), []
    with dask.config.set(scheduler=scheduler), pytest.raises(OSError, match="no space left"):
        run(ens, blocks_of(ens), place, told.append)
    assert {p.number for p in told} <= {(0, 0), (0, 1)}
    assert not [t for t in threading.enumerate() if t.name.startswith("xresdiff-writing")]


@SCHEDULERS
def test_an_error_of_the_caller_ends_the_run(tmp_path, scheduler):
    members = []
    ens = ensemble_of(12, 1, same, noting(members))

    def finished(piece):
        raise OSError(30, "read-only")

    place = empty_store(ens, tmp_path / "ens.zarr")
    with dask.config.set(scheduler=scheduler), pytest.raises(OSError, match="read-only"):
        run(ens, blocks_of(ens), place, finished)
    assert len(members) <= (12 if scheduler is bare else 4)


# --- the graph


def test_the_graph_of_a_long_run_is_never_there_as_a_whole():
    ens = ensemble_of(600, 2, same, same)
    taken = []

    def blocks():
        for block in cut_up(ens, "member", member=1, time=1):
            taken.append(block)
            yield block

    for number, stretch in enumerate(segments(ens, blocks(), print, "write"), 1):
        pieces = sum(map(len, stretch.blocks))
        assert pieces <= PIECES_AT_ONCE
        assert len(stretch.graph) <= 12 * pieces
        assert len(taken) <= number * PIECES_AT_ONCE / 2 + 1
    assert len(taken) == 600


def test_what_is_missing_here_and_there_is_all_that_is_cut_out():
    ens = ensemble_of(600, 2, same, same)
    every = list(cut_up(ens, "member", member=1, time=1))
    some = [every[3], every[4], every[300], every[599]]
    found = list(segments(ens, some, print, "write"))
    assert [block for stretch in found for block in stretch.blocks] == [
        {("write", *piece.number): piece for piece in block} for block in some
    ]
    assert sum(len(stretch.graph) for stretch in found) <= 8 * 16


def test_the_graph_of_a_block_is_a_few_tasks_for_each_piece():
    ens = ensemble_of(10, 4, same, same)
    (stretch,) = segments(ens, blocks_of(ens), print, "write")
    for block in stretch.blocks:
        assert len(stretch.part(block)) <= 10 * len(block)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 99), unique=True, max_size=9).map(sorted))
def test_stretches_hold_what_was_given_in_order(places):
    ens = xr.Dataset({"rain": ("time", np.zeros(100))}).chunk(time=1)
    blocks = [(Piece((i,), {}, {"time": slice(i, i + 1)}),) for i in places]
    found = [
        piece
        for stretch in segments(ens, blocks, print, "write")
        for block in stretch.blocks
        for piece in block.values()
    ]
    assert found == [block[0] for block in blocks]
