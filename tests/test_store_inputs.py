"""What is missing in a store is made from its own input, and from no other."""

from itertools import count as counting

import dask
import numpy as np
import pytest
import xarray as xr

from tests.test_store_growth import ensemble, holds, tree
from xresdiff.errors import StoreError
from xresdiff.options import set_options
from xresdiff.store import to_zarr
from xresdiff.store.layout import chunks_of, draws_dim, missing_blocks
from xresdiff.store.manifest import Manifest


@pytest.fixture(autouse=True)
def one_thread_and_no_bar():
    with set_options(progress=False), dask.config.set(scheduler="synchronous"):
        yield


def dying(ens, after):
    """Return an ensemble of which so many chunks can be computed."""
    left = counting(1)

    def block(values):
        if next(left) > after:
            raise KeyboardInterrupt
        return values

    meta = np.empty((0,) * 4, "f4")
    return ens.assign(rain=ens.rain.copy(data=ens.rain.data.map_blocks(block, meta=meta)))


@pytest.mark.parametrize("first", [0, 6], ids=["longer", "later"])
def test_growth_that_was_interrupted_goes_on_with_its_own_input_alone(tmp_path, first):
    path = tmp_path / "ens.zarr"
    more = ensemble(first=first, times=12 - first, xresdiff_input="b")
    to_zarr(ensemble(), path)
    with pytest.raises(KeyboardInterrupt):
        to_zarr(dying(more, 2), path)
    before = tree(path)
    with pytest.raises(StoreError, match=r"xresdiff_input is 'b' there, 'c' here") as told:
        to_zarr(more.assign_attrs(xresdiff_input="c"), path)
    assert str(told.value).endswith("ens = ens.assign_attrs(xresdiff_input='b')")
    assert tree(path) == before
    to_zarr(more, path)
    holds(path, ensemble(times=12, xresdiff_input="b"))


def test_later_times_of_another_input_do_not_finish_a_store(tmp_path):
    path = tmp_path / "ens.zarr"
    with pytest.raises(KeyboardInterrupt):
        to_zarr(dying(ensemble(), 4), path)
    later = ensemble(first=2, times=4)
    with pytest.raises(StoreError, match=r"input is 'a' there, 'b' here.*assign_attrs"):
        to_zarr(later.assign_attrs(xresdiff_input="b"), path)
    to_zarr(later, path)
    holds(path, ensemble())


def samples(count=4, numbers=2, **attrs):
    """Return an ensemble of an ensemble, as `downscale` names and labels it."""
    drawn = {"long_name": "generated sample of each realization", "units": "1"}
    ens = ensemble(members=count, **attrs).rename(member="sample")
    ens = ens.assign_coords(sample=("sample", np.arange(count), drawn))
    rain = ens.rain + 100 * xr.DataArray(np.arange(numbers, dtype="f4"), dims="number")
    rain = rain.transpose("sample", "number", "time", "y", "x").chunk(number=1)
    return ens.assign(rain=rain).assign_coords(
        number=("number", np.arange(numbers), {"standard_name": "realization"})
    )


def test_more_realizations_of_the_input_are_appended_as_times_are(tmp_path):
    path = tmp_path / "ens.zarr"
    to_zarr(samples(), path)
    to_zarr(samples(numbers=4, xresdiff_input="b"), path)
    holds(path, samples(numbers=4, xresdiff_input="b"))


def test_more_samples_of_another_input_are_refused(tmp_path):
    to_zarr(samples(), tmp_path / "ens.zarr")
    with pytest.raises(StoreError, match="xresdiff_input is 'a' there, 'b' here"):
        to_zarr(samples(6, xresdiff_input="b"), tmp_path / "ens.zarr")
    to_zarr(samples(6), tmp_path / "ens.zarr")
    holds(tmp_path / "ens.zarr", samples(6))


def test_samples_of_a_realization_share_its_mean():
    ens = samples()
    dims = ("sample", "number", "time")
    sizes = {dim: ens.sizes[dim] for dim in dims}
    finished = np.zeros((2, 2, 3), bool)
    manifest = Manifest({}, {"sample": 2, "number": 1, "time": 2}, {}, sizes, {}, finished)
    blocks = list(missing_blocks(manifest, draws_dim(ens), {}))
    assert [{piece.number[1:] for piece in block} for block in blocks] == [
        {(number, time)} for number in range(2) for time in range(3)
    ]
    assert chunks_of(ens.compute())["sample"] == 4
