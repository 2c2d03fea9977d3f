"""Models that bring a grid of their own: the way of the fields to it, through it and back."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional as F

from tests import regions
from tests.helpers import raise_if_dask_computes
from tests.regions import CURVED, LAT, LAT_2D, LON, LON_2D, write_bay
from tests.toys import fixed_card, write_fixed_model
from tests.training_toys import write_model
from xresdiff import downscale, regrid, target_grid
from xresdiff.engine import missing, runtime
from xresdiff.engine.fields import encoded
from xresdiff.engine.fixed import Fixed
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, FixedTarget, Padding
from xresdiff.models.grid_file import write_grid


@pytest.fixture(scope="module")
def bay(tmp_path_factory):
    return write_bay(tmp_path_factory.mktemp("bay") / "bay")


@pytest.fixture(name="era5")
def fields_around():
    return regions.era5()


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


class TestBase:
    def test_is_the_regridded_input_of_outputs_that_are_inputs(self, era5, tmp_path):
        t2m, u10 = fixed_card().inputs
        outputs = (
            dataclasses.replace(t2m, mean=280.0, std=4.0),
            dataclasses.replace(u10, name="v"),
        )
        card = fixed_card(outputs=outputs, global_residual=True)
        model = write_model(tmp_path / "m", card, CURVED, quiet=("mean",))
        mean = draw(era5, model, stage="mean")
        expected = regrid(era5[["t2m"]], mean, method="latlon_bilinear").t2m
        np.testing.assert_allclose(mean.t2m, expected, atol=1e-3)
        assert not mean.v.values.any()

    def test_of_a_stretched_target_is_the_stretched_input(self, tmp_path):
        lat, lon = LAT[::4], np.linspace(119.0, 122.0, 9)
        target = FixedTarget("a bay", 4.0, 28.0, stretched=True)
        model = write_model(
            tmp_path / "m",
            fixed_card(target=target, global_residual=True),
            write_grid(LAT, LON, coarse=(lat, lon)),
        )
        coarse = torch.randn(1, 2, 6, 9, generator=torch.Generator().manual_seed(0)) + 280
        base = Fixed(model).base(coarse)
        stretched = F.interpolate(coarse, (24, 36), mode="bilinear")
        torch.testing.assert_close(base, encoded(stretched, model.card.outputs))

    def test_is_padded_as_the_condition_is(self, tmp_path):
        target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((3, 5), (4, 4)))
        card = fixed_card(target=target, global_residual=True)
        fixed = Fixed(write_model(tmp_path / "m", card, CURVED))
        coarse = torch.randn(1, 2, 24, 36, generator=torch.Generator().manual_seed(0)) + 280
        condition = fixed.condition(coarse, torch.zeros(1, 2, dtype=torch.float64))
        torch.testing.assert_close(fixed.base(coarse), condition)


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

        def noting(self, coarse, *_):
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
