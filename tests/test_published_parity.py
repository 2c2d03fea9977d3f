"""What published packages give here and in NVIDIA's Earth2Studio, from the same noise.

``tests/data/earth2studio`` holds what Earth2Studio 0.19.0 gave for the imitations of packages, see
``record.py`` there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

import xresdiff
from tests import imitations as im
from xresdiff.engine import runtime
from xresdiff.grids.regrid.latlon_bilinear import interpolation
from xresdiff.models.grid_file import read_grid
from xresdiff.models.published import earth2studio, taiwan
from xresdiff.models.published.translation import Translation
from xresdiff.nets.edm import edm_sigmas
from xresdiff.nets.samplers import SAMPLERS
from xresdiff.nets.stage_net import StageNet
from xresdiff.nets.unet import UNet, UNetConfig

NEAR = 3e-5  # of the range of a field


@dataclass(frozen=True)
class Case:
    """A package, how it is made and which weather it was given."""

    name: str
    write: Callable[[Path], Path]
    translate: Callable[[Path, str], Translation]
    inputs: tuple[str, ...]
    lat: np.ndarray
    lon: np.ndarray


def _generic(name: str, lat: np.ndarray, lon: np.ndarray, **own: Any) -> Case:
    def write(folder: Path) -> Path:
        return im.write_generic(folder / name, name, **own)

    return Case(name, write, earth2studio.translate, im.GENERIC_INPUTS, lat, lon)


ALONE = {
    "hr_mean_conditioning": False,
    "invariant_variables": None,
    "latlon_res": 0.25,
    "sampler_type": "deterministic",
    "solver": "euler",
    "sigma_max": 60.0,
}
OBLONG = {
    "target": im.curved(48, 64),
    "number_of_steps": 5,
    "sampler_type": "deterministic",  # which Earth2Studio refuses beside the mean
    "solver": "heun",
    "sigma_min": 0.01,
    "sigma_max": 50.0,
}
CASES = {
    "square": _generic("square", *im.coarse_axes()),
    "oblong": _generic("oblong", *im.coarse_axes(), **OBLONG),
    "alone": _generic("alone", *im.coarse_axes(), **ALONE),
    "taiwan": Case(
        "taiwan",
        lambda folder: im.write_taiwan(folder / "corrdiff_inference_package.zip"),
        taiwan.translate,
        im.TAIWAN_INPUTS,
        im.TAIWAN_LAT,
        im.TAIWAN_LON,
    ),
}
SLOW = [pytest.param(n, marks=pytest.mark.slow) if n == "taiwan" else n for n in CASES]


@dataclass(frozen=True)
class Recorded:
    """What Earth2Studio gave, ``(member, c, y, x)``, every so many pixels."""

    members: np.ndarray
    mean: np.ndarray
    every: int
    seeds: list[int]
    head: np.ndarray

    def latents(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw the noise as it did, ``(member, c, y, x)``."""
        gens = [torch.Generator().manual_seed(seed % 2**32) for seed in self.seeds]
        drawn = torch.stack([torch.randn(shape, generator=gen) for gen in gens])
        np.testing.assert_array_equal(drawn[:, 0, 0, :8], self.head)
        return drawn


def recorded(name: str) -> Recorded:
    with np.load(im.DATA / f"{name}.npz") as file:
        return Recorded(
            file["members"],
            file["mean"],
            int(file["every"]),
            file["seeds"].tolist(),
            file["latents"],
        )


def net_of(made: Translation, stage: str) -> StageNet:
    card = getattr(made.card, stage)
    net = UNet(UNetConfig(**card.network.config))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in made.weights[stage].items()})
    sigma_data = card.sigma_data if stage == "residual" else None
    whole = StageNet(
        net, sigma_data=sigma_data, latent=card.latent, scale_condition=card.scale_condition
    )
    return whole.eval().requires_grad_(False)


def condition_of(made: Translation, case: Case) -> torch.Tensor:
    """Return what the networks are told of the weather, ``(1, c, y, x)``."""
    card, grid = made.card, read_grid(made.grid, made.card)
    source = {"lat": case.lat, "lon": case.lon}
    target = {"lat": grid["lat"].values, "lon": grid["lon"].values}
    weights = interpolation(source, target)
    coarse = im.coarse_fields(case.inputs, case.lat, case.lon)
    fine = [(weights @ field.ravel()).reshape(target["lat"].shape) for field in coarse]
    fields = [(f - c.mean) / c.std for f, c in zip(fine, card.inputs, strict=True)]
    fields += [(grid[extra.name].values - extra.mean) / extra.std for extra in card.extras]
    return torch.from_numpy(np.stack(fields).astype(np.float32))[None]


def scaled(made: Translation, fields: torch.Tensor) -> np.ndarray:
    mean, std = (
        np.array([getattr(c, name) for c in made.card.outputs])[:, None, None]
        for name in ("mean", "std")
    )
    return fields.double().numpy() * std + mean


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Hold fields ``(..., c, y, x)`` against each other, by the range of each channel."""
    theirs = theirs.astype(np.float64)
    axes = tuple(axis for axis in range(theirs.ndim) if axis != theirs.ndim - 3)
    spread = theirs.max(axes, keepdims=True) - theirs.min(axes, keepdims=True)
    assert np.abs((ours - theirs) / spread).max() < NEAR


@pytest.mark.parametrize("name", SLOW)
def test_the_translation_of_a_package_gives_what_earth2studio_gives(
    name: str, tmp_path: Path
) -> None:
    case, theirs = CASES[name], recorded(name)
    made = case.translate(case.write(tmp_path), name)
    card = made.card
    condition = condition_of(made, case)
    thin = (..., slice(None, None, theirs.every), slice(None, None, theirs.every))
    with torch.inference_mode():
        mean = net_of(made, "mean")(None, condition)
        assert_near(scaled(made, mean)[thin], theirs.mean)
        told = torch.cat([mean, condition], dim=1) if card.mean_conditioning else condition
        told = told.expand(len(theirs.seeds), -1, -1, -1)
        net = net_of(made, "residual")
        own = card.sampler
        sigmas = edm_sigmas(
            own.steps, sigma_min=own.sigma_min, sigma_max=own.sigma_max, rho=own.rho
        )
        latents = theirs.latents(tuple(mean.shape[1:])).double()
        residual = SAMPLERS[own.name](lambda x, sigma: net(x.float(), told, sigma), latents, sigmas)
        assert_near(scaled(made, mean + residual)[thin], theirs.members)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRESDIFF_CACHE", str(tmp_path / "cache"))


def with_their_noise(monkeypatch: pytest.MonkeyPatch, theirs: Recorded) -> None:
    """Let the engine draw what Earth2Studio drew."""

    def normal_field(
        seed: int, labels: Any, member: int, draw: int, shape: tuple[int, ...], *origin: Any
    ) -> np.ndarray:
        return theirs.latents(shape)[member].numpy()

    monkeypatch.setattr(runtime, "normal_field", normal_field)


@pytest.mark.parametrize("name", SLOW)
def test_downscaling_era5_with_a_package_gives_what_earth2studio_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: None
) -> None:
    case, theirs = CASES[name], recorded(name)
    package = case.write(tmp_path)
    with_their_noise(monkeypatch, theirs)
    era5 = im.era5(case.inputs, case.lat, case.lon)
    fine = xresdiff.downscale(era5, model=package, members=2, device="cpu", precision="float32")
    assert_near(stacked(fine, name)[..., :: theirs.every, :: theirs.every], theirs.members)
    mean = xresdiff.downscale(era5, model=package, stage="mean", device="cpu", precision="float32")
    mean = stacked(mean.expand_dims("member"), name)
    assert_near(mean[..., :: theirs.every, :: theirs.every], theirs.mean)


def stacked(fine: xr.Dataset, name: str) -> np.ndarray:
    """Return the outputs of a case as `Recorded` has them."""
    outputs = im.GENERIC_OUTPUTS if name != "taiwan" else ("mrr", "t2m", "u10m", "v10m")
    return np.stack([fine[v].isel(time=0).transpose("member", ...).values for v in outputs], axis=1)


@pytest.fixture
def fine(tmp_path: Path, cache: None) -> xr.Dataset:
    """A downscaled imitation of ERA5."""
    case = CASES["oblong"]
    era5 = im.era5(case.inputs, case.lat, case.lon)
    return xresdiff.downscale(era5, model=case.write(tmp_path), members=1, device="cpu")


def test_the_result_of_a_package_is_labelled_as_cf_asks(fine: xr.Dataset) -> None:
    assert set(fine.data_vars) >= set(im.GENERIC_OUTPUTS)
    assert fine["mrr"].attrs["standard_name"] == "equivalent_reflectivity_factor"
    assert fine["t2m"].attrs["units"] == "K"
    assert fine["u10m"].attrs["standard_name"] == "eastward_wind"
    lat, lon = im.curved(48, 64)
    np.testing.assert_allclose(fine["lat"], lat)
    np.testing.assert_allclose(fine["lon"], lon)
    assert fine["lat"].attrs["standard_name"] == "latitude"
    assert {"lat", "lon"} <= set(fine.coords)
    assert fine["mrr"].sizes["time"] == 1


def test_a_falling_rectilinear_target_and_one_step_run(tmp_path: Path, cache: None) -> None:
    """Earth2Studio refuses the one and gives no numbers with the other."""
    lat, lon = np.linspace(46, 44, 48), np.linspace(7, 10, 64)
    own = {"target": (lat, lon), "number_of_steps": 1, "invariant_variables": list(im.INVARIANTS)}
    package = im.write_generic(tmp_path / "package", "oblong", **own)
    axes = im.coarse_axes()
    era5 = im.era5(im.GENERIC_INPUTS, *axes)
    fine = xresdiff.downscale(era5, model=package, members=2, device="cpu", precision="float32")
    np.testing.assert_array_equal(fine["lat"], lat)
    np.testing.assert_array_equal(fine["lon"], lon)
    assert np.isfinite(fine["mrr"]).all()

    made = earth2studio.translate(package, "own")
    points = np.stack(np.meshgrid(lat, lon, indexing="ij"), axis=-1)
    coarse = im.coarse_fields(im.GENERIC_INPUTS, *axes)
    fields = [RegularGridInterpolator(axes, field)(points) for field in coarse]
    fields += [im.weather(name, points[..., 0], points[..., 1]) for name in im.INVARIANTS]
    parts = zip(fields, (*made.card.inputs, *made.card.extras), strict=True)
    told = np.stack([(field - part.mean) / part.std for field, part in parts])
    with torch.inference_mode():
        mean = net_of(made, "mean")(None, torch.from_numpy(told.astype(np.float32))[None])
    ours = xresdiff.downscale(era5, model=package, stage="mean", device="cpu", precision="float32")
    assert_near(stacked(ours.expand_dims("member"), "oblong"), scaled(made, mean))
