"""Amounts become rates where something tells over which time they were summed, lazily."""

import datetime
import re
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import UnitsError
from xresdiff.grids.units import check, convert
from xresdiff.grids.units.accumulations import (
    deaccumulate,
    hours_of,
    interval_of,
    time_bounds_of,
)

AMOUNTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 99)
)
HOURLY = "time: sum (interval: 1 hour)"


def amounts(values, dim="time", coord=None, units="mm", **attrs):
    da = xr.DataArray(np.asarray(values, np.float32), dims=dim, name="tp")
    da.attrs = {"units": units, **attrs}
    return da if coord is None else da.assign_coords({dim: coord})


def times(n, hours):
    return np.datetime64("2020-01-01", "ns") + np.arange(n) * np.timedelta64(hours, "h")


def steps(*hours):
    return np.array(hours).astype("timedelta64[h]").astype("timedelta64[ns]")


def forecast(values, *hours, **attrs):
    return amounts(values, "step", steps(*hours), GRIB_stepType="accum", **attrs)


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("1h", 1.0),
        ("15min", 0.25),
        ("1 day", 24.0),
        (datetime.timedelta(hours=3), 3.0),
        (np.timedelta64(6, "h"), 6.0),
    ],
)
def test_intervals_that_users_type(said, hours):
    assert hours_of(said) == hours
    assert interval_of(amounts([1.0]), said).hours == hours


@pytest.mark.parametrize("said", ["1", "hourly", "-1h", "0h", "", "NaT", 1, 3.5, "1 month"])
def test_what_is_no_interval_is_refused(said):
    with pytest.raises(UnitsError, match=r"accumulation is .*'1h'"):
        check(amounts([1.0]), "mm h-1", accumulation=said)


@pytest.mark.parametrize(
    ("methods", "hours"),
    [
        (HOURLY, 1.0),
        ("area: mean time: sum (interval: 6 hours)", 6.0),
        ("time: sum (interval: 0.5 hr comment: gauges)", 0.5),
        ("time: lat: lon: sum (interval: 10 min)", 1 / 6),
        ("time: sum (interval: 1 day)", 24.0),
    ],
)
def test_cell_methods_tell_the_interval(methods, hours):
    two = np.datetime64("2020-01-01", "ns") + np.arange(2) * np.timedelta64(round(hours * 60), "m")
    interval = interval_of(amounts([1.0, 1.0], coord=two, cell_methods=methods))
    assert interval.hours == pytest.approx(hours)
    assert interval.along is None


@pytest.mark.parametrize(
    "methods",
    [
        "",
        "time: sum",
        "time: mean (interval: 1 hour)",
        "time: point",
        "area: sum (interval: 1 km)",
        "time: sum (interval: 1 month)",
        "time: sum (comment: hourly)",
    ],
)
def test_cell_methods_that_do_not_tell(methods):
    assert interval_of(amounts([1.0, 1.0], coord=times(2, 1), cell_methods=methods)) is None


def test_the_time_may_be_called_otherwise():
    da = amounts([1.0, 1.0], "when", cell_methods="when: sum (interval: 3 hours)")
    da = da.assign_coords(when=("when", times(2, 3), {"standard_name": "time"}))
    assert interval_of(da).hours == 3.0


def test_sums_may_be_of_longer_than_what_was_summed():
    # CF's "interval" is the spacing of the data summed: here perhaps hours, summed over days.
    da = amounts([24.0, 24.0], coord=times(2, 24), cell_methods=HOURLY)
    with pytest.raises(UnitsError, match=r'sum of 1 hour or of 24 h.*accumulation="1h"\) or "24h"'):
        check(da, "mm h-1")
    assert convert(da, "mm h-1", accumulation="24h").values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "da",
    [
        amounts([24.0], coord=times(1, 24), cell_methods=HOURLY),
        amounts([24.0, 24.0], coord=times(2, 24), cell_methods=HOURLY).isel(time=0),
        amounts([24.0], cell_methods=HOURLY),
    ],
)
def test_one_time_does_not_tell_that_a_sum_is_of_what_was_summed(da):
    with pytest.raises(UnitsError, match=r'of 1 hour or of longer.*accumulation="1h"\), or the lo'):
        check(da, "mm h-1")
    assert np.unique(convert(da, "mm h-1", accumulation="24h")) == 1.0


def test_one_time_with_bounds_tells_the_sum():
    ds = bounded([[times(2, 24)[0], times(2, 24)[1]]], cell_methods=HOURLY)
    for one in (ds, ds.isel(time=0)):
        assert interval_of(one.tp, bounds=time_bounds_of(one, "tp")).hours == 24.0


def test_times_along_steps_tell_how_far_apart_sums_are():
    da = forecast([24.0, 24.0], 24, 48, cell_methods=HOURLY)
    da = da.assign_coords(valid_time=("step", times(2, 24)))
    with pytest.raises(UnitsError, match="sum of 1 hour or of 24 h"):
        check(da, "mm h-1")
    assert interval_of(da.assign_coords(valid_time=("step", times(2, 1)))).hours == 1.0


def test_missing_times_do_not_matter():
    da = amounts([1.0, 1.0, 1.0], coord=times(9, 1)[[0, 1, 8]], cell_methods=HOURLY)
    assert interval_of(da).hours == 1.0


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
@pytest.mark.parametrize("lazy", [False, True])
def test_bounds_count_more_than_the_remark(lazy, calendar):
    edges = xr.date_range("2021-01-01", periods=3, freq="24h", calendar=calendar, use_cftime=None)
    ends = [edges[1], edges[2]]
    ds = xr.Dataset(
        {
            "tp": amounts([24.0, 48.0], cell_methods=HOURLY),
            "time_bnds": (("time", "bnds"), [[edges[0], ends[0]], [edges[1], ends[1]]]),
        },
        coords={"time": ("time", ends, {"bounds": "time_bnds"})},
    )
    ds = ds.chunk(time=1, bnds=1) if lazy else ds
    with raise_if_dask_computes():
        rate = convert(ds.tp, "mm h-1", bounds=time_bounds_of(ds, "tp"))
    assert rate.chunks == (((1, 1),) if lazy else None)
    assert rate.dtype == np.float32
    assert rate.values.tolist() == [1.0, 2.0]
    first = convert(ds.isel(time=1).tp, "mm h-1", bounds=time_bounds_of(ds.isel(time=1), "tp"))
    assert first.values == 2.0


def bounded(bounds, **attrs):
    ds = xr.Dataset({"tp": amounts([3.0], **attrs), "b": (("time", "n"), bounds)})
    return ds.assign_coords(time=("time", times(1, 1), {"bounds": "b"}))


def test_bounds_of_what_was_not_summed_do_not_count():
    ds = bounded([[times(2, 1)[0], times(2, 1)[1]]], cell_methods="time: mean")
    assert interval_of(ds.tp, bounds=time_bounds_of(ds, "tp")) is None


def test_bounds_that_are_no_times_do_not_count():
    ds = bounded([[0.0, 1.0]], cell_methods="time: sum")
    assert interval_of(ds.tp, bounds=time_bounds_of(ds, "tp")) is None


def test_bounds_that_fall_are_refused():
    ds = bounded([times(2, 1)[::-1]], cell_methods="time: sum")
    with pytest.raises(UnitsError, match="'b', do not rise"):
        check(ds.tp, "mm h-1", bounds=time_bounds_of(ds, "tp"))


def test_variables_without_bounds():
    ds = bounded([times(2, 1)])
    assert time_bounds_of(ds.drop_vars("b"), "tp") is None
    assert time_bounds_of(ds.drop_vars("time"), "tp") is None


@given(AMOUNTS, st.booleans(), st.sampled_from([0, 1]))
def test_deaccumulation_undoes_the_sum(values, lazy, axis):
    da = xr.DataArray(values, dims=("a", "b"))
    da = da.chunk(1) if lazy else da
    dim = da.dims[axis]
    summed = da.cumsum(dim)
    before = summed.copy()
    with raise_if_dask_computes():
        undone = deaccumulate(summed, dim)
    assert undone.chunks == da.chunks
    xr.testing.assert_identical(undone.astype(np.float32), da)
    xr.testing.assert_identical(summed, before)


@given(AMOUNTS, st.booleans(), st.data())
def test_forecasts_that_sum_from_their_start(values, lazy, data):
    n = values.shape[0]
    lengths = np.array(data.draw(st.lists(st.integers(1, 6), min_size=n, max_size=n)))
    rates = xr.DataArray(values, dims=("step", "x"), coords={"step": steps(*lengths.cumsum())})
    summed = (rates * xr.DataArray(lengths, dims="step")).cumsum("step").astype(np.float32)
    summed = summed.assign_coords(step=rates.step).assign_attrs(units="mm")
    summed = summed.chunk(step=2, x=1) if lazy else summed
    with raise_if_dask_computes():
        found = convert(summed, "mm h-1", accumulation="start")
    assert found.chunks == summed.chunks
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.values, values, rtol=1e-5, atol=1e-4)
    assert (found.step == rates.step).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_growing_amounts_of_grib_are_differenced(lazy):
    da = forecast([6.0, 6.0, 18.0], 3, 6, 12)
    da = da.chunk(step=1) if lazy else da
    with raise_if_dask_computes(), pytest.warns(UserWarning, match="'tp' was taken to be summed"):
        rate = convert(da, "mm h-1")
    assert rate.values.tolist() == [2.0, 0.0, 2.0]


def test_what_is_taken_from_custom_is_warned_of_at_the_line_of_the_user():
    da = forecast([1.0, 2.0, 2.0], 1, 2, 3)  # amounts of one hour each, which happen not to fall
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(da, "mm h-1")  # is silent
    with pytest.warns(UserWarning, match="since the start .*differences along 'step'") as caught:
        convert(da, "mm h-1")
    (told,) = caught
    assert told.filename == __file__
    lines = re.findall(r'ds\.resdiff\.downscale\(accumulation="(\w+)"\)', str(told.message))
    assert lines == ["start", "1h"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates = [convert(da, "mm h-1", accumulation=line).values.tolist() for line in lines]
    assert rates == [[1.0, 1.0, 0.0], [1.0, 2.0, 2.0]]


@pytest.mark.parametrize(
    ("ranges", "rates"), [(["0-1", "0-3"], [1.0, 1.0]), (["0-1", "1-3"], [1.0, 1.5])]
)
def test_what_grib_tells_is_not_warned_of(ranges, rates):
    da = forecast([1.0, 3.0], 1, 3).assign_coords(stepRange=("step", ranges))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convert(da, "mm h-1").values.tolist() == rates


@pytest.mark.parametrize("lazy", [False, True])
def test_amounts_that_fall_were_not_summed_from_the_start(lazy):
    da = forecast([3.0, 1.0, 2.0], 1, 2, 3)  # as ERA5 has them
    da = da.chunk(step=1) if lazy else da
    check(da, "mm h-1")
    falls = r"'tp'.*falls along 'step', by 2 mm.*accumulation=\"1h\""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(UnitsError, match=falls):
            convert(da, "mm h-1").compute()
    assert convert(da, "mm h-1", accumulation="1h").values.tolist() == [3.0, 1.0, 2.0]


def test_sums_that_were_rounded_do_not_fall():
    da = forecast([3.0, 2.99, 3.99], 1, 2, 3)
    with pytest.warns(UserWarning, match="since the start"):
        rate = convert(da, "mm h-1")
    np.testing.assert_allclose(rate.values, [3.0, 0.0, 1.0], rtol=1e-6)


def test_what_is_below_zero_may_fall():
    da = forecast([-0.01, -0.02], 1, 2)  # evaporation
    found = convert(da, "mm h-1", accumulation="start").values
    np.testing.assert_allclose(found, [-0.01, -0.01], rtol=1e-5)


@pytest.mark.parametrize(
    "da",
    [
        amounts([1.0, 2.0], "step", steps(1, 2)),  # does not say that it was summed
        forecast([1.0], 6),  # a mistake would not show
        forecast([1.0, 2.0], 9, 12),  # the first steps are gone
        forecast([1.0, 2.0], 1, 2, units="J m-2"),  # radiation may rise by itself
        forecast([1.0, 2.0], 1, 2).isel(step=0),
        forecast([1.0, 2.0], 1, 2).drop_vars("step"),
    ],
)
def test_steps_that_do_not_tell(da):
    needed = "W m-2" if da.units == "J m-2" else "mm h-1"
    with pytest.raises(UnitsError, match="is an amount"):
        check(da, needed)


def test_the_refusal_names_the_start_where_there_are_steps():
    with pytest.raises(UnitsError, match=r'accumulation="start"'):
        check(forecast([1.0], 6), "mm h-1")


def test_a_single_step_since_the_start():
    da = forecast([12.0, 18.0], 6, 9).isel(step=0)
    assert convert(da, "mm h-1", accumulation="start").item() == 2.0


def test_steps_without_times_are_no_steps_since_the_start():
    with pytest.raises(UnitsError, match=r"no steps with a unit of time.*assign_coords"):
        check(amounts([1.0], "step", [1]), "mm h-1", accumulation="start")


@pytest.mark.parametrize(("unit", "value"), [("hours", 6), ("minutes", 360), ("h", 6)])
def test_steps_in_numbers(unit, value):
    da = amounts([12.0, 24.0], "lead")
    attrs = {"standard_name": "forecast_period", "units": unit}
    da = da.assign_coords(lead=("lead", [value, 2 * value], attrs))
    assert convert(da, "mm h-1", accumulation="start").values.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("name", ["lead_time", "prediction_timedelta", "leadtime", "step", "odd"])
def test_steps_by_any_name(name):
    standard_name = {"standard_name": "forecast_period"} if name == "odd" else {}
    da = amounts([12.0, 24.0], name).assign_coords({name: (name, steps(6, 12), standard_name)})
    assert convert(da, "mm h-1", accumulation="start").values.tolist() == [2.0, 2.0]
    one = da.isel({name: 1})
    assert convert(one, "mm h-1", accumulation="start").item() == 2.0


@pytest.mark.parametrize("names", [("lead", "step"), ("step", "lead")])
def test_steps_along_a_dimension_count_more_than_one_beside(names):
    along, beside = names
    da = amounts([12.0, 24.0], along).assign_coords({beside: steps(6)[0], along: steps(6, 12)})
    assert convert(da, "mm h-1", accumulation="start").values.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("order", [(2, 1), (1, 1)])
def test_steps_that_do_not_rise_are_refused(order):
    with pytest.raises(UnitsError, match=r"'step', do not rise.*sortby\('step'\)"):
        check(forecast([1.0, 2.0], *order), "mm h-1")


def test_there_is_no_rate_at_step_zero():
    da = forecast([0.0, 2.0, 5.0], 0, 1, 2)
    with pytest.raises(UnitsError, match=r"step=0.*ds\.isel\(step=slice\(1, None\)\)"):
        check(da, "mm h-1")
    later = da.isel(step=slice(1, None))  # the line works
    assert convert(later, "mm h-1", accumulation="start").values.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("attrs", "rate"),
    [
        ({"GRIB_stepRange": "0-1"}, 12.0),
        ({"GRIB_stepRange": "6-12"}, 2.0),
        ({"GRIB_stepRange": "0-60", "GRIB_stepUnits": 0}, 12.0),
        ({"GRIB_stepRange": "0-1", "GRIB_stepUnits": 2}, 0.5),
    ],
)
def test_grib_tells_its_range_of_steps(attrs, rate):
    assert convert(forecast([12.0], 12, **attrs), "mm h-1").values.tolist() == [rate]


@pytest.mark.parametrize(
    ("ranges", "rates"),
    [
        (["0-1", "1-2", "2-3"], [6.0, 12.0, 18.0]),  # ERA5
        (["0-3", "0-6", "0-9"], [2.0, 2.0, 2.0]),  # ECMWF
        (["0-3", "0-6", "6-9"], [2.0, 2.0, 6.0]),  # GEFS
    ],
)
def test_grib_tells_every_range_of_steps(ranges, rates):
    da = forecast([6.0, 12.0, 18.0], 3, 6, 9).assign_coords(stepRange=("step", ranges))
    assert convert(da, "mm h-1").values.tolist() == rates


@pytest.mark.parametrize("told", ["12", "0-0", "0-30m", "later"])
def test_ranges_that_do_not_tell(told):
    assert interval_of(forecast([1.0], 12, GRIB_stepRange=told)) is None


def test_what_was_not_summed_has_no_interval():
    da = forecast([1.0], 12, GRIB_stepRange="0-6").assign_attrs(GRIB_stepType="max")
    assert interval_of(da) is None


def rain_of_days(hours=1, days=4, seed=0):
    """Return rain of every interval (mm), with dry spells, as (time, x), from 00 UTC on."""
    n = 24 // hours * days + 1
    rng = np.random.default_rng(seed)
    fell = rng.gamma(0.5, 2.0, (n, 20)) * (rng.random((n, 1)) < 0.7)
    da = xr.DataArray(fell.astype("f4"), dims=("valid_time", "x"), name="tp")
    return da.assign_coords(valid_time=times(n, hours)).assign_attrs(units="mm")


def since_midnight(fell):
    """Sum the rain of every day, 00 UTC being the end of one, as ERA5-Land does."""
    day = (fell.valid_time - np.timedelta64(1, "s")).dt.floor("D").rename("day")
    sums = fell.groupby(day).cumsum().drop_vars("day", errors="ignore")
    return sums.astype("f4").assign_attrs(fell.attrs)


def line_in(message):
    return re.search(r"ds = (ds\.assign.*\)\}\))", message)[1]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("hours", "start"), [(1, 0), (1, 1), (1, 7), (1, 24), (3, 0), (6, 2)])
@pytest.mark.parametrize("attrs", [{}, {"GRIB_stepType": "accum"}])
def test_the_refusal_has_the_line_for_sums_since_midnight(hours, start, lazy, attrs):
    fell = rain_of_days(hours)
    ds = since_midnight(fell).assign_attrs(attrs).isel(valid_time=slice(start, None)).to_dataset()
    ds = ds.chunk() if lazy else ds
    with pytest.raises(
        UnitsError, match=rf'"{hours}h"\).*; but if it grows through the day'
    ) as error:
        check(ds.tp, "mm h-1")
    with raise_if_dask_computes():
        taken = eval(line_in(str(error.value)), {"ds": ds})
        rate = convert(taken.tp, "mm h-1", accumulation=f"{hours}h")
    assert rate.dims == fell.dims
    assert rate.dtype == np.float32
    expected = (fell / hours).isel(valid_time=slice(start + 1, None))
    xr.testing.assert_allclose(rate.drop_attrs(), expected.drop_attrs(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("da", "says"),
    [
        (amounts([1.0], coord=times(1, 1)), "it is the sum since 00 UTC, not of an hour"),
        (amounts([1.0, 2.0], coord=times(2, 1)).isel(time=0), "the sum since 00 UTC"),
        (amounts([1.0, 2.0], coord=times(2, 24)), ""),  # sums of days are sums of days
        (forecast([1.0], 6), ""),
    ],
)
def test_what_else_is_said_of_sums_since_midnight(da, says):
    with pytest.raises(UnitsError) as error:
        check(da, "mm h-1")
    assert says in str(error.value)
    assert ("grows through the day" in str(error.value)) == bool(says)


def test_the_cell_methods_are_offered_where_they_would_do():
    for apart, offered in ((1, True), (3, False)):
        with pytest.raises(UnitsError) as error:
            check(amounts([1.0, 2.0], coord=times(2, apart)), "mm h-1")
        assert ("'time: sum (interval: 1 hour)'" in str(error.value)) == offered


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
@pytest.mark.parametrize("hours", [1, 3])
def test_sums_since_midnight_are_warned_of(hours, calendar):
    da = since_midnight(rain_of_days(hours))
    when = xr.date_range(
        "2021-01-01",
        periods=da.sizes["valid_time"],
        freq=f"{hours}h",
        calendar=calendar,
        use_cftime=None,
    )
    da = da.assign_coords(valid_time=when)
    with pytest.warns(UserWarning, match="grows through the day and falls after 00 UTC") as caught:
        convert(da, "mm h-1", accumulation=f"{hours}h")
    (told,) = caught
    assert told.filename == __file__
    taken = eval(line_in(str(told.message)), {"ds": da.to_dataset()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(taken.tp, "mm h-1", accumulation=f"{hours}h")


@given(seed=st.integers(0, 999), hours=st.sampled_from([1, 3, 6]), wet=st.sampled_from([1, 20]))
def test_rain_is_not_taken_for_sums_since_midnight(seed, hours, wet):
    fell = rain_of_days(hours, seed=seed).isel(x=slice(wet))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(fell, "mm h-1", accumulation=f"{hours}h")


@pytest.mark.parametrize(
    "change",
    [
        lambda da: da.isel(valid_time=slice(5, 27)),  # less than a day
        lambda da: da.isel(valid_time=slice(1, 25)),  # which never falls
        lambda da: da * 0,
        lambda da: since_midnight((da * 0).where(da.valid_time.dt.hour != 5, 3)),  # may be chance
        lambda da: da.where(da.valid_time.dt.hour != 5, da + 1),  # falls within the days
        lambda da: da.assign_coords(valid_time=da.valid_time + np.timedelta64(2, "h")),
        lambda da: da.chunk(valid_time=1),
        lambda da: da.isel(valid_time=[*range(30), *range(31, 60)]),
    ],
)
def test_what_is_not_sure_to_be_sums_since_midnight_is_not_warned_of(change):
    da = change(since_midnight(rain_of_days())).assign_attrs(units="mm")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        convert(da, "mm h-1", accumulation="1h")
