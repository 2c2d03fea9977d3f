"""Units convert by their spelling, lazily, or are refused with the line to type."""

import sys
import warnings

import dask.array
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import UnitsError
from xresdiff.grids.units import convert, factor_offset


def variable(units, values=(1.0, 2.0), **attrs):
    values = np.asarray(values, np.float32)
    return xr.DataArray(values, dims="x", name="tp", attrs={"units": units, **attrs})


@pytest.mark.parametrize(
    ("value", "found", "needed", "expected"),
    [
        (273.15, "K", "degC", 0.0),
        (-40.0, "degrees C", "kelvin", 233.15),
        (-40.0, "degF", "Celsius", -40.0),
        (1013.25, "hPa", "Pa", 101325.0),
        (500.0, "millibar", "hPa", 500.0),
        (10.0, "m s**-1", "m/s", 10.0),
        (1.0, "kg m-2 s-1", "mm h-1", 3600.0),
        (1.0, "kg m**-2 s**-1", "mm/day", 86400.0),
        (36.0, "mm h^-1", "kg m-2 s-1", 0.01),
        (1e-6, "m s-1", "mm h-1", 3.6),
        (24.0, "mm/day", "mm hr-1", 1.0),
        (0.5, "mm/s", "mm h-1", 1800.0),
        (7.0, "g kg-1", "kg kg-1", 0.007),
        (50.0, "%", "1", 0.5),
        (98.0, "m**2 s**-2", "m2 s-2", 98.0),
        (5500.0, "gpm", "m", 5500.0),
        (1.5, "km", "m", 1500.0),
        (40.0, "dBZ", "dBZ", 40.0),
        (3.0, "furlongs", "furlongs", 3.0),
    ],
)
def test_conversions(value, found, needed, expected):
    factor, offset = factor_offset(found, needed)
    assert value * factor + offset == pytest.approx(expected, abs=1e-9)
    back, off = factor_offset(needed, found)
    assert (value * factor + offset) * back + off == pytest.approx(value)


def test_attributes_follow_and_the_variable_stays():
    da = variable("K", standard_name="air_temperature")
    before = da.copy(deep=True)
    converted = convert(da, "degC")
    assert converted.attrs == {"units": "degC", "standard_name": "air_temperature"}
    assert converted.name == "tp"
    assert converted.dtype == np.float32
    xr.testing.assert_identical(da, before)


def test_another_spelling_costs_nothing():
    da = variable("mm/h")
    converted = convert(da, "mm h-1")
    assert converted.units == "mm h-1"
    assert np.shares_memory(converted.values, da.values)


def test_conversion_is_lazy():
    da = variable("K").copy(data=dask.array.ones(2, dtype=np.float32))
    with raise_if_dask_computes():
        converted = convert(da, "degC")
    assert converted.chunks == ((2,),)
    assert converted.compute().dtype == np.float32


@pytest.mark.parametrize(
    ("found", "needed"),
    [("K", "Pa"), ("dBZ", "mm h-1"), ("m2 s-2", "gpm"), ("??", "K"), ("K", "??")],
)
def test_units_that_do_not_convert_are_refused(found, needed):
    with pytest.raises(UnitsError) as error:
        convert(variable(found), needed)
    assert f"'tp' is in '{found}'" in str(error.value)
    assert f"ds['tp'].attrs['units'] = '{needed}'" in str(error.value)
    with pytest.raises(UnitsError, match="do not convert"):
        factor_offset(found, needed)


@pytest.mark.parametrize(
    ("found", "line"), [("mm", "ds['tp'] / hours"), ("m", "ds['tp'] * 1000 / hours")]
)
def test_an_amount_of_rain_is_no_rate(found, line):
    with pytest.raises(UnitsError) as error:
        convert(variable(found), "mm h-1")
    assert f"amount in '{found}'" in str(error.value)
    assert f"({line}).assign_attrs(units='mm h-1')" in str(error.value)


@pytest.mark.parametrize("attrs", [{}, {"units": " "}])
def test_missing_units_are_assumed_with_a_warning(attrs):
    da = xr.DataArray([1.0], dims="x", name="tp", attrs=attrs)
    with pytest.warns(UserWarning, match=r"'tp' has no units, 'mm h-1' is assumed.*ds\['tp'\]"):
        converted = convert(da, "mm h-1")
    assert converted.item() == 1.0
    assert converted.units == "mm h-1"


def test_unusual_units_need_pint(monkeypatch):
    monkeypatch.setitem(sys.modules, "cf_xarray.units", None)
    with pytest.raises(UnitsError):
        factor_offset("knots", "m s-1")


def test_unusual_units_convert_by_pint():
    pytest.importorskip("pint")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pint would like matplotlib
        assert factor_offset("knots", "m s-1") == pytest.approx((0.514444, 0.0), rel=1e-5)
        for nonsense in ("m (", "hours since 2000-01-01", "2", "degrees Z"):
            with pytest.raises(UnitsError):
                factor_offset(nonsense, "m s-1")
        with pytest.raises(UnitsError):  # which pint would take for an angle
            factor_offset("degrees Kelvin", "K")
