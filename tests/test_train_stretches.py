"""Inputs and outputs of one quantity that are over other hours are not paired in silence."""

import warnings

import numpy as np
import pytest
import xarray as xr

from xresdiff.train.channels import choose

H = np.timedelta64(1, "h")


def side(every=1, over=None, methods="", units="mm", name="tp"):
    """Return fields every so many hours, with bounds that are so many hours apart."""
    time = np.datetime64("2024-07-01", "ns") + every * H * np.arange(4)
    ds = xr.Dataset(coords={"time": time, "lat": [50.0, 51.0], "lon": [5.0, 6.0]})
    ds[name] = (("time", "lat", "lon"), np.ones((4, 2, 2)), {"units": units})
    if methods:
        ds[name].attrs["cell_methods"] = methods
    if over is not None:
        ds["time_bnds"] = (("time", "bnds"), np.stack([time - over * H, time], 1))
        ds.time.attrs["bounds"] = "time_bnds"
    return ds


def told(coarse, target, **given):
    """Return the problems, and fail if there is a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return choose(coarse, target, **given)[1]


def test_sums_over_other_hours_are_refused():
    (problem,) = told(side(1, 1, "time: sum"), side(3, 3, "time: sum"))
    assert "'tp' is not over the same time" in problem
    assert "coarse['tp'] is of cell methods 'time: sum', over 1 h" in problem
    assert "target['tp'] is of cell methods 'time: sum', over 3 h" in problem
    assert "coarse.resample({'time': '3h'}).sum()" in problem


def test_rates_that_are_means_over_other_hours_are_refused():
    rate = {"methods": "time: mean", "units": "mm h-1"}
    (problem,) = told(side(3, 3, **rate), side(1, 1, **rate))
    assert "target.resample({'time': '3h'}).mean()" in problem


def test_amounts_that_become_rates_count_too():
    hourly = side(1, methods="time: sum (interval: 1 hour)")
    (problem,) = told(hourly, side(3, 3, "time: mean", units="mm h-1"))
    assert "over 1 h" in problem
    assert "over 3 h" in problem


@pytest.mark.parametrize("methods", ["time: sum", "time: mean"])
def test_the_same_hours_are_let_through(methods):
    assert told(side(1, 3, methods), side(3, 3, methods)) == []


def test_a_sum_and_a_mean_over_the_same_hours_are_let_through():
    assert told(side(1, 1, "time: sum"), side(1, 1, "time: mean", units="mm h-1")) == []


def test_values_of_a_moment_with_means_are_warned_of():
    warm = {"units": "K", "name": "t2m"}
    with pytest.warns(UserWarning, match="'t2m' is paired with another quantity") as caught:
        assert (
            choose(side(1, None, "time: point", **warm), side(24, 24, "time: mean", **warm))[1]
            == []
        )
    assert "coarse.resample({'time': '24h'}).mean()" in str(caught[0].message)


def test_a_maximum_with_a_minimum_is_warned_of():
    warm = {"units": "K", "name": "t2m"}
    with pytest.warns(UserWarning, match="another quantity"):
        choose(side(1, None, "time: maximum", **warm), side(1, None, "time: minimum", **warm))


def test_amounts_of_unknown_hours_are_warned_of_where_their_times_differ():
    with pytest.warns(UserWarning, match="coarse has times 1 h apart, the target 3 h"):
        assert choose(side(1), side(3))[1] == []


@pytest.mark.parametrize(
    ("coarse", "target", "given"),
    [
        (side(1), side(1), {}),
        (side(1), side(3), {"accumulation": "1h"}),
        (side(1, units="K", name="t2m"), side(3, units="K", name="t2m"), {}),
        (side(1, units="m", name="z"), side(3, units="m", name="z"), {}),
        (side(1), side(1, None, "time: point", "K", "t2m"), {}),
    ],
    ids=["same", "told", "moments", "heights", "others"],
)
def test_what_is_nothing_to_warn_of(coarse, target, given):
    assert told(coarse, target, **given) == []
