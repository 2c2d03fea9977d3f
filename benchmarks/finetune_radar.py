"""Fine-tune rain-16x on 19 frames of the Dutch radar, and score it on frames of later hours.

    python benchmarks/finetune_radar.py --data radar

In one table, made and scored by this run: the model as it comes, analogues, the fine-tuned model
and one trained from nothing on the same frames with as many steps. The models are drawn with their
own sampler, and once more with one sampler for all. The crops, the analogues and the scores come
with the data, as for ``rain_skill.py``. A killed run continues with the same command.
"""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import xarray as xr
from rain_skill import COLUMNS, FACTOR, cells, coarse_crops, load_baselines, markdown, score

import xresdiff
from xresdiff import Model

SOURCE, FRAMES = "knmi_test", "knmi_2010-08-26_train.nc"
PRETRAINED = "rain-16x"


def pairs(data: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Return rain of blocks of 16 x 16 pixels, and rain of pixels, where the radars reach."""
    with xr.open_dataset(data / FRAMES) as ds:
        rain = ds[["precip_rate"]].drop_vars(("latitude", "longitude")).astype(np.float32).load()
    known = rain.precip_rate.notnull().all("time")
    inside = {}
    for dim, other in (("y", "x"), ("x", "y")):
        places = np.flatnonzero(known.any(other))
        inside[dim] = slice(places[0], places[0] + (np.ptp(places) + 1) // FACTOR * FACTOR)
    target = rain.isel(inside)
    return xresdiff.coarsen(target, FACTOR), target


def trained(options: argparse.Namespace) -> dict[str, Model]:
    """Fine-tune a model, and train one from nothing with as many steps."""
    coarse, target = pairs(options.data)
    steps = {"mean": options.mean_steps, "residual": options.residual_steps}
    print(f"{coarse.sizes['time']} pairs of {dict(target.sizes)}, {steps} steps", flush=True)
    common: dict[str, Any] = {
        "steps": steps,
        "validation": options.validation,
        "device": options.device,
        "patience": None,
    }
    ways = {
        "fine-tuned": lambda out: xresdiff.finetune(
            coarse, target, model=PRETRAINED, out=out, learning_rate=options.rate, **common
        ),
        "from scratch": lambda out: xresdiff.train(coarse, target, out=out, **common),
    }
    models = {}
    for name, way in ways.items():
        started = time.perf_counter()
        models[name] = way(options.out / name.replace(" ", "-"))
        print(f"{name}: {(time.perf_counter() - started) / 60:.1f} minutes", flush=True)
    return models


def results(
    baselines: ModuleType, ds: xr.Dataset, models: dict[str, Model], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the scores of the analogues and of every model with both samplers."""
    with open(os.devnull, "w") as quiet, redirect_stdout(quiet):
        analogues = baselines.run("analog", SOURCE, FACTOR)
    yield analogues
    shared = replace(
        xresdiff.open_model(PRETRAINED).card.sampler,
        steps=options.steps,
        sigma_max=options.sigma_max,
        sigma_min=options.sigma_min,
    )
    print(f"sampler B is {asdict(shared)}; A is each model's own", flush=True)
    for letter, sampler in (("A", None), ("B", shared)):
        for name, model in models.items():
            arguments = {"model": model, "members": options.members, "sampler": sampler}
            yield score(baselines, ds, SOURCE, f"{name}, {letter}", **arguments)


def main() -> None:
    """Train, score, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the radar data")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune-radar"))
    parser.add_argument("--mean-steps", type=int, default=300)
    parser.add_argument("--residual-steps", type=int, default=1000)
    parser.add_argument("--rate", type=float, help="learning rate of the fine-tuning")
    parser.add_argument("--validation", type=float, default=0.15, help="share of the frames")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--every", type=int, default=1, help="use every n-th crop")
    parser.add_argument("--steps", type=int, default=10, help="of sampler B")
    parser.add_argument("--sigma-max", type=float, default=20.0, help="of sampler B")
    parser.add_argument("--sigma-min", type=float, default=0.03, help="of sampler B")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models = {PRETRAINED: xresdiff.open_model(PRETRAINED), **trained(options)}
    baselines = load_baselines(options.data)
    ds = coarse_crops(baselines, SOURCE, options.every)
    print(f"{SOURCE}: {ds.sizes['crop']} crops, {options.members} members")
    print(markdown(["method", *(title for title, _ in COLUMNS.values())]))
    print(markdown(["---"] * (len(COLUMNS) + 1)))
    for result in results(baselines, ds, models, options):
        print(markdown(cells(result)), flush=True)


if __name__ == "__main__":
    main()
