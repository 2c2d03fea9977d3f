"""Place a model with a fixed target: bring the input to the region that the model knows."""

import numpy as np
import xarray as xr

from xresdiff.engine.placement import COARSEST, Placement, spacing_of, spelled, uncovered
from xresdiff.errors import InputError, warn
from xresdiff.grids import coords
from xresdiff.grids.cells.bounds import read_bounds
from xresdiff.models.card import FixedTarget
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model

__all__ = ["place_in_region"]

FINEST = 0.5  # times the spacing that a model knows: of inputs of smaller cells users are warned


def place_in_region(
    ds: xr.Dataset,
    given: coords.Horizontal,
    grid: xr.Dataset | xr.DataArray | None,
    model: Model,
) -> tuple[Placement | None, list[str]]:
    """Go to the target of the model, or to the coarse grid that is stretched to it."""
    goal = model.card.target
    assert isinstance(goal, FixedTarget)  # the caller's to check
    problems = _no_grid(grid, model)
    try:
        disorder = coords.check_order(given)
        if disorder:
            return None, [*problems, *disorder]
        ds = read_bounds(ds, given)
        fine, coarse = _grids(read_grid(model.read(goal.grid), model.card), goal)
        there = coords.find_horizontal(coarse)
        spacing = spacing_of(ds, given)
        problems += _too_coarse(spacing, model.name, goal)
        lacking = uncovered(ds, given, coarse, there)
    except InputError as error:
        return None, [*problems, str(error)]
    if lacking:
        problems.append(f"{lacking}. Give {model.name} fields of its whole domain")
    if problems:
        return None, problems
    _warn_of_fineness(spacing, model.name, goal)
    rows, columns = (fine.sizes[dim] for dim in coords.find_horizontal(fine).dims)
    outer = goal.padding.padded(rows, columns) if goal.padding else (rows, columns)
    reach = 1.5 + 0.75 * max(spacing) / min(spacing_of(coarse, there))
    return Placement(coarse, there, fine, (rows, columns), outer, reach), []


def _no_grid(grid: xr.Dataset | xr.DataArray | None, model: Model) -> list[str]:
    if grid is None:
        return []
    return [
        f"{model.name} gives fields on its own grid ({model.card.target.domain}); leave grid= out "
        "and regrid the result: ens.resdiff.regrid(grid)"
    ]


def _grids(file: xr.Dataset, goal: FixedTarget) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the target, and the grid that inputs are brought to."""
    fine = xr.Dataset(coords={"lat": file["lat"], "lon": file["lon"]})
    if not goal.stretched:
        return fine, fine
    lat, lon = file["coarse_lat"], file["coarse_lon"]
    axes = {"lat": ("lat", lat.values, lat.attrs), "lon": ("lon", lon.values, lon.attrs)}
    return fine, xr.Dataset(coords=axes)


def _side(spacing: tuple[float, float]) -> float:
    """Return the side of a square as large as a cell (km), as cards tell it."""
    return float(np.sqrt(np.prod(spacing)))


def _too_coarse(spacing: tuple[float, float], name: str, goal: FixedTarget) -> list[str]:
    if _side(spacing) <= COARSEST * goal.coarse_spacing_km:
        return []
    return [
        f"the spacing of the input is {spelled(spacing)} km; {name} learned from fields of "
        f"{goal.coarse_spacing_km:.3g} km, and cannot guess what lies between: use a model for "
        "that spacing (xresdiff.models() lists them)"
    ]


def _warn_of_fineness(spacing: tuple[float, float], name: str, goal: FixedTarget) -> None:
    """Warn of an input with details that the model has never seen in one."""
    if _side(spacing) >= FINEST * goal.coarse_spacing_km:
        return
    warn(
        f"the spacing of the input is {spelled(spacing)} km; {name} learned from fields of "
        f"{goal.coarse_spacing_km:.3g} km, which know less detail. Average the input first: "
        f"ds.resdiff.coarsen({max(round(goal.coarse_spacing_km / float(np.mean(spacing))), 2)})"
    )
