"""Score rain-16x on radar crops that it has never seen, beside baselines, in one table.

    python benchmarks/rain_skill.py --data radar
    python benchmarks/rain_skill.py --data radar --source mrms_validation --curve

The crops, the baselines and the scores come with the data, in ``baselines.py``; every row is made
and scored by this run. ``--curve`` scores samplers and step counts instead, on every fifth crop.
"""

import argparse
import csv
import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import xarray as xr

from xresdiff.nets.samplers import evaluations

FACTOR = 16
BASELINES = ("nearest", "bilinear", "bilinear_conserving", "bicubic", "analog")
COLUMNS = {  # key of baselines.py: title, format
    "crps_fair": ("CRPS", ".4f"),
    "mae_mean": ("MAE", ".4f"),
    "rmse_mean": ("RMSE", ".3f"),
    "lsd": ("LSD dB", ".2f"),
    "lsd_small": ("LSD small dB", ".2f"),
    "wet_err_pp": ("wet pp", "+.1f"),
    "p99_err_pct": ("p99 %", "+.0f"),
    "p99.9_err_pct": ("p99.9 %", "+.0f"),
    "fss_5_5": ("FSS>5@5", ".3f"),
    "mass_err_pct": ("mass %", ".4f"),
    "spread_skill": ("spread/skill", ".2f"),
    "seconds_per_member": ("s/member", ".3f"),
}
CURVE = [
    *(("dpmpp_2m", steps) for steps in (4, 6, 8, 10, 14)),
    ("heun", 5),
    ("euler", 10),
]


def load_baselines(data: Path) -> ModuleType:
    """Import ``baselines.py`` from the folder of the data."""
    os.environ.setdefault("SCORES_DIR", "runs/scores")
    sys.path.insert(0, str(data.resolve()))
    return importlib.import_module("baselines")


def coarse_crops(baselines: ModuleType, source: str, every: int) -> xr.Dataset:
    """Return block means of the crops, (crop, y, x), on a grid of 16 km."""
    truth = baselines.truth(source)[::every]
    baselines._cache.clear()
    baselines._cache[source] = truth  # what the baselines and the scores see
    coarse = baselines.coarsen(truth, FACTOR)
    size_km = FACTOR * baselines.SOURCES[source][2]
    axes = {
        dim: (dim, size_km * np.arange(n), {"standard_name": f"projection_{dim}_coordinate",
                                             "units": "km"})
        for dim, n in zip(("y", "x"), coarse.shape[1:], strict=True)
    }  # fmt: skip
    attrs = {"units": "mm h-1", "standard_name": "lwe_precipitation_rate"}
    return xr.Dataset({"precip_rate": (("crop", "y", "x"), coarse, attrs)}, coords=axes)


def score(
    baselines: ModuleType, ds: xr.Dataset, source: str, name: str, **arguments: object
) -> dict[str, Any]:
    """Downscale the crops and score the ensemble."""
    ds.isel(crop=slice(1)).resdiff.downscale(**{**arguments, "members": 1})  # loads the model
    started = time.perf_counter()
    ens = ds.resdiff.downscale(**arguments).precip_rate
    seconds = (time.perf_counter() - started) / (ens.sizes["member"] * ens.sizes["crop"])
    fields = ens.transpose("member", "crop", "y", "x").values
    return baselines.score(fields, source, FACTOR, name, seconds)


def cells(result: dict[str, Any]) -> list[str]:
    """Format the scores of a method; what it has no value of is a dash."""
    values = [(result.get(key), form) for key, (_, form) in COLUMNS.items()]
    return [result["method"], *("-" if v is None else f"{v:{form}}" for v, form in values)]


def markdown(row: list[str]) -> str:
    """Format a row of a table."""
    return f"| {' | '.join(row)} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the radar data")
    parser.add_argument("--source", default="mrms_test")
    parser.add_argument("--model", default="rain-16x")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--every", type=int, default=1, help="use every n-th crop")
    parser.add_argument("--curve", action="store_true", help="samplers and steps instead")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--csv", type=Path, help="also write the table here")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    baselines = load_baselines(options.data)
    ds = coarse_crops(baselines, options.source, 5 if options.curve else options.every)
    members = 8 if options.curve else options.members
    print(f"{options.source}: {ds.sizes['crop']} crops, {members} members, {options.model}")
    table = [["method", *(title for title, _ in COLUMNS.values())]]
    print(markdown(table[0]) + "\n" + markdown(["---"] * len(table[0])))
    for result in results(baselines, ds, members, options):
        table.append(cells(result))
        print(markdown(table[-1]), flush=True)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(table)
    if not options.curve:
        print("\nranks of wet pixels:", *(f"{share:.3f}" for share in result["rank_hist_wet"]))


def results(
    baselines: ModuleType, ds: xr.Dataset, members: int, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the scores of every method: samplers and steps, or baselines and the model."""
    common = {"model": options.model, "members": members}
    if options.curve:
        for sampler, steps in CURVE:
            name = f"{sampler} {steps} ({evaluations(sampler, steps)} evaluations)"
            yield score(baselines, ds, options.source, name, sampler=sampler, steps=steps, **common)
        return
    for method in () if options.no_baselines else BASELINES:
        with open(os.devnull, "w") as quiet, redirect_stdout(quiet):
            result = baselines.run(method, options.source, FACTOR)
        yield result
    yield score(baselines, ds, options.source, Path(options.model).name, **common)


if __name__ == "__main__":
    main()
