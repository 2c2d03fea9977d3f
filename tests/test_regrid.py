"""Fields move between grids by xESMF's weights: lazily, labelled, with small graphs."""

import cloudpickle
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.errors import InputError
from xresdiff.grids.regrid import regrid, weights
from xresdiff.grids.target import target_grid

METHODS = ("bilinear", "conservative", "latlon_bilinear", "nearest_s2d")


def europe(step=0.5, **changes):
    """Return smooth fields from 40 to 60 N and 10 W to 20 E, two times."""
    lat, lon = np.arange(60, 39.9, -step), np.arange(-10, 20.1, step)
    values = 280 + np.add.outer(lat, np.cos(np.deg2rad(4 * lon)))
    ds = xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), np.stack([values, values + 5]), {"units": "K"}),
            "count": ("time", [3, 4]),
        },
        coords={
            "time": np.array(["2020-01-01", "2020-01-02"], "M8[ns]"),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
            "height": 2.0,
        },
        attrs={"title": "made up"},
    )
    return ds.assign(changes) if changes else ds


LAMBERT = target_grid(
    crs="+proj=lcc +lat_1=45 +lat_2=55 +lat_0=50 +lon_0=5",
    center=(50, 5),
    spacing_km=30,
    shape=(20, 24),
)


def plain(grid):
    """Return the coordinates of a regular grid without their bounds."""
    return {"lat": grid.lat.values, "lon": grid.lon.values}


def test_the_target_gives_the_labels():
    ds = europe()
    before = ds.copy(deep=True)
    moved = regrid(ds, LAMBERT)
    assert moved.t2m.dims == ("time", "y", "x")
    assert moved.t2m.attrs == {"units": "K", "grid_mapping": "crs"}
    assert set(moved.coords) == {"time", "height", "y", "x", "lat", "lon", "crs"}
    assert moved.crs.attrs["grid_mapping_name"] == "lambert_conformal_conic"
    xr.testing.assert_identical(moved["count"].drop_vars("crs"), ds["count"])
    assert moved.attrs == ds.attrs
    xr.testing.assert_identical(ds, before)


def test_an_array_stays_an_array():
    moved = regrid(europe().t2m.astype("f4"), LAMBERT)
    assert moved.name == "t2m"
    assert moved.dtype == np.float32
    xr.testing.assert_allclose(moved, regrid(europe(), LAMBERT).t2m.astype("f4"), rtol=1e-6)


def test_its_own_grid_changes_nothing():
    for method in METHODS:
        moved = regrid(europe(), europe(), method=method)
        np.testing.assert_allclose(moved.t2m, europe().t2m, rtol=1e-9, err_msg=method)


def test_outside_there_is_nothing():
    grid = target_grid(lat=(30, 50), lon=(0, 10), spacing_deg=1)
    moved = regrid(europe(), grid).t2m.isel(time=0)
    assert moved.isnull().all("lon").values.tolist() == [True] * 10 + [False] * 10


@pytest.mark.parametrize("method", METHODS)
def test_regridding_is_lazy(method, no_compute):
    lazy = regrid(europe().chunk(time=1, lat=7, lon=9), LAMBERT, method=method)
    assert lazy.t2m.chunks == ((1, 1), (20,), (24,))
    assert no_compute.computes == 0


@pytest.mark.parametrize("method", METHODS)
def test_chunked_is_eager(method):
    lazy = regrid(europe().chunk(time=1, lat=7, lon=9), LAMBERT, method=method)
    xr.testing.assert_identical(lazy.compute(), regrid(europe(), LAMBERT, method=method))


def test_graphs_carry_a_key_and_no_weights():
    sizes = []
    for n in (40, 400):
        grid = target_grid(LAMBERT, crs="EPSG:3034", spacing_km=600 / n)
        lazy = regrid(europe().chunk(time=1), grid)
        ours = {k: v for k, v in lazy.t2m.__dask_graph__().layers.items() if "apply" in k}
        sizes.append(len(cloudpickle.dumps(ours)))
    assert sizes[1] < 20_000
    assert sizes[1] < sizes[0] + 100


def test_weights_are_made_once(monkeypatch):
    regrid(europe(), LAMBERT)
    monkeypatch.setattr("xresdiff.grids.regrid.make_weights._by_xesmf", None)
    monkeypatch.setattr(weights, "_LOADED", type(weights._LOADED)())
    regrid(europe() + 1, LAMBERT)


def test_a_global_source_is_cut_before_weights_are_made(monkeypatch):
    made = []
    plain = weights.save
    monkeypatch.setattr(
        weights, "save", lambda key, matrix: made.append(matrix) or plain(key, matrix)
    )
    lat, lon = np.arange(-90, 90.1, 2.0), np.arange(0, 360, 2.0)
    globe = xr.Dataset(
        {"t": (("lat", "lon"), np.add.outer(lat, np.cos(np.deg2rad(lon))))},
        {"lat": lat, "lon": lon},
    )
    grid = target_grid(lat=(40, 50), lon=(-7, 8), spacing_deg=0.5)
    moved = regrid(globe, grid)
    needed = np.add.outer(grid.lat.values, np.cos(np.deg2rad(grid.lon.values)))
    np.testing.assert_allclose(moved.t, needed, atol=1e-2)
    assert made[0].shape[1] < 400


def test_weights_are_those_of_the_whole_globe(monkeypatch):
    lat, lon = np.arange(-88, 90, 4.0), np.arange(0, 360, 4.0)
    noise = np.random.default_rng(0).normal(size=(lat.size, lon.size))
    globe = xr.Dataset({"t": (("lat", "lon"), noise)}, {"lat": lat, "lon": lon})
    for method in METHODS:
        cut = regrid(globe, LAMBERT, method=method)
        with monkeypatch.context() as patch:
            patch.setattr("xresdiff.grids.regrid.fields.crop", lambda obj, *_: obj)
            whole = regrid(globe, LAMBERT, method=method)
        np.testing.assert_allclose(cut.t, whole.t, atol=1e-6, err_msg=method)


@settings(max_examples=15)
@given(st.sampled_from(METHODS), st.floats(-1e5, 1e5), st.integers(30, 70), st.integers(-200, 400))
def test_a_constant_stays_constant(method, value, lat, lon):
    source = target_grid(lat=(lat - 12, lat + 12), lon=(lon - 15, lon + 15), spacing_deg=1.5)
    fields = xr.DataArray(np.full((16, 20), value), plain(source), ("lat", "lon"))
    grid = target_grid(
        crs=f"+proj=laea +lat_0={lat} +lon_0={lon}", center=(lat, lon), spacing_km=40, shape=(9, 11)
    )
    np.testing.assert_allclose(regrid(fields, grid, method=method), value, rtol=1e-12)


@settings(max_examples=15)
@given(st.sampled_from([1.0, 1.5, 2.5]), st.sampled_from([0.7, 3.0, 4.5]), st.integers(0, 99))
def test_conservative_keeps_the_integral(fine, coarse, seed):
    from xresdiff.grids.esmf import import_xesmf

    def globe(step):
        return target_grid(lat=(-90, 90), lon=(0, 360), spacing_deg=180 / round(180 / step))

    def areas(grid):
        corners = {
            "lat_b": np.append(grid.lat_bnds[:, 0], 90.0),
            "lon_b": np.append(grid.lon_bnds[:, 0], 360.0),
        }
        numbers = {"lat": grid.lat.values, "lon": grid.lon.values} | corners
        return import_xesmf().util.cell_area(xr.Dataset({}, numbers), earth_radius=1.0).values

    source, grid = globe(fine), globe(coarse)
    shape = source.sizes["lat"], source.sizes["lon"]
    values = np.random.default_rng(seed).gamma(0.5, size=shape)
    moved = regrid(xr.DataArray(values, plain(source), ("lat", "lon")), grid, method="conservative")
    before, after = (values * areas(source)).sum(), (moved.values * areas(grid)).sum()
    assert after == pytest.approx(before, rel=1e-12)


@settings(max_examples=20)
@given(st.sampled_from(METHODS), st.booleans(), st.booleans(), st.sampled_from([-360, 0, 360]))
def test_flipping_the_input_changes_nothing(method, flip_lat, flip_lon, turn):
    ds = europe()
    other = ds.isel(lat=slice(None, None, -1 if flip_lat else 1))
    other = other.isel(lon=slice(None, None, -1 if flip_lon else 1))
    other = other.assign_coords(lon=other.lon + turn).transpose(..., "lon", "lat")
    moved = regrid(other, LAMBERT, method=method)
    np.testing.assert_allclose(moved.t2m, regrid(ds, LAMBERT, method=method).t2m, atol=1e-6)


@settings(max_examples=20)
@given(st.sampled_from(METHODS), st.integers(0, 71))
def test_rolling_a_global_input_changes_nothing(method, by):
    lat, lon = np.arange(-87.5, 90, 5.0), np.arange(0, 360, 5.0)
    noise = np.random.default_rng(0).normal(size=(lat.size, lon.size))
    globe = xr.DataArray(noise, {"lat": lat, "lon": lon})
    rolled = globe.roll(lon=by, roll_coords=True)
    grid = target_grid(lat=(-80, 80), lon=(-177.3, 180), spacing_deg=7)
    moved = regrid(rolled, grid, method=method)
    np.testing.assert_allclose(moved, regrid(globe, grid, method=method), atol=1e-6)


@pytest.mark.parametrize("skipna", [False, True])
def test_missing_values(skipna):
    ds = europe()
    ds.t2m[:, 20, 30] = np.nan  # 50 N, 5 E
    gaps = regrid(ds, LAMBERT, skipna=skipna).t2m.isnull()
    assert bool(gaps.any()) is not skipna


def test_missing_values_up_to_a_threshold():
    ds = europe()
    ds.t2m[:, 18:23, 28:33] = np.nan
    gaps = [
        int(regrid(ds, LAMBERT, skipna=True, na_thres=t).t2m.isnull().sum()) for t in (0, 0.5, 1)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_rotated_and_projected_inputs_need_no_latitudes():
    plain = regrid(europe(), LAMBERT)
    again = target_grid(lat=(49, 51), lon=(4, 6), spacing_deg=0.25)
    with_latlon = regrid(plain, again)
    without = regrid(plain.drop_vars(["lat", "lon"]), again)
    np.testing.assert_allclose(without.t2m, with_latlon.t2m, rtol=1e-9)
    needed = regrid(europe(), again)
    np.testing.assert_allclose(without.t2m, needed.t2m, atol=0.02)


def test_bounds_are_not_fields():
    ds = europe(
        lat_bnds=(("lat", "bnds"), np.stack([europe().lat + 0.25, europe().lat - 0.25], -1))
    )
    ds.lat.attrs["bounds"] = "lat_bnds"
    moved = regrid(ds, LAMBERT)
    assert set(moved.data_vars) == {"t2m", "count"}


def test_whole_numbers_become_real():
    moved = regrid(europe(n=europe().t2m.astype("i2")), LAMBERT)
    assert moved.n.dtype == np.float64
    assert float(abs(moved.n - moved.t2m).max()) < 1


def test_text_is_refused():
    ds = europe(name=(("lat", "lon"), np.full((41, 61), "a")))
    with pytest.raises(InputError, match=r"ds.drop_vars\(\['name'\]\)"):
        regrid(ds, LAMBERT)


def test_unknown_methods_are_refused():
    with pytest.raises(
        InputError, match="method is 'cubic'; it is one of 'bilinear', 'cons"
    ) as told:
        regrid(europe(), LAMBERT, method="cubic", na_thres=2)
    assert "na_thres is 2" in str(told.value)


def test_patch_needs_esmpy():
    pytest.importorskip("numpy")
    try:
        import esmpy  # noqa: F401
    except ImportError:
        with pytest.raises(Exception, match="conda install -c conda-forge esmpy"):
            regrid(europe(), LAMBERT, method="patch")


def test_results_survive_netcdf(tmp_path):
    moved = regrid(europe(), LAMBERT)
    moved.to_netcdf(tmp_path / "moved.nc")
    with xr.open_dataset(tmp_path / "moved.nc", decode_coords="all") as again:
        xr.testing.assert_allclose(again, moved)


def test_bounds_of_the_target_come_along(tmp_path):
    grid = target_grid(lat=(45, 50), lon=(0, 5), spacing_deg=1)
    moved = regrid(europe(), grid)
    xr.testing.assert_identical(moved.lat_bnds.variable, grid.lat_bnds.variable)
    assert moved.lat.attrs["bounds"] == "lat_bnds"


def test_attributes_of_the_old_grid_go():
    ds = europe()
    ds.t2m.attrs |= {"GRIB_Nx": 61, "GRIB_gridType": "regular_ll", "cell_measures": "area: a"}
    ds.t2m.attrs |= {"GRIB_iDirectionIncrementInDegrees": 0.5, "GRIB_shortName": "2t"}
    assert set(regrid(ds, LAMBERT).t2m.attrs) == {"units", "GRIB_shortName", "grid_mapping"}


def test_disorder_is_refused_whatever_the_method():
    for method in METHODS:
        with pytest.raises(InputError, match=r"the input: .*'lat' neither rises nor falls.*sortby"):
            regrid(europe().isel(lat=[0, 2, 1]), LAMBERT, method=method)


def test_latitudes_that_are_none_are_refused():
    lat, lon = np.meshgrid(np.linspace(40, 60, 9), np.linspace(0, 9, 8), indexing="ij")
    lat[3, 4] = lon[3, 4] = 1e20
    dims = ("j", "i")
    ds = xr.Dataset({"t": (dims, lat * 0)}, {"lat": (dims, lat), "lon": (dims, lon)})
    with pytest.raises(InputError, match=r"up to 1e\+20; .*ds\['lat'\].where") as told:
        regrid(ds, LAMBERT)
    line = str(told.value).rpartition(": ")[2]
    mended = regrid(eval(line, {"ds": ds}), LAMBERT)
    assert bool(mended.t.notnull().any())


def test_both_grids_are_told_of_at_once():
    with pytest.raises(InputError) as told:
        regrid(xr.Dataset({"a": ("k", [1.0])}), xr.Dataset({"b": ("k", [1.0])}), method="cubic")
    for part in ("the input: no horizontal", "the grid wanted: no horizontal", "method is 'cubic'"):
        assert part in str(told.value)


def test_other_things_of_the_same_name_are_refused():
    ds = europe().rename(time="x").assign_coords(y=3.0)
    with pytest.raises(InputError) as told:
        regrid(ds, LAMBERT)
    assert "ds.rename({'x': 'x_before'})" in str(told.value)
    assert "ds.drop_vars(['y'])" in str(told.value)


def test_what_runs_along_one_side_alone_is_left_out_with_a_warning():
    ds = europe(zonal=europe().t2m.mean("lon"))
    with pytest.warns(UserWarning, match="'zonal' run along one of") as caught:
        moved = regrid(ds, LAMBERT)
    assert "zonal" not in moved
    assert caught[0].filename == __file__


def test_nothing_to_regrid_is_refused():
    with pytest.raises(InputError, match="no variable runs along"):
        regrid(europe()[["count"]].assign_coords(europe().coords), LAMBERT)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "?"])
def test_lazy_results_are_of_the_type_they_say(dtype):
    lazy = regrid(europe().t2m.astype(dtype).chunk(), LAMBERT)
    assert lazy.dtype == lazy.compute().dtype


def test_packed_data_are_to_be_decoded():
    ds = europe()
    ds["t2m"] = ((ds.t2m - 273.15) * 100).astype("i2")
    ds.t2m.attrs |= {"scale_factor": 0.01, "add_offset": 273.15}
    with pytest.raises(InputError, match=r"scale_factor, add_offset.*ds = xr.decode_cf\(ds\)"):
        regrid(ds, LAMBERT)
    np.testing.assert_allclose(
        regrid(xr.decode_cf(ds), LAMBERT).t2m, regrid(europe(), LAMBERT).t2m, atol=0.02
    )


def test_real_numbers_that_may_be_packed_are_asked_about():
    ds = europe()
    ds.t2m.attrs |= {"scale_factor": 0.01, "add_offset": 0.0, "missing_value": 1e20}
    with pytest.raises(InputError, match="holds real numbers") as told:
        regrid(ds, LAMBERT)
    exec(str(told.value).rpartition("drop them: ")[2], {"ds": ds})
    assert set(ds.t2m.attrs) == {"units", "add_offset", "missing_value"}
    regrid(ds, LAMBERT)


def test_a_text_is_no_grid():
    with pytest.raises(InputError, match="the grid wanted is 'EPSG:27700'; it is a Dataset"):
        regrid(europe(), "EPSG:27700")


def test_longitudes_out_of_turn_get_a_line_that_mends_them():
    ds = europe().assign_coords(lon=europe().lon % 360).sortby("lon")
    with pytest.raises(InputError, match="seen round the earth") as told:
        regrid(ds, LAMBERT)
    mended = eval(str(told.value).rpartition("sort it: ")[2], {"ds": ds})
    np.testing.assert_allclose(regrid(mended, LAMBERT).t2m, regrid(europe(), LAMBERT).t2m)


def test_bounds_that_xarray_has_decoded_count(tmp_path):
    edges = np.array([40.0, 41, 43, 46, 50, 55, 60])
    lat = (
        "lat",
        (edges[1:] + edges[:-1]) / 2 + 0.2,
        {"bounds": "lat_bnds", "units": "degrees_north"},
    )
    bounds = (("lat", "nv"), np.stack([edges[:-1], edges[1:]], -1))
    rain = (("lat", "lon"), np.random.default_rng(0).gamma(1, size=(6, 10)))
    ds = xr.Dataset({"rain": rain, "lat_bnds": bounds}, {"lat": lat, "lon": np.arange(10.0)})
    ds.to_netcdf(tmp_path / "a.nc")
    grid = target_grid(lat=(41, 59), lon=(1, 8), spacing_deg=1)
    moved = regrid(ds, grid, method="conservative").rain
    with xr.open_dataset(tmp_path / "a.nc", decode_coords="all") as decoded:
        assert "bounds" not in decoded.lat.attrs
        again = regrid(decoded, grid, method="conservative").rain
    np.testing.assert_allclose(again, moved, rtol=1e-12)
    without = regrid(ds.drop_vars("lat_bnds"), grid, method="conservative").rain
    assert float(abs(without - moved).max()) > 1e-3
