"""Units convert by their spelling, lazily, or are refused with the line to type."""

import sys
import warnings
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import UnitsError
from xresdiff.grids.units import (
    check,
    convert,
    factor_offset,
    is_difference,
    spellings,
)

SPELLINGS = [spelling for unit in spellings.TABLE for spelling in unit.spellings]

# What files of ERA5 (netCDF and GRIB), CMIP6, HRRR, radar composites and UDUNITS say, in CF.
REAL = {
    "K": ["K", "Kelvin", "kelvin", "degK", "KELVIN"],
    "degC": ["degC", "degrees C", "degree_Celsius", "degrees_celsius", "deg_C", "Celsius", "°C"],
    "Pa": ["Pa", "Pascal", "pascals"],
    "hPa": ["hPa", "mb", "mbar", "millibars", "Millibar"],
    "Pa s-1": ["Pa s-1", "Pa s**-1", "Pa/s", "Pa s^-1"],
    "m s-1": [
        "m s-1",
        "m/s",
        "m s**-1",
        "m s^-1",
        "m.s-1",
        "m·s⁻¹",
        "m s⁻¹",
        "m s^{-1}",
        "m s^(-1)",
    ],
    "knot": ["knots", "kt", "kts", "Knots"],
    "kg kg-1": ["kg kg-1", "kg kg**-1", "kg/kg"],
    "g kg-1": ["g kg-1", "g/kg", "g kg^-1"],
    "m2 s-2": ["m2 s-2", "m**2 s**-2", "m^2 s^-2", "m2/s2", "m²/s²", "J kg-1", "J kg**-1"],
    "gpm": ["gpm", "geopotential_meters"],
    "m": ["m", "metres", "Meters"],
    "mm": ["mm", "millimeters"],
    "kg m-2": ["kg m-2", "kg m**-2", "kg/m2", "kg.m-2", "kg/m^2", "kg m⁻²"],
    "kg m-2 s-1": [
        *("kg m-2 s-1", "kg m**-2 s**-1", "kg.m-2.s-1", "kg m^-2 s^-1", "kg/m2/s", "kg/m^2/s"),
        *("kg/(m^2 s)", "kg / (m**2 s)", "kg s-1 m-2", "kg m⁻² s⁻¹", "kg*m-2*s-1"),
    ],
    "mm h-1": ["mm h-1", "mm/h", "mm/hr", "mm hr-1", "mm hour-1", "mm/hour", "mm h**-1"],
    "mm day-1": ["mm d-1", "mm/day", "mm day**-1"],
    "m of water equivalent": ["m of water equivalent", "m of water"],
    "inch": ["in", "inches", "Inches"],
    "W m-2": ["W m-2", "W m**-2", "W/m2", "W/m^2", "W.m-2", "J m-2 s-1"],
    "J m-2": ["J m-2", "J m**-2", "J/m^2"],
    "dBZ": ["dBZ", "dbz", "DBZ"],
    "%": ["%", "percent"],
    "(0 - 1)": ["(0 - 1)", "0-1", "(0-1)", "fraction"],
    "1": ["1", "dimensionless"],
}


@pytest.mark.parametrize(
    ("found", "needed"), [(found, needed) for needed, all_ in REAL.items() for found in all_]
)
def test_spellings_of_files(found, needed):
    assert factor_offset(found, needed) == (1.0, 0.0)


def test_no_spelling_is_in_the_table_twice():
    words = [" ".join(sorted(spelling.split())) for spelling in SPELLINGS]
    assert sorted(words) == sorted(set(words))
    assert all(spellings.plain(spelling) == spelling for spelling in SPELLINGS)


@given(st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS), st.floats(-1e6, 1e6))
def test_conversions_are_undone_by_their_reverse(a, b, value):
    try:
        factor, offset = factor_offset(a, b)
    except UnitsError:
        with pytest.raises(UnitsError):
            factor_offset(b, a)
        return
    back, back_offset = factor_offset(b, a)
    assert factor * back == pytest.approx(1.0)
    assert (value * factor + offset) * back + back_offset == pytest.approx(value, abs=1e-9)


def refusal(call):
    """Return what an error of units says, None if there is none."""
    try:
        call()
    except UnitsError as error:
        return str(error)
    return None


@given(st.sampled_from(SPELLINGS), st.sampled_from(SPELLINGS), st.booleans())
def test_checks_and_conversions_agree_and_leave_the_variable_as_it_was(a, b, lazy):
    da = variable(a)
    da = da.chunk() if lazy else da
    before = da.copy(deep=True)
    with raise_if_dask_computes():
        refused = refusal(lambda: check(da, b, accumulation="1h"))
        assert refusal(lambda: convert(da, b, accumulation="1h")) == refused
        if refused is None:
            converted = convert(da, b, accumulation="1h")
            assert (converted.chunks is not None) == lazy
            assert converted.dtype == np.float32
            assert converted.attrs == {"units": b}
    xr.testing.assert_identical(da, before)


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
        (900.0, "knots", "m/s", 463.0),
        (36.0, "km/h", "m s-1", 10.0),
        (2.5, "kg m-2", "mm", 2.5),
        (0.002, "m of water equivalent", "kg m-2", 2.0),
        (2.0, "inches", "mm", 50.8),
        (1.8, "delta_degF", "delta_K", 1.0),
        (50.0, "%", "(0 - 1)", 0.5),
        (552.0, "gpdm", "gpm", 5520.0),
        (1.0, "hPa s-1", "Pa s**-1", 100.0),
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
    [
        *(("K", "Pa"), ("??", "K"), ("K", "??")),
        *(("dBZ", "mm h-1"), ("dBZ", "1")),  # reflectivity is no rain, and no number
        *(("%", "kg kg-1"), ("gpm", "mm"), ("kt", "mm h-1"), ("km", "kg m-2")),  # not by size alone
        *(("mm h-1", "mm"), ("W m-2", "J m-2"), ("gpm", "mm h-1")),  # rates are no amounts
    ],
)
def test_units_that_do_not_convert_are_refused(found, needed):
    with pytest.raises(UnitsError) as error:
        convert(variable(found), needed)
    assert f"'tp' is in '{found}'" in str(error.value)
    assert f"ds['tp'].attrs['units'] = '{needed}'" in str(error.value)
    with pytest.raises(UnitsError, match="do not convert"):
        factor_offset(found, needed)


@pytest.mark.parametrize("found", ["mm", "m", "kg m**-2", "m of water equivalent"])
def test_amounts_of_unknown_intervals_are_no_rates(found):
    with pytest.raises(UnitsError) as error:
        convert(variable(found), "mm h-1")
    assert f"'tp' is an amount in '{found}', a rate in 'mm h-1' is needed" in str(error.value)
    assert 'ds.resdiff.downscale(accumulation="1h")' in str(error.value)


@pytest.mark.parametrize(
    ("value", "found", "needed", "accumulation", "expected"),
    [
        (6.0, "mm", "mm h-1", "6h", 1.0),
        (0.001, "m", "mm h-1", "1h", 1.0),
        (3.6, "kg m-2", "kg m-2 s-1", "1h", 0.001),
        (7.2, "m", "m s-1", "2h", 0.001),
        (24.0, "mm", "mm day-1", "15min", 2304.0),
        (3600.0, "J m**-2", "W m**-2", "1h", 1.0),
        (86.4, "MJ m-2", "W m-2", "1D", 1000.0),
        (1.0, "inch", "mm/h", "1h", 25.4),
    ],
)
def test_amounts_over_an_interval_are_rates(value, found, needed, accumulation, expected):
    da = variable(found, [value, 0.0])
    rate = convert(da, needed, accumulation=accumulation)
    np.testing.assert_allclose(rate.values, [expected, 0.0], rtol=1e-6)
    assert rate.dtype == np.float32
    assert rate.units == needed


def test_rates_ignore_the_interval():
    da = variable("mm h-1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert convert(da, "mm h-1", accumulation="6h").identical(da)


def test_what_is_untrue_of_a_rate_goes():
    da = variable(
        "m",
        cell_methods="area: mean time: sum (interval: 1 hour) realization: mean",
        standard_name="lwe_thickness_of_precipitation_amount",
        GRIB_stepType="accum",
        source="ERA5",
    )
    hours = np.array(["2020-01-01T00", "2020-01-01T01"], "M8[ns]")
    da = da.assign_coords(time=("x", hours, {"standard_name": "time"}))
    assert convert(da, "mm h-1").attrs == {
        "units": "mm h-1",
        "cell_methods": "area: mean time: mean realization: mean",
        "source": "ERA5",
    }


DIFFERENCES = [
    {"units_metadata": "temperature: difference"},
    {"standard_name": "air_temperature_anomaly"},
    {"standard_name": "dew_point_depression"},
    {"standard_name": "air_temperature standard_error"},
    {"cell_methods": "area: mean time: range"},
    {"cell_methods": "time: standard_deviation (interval: 1 hour)"},
    {"long_name": "Temperature Anomaly"},
    {"GRIB_stepType": "diff"},
]


@pytest.mark.parametrize("attrs", DIFFERENCES)
def test_differences_convert_without_an_offset(attrs):
    converted = convert(variable("degC", **attrs), "K")
    assert converted.values.tolist() == [1.0, 2.0]
    assert converted.attrs == {"units": "K", **attrs}


@pytest.mark.parametrize("units", ["delta_degC", "delta K", "delta_kelvin"])
def test_units_of_differences(units):
    assert convert(variable(units), "delta_K").values.tolist() == [1.0, 2.0]


def channel(units="K", standard_name="air_temperature", cell_methods=""):
    return SimpleNamespace(units=units, standard_name=standard_name, cell_methods=cell_methods)


@pytest.mark.parametrize("attrs", DIFFERENCES)
def test_differences_are_no_temperatures(attrs):
    da = variable("degC", **attrs)
    with pytest.raises(
        UnitsError, match=r"'tp' is a difference of temperatures in 'degC'.*add"
    ) as e:
        convert(da, channel())
    assert "ds['tp'].attrs['units_metadata'] = 'temperature: on_scale'" in str(e.value)
    anomaly = channel(standard_name="air_temperature_anomaly")
    assert convert(da, anomaly).values.tolist() == [1.0, 2.0]
    on_scale = da.assign_attrs(units_metadata="temperature: on_scale")
    assert convert(on_scale, channel())[0] == np.float32(274.15)


def test_units_of_differences_are_no_temperatures():
    with pytest.raises(UnitsError, match=r"difference of temperatures.*attrs\['units'\] = 'K'"):
        convert(variable("delta_degC"), channel())


@pytest.mark.parametrize(
    "needed",
    [
        "delta_degC",
        channel("delta_K"),
        channel(standard_name="surface_temperature_anomaly"),
        channel(cell_methods="time: range"),
    ],
)
def test_temperatures_are_no_differences(needed):
    with pytest.raises(UnitsError, match=r"'tp' is a temperature in 'K'.*subtract") as error:
        convert(variable("K"), needed)
    assert "= 'temperature: difference'" in str(error.value)


def test_only_the_methods_tell_of_differences():
    told = "time: mean (comment: range of stations)"
    assert not is_difference({"units": "K", "cell_methods": told, "long_name": "Temperature"})


@pytest.mark.parametrize(
    ("found", "needed", "line"),
    [
        ("m", "m2 s-2", "(ds['tp'] * 9.80665).assign_attrs(units='m2 s-2')"),
        ("gpm", "m**2 s**-2", "(ds['tp'] * 9.80665).assign_attrs(units='m2 s-2')"),
        ("km", "m2 s-2", "(ds['tp'] * 1000 * 9.80665).assign_attrs(units='m2 s-2')"),
        ("m2 s-2", "gpm", "(ds['tp'] / 9.80665).assign_attrs(units='m')"),
    ],
)
def test_heights_are_no_geopotential(found, needed, line):
    with pytest.raises(UnitsError) as error:
        convert(variable(found), needed)
    assert f"ds['tp'] = {line}" in str(error.value)
    tp = variable(found)
    tp = eval(line, {"ds": {"tp": tp}})
    check(tp, needed)  # the line works


@pytest.mark.parametrize("attrs", [{}, {"units": " "}, {"units": "~"}, {"units": "unknown"}])
def test_missing_units_are_assumed_with_a_warning(attrs):
    da = xr.DataArray([1.0], dims="x", name="tp", attrs=attrs)
    with pytest.warns(UserWarning, match=r"'tp' has no units, 'mm h-1' is assumed.*ds\['tp'\]"):
        converted = convert(da, "mm h-1")
    assert converted.item() == 1.0
    assert converted.units == "mm h-1"


def test_missing_units_are_told_once_of_a_variable():
    bare = xr.DataArray([1.0], dims="x", name="t")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for name in ("t", "t", "q"):
            check(bare.rename(name), "K")
            convert(bare.rename(name), "K")
    assert [str(one.message).split()[1] for one in told] == ["'t'", "'q'"]


def test_unusual_units_need_pint(monkeypatch):
    monkeypatch.setitem(sys.modules, "cf_xarray.units", None)
    with pytest.raises(UnitsError):
        factor_offset("ft s-1", "m s-1")


def test_unusual_units_convert_by_pint():
    pytest.importorskip("pint")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pint would like matplotlib
        assert factor_offset("ft s-1", "m s-1") == pytest.approx((0.3048, 0.0), rel=1e-5)
        for nonsense in ("m (", "hours since 2000-01-01", "2", "degrees Z"):
            with pytest.raises(UnitsError):
                factor_offset(nonsense, "m s-1")
        with pytest.raises(UnitsError):  # which pint would take for an angle
            factor_offset("degrees Rankine", "K")
