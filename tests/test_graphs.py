"""Graphs of long ensembles are lean: a task for every chunk, the mean once, nothing written out."""

import subprocess
import sys
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest

from tests import imitation_cmip6 as cmip6
from tests.regions import era5, write_bay
from tests.toys import PRECIP_RATE, write_toy_model
from xresdiff import target_grid
from xresdiff.downscale import downscale
from xresdiff.engine import runtime
from xresdiff.engine.blocks import hour_block
from xresdiff.engine.cutting import gathered, recut
from xresdiff.models.card import Channel


@pytest.fixture(scope="module")
def models(toy, tmp_path_factory):
    """A model that refines, one of two outputs, one with a grid of its own, one of hours."""
    folder = tmp_path_factory.mktemp("models")
    outputs = (PRECIP_RATE, Channel("t", "air_temperature", "K"))
    return {
        "refining": toy,
        "two outputs": write_toy_model(folder / "two", outputs=outputs),
        "own grid": write_bay(folder / "bay"),
        "hours": str(cmip6.write_cmip6(folder / "hours")),
    }


def long(coarse, n, chunk):
    """Return `n` times of rain, lazily."""
    times = np.datetime64("2000-01-01", "ns") + np.arange(n) * np.timedelta64(1, "h")
    data = da.from_array(np.zeros((n, 6, 5), "f4"), chunks=(chunk, 6, 5))
    ds = coarse.drop_vars("precip_rate").assign_coords(time=times)
    return ds.assign(precip_rate=(("time", "y", "x"), data, coarse.precip_rate.attrs))


def days(n):
    """Return `n` days of what the model of hours takes, lazily."""
    day = cmip6.cmip6().isel(time=0, drop=True)
    times = np.datetime64("2015-01-01T12", "ns") + np.arange(n) * np.timedelta64(1, "D")
    return day.expand_dims(time=times).copy().chunk(time=1)


def written_out(ens):
    """Count the tasks that are written out while a graph is built."""
    (array, *_) = (variable.data for variable in ens.data_vars.values())
    layers = array.dask.layers.values()
    return sum(len(layer) for layer in layers if not hasattr(layer, "output_indices"))


def tasks(ens):
    """Count the tasks of a graph that runs."""
    (best,) = dask.optimize(ens)
    return len(dict(best.__dask_graph__()))


@pytest.mark.parametrize("chunk", [1, 24, 1000, 7])
def test_at_most_one_task_a_time_is_written_out(coarse, toy, chunk):
    ens = downscale(long(coarse, 1000, chunk), model=toy, members=64)
    assert written_out(ens) <= 1000 + 1000 / chunk + 1


def test_at_most_one_task_an_hour_and_few_a_day_are_written_out(models):
    ens = downscale(days(12), model=models["hours"], members=64)
    assert written_out(ens) <= ens.sizes["time"] + 12 * 2 * len(cmip6.INPUTS)  # and read, regridded


@pytest.mark.parametrize("changes", [{}, {"skipna": True}, {"chunks": {"member": 4}}])
def test_a_task_for_every_chunk_and_few_for_every_time(coarse, toy, changes):
    ens = downscale(long(coarse, 20, 1), model=toy, members=64, **changes)
    few = 6 if "skipna" in changes else 4  # read, check, regress, and pass on
    assert tasks(ens) <= ens.precip_rate.data.npartitions + 20 * few


def test_a_task_for_every_chunk_and_few_for_every_hour(models):
    ens = downscale(days(5), model=models["hours"], members=64)
    arrays = [variable.data for variable in ens.data_vars.values()]
    chunks = arrays[0].npartitions + sum(array.npartitions for array in arrays)
    few = 5 * (3 * len(cmip6.INPUTS) + 1)  # a day: read, decode and regrid each, check all
    assert tasks(ens) <= chunks + 3 * ens.sizes["time"] + few


def asked(form, coarse, models):
    """Return an input and the arguments of a form of downscaling, members one by one."""
    own = {"members": 3, "steps": 1, "chunks": {"member": 1}, "model": models["refining"]}
    if form == "grid":
        return coarse.chunk(time=1), own | {"grid": target_grid(coarse, spacing_km=4)}
    if form == "skipna":
        return coarse.where(coarse.x > 0).chunk(time=1), own | {"skipna": True}
    if form == "own grid":
        return era5().chunk(time=1), own | {"model": models[form]}
    if form == "hours":
        return days(3), own | {"model": models[form], "members": 2}
    return coarse.chunk(time=1), own | {"model": models[form]}


FORMS = ["refining", "two outputs", "own grid", "grid", "skipna", "hours"]


@pytest.fixture
def seen(monkeypatch):
    """Note how many fields the means are computed of; members are nothing but a copy."""
    plain, sizes = runtime.Runtime.mean, []

    def noting(self, fields, *rest):
        sizes.append(len(fields))
        return plain(self, fields, *rest)

    def copied(self, coarse, mean, draws, *rest):
        return self.physical(mean, coarse)[[draw.time for draw in draws]]

    monkeypatch.setattr(runtime.Runtime, "mean", noting)
    monkeypatch.setattr(runtime.Runtime, "members", copied)
    return sizes


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_is_computed_once_per_time(coarse, models, seen, form):
    ds, how = asked(form, coarse, models)
    downscale(ds, **how).isel(time=slice(3)).compute(scheduler="threads")
    assert seen == [1, 1, 1]


@pytest.mark.parametrize("fuse", [False, True])
def test_the_mean_is_computed_once_however_the_graph_is_optimised(coarse, models, seen, fuse):
    ds, how = asked("two outputs", coarse, models)
    with dask.config.set({"optimization.fuse.active": fuse}):
        dask.optimize(downscale(ds, **how))[0].compute(scheduler="synchronous")
    assert seen == [1, 1, 1]


def test_the_mean_is_computed_once_by_the_workers_of_a_client(coarse, models, seen):
    from distributed import Client

    ds, how = asked("two outputs", coarse, models)
    local = {"processes": False, "n_workers": 2, "threads_per_worker": 1}
    with Client(**local, dashboard_address=":0"):
        downscale(ds, **how).compute()
    assert seen == [1, 1, 1]


SAME = """
import sys
import numpy as np, xarray as xr
from xresdiff.downscale import downscale
from xresdiff import target_grid
ds = xr.open_zarr(sys.argv[2])
for changes in {}, {"skipna": True}, {"grid": target_grid(ds, spacing_km=4)}, {"stage": "mean"}:
    print(downscale(ds, model=sys.argv[1], members=4, **changes).precip_rate.data.name)
"""


def test_names_are_those_of_another_process(coarse, toy, tmp_path):
    coarse.to_zarr(tmp_path / "coarse.zarr")
    call = [sys.executable, "-c", SAME, toy.key.rsplit("@", 1)[0], tmp_path / "coarse.zarr"]
    pipes = {"stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(call, **pipes) for _ in range(2)]
    one, other = (process.communicate()[0].split() for process in both)
    assert one == other
    assert len(set(one)) == 4


@pytest.mark.parametrize("chunks", [((1,) * 6,), ((2, 4),), ((4, 2),), ((1, 3, 2),)])
def test_arrays_are_cut_without_loss(chunks):
    array = da.from_array(np.arange(6), chunks=4)
    again = recut(array, chunks)
    assert again.chunks == chunks
    np.testing.assert_array_equal(again.compute(), np.arange(6))


@pytest.mark.parametrize("size", [1, 2, 3, -1])
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_places_are_gathered_wherever_they_are(chunk, size):
    values = np.arange(2.0 * 5 * 2).reshape(2, 5, 2, 1, 1)
    where = np.array([[4, 0, 0, 1, 3], [0, 1, 2, 2, 3]])
    array = da.from_array(values, chunks=(1, chunk, -1, -1, -1))
    hours = partial(hour_block, axis=1, order=[2, 0, 3, 1])
    found = gathered(hours, array, 1, where, size, 4)
    both = np.concatenate([values[:, places] for places in where], axis=2)
    np.testing.assert_array_equal(found.compute(scheduler="synchronous"), both[:, :, [2, 0, 3, 1]])
