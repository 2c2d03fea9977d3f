"""Under a distributed Client: the same stores, whatever the number of workers, and who dies."""

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import Client, KilledWorker, LocalCluster

from tests.clusters import (
    MEMBERS,
    TIMES,
    chunk_files,
    cut_up,
    empty_store,
    ensemble_of,
    finished_pieces,
    lines,
    rain_ensemble,
    watch_networks,
)
from xresdiff.errors import StoreError
from xresdiff.store import on_cluster, running, segments
from xresdiff.store.places import Place
from xresdiff.store.running import run


@pytest.fixture(autouse=True)
def own_scheduler():
    """Leave no scheduler behind: clients that are closed by force do not take theirs back."""
    with dask.config.set(scheduler=None):
        yield


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of one thread each."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    cluster.scale(2)
    with Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The chunks of the store that this process writes alone."""
    path = tmp_path_factory.mktemp("local") / "ens.zarr"
    rain_ensemble().resdiff.to_zarr(path)
    return chunk_files(path)


def told(monkeypatch, react=lambda number: None):
    """Note when each piece is told of; `react` is called with how many there are."""
    times = []

    def watched(ens, blocks, place, finished):
        def noted(piece):
            finished(piece)
            times.append(time.monotonic())
            react(len(times))

        run(ens, blocks, place, noted)

    monkeypatch.setattr("xresdiff.store.writing.run", watched)
    return times


def test_two_workers_write_what_one_process_does(client, local, tmp_path, monkeypatch):
    log, path = tmp_path / "log", tmp_path / "ens.zarr"
    client.run(watch_networks, str(log))
    times = told(monkeypatch)
    rain_ensemble().resdiff.to_zarr(path)
    assert chunk_files(path) == local
    kinds = Counter(line.split()[0] for line in lines(log))
    every = TIMES * MEMBERS
    assert kinds == {"mean": TIMES, "begin": every, "members": every}  # none twice
    assert len(times) == TIMES * MEMBERS
    assert times[-1] - times[0] > 0.1  # as they landed, not at the end
    loads = client.run(models_loaded)
    assert set(loads.values()) <= {0, 1}


def models_loaded():
    from xresdiff.engine import runtime

    return runtime._loaded.cache_info().misses


@pytest.mark.slow
def test_workers_that_join_midway_write_the_same(cluster, local, tmp_path, monkeypatch):
    cluster.scale(1)
    with Client(cluster) as client:
        told(monkeypatch, lambda number: cluster.scale(3) if number == 1 else None)
        rain_ensemble().resdiff.to_zarr(tmp_path / "ens.zarr")
        client.wait_for_workers(3, timeout=60)
    assert chunk_files(tmp_path / "ens.zarr") == local


def test_it_waits_for_workers_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(on_cluster, "HINT_AFTER", 2.0)
    ens = ensemble_of(2, 1, np.negative, np.negative)
    blocks = cut_up(ens, "member", member=1, time=1)
    place = empty_store(ens, tmp_path / "ens.zarr")
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        hint = logging.getLogger("xresdiff.store.on_cluster")
        monkeypatch.setattr(hint, "warning", lambda *_: (said.append(1), cluster.scale(1)))
        said, seen = [], []
        run(ens, blocks, place, seen.append)
    assert len(said) == 1
    assert len(seen) == 2


def test_errors_of_a_cluster_are_put_in_words():
    error = KilledWorker("write", SimpleNamespace(address="tcp://1"), 3)
    text = on_cluster._told(error, Place("ens.zarr"))
    assert "run the same line again" in text
    assert "allowed-failures" in text


def test_a_worker_that_is_killed_loses_nothing(client, local, tmp_path, monkeypatch):
    victim = next(iter(client.run(os.getpid).values()))

    def kill(number):
        if number == 2:
            os.kill(victim, signal.SIGKILL)

    told(monkeypatch, kill)
    rain_ensemble().resdiff.to_zarr(tmp_path / "ens.zarr")
    assert chunk_files(tmp_path / "ens.zarr") == local


def test_a_worker_that_cannot_write_ends_it_and_what_is_finished_stays(client, local, tmp_path):
    path = tmp_path / "ens.zarr"
    client.run(fill_the_disk, 2)
    try:
        with pytest.raises(StoreError, match="no space left"):
            rain_ensemble().resdiff.to_zarr(path)
    finally:
        client.run(mend_the_disk)
    assert 0 < len(finished_pieces(path)) < TIMES * MEMBERS
    assert not any(client.processing().values())  # nothing goes on
    rain_ensemble().resdiff.to_zarr(path)
    assert chunk_files(path) == local


def fill_the_disk(pieces):
    """Let this worker write so many pieces and no more."""
    left = [None] * pieces

    def write(*arguments):
        if not left:
            raise OSError(28, "no space left on device")
        left.pop()
        segments.whole_write(*arguments)

    segments.whole_write, segments.write = segments.write, write


def mend_the_disk():
    segments.write = segments.whole_write


def test_a_client_that_is_closed_ends_it_and_another_goes_on(cluster, local, tmp_path, monkeypatch):
    path = tmp_path / "ens.zarr"
    with Client(cluster) as client, monkeypatch.context() as patch:
        told(patch, lambda number: client.close() if number == 2 else None)
        with pytest.raises(StoreError, match="Run the same line again"):
            rain_ensemble().resdiff.to_zarr(path)
    assert finished_pieces(path)
    with Client(cluster):
        rain_ensemble().resdiff.to_zarr(path)
    assert chunk_files(path) == local


# --- refused


@pytest.fixture
def pieces():
    ens = rain_ensemble()
    data = ens[list(ens.data_vars)].drop_vars(ens.coords)
    return data, list(cut_up(data, "member", member=1, time=1))


def test_a_place_in_memory_is_refused(client, pieces):
    with pytest.raises(StoreError, match="in the memory of this process"):
        run(*pieces, Place("memory://ens.zarr"), print)


def test_a_folder_that_workers_do_not_see_is_named(client, pieces, tmp_path):
    with pytest.raises(StoreError, match="a worker does not find"):
        run(*pieces, Place(str(tmp_path / "elsewhere.zarr")), print)


def test_a_client_that_is_asynchronous_is_refused(pieces, cluster):
    async def written():
        async with Client(cluster.scheduler_address, asynchronous=True):
            running.run(*pieces, Place("nowhere"), print)

    with pytest.raises(StoreError, match="not asynchronous is needed"):
        asyncio.run(written())
