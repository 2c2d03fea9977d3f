"""The training loop, run once per stage: read it from top to bottom.

A stage is a loss and a network. Everything random in step *n* comes from (seed, stage, n), so a
run that was killed goes on as if nothing had happened, on any number of devices.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from xresdiff.engine.batches import memory_ran_out
from xresdiff.errors import InputError
from xresdiff.train import checkpoint
from xresdiff.train.batches import Batch, Draws
from xresdiff.train.devices import Devices
from xresdiff.train.history import write as write_history
from xresdiff.train.recipe import Recipe
from xresdiff.train.reports import Progress, logged

__all__ = ["Recipe", "Scores", "Stage", "Weights", "fit"]

AHEAD = 3  # batches that are drawn before they are needed
SETBACKS = 2  # how often a stage that diverges is given another chance
EXPLODED = 10.0  # times the lowest mean loss so far; 0.01 counts as low enough
LOW = 0.01

# what a checkpoint holds of a run
PARTS = ("net", "ema", "optimiser")
PLAIN = (
    "step", "best", "best_weights", "history", "micro_batch", "rate_scale", "setbacks", "lowest",
)  # fmt: skip

log = logging.getLogger(__name__)

Weights = dict[str, Tensor]
Scores = dict[str, float]
Row = dict[str, float]


class Stage(Protocol):
    """What is trained: a network, trained in place, and its loss.

    Attributes
    ----------
    name : str
        Of the checkpoint and of the rows of the history.
    net : torch.nn.Module
        In the precision and layout that the stage likes.
    """

    @property
    def name(self) -> str:
        """What the checkpoint is called."""

    @property
    def net(self) -> nn.Module:
        """The network."""

    def loss(self, batch: Batch, net: nn.Module | None = None) -> Tensor:
        """Return the weighted squared error, summed over the batch, of `net` or of its own."""
        ...


class _Run:
    """A stage on its way: all that a checkpoint holds, and how a step changes it."""

    def __init__(
        self, stage: Stage, recipe: Recipe, path: Path, devices: Devices, score: str
    ) -> None:
        self.stage, self.recipe, self.path, self.devices = stage, recipe, path, devices
        self.key = score
        self.net = stage.net.to(devices.device)
        devices.share_([*self.net.parameters(), *self.net.buffers()])
        self.ema = deepcopy(self.net).requires_grad_(False).eval()
        self.learned = [value for value in self.net.parameters() if value.requires_grad]
        self.optimiser = _optimiser(self.learned, recipe.weight_decay)
        self.step, self.best, self.best_weights = 0, math.inf, _copied(self.ema)
        self.history: list[Row] = []
        self.micro_batch, self.told = recipe.micro_batch, False
        self.rate_scale, self.setbacks = 1.0, 0
        self.lowest = math.inf  # mean loss of an interval between validations, or the first loss
        self.losses: list[float] = []  # of the steps since the last validation
        self.norms: list[float] = []
        self.started = time.monotonic()
        if recipe.compile:
            self.net.compile()

    # --- a step

    def update(self, batch: Batch) -> str | None:
        """Take one step down the gradient; say what is wrong if there is none."""
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(self.step) * self.rate_scale
        loss, weight = self._gradient(batch)
        self.step += 1
        if weight > 0:  # else all of the target is missing
            torch._foreach_div_([_gradient_of(value) for value in self.learned], weight)
            norm = float(nn.utils.clip_grad_norm_(self.learned, self.recipe.clip))
            if not (math.isfinite(loss) and math.isfinite(norm)):
                return f"its loss is {loss / weight:g}, with a gradient of norm {norm:g}"
            self.optimiser.step()
            self.losses.append(loss / weight)
            self.norms.append(norm)
            self.lowest = loss / weight if self.lowest == math.inf else self.lowest
        keep = self.recipe.keep(self.step - 1)
        with torch.no_grad():
            averages: list[Tensor] = list(self.ema.parameters())
            torch._foreach_lerp_(averages, list[Tensor](self.net.parameters()), 1 - keep)
        return None

    def _gradient(self, batch: Batch) -> tuple[float, float]:
        """Return summed loss and weight of all devices, and leave the summed gradient."""
        before = self.micro_batch
        while (sums := self._attempt(batch)) is None:
            self.micro_batch = -(-min(self.micro_batch or len(batch), len(batch)) // 2)
        if self.micro_batch != before and not self.told:
            self.told = True
            log.warning(
                "memory ran out; going on with %d of %d patches at a time, whose gradients are "
                "added up: the result is the same",
                self.micro_batch,
                len(batch),
            )
        self.devices.sum_([*(_gradient_of(value) for value in self.learned), sums])
        loss, weight = sums.tolist()
        return loss, weight

    def _attempt(self, batch: Batch) -> Tensor | None:
        """Return what :meth:`_accumulate` does, or None if memory ran out."""
        try:
            return self._accumulate(batch)
        except (RuntimeError, MemoryError) as error:
            if not memory_ran_out(error):
                raise
            if min(self.micro_batch or len(batch), len(batch)) == 1:
                raise InputError(
                    f"memory ran out in the {self.stage.name} stage with a single patch of "
                    f"{self.recipe.patch} pixels; type patch={self.recipe.patch // 2}"
                ) from error
        self.optimiser.zero_grad(set_to_none=True)  # here, where the error's frames are gone
        if self.devices.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _accumulate(self, batch: Batch) -> Tensor:
        """Add up the gradients of the parts of a batch; return summed loss and weight."""
        self.devices.seed(self.recipe.seed, self.step)  # of dropout
        self.optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(2, device=self.devices.device)
        size = self.micro_batch or len(batch)
        for first in range(0, len(batch), size):
            part = batch.part(slice(first, first + size))
            weight = float(part.weight.sum(dtype=np.float64))
            if weight > 0:
                loss = self.stage.loss(part)
                loss.backward()
                sums += torch.stack([loss.detach().to(sums), sums.new_tensor(weight)])
        return sums

    # --- a validation

    @property
    def due(self) -> bool:
        """Whether it is time for a validation."""
        return self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the score has not become better for too long."""
        scores = [row[self.key] for row in self.history if row["step"] > 0]
        return self.recipe.finished(self.step, scores)

    def validate(self, validate: Callable[[nn.Module], Scores]) -> str | None:
        """Score the averaged weights, keep them if they are the best; say what is wrong."""
        scores: Scores = {}
        if self.devices.writer:
            with torch.no_grad():
                scores = validate(self.ema.eval())
        scores = self.devices.broadcast(scores)
        rate = self.recipe.rate(self.step - 1) * self.rate_scale if self.step else 0.0
        row = {
            "step": float(self.step),
            "learning_rate": rate,
            "training_loss": _mean(self.losses),
            "gradient_norm": _mean(self.norms),
            **{key: float(value) for key, value in scores.items()},
            "seconds": time.monotonic() - self.started,
        }
        trouble = self._trouble(row) if self.step else None
        if trouble is not None:
            return trouble
        self.history.append(row)
        log.info("%s %s", self.stage.name, {key: float(f"{row[key]:.5g}") for key in row})
        self.lowest = min([self.lowest, *([_mean(self.losses)] if self.losses else [])])
        self.losses, self.norms = [], []
        if (self.step or self.recipe.keep_start) and row[self.key] < self.best:
            self.best, self.best_weights = row[self.key], _copied(self.ema)
        self.save()
        return None

    def _trouble(self, row: Row) -> str | None:
        """Tell whether training exploded, which both its loss and the score must show.

        The loss is of other patches every time and the score of few; neither is to be trusted
        alone.
        """
        score, loss = row[self.key], row["training_loss"]
        before = [own[self.key] for own in self.history if math.isfinite(own[self.key])]
        best = min(before, default=math.inf)
        if not math.isfinite(score):
            never = "" if before else ", as it was from the first"
            return f"its {self.key} is {score:g}{never}"
        if loss > EXPLODED * max(self.lowest, LOW) and score > best + abs(best):
            return f"its loss rose from {self.lowest:g} to {loss:g}, its {self.key} to {score:g}"
        return None

    # --- checkpoints

    def save(self) -> None:
        """Write checkpoint and history; the others wait until they are there."""
        if self.devices.writer:
            parts = {name: getattr(self, name).state_dict() for name in PARTS}
            checkpoint.save(self.path, parts | {name: getattr(self, name) for name in PLAIN})
            write_history(self.path.parent, {self.stage.name: self.history})
        self.devices.wait()

    def restore(self) -> bool:
        """Go back to the last good checkpoint; tell whether there is one."""
        state = checkpoint.load(self.path)
        here = -1 if state is None else state["step"]
        if self.devices.sum(float(here != self.devices.broadcast(here))):
            raise InputError(
                f"not all processes see the same {self.path}; name a folder that all share: out=..."
            )
        if state is None:
            return False
        checkpoint.check_network(self.path, state["net"], self.net.state_dict())
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name in PLAIN:
            setattr(self, name, state[name])
        self.losses, self.norms = [], []
        self.started = time.monotonic() - self.history[-1]["seconds"]
        return True

    def step_back(self, trouble: str) -> None:
        """Go back to the last good checkpoint with half the learning rate, or give up."""
        what, rate = f"the {self.stage.name} stage diverged", self.recipe.learning_rate
        where, peak = f"in step {self.step - 1}", rate * self.rate_scale
        micro_batch = self.micro_batch
        if self.setbacks == SETBACKS or not self.restore():
            raise InputError(
                f"{what} {self.setbacks + 1} times, now {where} at a learning rate of {peak:g}: "
                f"{trouble}. Look for infinite or absurd values in the data, or begin with a lower "
                f"rate in another folder: learning_rate={rate / 10:g}, out='{self.path.parent}-2'"
            )
        self.micro_batch = micro_batch
        self.rate_scale, self.setbacks = self.rate_scale / 2, self.setbacks + 1
        if self.devices.writer:
            log.warning(
                "%s %s: %s; going back to step %d with half the learning rate, %g",
                *(what, where, trouble, self.step, rate * self.rate_scale),
            )
        self.save()


def fit(
    stage: Stage,
    draws: Draws,
    validate: Callable[[nn.Module], Scores],
    recipe: Recipe,
    out: Path,
    *,
    devices: Devices,
    score: str,
) -> tuple[Weights, list[Row]]:
    """Train a stage; continue where `out` left off.

    Parameters
    ----------
    stage : Stage
        Network and loss. The network is trained in place.
    draws : Draws
        The batches, by number of the step.
    validate : callable
        ``(net) -> scores``, called with the averaged weights before the first step and at every
        validation, by one process alone.
    recipe : Recipe
        How long, how fast.
    out : pathlib.Path
        Folder of the checkpoint ``<stage>.pt``, of ``history.json`` and ``log.txt``.
    devices : Devices
        Where to train.
    score : str
        Which of the scores is to be small.

    Returns
    -------
    weights : dict of str to torch.Tensor
        Averaged weights of the best validation, on the CPU; those of the start without a step.
    history : list of dict
        Step, learning rate, mean training loss and gradient norm since the row before, scores and
        seconds: before the first step, and at every validation.

    Raises
    ------
    InputError
        If training diverges a third time, memory does not suffice for a single patch, or the
        checkpoint is of another network.
    """
    out.mkdir(parents=True, exist_ok=True)
    with logged(out, devices), devices.own_randomness():
        run = _Run(stage, recipe, out / f"{stage.name}.pt", devices, score)
        resumed = run.restore()
        if not resumed:
            run.validate(validate)
        elif devices.writer:
            write_history(out, {stage.name: run.history})
        with Progress(out, stage.name, recipe, run.step, run.history, devices) as progress:
            if resumed and not run.finished:
                progress.tell(f"{stage.name} goes on at step {run.step} of {recipe.steps}")
            while not run.finished:
                _go_on(run, draws, validate, progress)
    if run.best > run.history[0][score] and devices.writer and recipe.steps:
        log.warning(
            "%s: no validation gave a better %s (%g) than what training began with (%g)",
            *(stage.name, score, run.best, run.history[0][score]),
        )
    return run.best_weights, run.history


def _go_on(
    run: _Run, draws: Draws, validate: Callable[[nn.Module], Scores], progress: Progress
) -> None:
    """Take steps until the stage is finished, or has gone back."""
    with closing(_batches(draws, run.devices, range(run.step, run.recipe.steps))) as batches:
        for batch in batches:
            trouble = run.update(batch)
            if trouble is None:
                progress.step()
                trouble = run.validate(validate) if run.due else None
            if trouble is not None:
                run.step_back(trouble)
                progress.back(run.step)
                return
            if run.due:
                progress.validated(run.history[-1], run.key)
            if run.finished:
                return


def _batches(draws: Draws, devices: Devices, steps: Sequence[int]) -> Generator[Batch]:
    """Yield the batches of some steps in order, each drawn while those before are used."""
    threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="draws")
    coming: deque[Future[Batch]] = deque()
    try:
        for step in steps:
            coming.append(threads.submit(draws.batch, step, devices.rank, devices.world))
            if len(coming) > AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _optimiser(parameters: Sequence[nn.Parameter], weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW, with decay for the weights but not for biases and norms."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True)


def _gradient_of(parameter: nn.Parameter) -> Tensor:
    """Return the gradient, zero if the loss does not depend on it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _copied(net: nn.Module) -> Weights:
    return {name: value.detach().to("cpu", copy=True) for name, value in net.state_dict().items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
