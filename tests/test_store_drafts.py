"""Two writers of one store spoil nothing of each other, nor do those that were killed."""

import os

import dask
import pytest

from tests.test_store_growth import ensemble, holds
from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import places, to_zarr
from xresdiff.store.manifest import read_root
from xresdiff.store.places import Place


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


def test_a_writer_killed_in_its_draft_spoils_no_draft_of_another(tmp_path, monkeypatch):
    path, ens, write = tmp_path / "ens.zarr", ensemble(), places.write_through

    def write_and_meet(file, data):
        write(file, data)
        monkeypatch.setattr(places, "write_through", begin_and_die)
        with pytest.raises(KeyboardInterrupt):
            read_root(Place(str(path))).save()
        monkeypatch.setattr(places, "write_through", write)

    def begin_and_die(file, data):
        file.write_bytes(b"")
        raise KeyboardInterrupt

    to_zarr(ens, path)
    monkeypatch.setattr(places, "write_through", write_and_meet)
    read_root(Place(str(path))).save()
    assert read_root(Place(str(path))).manifest.finished.all()


def test_two_makers_of_one_store_leave_one_that_is_whole(tmp_path, monkeypatch):
    path, ens, write = tmp_path / "ens.zarr", ensemble(), places.write_through

    def make_too(file, data):
        monkeypatch.setattr(places, "write_through", write)
        to_zarr(ens, path)
        write(file, data)

    monkeypatch.setattr(places, "write_through", make_too)
    with pytest.raises(StoreError, match="cannot make"):
        to_zarr(ens, path)
    assert [file.name for file in tmp_path.iterdir()] == ["ens.zarr"]
    holds(path, ens)


def test_drafts_of_the_killed_are_removed_once_they_are_old(tmp_path):
    path = tmp_path / "ens.zarr"
    beside = [
        tmp_path / f".{name}.draft" for name in ("ens.zarr.old", "ens.zarr.new", "b.zarr.old")
    ]
    for draft in beside:
        draft.mkdir()
        os.utime(draft, (0, 0) if "old" in draft.name else None)
    to_zarr(ensemble(), path)
    assert [draft.exists() for draft in beside] == [False, True, True]
    inside = [path / "rain" / f".zarr.json.{age}.draft" for age in ("old", "new")]
    for draft in inside:
        draft.touch()
    os.utime(inside[0], (0, 0))
    to_zarr(ensemble(), path)
    assert [draft.exists() for draft in inside] == [False, True]
