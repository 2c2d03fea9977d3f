"""Models that bring a grid of their own: the way of the fields to it, through it and back."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import uniform_filter
from torch.nn import functional as F

from tests.helpers import raise_if_dask_computes
from tests.toys import fixed_card, write_fixed_model
from xresdiff import downscale, finetune, target_grid
from xresdiff.engine import missing, runtime
from xresdiff.engine.fixed import Fixed, sea_ice_covered
from xresdiff.engine.noise import normal_field
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Extra, FixedTarget, Padding, Patching
from xresdiff.models.grid_file import write_grid

rng = np.random.default_rng(7)
LAT, LON = np.linspace(24.0, 26.0, 24), np.linspace(119.0, 122.0, 36)
LAT_2D, LON_2D = (a + 0.1 * b for a, b in zip(
    np.meshgrid(LAT, LON, indexing="ij"), np.meshgrid(LON - 119, LAT - 24)[::-1], strict=True
))  # fmt: skip
OROGRAPHY = rng.normal(size=(24, 36)).astype(np.float32)
CURVED = write_grid(LAT_2D, LON_2D, statics={"orography": OROGRAPHY})
EXTRAS = (
    Extra("static", "orography", mean=0.5, std=2.0),
    Extra("cos_zenith", mean=0.25, std=0.5),
    Extra("hour_of_day", mean=12.0, std=7.0),
)


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    path = tmp_path_factory.mktemp("bay") / "bay"
    return write_fixed_model(path, CURVED, told=3, extras=EXTRAS)


@pytest.fixture
def era5():
    """Three times of fields as ERA5 has them: a grid of 0.25 degrees, north first."""
    lat, lon = np.arange(28.0, 21.9, -0.25), np.arange(117.0, 124.1, 0.25)
    axes = {
        "time": np.datetime64("2021-09-12T06:00", "ns") + np.arange(3) * np.timedelta64(5, "h"),
        "latitude": ("latitude", lat, {"units": "degrees_north"}),
        "longitude": ("longitude", lon, {"units": "degrees_east"}),
    }
    noise = np.random.default_rng(0).normal(size=(2, 3, lat.size, lon.size)).astype("f4")
    dims = ("time", "latitude", "longitude")
    fields = {
        "t2m": (dims, 285 + 3 * noise[0], {"units": "K"}),
        "u10": (dims, 5 * noise[1], {"units": "m s-1"}),
    }
    return xr.Dataset(fields, axes)


def draw(ds, model, **changes):
    return downscale(ds, model=model, **({"members": 2, "steps": 2} | changes))


def refusal(ds, model, **changes):
    with pytest.raises(InputError) as caught:
        draw(ds, model, **changes)
    return str(caught.value)


def assert_close(a, b):
    xr.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


class TestResults:
    def test_they_lie_on_the_models_grid(self, era5, bay):
        ens = draw(era5, bay)
        assert ens.t2m.dims == ("member", "time", "y", "x")
        np.testing.assert_array_equal(ens.lat, LAT_2D)
        np.testing.assert_array_equal(ens.lon, LON_2D)
        assert ens.t2m.attrs["units"] == "K"
        assert ens.t2m.attrs["standard_name"] == "air_temperature"
        assert ens.lat.attrs["standard_name"] == "latitude"
        assert bool(np.isfinite(ens.t2m).all())

    def test_lazy_and_chunked_are_the_same(self, era5, bay):
        whole = draw(era5, bay, members=3)
        with raise_if_dask_computes():
            lazy = draw(era5.chunk(time=1), bay, members=3, chunks={"member": 2})
        assert lazy.t2m.chunksizes["member"] == (2, 1)
        assert_close(lazy.compute(), whole)
        assert_close(draw(era5.isel(time=[1]), bay, members=1), whole.isel(time=[1], member=[0]))

    def test_the_input_is_left_as_it_is(self, era5, bay):
        before = era5.copy(deep=True)
        draw(era5, bay)
        assert era5.identical(before)

    def test_the_order_of_latitudes_does_not_matter(self, era5, bay):
        assert_close(draw(era5.isel(latitude=slice(None, None, -1)), bay), draw(era5, bay))

    def test_longitudes_may_count_from_elsewhere(self, era5, bay):
        west = era5.assign_coords(longitude=("longitude", era5.longitude.values - 360))
        assert_close(draw(west.assign_coords(longitude=west.longitude), bay), draw(era5, bay))

    def test_a_grid_of_a_tenth_of_a_degree_in_float32(self, era5, bay):
        lat, lon = np.arange(28.0, 21.9, -0.1), np.arange(117.0, 124.1, 0.1)
        fine = era5.interp(latitude=lat, longitude=lon, kwargs={"fill_value": "extrapolate"})
        for name in ("latitude", "longitude"):
            fine[name].attrs = era5[name].attrs
        with pytest.warns(UserWarning, match="know less detail"):
            exact = draw(fine, bay)
        rounded = fine.assign_coords(
            {n: (n, fine[n].values.astype("f4"), fine[n].attrs) for n in ("latitude", "longitude")}
        )
        with pytest.warns(UserWarning, match="know less detail"):
            assert_close(draw(rounded, bay), exact)

    @pytest.mark.parametrize("kind", ["projected", "curvilinear"])
    def test_grids_without_meridians_are_regridded_along_great_circles(self, era5, bay, kind):
        days = np.arange(3) * np.timedelta64(5, "h") + era5.time.values[0]
        grid = target_grid(lat=(22.5, 27.5), lon=(117.5, 123.5), spacing_km=20, crs="EPSG:3826")
        lat = grid.lat.values
        t2m = np.broadcast_to(280 + lat, (3, *lat.shape)).astype("f4")
        fields = {
            "t2m": (("time", "y", "x"), t2m, {"units": "K"}),
            "u10": (("time", "y", "x"), np.zeros_like(t2m), {"units": "m s-1"}),
        }
        ds = xr.Dataset(fields, {"time": days, "lat": grid.lat, "lon": grid.lon})
        ds = ds.assign_coords(grid.coords) if kind == "projected" else ds.drop_vars(["y", "x"])
        even = era5.assign(t2m=280 + era5.latitude + 0 * era5.t2m, u10=0 * era5.u10)
        for name in even.data_vars:
            even[name].attrs = era5[name].attrs
        expected = draw(even, bay, stage="mean")
        xr.testing.assert_allclose(draw(ds, bay, stage="mean"), expected, atol=0.05)

    def test_the_regridding_may_be_chosen(self, era5, bay):
        nearest = draw(era5, bay, stage="mean", regridding="nearest_s2d")
        assert not nearest.equals(draw(era5, bay, stage="mean"))

    def test_the_mean_alone(self, era5, bay):
        mean = draw(era5, bay, stage="mean")
        assert mean.t2m.dims == ("time", "y", "x")

    @pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
    def test_one_step(self, era5, bay, sampler):
        ens = draw(era5.isel(time=[0]), bay, steps=1, sampler=sampler)
        assert bool(np.isfinite(ens.u10).all())

    def test_no_two_times_share_noise(self, era5, bay):
        same = era5.isel(time=[0, 0]).assign_coords(time=era5.time[:2] + np.timedelta64(24, "h"))
        ens = draw(same, write_like(bay, extras=()), members=1)
        assert float(abs(ens.t2m[0, 0] - ens.t2m[0, 1]).mean()) > 0.1

    @pytest.mark.parametrize("lat", [LAT, LAT[::-1]])
    def test_a_rectilinear_target(self, era5, tmp_path, lat):
        model = write_fixed_model(tmp_path / "m", write_grid(lat, LON))
        ens = draw(era5, model)
        assert ens.t2m.dims == ("member", "time", "lat", "lon")
        np.testing.assert_array_equal(ens.lat, lat)


def write_like(model, **changes):
    """Write a sibling of a model beside it."""
    path = model.path.with_name("sibling")
    return write_fixed_model(path, CURVED, **changes)


class TestRefusals:
    def test_an_input_that_is_too_small(self, era5, bay):
        message = refusal(era5.sel(longitude=slice(117, 121)), bay)
        assert "in the east are missing. Give bay fields of its whole domain" in message

    def test_a_grid_of_the_users(self, era5, bay):
        assert "leave grid= out and regrid the result" in refusal(era5, bay, grid=era5)

    def test_an_input_that_is_too_coarse(self, era5, bay):
        coarse = era5.isel(latitude=slice(None, None, 4), longitude=slice(None, None, 4))
        assert "bay learned from fields of 28 km" in refusal(coarse, bay)

    def test_an_input_without_time(self, era5, bay):
        timeless = era5.isel(time=0, drop=True)
        assert "the input has no time: ds.assign_coords(time=" in refusal(timeless, bay)

    def test_a_scalar_time_is_enough(self, era5, bay):
        assert_close(draw(era5.isel(time=1), bay), draw(era5, bay).isel(time=1))

    def test_one_missing_value(self, era5, bay):
        era5.t2m[1, 10, 10] = np.nan
        message = refusal(era5, bay)
        assert "1 of 1 values" in message or "'t2m' are missing, the first at" in message
        assert "time=2021-09-12T11:00" in message
        assert "latitude=25.5" in message

    def test_missing_values_of_several_variables_are_told_at_once(self, era5, bay):
        era5.t2m[1, 10, 10] = np.nan
        era5.u10[0, 11, 11] = np.nan
        message = refusal(era5, bay)
        assert "for 2 reasons" in message
        assert "values of 't2m' are missing" in message
        assert "values of 'u10' are missing" in message
        assert "regrid around them" in message

    def test_units_that_are_not_what_they_are_said_to_be(self, era5, bay):
        celsius = era5.assign(t2m=(era5.t2m - 273.15).assign_attrs(units="K"))
        message = refusal(celsius, bay)
        assert "their median is 11." in message
        assert "the model knows 285 give or take 8" in message
        assert "ds['t2m'].attrs['units']" in message

    def test_missing_values_stay_where_they_are(self, era5, bay):
        era5.t2m[1, 10, 10] = np.nan
        ens = draw(era5, bay, skipna=True, na_thres=0.0)
        share = ens.t2m.isnull().mean(("member", "y", "x")).values
        assert share[0] == share[2] == 0
        assert 0 < share[1] < 0.05

    def test_geopotential_for_height(self, era5, tmp_path):
        gh = Channel("gh", "geopotential_height", "m", level_Pa=5e4, regridding="latlon_bilinear")
        days = tuple(dataclasses.replace(gh, offset_h=h) for h in (-24.0, 0.0, 24.0))
        model = write_fixed_model(
            tmp_path / "m", write_grid(LAT, LON), inputs=days, outputs=fixed_card().outputs
        )
        z = era5.t2m.expand_dims(level=[500]).assign_attrs(units="m2 s-2")
        message = refusal(z.to_dataset(name="z"), model)
        assert "'z' is geopotential, 'gh' is geopotential height, in 'm': ds['gh'] = " in message
        assert "500 and 500" not in message

    def test_fine_tuning(self, era5, bay):
        with pytest.raises(InputError, match="cannot fine-tune bay"):
            finetune(era5, era5, model=bay)


class TestConditions:
    def told(self, model, coarse, hour=0.0):
        moments = torch.tensor([[hour * 3600, 0.0]] * len(coarse), dtype=torch.float64)
        domain = Fixed(model)
        return domain.condition(domain.enter(coarse), moments)

    def test_inputs_then_extras_normalised(self, bay):
        coarse = torch.full((1, 2, 24, 36), 293.0)
        known = self.told(bay, coarse, hour=18.0)
        assert known.shape == (1, 5, 24, 36)
        assert float(known[0, 0, 0, 0]) == (293 - 285) / 8
        np.testing.assert_allclose(known[0, 2], (OROGRAPHY - 0.5) / 2, rtol=1e-6)
        assert float(known[0, 4, 3, 3]) == pytest.approx((18 - 12) / 7)

    def test_the_sun_is_that_of_the_place(self, bay):
        noon = self.told(bay, torch.zeros(1, 2, 24, 36), hour=4.0)[0, 3] * 0.5 + 0.25
        night = self.told(bay, torch.zeros(1, 2, 24, 36), hour=16.0)[0, 3] * 0.5 + 0.25
        # on 1 January the sun is 23 degrees south of the equator, and 48 degrees from here
        np.testing.assert_allclose(noon, np.cos(np.radians(LAT_2D + 23)), atol=0.02)
        assert bool((night < 0).all())

    def test_stretched_inputs_go_by_row_and_column(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, stretched=True)
        grid = write_grid(LAT, LON, coarse=(np.linspace(24, 26, 8), np.linspace(119, 122, 9)))
        model = write_fixed_model(tmp_path / "m", grid, target=target)
        coarse = torch.randn(2, 2, 8, 9)
        whole = F.interpolate(coarse, (24, 36), mode="bilinear", align_corners=False)
        expected = (whole - torch.tensor([285.0, 0]).reshape(1, 2, 1, 1)) / torch.tensor(
            [8.0, 5.0]
        ).reshape(1, 2, 1, 1)
        torch.testing.assert_close(self.told(model, coarse), expected, rtol=1e-5, atol=1e-5)

    def test_padding_goes_round_the_earth(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((2, 2), (3, 1), around=True))
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), target=target)
        known = self.told(model, torch.randn(1, 2, 24, 36))
        assert known.shape == (1, 2, 28, 40)
        torch.testing.assert_close(known[..., 2:26, :3], known[..., 2:26, 36:39])
        torch.testing.assert_close(known[..., :2, :], known[..., [4, 3], :])
        assert Fixed(model).crop((24, 36)) == (slice(2, 26), slice(3, 39))

    def test_snow_covers_ice(self):
        names = [("siconc", -24.0), ("snc", -24.0), ("siconc", 0.0), ("snc", 0.0)]
        inputs = tuple(Channel(n, "", "%", offset_h=h) for n, h in names)
        card = fixed_card(inputs=inputs, sea_ice_cover=True)
        coarse = 70 * torch.rand(2, 4, 6, 8)
        before = coarse.clone()
        covered = sea_ice_covered(coarse, card)
        for ice, snow in ((0, 1), (2, 3)):
            total = (coarse[:, ice] + coarse[:, snow]).clamp(0, 100).double().numpy()
            rows = uniform_filter(total, (0, 3, 0), mode="nearest")
            expected = uniform_filter(rows, (0, 0, 3), mode="wrap")
            np.testing.assert_allclose(covered[:, ice], expected, rtol=1e-5)
        assert torch.equal(covered[:, 1::2], coarse[:, 1::2])
        assert torch.equal(coarse, before)


class Seen:
    """A network that gives back its noisy field, and remembers what it was told."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, condition, sigma=None, lead_time=None, position=None):
        self.calls.append({"condition": condition, "lead_time": lead_time, "position": position})
        return x if x is not None else condition[:, :2]


def lone_runtime(model, monkeypatch):
    """Open a model whose networks are `Seen`."""
    loaded = runtime.Runtime(model, torch.device("cpu"), torch.float32)
    for name in ("_mean_net", "_residual_net"):
        monkeypatch.setattr(loaded, name, Seen())
    return loaded


class TestNetworks:
    def members(self, loaded, coarse, moments=None):
        draws = [runtime.Draw(time, ("here",), member) for time in (0, 1) for member in (0, 1)]
        settings = runtime.Settings(loaded.card.sampler)
        mean = loaded.mean(coarse, moments)
        return loaded.members(coarse, mean, draws, settings, moments)

    def test_the_residual_is_told_the_mean_first(self, bay, monkeypatch):
        loaded = lone_runtime(bay, monkeypatch)
        self.members(loaded, rng.normal(size=(2, 2, 24, 36)).astype("f4"))
        told = loaded._residual_net.calls[0]["condition"]
        assert told.shape[1] == 2 + 2 + 3
        assert torch.equal(told[:, :2], told[:, 2:4])  # the mean of `Seen` are the inputs

    def test_or_not(self, tmp_path, monkeypatch):
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), mean_conditioning=False)
        loaded = lone_runtime(model, monkeypatch)
        self.members(loaded, rng.normal(size=(2, 2, 24, 36)).astype("f4"))
        assert loaded._residual_net.calls[0]["condition"].shape[1] == 2

    def test_lead_times_reach_both_networks(self, tmp_path, monkeypatch):
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), lead_hours=(0.0, 6.0))
        loaded = lone_runtime(model, monkeypatch)
        moments = np.array([[0.0, 1.0], [0.0, 0.0]])
        self.members(loaded, np.zeros((2, 2, 24, 36), "f4"), moments)
        assert loaded._mean_net.calls[0]["lead_time"].tolist() == [1, 0]
        assert loaded._residual_net.calls[0]["lead_time"].tolist() == [1, 1, 0, 0]

    def test_patches_know_their_place_and_the_whole(self, tmp_path, monkeypatch):
        patching = Patching((12, 16), overlap=2, boundary=2)
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), patching=patching)
        loaded = lone_runtime(model, monkeypatch)
        coarse = rng.normal(size=(2, 2, 24, 36)).astype("f4")
        self.members(loaded, coarse)
        whole = loaded._mean_net.calls[0]["condition"]
        assert whole.shape[-2:] == (24, 36)  # the mean is of the whole field
        for call in loaded._residual_net.calls[:9]:
            rows, columns = call["position"][0]
            told = call["condition"]
            assert told.shape == (4, 2 + 2 + 2, 12, 16)
            torch.testing.assert_close(told[::2, 2:4], whole[:, :, rows, columns])
            shrunk = F.interpolate(whole, (12, 16), mode="bilinear", align_corners=False)
            torch.testing.assert_close(told[::2, 4:], shrunk)

    def test_patches_that_agree_give_the_whole(self, tmp_path, monkeypatch):
        patching = Patching((12, 16), overlap=2, boundary=2)
        patched = write_fixed_model(tmp_path / "p", write_grid(LAT, LON), patching=patching)
        plain = write_fixed_model(tmp_path / "m", write_grid(LAT, LON))
        coarse = rng.normal(size=(2, 2, 24, 36)).astype("f4")
        drawn = [self.members(lone_runtime(m, monkeypatch), coarse) for m in (patched, plain)]
        np.testing.assert_allclose(drawn[0], drawn[1], rtol=1e-5, atol=1e-4)

    def test_padding_is_noise_too_and_left_out(self, tmp_path, monkeypatch):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((2, 2), (3, 1)))
        model = write_fixed_model(tmp_path / "m", write_grid(LAT, LON), target=target)
        loaded = lone_runtime(model, monkeypatch)
        drawn = self.members(loaded, np.zeros((2, 2, 24, 36), "f4"))
        assert drawn.shape == (4, 2, 24, 36)
        noise = 80 * normal_field(0, ("here",), 0, 0, (2, 28, 40))[:, 2:26, 3:39]
        channels = model.card.outputs
        expected = np.stack([noise[i] * c.std for i, c in enumerate(channels)])
        np.testing.assert_allclose(drawn[0], expected, rtol=1e-4, atol=1e-2)


class TestOtherTimes:
    @pytest.fixture
    def days(self, era5):
        return era5.assign_coords(
            time=np.array(["2021-09-11T12", "2021-09-12T12", "2021-09-13T12"], "M8[ns]")
        )

    @pytest.fixture
    def daily(self, tmp_path):
        """A model that is told three days and gives three hours of the one between."""
        t2m = fixed_card().inputs[0]
        inputs = tuple(dataclasses.replace(t2m, offset_h=h) for h in (-24.0, 0.0, 24.0))
        hours = (-12.0, 0.0, 6.0)
        grid = write_grid(LAT, LON)
        return write_fixed_model(tmp_path / "m", grid, inputs=inputs, outputs=(t2m,), hours=hours)

    def test_are_lazy_too(self, days, daily):
        with raise_if_dask_computes():
            lazy = draw(days.chunk(time=1), daily)
        expected = np.array(["2021-09-12T00", "2021-09-12T12", "2021-09-12T18"], "M8[ns]")
        np.testing.assert_array_equal(lazy.time, expected)
        assert_close(lazy.compute(), draw(days, daily))

    def test_every_field_is_decoded_and_regridded_once(self, days, daily, monkeypatch):
        seen, plain = [], missing.decode_block

        def counted(values, *rest, **how):
            seen.append(values.shape)
            return plain(values, *rest, **how)

        monkeypatch.setattr(missing, "decode_block", counted)
        draw(days.chunk(time=1), daily).compute(scheduler="synchronous")
        assert len(seen) == 3  # though three hours are told three days each

    def test_missing_values_are_named_by_the_day_they_are_of(self, days, daily):
        days.t2m[0, 10, 10] = np.nan
        with pytest.raises(InputError, match="time=2021-09-11T12:00:00"):
            draw(days, daily).compute()

    def test_the_days_reach_the_networks_in_the_order_of_the_card(self, days, daily, monkeypatch):
        told = []

        def noting(self, coarse, moments=None):
            told.append(coarse[:, :, 12, 18])
            return np.zeros((len(coarse), 1, *coarse.shape[-2:]), "f4")

        monkeypatch.setattr(runtime.Runtime, "mean", noting)
        numbered = days.assign(
            t2m=(280 + 0 * days.t2m) + xr.DataArray([0.0, 1.0, 2.0], dims="time")
        )
        numbered.t2m.attrs = days.t2m.attrs
        draw(numbered.chunk(time=1), daily, stage="mean").compute(scheduler="synchronous")
        np.testing.assert_allclose(np.concatenate(told), [[280, 281, 282]] * 3)


def test_cells_near_a_pole_are_measured_by_their_area(tmp_path):
    lat, lon = np.linspace(77.0, 80.0, 24), np.linspace(12.0, 28.0, 36)
    target = FixedTarget("Svalbard", 3.0, coarse_spacing_km=12.4)
    model = write_fixed_model(tmp_path / "m", write_grid(lat, lon), target=target)
    coarse = {"lat": np.arange(76.5, 80.6, 0.25), "lon": np.arange(11.0, 29.1, 0.25)}
    shape = (coarse["lat"].size, coarse["lon"].size)
    attrs = {"t2m": "K", "u10": "m s-1"}
    fields = {
        name: (("lat", "lon"), np.full(shape, 280.0 if name == "t2m" else 0.0), {"units": units})
        for name, units in attrs.items()
    }
    ds = xr.Dataset(fields, coarse)
    assert bool(np.isfinite(draw(ds, model, stage="mean").t2m).all())
