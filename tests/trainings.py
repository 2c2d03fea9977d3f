"""What the tests of whole trainings share: short runs, and targets whose first loss is known."""

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import xresdiff
from tests.training_toys import CPU
from xresdiff.models.package import Model
from xresdiff.train.arguments import Arguments
from xresdiff.train.draft import draft
from xresdiff.train.encoding import Encoding
from xresdiff.train.pairs import pair
from xresdiff.train.patches import PairedPatches
from xresdiff.train.readers import open_reader
from xresdiff.train.stages import MeanStage, network

__all__ = [
    "FIRST_LOSS",
    "QUICK",
    "few_scores",
    "first_loss",
    "known_target",
    "means",
    "start_means",
]

QUICK = {"steps": 2, "batch_size": 1, "device": "cpu", "precision": "float32", "cache": False}
APART = 0.5  # standard deviations between a model's mean and a target of `known_target`
FIRST_LOSS = APART**2  # of the mean stage on such a target


@pytest.fixture
def few_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score few members of few patches, as the scores are not what is tested."""
    fit = import_module("xresdiff.train.fit")  # `xresdiff.train` is the function
    few = partial(fit.Validation, batches=2, patches=1, members=2)
    monkeypatch.setattr(fit, "Validation", few)


def start_means(coarse: xr.Dataset, model: Any, **own: Any) -> xr.Dataset:
    """Return the mean that a model gives."""
    ds = coarse.chunk({"time": 1}) if "time" in coarse.dims else coarse
    fine = xresdiff.downscale(
        ds, model=model, stage="mean", device="cpu", precision="float32", **own
    )
    return fine.compute()


def known_target(coarse: xr.Dataset, model: Model, **own: Any) -> xr.Dataset:
    """Return targets half a standard deviation above the mean of a model, in every output."""
    fine = start_means(coarse, model, **own)
    for name in {channel.name for channel in model.card.outputs}:
        some = [channel for channel in model.card.outputs if channel.name == name]
        std = xr.DataArray([channel.std for channel in some], dims="pressure")
        apart = APART * (std if "pressure" in fine[name].dims else float(std[0]))
        fine[name] = (fine[name] + apart).astype("f4").transpose(*fine[name].dims)
        fine[name].attrs["units"] = some[0].units
    return fine


def first_loss(out: Path) -> float:
    """Return the loss of the mean stage before its first step."""
    return float(xresdiff.history(out).validation_loss.sel(stage="mean", step=0))


def means(model: Model, coarse: xr.Dataset, target: xr.Dataset) -> np.ndarray:
    """Return what the mean stage gives of whole fields in training, physical, (n, k, y, x)."""
    arguments = Arguments(device="cpu", inputs=list(model.card.inputs))
    plan = draft(coarse, target, arguments, model)
    reader = open_reader(pair(coarse, target, plan, arguments), None)
    stage = MeanStage(encoding := Encoding(model, CPU), network(model, "mean", CPU).eval())
    fields = []
    for i in range(reader.n):
        patches = PairedPatches(reader, np.array([i]))
        tensors = encoding.tensors(
            patches.draw(np.random.default_rng(0), 1, max(reader.fine_shape))
        )
        with torch.no_grad():
            mean = encoding.inner(stage.mean(tensors), tensors)
            fields.append(encoding.decode(mean, tensors)[0].numpy())
    return np.stack(fields)
