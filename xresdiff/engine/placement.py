"""Where the networks work: on the input's own grid, or on one that the input is regridded to."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, warn
from xresdiff.grids import coords, target
from xresdiff.grids.cells import footprint
from xresdiff.grids.cells.bounds import read_bounds
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import typical_spacing_km
from xresdiff.grids.coarsen import unrefine
from xresdiff.models.card import ModelCard, RefineTarget

__all__ = ["Placement", "place"]

MOST_CELLS = 2.5e7  # of a fine grid that is proposed unasked
COARSEST = 2.0  # times the largest spacing of a model: inputs of coarser cells are refused


@dataclass(frozen=True)
class Placement:
    """The grids of a downscaling.

    Parameters
    ----------
    coarse : xarray.Dataset or None
        What the input is regridded to; None if it stays where it is.
    horizontal : Horizontal
        The grid of what the networks take: of `coarse`, or of the input.
    fine : xarray.Dataset
        The coordinates of the result. The refined coarse grid may reach beyond its end.
    reach : float, default 0
        How many coarse cells outside of the input's centres are taken to be inside: half a cell of
        the input, and the end of the last block.
    """

    coarse: xr.Dataset | None
    horizontal: coords.Horizontal
    fine: xr.Dataset
    reach: float = 0.0


def place(
    ds: xr.Dataset,
    card: ModelCard,
    variables: Iterable[Hashable],
    grid: xr.Dataset | xr.DataArray | None,
) -> tuple[coords.Horizontal | None, Placement | None, list[str]]:
    """Find the input's grid and the one to work on; say what is wrong with them.

    Parameters
    ----------
    ds : xarray.Dataset
        The input.
    card : ModelCard
        Of the model.
    variables : iterable of Hashable
        Names of the variables that are used.
    grid : xarray.Dataset or xarray.DataArray or None
        On the fine grid that is wanted; None for the input's own, refined.

    Returns
    -------
    tuple
        The grid of the input, the placement, and the problems; what could not be found is None.
    """
    if not isinstance(card.target, RefineTarget):
        return None, None, [f"models with a {card.target.kind} target cannot run yet"]
    try:
        given = coords.find_horizontal(ds)
    except InputError as error:
        return None, None, [str(error)]
    if not all(ds.sizes[dim] for dim in given.dims):
        return given, None, []
    flat = [name for name in variables if not set(given.dims) <= set(ds[name].dims)]
    problems = [f"{name!r} does not run along {given.dims}" for name in flat]
    if flat:
        return given, None, problems
    if grid is None:
        placed, problems = _at_home(ds, given, card)
    else:
        placed, problems = _elsewhere(ds, given, grid, card)
    return given, placed, problems


def _at_home(
    ds: xr.Dataset, given: coords.Horizontal, card: ModelCard
) -> tuple[Placement | None, list[str]]:
    """Stay on the input's grid, if it is uniform and of the model's spacing."""
    assert isinstance(card.target, RefineTarget)  # checked
    try:
        spacing = _spacing(ds, given)
        if _beyond(spacing, card.target):
            return None, [_too_coarse(spacing, card)]
        uneven = coords.check_uniform(given)
        if uneven or not _fits(spacing, card.target):
            found = uneven or [f"the spacing of the grid is {_by(spacing)} km; {_range(card)}"]
            area_km2 = np.prod([ds.sizes[dim] for dim in given.dims]) * np.prod(spacing)
            line = _line(card, float(area_km2))
            say = "Or say" if uneven else "Say"
            return None, [f"{problem}. {say} which grid is wanted: {line}" for problem in found]
        fine = target.refine(ds, card.target.factor)
    except InputError as error:
        return None, [str(error)]
    return Placement(None, given, fine), []


def _elsewhere(
    ds: xr.Dataset,
    given: coords.Horizontal,
    grid: xr.Dataset | xr.DataArray,
    card: ModelCard,
) -> tuple[Placement | None, list[str]]:
    """Go to the blocks of the grid that is wanted, if the model and the input allow."""
    assert isinstance(card.target, RefineTarget)  # checked
    factor = card.target.factor
    try:
        wanted = coords.find_horizontal(grid)
        disorder = [
            *coords.check_order(given),
            *(f"grid: {told}" for told in coords.check_order(wanted)),
        ]
        if disorder:
            return None, disorder
        ds = read_bounds(ds, given)
        fine = target.target_grid(grid)
        steps = _spacing(grid, wanted)
        problems = [f"grid: {problem}" for problem in _uneven(wanted)]
        if not _fits([step * factor for step in steps], card.target):
            needed = f"{_range(card)}, and refines them by {factor}"
            low, high = (km / factor for km in card.target.spacing_range_km)
            problems.append(
                f"grid: its spacing is {_by(steps)} km; {needed}. Give one of {low:.3g} to "
                f"{high:.3g} km: {_line(card)}"
            )
        spacing = _spacing(ds, given)
        if _beyond(spacing, card.target):
            problems.append(_too_coarse(spacing, card))
        problems += _uncovered(ds, given, grid, wanted)
        coarse = unrefine(fine, factor)
    except InputError as error:
        return None, [str(error)]
    if problems:
        return None, problems
    _warn_of_smoothness(spacing, card)
    reach = 1.5 + 0.75 * max(spacing) / (min(steps) * factor)
    return Placement(coarse, coords.find_horizontal(coarse), fine, reach), []


def _fits(spacing: Iterable[float], goal: RefineTarget) -> bool:
    low, high = goal.spacing_range_km
    return all(low <= step <= high for step in spacing)


def _uneven(grid: coords.Horizontal) -> list[str]:
    return [] if grid.kind == "curvilinear" else coords.check_uniform(grid)


def _spacing(obj: xr.Dataset | xr.DataArray, grid: coords.Horizontal) -> tuple[float, float]:
    """Return the spacing of any grid in km, typical where it changes."""
    if grid.kind != "curvilinear" and not coords.check_uniform(grid):
        return coords.spacing_km(grid)
    lat, lon = (np.asarray(values, dtype="f8") for values in geographic(obj, grid))
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    dy, dx = typical_spacing_km(lat, lon)
    return dy, dx


def _beyond(spacing: Iterable[float], goal: RefineTarget) -> bool:
    return max(spacing) > COARSEST * goal.spacing_range_km[1]


def _too_coarse(spacing: Iterable[float], card: ModelCard) -> str:
    return (
        f"the spacing of the input is {_by(spacing)} km; {_range(card)}, and cannot guess what "
        "lies between: use a model for that spacing (xresdiff.models() lists them)"
    )


def _warn_of_smoothness(spacing: tuple[float, float], card: ModelCard) -> None:
    """Warn of an input that is somewhat coarser than what the model refines."""
    assert isinstance(card.target, RefineTarget)  # checked
    if max(spacing) <= card.target.spacing_range_km[1]:
        return
    warn(
        f"the spacing of the input is {_by(spacing)} km; {_range(card)}. Interpolated, it is "
        "smoother than what the model knows, so expect extremes that are too weak"
    )


def _uncovered(
    ds: xr.Dataset,
    given: coords.Horizontal,
    grid: xr.Dataset | xr.DataArray,
    wanted: coords.Horizontal,
) -> list[str]:
    """Say that the input does not reach as far as the grid that is wanted."""
    have, need = footprint(ds, given), footprint(grid, wanted)
    lacking = have.missing(need)
    if not lacking:
        return []
    return [
        f"the input covers {have}, the grid wanted {need}: {', '.join(lacking)} are missing. "
        "Take a grid within the input: xresdiff.target_grid(ds, spacing_km=...)"
    ]


def _line(card: ModelCard, area_km2: float = 0.0) -> str:
    """Return the line to type for a grid that suits the model, of a part of large areas."""
    assert isinstance(card.target, RefineTarget)  # checked
    spacing_km = card.target.spacing_km / card.target.factor
    where = "ds" if area_km2 < MOST_CELLS * spacing_km**2 else "lat=(50, 55), lon=(0, 8)"
    return f"ds.resdiff.downscale(grid=xresdiff.target_grid({where}, spacing_km={spacing_km:g}))"


def _range(card: ModelCard) -> str:
    assert isinstance(card.target, RefineTarget)  # checked
    low, high = card.target.spacing_range_km
    return f"{card.name} takes {low:g} to {high:g} km, best {card.target.spacing_km:g}"


def _by(spacing: Iterable[float]) -> str:
    return " x ".join(f"{step:.3g}" for step in spacing)
