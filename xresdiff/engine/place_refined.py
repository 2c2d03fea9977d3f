"""Place a model that refines: on the input's own grid, or on the blocks of one that is wanted."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from xresdiff.engine.placement import COARSEST, Placement, spacing_of, spelled, uncovered
from xresdiff.errors import InputError, warn
from xresdiff.grids import coords, target
from xresdiff.grids.cells.bounds import read_bounds
from xresdiff.grids.coarsen import unrefine
from xresdiff.models.card import ModelCard, RefineTarget

__all__ = ["place_at_home", "place_elsewhere"]

MOST_CELLS = 2.5e7  # of a fine grid that is proposed unasked


def place_at_home(
    ds: xr.Dataset, given: coords.Horizontal, card: ModelCard
) -> tuple[Placement | None, list[str]]:
    """Stay on the input's grid, if it is uniform and of the model's spacing."""
    assert isinstance(card.target, RefineTarget)  # checked
    try:
        spacing = spacing_of(ds, given)
        if _beyond(spacing, card.target):
            return None, [_too_coarse(spacing, card)]
        uneven = coords.check_uniform(given)
        if uneven or not _fits(spacing, card.target):
            found = uneven or [f"the spacing of the grid is {spelled(spacing)} km; {_range(card)}"]
            area_km2 = np.prod([ds.sizes[dim] for dim in given.dims]) * np.prod(spacing)
            line = _line(card, float(area_km2))
            say = "Or say" if uneven else "Say"
            return None, [f"{problem}. {say} which grid is wanted: {line}" for problem in found]
        fine = target.refine(ds, card.target.factor)
    except InputError as error:
        return None, [str(error)]
    return _refined(None, ds, given, fine, card.target), []


def place_elsewhere(
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
        steps = spacing_of(grid, wanted)
        problems = [f"grid: {problem}" for problem in _uneven(wanted)]
        if not _fits([step * factor for step in steps], card.target):
            needed = f"{_range(card)}, and refines them by {factor}"
            low, high = (km / factor for km in card.target.spacing_range_km)
            problems.append(
                f"grid: its spacing is {spelled(steps)} km; {needed}. Give one of {low:.3g} to "
                f"{high:.3g} km: {_line(card)}"
            )
        spacing = spacing_of(ds, given)
        if _beyond(spacing, card.target):
            problems.append(_too_coarse(spacing, card))
        lacking = uncovered(ds, given, grid, wanted)
        if lacking:
            problems.append(
                f"{lacking}. Take a grid within the input: xresdiff.target_grid(ds, spacing_km=...)"
            )
        coarse = unrefine(fine, factor)
    except InputError as error:
        return None, [str(error)]
    if problems:
        return None, problems
    _warn_of_smoothness(spacing, card)
    reach = 1.5 + 0.75 * max(spacing) / (min(steps) * factor)
    there = coords.find_horizontal(coarse)
    return _refined(coarse, coarse, there, fine, card.target, reach), []


def _refined(
    coarse: xr.Dataset | None,
    ds: xr.Dataset,
    horizontal: coords.Horizontal,
    fine: xr.Dataset,
    goal: RefineTarget,
    reach: float = 0.0,
) -> Placement:
    """Return the placement of the grid of `ds` and its refinement."""
    rows, columns = (ds.sizes[dim] * goal.factor for dim in horizontal.dims)
    return Placement(coarse, horizontal, fine, (rows, columns), (rows, columns), reach)


def _fits(spacing: Iterable[float], goal: RefineTarget) -> bool:
    low, high = goal.spacing_range_km
    return all(low <= step <= high for step in spacing)


def _uneven(grid: coords.Horizontal) -> list[str]:
    return [] if grid.kind == "curvilinear" else coords.check_uniform(grid)


def _beyond(spacing: Iterable[float], goal: RefineTarget) -> bool:
    return max(spacing) > COARSEST * goal.spacing_range_km[1]


def _too_coarse(spacing: Iterable[float], card: ModelCard) -> str:
    return (
        f"the spacing of the input is {spelled(spacing)} km; {_range(card)}, and cannot guess what "
        "lies between: use a model for that spacing (xresdiff.models() lists them)"
    )


def _warn_of_smoothness(spacing: tuple[float, float], card: ModelCard) -> None:
    """Warn of an input that is somewhat coarser than what the model refines."""
    assert isinstance(card.target, RefineTarget)  # checked
    if max(spacing) <= card.target.spacing_range_km[1]:
        return
    warn(
        f"the spacing of the input is {spelled(spacing)} km; {_range(card)}. Interpolated, it is "
        "smoother than what the model knows, so expect extremes that are too weak"
    )


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
