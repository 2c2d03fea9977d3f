"""Trainings for other grids: what is trained and what downscaling gives are one thing."""

import numpy as np
import pytest
import xarray as xr

import xresdiff
from tests.regions import LAT_2D, LON_2D, OROGRAPHY, era5
from tests.trainings import (
    FIRST_LOSS,
    QUICK,
    few_scores,  # noqa: F401
    first_loss,
    known_target,
    means,
    start_means,
)
from xresdiff.errors import InputError
from xresdiff.grids.target import refine
from xresdiff.train import finetune, train

pytestmark = pytest.mark.usefixtures("few_scores")

SMALL = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "stem": 2}
EXTRAS = ["day_of_year", "hour", "solar_zenith", "latitude"]
TOLD = ["static", "sin_year", "cos_year", "sin_day", "cos_day", "cos_zenith", "latitude"]
ROWS, COLUMNS = 23, 35  # no multiples of what the networks take


def bay(seed=0) -> xr.Dataset:
    """Return weather on the curved grid of a bay, 4 km, at the times of `era5`."""
    rng = np.random.default_rng(seed)
    dims = ("time", "y", "x")
    noise = rng.normal(size=(2, 3, ROWS, COLUMNS)).astype("f4")
    return xr.Dataset(
        {
            "t2m": (dims, 285 + 3 * noise[0], {"units": "K"}),
            "u10": (dims, 5 * noise[1], {"units": "m s-1"}),
        },
        {
            "time": era5().time,
            "lat": (("y", "x"), LAT_2D[:ROWS, :COLUMNS]),
            "lon": (("y", "x"), LON_2D[:ROWS, :COLUMNS]),
        },
    )


def orography() -> xr.DataArray:
    field = OROGRAPHY[:ROWS, :COLUMNS]
    return bay()[["lat", "lon"]].assign(orog=(("y", "x"), field, {"units": "m"})).orog


@pytest.fixture(scope="module", params=["whole fields", "patches"])
def local(request, tmp_path_factory):
    """A model of the bay that is told all there is to tell."""
    patch = {} if request.param == "whole fields" else {"patch": 16}
    return train(
        era5(),
        bay(),
        network=SMALL,
        static=orography(),
        extras=EXTRAS,
        out=tmp_path_factory.mktemp("run"),
        **(QUICK | {"learning_rate": 0.05}),
        **patch,
    )


def test_a_model_of_one_region_is_told_all_that_was_asked_for(local):
    assert [extra.kind for extra in local.card.extras] == TOLD
    assert local.card.target.padding.rows == (0, 1)


def test_it_downscales_other_times(local):
    later = era5()
    later = later.assign_coords(time=later.time + np.timedelta64(200, "D"))
    fine = xresdiff.downscale(later, members=2, model=local, steps=2, device="cpu")
    assert fine.t2m.sizes == {"member": 2, "time": 3, "y": ROWS, "x": COLUMNS}
    assert np.isfinite(fine.u10).all()
    np.testing.assert_allclose(fine.lat, LAT_2D[:ROWS, :COLUMNS], atol=1e-4)
    other = start_means(later, local)
    assert not np.allclose(other.t2m, start_means(era5(), local).t2m.values, atol=1e-3)


def test_the_mean_in_training_is_that_of_downscaling(local):
    fine = start_means(era5(), local)
    ours = means(local, era5(), bay())
    for k, name in enumerate(("t2m", "u10")):
        np.testing.assert_allclose(ours[:, k], fine[name], rtol=1e-5, atol=1e-4)


def test_the_mean_in_training_is_that_of_downscaling_around_missing_inputs(local):
    coarse = era5()
    coarse["t2m"] = coarse.t2m.where((coarse.longitude < 121) | (coarse.latitude > 25))
    fine = start_means(coarse, local, skipna=True)
    known = np.isfinite(fine.t2m.values)
    assert 0.1 < known.mean() < 0.9
    ours = means(local, coarse, bay())
    np.testing.assert_allclose(ours[:, 0][known], fine.t2m.values[known], rtol=1e-5, atol=1e-4)


def test_tuning_begins_with_what_downscaling_gives_padding_and_all(local, tmp_path):
    target = known_target(era5(), local)
    finetune(era5(), target, model=local, out=tmp_path, patch=48, stages=("mean",), **QUICK)
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)


@pytest.mark.slow
def test_missing_inputs_do_not_change_where_tuning_begins(local, tmp_path):
    coarse = era5()
    coarse["u10"] = coarse.u10.where(coarse.longitude < 121)
    target = known_target(coarse, local, skipna=True).fillna(0)
    target.t2m.attrs["units"], target.u10.attrs["units"] = "K", "m s-1"
    finetune(coarse, target, model=local, out=tmp_path, patch=48, stages=("mean",), **QUICK)
    assert first_loss(tmp_path) == pytest.approx(FIRST_LOSS, rel=1e-4)


# --- the refined grid


def rain_of(times=4, size=8, factor=4, name="precip_rate", seed=0):
    """Return rain of 16 km and the truth, mostly dry."""
    lat, lon = 50 + 0.15 * np.arange(size), 5 + 0.22 * np.arange(size)
    time = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(times)
    coarse = xr.Dataset(coords={"time": time, "lat": lat, "lon": lon})
    target = refine(coarse, factor).assign_coords(time=time)
    rng = np.random.default_rng(seed)
    n = size * factor
    rain = rng.gamma(0.5, 2.0, (times, n, n)) * (rng.random((times, n, n)) < 0.3)
    means_ = rain.reshape(times, size, factor, size, factor).mean((2, 4))
    attrs = {"units": "mm h-1", "standard_name": "rainfall_rate"}
    target[name] = (("time", "lat", "lon"), rain.astype("f4"), attrs)
    coarse[name] = (("time", "lat", "lon"), means_.astype("f4"), attrs)
    return coarse, target


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    """A model that refines rain, trained on patches."""
    return train(
        *rain_of(size=16),
        network=SMALL | {"stem": 4},
        patch=32,
        out=tmp_path_factory.mktemp("run"),
        **(QUICK | {"learning_rate": 0.05}),
    )


def test_the_mean_of_a_patch_is_that_of_downscaling_its_cells(anywhere):
    coarse, target = rain_of(size=16)
    coarse = coarse.isel(lat=slice(8), lon=slice(8))
    target = target.isel(lat=slice(32), lon=slice(32))
    fine = start_means(coarse, anywhere)
    ours = means(anywhere, coarse, target)
    np.testing.assert_allclose(ours[:, 0], fine.precip_rate, rtol=1e-4, atol=1e-5)


def test_the_mean_of_a_patch_is_that_of_downscaling_around_missing_cells(anywhere):
    coarse, target = rain_of(size=8)
    coarse["precip_rate"] = coarse.precip_rate.where(coarse.lon < 6)
    fine = start_means(coarse, anywhere, skipna=True).precip_rate.values
    known = np.isfinite(fine)
    ours = means(anywhere, coarse, target)
    np.testing.assert_allclose(ours[:, 0][known], fine[known], rtol=1e-4, atol=1e-5)


def test_rain_is_conserved_and_never_negative_after_a_training(anywhere):
    coarse, _ = rain_of(size=12, seed=5)
    assert anywhere.card.conserve == ("precip_rate",)
    fine = xresdiff.downscale(coarse, members=3, model=anywhere, steps=2, device="cpu").precip_rate
    assert fine.min() >= 0
    blocks = fine.coarsen(lat=4, lon=4).mean()
    for member in blocks.transpose("member", ...):
        np.testing.assert_allclose(member, coarse.precip_rate, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_a_model_goes_to_another_factor(toy, tmp_path):
    coarse, target = rain_of(size=8, factor=8)
    made = finetune(coarse, target, model=toy, out=tmp_path, **QUICK)
    assert made.card.target.factor == 8
    fine = xresdiff.downscale(coarse, members=1, model=made, steps=2, device="cpu")
    np.testing.assert_allclose(fine.lat, target.lat)


def test_a_model_that_refines_goes_to_a_curved_grid(toy, tmp_path):
    coarse = era5()[["t2m"]].rename(t2m="precip_rate")
    coarse["precip_rate"] = np.exp(coarse.precip_rate - 285).assign_attrs(units="mm h-1")
    target = bay()[["t2m"]].rename(t2m="precip_rate")
    target["precip_rate"] = np.exp(target.precip_rate - 285).assign_attrs(units="mm h-1")
    made = finetune(coarse, target, model=toy, static=orography(), out=tmp_path, **QUICK)
    assert made.card.target.kind == "fixed"
    fine = xresdiff.downscale(coarse, members=1, model=made, steps=2, device="cpu")
    assert fine.precip_rate.shape == (1, 3, ROWS, COLUMNS)
    assert fine.precip_rate.min() >= 0


@pytest.mark.slow
def test_a_target_smaller_than_the_patch_is_learned(toy, tmp_path):
    coarse, target = rain_of(size=3)
    made = finetune(coarse, target, model=toy, patch=64, out=tmp_path, **QUICK)
    fine = xresdiff.downscale(coarse, members=1, model=made, steps=2, device="cpu")
    assert fine.precip_rate.shape == (1, 4, 12, 12)


@pytest.mark.slow
def test_one_pair_is_enough_for_a_region(tmp_path):
    made = train(
        era5().isel(time=[0]),
        bay().isel(time=[0]),
        network=SMALL,
        extras=["latitude"],
        out=tmp_path,
        **QUICK,
    )
    assert np.isfinite(made.card.residual.scale).all()


def test_units_that_are_not_what_they_are_said_to_be_are_refused(tmp_path):
    target = bay()
    target["t2m"] = (target.t2m - 273.15).assign_attrs(units="K")
    with pytest.raises(InputError, match=r"'t2m' of coarse is 28.* that of the target 11\.7"):
        train(era5(), target, network=SMALL, extras=["latitude"], out=tmp_path, **QUICK)
