"""Downscaling keeps its contracts: whatever the chunks, the dimensions, the size, the grid."""

import cloudpickle
import dask.array
import numpy as np
import pytest
import xarray as xr

from tests.toys import PRECIP_RATE, write_toy_model
from xresdiff.downscale import downscale
from xresdiff.engine import runtime
from xresdiff.engine.fields import Fields
from xresdiff.grids.coarsen import coarsen
from xresdiff.grids.coords import check_uniform, find_horizontal
from xresdiff.models.parts import SAMPLER_NAMES, Channel, SamplerCard


@pytest.fixture
def draw(toy):
    """Downscale with the toy model: three members, two steps."""

    def drawn(ds, **changes):
        usual = {"model": toy, "members": 3, "steps": 2, "precision": "float32"}
        return downscale(ds, **(usual | changes))

    return drawn


def assert_close(a, b):
    """Compare everything but the attributes of the whole, values to what is promised."""
    xr.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def assert_conserving(fine, coarse, factor=4):
    """Compare block means with the coarse field, to what is promised."""
    blocks = coarsen(fine.precip_rate.astype("f8"), factor)
    needed = coarse.precip_rate.astype("f8").broadcast_like(blocks.isel(y=0, x=0, drop=True))
    needed = needed.transpose(*blocks.dims)
    np.testing.assert_allclose(blocks, needed, rtol=1e-4, atol=1e-7)


def counted(monkeypatch, owner, name):
    """Note how many fields each call of a method is given."""
    plain, seen = getattr(owner, name), []

    def noting(self, fields, *rest):
        seen.append(len(fields))
        return plain(self, fields, *rest)

    monkeypatch.setattr(owner, name, noting)
    return seen


# Laziness and chunks


@pytest.mark.parametrize(
    "chunks", [None, {"member": 1}, {"member": 2, "time": 3}, {"member": -1, "time": 2}]
)
def test_chunks_do_not_change_members(coarse, draw, chunks):
    lazy = draw(coarse.chunk(time=2, y=4, x=2), chunks=chunks)
    assert lazy.chunks
    assert_close(lazy.compute(), draw(coarse))


def test_chunks_are_those_asked_for(coarse, draw):
    lazy = draw(coarse.chunk(), chunks={"member": 2, "time": 3})
    assert lazy.precip_rate.chunks == ((2, 1), (3,), (24,), (20,))
    usual = draw(coarse.chunk(), members=20)
    assert usual.precip_rate.chunks == ((10, 10), (1, 1, 1), (24,), (20,))


def test_numpy_in_numpy_out(coarse, draw):
    assert draw(coarse).precip_rate.chunks is None
    assert draw(coarse).precip_rate.dtype == np.float32


def test_more_members_keep_the_first(coarse, draw):
    few, many = draw(coarse), draw(coarse.chunk(), members=5, chunks={"member": 2})
    assert many.sizes["member"] == 5
    assert_close(many.isel(member=slice(3)).compute(), few)


def test_members_differ(coarse, draw):
    assert float(draw(coarse).precip_rate.std("member").max()) > 1e-2


def test_times_do_not_share_noise(coarse, draw):
    same = coarse.copy(data={"precip_rate": np.stack([coarse.precip_rate[0]] * 3)})
    members = draw(same).precip_rate
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(abs(members[:, i] - members[:, j]).max()) > 1e-2


def test_every_field_has_noise_of_its_own(coarse, draw, monkeypatch):
    seen = []

    def noting(*what):
        seen.append(what)
        return np.zeros(what[4], dtype=np.float32)

    monkeypatch.setattr(runtime, "normal_field", noting)
    draw(coarse.expand_dims(number=[0, 1]), members=4)
    assert len(set(seen)) == len(seen) == 2 * 3 * 4


def test_a_subset_of_times_is_that_of_the_whole(coarse, draw):
    whole = draw(coarse)
    assert_close(draw(coarse.isel(time=[2])), whole.isel(time=[2]))
    assert_close(draw(coarse.isel(time=[2, 0])), whole.isel(time=[2, 0]))
    assert_close(draw(coarse.isel(time=1)), whole.isel(time=1))


def test_seeds_differ_and_repeat(coarse, draw):
    assert_close(draw(coarse, seed=7), draw(coarse, seed=np.int64(7)))
    assert float(abs(draw(coarse, seed=7) - draw(coarse)).precip_rate.max()) > 1e-2


@pytest.mark.parametrize("changes", [{}, {"stage": "mean"}, {"skipna": True}])
def test_building_computes_nothing(coarse, draw, no_compute, changes):
    in_si = coarse.precip_rate.chunk(time=1, y=4) / 3600
    draw(coarse.assign(precip_rate=in_si.assign_attrs(units="kg m-2 s-1")), **changes)
    assert no_compute.computes == 0


def test_computing_computes_once(coarse, draw):
    with dask.config.set(scheduler="threads"):
        lazy = draw(coarse.chunk(time=1))
        assert_close(lazy.compute(), draw(coarse))


def test_the_mean_runs_once_per_time(coarse, draw, monkeypatch):
    seen = counted(monkeypatch, runtime.Runtime, "mean")
    lazy = draw(coarse.chunk(time=1), members=4, chunks={"member": 1})
    lazy.compute(scheduler="synchronous")
    assert seen == [1, 1, 1]


def test_members_share_the_conditioning(coarse, draw, monkeypatch):
    seen = counted(monkeypatch, Fields, "condition")
    draw(coarse, members=8)
    assert seen == [3, 3]  # of the mean, of all members


def test_graphs_carry_no_weights(coarse, draw, toy):
    lazy = draw(coarse.chunk(time=1))
    graph = cloudpickle.dumps(lazy.__dask_graph__())
    assert toy.key.encode() in graph
    assert len(graph) < 25_000 < len(toy.read(toy.card.residual.file))


def test_graphs_of_many_times_stay_lean(coarse, draw):
    times = np.datetime64("2000-01-01", "ns") + np.arange(500) * np.timedelta64(1, "h")
    zeros = dask.array.zeros((times.size, 6, 5), chunks=(1, 6, 5), dtype="f4")
    long = coarse.drop_vars("precip_rate").assign_coords(time=times)
    long["precip_rate"] = (("time", "y", "x"), zeros, coarse.precip_rate.attrs)
    graph = draw(long, members=16).__dask_graph__()
    assert len(cloudpickle.dumps(graph)) < 1000 * times.size
    assert len(dict(graph)) < 20 * times.size


# What comes out


@pytest.mark.parametrize("stage", ["both", "mean"])
def test_block_means_are_conserved(coarse, draw, stage):
    result = draw(coarse, stage=stage)
    assert_conserving(result, coarse)
    assert float(result.precip_rate.min()) >= 0


def test_the_mean_alone_has_no_members(coarse, draw):
    mean = draw(coarse, stage="mean")
    assert mean.precip_rate.dims == ("time", "y", "x")
    assert_close(draw(coarse.chunk(time=1), stage="mean").compute(), mean)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("steps", [1, 3])
def test_every_sampler_runs(coarse, draw, sampler, steps):
    own = SamplerCard(name=sampler, churn=0.0 if sampler == "dpmpp_2m" else 3.0)
    result = draw(coarse.isel(time=[0]), sampler=own, steps=steps)
    assert bool(np.isfinite(result.precip_rate).all())
    assert (result.attrs["xresdiff_sampler"], result.attrs["xresdiff_steps"]) == (sampler, steps)


def test_rain_below_zero_counts_as_none(coarse, draw):
    packed = coarse.copy(deep=True)
    packed.precip_rate[0, 0, 0] = -1e-4
    dry = coarse.copy(deep=True)
    dry.precip_rate[0, 0, 0] = 0
    assert_close(draw(packed), draw(dry))


def test_units_are_converted(coarse, draw):
    flux = (coarse.precip_rate / 3600).assign_attrs(units="kg m-2 s-1", standard_name="rain_flux")
    result = draw(coarse.assign(precip_rate=flux))
    assert result.precip_rate.units == "mm h-1"
    assert_close(result, draw(coarse))


def test_names_of_elsewhere_are_found(coarse, draw):
    assert_close(draw(coarse.rename(precip_rate="pr")), draw(coarse))
    assert_close(draw(coarse.rename(precip_rate="regen")), draw(coarse))  # by standard name


def test_several_inputs_one_of_them_without_time(coarse, draw, tmp_path):
    height = Channel("orog", "surface_altitude", "m", mean=500.0, std=300.0)
    inputs = (PRECIP_RATE, height)
    model = write_toy_model(tmp_path / "two", inputs=inputs, conditioning=("bilinear",))
    rows = 100.0 * np.arange(6)[:, None] * np.ones((6, 5))
    flat = coarse.assign(orog=(("y", "x"), 0 * rows, {"units": "m"}))
    steep = coarse.assign(orog=(("y", "x"), rows / 1e3, {"units": "km"}))
    result = draw(steep, model=model)
    assert_conserving(result, coarse)
    assert float(abs(result - draw(flat, model=model)).precip_rate.max()) > 1e-2
    assert_close(draw(steep.chunk(y=3), model=model).compute(), result)


@pytest.mark.parametrize(("factor", "patch"), [(3, 32), (5, 16)])
def test_factors_that_do_not_divide_the_patch(coarse, draw, tmp_path, factor, patch):
    model = write_toy_model(tmp_path / "odd", factor=factor, patch=patch)
    result = draw(coarse.isel(time=[0]), model=model)
    assert result.sizes["y"] == 6 * factor
    assert_conserving(result, coarse.isel(time=[0]), factor)


def test_the_caller_keeps_what_they_had(coarse, draw):
    coarse["time"].attrs["bounds"] = "time_bounds"
    coarse["time_bounds"] = (("time", "edge"), np.zeros((3, 2)))
    before = coarse.copy(deep=True)
    result = draw(coarse)
    for variable in result.variables.values():
        variable.attrs["touched"] = "yes"
    result.attrs["touched"] = "yes"
    xr.testing.assert_identical(coarse, before)
    assert coarse.precip_rate.encoding == before.precip_rate.encoding


# Dimensions, sizes, grids


def with_leading(coarse, dims):
    """Give rain the leading dimensions named, of two labels each."""
    rain = coarse.isel(time=0, drop=True)
    for dim in dims:
        scaled = [rain, rain * 0.5]
        rain = xr.concat(scaled, xr.DataArray([3, 7], dims=dim, name=dim), coords="minimal")
    return rain.assign(precip_rate=rain.precip_rate.assign_attrs(coarse.precip_rate.attrs))


@pytest.mark.parametrize(
    ("dims", "member"),
    [
        ((), "member"),
        (("time",), "member"),
        (("step", "init"), "member"),
        (("time", "number"), "sample"),
        (("member",), "sample"),
        (("sample",), "member"),
    ],
)
def test_any_leading_dims(coarse, draw, dims, member):
    ds = with_leading(coarse, dims)
    eager = draw(ds)
    assert eager.precip_rate.dims == (member, *reversed(dims), "y", "x")
    assert_conserving(eager, ds)
    assert_close(draw(ds.chunk()).compute(), eager)


def test_dims_without_labels(coarse, draw):
    same = coarse.copy(data={"precip_rate": np.stack([coarse.precip_rate[0]] * 3)})
    bare = same.drop_vars("time")
    result = draw(bare)
    assert "time" not in result.coords
    assert float(abs(result.precip_rate[:, 0] - result.precip_rate[:, 1]).max()) > 1e-2
    assert_close(draw(bare.chunk(time=1)).compute(), result)


def test_the_order_of_dims_does_not_matter(coarse, draw):
    ds = with_leading(coarse, ("time", "step"))
    other = draw(ds.transpose("x", "time", "y", "step"))
    assert other.precip_rate.dims == ("member", "time", "step", "y", "x")
    assert_close(other.transpose(*draw(ds).precip_rate.dims), draw(ds))


def test_variables_that_are_not_asked_for_do_not_matter(coarse, draw):
    more = coarse.assign(winds=(("level", "time", "y", "x"), np.zeros((0, 3, 6, 5))))
    xr.testing.assert_equal(draw(more), draw(coarse))


@pytest.mark.parametrize("size", [(2, 2), (3, 7), (8, 8), (9, 2), (17, 5)])
def test_any_size(draw, size):
    rng = np.random.default_rng(0)
    rate = rng.exponential(size=(2, *size)).astype("f4") * rng.integers(0, 2, (2, *size))
    coords = {d: 16.0 * np.arange(n) for d, n in zip(("y", "x"), size, strict=True)}
    ds = xr.Dataset({"precip_rate": (("time", "y", "x"), rate, {"units": "mm h-1"})}, coords)
    for dim in ("y", "x"):
        ds[dim].attrs["units"] = "km"
    result = draw(ds)
    assert result.precip_rate.shape == (3, 2, 4 * size[0], 4 * size[1])
    assert_conserving(result, ds)
    assert_close(draw(ds.chunk(time=1)).compute(), result)


def test_fields_larger_than_a_window(draw, rain):
    ds = rain[0].isel(time=[0, 1]).drop_vars(["lat", "lon"]).pad(x=(0, 7), mode="wrap")
    ds = ds.assign_coords(x=("x", 16e3 * np.arange(12), ds.x.attrs))
    result = draw(ds, members=2, tile=32, overlap=16)
    assert result.precip_rate.shape == (2, 2, 24, 48)
    assert_conserving(result, ds)
    lazy = draw(ds.chunk(time=1), members=2, tile=32, overlap=16).compute()
    assert_close(lazy, result)
    assert not draw(ds, members=2).equals(result)


def on_globe(coarse, lat, lon):
    """Put rain on latitudes and longitudes."""
    rate = (("time", "lat", "lon"), coarse.precip_rate.values, coarse.precip_rate.attrs)
    lat, lon = (("lat", lat, {"units": "degrees_north"}), ("lon", lon, {"units": "degrees_east"}))
    return xr.Dataset({"precip_rate": rate}, {"time": coarse.time, "lat": lat, "lon": lon})


@pytest.mark.parametrize(
    ("dtype", "start", "direction"),
    [("f8", 7.0, 1), ("f4", 7.0, -1), ("f4", 359.55, 1), ("f8", 359.55, -1), ("f4", -180.15, 1)],
)
def test_latitude_either_way_up_longitudes_of_any_turn(coarse, draw, dtype, start, direction):
    lat = (20 + 0.15 * np.arange(6)).astype(dtype)[::direction]
    lon = (start + 0.15 * np.arange(5)).astype(dtype)
    lon = lon % 360 if start > 180 else lon
    ds = on_globe(coarse, lat, lon)
    result = draw(ds)
    blocks = coarsen(result, 4)
    np.testing.assert_allclose(blocks.lat, lat, atol=1e-4)
    turn = (blocks.lon - lon + 180) % 360 - 180
    np.testing.assert_allclose(turn, 0, atol=1e-4)
    np.testing.assert_allclose(blocks.precip_rate, ds.precip_rate.expand_dims(member=3), rtol=1e-4)
    assert check_uniform(find_horizontal(result)) == []
    assert_close(draw(ds.chunk(time=1)).compute(), result)


def test_a_lazy_coordinate_makes_no_lazy_result(coarse, draw):
    beside = coarse.assign_coords(lead=("time", dask.array.arange(3)))
    assert draw(beside).precip_rate.chunks is None
