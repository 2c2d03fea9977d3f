"""The training loop, run once per stage: read it from top to bottom.

A stage is a loss and a network. Everything random in step *n* comes from (seed, stage, n), so a
run that was killed continues as if nothing had happened.
"""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from xresdiff.engine.patches import Batch, Patches
from xresdiff.errors import InputError
from xresdiff.options import get_option

__all__ = ["Loss", "Recipe", "Stage", "Weights", "fit"]

log = logging.getLogger(__name__)

Loss = Callable[[nn.Module, Batch, torch.Generator], Tensor]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a stage is trained.

    Parameters
    ----------
    steps : int, default 10000
        Optimiser steps.
    batch_size : int, default 16
        Patches of a step.
    patch : int, default 128
        Side of a patch, in fine pixels.
    learning_rate : float, default 1e-3
        Rate at the top of half a cosine that falls to zero at the last step.
    warmup : int, default 200
        Steps over which the rate rises to the cosine.
    weight_decay : float, default 0.01
        Of AdamW.
    clip : float, default 1.0
        Largest norm of the gradient.
    ema_width : float, default 0.1
        Width of the average of the weights, as a share of the training so far; the power function
        average of Karras et al. (2024, arXiv 2312.02696).
    validate_every : int, default 250
        Steps between validations, which are also the steps between checkpoints.
    validation_batches : int, default 8
        Batches of a validation, the same each time.
    seed : int, default 0
        Of patches, noise and first weights.
    """

    steps: int = 10_000
    batch_size: int = 16
    patch: int = 128
    learning_rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema_width: float = 0.1
    validate_every: int = 250
    validation_batches: int = 8
    seed: int = 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        rise = min((step + 1) / max(self.warmup, 1), 1.0)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True)
class Stage:
    """What is trained: a network, its loss, and where its patches come from.

    Parameters
    ----------
    name : str
        Of the checkpoint, and of the randomness of its patches.
    net : torch.nn.Module
        Trained in place.
    loss : callable
        ``(net, batch, generator) -> loss``, a scalar; the generator is all its randomness.
    training, validation : Patches
        Where the batches come from.
    """

    name: str
    net: nn.Module
    loss: Loss
    training: Patches
    validation: Patches


class _Run:
    """A stage on its way: all that a checkpoint holds, and how a step changes it."""

    def __init__(self, stage: Stage, recipe: Recipe, device: torch.device) -> None:
        self.stage, self.recipe, self.device = stage, recipe, device
        self.net = stage.net.to(device)
        self.ema = deepcopy(self.net).requires_grad_(False)
        self.optimiser = _optimiser(self.net, recipe)
        self.power = _ema_power(recipe.ema_width)
        self.step = 0
        self.best = math.inf
        self.best_weights = _copied(self.ema)
        self.history: list[dict[str, float]] = []
        self.loss_sum, self.started = 0.0, time.monotonic()

    def update(self, batch: Batch) -> None:
        """Take one step down the gradient."""
        seed = self.recipe.seed * 1_000_003 + self.step
        torch.manual_seed(seed)  # of dropout
        noise = torch.Generator(self.device).manual_seed(seed)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.net.train()
        loss = self.stage.loss(self.net, batch, noise)
        self._add(float(loss.detach()))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.step += 1
        keep = (1 - 1 / self.step) ** (self.power + 1)
        with torch.no_grad():
            averages: list[Tensor] = list(self.ema.parameters())
            torch._foreach_lerp_(averages, list[Tensor](self.net.parameters()), 1 - keep)

    def _add(self, loss: float) -> None:
        """Count the loss of a step; refuse to go on without one."""
        if not math.isfinite(loss):
            raise InputError(
                f"the loss of the {self.stage.name} stage is {loss} in step {self.step}; look for "
                "infinite values in the data, or lower the learning rate, "
                f"learning_rate={self.recipe.learning_rate / 10:g}"
            )
        self.loss_sum += loss

    def validate(self) -> dict[str, float]:
        """Score the averaged weights, keep them if they are the best, return the new history."""
        score = _validation_loss(self.stage, self.ema, self.recipe, self.device)
        before = self.history[-1]["step"] if self.history else 0
        self.history.append(
            {
                "step": float(self.step),
                "learning_rate": self.recipe.rate(self.step - 1),
                "training_loss": self.loss_sum / (self.step - before),
                "validation_loss": score,
                "seconds": time.monotonic() - self.started,
            }
        )
        self.loss_sum = 0.0
        if score < self.best:
            self.best, self.best_weights = score, _copied(self.ema)
        log.info("%s %s", self.stage.name, self.history[-1])
        return self.history[-1]

    def save(self, path: Path) -> None:
        """Write a checkpoint whole or not at all; the one before stays beside it."""
        state = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "best": self.best,
            "best_weights": self.best_weights,
            "history": self.history,
        }
        new = path.with_suffix(".new")
        torch.save(state, new)
        if path.exists():
            os.replace(path, path.with_suffix(".before"))
        os.replace(new, path)

    def restore(self, path: Path) -> None:
        """Continue from the last good checkpoint, if there is one."""
        state = _last_good(path)
        if state is None:
            return
        try:
            self.net.load_state_dict(state["net"])
        except RuntimeError as error:
            raise InputError(
                f"{path} is a checkpoint of another network; train this one in another folder: "
                f"out={str(path.parent) + '-2'!r}"
            ) from error
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best, self.history = state["step"], state["best"], state["history"]
        self.best_weights = state["best_weights"]
        self.started -= self.history[-1]["seconds"]


def fit(
    stage: Stage, recipe: Recipe, out: Path, *, device: torch.device
) -> tuple[Weights, list[dict[str, float]]]:
    """Train a stage; continue where `out` left off.

    Parameters
    ----------
    stage : Stage
        Network, loss and patches. The network is trained in place.
    recipe : Recipe
        How long, how fast.
    out : pathlib.Path
        Folder of the checkpoint, ``<stage>.pt``.
    device : torch.device
        Where to train.

    Returns
    -------
    weights : dict of str to torch.Tensor
        Averaged weights of the best validation.
    history : list of dict
        Step, learning rate, training loss, validation loss, seconds, at every validation.

    Raises
    ------
    InputError
        If the loss is not finite, or the checkpoint is of another network.
    """
    run = _Run(stage, recipe, device)
    checkpoint = out / f"{stage.name}.pt"
    run.restore(checkpoint)
    hidden = not get_option("progress")
    gpus = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=gpus),  # what is seeded here stays here
        tqdm(total=recipe.steps, initial=run.step, desc=stage.name, disable=hidden) as bar,
    ):
        for batch in _batches(stage, recipe, run.step):
            run.update(batch)
            bar.update()
            if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
                news = run.validate()
                bar.set_postfix(training=news["training_loss"], validation=news["validation_loss"])
                run.save(checkpoint)
    return run.best_weights, run.history


def _batches(stage: Stage, recipe: Recipe, first: int) -> Iterator[Batch]:
    """Yield the batches of the steps from `first` on, each drawn while the one before is used."""
    salt = sum(stage.name.encode())

    def draw(step: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, salt, step])
        return stage.training.draw(rng, recipe.batch_size, recipe.patch)

    with ThreadPoolExecutor(max_workers=1) as thread:
        draws = (thread.submit(draw, step) for step in range(first, recipe.steps))
        coming = next(draws, None)
        while coming is not None:
            batch, coming = coming.result(), next(draws, None)
            yield batch


def _validation_loss(stage: Stage, net: nn.Module, recipe: Recipe, device: torch.device) -> float:
    """Return the mean loss over the same batches and noises every time, in eval mode."""
    net.eval()
    total = 0.0
    with torch.inference_mode():
        for number in range(recipe.validation_batches):
            rng = np.random.default_rng([recipe.seed, 1, number])
            noise = torch.Generator(device).manual_seed(recipe.seed + number)
            batch = stage.validation.draw(rng, recipe.batch_size, recipe.patch)
            total += float(stage.loss(net, batch, noise))
    return total / recipe.validation_batches


def _optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW, with decay for the weights but not for biases and norms."""
    parameters = list(net.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    decay = recipe.weight_decay
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=decay, fused=True)


def _copied(net: nn.Module) -> Weights:
    return {name: value.clone() for name, value in net.state_dict().items()}


def _last_good(path: Path) -> dict[str, Any] | None:
    """Read the checkpoint, or the one before it if it is damaged; None if there is none."""
    for candidate in (path, path.with_suffix(".before")):
        try:
            return torch.load(candidate, weights_only=True, map_location="cpu")
        except FileNotFoundError:
            continue
        except Exception as error:  # torch raises all kinds at a damaged file
            log.warning("checkpoint %s is damaged (%s); trying the one before", candidate, error)
    return None


def _ema_power(width: float) -> float:
    r"""Return the exponent of the power function average of a given relative width.

    The width of :math:`t^\gamma` weights on (0, 1) is
    :math:`\sqrt{(\gamma + 1) / ((\gamma + 2)^2 (\gamma + 3))}`; solved by bisection.
    """
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        got = math.sqrt((middle + 1) / ((middle + 2) ** 2 * (middle + 3)))
        low, high = (middle, high) if got > width else (low, middle)
    return low
