"""A small stage for tests of the loop, and a run of it as a process of its own.

``python -m tests.loop_toys OUT STEPS SECONDS [SICK]`` trains it, pausing so long in each step.
"""

import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xresdiff.options import set_options
from xresdiff.train.batches import Batch, Draws
from xresdiff.train.devices import Devices
from xresdiff.train.loop import fit
from xresdiff.train.recipe import Recipe

ROOT = Path(__file__).parents[1]
CPU = Devices(torch.device("cpu"))
RECIPE = Recipe(
    steps=20, batch_size=4, patch=8, learning_rate=0.02, warmup=3, validate_every=5, seed=11
)


@dataclass
class Affine:
    """Patches whose target is an affine function of the input; of some, parts are missing."""

    missing: float = 0.3
    drawn: list[int] = field(default_factory=list)

    def draw(self, rng, n, patch):
        self.drawn.append(n)
        coarse = rng.normal(size=(n, 1, patch, patch)).astype(np.float32)
        known = rng.random(coarse.shape) >= self.missing * rng.random((n, 1, 1, 1))
        fine = np.where(known, 3 * coarse + 1, 0).astype(np.float32)
        return Batch(
            coarse, fine, known.astype(np.float32), np.zeros((n, 2)), np.zeros((n, 2), np.int64)
        )


class Toy:
    """A stage with a convolution or two."""

    def __init__(self, net=None, name="toy", width=4, dropout=0.0, pause_seconds=0.0):
        self.name, self.pause_seconds = name, pause_seconds
        self.net = two_layers(width, dropout) if net is None else net

    def loss(self, batch, net=None):
        time.sleep(self.pause_seconds)
        net = self.net if net is None else net
        error = net(torch.from_numpy(batch.coarse)) - torch.from_numpy(batch.fine)
        return (torch.from_numpy(batch.weight) * error.square()).sum()


def two_layers(width=4, dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.Dropout(dropout), nn.Conv2d(width, 1, 1)
        )


def draws_of(recipe, patches=None, stage="toy"):
    patches = Affine() if patches is None else patches
    return Draws(
        patches, stage, recipe.seed, recipe.batch_size, recipe.patch, per_field=recipe.per_field
    )


def validation_of(stage, patches=None):
    """Return a validation on one batch, the same each time."""
    batch = (Affine() if patches is None else patches).draw(np.random.default_rng(9), 4, 8)

    def validate(net):
        return {"validation_loss": float(stage.loss(batch, net)) / float(batch.weight.sum())}

    return validate


def train(out, stage=None, recipe=RECIPE, patches=None, validate=None, devices=CPU):
    stage = Toy(dropout=0.2) if stage is None else stage
    return fit(
        stage,
        draws_of(recipe, patches, stage.name),
        validation_of(stage) if validate is None else validate,
        recipe,
        Path(out),
        devices=devices,
        score="validation_loss",
    )


class Killed(BaseException):
    """What nothing in the loop catches."""


class Watched(Toy):
    """A stage that does something in its loss before the loss, while it trains."""

    def __init__(self, act, **settings):
        super().__init__(**settings)
        self.act = act

    def loss(self, batch, net=None):
        loss = super().loss(batch, net)
        if net is None:
            changed = self.act(batch, loss)
            loss = loss if changed is None else changed
        return loss


def killed_at(step, **settings):
    """Return a stage that kills the training in a step."""
    count = iter(range(10**6))

    def kill(batch, loss):
        if next(count) == step:
            raise Killed

    return Watched(kill, dropout=0.2, **settings)


def without_times(history):
    return [
        {key: value for key, value in row.items() if key != "seconds" and not math.isnan(value)}
        for row in history
    ]


def assert_same_weights(first, second):
    assert {*first} == {*second}
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def assert_same_run(first, second):
    assert_same_weights(first[0], second[0])
    assert without_times(first[1]) == without_times(second[1])


def run_toy(out, *arguments, **environment):
    command = [sys.executable, "-m", "tests.loop_toys", str(out), *map(str, arguments)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def run_two(out, *arguments):
    """Start two processes that find one another as torchrun lets them."""
    torchrun = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [run_toy(out, *arguments, RANK=str(n), LOCAL_RANK=str(n), **torchrun) for n in (0, 1)]


def sick_once(step, **settings):
    """Return a stage whose loss is not a number in a step, but only the first time."""
    count = iter(range(10**6))
    return Watched(lambda _, loss: loss * math.nan if next(count) == step else loss, **settings)


def main(out, steps, seconds, sick=-1):
    """Train; in step `sick`, the loss of the last process is not a number."""
    torch.set_num_threads(1)
    devices = Devices.here("cpu")
    sick = int(sick) if devices.rank == devices.world - 1 else -1
    dropout = 0.2 if devices.world == 1 else 0.0
    stage = sick_once(sick, dropout=dropout, pause_seconds=float(seconds))
    with set_options(progress=False):
        weights, _ = train(out, stage, replace(RECIPE, steps=int(steps)), devices=devices)
    torch.save(weights, Path(out) / f"weights-{devices.rank}.pt")
    print("finished", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
