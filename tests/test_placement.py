"""The networks work on the input's own grid, or on blocks of the one that is wanted."""

import re
import warnings

import cloudpickle
import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from tests.toys import PRECIP_RATE, write_toy_model
from xresdiff.downscale import downscale
from xresdiff.engine.arguments import Arguments
from xresdiff.engine.inputs import stacked
from xresdiff.engine.request import check_request
from xresdiff.errors import InputError
from xresdiff.grids.coarsen import coarsen, unrefine
from xresdiff.grids.regrid import regrid
from xresdiff.grids.target import target_grid
from xresdiff.models.parts import Channel

NATIONAL = target_grid(crs="EPSG:27700", center=(54.0, -2.0), spacing_km=4, shape=(24, 20))


@pytest.fixture
def era():
    """Rain like that of ERA5: 0.25 degrees, north first, longitudes beyond 180, two hours."""
    lat, lon = np.arange(57, 50.9, -0.25), np.arange(354, 361.1, 0.25)
    rain = np.random.default_rng(0).gamma(0.5, 2.0, (2, lat.size, lon.size)).astype("f4")
    coords = {
        "time": np.array(["2024-07-01T00", "2024-07-01T01"], "M8[ns]"),
        "latitude": lat,
        "longitude": lon % 360,
    }
    attrs = {"units": "mm h-1"}
    return xr.Dataset({"tp": (("time", "latitude", "longitude"), rain, attrs)}, coords)


@pytest.fixture
def draw(toy):
    def drawn(ds, **changes):
        usual = {"model": toy, "members": 2, "steps": 1, "precision": "float32", "grid": NATIONAL}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*expect extremes that are too weak")
            return downscale(ds, **(usual | changes))

    return drawn


def refusal(draw, *args, **kwargs):
    with pytest.raises(InputError) as told:
        draw(*args, **kwargs)
    return str(told.value)


def test_the_grid_wanted_is_the_grid_given(era, draw):
    before = era.copy(deep=True)
    ens = draw(era)
    assert ens.precip_rate.dims == ("member", "time", "y", "x")
    for name in ("y", "x", "lat", "lon", "crs"):
        xr.testing.assert_identical(ens[name].variable, NATIONAL[name].variable)
    assert ens.precip_rate.attrs["grid_mapping"] == "crs"
    assert not {"latitude", "longitude"} & set(ens.variables)
    assert bool(ens.precip_rate.notnull().all())
    xr.testing.assert_identical(era, before)


def test_blocks_hold_the_rain_that_fell(era, draw):
    ens = draw(era)
    coarse = regrid(era, unrefine(NATIONAL, 4), method="conservative").tp
    blocks = coarsen(ens.precip_rate.astype("f8"), 4)
    for member in blocks.transpose("member", ...).values:
        np.testing.assert_allclose(member, coarse.transpose("time", "y", "x"), rtol=1e-4)


def test_sizes_need_not_be_multiples(era, draw):
    whole, part = draw(era), draw(era, grid=NATIONAL.isel(y=slice(22), x=slice(17)))
    assert dict(part.sizes) == {"member": 2, "time": 2, "y": 22, "x": 17}
    inside = {"y": slice(20), "x": slice(16)}
    np.testing.assert_allclose(
        coarsen(part.isel(inside), 4).precip_rate,
        coarsen(whole.isel(inside), 4).precip_rate,
        rtol=1e-3,
    )


@pytest.mark.filterwarnings("ignore:the spacing of the input")
@pytest.mark.parametrize("rows", range(20, 29))
def test_a_constant_stays_constant_to_the_last_row(era, draw, toy, rows):
    flat = era * 0 + 1
    flat.tp.attrs["units"] = "mm h-1"
    area = target_grid(flat, spacing_km=4)
    grid = area.isel(lat=slice(-rows, None), lon=slice(-rows, None))
    means = draw(flat, grid=grid, stage="mean").precip_rate
    last = rows // 4 * 4
    whole = coarsen(means.isel(lat=slice(last), lon=slice(last)), 4)
    np.testing.assert_allclose(whole, 1, rtol=1e-4)
    blocks = stacked(flat, check_request(flat, toy, Arguments(grid=grid)), [], {})
    np.testing.assert_allclose(blocks, 1, rtol=1e-6)


def test_the_last_block_may_reach_beyond_the_input(era, draw):
    grid = target_grid(era, spacing_km=4)
    grid = grid.isel(lat=slice(-30, None), lon=slice(-30, None))
    assert bool(draw(era, grid=grid).precip_rate.notnull().all())


@pytest.mark.parametrize("stage", ["both", "mean"])
def test_chunked_is_eager(era, draw, stage):
    lazy = draw(era.chunk(time=1, latitude=9), stage=stage, chunks={"member": 1})
    xr.testing.assert_allclose(lazy.compute(), draw(era, stage=stage), rtol=1e-4, atol=1e-5)


def test_building_computes_nothing(era, draw):
    amounts = era.chunk(time=1) * 1e-3
    amounts.tp.attrs["units"] = "m"
    with raise_if_dask_computes():
        draw(amounts, accumulation="1h", skipna=True)


def test_graphs_stay_small(era, draw):
    sizes = []
    for spacing in (4, 3):
        fine = target_grid(NATIONAL, spacing_km=spacing)
        lazy = draw(era.chunk(time=1), grid=fine)
        graph = {k: v for k, v in lazy.__dask_graph__().layers.items() if "tp" not in k}
        sizes.append(len(cloudpickle.dumps(graph)))
    assert sizes[1] < 1.2 * sizes[0]


@pytest.mark.parametrize("turn", [-360, 0, 360])
@pytest.mark.parametrize("flip", [1, -1])
def test_the_convention_of_the_input_does_not_matter(era, draw, turn, flip):
    other = era.assign_coords(longitude=era.longitude + turn).isel(latitude=slice(None, None, flip))
    same = draw(other.transpose("longitude", "time", "latitude"))
    xr.testing.assert_allclose(same.transpose(*draw(era).dims), draw(era), rtol=1e-3, atol=1e-4)


def test_curvilinear_inputs_go_anywhere(era, draw):
    around = target_grid(
        crs="+proj=laea +lat_0=54 +lon_0=-2", center=(54, -2), spacing_km=18, shape=(24, 22)
    )
    curved = regrid(era, around).drop_vars(["y", "x", "crs"])
    assert "two-dimensional" in refusal(draw, curved, grid=None)
    ens = draw(curved)
    assert bool(ens.precip_rate.notnull().all())
    needed = coarsen(draw(era, regridding="bilinear"), 4).precip_rate.mean()
    assert float(ens.precip_rate.mean()) == pytest.approx(float(needed), rel=0.1)


def test_curvilinear_grids_can_be_wanted(era, draw):
    curved = NATIONAL.drop_vars(["y", "x", "crs"])
    ens = draw(era, grid=curved)
    assert ens.precip_rate.dims == ("member", "time", "y", "x")
    xr.testing.assert_identical(ens.lat.variable, NATIONAL.lat.variable)
    means = coarsen(draw(era), 4).precip_rate
    found = ens.precip_rate.values.reshape(2, 2, 6, 4, 5, 4).mean(axis=(3, 5))
    np.testing.assert_allclose(found, means, rtol=2e-3, atol=1e-3)


def test_fluxes_are_averaged_and_states_interpolated(tmp_path):
    t2m = Channel("t2m", "air_temperature", "K", mean=280, std=10)
    model = write_toy_model(
        tmp_path / "toy", inputs=(PRECIP_RATE, t2m), conditioning=("bilinear",), conserve=()
    )
    rain = xr.Dataset(
        {
            "pr": (("lat", "lon"), np.ones((9, 9)), {"units": "kg m-2 s-1"}),
            "t2m": (("lat", "lon"), np.ones((9, 9)), {"units": "K"}),
        },
        coords={"lat": np.linspace(50, 51, 9), "lon": np.linspace(0, 1.6, 9)},
    )
    request = check_request(rain, model, Arguments())
    assert request.methods == ("conservative", "bilinear")
    grid = target_grid(lat=(50.2, 50.8), lon=(0.2, 1.2), spacing_km=4)
    request = check_request(rain, model, Arguments(grid=grid, regridding="nearest_s2d"))
    assert request.methods == ("nearest_s2d", "nearest_s2d")


def test_missing_values_are_regridded_around(era, draw):
    era.tp[0, 10:14, 12:18] = np.nan
    with pytest.raises(InputError, match="are missing"):
        draw(era)
    gaps = [
        int(draw(era, skipna=True, na_thres=share).precip_rate.isnull().sum())
        for share in (0.01, 1)
    ]
    assert gaps[0] > gaps[1] > 0


def test_missing_values_are_named_where_they_are(era, draw):
    era.tp[1, 12, 16] = np.nan
    message = refusal(draw, era)
    assert "1 of " in message
    assert "values of 'tp' are missing, the first at" in message
    assert "time=2024-07-01T01:00:00, latitude=54.0, longitude=358.0" in message


def test_missing_values_elsewhere_do_not_matter(era, draw):
    era.tp[:, 0, 0] = np.nan
    near = target_grid(crs="EPSG:27700", center=(52.0, 0.0), spacing_km=4, shape=(16, 16))
    assert bool(draw(era, grid=near).precip_rate.notnull().all())


def test_a_grid_beyond_the_input_is_refused(era, draw):
    grid = target_grid(lat=(50, 55), lon=(-9, 0), spacing_km=4)
    message = refusal(draw, era, grid=grid)
    assert "covers 50.875 to 57.125 N, 6.125 W to 1.125 E, the grid wanted 50.0 to 54.9" in message
    assert "0.875 degrees in the south, 2.875 degrees in the west are missing" in message


def test_corners_that_a_curvilinear_input_lacks_are_refused(era, draw):
    around = target_grid(
        crs="+proj=laea +lat_0=54 +lon_0=-2", center=(54, -2), spacing_km=18, shape=(26, 22)
    )
    curved = regrid(era.isel(time=0), around).drop_vars(["y", "x", "crs"]).fillna(0)
    lat, lon = curved.lat, curved.lon
    turned = curved.assign_coords(
        lat=54 + (lat - 54) * 0.7 + (lon + 2) * 0.4, lon=-2 + (lon + 2) * 0.7 - (lat - 54) * 0.9
    )
    low, high = float(turned.lat.min()) + 0.3, float(turned.lat.max()) - 0.3
    west, east = float(turned.lon.min()) + 0.4, float(turned.lon.max()) - 0.4
    grid = target_grid(lat=(low, high), lon=(west, east), spacing_km=4)
    message = refusal(draw, turned, grid=grid)
    assert re.search(
        r"leaves \d+ of \d+ cells of the grid uncovered, up to \d+ cells away", message
    )


@pytest.mark.parametrize(("spacing", "told"), [(1, "its spacing is 1 x 1 km"), (9, "9 x 9 km")])
def test_a_grid_of_another_spacing_is_refused(era, draw, spacing, told):
    grid = target_grid(crs="EPSG:27700", center=(54.0, -2.0), spacing_km=spacing, shape=(24, 20))
    message = refusal(draw, era, grid=grid)
    assert told in message
    assert "toy takes 12 to 20 km, best 16, and refines them by 4. Give one of 3 to 5 km" in message
    assert "grid=xresdiff.target_grid(ds, spacing_km=4)" in message


def test_a_far_coarser_input_is_refused(era, draw):
    message = refusal(draw, era.isel(latitude=slice(None, None, 4), longitude=slice(None, None, 4)))
    assert "the spacing of the input is 111 x 65.4 km; toy takes 12 to 20 km" in message
    assert "use a model for that spacing" in message


def test_a_somewhat_coarser_input_is_warned_of(era, toy):
    with pytest.warns(UserWarning, match="27.8 x 16.3 km; toy takes 12 to 20 km") as warned:
        downscale(era, model=toy, members=1, steps=1, grid=NATIONAL)
    assert len(warned) == 1


def test_the_line_to_type_works(era, draw, toy):
    message = refusal(draw, era, grid=None)
    line = re.search(r"ds\.resdiff\.downscale\(grid=(xresdiff.*)\)$", message).group(1)
    assert line == "xresdiff.target_grid(ds, spacing_km=4)"
    ens = draw(era, grid=target_grid(era, spacing_km=4), stage="mean")
    assert bool(ens.precip_rate.notnull().all())


def test_disorder_is_refused_of_both_grids(era, draw):
    mixed = NATIONAL.isel(y=[0, 2, 1, *range(3, 24)])
    message = refusal(draw, era.isel(latitude=[1, 0, *range(2, 25)]), grid=mixed)
    assert "the coordinate 'latitude' neither rises nor falls throughout" in message
    assert "grid: the coordinate 'y' neither rises nor falls throughout" in message


def test_what_is_no_grid_is_refused(era, draw):
    message = refusal(draw, era, grid=(200, 300), regridding="cubic", accumulation="1 apple")
    for told in ("grid is a tuple", "regridding is 'cubic'", "1 apple"):
        assert told in message
    assert "no horizontal coordinates" in refusal(draw, era, grid=xr.Dataset())
    assert "there is no grid to go to" in refusal(draw, era, grid=None, regridding="bilinear")


def test_another_grid_is_another_input(era, draw):
    other = NATIONAL.assign_coords(lat=NATIONAL.lat + 1e-6)
    tokens = {
        draw(ds, **how).attrs["xresdiff_input"]
        for ds, how in (
            (era, {}),
            (era, {"grid": other}),
            (era, {"regridding": "bilinear"}),
            (era.assign(tp=era.tp * 2), {}),
        )
    }
    assert len(tokens) == 4
