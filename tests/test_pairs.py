from dataclasses import replace

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.toys import PRECIP_RATE, fixed_card, toy_card
from tests.toys import rain_pairs as two
from xresdiff.errors import InputError, UnitsError
from xresdiff.grids.coarsen import coarsen
from xresdiff.grids.target import refine
from xresdiff.models.card import Channel, Extra, FixedTarget
from xresdiff.models.grid_file import write_grid
from xresdiff.train import sides
from xresdiff.train.arguments import Arguments
from xresdiff.train.draft import Draft
from xresdiff.train.pairs import pair
from xresdiff.train.readers import open_reader

FACTOR = 4


def draft_of(card=None, grid=None):
    return Draft(card or toy_card(), grid, None, frozenset(), frozenset(), ())


def paired(coarse, target, card=None, grid=None, **arguments):
    return pair(coarse, target, draft_of(card, grid), Arguments(**arguments))


def refused(coarse, target, card=None, grid=None, **arguments):
    with pytest.raises(InputError) as caught:
        paired(coarse, target, card, grid, **arguments)
    return str(caught.value)


def rain_of(ds):
    return ds.precip_rate.transpose(..., "lat", "lon").values[:, None]


# --- fields


@pytest.mark.parametrize("lazy", [False, True])
def test_fields_are_paired(lazy):
    coarse, target = two()
    want = rain_of(coarse), rain_of(target)
    if lazy:
        coarse, target = coarse.chunk(time=1), target.chunk(time=3, lat=5)
    pairs = paired(coarse, target)
    assert pairs.coarse.dims == ("_pair", "_channel", "lat", "lon")
    assert pairs.coarse.dtype == pairs.fine.dtype == np.float32
    assert (pairs.coarse.chunks is not None) == (pairs.fine.chunks is not None) == lazy
    np.testing.assert_array_equal(pairs.coarse, want[0])
    np.testing.assert_array_equal(pairs.fine, want[1])
    assert (pairs.factor, pairs.dropped) == (FACTOR, (0, 0))
    np.testing.assert_array_equal(pairs.moments, np.zeros((4, 2)))


def test_nothing_lazy_is_computed(no_compute):
    coarse, target = two()
    pairs = paired(coarse.chunk(time=1), target.chunk(time=2))
    assert pairs.coarse.chunks is not None
    assert pairs.fine.chunks is not None


def test_nothing_is_computed_where_the_input_is_regridded(no_compute):
    coarse, target = two()
    pairs = paired(coarse.chunk(time=1), target.isel(lat=slice(2, -3)).chunk(time=2))
    assert pairs.coarse.chunks is not None


def test_the_callers_datasets_are_left_alone():
    coarse, target = two()
    target = target.where(target.lat > 50.2)
    before = coarse.copy(deep=True), target.copy(deep=True)
    paired(coarse, target)
    xr.testing.assert_identical(coarse, before[0])
    xr.testing.assert_identical(target, before[1])


def test_units_names_and_order_do_not_matter():
    coarse, target = two()
    plain = paired(coarse, target)
    coarse = coarse.transpose("lon", "time", "lat").rename(precip_rate="pr")
    coarse["pr"] = (coarse.pr / 3600).assign_attrs(units="kg m-2 s-1")
    target["precip_rate"] = (target.precip_rate / 1000).assign_attrs(units="m h-1")
    pairs = paired(coarse, target.isel(time=[3, 1, 0, 2]).chunk(time=1))
    np.testing.assert_allclose(pairs.coarse, plain.coarse, rtol=1e-5)
    np.testing.assert_allclose(pairs.fine, plain.fine, rtol=1e-5)


def test_an_accumulation_that_is_told_counts_for_both():
    coarse, target = two()
    want = rain_of(coarse) / 6
    coarse, target = (
        ds.assign(precip_rate=ds.precip_rate.assign_attrs(units="mm")) for ds in (coarse, target)
    )
    assert "accumulation" in refused(coarse, target)
    pairs = paired(coarse, target, accumulation="6h")
    np.testing.assert_allclose(pairs.coarse, want, rtol=1e-5)


def test_missing_values_are_let_through():
    coarse, target = two()
    coarse = coarse.where(coarse.lat > 50.1)
    target = target.where(target.lon > 5.3)
    pairs = paired(coarse, target)
    np.testing.assert_array_equal(pairs.coarse, rain_of(coarse))
    np.testing.assert_array_equal(pairs.fine, rain_of(target))
    assert np.isnan(pairs.coarse).any()
    assert np.isnan(pairs.fine).any()


def test_rain_just_below_zero_is_none():
    coarse, target = two()
    target["precip_rate"] = target.precip_rate.where(target.precip_rate > 0.5, -1e-5, drop=False)
    target["precip_rate"].attrs["units"] = "mm h-1"
    assert paired(coarse, target).fine.min() == 0


def test_levels_are_found():
    coarse, target = two()
    t = Channel("t", "air_temperature", "K", level_Pa=85000.0)
    levels = ("plev", [1000.0, 850.0], {"units": "hPa", "standard_name": "air_pressure"})
    coarse["t"] = (
        ("time", "plev", "lat", "lon"),
        np.broadcast_to(np.array([290.0, 280.0])[:, None, None], (4, 2, 8, 8)),
        {"units": "K"},
    )
    coarse = coarse.assign_coords(plev=levels)
    pairs = paired(coarse, target, toy_card(inputs=(PRECIP_RATE, t)))
    assert (pairs.coarse.isel(_channel=1) == 280).all()
    np.testing.assert_array_equal(pairs.coarse.isel(_channel=0), coarse.precip_rate)


def test_pairs_are_labelled():
    coarse, target = two()
    pairs = paired(coarse, target.isel(time=[1, 3]))
    np.testing.assert_array_equal(pairs.coarse["time"], coarse.time[[1, 3]])
    np.testing.assert_array_equal(pairs.fine["time"], coarse.time[[1, 3]])


# --- which field goes with which


def test_times_are_paired_by_their_labels():
    coarse, target = two(times=5)
    pairs = paired(coarse.isel(time=[0, 1, 3, 4]), target.isel(time=[4, 2, 1]))
    np.testing.assert_array_equal(pairs.coarse, rain_of(coarse)[[1, 4]])
    np.testing.assert_array_equal(pairs.fine, rain_of(target)[[1, 4]])
    assert pairs.dropped == (2, 1)


def test_the_unit_of_times_does_not_matter():
    coarse, target = two()
    target = target.assign_coords(time=target.time.astype("M8[s]"))
    coarse = coarse.assign_coords(time=coarse.time + np.timedelta64(3, "ms"))
    assert paired(coarse, target).dropped == (0, 0)


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day"])
def test_other_calendars_are_paired_by_the_date_that_is_written(calendar):
    coarse, target = two(times=5)
    days = pd.date_range("2024-02-28", periods=5)
    coarse = coarse.assign_coords(time=days)
    dates = [(2, 28), (3, 1), (3, 2), (3, 3)]
    if calendar == "360_day":
        dates = [(2, 28), (2, 30), (3, 1), (3, 2)]
    target = target.isel(time=slice(4)).assign_coords(
        time=[cftime.datetime(2024, *date, calendar=calendar) for date in dates]
    )
    pairs = paired(coarse, target)
    kept = [f"2024-{month:02d}-{day:02d}" for month, day in dates if day != 30]
    assert [str(time)[:10] for time in pairs.coarse.time.values] == kept
    rows = [i for i, date in enumerate(dates) if date != (2, 30)]
    np.testing.assert_array_equal(pairs.fine, rain_of(target)[rows])


def test_two_datasets_of_one_odd_calendar_are_paired():
    coarse, target = two()
    dates = [cftime.datetime(2024, 2, day, calendar="360_day") for day in (27, 28, 29, 30)]
    pairs = paired(coarse.assign_coords(time=dates), target.assign_coords(time=dates[::-1]))
    np.testing.assert_array_equal(pairs.fine, rain_of(target)[::-1])


def test_fields_without_labels_are_paired_by_their_places():
    coarse, target = two()
    with pytest.warns(UserWarning, match="by their places"):
        pairs = paired(coarse.drop_vars("time"), target)
    np.testing.assert_array_equal(pairs.fine, rain_of(target))
    with pytest.warns(UserWarning, match="by their places"):
        text = refused(coarse.drop_vars("time"), target.isel(time=[0, 1]))
    assert "4 coarse fields and 2 of the target along 'time' cannot be paired" in text
    assert "coarse.assign_coords({'time': ...})" in text


@pytest.mark.parametrize("lazy", [False, True])
def test_all_other_dimensions_become_one(lazy):
    coarse, target = two(times=3)
    number = xr.DataArray([5, 7], dims="number", coords={"number": [5, 7]})
    coarse = (coarse * number).transpose("number", "time", "lat", "lon")
    target = (target * number.isel(number=[1, 0])).transpose("lat", "time", "lon", "number")
    for ds in (coarse, target):
        ds.precip_rate.attrs["units"] = "mm h-1"
    if lazy:
        coarse, target = coarse.chunk(time=1), target.chunk(time=2)
    pairs = paired(coarse, target)
    assert pairs.coarse.sizes["_pair"] == 6
    assert pairs.coarse.number.values.tolist() == [5, 7] * 3  # the last ones are the last times
    assert (np.diff(pairs.coarse.time) >= np.timedelta64(0)).all()
    means = pairs.fine.values.reshape(6, 1, 8, FACTOR, 8, FACTOR).mean((3, 5))
    np.testing.assert_allclose(means, pairs.coarse, rtol=1e-5)
    if lazy:
        assert set(pairs.coarse.chunksizes["_pair"]) == {6}  # small fields go together


@pytest.mark.parametrize(("most", "sizes"), [(4, (4, 2)), (2, (2, 2, 2)), (3, (2, 2, 2))])
def test_chunks_of_several_dimensions_are_of_a_few_pairs(most, sizes, monkeypatch):
    monkeypatch.setattr(sides, "MOST_FIELDS", most)
    both = [ds.expand_dims(number=[5, 7]).chunk(time=3) for ds in two(times=3)]
    pairs = paired(*both)
    assert pairs.coarse.chunksizes["_pair"] == pairs.fine.chunksizes["_pair"] == sizes
    assert pairs.coarse.number.values.tolist() == [5, 7] * 3
    means = pairs.fine.values.reshape(6, 1, 8, FACTOR, 8, FACTOR).mean((3, 5))
    np.testing.assert_allclose(means, pairs.coarse, rtol=1e-5)


def test_fields_without_a_partner_are_not_computed():
    coarse, target = two(times=24)
    seen = []

    def block(values, block_info=None):
        seen.append(block_info[None]["chunk-location"][0])
        return values

    lazy = coarse.chunk(time=1)
    data = lazy.precip_rate.data.map_blocks(block, dtype=np.float32)
    lazy["precip_rate"] = lazy.precip_rate.copy(data=data)
    pairs = paired(lazy, target.isel(time=[2, 11, 20]))
    pairs.coarse.compute()
    assert sorted(seen) == [2, 11, 20]


def test_amounts_between_those_with_a_partner_are_not_computed():
    coarse, target = two(times=24)
    coarse, target = (
        ds.assign(precip_rate=ds.precip_rate.assign_attrs(units="mm")) for ds in (coarse, target)
    )
    seen = []

    def block(values):
        seen.append(len(values))
        return values

    lazy = coarse.chunk(time=1)
    data = lazy.precip_rate.data.map_blocks(block, dtype=np.float32)
    lazy["precip_rate"] = lazy.precip_rate.copy(data=data)
    pairs = paired(lazy, target.isel(time=[2, 11, 20]), accumulation="6h")
    seen.clear()  # dask tried it on nothing
    np.testing.assert_allclose(pairs.coarse, rain_of(coarse)[[2, 11, 20]] / 6, rtol=1e-5)
    assert seen == [1, 1, 1]


def test_values_of_fields_without_a_partner_do_not_matter():
    coarse, target = two()
    coarse["precip_rate"][3] = -9999
    pairs = paired(coarse, target.isel(time=slice(3)))
    np.testing.assert_array_equal(pairs.coarse, rain_of(coarse)[:3])


def test_amounts_of_forecasts_keep_their_neighbours():
    coarse, target = two()
    steps = np.arange(1, 5) * np.timedelta64(1, "h")
    want = rain_of(coarse)[[1, 3]]
    coarse, target = (ds.rename(time="step").assign_coords(step=steps) for ds in (coarse, target))
    coarse["precip_rate"] = coarse.precip_rate.cumsum("step").assign_attrs(units="mm")
    pairs = paired(coarse, target.isel(step=[1, 3]), accumulation="start")
    np.testing.assert_allclose(pairs.coarse, want, rtol=1e-3)


def test_files_that_were_opened_without_chunks_stay_on_disk(tmp_path):
    want = [rain_of(ds) for ds in two()]
    opened = []
    for name, ds in zip(("coarse", "target"), two(), strict=True):
        ds.to_netcdf(tmp_path / f"{name}.nc")
        opened.append(xr.open_dataset(tmp_path / f"{name}.nc"))
    pairs = paired(*opened)
    assert not any(ds.precip_rate.variable._in_memory for ds in opened)
    assert pairs.coarse.chunks is not None
    assert pairs.fine.chunks is not None
    np.testing.assert_array_equal(pairs.coarse, want[0])
    np.testing.assert_array_equal(pairs.fine, want[1])


def test_networks_are_told_the_time_that_a_forecast_is_for():
    coarse, target, grid = fields_of_the_bay()
    coarse = coarse.assign_coords(step=np.timedelta64(6, "h"))
    coarse = coarse.assign_coords(valid_time=coarse.time + coarse.step)
    pairs = paired(coarse, target, fixed_card(extras=(Extra("cos_zenith"),)), grid)
    seconds = (target.time.values[1:] - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    np.testing.assert_array_equal(pairs.moments[:, 0], seconds)
    np.testing.assert_allclose(pairs.fine[:, 0], target.t2m[1:], rtol=1e-6)


def test_the_lines_to_type_are_those_of_training():
    coarse, target = two()
    coarse.precip_rate.attrs["units"] = "mm"
    text = refused(coarse, target)
    assert 'train(coarse, target, accumulation="1h")' in text
    assert "coarse['precip_rate'].attrs['cell_methods']" in text
    assert "ds" not in text.replace("fields", "").split()
    assert "ds[" not in text
    assert "ds.resdiff" not in text


@pytest.mark.parametrize("which", ["coarse", "target"])
@pytest.mark.parametrize("value", [-9999.0, -7.0])
def test_values_that_cannot_be_right_are_told_by_the_name_of_the_dataset(which, value):
    both = dict(zip(("coarse", "target"), two(), strict=True))
    both[which]["precip_rate"][1, 2, 3] = value
    text = refused(**both)
    assert f"{which}['precip_rate'].where({which}['precip_rate']" in text
    assert "ds[" not in text


def test_one_pair_is_enough():
    coarse, target = two()
    assert paired(coarse.isel(time=[2]), target).dropped == (0, 3)
    pairs = paired(coarse.isel(time=0), target.isel(time=0))
    assert pairs.coarse.shape == (1, 1, 8, 8)
    assert pairs.moments.shape == (1, 2)


def test_no_common_time_is_refused():
    coarse, target = two()
    later = target.assign_coords(time=target.time + np.timedelta64(30, "D"))
    text = refused(coarse, later)
    assert "no time is in both: coarse runs from 2024-07-01 00:00:00 to 2024-07-01 03:00" in text
    assert "the target from 2024-07-31 00:00:00 to 2024-07-31 03:00:00" in text


def test_times_between_one_another_may_be_resampled():
    coarse, target = two()
    later = target.assign_coords(time=target.time + np.timedelta64(30, "m"))
    assert "target.resample({'time': '1D'}).mean()" in refused(coarse, later)


def test_calendars_that_do_not_meet_are_named():
    coarse, target = two()
    dates = [cftime.datetime(2034, 2, day, calendar="360_day") for day in (27, 28, 29, 30)]
    text = refused(coarse, target.assign_coords(time=dates))
    assert "calendars are 'standard' and '360_day'" in text.replace(
        "proleptic_gregorian", "standard"
    )
    assert "coarse.convert_calendar('360_day', dim='time')" in text


def test_doubled_labels_are_refused():
    coarse, target = two()
    text = refused(coarse, target.isel(time=[0, 1, 1]))
    assert "target has the time 2024-07-01 01:00:00 more than once" in text
    assert "target.drop_duplicates('time')" in text


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda c, t: (c, t.rename(time="valid_time")), "target.rename({'valid_time': 'time'})"),
        (lambda c, t: (c.expand_dims(number=2), t), "target.expand_dims({'number': 2})"),
        (
            lambda c, t: (c.expand_dims(number=[1, 2]), t),
            "target.expand_dims({'number': coarse['number']})",
        ),
        (lambda c, t: (c, t.expand_dims(number=1)), "target.squeeze('number')"),
        (lambda c, t: (c, t.isel(time=0)), "target.expand_dims('time')"),
    ],
    ids=["renamed", "more", "labelled", "of one", "scalar"],
)
def test_a_dimension_of_one_alone_is_refused(change, line):
    assert line in refused(*change(*two()))


# --- grids of models that refine


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.isel(lat=slice(None, None, -1)),
        lambda ds: ds.isel(lat=slice(4, None), lon=slice(8, -4)),
        lambda ds: ds.isel(lat=slice(5, -6), lon=slice(6, -1)),
        lambda ds: ds.assign_coords(lon=ds.lon + 0.03).isel(lon=slice(-1)),
    ],
    ids=["turned", "cut to cells", "cut anywhere", "shifted"],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_the_input_is_brought_to_the_blocks_of_another_grid(change, lazy):
    coarse, target = two(size=10)
    target = change(target)
    given = (coarse.chunk(time=1), target.chunk(time=1)) if lazy else (coarse, target)
    pairs = paired(*given)
    rows, columns = pairs.coarse.shape[-2:]
    assert pairs.fine.shape[-2:] == (rows * FACTOR, columns * FACTOR)
    fine = pairs.fine.values
    inside = fine[..., : target.sizes["lat"], : target.sizes["lon"]]
    np.testing.assert_array_equal(inside, rain_of(target))
    assert np.isnan(fine[..., target.sizes["lat"] :, :]).all()
    assert np.isnan(fine[..., target.sizes["lon"] :]).all()
    assert np.isfinite(pairs.coarse).all()


def test_regridded_inputs_are_the_block_means_of_the_target():
    coarse, target = two(size=10)
    part = target.isel(lat=slice(8, 32), lon=slice(4, 36))
    pairs = paired(coarse, part)
    np.testing.assert_allclose(pairs.coarse, rain_of(coarsen(part, FACTOR)), rtol=1e-4)


def test_the_method_of_regridding_may_be_told():
    coarse, target = two(size=10)
    part = target.isel(lat=slice(6, 30), lon=slice(6, 30))
    nearest = paired(coarse, part, regridding="nearest_s2d").coarse.values
    assert np.isin(nearest, coarse.precip_rate.values.astype("f4")).all()
    assert not np.isin(paired(coarse, part).coarse, coarse.precip_rate.values).all()


def test_a_small_difference_of_coordinates_is_let_pass():
    coarse, target = two()
    target = target.assign_coords(lat=target.lat + 0.002, lon=(target.lon + 360).astype("f4"))
    pairs = paired(coarse, target)
    np.testing.assert_array_equal(pairs.coarse, rain_of(coarse))


def test_a_target_beyond_the_input_is_refused():
    coarse, target = two()
    text = refused(coarse.isel(lat=slice(3, None)), target)
    assert "are missing. Cut the target to what coarse covers: target.sel(...)" in text
    assert "downscale" not in text


def test_a_spacing_that_the_model_does_not_take_is_refused():
    coarse, target = two()
    wide = coarse.assign_coords(lat=10 * coarse.lat - 480, lon=10 * coarse.lon)
    text = refused(wide, target.assign_coords(refine(wide, FACTOR).coords))
    assert "coarse: the spacing of the" in text
    assert "downscale" not in text


def test_a_curvilinear_target_is_refined_too():
    coarse, target = two(size=10)
    part = target.isel(lat=slice(4, 34), lon=slice(4, 32))
    lat, lon = xr.broadcast(part.lat, part.lon)
    bent = part.rename(lat="y", lon="x").drop_vars(["y", "x"])
    bent = bent.assign_coords(lat=(("y", "x"), lat.values), lon=(("y", "x"), lon.values))
    pairs = paired(coarse, bent)
    assert pairs.coarse.shape == (4, 1, 8, 7)
    np.testing.assert_array_equal(pairs.fine[:, 0, :30], part.precip_rate)
    straight = paired(coarse, part)
    np.testing.assert_allclose(pairs.coarse, straight.coarse, rtol=0.02)


# --- targets of their own


def bay(shape=(16, 16)):
    """Return a curvilinear grid around 50 N 5 E, its file and a card."""
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    lat, lon = 50 + 0.04 * y + 0.002 * x, 5 + 0.06 * x - 0.003 * y
    return lat, lon, write_grid(lat, lon)


def fields_of_the_bay(times=3):
    """Return temperature and wind around the bay, and on its grid."""
    lat, lon, grid = bay()
    time = pd.date_range("2024-07-01", periods=times, freq="6h")
    rng = np.random.default_rng(1)
    axes = {"time": time, "lat": np.arange(49, 52, 0.25), "lon": np.arange(4, 7.5, 0.25)}
    shape = tuple(map(len, axes.values()))
    coarse = xr.Dataset(coords=axes)
    target = xr.Dataset(coords={"time": time, "lat": (("y", "x"), lat), "lon": (("y", "x"), lon)})
    for name, units, mean in (("t2m", "K", 285), ("u10", "m s-1", 1)):
        coarse[name] = (("time", "lat", "lon"), rng.normal(mean, 3, shape), {"units": units})
        fine = rng.normal(mean, 3, (times, *lat.shape))
        target[name] = (("time", "y", "x"), fine, {"units": units})
    return coarse, target, grid


@pytest.mark.parametrize("lazy", [False, True])
def test_inputs_are_brought_to_a_target_of_its_own(lazy):
    coarse, target, grid = fields_of_the_bay()
    if lazy:
        coarse, target = coarse.chunk(time=1), target.chunk(time=2)
    pairs = paired(coarse, target, fixed_card(), grid)
    assert pairs.factor == 1
    assert pairs.coarse.shape == pairs.fine.shape == (3, 2, 16, 16)
    np.testing.assert_allclose(pairs.fine[:, 0], target.t2m, rtol=1e-6)
    np.testing.assert_allclose(pairs.fine[:, 1], target.u10, rtol=1e-6)
    there = coarse.t2m.interp(lat=target.lat, lon=target.lon).transpose("time", "y", "x")
    np.testing.assert_allclose(pairs.coarse[:, 0], there, rtol=1e-4)


def test_nothing_is_computed_on_the_way_to_a_target_of_its_own(no_compute):
    coarse, target, grid = fields_of_the_bay()
    lazy = target.chunk(time=1).assign_coords(lat=target.lat, lon=target.lon)
    pairs = paired(coarse.chunk(time=1), lazy, fixed_card(), grid)
    assert pairs.coarse.chunks is not None


def test_inputs_in_memory_are_regridded_when_they_are_read(no_compute):
    coarse, target, grid = fields_of_the_bay()
    assert paired(coarse, target, fixed_card(), grid).coarse.chunks is not None


def test_a_target_elsewhere_is_refused():
    coarse, target, grid = fields_of_the_bay()
    text = refused(coarse, target.assign_coords(lat=target.lat + 0.01), fixed_card(), grid)
    assert "target: its grid is 16 x 16 points from 50.010 N 5.000 E" in text
    line = "target.resdiff.regrid(coarse.chunk().resdiff.downscale(model='bay', stage='mean'))"
    assert line in text
    assert "16 x 15 points" in refused(coarse, target.isel(x=slice(15)), fixed_card(), grid)


def test_a_hundredth_of_a_cell_does_not_matter():
    coarse, target, grid = fields_of_the_bay()
    near = target.assign_coords(lat=(target.lat + 0.0004).astype("f4"))
    assert paired(coarse, near, fixed_card(), grid).factor == 1


def test_a_target_that_inputs_are_stretched_to_is_whole():
    coarse, target, _ = fields_of_the_bay()
    lat, lon = np.linspace(50, 50.6, 16), np.linspace(5, 5.9, 16)
    grid = write_grid(lat, lon, coarse=(np.arange(50.0, 51, 0.25), np.arange(5.0, 6.1, 0.25)))
    goal = FixedTarget(region="a bay", spacing_km=4.0, coarse_spacing_km=28.0, stretched=True)
    target = target.drop_vars(["lat", "lon"]).rename(y="lat", x="lon")
    target = target.assign_coords(lat=lat, lon=lon)
    pairs = paired(coarse, target, fixed_card(target=goal), grid)
    assert pairs.factor == 0
    assert pairs.coarse.shape == (3, 2, 4, 5)
    assert pairs.fine.shape == (3, 2, 16, 16)


def test_networks_that_are_told_the_time_know_it():
    coarse, target, grid = fields_of_the_bay()
    card = fixed_card(extras=(Extra("cos_zenith"),))
    both = [ds.expand_dims(number=[0, 1]) for ds in (coarse, target)]
    pairs = paired(*both, card, grid)
    seconds = (coarse.time.values - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    np.testing.assert_array_equal(pairs.moments[:, 0], seconds.repeat(2))
    np.testing.assert_array_equal(pairs.moments[:, 1], 0)


@pytest.mark.parametrize("lazy", [False, True])
def test_days_are_paired_with_their_hours(lazy):
    coarse, target, grid = fields_of_the_bay(times=16)
    t2m = fixed_card().inputs[0]
    card = fixed_card(
        inputs=(t2m, replace(t2m, offset_h=-24.0)), outputs=(t2m,), hours=(-12.0, -6.0, 0.0, 6.0)
    )
    days = coarse.isel(time=slice(4)).assign_coords(
        time=pd.date_range("2024-07-01T12", periods=4, freq="D")
    )
    target = target.assign_coords(time=pd.date_range("2024-07-01", periods=16, freq="6h"))
    pairs = paired(days.chunk(time=1) if lazy else days, target, card, grid)
    np.testing.assert_array_equal(pairs.coarse.time, target.time[4:])
    np.testing.assert_array_equal(pairs.fine[:, 0], target.t2m[4:].astype("f4"))
    there = days.t2m.interp(lat=target.lat, lon=target.lon).transpose("time", "y", "x")
    own, before = (pairs.coarse.values[:, i] for i in (0, 1))
    np.testing.assert_allclose(own, np.repeat(there[1:], 4, axis=0), rtol=1e-4)
    np.testing.assert_allclose(before, np.repeat(there[:3], 4, axis=0), rtol=1e-4)
    assert pairs.dropped == (0, 4)


# --- what is refused


def test_everything_wrong_is_told_at_once():
    coarse, target = two()
    coarse = coarse.rename(precip_rate="snow")
    target = target.rename(time="valid_time").rename(precip_rate="hail")
    text = refused(coarse, target)
    assert text.startswith("cannot train toy on these pairs, for 2 reasons:")
    assert "coarse: the variable 'precip_rate'" in text
    assert "target: the variable 'precip_rate'" in text


def test_a_problem_of_labels_is_told_with_others():
    coarse, target = two()
    target.precip_rate.attrs["units"] = "K"
    text = refused(coarse, target.rename(time="valid_time"))
    assert "for 2 reasons" in text
    assert "target.rename({'valid_time': 'time'})" in text
    assert "target: " in text


def test_units_that_do_not_convert_are_refused():
    coarse, target = two()
    target.precip_rate.attrs["units"] = "K"
    with pytest.raises(UnitsError, match="cannot train toy on these pairs: target: "):
        paired(coarse, target)


def test_what_is_no_dataset_is_refused():
    coarse, target = two()
    text = refused(coarse.precip_rate, target.precip_rate.values)
    assert "coarse is a DataArray; a Dataset is needed: coarse.to_dataset()" in text
    assert "target is a ndarray; a Dataset is needed" in text


def test_a_dataset_without_a_grid_is_refused():
    coarse, target = two()
    text = refused(coarse, target.drop_vars(["lat", "lon"]).rename(lat="a", lon="b"))
    assert "cannot train toy on these pairs: target: " in text


def test_nothing_along_a_dimension_is_refused():
    coarse, target = two()
    text = refused(coarse, target.isel(time=[]))
    assert "target: there is nothing along 'time': its size is 0" in text


@pytest.mark.parametrize("which", ["coarse", "target"])
def test_fill_values_are_refused_at_once_in_memory(which):
    both = dict(zip(("coarse", "target"), two(), strict=True))
    both[which]["precip_rate"][1, 2, 3] = -9999
    text = refused(**both)
    assert f"cannot train toy on these pairs: {which}: 1 of" in text
    assert "look like a fill value that was not decoded, -9999, the first at" in text
    assert "time=2024-07-01T01:00:00" in text
    assert "skipna" not in text


def test_fill_values_are_refused_when_lazy_fields_are_read():
    coarse, target = two()
    target["precip_rate"][1, 2, 3] = -9999
    pairs = paired(coarse.chunk(time=1), target.chunk(time=1))
    with pytest.raises(InputError, match=r"cannot train toy on these pairs: target: 1 of .* -9999"):
        open_reader(pairs)


def test_values_far_from_all_that_the_model_knows_are_refused():
    coarse, target, grid = fields_of_the_bay()
    card = fixed_card()
    outputs = (replace(card.outputs[0], mean=12.0), card.outputs[1])
    card = replace(card, outputs=outputs)
    text = refused(coarse, target, card, grid)
    assert "target: " in text
    assert "their median is 28" in text
