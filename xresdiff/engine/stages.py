"""The two stages of a training: their losses, and a model out of them.

First a regression learns the mean by its squared error, then a diffusion model learns what the
mean leaves (Mardani et al., 2025, arXiv 2309.15214). One loop serves both:
:func:`xresdiff.engine.loop.fit`.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xresdiff.engine.fields import Fields
from xresdiff.engine.loop import Loss, Recipe, Stage, fit
from xresdiff.engine.patches import Batch, Patches
from xresdiff.engine.runtime import build, pick_device, pick_dtype
from xresdiff.models.card import ModelCard
from xresdiff.models.package import Model, write_package
from xresdiff.models.package import Stage as StageName
from xresdiff.nets.edm import Denoiser, edm_loss, mean_loss
from xresdiff.nets.unet import UNet

__all__ = ["HISTORY", "NoiseLevels", "Recipes", "fit_model"]

HISTORY = "history.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoiseLevels:
    r"""The noise levels of training: :math:`\ln(\sigma / 2s) \sim N(mean, std^2)`.

    With *s* the standard deviation of the residual; the defaults are those of the EDM paper, whose
    data have :math:`s = 0.5`.
    """

    mean: float = -1.2
    std: float = 1.2

    def draw(self, n: int, sigma_data: float, generator: torch.Generator) -> Tensor:
        """Return `n` noise levels, ``(n,)``."""
        normal = torch.randn(n, generator=generator, device=generator.device)
        return 2 * sigma_data * torch.exp(self.mean + self.std * normal)


@dataclass(frozen=True)
class Recipes:
    """How the two stages are trained."""

    mean: Recipe = field(default_factory=Recipe)
    residual: Recipe = field(default_factory=Recipe)
    noise: NoiseLevels = field(default_factory=NoiseLevels)


class _Losses:
    """The losses of both stages, for the fields of a card."""

    def __init__(self, card: ModelCard, device: torch.device, dtype: torch.dtype) -> None:
        self.fields, self.device, self.dtype = Fields(card), device, dtype

    def tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs, encoded targets and weights of a batch."""
        coarse, fine, weight = (
            torch.from_numpy(array).to(self.device)
            for array in (batch.coarse, batch.fine, batch.weight)
        )
        return coarse, self.fields.encode(fine), weight

    def correction(self, net: nn.Module, coarse: Tensor) -> Tensor:
        """Return what the mean network adds to the base."""
        condition = self.fields.condition(coarse).to(self.dtype)
        return net(condition, coarse.new_zeros(len(coarse))).float()

    def mean(self, net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        """Return the squared error of the mean stage."""
        coarse, target, weight = self.tensors(batch)
        return mean_loss(self.correction(net, coarse), target - self.fields.base(coarse), weight)

    def leftover(self, mean_net: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return residuals, the residual network's condition, and weights."""
        coarse, target, weight = self.tensors(batch)
        with torch.no_grad():
            mean = self.fields.base(coarse) + self.correction(mean_net, coarse)
        return target - mean, torch.cat([mean, self.fields.condition(coarse)], dim=1), weight

    def residual(self, mean_net: nn.Module, sigma_data: float, levels: NoiseLevels) -> Loss:
        """Return the denoising loss of the residual stage."""

        def loss(net: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
            residual, condition, weight = self.leftover(mean_net, batch)
            sigma = levels.draw(len(residual), sigma_data, generator)
            noise = torch.randn(residual.shape, generator=generator, device=self.device)
            denoiser = Denoiser(net, sigma_data, self.dtype)
            return edm_loss(
                lambda x, s: denoiser(x, s, condition),
                residual,
                weight,
                sigma=sigma,
                noise=noise,
                sigma_data=sigma_data,
            )

        return loss

    def sigma_data(self, mean_net: nn.Module, patches: Patches, recipe: Recipe) -> float:
        """Measure the standard deviation of the residual over eight batches."""
        squares, weights = 0.0, 0.0
        for number in range(8):
            rng = np.random.default_rng([recipe.seed, 2, number])
            batch = patches.draw(rng, recipe.batch_size, recipe.patch)
            residual, _, weight = self.leftover(mean_net, batch)
            squares += float((weight * residual**2).sum())
            weights += float(weight.sum())
        return float(np.sqrt(squares / weights))


def fit_model(
    card: ModelCard,
    training: Patches,
    validation: Patches,
    *,
    recipes: Recipes,
    out: str | PathLike[str],
    start: Model | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Model:
    """Train both stages on patches; the same call continues a run that was stopped.

    Parameters
    ----------
    card : ModelCard
        What the model is to be; sigma_data is measured, the files' hashes are filled in.
    training, validation : Patches
        Where batches come from, in physical units.
    recipes : Recipes
        How long, how fast, which noise levels.
    out : str or PathLike
        Folder of the run: checkpoints, ``history.json``, and the model in ``model/``.
    start : Model, optional
        Model with networks of the same shape to begin with.
    device, precision : str, default "auto"
        As of :func:`xresdiff.downscale`.

    Returns
    -------
    Model
        With the averaged weights of the best validation, kept in float16.
    """
    run = Path(out)
    run.mkdir(parents=True, exist_ok=True)
    picked = pick_device(device)
    losses = _Losses(card, picked, pick_dtype(precision, picked))
    nets = _networks(card, recipes.mean.seed, start)

    mean_stage = Stage("mean", nets["mean"], losses.mean, training, validation)
    mean_weights, mean_history = fit(mean_stage, recipes.mean, run, device=picked)
    mean_net = nets["mean"].eval().requires_grad_(False)
    mean_net.load_state_dict(mean_weights)

    sigma_data = losses.sigma_data(mean_net, training, recipes.mean)
    log.info("sigma_data of the residual is %.4f", sigma_data)
    loss = losses.residual(mean_net, sigma_data, recipes.noise)
    residual_stage = Stage("residual", nets["residual"], loss, training, validation)
    residual_weights, residual_history = fit(residual_stage, recipes.residual, run, device=picked)

    _write_history(run, {"mean": mean_history, "residual": residual_history})
    measured = replace(card, residual=replace(card.residual, sigma_data=sigma_data))
    weights: dict[StageName, dict[str, np.ndarray]] = {
        "mean": _arrays(mean_weights),
        "residual": _arrays(residual_weights),
    }
    return write_package(run / "model", measured, weights)


def _networks(card: ModelCard, seed: int, start: Model | None) -> dict[StageName, UNet]:
    """Build the networks of both stages, with the weights of `start` or fresh ones."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        nets: dict[StageName, UNet] = {
            "mean": build(card.mean.network),
            "residual": build(card.residual.network),
        }
    if start is not None:
        for stage, net in nets.items():
            net.load_state_dict(_tensors(start.weights(stage)))
    return nets


def _arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.cpu().half().numpy() for name, value in weights.items()}


def _tensors(weights: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in weights.items()}


def _write_history(run: Path, stages: Mapping[str, list[dict[str, float]]]) -> None:
    new = run / f"{HISTORY}.new"
    new.write_text(json.dumps(stages, indent=1))
    os.replace(new, run / HISTORY)
