"""Place a model: find the input's grid and the one to work on, or say what is wrong with them."""

from collections.abc import Hashable, Iterable

import xarray as xr

from xresdiff.engine.place_fixed import place_in_region
from xresdiff.engine.place_refined import place_at_home, place_elsewhere
from xresdiff.engine.placement import Placement
from xresdiff.errors import InputError
from xresdiff.grids import coords
from xresdiff.models.card import FixedTarget
from xresdiff.models.package import Model

__all__ = ["place"]


def place(
    ds: xr.Dataset,
    model: Model,
    variables: Iterable[Hashable],
    grid: xr.Dataset | xr.DataArray | None,
) -> tuple[coords.Horizontal | None, Placement | None, list[str]]:
    """Find the input's grid and the one to work on; say what is wrong with them.

    Parameters
    ----------
    ds : xarray.Dataset
        The input.
    model : Model
        Where to.
    variables : iterable of Hashable
        Names of the variables that are used.
    grid : xarray.Dataset or xarray.DataArray or None
        On the fine grid that is wanted; None for the input's own, refined, or the one of the model.

    Returns
    -------
    tuple
        The grid of the input, the placement, and the problems; what could not be found is None.
    """
    card = model.card
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
    if isinstance(card.target, FixedTarget):
        placed, problems = place_in_region(ds, given, grid, model)
    elif grid is None:
        placed, problems = place_at_home(ds, given, card)
    else:
        placed, problems = place_elsewhere(ds, given, grid, card)
    return given, placed, problems
