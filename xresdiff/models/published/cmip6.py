"""CorrDiff CMIP6-ERA5: daily means of a climate model become the hours of a reanalysis.

The files of the generic package (see :mod:`~xresdiff.models.published.earth2studio`), and what
Earth2Studio's wrapper does with them, which no file tells:

* Three days of each variable, one behind the other, are brought to the target by row and column.
* Sea ice is given the snow on land.
* Rows run from the north, beyond the poles they are mirrored, and columns go on around the Earth.
* The sun and the hour of the day are told. The last of the invariants is not: in training, the hour
  was in its place, and was normalised with its mean and deviation.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xresdiff.models.card import Channel, Extra, FixedTarget, Padding
from xresdiff.models.published import cmip6_variables
from xresdiff.models.published.package_files import Metadata, Scale, Stats, channels_of
from xresdiff.models.published.package_grids import (
    COARSE_GRID,
    TARGET_GRID,
    Statics,
    Target,
    static_name,
)
from xresdiff.models.published.package_parts import Parts, base_card, read_parts
from xresdiff.models.published.translation import Translation

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
    parts = read_parts(
        folder, Metadata, what="CMIP6 package", more_inputs=SUN_AND_HOUR, within=False
    )
    parts = replace(parts, metadata=_with_defaults(parts.metadata))
    metadata, stats = parts.metadata, parts.stats
    inputs = _inputs(metadata, stats["input"], parts.problems)
    outputs = _outputs(metadata, stats["output"], parts.problems)
    _check(parts)
    parts.finish()
    target, coarse = parts.grids
    card = base_card(name, parts, (inputs, outputs), _extras(parts.statics, stats))
    card = replace(
        card,
        title=f"ERA5's hours at {target.spacing_km:g} km from daily CMIP6 at "
        f"{coarse.spacing_km:g} km",
        description="CorrDiff CMIP6-ERA5, a package of Earth2Studio, translated.",
        target=FixedTarget(
            region="the globe",
            spacing_km=target.spacing_km,
            coarse_spacing_km=coarse.spacing_km,
            stretched=True,
            padding=PADDING,
        ),
        sea_ice_cover=set(NOT_TOLD) <= set(metadata.input_variables),
        hours=HOURS,
        patch=max(PADDING.padded(*target.shape)),
    )
    # rows run from the north, as those of the invariants do already
    grids = (Target(grid.lat[::-1], grid.lon) for grid in (target, coarse))
    return parts.translation(card, *grids)


def _with_defaults(metadata: Metadata) -> Metadata:
    """Return metadata with the noise levels that the wrapper takes where nothing is said."""
    low, high = metadata.sigma_min, metadata.sigma_max
    return replace(
        metadata,
        sigma_min=SIGMA_MIN if low is None else low,
        sigma_max=SIGMA_MAX if high is None else high,
    )


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


def _check(parts: Parts[Metadata]) -> None:
    """Hold the parts against each other."""
    metadata, statics, problems = parts.metadata, parts.statics, parts.problems
    for name, grid in ((TARGET_GRID, parts.target), (COARSE_GRID, parts.coarse)):
        if grid is not None:
            problems += _axes_problems(name, grid)
    if not statics.names:
        problems.append("there is no invariant, in whose place the networks are told the hour")
    if metadata.inference_mode == "diffusion":
        problems.append(
            "metadata.json says inference_mode 'diffusion', which Earth2Studio refuses for CMIP6"
        )
    parts.check_sigmas()
    known = {
        "inputs of 3 days": len(OFFSETS_h) * len(metadata.input_variables),
        "invariants": max(len(statics.names) - 1, 0),
        "of the sun and the hour": 3,
    }
    shape = None if parts.target is None else PADDING.padded(*parts.target.shape)
    parts.check_networks(known, {}, shape=shape)


def _axes_problems(name: str, grid: Target) -> list[str]:
    """Say that a grid is not one whose latitudes and longitudes rise."""
    if grid.lat.ndim != 1:
        return [f"{name} is curvilinear; needed are rows and columns of one coordinate"]
    if (grid.lat[1:] <= grid.lat[:-1]).any() or (grid.lon[1:] <= grid.lon[:-1]).any():
        return [f"{name} has latitudes or longitudes that do not rise"]
    return []


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
