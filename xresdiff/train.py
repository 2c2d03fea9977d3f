"""Paired Datasets in, model out: both stages, from nothing or from another model.

The losses are in :mod:`xresdiff.engine.stages`, the loop in :mod:`xresdiff.engine.loop`.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.engine.patches import PairedPatches
from xresdiff.errors import InputError, raise_problems
from xresdiff.grids import coords, units
from xresdiff.grids.coords import levels
from xresdiff.grids.target import refine
from xresdiff.grids.units.accumulations import time_bounds_of
from xresdiff.models.card import Channel, ModelCard, RefineTarget
from xresdiff.models.opening import open_model
from xresdiff.models.package import Model

__all__ = ["finetune", "history"]

GRID_TOLERANCE = 0.1  # of a fine cell, between the target's coordinates and the refined ones


def finetune(
    coarse: xr.Dataset,
    target: xr.Dataset,
    *,
    model: str | PathLike[str] | Model = "rain-16x",
    steps: int = 1000,
    batch_size: int = 8,
    patch: int | None = None,
    learning_rate: float = 2e-4,
    validation: float = 0.1,
    out: str | PathLike[str] = "run",
    device: str = "auto",
    precision: str = "auto",
    seed: int = 0,
) -> Model:
    """Go on training both stages of a model with your own pairs of fields.

    Parameters
    ----------
    coarse : xarray.Dataset, (time, Y, X)
        Inputs of the model, without missing values. The pairs are held in memory.
    target : xarray.Dataset, (time, y, x)
        What it should have given, on the grid that refines that of `coarse` by the model's factor.
        Missing values do not count.
    model : str, PathLike or Model, default "rain-16x"
        Where to begin; see :func:`xresdiff.open_model`.
    steps : int, default 1000
        Optimiser steps of each stage.
    batch_size : int, default 8
        Patches of a step.
    patch : int, optional
        Side of a patch in fine pixels, the model's own by default; lowered to what the fields
        hold and the networks take.
    learning_rate : float, default 2e-4
        Peak of the learning rate.
    validation : float, default 0.1
        Share of the times, the last ones, that are kept to choose the best weights.
    out : str or PathLike, default "run"
        Folder of the run. The same call goes on with a run that was stopped; another call needs
        another folder.
    device, precision : str, default "auto"
        As of :func:`xresdiff.downscale`.
    seed : int, default 0
        Of patches and noise.

    Returns
    -------
    Model
        Ready for ``downscale(model=...)``; it is in ``<out>/model``.

    Raises
    ------
    InputError
        If the pairs do not fit the model or one another, or an argument is out of bounds: one
        message with every problem. If `out` holds a run of something else.
    ModelError
        If the model is unknown or damaged.

    Examples
    --------
    >>> from xresdiff.tutorial import rain_pair
    >>> coarse, target = rain_pair(times=4, shape=(128, 128))
    >>> model = finetune(coarse, target, steps=2000, out="run")  # doctest: +SKIP
    """
    from xresdiff.engine.loop import Recipe
    from xresdiff.engine.stages import NoiseLevels, Recipes, fit_model

    start = open_model(model)
    card = start.card
    patch = card.patch if patch is None else patch
    whole = {"steps": steps, "batch_size": batch_size, "patch": patch, "seed": seed}
    problems = list(_out_of_bounds(whole, learning_rate, validation))
    pairs = _load_pairs(coarse, target, card, problems)
    recipe = Recipe(
        steps=steps,
        batch_size=batch_size,
        patch=_patch_side(pairs, patch, card),
        learning_rate=learning_rate,
        warmup=min(100, steps // 10),
        validate_every=max(1, min(250, steps // 4)),
        seed=seed,
    )
    facts = {"model": start.sha256, "data": _hash(pairs), "validation": validation}
    _claim(Path(out), asdict(recipe) | facts)
    return fit_model(
        replace(card, files={}, scores={}),
        *_split(pairs, validation),
        recipes=Recipes(recipe, recipe, NoiseLevels()),
        out=out,
        start=start,
        device=device,
        precision=precision,
    )


def history(out: str | PathLike[str] = "run") -> xr.Dataset:
    """Read how a finished training went.

    Parameters
    ----------
    out : str or PathLike, default "run"
        Folder of the run.

    Returns
    -------
    xarray.Dataset, (stage, step)
        Learning rate, training and validation loss, seconds; NaN where a stage was not validated.

    Raises
    ------
    InputError
        If there is no finished run.
    """
    path = Path(out) / "history.json"
    if not path.exists():
        raise InputError(f"there is no finished run in {out}: {path} is missing")
    stages = []
    for name, rows in json.loads(path.read_text()).items():
        columns: dict[str, Any] = {
            key: ("step", [row[key] for row in rows])
            for key in ("learning_rate", "training_loss", "validation_loss", "seconds")
        }
        steps = [int(row["step"]) for row in rows]
        stages.append(xr.Dataset(columns, coords={"step": steps, "stage": name}))
    return xr.concat(stages, "stage", join="outer")


def _out_of_bounds(whole: dict[str, Any], learning_rate: float, validation: float) -> Iterator[str]:
    """Say which arguments are out of bounds."""
    for name, value in whole.items():
        least = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            yield f"{name} is {value!r}; it is a whole number of at least {least}"
    if not learning_rate > 0:
        yield f"learning_rate is {learning_rate!r}; it is positive"
    if not 0 < validation < 1:
        yield f"validation is {validation!r}; it is a share between 0 and 1"


def _load_pairs(
    coarse: xr.Dataset, target: xr.Dataset, card: ModelCard, problems: list[str]
) -> PairedPatches:
    """Check pairs of Datasets and load them; raise these problems together with theirs."""
    if not isinstance(card.target, RefineTarget):
        raise InputError(
            f"cannot fine-tune {card.name}: it gives fields on a grid of its own, and only models "
            "that refine the grid of their input can be fine-tuned: finetune(target, "
            "model='rain-16x')"
        )
    what, factor = f"train {card.name} on these pairs", card.target.factor
    fields = []
    for which, ds, channels in (("coarse", coarse, card.inputs), ("target", target, card.outputs)):
        try:
            fields.append(_fields(ds, channels))
        except InputError as error:
            problems = [*problems, f"{which}: {error}"]
    raise_problems(problems, what=what)
    inputs, outputs = fields
    raise_problems(list(_grid_problems(coarse, target, factor)), what=what)
    raise_problems(list(_time_problems(inputs, outputs)), what=what)
    # the grids were found to agree, and need no more alignment
    sides = {*inputs.dims[-2:], *outputs.dims[-2:]}
    inputs, outputs = xr.align(inputs, outputs, join="inner", exclude=sides)
    pairs = PairedPatches(inputs.values, outputs.values, factor)
    raise_problems(list(_value_problems(pairs)), what=what)
    return pairs


def _fields(ds: xr.Dataset, channels: tuple[Channel, ...]) -> xr.DataArray:
    """Return the channels of a Dataset as (time, channel, y, x), in the model's units, lazily."""
    grid = coords.find_horizontal(ds)
    found = {channel: levels.find_channel(ds, channel) for channel in channels}
    missing = [channel.label for channel, one in found.items() if one is None]
    if missing:
        have = ", ".join(map(repr, ds.data_vars)) or "no variables"
        raise InputError(f"there is no {', '.join(missing)}; it has {have}")
    arrays = [
        units.convert(levels.take(ds, one), channel, bounds=time_bounds_of(ds, one.name))
        .astype(np.float32)
        .reset_coords(drop=True)
        for channel, one in found.items()
        if one is not None
    ]
    stacked = xr.concat(arrays, "_channel", coords="minimal", compat="override", join="exact")
    times = [dim for dim in stacked.dims if dim not in ("_channel", *grid.dims)]
    if len(times) != 1:
        raise InputError(
            f"it runs along {tuple(map(str, times))} beside its grid; one dimension is needed: "
            "ds.expand_dims('time') or ds.stack(time=[...])"
        )
    return stacked.transpose(times[0], "_channel", *grid.dims)


def _grid_problems(coarse: xr.Dataset, target: xr.Dataset, factor: int) -> Iterator[str]:
    """Say where the target's grid is not the coarse one, refined."""
    needed = coords.find_horizontal(refine(coarse, factor))
    found = coords.find_horizontal(target)
    if found.kind == "curvilinear":
        yield from (f"target: {problem}" for problem in coords.check_uniform(found))
        return
    for name, want, have in (
        (found.y, needed.y_values, found.y_values),
        (found.x, needed.x_values, found.x_values),
    ):
        cell = abs(want[1] - want[0])
        if want.shape == have.shape and np.abs(have - want).max() < GRID_TOLERANCE * cell:
            continue
        yield (
            f"the target's {name!r} has {_span(have)}, but the coarse grid refined by {factor} has "
            f"{_span(want)}; regrid the target, turn it (target.sortby({name!r}, "
            "ascending=...)) or cut it"
        )


def _span(values: np.ndarray) -> str:
    return f"{values.size} points from {values[0]:g} to {values[-1]:g}"


def _time_problems(inputs: xr.DataArray, outputs: xr.DataArray) -> Iterator[str]:
    """Say why times cannot be paired."""
    time, other = inputs.dims[0], outputs.dims[0]
    if time != other:
        yield (
            f"coarse runs along {time!r} and the target along {other!r}; give them one name: "
            f"target.rename({{{other!r}: {time!r}}})"
        )
    elif len(inputs) != len(outputs) and not (time in inputs.indexes and time in outputs.indexes):
        yield (
            f"{len(inputs)} coarse fields and {len(outputs)} of the target cannot be paired "
            f"without labels: ds.assign_coords({time}=...)"
        )


def _value_problems(pairs: PairedPatches) -> Iterator[str]:
    """Say what is wrong with the values of pairs."""
    if len(pairs.coarse) < 2:
        yield f"there are {len(pairs.coarse)} common times; at least two are needed"
    if not np.isfinite(pairs.coarse).all():
        yield "coarse has missing values; fill them: coarse.fillna(...)"
    if not np.isfinite(pairs.fine).any():
        yield "the target has no values at these times: all are missing"


def _split(pairs: PairedPatches, validation: float) -> tuple[PairedPatches, PairedPatches]:
    """Keep the last times, one at least but not all, for validation."""
    n = len(pairs.coarse)
    kept = min(max(1, round(n * validation)), n - 1)
    return (
        replace(pairs, coarse=pairs.coarse[:-kept], fine=pairs.fine[:-kept]),
        replace(pairs, coarse=pairs.coarse[-kept:], fine=pairs.fine[-kept:], turn=False),
    )


def _hash(pairs: PairedPatches) -> str:
    """Return what tells these pairs from others."""
    digest = hashlib.sha256(np.ascontiguousarray(pairs.coarse).data)
    digest.update(np.ascontiguousarray(pairs.fine).data)
    return digest.hexdigest()


def _claim(out: Path, facts: dict[str, Any]) -> None:
    """Note what a run is of; refuse the folder of a run of something else."""
    path = out / "run.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=1))
        return
    before = json.loads(path.read_text())
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r} now"
        for name, value in facts.items()
        if before.get(name) != value
    ]
    if changed:
        raise InputError(
            f"{out} holds another run: {'; '.join(changed)}. Train in another folder: "
            f"finetune(..., out={f'{out}-2'!r})"
        )


def _patch_side(pairs: PairedPatches, patch: int, card: ModelCard) -> int:
    """Return the largest side up to `patch` that fits the fields and the networks."""
    from xresdiff.nets.unet import UNetConfig

    networks = (card.mean.network, card.residual.network)
    multiples = [UNetConfig(**network.config).size_multiple for network in networks]
    multiple = int(np.lcm.reduce([*multiples, pairs.factor]))
    side = min(patch, *pairs.fine.shape[-2:]) // multiple * multiple
    if not side:
        have = " x ".join(map(str, pairs.fine.shape[-2:]))
        raise InputError(
            f"patches of {patch} pixels from fields of {have} are too small for {card.name}; it "
            f"takes multiples of {multiple} pixels"
        )
    return side
