"""The horizontal grid is found whatever it is called, measured, or refused in words."""

import re
from dataclasses import dataclass

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import layouts
from tests.helpers import raise_if_dask_computes
from tests.layouts import LAYOUTS
from xresdiff.errors import InputError
from xresdiff.grids.coords import (
    MEMBER_NAMES,
    check_uniform,
    find_coordinate,
    find_horizontal,
    find_variable,
    other_dims,
    spacing_km,
)
from xresdiff.grids.coords.criteria import ROLES


def latlon(lat, lon, y="lat", x="lon", dtype=float, **attrs):
    lat, lon = np.asarray(lat, dtype=dtype), np.asarray(lon, dtype=dtype)
    data = np.zeros((2, lat.size, lon.size), np.float32)
    return xr.Dataset({"rain": (("time", y, x), data, attrs)}, coords={y: lat, x: lon})


def projected(units="m", scale=1.0, **attrs):
    y = ("y", 1000.0 * scale * np.arange(4)[::-1], {"units": units} if units else {})
    x = ("x", 2000.0 * scale * np.arange(5), {"units": units} if units else {})
    return xr.Dataset({"rain": (("y", "x"), np.zeros((4, 5)), attrs)}, coords={"y": y, "x": x})


def with_2d_latlon(ds, lat="lat", lon="lon"):
    shape = (ds.sizes["y"], ds.sizes["x"])
    return ds.assign_coords(
        {
            lat: (("y", "x"), np.full(shape, 50.0), {"units": "degrees_north"}),
            lon: (("y", "x"), np.full(shape, 10.0), {"units": "degrees_east"}),
        }
    )


@pytest.mark.parametrize(
    ("y", "x"),
    [("lat", "lon"), ("latitude", "longitude"), ("Latitude", "Longitude"), ("nav_lat", "nav_lon")],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_names_are_enough(y, x, as_array):
    ds = latlon([50, 51], [0, 1, 2], y, x)
    grid = find_horizontal(ds.rain if as_array else ds)
    assert (grid.y, grid.x, grid.dims, grid.kind) == (y, x, (y, x), "latlon")
    assert grid.units == "degrees"


@pytest.mark.parametrize(
    "attrs",
    [
        ({"standard_name": "latitude"}, {"standard_name": "longitude"}),
        ({"units": "degrees_north"}, {"units": "degrees_east"}),
    ],
)
def test_attributes_are_enough(attrs):
    ds = latlon([50, 51], [0, 1, 2], "j", "i")
    ds.j.attrs, ds.i.attrs = attrs
    grid = find_horizontal(ds)
    assert (grid.y, grid.x, grid.kind) == ("j", "i", "latlon")


def test_attributes_count_more_than_names():
    ds = latlon([50, 51], [0, 1, 2], "j", "i").assign_coords(lat=("j", [0.0, 1.0]))
    ds.j.attrs, ds.i.attrs = {"standard_name": "latitude"}, {"standard_name": "longitude"}
    assert find_horizontal(ds).y == "j"


def test_coordinates_may_lie_along_dims_of_other_names():
    ds = xr.Dataset(
        {"rain": (("x", "y"), np.zeros((3, 2)))},
        coords={"lat": ("y", [50.0, 51.0]), "lon": ("x", [0.0, 1.0, 2.0])},
    )
    grid = find_horizontal(ds)
    assert (grid.y, grid.x, grid.dims) == ("lat", "lon", ("y", "x"))


@pytest.mark.parametrize(("units", "scale"), [("m", 1), ("km", 1e-3), ("metres", 1)])
def test_projected_lengths(units, scale):
    grid = find_horizontal(projected(units, scale))
    assert grid.kind == "projected"
    assert spacing_km(grid) == pytest.approx((1.0, 2.0))


@pytest.mark.parametrize("names", [("lat", "lon"), ("latitude", "longitude")])
def test_projected_with_2d_latlon_stays_projected(names):
    grid = find_horizontal(with_2d_latlon(projected(), *names))
    assert (grid.kind, grid.y, grid.x, grid.geographic) == ("projected", "y", "x", names)


def test_indices_beside_2d_latlon_are_curvilinear():
    grid = find_horizontal(with_2d_latlon(projected(units="")))
    assert (grid.kind, grid.y, grid.dims) == ("curvilinear", "lat", ("y", "x"))
    assert "two-dimensional" in check_uniform(grid)[0]
    with pytest.raises(InputError, match="'lat' and 'lon' are two-dimensional"):
        spacing_km(grid)


def test_lazy_2d_latlon_is_not_computed():
    ds = xr.Dataset({"rain": (("y", "x"), dask.array.zeros((3, 4)))})
    ds = ds.assign_coords(lat=(("y", "x"), dask.array.zeros((3, 4))))
    ds = ds.assign_coords(lon=(("y", "x"), dask.array.zeros((3, 4))))
    with raise_if_dask_computes():
        assert find_horizontal(ds).kind == "curvilinear"


def test_lengths_without_a_unit_are_not_guessed():
    grid = find_horizontal(projected(units=""))
    assert (grid.kind, grid.units) == ("projected", "")
    with pytest.raises(InputError, match=r"no unit of length.*ds\['y'\].attrs\['units'\] = 'm'"):
        spacing_km(grid)


@pytest.mark.parametrize("units", ["degrees", "degrees_north"])
def test_a_rotated_pole_is_not_mistaken_for_latitude(units):
    ds = latlon([-1, 0, 1], [-2, -1], "rlat", "rlon")
    ds.rlat.attrs = {"standard_name": "grid_latitude", "units": units, "axis": "Y"}
    ds.rlon.attrs = {"standard_name": "grid_longitude", "units": "degrees", "axis": "X"}
    assert find_horizontal(ds).kind == "rotated"
    true = (("rlat", "rlon"), np.full((3, 2), 50.0))
    grid = find_horizontal(ds.assign_coords(lat=true, lon=true))
    assert (grid.kind, grid.y, grid.geographic) == ("rotated", "rlat", ("lat", "lon"))
    assert spacing_km(grid) == pytest.approx((111.195, 111.195), rel=1e-4)


def test_bounds_are_no_coordinates():
    ds = latlon([50, 51], [0, 1])
    ds = ds.assign_coords(lat_bnds=(("lat", "nv"), np.zeros((2, 2)), {"units": "degrees_north"}))
    ds.lat.attrs["bounds"] = "lat_bnds"
    assert find_horizontal(ds).kind == "latlon"


@pytest.mark.parametrize("where", ["attrs", "encoding"])
@pytest.mark.parametrize("text", ["crs", "crs: x y"])
@pytest.mark.parametrize("as_array", [False, True])
def test_grid_mapping(where, text, as_array):
    ds = projected().assign_coords(crs=0, other=((), 0, {"grid_mapping_name": "other"}))
    getattr(ds.rain, where)["grid_mapping"] = text
    assert find_horizontal(ds.rain if as_array else ds).grid_mapping == "crs"


def test_grid_mapping_that_no_variable_names():
    ds = projected()
    ds["crs"] = ((), 0, {"grid_mapping_name": "polar_stereographic"})
    assert find_horizontal(ds).grid_mapping == "crs"
    assert find_horizontal(ds.rain).grid_mapping is None


def test_several_latitudes_are_named():
    ds = latlon([50, 51], [0, 1]).assign_coords(latitude=("lat", [0.0, 1.0]))
    with pytest.raises(InputError, match=r"'lat', 'latitude'.*ds.drop_vars\(\['latitude'\]\)"):
        find_horizontal(ds)


def test_two_grids_are_named():
    ds = projected().merge(latlon([50, 51], [0, 1]).rename(rain="other"))
    with pytest.raises(InputError, match=r"more than one grid.*'y', 'x'.*'lat', 'lon'"):
        find_horizontal(ds)


def test_points_are_refused():
    ds = xr.Dataset(coords={"lat": ("station", [1.0, 2.0]), "lon": ("station", [1.0, 2.0])})
    with pytest.raises(InputError, match="'lat' and 'lon' run along 'station'"):
        find_horizontal(ds)


def test_nothing_found_lists_what_there_is_and_the_line_to_type():
    ds = latlon([50, 51], [0, 1], "a", "b")
    with pytest.raises(InputError) as error:
        find_horizontal(ds)
    assert "the dims are 'time', 'a', 'b', the coords 'a', 'b'" in str(error.value)
    assert "ds.rename({'a': 'lat', 'b': 'lon'})" in str(error.value)
    assert "ds['a'].attrs['standard_name'] = 'latitude'" in str(error.value)


@pytest.mark.parametrize(
    ("ds", "line"),
    [
        (xr.Dataset({"r": (("y", "x"), np.zeros((2, 2)))}), r"ds.assign_coords\(lat=\('y', "),
        (xr.Dataset({"lat": ("y", [1.0]), "lon": ("x", [1.0])}), r"set_coords\(\['lat', 'lon'\]\)"),
        (xr.Dataset({"r": ("time", [1.0])}), "Fields along latitude and longitude"),
    ],
)
def test_nothing_found_in_other_ways(ds, line):
    with pytest.raises(InputError, match=line):
        find_horizontal(ds)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spacing_of_tenths_of_degrees(sign, dtype):
    lat, lon = np.linspace(45, 55, 101)[::sign], np.linspace(170, 190, 201)
    grid = find_horizontal(latlon(lat, lon, dtype=dtype))
    assert check_uniform(grid) == []
    cos50 = np.cos(np.radians(50))
    assert spacing_km(grid) == pytest.approx((11.1195, 11.1195 * cos50), rel=1e-4)


@pytest.mark.parametrize(
    "lon", [[358, 359, 0, 1], [178, 179, -180, -179], [-1, 0, 1, 2], [1, 0, 359, 358]]
)
def test_longitudes_may_cross_any_meridian(lon):
    grid = find_horizontal(latlon([0, 1], lon))
    assert check_uniform(grid) == []
    assert np.abs(np.diff(grid.x_values)) == pytest.approx(1)
    assert spacing_km(grid)[1] == pytest.approx(111.195, rel=1e-3)


def test_coordinates_of_few_decimals_are_uniform():
    lat = np.round(np.arange(200) / 3, 3)
    assert check_uniform(find_horizontal(latlon(lat, [0, 1]))) == []


def test_gaussian_latitudes_are_not_uniform():
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    (problem,) = check_uniform(find_horizontal(latlon(lat, [0, 1])))
    assert "the spacing of 'lat' changes from 2.79" in problem


def test_a_missing_row_is_placed():
    problems = check_uniform(find_horizontal(latlon([0, 1, 2, 4, 5], [0, 1, 3])))
    assert len(problems) == 2
    assert "'lat' changes from 1 to 2 between 2 and 4" in problems[0]
    assert "ds.interp({'lat': np.linspace(0, 5, 6)})" in problems[0]
    assert "'lon'" in problems[1]


@pytest.mark.parametrize(
    ("lat", "words"),
    [
        ([0, 2, 1], r"neither rises nor falls.*sortby\('lat'\)"),
        ([1, 1, 1], "neither rises nor falls"),
        ([0, np.nan, 2], "not finite"),
        ([0], "'lat' has 1 value; a spacing needs two"),
        ([], "'lat' has 0 values"),
    ],
)
def test_what_is_no_progression(lat, words):
    (problem,) = check_uniform(find_horizontal(latlon(lat, [0, 1])))
    assert re.search(words, problem)


def test_one_row_has_no_spacing():
    with pytest.raises(InputError, match="'lat' has 1 value"):
        spacing_km(find_horizontal(latlon([0], [0, 1])))


def test_other_dims_leave_out_bounds_of_times():
    ds = latlon([50, 51], [0, 1]).expand_dims(number=3)
    ds["time_bnds"] = (("time", "nv"), np.zeros((2, 2)))
    grid = find_horizontal(ds)
    assert other_dims(ds, grid) == ("number", "time")
    assert other_dims(ds.rain, grid) == ("number", "time")


@dataclass
class Channel:
    name: str = "precip_rate"
    aliases: tuple[str, ...] = ("tprate", "mtpr")
    standard_name: str = "lwe_precipitation_rate"
    cell_methods: str = ""


def test_variables_match_by_name_then_alias_then_standard_name():
    rain = ("x", [1.0], {"standard_name": "lwe_precipitation_rate"})
    ds = xr.Dataset({"r": rain, "mtpr": ("x", [1.0]), "tprate": ("x", [1.0]), "precip_rate": rain})
    for name in ("precip_rate", "tprate", "mtpr", "r"):
        assert find_variable(ds, Channel()) == name
        ds = ds.drop_vars(name)
    assert find_variable(ds, Channel()) is None


def test_the_largest_over_time_is_no_match_of_the_standard_name():
    rain = {"standard_name": "lwe_precipitation_rate"}
    ds = xr.Dataset({"most": ("x", [1.0], rain | {"cell_methods": "time: maximum"})})
    assert find_variable(ds, Channel()) is None
    assert find_variable(ds.assign(r=("x", [1.0], rain)), Channel()) == "r"
    assert find_variable(ds.rename(most="mtpr"), Channel()) == "mtpr"


def test_no_standard_name_matches_nothing():
    ds = xr.Dataset({"r": ("x", [1.0])})
    assert find_variable(ds, Channel(standard_name="")) is None


def test_several_variables_of_one_standard_name_are_named():
    rain = ("x", [1.0], {"standard_name": "lwe_precipitation_rate"})
    with pytest.raises(InputError, match=r"'a', 'b'.*ds.rename\({'a': 'precip_rate'}\)"):
        find_variable(xr.Dataset({"a": rain, "b": rain}), Channel())


def described(ds):
    """Everything that is found of a Dataset but its variables."""
    grid = find_horizontal(ds)
    roles = {role: name for role in ROLES if (name := find_coordinate(ds, role)) is not None}
    named = (grid.y, grid.x, grid.dims, grid.kind, grid.grid_mapping, grid.geographic)
    return named, roles


def expected(layout):
    return (
        (layout.y, layout.x, layout.dims, layout.kind, layout.grid_mapping, layout.geographic),
        layout.roles,
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_as_they_are(name):
    layout = LAYOUTS[name]()
    assert described(layout.ds) == expected(layout)


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_variable_of_a_file(name):
    layout = LAYOUTS[name]()
    variable = layout.ds[next(iter(layout.ds.data_vars))]
    grid = find_horizontal(variable)
    assert (grid.y, grid.x, grid.dims, grid.kind) == expected(layout)[0][:4]
    for role, coordinate in layout.roles.items():
        assert find_coordinate(variable, role) == coordinate


@pytest.mark.parametrize("name", LAYOUTS)
@given(data=st.data())
@settings(max_examples=8)
def test_no_order_changes_what_is_found(name, data):
    layout = LAYOUTS[name]()
    ds = layout.ds
    dims = data.draw(st.permutations(list(ds.dims)))
    coords = data.draw(st.permutations(list(ds.coords)))
    variables = data.draw(st.permutations(list(ds.data_vars)))
    backwards = data.draw(st.sets(st.sampled_from(dims)))
    turned = ds.transpose(*dims).isel({dim: slice(None, None, -1) for dim in backwards})
    shuffled = xr.Dataset({n: turned[n].variable for n in variables})
    shuffled = shuffled.assign_coords({n: turned[n].variable for n in coords})
    assert described(shuffled) == expected(layout)


@pytest.mark.parametrize("name", LAYOUTS)
def test_looking_changes_and_computes_nothing(name):
    ds = LAYOUTS[name]().ds.chunk()
    before = ds.copy(deep=True)
    with raise_if_dask_computes():
        described(ds)
    xr.testing.assert_identical(ds, before)


def test_two_dimensional_coordinates_come_without_time_and_y_first():
    ds = layouts.wrf().ds
    for turned in (ds, ds.transpose("west_east", "Time", "south_north", ...)):
        grid = find_horizontal(turned)
        assert grid.y_coord.dims == grid.x_coord.dims == ("south_north", "west_east")
        np.testing.assert_array_equal(grid.y_coord[:, 0], [50, 51, 52])


@pytest.fixture
def moving():
    ds = layouts.wrf().ds.drop_dims(["south_north_stag", "west_east_stag"])
    return xr.concat([ds, ds], "Time", data_vars="all", coords="all")


def test_coordinates_that_may_move_are_refused_with_the_line_to_type(moving):
    with pytest.raises(InputError, match=r"'XLAT', 'XLONG' run along 'Time' too") as error:
        find_horizontal(moving)
    line = str(error.value).partition("one time of them: ")[2]
    still = eval(line, {"ds": moving})
    assert find_horizontal(still).dims == ("south_north", "west_east")
    assert still.sizes["Time"] == 2


def test_coordinates_that_may_move_do_no_harm_beside_a_projection(moving):
    ds = moving.rename(south_north="y", west_east="x")
    ds = ds.assign_coords(y=("y", [0.0, 1, 2], {"units": "m"}), x=("x", [0.0, 1, 2, 3]))
    ds.x.attrs["units"] = "m"
    grid = find_horizontal(ds)
    assert (grid.kind, grid.geographic) == ("projected", None)


def test_staggered_coordinates_count_where_data_run_along_them():
    ds = layouts.wrf().ds
    ds["U10"] = ("Time", "south_north", "west_east_stag"), np.ones((1, 3, 5))
    assert find_horizontal(ds[["U10"]]).y == "XLAT_U"
    with pytest.raises(InputError, match=r"'XLAT', 'XLAT_U', along different dimensions"):
        find_horizontal(ds)


def test_data_variables_that_are_latitude_are_named():
    ds = layouts.wrf().ds.reset_coords(["XLAT", "XLONG"]).drop_dims("west_east_stag")
    ds = ds.drop_dims("south_north_stag")
    with pytest.raises(InputError, match=r"ds.set_coords\(\['XLAT', 'XLONG'\]\)"):
        find_horizontal(ds)


def test_cells_are_refused_with_a_line_that_mends_what_is_a_grid():
    grid = layouts.e_obs().ds
    cells = grid.stack(cell=["latitude", "longitude"]).reset_index("cell")
    with pytest.raises(InputError, match=r"run along 'cell' alone.*HEALPix.*cdo") as error:
        find_horizontal(cells)
    line = re.search(r"grid: (ds\..*?); else", str(error.value))[1]
    again = eval(line, {"ds": cells})
    assert find_horizontal(again).dims == ("latitude", "longitude")


@pytest.mark.parametrize("dim", ["cell", "ncells", "values", "station"])
def test_cells_without_coordinates_are_named(dim):
    ds = xr.Dataset({"t": (("time", dim), np.ones((2, 12)))})
    with pytest.raises(InputError, match=f"'{dim}' seems to be one of points.*cdo"):
        find_horizontal(ds)


def test_radians_are_refused():
    ds = latlon([0.5, 0.6], [0.1, 0.2])
    ds.lat.attrs["units"] = ds.lon.attrs["units"] = "radian"
    with pytest.raises(InputError, match="in radians") as error:
        find_horizontal(ds)
    line = str(error.value).partition("are needed: ")[2]
    grid = find_horizontal(eval(line, {"ds": ds, "np": np}))
    assert grid.y_values == pytest.approx(np.degrees([0.5, 0.6]))


@pytest.mark.parametrize("name", ["{}_bnds", "{}_bounds", "{}_vertices", "vertices_{}"])
def test_bounds_that_no_attribute_names_are_no_coordinates(name):
    ds = latlon([50, 51], [0, 1])
    for side, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
        edges = (("lat", "lon"), np.zeros((2, 2)), {"units": units})
        ds = ds.assign_coords({name.format(side): edges})
    assert find_horizontal(ds).geographic is None
    assert find_horizontal(ds.drop_vars("rain")).geographic is None


@pytest.mark.parametrize(
    ("role", "name"), [(role, name) for role, criteria in ROLES.items() for name in criteria.names]
)
@pytest.mark.parametrize("as_written", [str, str.upper])
def test_habitual_names(role, name, as_written):
    ds = xr.Dataset(coords={as_written(name): [1, 5]})
    found = {other: find_coordinate(ds, other) for other in ROLES}
    assert found == dict.fromkeys(ROLES) | {role: as_written(name)}


@pytest.mark.parametrize("role", ROLES)
def test_a_standard_name_counts_more_than_a_name(role):
    told = {"standard_name": ROLES[role].standard_name}
    ds = xr.Dataset(coords={ROLES[role].names[0]: [1, 5], "own": ("own", [2], told)})
    assert find_coordinate(ds, role) == "own"


@pytest.mark.parametrize("role", ROLES)
def test_two_of_a_role_are_named(role):
    told = {"standard_name": ROLES[role].standard_name}
    ds = xr.Dataset(coords={"a": ("a", [1], told), "b": ("b", [2], told)})
    with pytest.raises(InputError, match=r"'a', 'b'\. Keep one: ds.drop_vars\(\['b'\]\)"):
        find_coordinate(ds, role)


@pytest.mark.parametrize("role", ROLES)
def test_a_coordinate_along_its_own_dimension_wins(role):
    told = {"standard_name": ROLES[role].standard_name}
    ds = xr.Dataset(coords={"a": ("b", [1], told), "b": ("b", [2], told), "c": ((), 0, told)})
    assert find_coordinate(ds, role) == "b"


def test_unknown_roles_are_refused():
    with pytest.raises(InputError, match=r"role is 'depth'; it is one of 'time'"):
        find_coordinate(xr.Dataset(), "depth")


@pytest.mark.parametrize(
    "attrs",
    [
        {"units": "m"},
        {"units": "1"},
        {"units": "level"},
        {"units": "hPa", "standard_name": "atmosphere_hybrid_sigma_pressure_coordinate"},
        {"units": "hPa", "formula_terms": "a: hyam b: hybm p0: P0 ps: PS"},
        {"long_name": "model level number"},
        {"positive": "up"},
    ],
)
def test_other_levels_are_no_pressures(attrs):
    assert (
        find_coordinate(xr.Dataset(coords={"lev": ("lev", [1.0, 5.0], attrs)}), "pressure") is None
    )


def test_a_pressure_beside_the_fields_is_no_level():
    times = {"time": layouts.DAYS, "pressure": ("time", [1.0, 2.0], {"units": "hPa"})}
    ds = xr.Dataset(coords=times | {"p0": ((), 1e5, {"units": "Pa"})})
    assert find_coordinate(ds, "pressure") is None


@pytest.mark.parametrize("names", [("time", "valid_time"), ("valid_time", "time")])
def test_of_two_scalar_times_the_valid_one_is_the_time(names):
    ds = xr.Dataset(coords={name: ((), layouts.DAYS[0], layouts.TIME) for name in names})
    assert find_coordinate(ds, "time") == "valid_time"
    assert find_coordinate(ds, "reference_time") is None
    ds = ds.assign_coords(step=np.timedelta64(0, "ns"))
    assert find_coordinate(ds, "reference_time") == "time"


def test_a_start_is_no_time():
    told = {"standard_name": "forecast_reference_time"}
    ds = xr.Dataset(coords={"time": ("time", layouts.DAYS, told)})
    assert find_coordinate(ds, "time") is None
    assert find_coordinate(ds, "reference_time") == "time"


def test_a_time_along_the_lead_times_is_no_start():
    ds = xr.Dataset(coords={"time": layouts.DAYS, "step": ("time", [24, 48])})
    assert find_coordinate(ds, "time") == "time"
    assert find_coordinate(ds, "reference_time") is None


def test_samples_of_members_are_no_members():
    ds = xr.Dataset(coords={"number": [1, 2], "sample": [0, 1, 2]})
    assert find_coordinate(ds, "realization") == "number"
    assert find_coordinate(ds.drop_vars("number"), "realization") == "sample"


def test_texts_are_no_times():
    assert find_coordinate(xr.Dataset(coords={"Times": ("Time", ["2024-01-01"])}), "time") is None


def test_member_names_are_those_of_the_role():
    assert MEMBER_NAMES[:2] == ("member", "number")
    assert {"ens", "variant_label", "sample"} <= set(MEMBER_NAMES)


def test_unordered_longitudes_are_not_there_twice():
    lon = [*range(0, 360, 20), *range(10, 360, 20)]
    ds = xr.Dataset(coords={"lat": [0.0, 1.0], "lon": np.array(lon, "f8")})
    assert find_horizontal(ds).kind == "latlon"


@pytest.mark.parametrize("crs", ["EPSG:4807", "EPSG:2263"])
def test_maps_in_grads_or_feet_are_not_taken_for_degrees_or_metres(crs):
    import pyproj

    mapping = ((), 0, {"crs_wkt": pyproj.CRS(crs).to_wkt()})
    ds = xr.Dataset(coords={"y": [50.0, 51.0], "x": [0.0, 1.0], "spatial_ref": mapping})
    found = find_horizontal(ds)
    assert found.kind == "projected"
    assert not found.units
