"""What of the user's Datasets can be read at all: names, grids, other grids beside."""

import numpy as np
import pytest
import xarray as xr

import xresdiff
from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import find_horizontal
from xresdiff.train.channels import choose
from xresdiff.train.statics import statics_on
from xresdiff.train.variables import narrowed


def warm(n=4):
    """Return temperatures on a grid."""
    time = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(3)
    ds = xr.Dataset(coords={"time": time, "lat": 50.0 + np.arange(n), "lon": 5.0 + np.arange(n)})
    return ds.assign(t2m=(("time", "lat", "lon"), np.ones((3, n, n)), {"units": "K"}))


def refused(coarse, target, **given):
    with pytest.raises(InputError) as caught:
        choose(coarse, target, **given)
    return str(caught.value)


def test_a_name_that_is_a_number_is_refused():
    told = refused(warm().rename(t2m=3), warm())
    assert "coarse has a variable 3, whose name is no text" in told
    assert "coarse.rename({3: 'v3'})" in told


@pytest.mark.parametrize("which", ["t2m", "lat"])
def test_a_standard_name_that_is_a_list_is_refused(which):
    ds = warm()
    ds[which].attrs["standard_name"] = ["air_temperature"]
    told = refused(warm(), ds)
    assert f"the standard name of target[{which!r}] is ['air_temperature'], which is no" in told
    assert f"del target[{which!r}].attrs['standard_name']" in told


def test_fine_tuning_says_so_too():
    ds = warm().rename(t2m=3)
    with pytest.raises(InputError, match="target has a variable 3, whose name is no text"):
        xresdiff.finetune(warm(), ds)


@pytest.mark.parametrize("which", ["coarse", "target"])
def test_a_single_cell_is_refused(which):
    both = {"coarse": warm(), "target": warm()}
    both[which] = warm(1)
    told = refused(**both)
    assert f"the grid of {which} has 1 x 1 cells; at least 2 x 2 are needed" in told


def two_grids():
    """Return temperatures with fields on another grid beside."""
    axes = {"lat2": np.arange(5.0), "lon2": np.arange(6.0)}
    units = {"lat2": "degrees_north", "lon2": "degrees_east"}
    coords = {name: (name, values, {"units": units[name]}) for name, values in axes.items()}
    sst = (("time", "lat2", "lon2"), np.zeros((3, 5, 6)), {"units": "K"})
    ds = warm().assign_coords(coords).assign(sst=sst)
    ds.lat.attrs["units"], ds.lon.attrs["units"] = "degrees_north", "degrees_east"
    return ds


def test_other_grids_do_not_matter_where_variables_are_named():
    chosen, problems = choose(two_grids(), warm(), inputs=["t2m"])
    assert problems == []
    assert [channel.name for channel in chosen.inputs] == ["t2m"]
    assert "more than one choice" in choose(two_grids(), warm())[1][0]


def test_other_grids_do_not_keep_a_training_from_its_data():
    with pytest.raises(InputError) as caught:
        xresdiff.train(two_grids(), warm(), inputs=["t2m"], outputs=["rain"])
    assert "more than one choice" not in str(caught.value)


def test_what_belongs_to_the_variables_stays():
    ds = two_grids().assign(crs=0, time_bnds=(("time", "bnds"), np.zeros((3, 2))))
    kept = narrowed(ds, ["t2m"])
    assert set(kept.data_vars) == {"t2m", "crs", "time_bnds"}
    assert not {"lat2", "lon2"} & set(kept.variables)
    assert narrowed(ds, ["nothing"]) is ds
    assert narrowed(ds, None) is ds


def test_a_static_field_finds_its_projection_among_the_variables():
    pyproj = pytest.importorskip("pyproj")
    crs = pyproj.CRS.from_dict({"proj": "lcc", "lat_1": 47, "lat_0": 47, "lon_0": 10})
    metres = {"units": "m"}
    axes = 3000.0 * np.arange(6)
    ds = xr.Dataset(
        {
            "orog": (("y", "x"), np.arange(36.0).reshape(6, 6), {"grid_mapping": "crs"}),
            "crs": ((), 0, crs.to_cf()),
        },
        coords={
            "y": ("y", axes, metres | {"standard_name": "projection_y_coordinate"}),
            "x": ("x", axes, metres | {"standard_name": "projection_x_coordinate"}),
        },
    )
    lat, lon = geographic(ds, find_horizontal(ds))
    target = xr.Dataset(coords={"lat": (("y", "x"), lat.data), "lon": (("y", "x"), lon.data)})
    fields, problems, _ = statics_on(ds, target, find_horizontal(target))
    assert problems == []
    np.testing.assert_allclose(fields["orog"].values, ds.orog)
