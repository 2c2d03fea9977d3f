"""CorrDiff CMIP6-ERA5: daily means of a climate model become the hours of a reanalysis.

The files of the generic package (see :mod:`~xresdiff.models.published.earth2studio`), and what
Earth2Studio's wrapper does with them, which no file tells:

* Three days of each variable, one behind the other, are brought to the target by row and column.
* Sea ice is given the snow on land.
* Rows run from the north, beyond the poles they are mirrored, and columns go on around the Earth.
* The sun and the hour of the day are told. The last of the invariants is not: in training, the hour
  was in its place, and was normalised with its mean and deviation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models.card import Channel, Extra, FixedTarget, ModelCard, Padding
from xresdiff.models.grid_file import write_grid
from xresdiff.models.published import cmip6_variables
from xresdiff.models.published.earth2studio import REFERENCE, Statics, read_statics, sampler_of
from xresdiff.models.published.package_files import (
    Metadata,
    Scale,
    Stats,
    Target,
    channels_of,
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

__all__ = ["HOURS", "PADDING", "SUN_AND_HOUR", "OFFSETS_h", "translate"]

OFFSETS_h = (-24.0, 0.0, 24.0)  # of the three days
HOURS = tuple(float(hour) for hour in range(-12, 12))  # of the day whose mean is at 12 UTC
PADDING = Padding(rows=(23, 24), columns=(48, 48), around=True)  # 721 x 1440 to 768 x 1536
SUN_AND_HOUR = ("sza", "hod")  # their scales, among those of the inputs
NOT_TOLD = ("siconc", "snc")  # missing on land, or on sea: none there

# Where metadata.json says nothing.
SIGMA_MIN = 1.0
SIGMA_MAX = 400.0

# Outputs that the wrapper keeps from falling below zero.
_NEVER_NEGATIVE = ("t2m", "d2m", "sst", "sp", "msl", "tcwv", "z", "t", "q")
_MAY_BE_NEGATIVE = ("z", 100_000.0)

_STAGES = {"regression.mdlus": "mean", "diffusion.mdlus": "residual"}


def translate(folder: Path, name: str) -> Translation:
    """Translate a package.

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
    """
    what = f"read the CMIP6 package {folder}"
    try:
        metadata, unknown = read_metadata(folder)
    except ModelError as error:
        raise ModelError(f"cannot {what}: {error}") from error
    metadata = _with_defaults(metadata)
    problems: list[str] = []
    target = _axes(folder, "output_latlon_grid.nc", problems)
    coarse = _axes(folder, "input_latlon_grid.nc", problems)
    statics = read_statics(folder, metadata.invariant_variables, target, problems)
    stats = read_stats(folder, _needed(metadata, statics), problems)
    inputs = _inputs(metadata, stats["input"], problems)
    outputs = _outputs(metadata, stats["output"], problems)
    stages = {stage: checkpoint_of(folder / file, problems) for file, stage in _STAGES.items()}
    problems += _problems(stages, metadata, statics, target)
    raise_problems(problems, what=what, error=ModelError)
    if unknown:
        names = ", ".join(map(repr, unknown))
        warn(f"metadata.json of {folder} has keys that mean nothing to xresdiff: {names}")
    card = _card(
        name, metadata, (target, coarse), (inputs, outputs), _extras(statics, stats), stages
    )
    weights = {stage: found.weights for stage, found in stages.items() if found is not None}
    return Translation(card, weights, _grid(target, coarse, statics))


def _card(
    name: str,
    metadata: Metadata,
    grids: tuple[Target, Target],
    channels: tuple[tuple[Channel, ...], tuple[Channel, ...]],
    extras: tuple[Extra, ...],
    stages: Mapping[str, "Checkpoint | None"],
) -> ModelCard:
    """Return the card, of the target and the coarse grid, of inputs and outputs."""
    (target, coarse), (inputs, outputs) = grids, channels
    return ModelCard(
        name=name,
        version="1",
        title=f"ERA5's hours at {target.spacing_km:g} km from daily CMIP6 at "
        f"{coarse.spacing_km:g} km",
        description="CorrDiff CMIP6-ERA5, a package of Earth2Studio, translated.",
        licence="not told in the package",
        data=(),
        references=(REFERENCE,),
        inputs=inputs,
        outputs=outputs,
        target=FixedTarget(
            region="the globe",
            spacing_km=target.spacing_km,
            coarse_spacing_km=coarse.spacing_km,
            stretched=True,
            padding=PADDING,
        ),
        conditioning=("bilinear",),
        global_residual=False,
        extras=extras,
        sea_ice_cover=set(NOT_TOLD) <= set(metadata.input_variables),
        hours=HOURS,
        mean_conditioning=metadata.hr_mean_conditioning,
        **stage_cards(stages),
        sampler=sampler_of(metadata, stages["residual"]),
        patch=max(PADDING.padded(*target.shape)),
        precision="float32",
    )


def _with_defaults(metadata: Metadata) -> Metadata:
    """Return metadata with the noise levels that the wrapper takes where nothing is said."""
    low, high = metadata.sigma_min, metadata.sigma_max
    return replace(
        metadata,
        sigma_min=SIGMA_MIN if low is None else low,
        sigma_max=SIGMA_MAX if high is None else high,
    )


def _axes(folder: Path, name: str, problems: list[str]) -> Target:
    """Read a rectilinear grid whose latitudes and longitudes rise."""
    before = len(problems)
    grid = read_target(folder, problems, name)
    if len(problems) > before:
        return grid
    if grid.lat.ndim != 1:
        problems.append(f"{name} is curvilinear; needed are rows and columns of one coordinate")
    elif (grid.lat[1:] <= grid.lat[:-1]).any() or (grid.lon[1:] <= grid.lon[:-1]).any():
        problems.append(f"{name} has latitudes or longitudes that do not rise")
    return grid


def _needed(metadata: Metadata, statics: Statics) -> Mapping[str, Sequence[str]]:
    """Return the variables whose scales are needed, by group."""
    return {
        "input": (*metadata.input_variables, *SUN_AND_HOUR),
        "output": metadata.output_variables,
        "invariants": statics.names,
    }


def _inputs(
    metadata: Metadata, scales: Mapping[str, Scale], problems: list[str]
) -> tuple[Channel, ...]:
    """Return the channels of the inputs: the three days of one variable, then the next."""
    channels = []
    for name in metadata.input_variables:
        scale = scales.get(name)
        if scale is None:
            continue
        one = cmip6_variables.channel(name, mean=scale.mean, std=scale.std)
        if one is None:
            problems.append(f"{name!r} is no variable of CMIP6 that is known here")
            continue
        missing = 0.0 if name in NOT_TOLD else None
        channels += [replace(one, offset_h=hours, missing=missing) for hours in OFFSETS_h]
    return tuple(channels)


def _outputs(
    metadata: Metadata, scales: Mapping[str, Scale], problems: list[str]
) -> tuple[Channel, ...]:
    """Return the channels of the outputs, with the bounds of the wrapper.

    But for the geopotential at 1000 hPa, which is negative in every low, where that is below the
    sea.
    """
    names, units = metadata.output_variables, metadata.units
    channels = channels_of(names, scales, problems, units=units, is_input=False)
    return tuple(
        replace(channel, minimum=0.0)
        if channel.name in _NEVER_NEGATIVE and channel.key[:2] != _MAY_BE_NEGATIVE
        else channel
        for channel in channels
    )


def _problems(
    stages: Mapping[str, "Checkpoint | None"], metadata: Metadata, statics: Statics, target: Target
) -> list[str]:
    """Say what does not go together."""
    problems = []
    if not statics.names:
        problems.append("there is no invariant, in whose place the networks are told the hour")
    if metadata.inference_mode == "diffusion":
        problems.append(
            "metadata.json says inference_mode 'diffusion', which Earth2Studio refuses for CMIP6"
        )
    if (metadata.sigma_min or 0.0) >= (metadata.sigma_max or 0.0):
        problems.append(
            f"metadata.json: sigma_min, {metadata.sigma_min:g}, must be below sigma_max, "
            f"{metadata.sigma_max:g}"
        )
    outputs = len(metadata.output_variables)
    known = {
        "inputs of 3 days": len(OFFSETS_h) * len(metadata.input_variables),
        "invariants": max(len(statics.names) - 1, 0),
        "of the sun and the hour": 3,
    }
    told = known | ({"outputs (the mean)": outputs} if metadata.hr_mean_conditioning else {})
    for file, stage in _STAGES.items():
        found = stages[stage]
        if found is not None:
            problems += network_problems(
                found,
                file=file,
                stage=stage,
                condition=told if stage == "residual" else known,
                outputs=outputs,
                shape=PADDING.padded(*target.shape),
            )
    return problems


def _extras(statics: Statics, stats: Stats) -> tuple[Extra, ...]:
    """Return what the networks are told behind the inputs, the hour twice."""
    sun, hour = (stats["input"][name] for name in SUN_AND_HOUR)
    *kept, replaced = (stats["invariants"][name] for name in statics.names)
    return (
        Extra("cos_zenith", mean=sun.mean, std=sun.std),
        *(
            Extra("static", static_name(name), scale.mean, scale.std)
            for name, scale in zip(statics.names[:-1], kept, strict=True)
        ),
        Extra("hour_of_day", mean=replaced.mean, std=replaced.std),
        Extra("hour_of_day", mean=hour.mean, std=hour.std),
    )


def _grid(target: Target, coarse: Target, statics: Statics) -> bytes:
    """Return the grid file; its rows run from the north, as those of the invariants do already."""
    kept = {static_name(name): statics.fields[name] for name in statics.names[:-1]}
    return write_grid(
        target.lat[::-1], target.lon, statics=kept, coarse=(coarse.lat[::-1], coarse.lon)
    )
