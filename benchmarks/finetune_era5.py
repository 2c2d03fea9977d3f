"""Train models of temperature and of pressure levels from nothing, and score them beside baselines.

    python benchmarks/finetune_era5.py --data FOLDER

FOLDER holds ``era5-uk-t2m/era5_t2m_uk_2019-03.nc`` (hourly 2 m temperature over the United Kingdom)
and ``era5-levels/era5_levels_members_2017-01.nc`` (geopotential and temperature on 850 and 500 hPa,
10 members, 4 times). The coarse fields are means of blocks of 4 x 4 cells. Temperature is learned
in three weeks and scored in the last ten days; levels are learned at three times and scored at the
fourth. A killed run continues with the same command.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import xresdiff
from xresdiff import Model

FACTOR = 4
FIRST, THEN = slice(None, "2019-03-14"), slice("2019-03-15", "2019-03-21")
LEARNED, TESTED = slice(None, "2019-03-21"), slice("2019-03-22", None)
NAMES = {"lat": "latitude", "lon": "longitude"}  # those of ERA5, for those of a grid of its own

# Small enough for little data and one core; they learn what is particular to every place.
NETWORK = {
    "model_channels": 16, "num_blocks": 1, "dropout": 0.2,
    "positions": "learned", "position_channels": 8,
}  # fmt: skip
TEMPERATURE = {"network": NETWORK | {"stem": 4, "channel_mult": (2, 3)}, "batch_size": 16}
LEVELS = {"network": NETWORK | {"stem": 2, "channel_mult": (3, 4)}, "batch_size": 4}


def temperature(data: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Return 2 m temperature (K) on 1 and on 0.25 degrees."""
    with xr.open_dataset(data / "era5-uk-t2m" / "era5_t2m_uk_2019-03.nc") as ds:
        fine = ds[["t2m"]].isel(latitude=slice(32), longitude=slice(48)).astype(np.float32).load()
    return xresdiff.coarsen(fine, FACTOR), fine


def levels(data: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Return geopotential (m2 s-2) and temperature (K) of two levels on 12 and on 3 degrees."""
    with xr.open_dataset(data / "era5-levels" / "era5_levels_members_2017-01.nc") as ds:
        fine = ds[["z", "t"]].isel(latitude=slice(60)).astype(np.float32).load()
    return xresdiff.coarsen(fine, FACTOR), fine


def bilinear(coarse: xr.Dataset, fine: xr.Dataset, *, around: bool = False) -> xr.Dataset:
    """Interpolate in latitude and longitude, and on beyond the outermost centres."""
    if around:
        turn = {"longitude": coarse.longitude + 360}, {"longitude": coarse.longitude - 360}
        more = [coarse.assign_coords(one) for one in turn]
        coarse = xr.concat(
            [more[1].isel(longitude=[-1]), coarse, more[0].isel(longitude=[0])], "longitude"
        )
    where = {"latitude": fine.latitude, "longitude": fine.longitude}
    return coarse.interp(where, kwargs={"fill_value": "extrapolate"}).astype(np.float32)


def regression(inputs: xr.Dataset, target: xr.Dataset, new: xr.Dataset, dim: str) -> xr.Dataset:
    """Regress every pixel of the target on the interpolated one, and apply that to new ones."""
    x, y = inputs.mean(dim), target.mean(dim)
    slope = ((inputs - x) * (target - y)).mean(dim) / inputs.var(dim)
    return y + slope * (new - x)


def trained(
    first: tuple[xr.Dataset, xr.Dataset],
    then: tuple[xr.Dataset, xr.Dataset],
    steps: tuple[int, int],
    out: Path,
    **more: Any,
) -> Model:
    """Train the mean on the first pairs, then the residual on those that the mean has not seen.

    Of few fields a mean remembers more than it learns, and what it leaves of them is too little.
    """
    started = time.perf_counter()
    common: dict[str, Any] = {"device": more.pop("device"), "patience": None}
    mean = xresdiff.train(
        *first, out=out / "mean", steps={"mean": steps[0], "residual": 1}, **common, **more
    )
    model = xresdiff.finetune(
        *then,
        model=mean,
        stages=["residual"],
        out=out / "both",
        steps=steps[1],
        batch_size=more["batch_size"],
        learning_rate=1e-3,
        **common,
    )
    print(f"{out.name} was trained in {(time.perf_counter() - started) / 60:.1f} minutes")
    return model


def row(name: str, ens: xr.DataArray, obs: xr.DataArray, weights: xr.DataArray) -> str:
    """Score a forecast, with or without members."""
    members = {"member_dim": "member"} if "member" in ens.dims else {}  # such as an interpolation
    common: dict[str, Any] = {"weights": weights, **members}
    error = float(xresdiff.mae(ens, obs, **common))
    values = [error if not members else float(xresdiff.crps(ens, obs, **common)), error]
    values.append(float(xresdiff.rmse(ens, obs, **common)))
    numbers = [f"{value:.4g}" for value in values]
    numbers.append(f"{float(xresdiff.spread_skill(ens, obs, **common)):.2f}" if members else "-")
    return f"| {' | '.join([name, *numbers])} |"


def table(forecasts: dict[str, xr.Dataset], obs: xr.Dataset, along: str | None = None) -> None:
    """Print the scores of every variable and level."""
    weights = xresdiff.cell_area(obs)
    print("| field | CRPS | MAE of the mean | RMSE of the mean | spread/skill |")
    print("| --- | --- | --- | --- | --- |")
    for name, da in obs.data_vars.items():
        for level in [None] if along is None else da[along].values:
            picked = {} if along is None else {along: level}
            field = str(name) if along is None else f"{name} {level:g} hPa"
            for method, fields in forecasts.items():
                ens, truth = (one.sel(picked, drop=True) for one in (fields[name], da))
                print(row(f"{field}, {method}", ens, truth, weights))


def score_temperature(options: argparse.Namespace) -> None:
    """Train on three weeks, score the last ten days."""
    coarse, fine = temperature(options.data)
    plain = bilinear(coarse, fine)
    detail = (fine - plain).sel(time=FIRST).t2m
    model = trained(
        (coarse.sel(time=FIRST), fine.sel(time=FIRST)),
        (coarse.sel(time=THEN), fine.sel(time=THEN)),
        (500, 250),
        options.out / "temperature",
        device=options.device,
        static=xr.Dataset({"detail_mean": detail.mean("time"), "detail_std": detail.std("time")}),
        extras=["hour", "solar_zenith"],
        **TEMPERATURE,
    )
    new = [
        ds.sel(time=TESTED).isel(time=slice(None, None, options.every)) for ds in (coarse, plain)
    ]
    ens = new[0].resdiff.downscale(members=options.members, model=model).load()
    old = [ds.sel(time=LEARNED) for ds in (plain, fine)]
    forecasts = {
        "bilinear": new[1],
        "regression of every pixel": regression(*old, new[1], "time"),
        "xresdiff": ens.rename(NAMES),
    }
    table(forecasts, fine.sel(time=ens.time))


def score_levels(options: argparse.Namespace) -> None:
    """Train on the first three times, score the fourth."""
    coarse, fine = levels(options.data)
    plain = bilinear(coarse, fine, around=True)
    first, then, tested = ({"time": part} for part in (slice(2), slice(2, 3), slice(3, 4)))
    model = trained(
        (coarse.isel(first), fine.isel(first)),
        (coarse.isel(then), fine.isel(then)),
        (200, 100),
        options.out / "levels",
        device=options.device,
        extras=["latitude"],
        **LEVELS,
    )
    ens = coarse.isel(tested).resdiff.downscale(members=options.members, model=model).load()
    print(ens)  # the levels are labelled
    ens = ens.rename(NAMES | {"pressure": "pressure_level", "sample": "member"})
    forecasts = {"bilinear": plain.isel(tested), "xresdiff": ens}
    # the members of ERA5 are cases here, each with an ensemble of its own
    cases = {name: ds.rename(number="case").drop_vars("case") for name, ds in forecasts.items()}
    truth = fine.isel(tested).rename(number="case").drop_vars("case")
    table(cases, truth, "pressure_level")


def main() -> None:
    """Train, score, print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of both data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/finetune-era5"))
    parser.add_argument("--only", choices=("temperature", "levels"))
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--every", type=int, default=5, help="score temperature every n-th hour")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only != "levels":
        score_temperature(options)
    if options.only != "temperature":
        score_levels(options)


if __name__ == "__main__":
    main()
