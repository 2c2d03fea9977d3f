"""Small models and batches for the tests of training."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.toys import toy_net
from xresdiff.models.card import ModelCard, NetworkCard, StageCard
from xresdiff.models.package import Model, Stage, write_package
from xresdiff.train.batches import Batch

__all__ = ["CPU", "SMALL", "Noise", "noised", "rain_batch", "write_model"]

CPU = torch.device("cpu")
SMALL = {
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_blocks": 1,
    "bottleneck_attention": False,
    "dropout": 0.0,
}


def told(card: ModelCard, stage: str) -> int:
    """Count the channels that a network is given."""
    k, n = len(card.outputs), len(card.inputs)
    known = sum(2 if how == "phase" else n for how in card.conditioning) + len(card.extras)
    if stage == "mean":
        return known + (k if card.mean.latent else 0)
    twice = 2 if card.patching and card.patching.whole else 1
    return k + (k if card.mean_conditioning else 0) + twice * known


def write_model(
    path: Path,
    card: ModelCard,
    grid: bytes | None = None,
    *,
    quiet: tuple[str, ...] = (),
    seed: int = 0,
    network: dict[str, Any] | None = None,
    **stages: dict[str, Any],
) -> Model:
    """Write a model with networks that fit a card; those that are `quiet` give zeros.

    `network` changes the shape of both networks, `mean` and `residual` the fields of the stages.
    """
    for stage in ("mean", "residual"):
        own = StageCard(f"{stage}.safetensors", NetworkCard({}, 7), **stages.get(stage, {}))
        card = replace(card, **{stage: own})
    weights: dict[Stage, dict[str, np.ndarray]] = {}
    names: tuple[Stage, ...] = ("mean", "residual")
    for number, stage in enumerate(names):
        config = SMALL | {"in_channels": told(card, stage), "out_channels": len(card.outputs)}
        config |= network or {}
        net = toy_net(config, seed + number, quiet=stage in quiet)
        weights[stage] = {name: value.numpy() for name, value in net.state_dict().items()}
        own = replace(getattr(card, stage), network=NetworkCard(config, 7))
        card = replace(card, **{stage: own})
    return write_package(path, card, weights, grid=grid)


def rain_batch(n: int = 6, size: int = 32, factor: int = 4, *, missing: float = 0.0) -> Batch:
    """Return rain and its block means, some of it missing, with noise."""
    rng = np.random.default_rng(0)
    fine = np.exp(rng.normal(size=(n, 1, size, size))).astype("f4")
    blocks = fine.reshape(n, 1, size // factor, factor, size // factor, factor)
    known = np.random.default_rng(1).random(fine.shape) >= missing
    batch = Batch(
        blocks.mean((3, 5)),
        np.where(known, fine, 0).astype("f4"),
        known.astype("f4"),
        np.zeros((n, 2)),
        np.zeros((n, 2), int),
    )
    return noised(batch)


def noised(batch: Batch, seed: int = 3) -> Batch:
    """Return a batch with noise and noise levels."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(batch.fine.shape, dtype=np.float32)
    return replace(batch, noise=noise, level=rng.standard_normal(len(batch)))


@dataclass(frozen=True)
class Noise:
    """Targets that are white noise about a mean, whatever the input is."""

    stds: tuple[float, ...]
    means: tuple[float, ...] = (0.0, 0.0, 0.0)
    inputs: int = 1
    factor: int = 4
    missing: float = 0.0

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Draw patches."""
        k, side = len(self.stds), patch // self.factor
        std, mean = (np.reshape(a[:k], (k, 1, 1)) for a in (self.stds, self.means))
        fine = (mean + std * rng.standard_normal((n, k, patch, patch))).astype("f4")
        known = rng.random(fine.shape) >= self.missing
        coarse = rng.standard_normal((n, self.inputs, side, side), dtype=np.float32)
        return Batch(
            coarse,
            np.where(known, fine, 0).astype("f4"),
            known.astype("f4"),
            np.zeros((n, 2)),
            np.zeros((n, 2), int),
        )
