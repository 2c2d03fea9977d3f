"""Earth2Studio's generic CorrDiff package: a folder of two checkpoints and what they are of.

::

    metadata.json             variables, sampler
    stats.json                means and standard deviations
    output_latlon_grid.nc     target
    input_latlon_grid.nc      coarse grid; or else "latlon_res" in metadata.json
    invariants.nc             fields of the target, if there are any
    regression.mdlus          PhysicsNeMo's checkpoint of the mean
    diffusion.mdlus           of the residual
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models.card import Channel, Extra, FixedTarget, ModelCard, SamplerCard
from xresdiff.models.grid_file import write_grid
from xresdiff.models.published.package_files import (
    Metadata,
    Stats,
    Target,
    channels_of,
    read_fields,
    read_metadata,
    read_stats,
    read_target,
    static_name,
)
from xresdiff.models.published.package_networks import (
    checkpoint_of,
    network_problems,
    stage_cards,
)
from xresdiff.models.published.translation import Translation

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = [
    "REFERENCE",
    "Statics",
    "channels_of",
    "checkpoint_of",
    "network_problems",
    "read_metadata",
    "read_statics",
    "read_stats",
    "read_target",
    "sampler_of",
    "stage_cards",
    "translate",
]

REFERENCE = "Mardani et al. (2025), Residual corrective diffusion modeling for km-scale atmospheric"
REFERENCE += " downscaling, doi:10.1038/s43247-025-02042-5"

# What PhysicsNeMo's samplers take where a package says nothing.
SIGMA_MIN = 0.002
SIGMA_MAX = {"stochastic": 800.0, "deterministic": 80.0}

Method = Literal["bilinear", "latlon_bilinear"]

_STAGES = {"regression.mdlus": "mean", "diffusion.mdlus": "residual"}
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")


@dataclass(frozen=True)
class Statics:
    """Fields of the target that networks are told behind the inputs.

    Parameters
    ----------
    names : tuple of str
        In their order, as the package calls them.
    fields : mapping of numpy.ndarray, (y, x)
        By these names.
    """

    names: tuple[str, ...]
    fields: Mapping[str, np.ndarray]


def translate(folder: Path, name: str) -> Translation:
    """Translate a package.

    Grids of any shape and order are taken, 1-D and 2-D, beside those that Earth2Studio runs; so is
    one step, and the deterministic sampler with a diffusion that is told the mean. Fields come from
    the grid that the user has, whatever the coarse grid of the package, so that
    ``grid_spacing_tolerance`` has no meaning.

    Parameters
    ----------
    folder : Path
        Of the package.
    name : str
        Of the model, for its card.

    Returns
    -------
    Translation
        Ready to be written.

    Raises
    ------
    ModelError
        If anything is missing, does not go together or cannot be expressed; every problem is
        named.

    Examples
    --------
    >>> translate(Path("nowhere"), "mine")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: cannot read the Earth2Studio package nowhere: metadata.json: ...
    """
    what = f"read the Earth2Studio package {folder}"
    try:
        metadata, unknown = read_metadata(folder)
    except ModelError as error:
        raise ModelError(f"cannot {what}: {error}") from error
    problems: list[str] = []
    target = read_target(folder, problems)
    statics = read_statics(folder, metadata.invariant_variables, target, problems)
    groups = {"input": metadata.input_variables, "output": metadata.output_variables}
    stats = read_stats(folder, groups | {"invariants": statics.names}, problems)
    coarse = coarse_of(folder, metadata, target, problems)
    inputs, outputs = (
        channels_of(names, stats[group], problems, units=metadata.units, is_input=group == "input")
        for group, names in groups.items()
    )
    stages = {stage: checkpoint_of(folder / file, problems) for file, stage in _STAGES.items()}
    problems += _network_problems(stages, metadata, statics, target)
    problems += mode_problems(metadata)
    raise_problems(problems, what=what, error=ModelError)
    tell_unknown(folder, unknown)
    card = ModelCard(
        name=name,
        version="1",
        title=f"{', '.join(metadata.output_variables)} on a grid of {target.spacing_km:g} km",
        description=_description(metadata),
        licence=licence_of(folder),
        data=(),
        references=(REFERENCE,),
        inputs=tuple(regridded(channel, coarse) for channel in inputs),
        outputs=outputs,
        target=FixedTarget(
            region=target.region,
            spacing_km=target.spacing_km,
            coarse_spacing_km=coarse.spacing_km,
        ),
        conditioning=("bilinear",),
        global_residual=False,
        extras=extras_of(statics, stats),
        mean_conditioning=metadata.hr_mean_conditioning,
        **stage_cards(stages),
        sampler=sampler_of(metadata, stages["residual"]),
        patch=max(target.shape),
        precision="float32",
    )
    weights = {stage: found.weights for stage, found in stages.items() if found is not None}
    fields = {static_name(name): field for name, field in statics.fields.items()}
    axes = (coarse.lat, coarse.lon) if coarse.lat.ndim == 1 else None
    grid = write_grid(target.lat, target.lon, statics=fields, coarse=axes)
    return Translation(card, weights, grid)


# --- what is in the folder


def read_statics(
    folder: Path, names: Sequence[str] | None, target: Target, problems: list[str]
) -> Statics:
    """Read ``invariants.nc``.

    Parameters
    ----------
    folder : Path
        Of the package.
    names : sequence of str, optional
        Which fields, in which order; all that are there by default.
    target : Target
        That they are of.
    problems : list of str
        To which every problem is added.
    """
    path = folder / "invariants.nc"
    if not path.is_file():
        if names:
            problems.append(f"metadata.json names invariants and there is no {path.name}")
        return Statics(tuple(names or ()), {})
    fields = read_fields(path, names, problems)
    if len({static_name(name) for name in fields}) < len(fields):
        problems.append(f"invariants.nc has names that differ by signs alone: {', '.join(fields)}")
    for name, values in fields.items():
        if values.shape != target.shape:
            problems.append(
                f"the invariant {name!r} has the shape {values.shape}, the target {target.shape}"
            )
        elif not np.isfinite(values).all():
            share = 100 * (1 - np.isfinite(values).mean())
            problems.append(
                f"{share:.2g} % of the invariant {name!r} are no numbers; one is enough to make "
                "all of the networks' output no number. Fill them"
            )
    return Statics(tuple(fields if names is None else names), fields)


def coarse_of(folder: Path, metadata: Metadata, target: Target, problems: list[str]) -> Target:
    """Return the coarse grid: of the file, or around the target as Earth2Studio lays it."""
    name = "input_latlon_grid.nc"
    if (folder / name).is_file():
        before = len(problems)
        coarse = read_target(folder, problems, name)
        outside = _outside(coarse, target, metadata.grid_bounds_margin)
        if outside and len(problems) == before:
            problems.append(outside)
        return coarse
    if metadata.latlon_res is None:
        problems.append(f"there is no {name}, and no 'latlon_res' in metadata.json instead")
        return target
    step = metadata.latlon_res
    return Target(*(_around(axis, step) for axis in target.points))


def _around(values: np.ndarray, step: float) -> np.ndarray:
    """Return multiples of a step from one before the least value to one behind the last."""
    first, last = np.floor(values.min() / step) - 1, np.ceil(values.max() / step) + 1
    return np.arange(first, last + 1) * step


def _outside(coarse: Target, target: Target, margin: float) -> str:
    """Say that a target reaches beyond its coarse grid; nothing if it does not."""
    (lat, lon), (y, x) = coarse.points, target.points
    middle = (lon.min() + lon.max()) / 2
    x = middle + (x - middle + 180) % 360 - 180
    parts = [(y, lat, "latitudes"), (x, lon, "longitudes")]
    around = lon.max() - lon.min() + 1.5 * np.abs(np.diff(lon, axis=1)).max() > 360
    for values, within, what in parts[:1] if around else parts:
        low, high = within.min(), within.max()
        room = margin * (high - low) + 1e-6
        if values.min() < low - room or values.max() > high + room:
            return (
                f"the target has {what} from {values.min():.6g} to {values.max():.6g}, the coarse "
                f"grid from {low:.6g} to {high:.6g}, with grid_bounds_margin {margin:g} in "
                "metadata.json"
            )
    return ""


def licence_of(folder: Path) -> str:
    """Say where the licence is told."""
    found = next((name for name in _LICENCES if (folder / name).is_file()), None)
    return f"that of {found} in the package" if found else "not told in the package"


def tell_unknown(folder: Path, unknown: Sequence[str]) -> None:
    """Warn of keys that mean nothing."""
    if unknown:
        warn(
            f"metadata.json of {folder} has keys that Earth2Studio's CorrDiff knows nothing of, nor"
            f" xresdiff: {', '.join(map(repr, unknown))}. They have no effect"
        )


# --- whether it goes together


def _network_problems(
    stages: Mapping[str, "Checkpoint | None"], metadata: Metadata, statics: Statics, target: Target
) -> list[str]:
    known = {"inputs": len(metadata.input_variables), "invariants": len(statics.names)}
    outputs = len(metadata.output_variables)
    told = known | ({"outputs (the mean)": outputs} if metadata.hr_mean_conditioning else {})
    return [
        problem
        for file, stage in _STAGES.items()
        if (found := stages[stage]) is not None
        for problem in network_problems(
            found,
            file=file,
            stage=stage,
            condition=told if stage == "residual" else known,
            outputs=outputs,
            shape=target.shape,
        )
    ]


def mode_problems(metadata: Metadata) -> list[str]:
    problems = []
    if metadata.inference_mode == "diffusion":
        problems.append(
            "metadata.json says inference_mode 'diffusion': the residual without the mean that it "
            'is a residual of, which is no weather. Type "inference_mode": "both"'
        )
    low, high = metadata.sigma_min, metadata.sigma_max
    low = SIGMA_MIN if low is None else low
    high = SIGMA_MAX[metadata.sampler_type] if high is None else high
    if low >= high:
        problems.append(f"metadata.json: sigma_min, {low:g}, must be below sigma_max, {high:g}")
    return problems


# --- what becomes of it


def sampler_of(metadata: Metadata, residual: "Checkpoint | None") -> SamplerCard:
    """Return the sampler as PhysicsNeMo runs it: "stochastic" is Heun's method without churn.

    Parameters
    ----------
    metadata : Metadata
        What the package says; of what it does not say, PhysicsNeMo's defaults.
    residual : Checkpoint
        Whose own noise levels bound those of the sampler.
    """
    low = SIGMA_MIN if metadata.sigma_min is None else metadata.sigma_min
    high = metadata.sigma_max
    high = SIGMA_MAX[metadata.sampler_type] if high is None else high
    if residual is not None:
        low = max(low, residual.sigma_min)
        high = min(high, residual.sigma_max)
    stochastic = metadata.sampler_type == "stochastic"
    return SamplerCard(
        name="heun" if stochastic else metadata.solver,
        steps=metadata.number_of_steps,
        sigma_min=low,
        sigma_max=high,
    )


def extras_of(statics: Statics, stats: Stats) -> tuple[Extra, ...]:
    scales = stats["invariants"]
    return tuple(
        Extra("static", static_name(name), scales[name].mean, scales[name].std)
        for name in statics.names
    )


def regridded(channel: Channel, coarse: Target) -> Channel:
    """Return an input that comes from a grid like the coarse one, by row and column or not."""
    method: Method = "latlon_bilinear" if coarse.lat.ndim == 1 else "bilinear"
    return replace(channel, regridding=method)


def _description(metadata: Metadata) -> str:
    text = "A package of Earth2Studio's CorrDiff, translated."
    if metadata.inference_mode == "regression":
        text += " Its authors take the mean alone: downscale(..., stage='mean')."
    if metadata.seed is not None:
        text += f" There, it draws from seed {metadata.seed} unless told otherwise."
    if metadata.number_of_samples > 1:
        text += f" There, it draws {metadata.number_of_samples} members unless told otherwise."
    if metadata.grid_bounds_margin > 0:
        text += " There, it extrapolates beyond its coarse grid; here, the input must cover the"
        text += " target."
    return text
