"""Train a model of fields whose right answer is known, and see how near it comes.

    python benchmarks/gaussian.py                  # the proof: a table of criteria
    python benchmarks/gaussian.py --efficiency     # how many pairs each way of training needs
    python benchmarks/gaussian.py --small          # either in a minute or so, to see that it runs

Two correlated Gaussian variables with a spectrum of k^-3, seen as means over blocks of 4 x 4 pixels
with noise (``tests/gaussian.py``): the distribution of the fields given what is seen is known. The
networks learn from draws, the scores are of fresh ones, through :func:`xresdiff.downscale`.

``--efficiency`` compares, at the same steps of the optimiser in all and networks of the same shape,

* both stages: a regression of the field, then a diffusion of what it leaves;
* the regression alone, whose CRPS is its mean absolute error, with the steps of both;
* a diffusion alone, with the steps of both, of the field itself: its mean stage gives zero.

The interpolated input is told to all networks and added to none of their results there (the proof
adds it to the regression, as models do by default), so that they have the same to learn. All are
validated on fresh draws, and the best of four validations is kept. Windows have 16 x 16 pixels
there, and the spectrum turns flat at 16, so that it takes minutes. Noise of the right variance is
worth much to the CRPS of pixels, whatever its texture, so that of means over blocks is told, too.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
import xarray as xr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # of tests/gaussian.py

from tests.gaussian import GaussianField, measures
from xresdiff import downscale, set_options
from xresdiff.engine.runtime import build
from xresdiff.models.card import (
    Channel,
    DataSource,
    ModelCard,
    NetworkCard,
    RefineTarget,
    SamplerCard,
    StageCard,
)
from xresdiff.models.package import Model, Stage, write_package
from xresdiff.train.batches import Batch
from xresdiff.train.encoding import NoiseLevels
from xresdiff.train.fit import Recipes, fit_model
from xresdiff.train.recipe import Recipe
from xresdiff.verify.kernels import crps

NAMES = ("a", "b")
CONDITIONING = ("bilinear", "constant", "phase")
NETWORK = {"model_channels": 16, "channel_mult": (1, 2, 2), "num_blocks": 1, "dropout": 0.0,
           "bottleneck_attention": False}  # fmt: skip
# Residuals have a standard deviation of 0.5 as networks see them, of 0.06 to 1.8 along the axes of
# their covariance: noise starts well above the largest and ends well below the smallest.
SAMPLER = SamplerCard(name="dpmpp_2m", steps=20, sigma_min=0.016, sigma_max=8.0, rho=7.0)
NOISE = NoiseLevels()
# The same of whole fields is 0.018 to 7.
SAMPLER_ALONE = replace(SAMPLER, steps=32, sigma_min=0.005, sigma_max=80.0)
NOISE_ALONE = NoiseLevels(mean=-1.8, std=1.5)


@dataclass(frozen=True)
class Fresh:
    """New draws of the field at every step: the training set is endless."""

    field: GaussianField

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Draw whole windows."""
        return batch_of(*self.field.draw(rng, n))


@dataclass(frozen=True)
class Pairs:
    """A given number of pairs, drawn once."""

    coarse: np.ndarray
    fine: np.ndarray

    def draw(self, rng: np.random.Generator, n: int, patch: int) -> Batch:
        """Pick some of the pairs."""
        picked = rng.integers(len(self.coarse), size=n)
        return batch_of(self.coarse[picked], self.fine[picked])


def batch_of(coarse: np.ndarray, fine: np.ndarray) -> Batch:
    """Return whole windows as a training step takes them."""
    fine = fine.astype(np.float32)
    n = len(fine)
    moments, corners = np.zeros((n, 2)), np.zeros((n, 2), np.int64)
    return Batch(coarse.astype(np.float32), fine, np.ones_like(fine), moments, corners)


# --- the models


def network(given: int, **changes: Any) -> NetworkCard:
    """Describe a network with so many channels in, its parameters counted."""
    config = {"in_channels": given, "out_channels": len(NAMES), **NETWORK, **changes}
    return NetworkCard(config, sum(p.numel() for p in build(NetworkCard(config, 1)).parameters()))


def card(field: GaussianField, *, base: bool = True, alone: bool = False) -> ModelCard:
    """Describe a model; with or without the input added to the mean; of a diffusion alone."""
    k, told = len(NAMES), sum(2 if how == "phase" else len(NAMES) for how in CONDITIONING)
    channels = tuple(Channel(n, "", "1", std=s) for n, s in zip(NAMES, field.stds, strict=True))
    return ModelCard(
        name="gaussian",
        version="1",
        title="A Gaussian field from its block means",
        description="Learned from draws.",
        licence="Apache-2.0",
        data=(DataSource("random numbers", "CC0-1.0"),),
        inputs=channels,
        outputs=channels,
        target=RefineTarget(field.factor, spacing_km=4.0, spacing_range_km=(3.0, 5.0)),
        conditioning=CONDITIONING,
        global_residual=base,
        mean_conditioning=not alone,
        mean=StageCard("mean.safetensors", network(told, embedding="zero")),
        residual=StageCard("residual.safetensors", network(told + (k if alone else 2 * k))),
        sampler=SAMPLER_ALONE if alone else SAMPLER,
        patch=field.size,
    )


def untrained(model_card: ModelCard, out: Path, seed: int = 0) -> Model:
    """Write a model with fresh weights; of a diffusion alone, the mean is exactly zero."""
    weights: dict[Stage, dict[str, np.ndarray]] = {}
    stages: tuple[Stage, ...] = ("mean", "residual")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for stage in stages:
            net = build(getattr(model_card, stage).network)
            if stage == "mean" and not model_card.mean_conditioning:
                for name, value in net.named_parameters():
                    if "aux_conv" in name:  # the last layer
                        value.data.zero_()
            weights[stage] = {name: value.numpy() for name, value in net.state_dict().items()}
    return write_package(out, model_card, weights)


def fitted(
    field: GaussianField,
    training: Fresh | Pairs,
    both: tuple[Recipe, Recipe],
    out: Path,
    *,
    stages: tuple[Stage, ...] = ("mean", "residual"),
    base: bool = True,
) -> Model:
    """Train the given stages; the residual alone learns the field itself."""
    alone = "mean" not in stages
    start = untrained(card(field, base=base, alone=alone), out / "start")
    noise = NOISE_ALONE if alone else NOISE
    recipes = Recipes(*both, noise, stages=stages)
    return fit_model(
        start,
        training,
        Fresh(field),
        recipes=recipes,
        out=out,
        device="cpu",
        precision="float32",
    )


def ensemble(model: Model, coarse: np.ndarray, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Downscale ``(n, k, Y, X)``: members ``(n, m, k, y, x)`` and mean ``(n, k, y, x)``."""
    axis = {"standard_name": "projection_y_coordinate", "units": "km"}
    side = 4.0 * np.arange(coarse.shape[-1])
    ds = xr.Dataset(
        {n: (("case", "y", "x"), c, {"units": "1"}) for n, c in zip(NAMES, coarse.swapaxes(0, 1),
                                                                   strict=True)},
        coords={"y": ("y", side, axis), "x": ("x", side, axis | {"standard_name":
                                                                "projection_x_coordinate"})},
    )  # fmt: skip
    how: dict[str, Any] = {"model": model, "device": "cpu", "precision": "float32"}
    both, mean = downscale(ds, members=max(members, 1), **how), downscale(ds, stage="mean", **how)
    fields = both.to_array("k").transpose("case", "member", "k", "y", "x").values
    return fields[:, :members], mean.to_array("k").transpose("case", "k", "y", "x").values


# --- the proof

NEEDED: dict[str, tuple[str, float, float, str]] = {  # title, least, most, format
    "rmse": ("RMSE of the mean / optimum", -np.inf, 1.02, ".3f"),
    "crps": ("fair CRPS of the members / optimum", -np.inf, 1.02, ".3f"),
    "decibels": ("variance per wavenumber, largest error (dB)", -np.inf, 0.5, ".2f"),
    "ranks": ("rank histogram, chi-square p", 0.01, np.inf, ".2f"),
    "spread_skill": ("spread / skill", 0.97, 1.03, ".3f"),
    "shared": ("covariance of the variables / exact", 0.95, 1.05, ".3f"),
    "coherence": ("coherence per wavenumber, largest error", -np.inf, 0.05, ".3f"),
}


@dataclass(frozen=True)
class Criterion:
    """One row of the table."""

    name: str
    got: Sequence[float]
    exact: Sequence[float]
    low: float
    high: float
    form: str

    @property
    def passed(self) -> bool:
        """Whether all numbers lie within the bounds."""
        return all(self.low <= value <= self.high for value in self.got)

    def row(self) -> str:
        """Format it for markdown."""
        got, exact = (", ".join(f"{v:{self.form}}" for v in e) for e in (self.got, self.exact))
        low, high = (f"{v:{self.form}}".rstrip("0").rstrip(".") for v in (self.low, self.high))
        needed = f"{low} to {high}"
        if not np.isfinite([self.low, self.high]).all():
            needed = f"at most {high}" if np.isfinite(self.high) else f"at least {low}"
        done = "yes" if self.passed else "**no**"
        return f"| {self.name} | {got} | {exact} | {needed} | {done} |"


def criteria(field: GaussianField, model: Model, cases: int, members: int) -> list[Criterion]:
    """Hold a model against the exact distribution, on draws that are fresh."""
    rng = np.random.default_rng(2**32)
    coarse, fine = (a.astype(np.float32) for a in field.draw(rng, cases))
    ens, mean = ensemble(model, coarse, members)
    got = measures(field, coarse, fine, mean, ens.astype(np.float64))
    exact = field.members(rng, coarse, members)
    same = measures(field, coarse, fine, field.mean(coarse), exact)
    return [
        Criterion(title, got[key], same[key], low, high, form)
        for key, (title, low, high, form) in NEEDED.items()
    ]


def prove(field: GaussianField, out: Path, small: bool) -> bool:
    """Train both stages on endless draws and print the table."""
    mean = recipe(field, 4 if small else 600)
    residual = recipe(field, 8 if small else 2000)
    started, computing = time.perf_counter(), time.process_time()
    model = fitted(field, Fresh(field), (mean, residual), out / "proof")
    trained, computed = time.perf_counter(), time.process_time()
    table = criteria(field, model, *((4, 4) if small else (256, 16)))
    scored = time.perf_counter()
    print("| criterion | got | exact members | needed | passed |\n|---|---|---|---|---|")
    print(*(one.row() for one in table), sep="\n")
    print(
        f"\nTrained in {trained - started:.0f} s ({computed - computing:.0f} s of one core), "
        f"{mean.steps} and {residual.steps} steps of {mean.batch_size} windows of {field.size} x "
        f"{field.size} pixels, networks of "
        f"{model.card.mean.network.parameters} and {model.card.residual.network.parameters} "
        f"parameters; drawn and scored in {scored - trained:.0f} s."
    )
    return all(one.passed for one in table)


def recipe(field: GaussianField, steps: int, validate: int = 1) -> Recipe:
    """Return how a stage is trained; the best of so many validations is kept."""
    return Recipe(
        steps=steps,
        batch_size=16,
        patch=field.size,
        per_field=16,
        learning_rate=3e-3,
        warmup=min(100, steps),
        validate_every=max(steps // validate, 1),
    )


# --- how many pairs it takes


def efficiency(field: GaussianField, out: Path, small: bool) -> Iterator[dict[str, Any]]:
    """Yield the scores of every way of training, at every number of pairs."""
    steps = 4 if small else 400
    rng = np.random.default_rng(2**32)
    test = field.draw(rng, 4 if small else 128)
    once, twice = recipe(field, steps, validate=4), recipe(field, 2 * steps, validate=4)
    ways: dict[str, tuple[Recipe, tuple[Stage, ...]]] = {
        "both stages": (once, ("mean", "residual")),
        "regression alone": (twice, ("mean",)),
        "diffusion alone": (twice, ("residual",)),
    }
    for n in (16, 256) if small else (16, 64, 256, 1024, 4096):
        pairs = Pairs(*field.draw(np.random.default_rng(n), n))
        for way, (each, stages) in ways.items():
            started = time.process_time()
            run = out / f"{way}-{n}".replace(" ", "-")
            model = fitted(field, pairs, (each, each), run, stages=stages, base=False)
            seconds = round(time.process_time() - started, 1)
            found = score(field, model, *test, 0 if way == "regression alone" else 8)
            yield {"pairs": n, "way": way, **found, "core_seconds": seconds}


def score(
    field: GaussianField, model: Model, coarse: np.ndarray, fine: np.ndarray, members: int
) -> dict[str, float]:
    """Return the fair CRPS over the optimum, of pixels and of means over blocks.

    Without members, those of the mean.
    """
    ens, mean = ensemble(model, coarse, members)
    best = field.members(np.random.default_rng(0), coarse, 64)
    known = mean_crps(ens if members else mean[:, None], fine), mean_crps(best, fine)
    ratios = [float((got / exact).mean()) for got, exact in zip(*known, strict=True)]
    return dict(zip(("crps", "crps_of_blocks"), ratios, strict=True))


def mean_crps(ens: np.ndarray, fine: np.ndarray) -> list[np.ndarray]:
    """Return the fair CRPS of every variable, of pixels and of means over 4 x 4 of them."""
    found = []
    for size in (1, 4):
        blocks = [
            each.reshape(*each.shape[:-2], fine.shape[-2] // size, size, -1, size).mean((-3, -1))
            for each in (ens, fine)
        ]
        fields = crps(np.moveaxis(blocks[0], 1, -1), blocks[1], fair=ens.shape[1] > 1)
        found.append(fields.mean((0, 2, 3)))
    return found


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the CRPS against the number of pairs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    titles = {"crps": "pixels", "crps_of_blocks": "means over 4 x 4 pixels"}
    panels = figure.subplots(1, 2, sharey=True)
    for ax, (key, title) in zip(panels, titles.items(), strict=True):
        for way in dict.fromkeys(row["way"] for row in rows):
            own = [row for row in rows if row["way"] == way]
            ax.loglog([r["pairs"] for r in own], [r[key] for r in own], marker="o", label=way)
        ax.axhline(1.0, color="0.5", linestyle=":", label="optimum")
        ax.set(xlabel="training pairs", ylabel="CRPS / optimum", title=title)
    panels[0].legend()
    figure.savefig(path)


def compare(field: GaussianField, out: Path, small: bool) -> None:
    """Print, write and draw what :func:`efficiency` finds."""
    rows = []
    print("| pairs | way | CRPS / optimum | of blocks | seconds of a core |\n" + "|---" * 5 + "|")
    for row in efficiency(field, out, small):
        rows.append(row)
        numbers = f"{row['crps']:.3f} | {row['crps_of_blocks']:.3f} | {row['core_seconds']}"
        print(f"| {row['pairs']} | {row['way']} | {numbers} |", flush=True)
        with (out / "efficiency.csv").open("w", newline="") as file:  # as far as it is known
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    plot(rows, out / "efficiency.png")


def main() -> None:
    """Print a table; fail where a criterion does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--efficiency", action="store_true", help="compare ways of training")
    parser.add_argument("--small", action="store_true", help="a few steps, to see that it runs")
    parser.add_argument("--out", type=Path, help="folder of the runs, which go on if killed")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_options(progress=False)
    out = options.out or Path(mkdtemp(prefix="gaussian-"))
    out.mkdir(parents=True, exist_ok=True)
    if options.efficiency:
        compare(GaussianField(size=16, wavelength=16.0), out, options.small)
    elif not prove(GaussianField(), out, options.small) and not options.small:
        sys.exit(1)


if __name__ == "__main__":
    main()
