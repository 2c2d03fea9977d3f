"""Small models for the tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from xresdiff.grids.target import refine
from xresdiff.models.card import (
    Channel,
    DataSource,
    FixedTarget,
    ModelCard,
    NetworkCard,
    RefineTarget,
    StageCard,
    Transform,
)
from xresdiff.models.package import Model, Stage, write_package
from xresdiff.nets.unet import UNet, UNetConfig

PRECIP_RATE = Channel(
    name="precip_rate",
    standard_name="lwe_precipitation_rate",
    units="mm h-1",
    long_name="precipitation rate",
    aliases=("tp", "pr", "rain_rate"),
    mean=0.3,
    std=0.7,
    transform=Transform("log1p", scale=0.1),
    minimum=0.0,
    cell_methods="area: mean",
)


def toy_card(**changes: Any) -> ModelCard:
    """Return the card of a model that refines rain four times, with the given fields changed."""
    fields: dict[str, Any] = {
        "name": "toy",
        "version": "0.1",
        "title": "Rain at 4 km from rain at 16 km, for tests",
        "description": "Refines rain four times. It has learned nothing.",
        "licence": "Apache-2.0",
        "data": (DataSource("random numbers", "CC0-1.0", "nobody", "https://example.org"),),
        "references": ("Mardani et al. (2025), doi:10.1038/s43247-025-02042-5",),
        "inputs": (PRECIP_RATE,),
        "outputs": (PRECIP_RATE,),
        "target": RefineTarget(factor=4, spacing_km=16.0, spacing_range_km=(12.0, 20.0)),
        "conditioning": ("bilinear", "constant"),
        "conserve": ("precip_rate",),
        "mean": StageCard("mean.safetensors", NetworkCard({"channel_mult": (1, 2)}, 7)),
        "residual": StageCard("residual.safetensors", NetworkCard({"channel_mult": (1, 2)}, 7)),
        "patch": 32,
        "scores": {"crps": 0.321},
    }
    return ModelCard(**(fields | changes))


def fixed_card(**changes: Any) -> ModelCard:
    """Return the card of a model that gives temperature and wind on the grid of a bay."""
    inputs = (
        Channel("t2m", "air_temperature", "K", mean=285.0, std=8.0, regridding="latlon_bilinear"),
        Channel("u10", "eastward_wind", "m s-1", std=5.0, regridding="latlon_bilinear"),
    )
    fields: dict[str, Any] = {
        "name": "bay",
        "inputs": inputs,
        "outputs": inputs,
        "target": FixedTarget(region="a bay", spacing_km=4.0, coarse_spacing_km=28.0),
        "conditioning": ("bilinear",),
        "conserve": (),
        "global_residual": False,
        "precision": "float32",
    }
    return toy_card(**(fields | changes))


def write_fixed_model(path: Path, grid: bytes, *, told: int = 0, **changes: Any) -> Model:
    """Write a toy model with a fixed target, with random weights.

    Parameters
    ----------
    path : Path
        A folder, or a file that ends with ``.resdiff``.
    grid : bytes
        Contents of its grid file.
    told : int, default 0
        How many extra channels its networks are told.
    **changes
        Fields of the card.
    """
    card = fixed_card(**changes)
    shapes = toy_networks(len(card.inputs), len(card.outputs), card.conditioning)
    weights: dict[Stage, dict[str, np.ndarray]] = {}
    stages: dict[str, StageCard] = {}
    for seed, (stage, config) in enumerate(shapes.items()):
        mean = 0 if card.mean_conditioning or stage == "mean" else len(card.outputs)
        config = config | {"in_channels": config["in_channels"] + told - mean, "stem": 1}
        net = toy_net(config, seed)
        weights[stage] = {name: value.numpy() for name, value in net.state_dict().items()}
        stages[stage] = StageCard(f"{stage}.safetensors", NetworkCard(config, 7))
    return write_package(path, fixed_card(**(stages | changes)), weights, grid=grid)


def rain_pairs(times: int = 4, size: int = 8) -> tuple[xr.Dataset, xr.Dataset]:
    """Return a coarse and a fine Dataset of rain, for `toy_card`: block means, and their blocks."""
    factor = 4
    lat, lon = 50 + 0.15 * np.arange(size), 5 + 0.22 * np.arange(size)
    time = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(times)
    coarse = xr.Dataset(coords={"time": time, "lat": lat, "lon": lon})
    target = refine(coarse, factor).assign_coords(time=time)
    rng = np.random.default_rng(0)
    rain = np.exp(rng.normal(size=(times, size * factor, size * factor))).astype(np.float32)
    target["precip_rate"] = (("time", "lat", "lon"), rain, {"units": "mm h-1"})
    means = rain.reshape(times, size, factor, size, factor).mean((2, 4))
    coarse["precip_rate"] = (("time", "lat", "lon"), means, {"units": "mm h-1"})
    return coarse, target


def toy_weights() -> dict[Any, dict[str, np.ndarray]]:
    """Return weights for both stages that fit no network: enough for tests of files."""
    return {
        stage: {
            "conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3) + number,
            "conv.bias": np.array(number, dtype=np.float32),
        }
        for number, stage in enumerate(("mean", "residual"))
    }


def write_toy_package(path: Path, **changes: Any) -> Model:
    """Write a toy model as a folder, or as a file if the path ends with ``.resdiff``."""
    return write_package(path, toy_card(**changes), toy_weights())


def toy_networks(
    inputs: int = 1, outputs: int = 1, conditioning: tuple[str, ...] = ("bilinear", "constant")
) -> dict[Stage, dict[str, Any]]:
    """Return the shapes of networks of some ten thousand parameters, for `toy_card`.

    Parameters
    ----------
    inputs, outputs : int, default 1
        How many channels the card has.
    conditioning : tuple of str
        As of the card; "phase" is two channels, each of the others one for every input.
    """
    told = sum(2 if how == "phase" else inputs for how in conditioning)
    small = {
        "out_channels": outputs,
        "model_channels": 8,
        "channel_mult": (1, 2),
        "num_blocks": 1,
        "bottleneck_attention": False,
        "dropout": 0.0,
        "stem": 4,
    }
    return {
        "mean": small | {"in_channels": told, "embedding": "zero"},
        "residual": small | {"in_channels": told + 2 * outputs},
    }


def toy_net(config: Mapping[str, Any], seed: int = 0, *, quiet: bool = False) -> UNet:
    """Build a network whose random weights do something: fresh ones give next to nothing.

    With `quiet`, it gives exactly nothing.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        net = UNet(UNetConfig(**config))
        for name, parameter in net.named_parameters():
            if quiet:
                parameter.zero_()
            if name.endswith(("conv1.weight", "proj.weight")):
                parameter.mul_(1e5)
            elif name.endswith("aux_conv.weight"):
                parameter.mul_(3e4)
    return net.eval()


def write_toy_model(
    path: Path, *, factor: int = 4, seed: int = 0, quiet: bool = False, **changes: Any
) -> Model:
    """Write a toy model that runs: small networks with random weights.

    Parameters
    ----------
    path : Path
        A folder, or a file that ends with ``.resdiff``.
    factor : int, default 4
        Fine pixels along a side of a coarse cell.
    seed : int, default 0
        Of the weights.
    quiet : bool, default False
        Write zeros in place of weights: the mean is then the interpolated input, if the card has a
        global residual.
    **changes
        Fields of the card; the networks fit its channels.
    """
    card = toy_card(**changes)
    shapes = toy_networks(len(card.inputs), len(card.outputs), card.conditioning)
    nets = {stage: toy_net(config, seed, quiet=quiet) for stage, config in shapes.items()}
    fields: dict[str, Any] = {
        "target": RefineTarget(factor=factor, spacing_km=16.0, spacing_range_km=(12.0, 20.0)),
        "scores": {},
    }
    for stage, config in shapes.items():
        count = sum(parameter.numel() for parameter in nets[stage].parameters())
        fields[stage] = StageCard(f"{stage}.safetensors", NetworkCard(config, count))
    weights = {
        stage: {name: value.numpy() for name, value in net.state_dict().items()}
        for stage, net in nets.items()
    }
    return write_package(path, toy_card(**(fields | changes)), weights)


def noisy(*shape: int, seed: int = 1) -> torch.Tensor:
    """Return normal numbers, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
