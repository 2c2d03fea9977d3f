"""Which fields are paired: by the time that they are for, and only where it is known."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xresdiff.engine.moments import time_of_fields
from xresdiff.train.aligning import align

H = np.timedelta64(1, "h")
DAY = pd.date_range("2024-07-01", periods=4, freq="6h")


def times(labels=DAY, **coords):
    """Return a Dataset that has nothing but times."""
    return xr.Dataset(coords={"time": labels}).assign_coords(coords)


def forecast(hours=6, valid=True):
    """Return forecasts of one lead time as cfgrib names them."""
    ds = times(step=hours * H)
    ds.time.attrs.update(standard_name="time", long_name="initial time of forecast")
    if valid:
        ds = ds.assign_coords(valid_time=ds.time + ds.step)
        ds.valid_time.attrs.update(standard_name="time", long_name="time")
    return ds


def aligned(coarse, target, loop=("time",), other=("time",)):
    match, problems = align(coarse, target, loop, other)
    assert problems == []
    return match


def refused(coarse, target, loop=("time",), other=("time",)):
    match, problems = align(coarse, target, loop, other)
    assert match is None
    return "\n".join(problems)


def test_forecasts_are_paired_by_the_time_that_they_are_for():
    match = aligned(forecast(), times())
    assert match.coarse["time"].tolist() == [0, 1, 2]
    assert match.target["time"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(match.labels["time"], DAY[1:])


def test_forecasts_may_be_the_target_too():
    match = aligned(times(), forecast())
    assert match.coarse["time"].tolist() == [1, 2, 3]
    assert match.target["time"].tolist() == [0, 1, 2]


def test_two_forecasts_are_paired_by_the_time_that_they_are_for():
    match = aligned(forecast(12), forecast(6))
    assert match.coarse["time"].tolist() == [0, 1, 2]
    assert match.target["time"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("which", [0, 1])
def test_a_start_or_not_must_be_said(which):
    both = [times(), times()]
    both[which] = forecast(valid=False)
    name = ("coarse", "target")[which]
    told = refused(*both)
    assert f"{name}.assign_coords(valid_time={name}['time'] + {name}['step'])" in told
    assert f"if not: {name}.assign_coords(valid_time={name}['time'])" in told


def test_the_lines_that_say_it_are_right():
    coarse = forecast(valid=False)
    started = coarse.assign_coords(valid_time=coarse["time"] + coarse["step"])
    assert aligned(started, times()).dropped == (1, 1)
    assert aligned(coarse.assign_coords(valid_time=coarse["time"]), times()).dropped == (0, 0)


def test_the_same_step_on_both_sides_needs_no_word():
    assert aligned(forecast(valid=False), forecast(valid=False)).dropped == (0, 0)


def test_a_step_of_nothing_needs_no_word():
    assert aligned(forecast(0, valid=False), times()).dropped == (0, 0)


def leads():
    """Return forecasts of several lead times."""
    ds = times(DAY[:3]).assign_coords(step=[0 * H, 6 * H])
    return ds.assign_coords(valid_time=ds.time + ds.step)


def test_starts_and_steps_are_offered_their_valid_time():
    told = refused(leads(), times(), loop=("time", "step"))
    assert "Take one, coarse.isel({'step': 0}), which is paired by its 'valid_time'" in told
    line = "target.sel({'time': coarse['valid_time']}).assign_coords({'time': coarse['time']})"
    assert line in told


def test_the_line_for_starts_and_steps_is_right():
    coarse, target = leads(), times(number=("time", [0, 1, 2, 3]))
    target = target.assign(x=("time", [0, 1, 2, 3]))
    target = target.sel({"time": coarse["valid_time"]}).assign_coords({"time": coarse["time"]})
    match = aligned(coarse, target, ("time", "step"), ("time", "step"))
    assert match.dropped == (0, 0)
    np.testing.assert_array_equal(target.x.transpose("time", "step"), [[0, 1], [1, 2], [2, 3]])


def test_the_time_of_fields_is_that_of_the_forecast():
    assert time_of_fields(forecast()) == "valid_time"
    assert time_of_fields(leads()) == "valid_time"
    assert time_of_fields(forecast().isel(time=0)) == "valid_time"
    assert time_of_fields(times()) == "time"
    assert time_of_fields(xr.Dataset()) is None


def test_a_time_zone_is_refused():
    zoned = times().assign_coords(time=DAY.tz_localize("UTC"))
    told = refused(zoned, times())
    line = "coarse.assign_coords({'time': coarse.indexes['time'].tz_convert(None)})"
    assert line in told
    mended = zoned.assign_coords({"time": zoned.indexes["time"].tz_convert(None)})
    assert aligned(mended, times()).dropped == (0, 0)


def test_two_times_of_one_second_are_refused():
    near = times(DAY.append(DAY[:1] + pd.Timedelta("300ms")))
    told = refused(times(), near)
    assert "target has more than one time in the second of 2024-07-01 00:00:00" in told


def test_single_fields_of_different_times_are_refused():
    coarse, target = (times().isel(time=i) for i in (0, 1))
    told = refused(coarse, target, (), ())
    assert "coarse is of the time 2024-07-01 00:00:00, the target of 2024-07-01 06:00:00" in told
    assert aligned(coarse, coarse, (), ()).n == 1


def test_single_fields_of_other_calendars_are_compared_as_written():
    target = times([cftime.datetime(2024, 7, 1, calendar="noleap")]).isel(time=0)
    assert aligned(times().isel(time=0), target, (), ()).n == 1
    assert "2024-07-01 06:00:00" in refused(times().isel(time=1), target, (), ())


def test_one_side_without_labels_is_warned_of():
    bare = times().assign(x=("time", range(4))).drop_vars("time")
    with pytest.warns(UserWarning, match="coarse has no labels along 'time'") as caught:
        assert aligned(bare, times()).n == 4
    assert "coarse.assign_coords({'time': target['time']})" in str(caught[0].message)


@pytest.mark.filterwarnings("error")
def test_two_sides_without_labels_are_paired_by_their_places():
    bare = times().assign(x=("time", range(4))).drop_vars("time")
    match = aligned(bare, bare)
    assert match.coarse["time"].tolist() == match.target["time"].tolist() == [0, 1, 2, 3]
