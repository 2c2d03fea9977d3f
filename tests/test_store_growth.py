"""Stores that are finished take more members or later times, and nothing else."""

import multiprocessing
import os
import shutil
import signal
import sys
from itertools import count as counting

import dask
import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import growing, to_zarr
from xresdiff.store.manifest import Manifest
from xresdiff.store.places import Place


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


def ensemble(members=4, times=6, chunk=2, first=0, **attrs):
    """Return an ensemble whose every value tells its member and time."""
    hours = np.arange(first, first + times)
    time = np.datetime64("2024-01-01", "ns") + hours * np.timedelta64(1, "h")
    values = 1000 * np.arange(members)[:, None, None, None] + hours[:, None, None]
    rain = (values + np.arange(20).reshape(4, 5) / 100).astype("f4")
    ens = xr.Dataset(
        {"rain": (("member", "time", "y", "x"), rain)},
        {
            "member": np.arange(members),
            "time": time,
            "hour": ("time", hours),
            "season": ("time", np.array(["wet"] * times)),
            "lat": (("y", "x"), np.ones((4, 5))),
        },
        {"xresdiff_seed": 0, "xresdiff_input": "a", **attrs},
    )
    return ens.chunk(member=2, time=chunk)


def tree(path):
    files = [file for file in path.rglob("*") if file.is_file()]
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def holds(path, ens):
    there = xr.open_zarr(path).load()
    xr.testing.assert_equal(there, ens.compute())


GROWN = {
    "more members": ({"members": 8}, {"members": 8}),
    "members within a chunk": ({"members": 5}, {"members": 5}),
    "longer": ({"times": 9, "xresdiff_input": "b"}, {"times": 9}),
    "later": ({"first": 6, "times": 4, "xresdiff_input": "b"}, {"times": 10}),
    "later, after a gap": ({"first": 8, "times": 4, "xresdiff_input": "b"}, None),
}


@pytest.mark.parametrize("start", [6, 5], ids=["whole chunks", "partial chunk"])
@pytest.mark.parametrize("shards", [None, {"time": 4}], ids=["chunks", "shards"])
@pytest.mark.parametrize("name", GROWN)
def test_a_finished_store_grows(tmp_path, name, shards, start):
    given, whole = GROWN[name]
    path = tmp_path / "ens.zarr"
    given = {**given, "first": start + given["first"] - 6} if "first" in given else given
    given = given if "times" in given else {**given, "times": start}
    to_zarr(ensemble(times=start), path, shards=shards)
    before = tree(path / "rain" / "c")
    to_zarr(ensemble(**given), path)
    if whole is None:
        whole = xr.concat([ensemble(times=start), ensemble(**given)], "time", data_vars="minimal")
        holds(path, whole.assign_coords(lat=ensemble().lat))
    else:
        expected = {**given, **whole, "first": 0}
        expected["times"] = expected["times"] - 6 + start if "first" in given else expected["times"]
        holds(path, ensemble(**expected))
    if shards is None and start == 6:
        assert {k: v for k, v in tree(path / "rain" / "c").items() if k in before} == before


def test_only_what_is_new_is_computed(tmp_path):
    made = []

    def note(block, block_info=None):
        made.append(tuple(start for start, _ in block_info[0]["array-location"])[:2])
        return block

    def noted(**sizes):
        ens = ensemble(**sizes)
        return ens.assign(rain=ens.rain.copy(data=ens.rain.data.map_blocks(note, dtype="f4")))

    to_zarr(noted(), tmp_path / "ens.zarr")
    made.clear()
    to_zarr(noted(members=6), tmp_path / "ens.zarr")
    assert sorted(made) == [(4, 0), (4, 2), (4, 4)]


def test_a_store_grows_again_and_again(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble(times=1), path)
    for first in range(1, 6):
        to_zarr(ensemble(first=first, times=1, xresdiff_input=str(first)), path)
    with pytest.raises(StoreError, match=r"input is '5' there, 'whole' here.*assign_attrs"):
        to_zarr(ensemble(members=6, times=6, xresdiff_input="whole"), path)
    for _ in range(2):
        to_zarr(ensemble(members=6, times=6, xresdiff_input="5"), path)
    holds(path, ensemble(members=6))
    assert len(list((path / "time" / "c").iterdir())) == 1


def test_what_was_appended_already_is_not_computed_again(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble(), path)
    to_zarr(ensemble(first=6, xresdiff_input="b"), path)
    before = tree(path)
    to_zarr(ensemble(first=6, xresdiff_input="b"), path)
    assert tree(path) == before


@pytest.mark.parametrize(
    "given",
    [
        {"first": 5, "times": 6},
        pytest.param({"times": 11}, marks=pytest.mark.slow),
        pytest.param({"members": 7}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_growth_that_died_at_any_step_is_mended(tmp_path, monkeypatch, given):
    class Died(BaseException):
        pass

    steps = {"left": 0}

    def dying(method):
        def step(*args, **options):
            if not steps["left"]:
                raise Died
            steps["left"] -= 1
            return method(*args, **options)

        return step

    start, more = ensemble(times=5), ensemble(**{"times": 5, **given}, xresdiff_input="a")
    whole = ensemble(**({"times": 11} if "times" in given else {"times": 5, **given}))
    to_zarr(start, tmp_path / "start.zarr")
    for count in range(40):
        path = tmp_path / f"{count}.zarr"
        shutil.copytree(tmp_path / "start.zarr", path)
        steps["left"] = count
        with monkeypatch.context() as patch:
            patch.setattr(Place, "replace", dying(Place.replace))
            patch.setattr(xr.Dataset, "to_zarr", dying(xr.Dataset.to_zarr))
            try:
                to_zarr(more, path)
            except Died:
                there = xr.open_zarr(path).load()
                if there.sizes == start.sizes:
                    xr.testing.assert_equal(there, start.compute())
                else:
                    part = there.isel(member=slice(4), time=slice(5))
                    xr.testing.assert_equal(part, start.compute())
            else:
                break
        to_zarr(more, path)
        holds(path, whole)
    assert 8 < count < 39


def grow_and_die(path, moment):
    """Append in this process, which dies at its so manieth touch of the store."""
    touch = counting(1)

    def watch(event, about):
        touched = event in {"open", "os.rename", "os.remove"} and path.name in str(about[0])
        if touched and next(touch) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        to_zarr(ensemble(first=5, times=2), path)
    path.with_suffix(".touches").write_text(str(next(touch)))


def status(*arguments):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    process = processes.Process(target=grow_and_die, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("shards", [None, {"time": 4}], ids=["chunks", "shards"])
def test_what_was_finished_survives_a_kill_while_its_chunk_grows(tmp_path, shards):
    start, whole = ensemble(times=5), ensemble(times=7)
    to_zarr(start, tmp_path / "start.zarr", shards=shards)
    shutil.copytree(tmp_path / "start.zarr", tmp_path / "0.zarr")
    assert status(tmp_path / "0.zarr", None) == 0
    touches = int((tmp_path / "0.touches").read_text())
    for moment in np.linspace(touches // 4, touches - 2, 6).astype(int).tolist():
        path = tmp_path / f"{moment}.zarr"
        shutil.copytree(tmp_path / "start.zarr", path)
        assert status(path, moment) == -signal.SIGKILL
        xr.testing.assert_equal(xr.open_zarr(path).isel(time=slice(5)).load(), start.compute())
        to_zarr(ensemble(first=5, times=2), path)
        holds(path, whole)
        assert not list(path.glob("rain/**/*.partial"))


def test_what_is_there_counts_for_what_is_in_memory_too(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble().compute(), path)
    to_zarr((ensemble(times=8) + 1).assign_attrs(ensemble().attrs).compute(), path)
    there = xr.open_zarr(path).load()
    np.testing.assert_array_equal(there.rain[:, :6], ensemble().rain)
    np.testing.assert_array_equal(there.rain[:, 6:], ensemble(times=8).rain[:, 6:] + 1)


REFUSED = {
    "overlap": ({"first": 4}, r"type: ens = ens.isel\(time=slice\(2, None\)\)"),
    "before": ({"first": -6}, "does not come after"),
    "other model": ({"members": 8, "xresdiff_seed": 1}, "xresdiff_seed is 0 there, 1 here"),
    "both": ({"members": 8, "times": 8}, r"one dimension at a time.*ens.isel\(time=slice\(0, 6\)"),
    "fewer members": ({"members": 2, "first": 6}, "one dimension at a time"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_behind_is_refused_with_nothing_touched(tmp_path, name):
    given, told = REFUSED[name]
    to_zarr(ensemble(), tmp_path / "ens.zarr")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=told):
        to_zarr(ensemble(**given), tmp_path / "ens.zarr")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("order", [[0, 1, 1, 2], [1, 0, 2, 3]])
def test_labels_twice_or_out_of_order_are_refused(tmp_path, order):
    to_zarr(ensemble(), tmp_path / "ens.zarr")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"twice here|in order"):
        to_zarr(ensemble(first=6).isel(time=order), tmp_path / "ens.zarr")
    assert tree(tmp_path) == before


def test_another_coordinate_along_the_dimension_is_refused(tmp_path):
    to_zarr(ensemble(), tmp_path / "ens.zarr")
    other = ensemble(times=8).assign_coords(hour=("time", np.arange(8) + 1))
    with pytest.raises(StoreError, match=r"the values of hour differ where both"):
        to_zarr(other, tmp_path / "ens.zarr")


def test_a_store_that_is_not_finished_does_not_grow(tmp_path):
    def fail(block):
        raise ValueError("no")

    ens = ensemble()
    broken = ens.assign(rain=ens.rain.copy(data=ens.rain.data.map_blocks(fail, dtype="f4")))
    with pytest.raises(ValueError, match="no"):
        to_zarr(broken, tmp_path / "ens.zarr")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"6 of 6 chunks are missing.*Finish it first"):
        to_zarr(ensemble(first=6), tmp_path / "ens.zarr")
    assert tree(tmp_path) == before


def test_labels_that_the_store_cannot_hold_are_refused(tmp_path):
    days = {"time": {"units": "days since 2024-01-01", "dtype": "int32"}}
    ens = ensemble().isel(time=[0])
    to_zarr(ens, tmp_path / "ens.zarr", encoding=days)
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=r"holds time as int32 days since"):
        to_zarr(ensemble(first=1), tmp_path / "ens.zarr")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("calendar", ["noleap", "standard"])
def test_times_of_any_calendar_are_appended(tmp_path, calendar):
    time = xr.date_range("2000-02-27", periods=6, calendar=calendar, use_cftime=True)
    ens = ensemble().assign_coords(time=time)
    to_zarr(ens.isel(time=slice(4)), tmp_path / "ens.zarr")
    to_zarr(ens.isel(time=slice(4, None)), tmp_path / "ens.zarr")
    there = growing.open_there(growing.Root(*_root(tmp_path / "ens.zarr")), ens)
    assert list(there.time.values) == list(time)


def _root(path):
    return Place(str(path)), (path / "zarr.json").read_bytes()


def test_texts_may_become_longer(tmp_path):
    ens = ensemble().assign_coords(season=("time", ["wet", "wet", "wet", "wet", "very dry", "a"]))
    to_zarr(ens.isel(time=slice(4)), tmp_path / "ens.zarr")
    to_zarr(ens.isel(time=slice(4, None)), tmp_path / "ens.zarr")
    holds(tmp_path / "ens.zarr", ens)


def test_without_labels_places_count(tmp_path):
    bare = [name for name in ensemble().coords if name != "member"]
    to_zarr(ensemble().drop_vars(bare), tmp_path / "ens.zarr")
    to_zarr(ensemble(times=8).drop_vars(bare), tmp_path / "ens.zarr")
    holds(tmp_path / "ens.zarr", ensemble(times=8).drop_vars(bare))


def test_the_manifest_of_a_century_is_small_and_survives_text():
    finished = np.zeros((64, 36525), bool)
    finished[:, :20000] = finished[3, 20001] = True
    extents = {"member": 64, "time": 36525}
    told = Manifest({"a": "b"}, dict.fromkeys(extents, 1), {}, extents, {}, finished).to_json()
    assert len(told) < 4000
    np.testing.assert_array_equal(Manifest.from_json(told).finished, finished)


def test_chunks_are_in_memory_in_the_size_of_one(tmp_path):
    to_zarr(ensemble(), tmp_path / "ens.zarr", shards={"time": 6})
    assert xr.open_zarr(tmp_path / "ens.zarr").rain.encoding["shards"] == (2, 6, 4, 5)
    assert xr.open_zarr(tmp_path / "ens.zarr").rain.encoding["chunks"] == (2, 2, 4, 5)


@pytest.mark.parametrize(
    ("shards", "told"), [({"time": 3}, "type shards={'time': 4}"), ({"y": 8}, "there is no 'y'")]
)
def test_shards_hold_whole_chunks(tmp_path, shards, told):
    with pytest.raises(StoreError, match=told):
        to_zarr(ensemble(), tmp_path / "ens.zarr", shards=shards)
    assert not any(tmp_path.iterdir())


def test_a_moved_input_is_told_apart_from_another_seed(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(ensemble(), path)
    with pytest.raises(StoreError, match=r"The input alone differs") as told:
        to_zarr(ensemble(xresdiff_input="moved"), path)
    scope = {"ens": ensemble(xresdiff_input="moved")}
    exec(str(told.value).rpartition("type: ")[2], scope)
    to_zarr(scope["ens"], path)
    to_zarr(ensemble().assign_attrs(xresdiff_input="a"), path)
    with pytest.raises(StoreError) as told:
        to_zarr(ensemble(xresdiff_input="moved", xresdiff_seed=1), path)
    assert "assign_attrs" not in str(told.value)
