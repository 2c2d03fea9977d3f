"""Days become hours, in every calendar; seconds and lead times are read as they are written."""

import re
from types import SimpleNamespace

import cftime
import dask.array
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.engine.hours import (
    lead_labels,
    lead_problems,
    on_hours,
    places,
    seconds,
    time_problems,
)
from xresdiff.errors import InputError

CARD = SimpleNamespace(
    hours=tuple(float(hour) for hour in range(-12, 12)),
    inputs=tuple(SimpleNamespace(offset_h=offset) for offset in (-24.0, 0.0, 24.0)),
    lead_hours=(),
)
LEADS = SimpleNamespace(hours=(0.0,), inputs=(), lead_hours=(0.0, 3.0, 6.0))


def days(start="2015-02-27T12", n=5, calendar="standard") -> xr.Dataset:
    """Return `n` days whose fields are their number, from 0."""
    time = xr.date_range(start, periods=n, freq="D", calendar=calendar, use_cftime=None)
    field = xr.DataArray(np.arange(float(n)), {"time": time}, "time").expand_dims(x=2)
    bounds = xr.DataArray(np.zeros((n, 2)), dims=("time", "bnds"))
    ds = xr.Dataset({"tas": field, "time_bnds": bounds, "orog": ("x", [1.0, 2.0])})
    ds["time"].attrs = {"bounds": "time_bnds", "standard_name": "time"}
    return ds


@pytest.mark.parametrize(("offset", "number"), [(-24.0, 0), (0.0, 1), (24.0, 2)])
def test_every_hour_has_the_fields_of_its_day_and_of_the_neighbours(offset, number):
    hours = on_hours(days(), CARD)
    assert hours.sizes["time"] == 3 * 24
    told = days().isel(places(days(), CARD, offset))
    expected = np.repeat(np.arange(3.0) + number, 24)
    np.testing.assert_array_equal(told["tas"].isel(x=1), expected)
    own = np.repeat(np.arange(3.0) + 1, 24)
    np.testing.assert_array_equal(hours["tas"].isel(x=1), own)
    times = pd.date_range("2015-02-28T00", periods=72, freq="h")
    np.testing.assert_array_equal(hours["time"], times.to_numpy())
    assert hours["time"].attrs == {"standard_name": "time"}
    assert "time_bnds" not in hours.variables
    assert hours["orog"].dims == ("x",)


@pytest.mark.parametrize(
    ("calendar", "after"),
    [("noleap", "2016-03-01"), ("360_day", "2016-02-29"), ("standard", "2016-02-29")],
)
def test_hours_are_those_of_the_calendar(calendar, after):
    given = days("2016-02-27T12", 4, calendar)
    hours = on_hours(given, CARD)
    texts = [f"{t:%Y-%m-%dT%H}" for t in hours["time"].to_index()]
    assert texts[0] == "2016-02-28T00"
    assert texts[24] == f"{after}T00"
    assert len(texts) == 48
    assert time_problems(given, CARD, ["tas"]) == []


def test_days_beside_a_gap_are_neighbours_only():
    gappy = days(n=8).isel(time=[0, 1, 2, 4, 5, 6, 7])
    told = on_hours(gappy, CARD)["tas"].isel(x=0)
    assert sorted(set(told.values)) == [1, 5, 6]


def test_lazy_fields_stay_lazy_and_the_input_as_it_was():
    ds = days().chunk(time=2)
    before = ds.copy(deep=True)
    with raise_if_dask_computes():
        hours, after = on_hours(ds, CARD), ds.isel(places(ds, CARD, 24.0))
    assert hours["tas"].chunks is not None
    assert after["tas"].chunks is not None
    xr.testing.assert_identical(ds, before)


def test_other_models_keep_their_times():
    ds = days()
    assert on_hours(ds, LEADS) is ds
    assert time_problems(ds.drop_vars("time"), LEADS, ["tas"]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda ds: ds.isel(time=0, drop=True), "has no dimension of time"),
        (lambda ds: ds.isel(time=0), "has no dimension of time"),
        (
            lambda ds: ds.isel(time=[0, 1]),
            r"no time of 'time' has fields -24 h, 0 h and \+24 h from it",
        ),
        (lambda ds: ds.isel(time=[1, 0, 2]), r"do not rise: ds.drop_duplicates\('time'\)"),
        (lambda ds: ds.isel(time=[0, 0, 1, 2]), "do not rise"),
    ],
)
def test_what_is_wrong_with_the_times_is_said(change, told):
    (problem,) = time_problems(change(days()), CARD, ["tas"])
    assert re.search(told, problem)


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_the_line_for_days_at_midnight_works(calendar):
    ds = days("2015-02-27T00", calendar=calendar)
    (problem,) = time_problems(ds, CARD, ["tas"])
    assert "12:00 UTC; there is 2015-02-27T00:00, 2015-02-28T00:00, ... 2015-03-03T00:00" in problem
    fixed = eval(problem.rpartition("whole day: ")[2], {"ds": ds, "pd": pd})
    assert time_problems(fixed, CARD, ["tas"]) == []


def test_the_line_for_hourly_fields_works():
    time = pd.date_range("2015-02-27T00", periods=96, freq="h")
    ds = xr.Dataset({"tas": ("time", np.arange(96.0))}, {"time": time})
    (problem,) = time_problems(ds, CARD, ["tas"])
    first, second = problem.rpartition("whole day: ")[2].split("; ")
    names = {"ds": ds, "pd": pd}
    exec(first, names)
    fixed = eval(second, names)
    assert time_problems(fixed, CARD, ["tas"]) == []
    assert fixed["tas"].values.tolist() == [11.5, 35.5, 59.5, 83.5]


@pytest.mark.parametrize(
    ("time", "same"),
    [
        (np.datetime64("2015-02-28T13:30", "ns"), "2015-02-28T13:30"),
        (np.datetime64("1850-01-01", "s"), "1850-01-01"),
        (cftime.DatetimeNoLeap(2016, 3, 1, 12), "2016-03-01T12"),
        (cftime.Datetime360Day(2015, 2, 30, 12), "2015-02-28T12"),
        (cftime.Datetime360Day(2016, 2, 30, 12), "2016-02-29T12"),
        (cftime.DatetimeGregorian(2015, 12, 31, 23, 59, 59), "2015-12-31T23:59:59"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_seconds_are_those_of_the_date_as_written(time, same, lazy):
    coord = xr.DataArray(np.array([time]), dims="time", name="time")
    got = seconds(coord.chunk() if lazy else coord)
    assert (got.chunks is not None) is lazy
    assert got.dtype == np.float64
    assert got.values.item() == np.datetime64(same, "s").astype(np.int64)


def test_what_is_no_time_has_no_seconds():
    ds = xr.Dataset(coords={"time": np.array(["2020-01-01", "NaT"], "M8[ns]")})
    with pytest.raises(InputError, match="a time of 'time' is missing") as caught:
        seconds(ds.time)
    line = str(caught.value).partition("leave it out: ")[2]
    assert seconds(eval(line).time).size == 1
    with pytest.raises(InputError, match=r"xr.decode_cf\(ds\)"):
        seconds(xr.DataArray([3.0], dims="time"))


def forecast(steps, **attrs) -> xr.Dataset:
    coord = xr.DataArray(steps, dims="step", attrs=attrs)
    return xr.Dataset({"t2m": ("step", np.zeros(len(steps)))}, {"step": coord})


@pytest.mark.parametrize(
    "ds",
    [
        forecast(np.array([6, 0, 3, 6], "m8[h]").astype("m8[ns]")),
        forecast([6, 0, 3, 6], units="hours", standard_name="forecast_period"),
        forecast([0.25, 0, 0.125, 0.25], units="days", standard_name="forecast_period"),
    ],
)
def test_lead_times_become_places_among_those_the_model_knows(ds):
    labels = lead_labels(ds, LEADS, ("step",))
    assert labels.dims == ("step",)
    assert labels.dtype == np.int64
    assert labels.values.tolist() == [2, 0, 1, 2]
    assert lead_labels(ds, CARD, ("step",)) is None


def test_lazy_lead_times_are_looked_at_when_computed():
    ds = forecast(np.array([6, 4], "m8[h]").astype("m8[ns]"))
    steps = ("step", dask.array.from_array(ds["step"].values))
    lazy = ds.drop_vars("step").assign_coords(lead_time=steps)
    with raise_if_dask_computes():
        labels = lead_labels(lazy, LEADS, ("step",))
    with pytest.raises(InputError, match="does not know lead times of 4 hours; it knows 0, 3, 6"):
        labels.compute()


def test_lead_times_along_other_dimensions_are_refused():
    with pytest.raises(InputError, match=r"'step' runs along \('step',\), not along \('time',\)"):
        lead_labels(forecast(np.array([6], "m8[h]").astype("m8[ns]")), LEADS, ("time",))


@pytest.mark.parametrize(
    ("ds", "told"),
    [
        (days(), "the input has none"),
        (forecast([0, 3], standard_name="forecast_period"), "no unit of time"),
        (forecast(np.array([0, 4, 9], "m8[h]").astype("m8[ns]")), "lead times of 4, 9 hours"),
    ],
)
def test_what_is_wrong_with_lead_times_is_said(ds, told):
    (problem,) = lead_problems(ds, LEADS)
    assert told in problem
    with pytest.raises(InputError, match=told):
        lead_labels(ds, LEADS, tuple(ds.dims))
    assert lead_problems(ds, CARD) == []


def test_times_rounded_by_a_file_are_those_meant():
    given = days()
    later = given.time.values.copy()
    later[2] += np.timedelta64(1, "us")
    assert on_hours(given.assign_coords(time=later), CARD).sizes["time"] == 3 * 24


def test_times_that_are_not_decoded_are_told_of():
    given = days().assign_coords(time=("time", np.arange(5.0), {"units": "days since 2015-02-27"}))
    (told,) = time_problems(given, CARD, ["tas"])
    assert "xr.decode_cf(ds)" in told


def test_a_missing_lead_time_is_no_lead_time():
    steps = np.array([0, "NaT"], "m8[h]").astype("m8[ns]")
    (told,) = lead_problems(forecast(steps), LEADS)
    assert "ds.isel({'step': [0]})" in told
