"""Channels are found on their pressure levels, whichever shape the levels have."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tests import layouts
from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.grids.coords.levels import Found, find_channel, missing_levels, take

ERA5 = Path(__file__).parents[2] / "shared/era5-levels/era5_levels_members_2017-01.nc"


@dataclass(frozen=True)
class Channel:
    name: str = "t"
    level_Pa: float | None = None
    aliases: tuple[str, ...] = ("ta", "temperature")
    standard_name: str = "air_temperature"
    cell_methods: str = ""


def t(hPa, **changes):
    return Channel(level_Pa=None if hPa is None else 100.0 * hPa, **changes)


def on_levels(values, dim="level", name="t", attrs=None, variable=None):
    """Make a Dataset whose values are the places along its levels."""
    values = np.asarray(values)
    data = (dim, np.arange(values.size, dtype=np.float32), variable or {})
    return xr.Dataset({name: data}, coords={dim: (dim, values, attrs or {})})


def value(ds, channel):
    found = find_channel(ds, channel)
    return None if found is None else take(ds, found).compute().item()


@pytest.mark.parametrize(
    ("dim", "values", "units"),
    [
        ("isobaricInhPa", [850.0, 500.0], "hPa"),
        ("pressure_level", [850.0, 500.0], "hPa"),
        ("plev", [85000.0, 50000.0], "Pa"),
        ("level", [850, 500], "millibars"),
        ("lev", [850.0, 500.0], "mb"),
        ("isobaric3", np.array([85000, 50000], np.float32), "Pa"),
        ("level", [850, 500], None),
        ("lev", [85000.0, 50000.0], None),
        ("isobaricInPa", [850.0, 500.0], None),
        ("plev", [850.0, 500.0], None),
    ],
)
@pytest.mark.parametrize("down", [1, -1])
def test_a_dimension_of_pressures(dim, values, units, down):
    ds = on_levels(values, dim, attrs={"units": units} if units else {})[
        {dim: slice(None, None, down)}
    ]
    scale = 0.01 if dim == "isobaricInPa" else 1
    assert value(ds, t(850 * scale)) == 0
    assert value(ds, t(500 * scale)) == 1
    assert find_channel(ds, t(700 * scale)) is None
    assert find_channel(ds, t(500 * scale)).level == (dim, 1 if down > 0 else 0)


@pytest.mark.parametrize(
    ("name", "scalar", "units", "hPa"),
    [
        ("level", 500, None, 500),
        ("level", 500, "hPa", 500),
        ("isobaricInhPa", 500.0, None, 500),
        ("plev", 50000.0, None, 500),
        ("plev", 500.0, None, 5),  # as CMIP has it
        ("pressure", 50000.0, None, 500),
    ],
)
def test_a_scalar_pressure(name, scalar, units, hPa):
    ds = xr.Dataset({"t": 7.0}, coords={name: ((), scalar, {"units": units} if units else {})})
    assert find_channel(ds, t(hPa)) == Found("t")
    assert name not in take(ds, Found("t")).coords
    assert find_channel(ds, t(850)) is None


@pytest.mark.parametrize("layout", ["era5_old", "era5_new", "cfgrib_forecast", "weatherbench"])
def test_selecting_a_level_keeps_it_found(layout):
    ds = layouts.LAYOUTS[layout]().ds
    dim = layouts.LAYOUTS[layout]().roles["pressure"]
    channel = t(500)
    whole = take(ds, find_channel(ds, channel))
    one = ds.sel({dim: 500})
    assert find_channel(one, t(850)) is None
    xr.testing.assert_identical(take(one, find_channel(one, channel)), whole)
    few = ds.sel({dim: [500]})
    xr.testing.assert_identical(take(few, find_channel(few, channel)), whole)


@pytest.mark.parametrize(
    "name", ["t850", "t_850", "t850hPa", "t_850hPa", "ta850", "temperature_850"]
)
def test_a_variable_for_each_level(name):
    ds = xr.Dataset({name: 3.0, "t500": 4.0, "t_8500": 5.0})
    assert find_channel(ds, t(850)) == Found(name)


@pytest.mark.parametrize(("hPa", "name"), [(1000, "t1000"), (92.5, "t92.5"), (0.5, "t_0.5hPa")])
def test_levels_in_names_are_written_plainly(hPa, name):
    assert find_channel(xr.Dataset({name: 1.0}), t(hPa)) == Found(name)


def test_names_of_levels_have_case():
    assert find_channel(xr.Dataset({"T850": 1.0}), t(850)) is None
    assert find_channel(xr.Dataset({"T850": 1.0}), t(850, aliases=("T",))) == Found("T850")


def test_the_level_in_a_name_tells_more_than_a_coordinate_of_all():
    ds = xr.Dataset({"t850": 1.0, "t500": 2.0}, coords={"level": 500})
    assert value(ds, t(850)) == 1
    assert "level" not in take(ds, Found("t850")).coords


@pytest.mark.parametrize(
    "ds",
    [
        xr.Dataset({"u10": ((), 1.0, {"long_name": "10 metre U wind component"})}),
        xr.Dataset({"u10": ((), 1.0, {"long_name": "zonal wind at 10 m"})}),
        xr.Dataset({"u10": ((), 1.0, {"GRIB_typeOfLevel": "heightAboveGround"})}),
        xr.Dataset({"u10": 1.0}, coords={"h": ((), 10.0, {"standard_name": "height"})}),
    ],
)
def test_wind_at_ten_metres_is_not_at_ten_hectopascals(ds):
    u10 = Channel("u", 1000.0, (), "eastward_wind")
    assert find_channel(ds, u10) is None
    assert find_channel(ds.rename(u10="u10hPa").drop_vars("h", errors="ignore"), t(10)) is None
    other = xr.Dataset({"u10": ((), 1.0, {"long_name": "U at 10 mb"})}, ds.coords)
    assert find_channel(other.drop_vars("h", errors="ignore"), u10) == Found("u10")


@pytest.mark.parametrize("name", ["u10", "u100", "u200", "u_100", "v100"])
def test_winds_that_may_be_at_so_many_metres_are_not_taken(name):
    hPa = float(name.strip("uv_"))
    wind = Channel(name[0], 100 * hPa, (), "eastward_wind")
    ds = xr.Dataset({name: ((), 1.0, {"units": "m s-1", "long_name": "wind"})}, {"level": 500})
    assert find_channel(ds, wind) is None
    lacks, why = missing_levels(ds, [wind])
    assert f"{wind.name!r} lacks the level {hPa:g} hPa" in lacks
    assert f"{name!r} is not taken for {wind.name!r} at {hPa:g} hPa: nothing tells a" in why
    ds = eval(why.partition("If not: ")[2], {"ds": ds})  # the line works
    assert value(ds, wind) == 1


@pytest.mark.parametrize(
    "ds",
    [
        xr.Dataset({"u100": ((), 1.0, {"long_name": "U at 100 hPa"})}),
        xr.Dataset({"u100": ((), 1.0, {"GRIB_typeOfLevel": "isobaricInhPa"})}),
        xr.Dataset({"u100": ((), 1.0, {"pressure_level": 100})}),
        xr.Dataset({"u100": 1.0}, {"plev": 10000.0}),
        xr.Dataset({"u100": ("plev", [1.0])}, {"plev": [10000.0]}),
        xr.Dataset({"u100hPa": 1.0}),
    ],
)
def test_winds_of_which_something_tells_a_pressure_are_taken(ds):
    assert value(ds, Channel("u", 1e4, (), "eastward_wind")) == 1


def test_winds_between_those_levels_are_taken_by_their_name():
    ds = xr.Dataset({"u150": 1.0, "t100": 2.0})
    assert value(ds, Channel("u", 1.5e4, (), "eastward_wind")) == 1
    assert value(ds, t(100)) == 2


TOLD = {"standard_name": "air_temperature"}
T2M = Channel("t2m", None, ("2t",))


def at_height(value, name="height", name_of_variable="ta500m", **attrs):
    return xr.Dataset({name_of_variable: ((), 5.0, TOLD)}, {name: ((), value, attrs)})


@pytest.mark.parametrize(
    "ds",
    [
        at_height(500.0, units="m"),
        at_height(500.0),
        at_height(0.5, units="km"),
        at_height(100, "heightAboveGround"),
        at_height(100.0, "altitude", units="m"),
        at_height(21.0, "h", standard_name="height", units="m"),
        at_height(500.0).expand_dims("height"),
    ],
)
def test_what_is_high_above_is_not_near_the_surface(ds):
    assert find_channel(ds, T2M) is None
    (text,) = missing_levels(ds, [T2M])
    assert re.search(r"'ta500m' is not taken for 't2m'.*: it is at a height of \d+ m\.", text)
    renamed = eval(text.partition("meant: ")[2], {"ds": ds})  # the line works
    assert find_channel(renamed, T2M) == Found("t2m")
    assert find_channel(ds, Channel("t2m", None, ("ta500m",))) == Found("ta500m")


@pytest.mark.parametrize(
    "ds",
    [
        at_height(2.0, units="m"),
        at_height(20.0, "heightAboveGround"),
        at_height(500.0, units="1"),
        at_height(500.0, "surface_altitude", standard_name="surface_altitude"),
    ],
)
def test_what_is_near_the_surface_is_taken_by_its_standard_name(ds):
    assert find_channel(ds, T2M) == Found("ta500m")


def test_a_height_beside_says_nothing_of_rain():
    rain = Channel("pr", None, (), "precipitation_flux")
    ds = xr.Dataset({"odd": ((), 1.0, {"standard_name": "precipitation_flux"})}, {"height": 100.0})
    assert find_channel(ds, rain) == Found("odd")


def test_a_height_that_the_file_did_not_give_to_the_variable_says_nothing_of_it():
    ds = at_height(100.0)
    ds["ta500m"].encoding["coordinates"] = "lat lon"
    assert find_channel(ds, T2M) == Found("ta500m")
    ds["ta500m"].encoding["coordinates"] = "lat lon height"
    assert find_channel(ds, T2M) is None


def test_a_height_beside_says_nothing_of_pressure_levels():
    ds = on_levels([850, 500], name="odd", variable=TOLD).assign_coords(height=100.0)
    assert find_channel(ds, t(500)) == Found("odd", ("level", 1))


EXTREMES = [
    "time: maximum",
    "area: mean time: minimum",
    "time: maximum within days time: mean over days",
    "time: range (interval: 1 hour)",
    "time: area: standard_deviation",
]


@pytest.mark.parametrize("methods", EXTREMES)
def test_extremes_over_time_are_not_taken_by_their_standard_name(methods):
    ds = xr.Dataset({"tasx": ((), 5.0, TOLD | {"cell_methods": methods})})
    assert find_channel(ds, T2M) is None
    (text,) = missing_levels(ds, [T2M])
    assert f"its cell methods are {methods!r}" in text
    assert "ds.rename({'tasx': 't2m'})" in text
    assert find_channel(ds.assign(odd=((), 1.0, TOLD)), T2M) == Found("odd")
    one = on_levels([850], name="tasx", variable=ds.tasx.attrs)
    assert find_channel(one, t(850)) is None
    assert "its cell methods are" in missing_levels(one, [t(850)])[1]


@pytest.mark.parametrize("methods", EXTREMES)
def test_extremes_are_taken_for_channels_of_them(methods):
    ds = xr.Dataset({"tasx": ((), 5.0, TOLD | {"cell_methods": methods})})
    assert find_channel(ds, Channel("tx", None, (), cell_methods=methods)) == Found("tasx")
    other = "time: minimum" if "maximum" in methods else "time: maximum"
    assert find_channel(ds, Channel("tx", None, (), cell_methods=other)) is None


@pytest.mark.parametrize(
    "methods", ["time: mean", "area: maximum", "time: point (comment: time: maximum apart)", ""]
)
def test_other_methods_do_not_matter(methods):
    ds = xr.Dataset({"odd": ((), 5.0, TOLD | {"cell_methods": methods})})
    assert find_channel(ds, T2M) == Found("odd")


@pytest.mark.parametrize(
    ("dim", "values", "attrs"),
    [
        ("level", [1, 2, 3, 500], {"units": "1"}),
        ("level", np.arange(1, 138), {}),
        ("hybrid", [500, 850], {"units": "1"}),
        ("height", [500.0, 850.0], {"units": "m"}),
        ("lev", [500.0, 850.0], {"units": "hPa", "formula_terms": "a: hyam b: hybm ps: PS"}),
        ("lev", [500.0, 850.0], {"units": "m"}),
        ("depth", [500.0, 850.0], {"units": "m", "positive": "down"}),
    ],
)
def test_other_levels_are_never_pressures(dim, values, attrs):
    ds = on_levels(values, dim, attrs=attrs, variable={"standard_name": "air_temperature"})
    for hPa in (500, 850, 100):
        assert find_channel(ds, t(hPa)) is None
    assert find_channel(ds, t(None)) is None
    (text,) = missing_levels(ds, [t(500)])
    assert f"'t' lacks the level 500 hPa; {dim!r} holds no pressures" in text


def test_pressures_in_pascal_reach_high_up():
    assert value(on_levels([100000.0, 50000.0, 500.0]), t(5)) == 2


def test_pressures_beside_numbered_levels_count():
    ds = on_levels([1, 2, 3], "lev").assign_coords(
        plev=("lev", [1000.0, 850, 500], {"units": "hPa"})
    )
    assert find_channel(ds, t(850)) == Found("t", ("lev", 1))


@given(
    hPa=st.lists(st.floats(0.01, 1080), min_size=1, max_size=8),
    error=st.floats(-9e-4, 9e-4),
    in_Pa=st.booleans(),
)
def test_levels_compare_within_a_thousandth(hPa, error, in_Pa):
    levels = np.unique(np.array(hPa).round(2))
    levels = levels[np.diff(levels, prepend=0) > 3e-3 * levels]
    attrs = {"units": "Pa" if in_Pa else "hPa"}
    ds = on_levels(levels * (100 if in_Pa else 1), attrs=attrs)
    for place, level in enumerate(levels):
        assert value(ds, t(level * (1 + error))) == place
        assert value(ds, t(level * 1.0015)) is None


def test_names_before_aliases_before_standard_names():
    dims, coords = (
        ("level", [1.0, 2.0], {"standard_name": "air_temperature"}),
        {"level": [850, 500]},
    )
    ds = xr.Dataset(dict.fromkeys(("odd", "temperature", "ta", "t"), dims), coords)
    for name in ("t", "ta", "temperature", "odd"):
        assert find_channel(ds, t(500)) == Found(name, ("level", 1))
        ds = ds.drop_vars(name)
    assert find_channel(ds, t(500)) is None


def test_a_standard_name_on_a_scalar_level():
    told = {"standard_name": "air_temperature"}
    ds = xr.Dataset({"temp": ((), 1.0, told)}, coords={"isobaricInhPa": 500.0})
    assert find_channel(ds, t(500)) == Found("temp")
    assert find_channel(ds, t(500, standard_name="")) is None


def test_a_name_without_the_level_gives_way_to_one_with():
    ds = on_levels([850, 500]).assign(ta=("other", [1.0, 2.0]), t700=7.0)
    assert find_channel(ds, t(500)).name == "t"
    assert find_channel(ds, t(700)) == Found("t700")


@pytest.mark.parametrize(
    ("ds", "names"),
    [
        (on_levels([850, 500]).assign(t850=1.0), "'t', 't850'"),
        (xr.Dataset({"t850": 1.0, "t_850": 1.0}), "'t850', 't_850'"),
        (
            xr.Dataset(
                {n: ((), 1.0, {"standard_name": "air_temperature"}) for n in ("a", "b")},
                coords={"level": 850},
            ),
            "'a', 'b'",
        ),
    ],
)
def test_several_are_named(ds, names):
    with pytest.raises(
        InputError, match=f"more than one variable is 't' at 850 hPa: {names}. Keep"
    ):
        find_channel(ds, t(850))
    (text,) = missing_levels(ds, [t(850)])
    assert names in text


def test_ambiguity_is_one_sentence_for_each_quantity():
    ds = on_levels([850, 500]).assign(t850=1.0, t500=1.0)
    texts = missing_levels(ds, [t(850), t(500), t(250)])
    assert len(texts) == 2
    assert "lacks the level 250 hPa" in texts[0]
    assert "more than one variable is 't' at 850 hPa" in texts[1]


def test_a_level_that_is_there_twice_is_named():
    with pytest.raises(InputError, match=r"850 hPa more than once.*drop_duplicates\('level'\)"):
        find_channel(on_levels([850, 850, 500]), t(850))


def test_a_surface_channel_is_no_variable_with_levels():
    told = {"standard_name": "air_temperature"}
    for ds in (on_levels([850, 500], variable=told), on_levels([850], variable=told)):
        assert find_channel(ds, t(None)) is None
        (text,) = missing_levels(ds, [t(None)])
        assert "'t' is needed without levels, and runs along 'level'" in text
        ds["t"] = eval(text.partition("ds['t'] = ")[2], {"ds": ds})
        assert find_channel(ds, t(None)) == Found("t")


def test_a_surface_channel_stands_beside_levels():
    told = {"standard_name": "air_temperature"}
    ds = on_levels([850, 500], variable=told).assign(t2m=((), 9.0, told))
    t2m = Channel("t2m", None, ("2t",), "air_temperature")
    assert find_channel(ds, t2m) == Found("t2m")
    assert find_channel(ds.rename(t2m="near_surface"), t2m) == Found("near_surface")
    assert find_channel(ds.drop_vars("t2m"), t2m) is None


def test_one_pressure_is_a_level_unless_the_name_tells():
    ds = xr.Dataset({"t": ((), 1.0, {"standard_name": "air_temperature"})}, coords={"level": 500})
    assert find_channel(ds, Channel("t2m", None, (), "air_temperature")) is None
    assert find_channel(ds, t(None)) == Found("t")


def test_one_height_is_no_level():
    ds = xr.Dataset({"tas": ("height", [1.0])}, coords={"height": ("height", [2.0], {"axis": "Z"})})
    assert find_channel(ds, Channel("tas")) == Found("tas")
    ds = xr.Dataset(
        {"tas": ("height", [1.0, 2.0])}, {"height": ("height", [2.0, 9], {"axis": "Z"})}
    )
    assert find_channel(ds, Channel("tas")) is None


def test_missing_levels_are_one_sentence_for_each_quantity():
    ds = on_levels([850.0, 500.0], "pressure_level", attrs={"units": "hPa"})
    z = [Channel("z", 100.0 * hPa, (), "geopotential") for hPa in (500, 850)]
    texts = missing_levels(ds, [t(700), z[0], t(850), t(250), z[1], Channel("u10")])
    assert texts == [
        "'t' lacks the levels 700 and 250 hPa; it has 850, 500 hPa along 'pressure_level'",
        "'z' (standard name 'geopotential') is missing on the levels 500 and 850 hPa; needed is a "
        "variable with a dimension of pressures, or one for each level, such as 'z500'; the "
        "Dataset has 't'",
    ]
    assert missing_levels(ds, [t(850), t(500)]) == []


@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (xr.Dataset({"t850": 1.0, "t_500": 1.0}), "; there are 't850', 't_500'"),
        (
            xr.Dataset({"ta": 1.0}, coords={"level": 850}),
            "it has 850 hPa by the coordinate 'level'",
        ),
        (xr.Dataset({"t": 1.0}), "it has no pressures; if it is on one level, say which"),
        (
            on_levels([850], "plev"),
            r"it has 8.5 hPa along 'plev', whose units are a guess: ds\['pl",
        ),
        (
            on_levels([850], name="odd", variable={"standard_name": "air_temperature"}),
            "'odd' lacks the level 700 hPa; it has 850 hPa along 'level'",
        ),
        (on_levels([850]).assign(t500=1.0), "along 'level'.*, and there is 't500'"),
    ],
)
def test_missing_levels_tell_what_is_there(ds, words):
    (text,) = missing_levels(ds, [t(700)])
    assert re.search(words, text), text


def test_lazy_pressures_are_refused_with_the_line_to_type():
    ds = on_levels([1, 2, 3], "k").assign_coords(plev=("k", [1e5, 85e3, 5e4], {"units": "Pa"}))
    lazy = ds.chunk()
    with (
        raise_if_dask_computes(),
        pytest.raises(InputError, match="levels 'plev' are lazy") as error,
    ):
        find_channel(lazy, t(850))
    ready = eval(str(error.value).partition("load them: ")[2], {"ds": lazy})
    assert value(ready, t(850)) == 1


def many_shapes():
    """A Dataset with levels, one variable for another level, and one of the surface."""
    ds = on_levels([850, 500, 250], attrs={"units": "hPa"})
    ds = ds.expand_dims(time=2, lat=3).assign_coords(number=1)
    return ds.assign(t700=ds.t.isel(level=0) + 7.0, sp=ds.t.isel(level=0) + 9.0).drop_attrs()


WANTED = [t(850), t(700), t(500), t(300), Channel("sp", None, (), "")]


@given(data=st.data())
def test_no_order_changes_what_is_taken(data):
    ds = many_shapes()
    dims = data.draw(st.permutations(list(ds.dims)))
    levels = data.draw(st.permutations(range(3)))
    names = data.draw(st.permutations(list(ds.data_vars)))
    turned = ds.transpose(*dims).isel(level=list(levels))[list(names)]
    for channel in WANTED:
        before, after = find_channel(ds, channel), find_channel(turned, channel)
        assert (before is None) == (after is None)
        if before and after:
            assert before.name == after.name
            same = take(turned, after).transpose("lat", "time")
            xr.testing.assert_identical(same, take(ds, before).transpose("lat", "time"))


def test_looking_and_taking_compute_and_change_nothing():
    ds = many_shapes().chunk()
    before = ds.copy(deep=True)
    with raise_if_dask_computes():
        fields = [take(ds, found) for c in WANTED if (found := find_channel(ds, c))]
        missing_levels(ds, WANTED)
    assert [f.chunks is not None for f in fields] == [True] * 4
    assert all(f.dims == ("time", "lat") for f in fields)
    assert all("level" not in f.coords and "number" in f.coords for f in fields)
    xr.testing.assert_identical(ds, before)


@pytest.mark.skipif(not ERA5.exists(), reason=f"needs {ERA5}")
def test_era5_levels():
    with xr.open_dataset(ERA5) as ds:
        for hPa in (500, 850):
            for name, standard_name in (("z", "geopotential"), ("t", "air_temperature")):
                channel = Channel(name, 100.0 * hPa, (), standard_name)
                field = take(ds, find_channel(ds, channel))
                expected = ds[name].sel(pressure_level=hPa, drop=True)
                xr.testing.assert_identical(field, expected)
