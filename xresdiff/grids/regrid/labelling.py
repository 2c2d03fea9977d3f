"""Give regridded fields the coordinates of their target in place of those of their source."""

from collections.abc import Hashable

import xarray as xr

from xresdiff.errors import raise_problems
from xresdiff.grids.coords import Horizontal
from xresdiff.grids.coords.criteria import bounds_name

__all__ = ["TARGET_X", "TARGET_Y", "labelled"]

TARGET_Y, TARGET_X = "_target_y", "_target_x"  # dimensions that no user has

# Attributes that describe the grid a field was on.
_STALE = frozenset(
    {"grid_mapping", "cell_measures", "coordinates", "GRIB_gridType", "GRIB_Nx", "GRIB_Ny"}
    | {"GRIB_numberOfPoints", "GRIB_gridDefinitionDescription", "GRIB_iScansNegatively"}
    | {"GRIB_jScansPositively", "GRIB_jPointsAreConsecutive"}
)
_STALE_WORDS = ("DirectionIncrement", "FirstGridPoint", "LastGridPoint")


def labelled(
    done: dict[Hashable, xr.DataArray],
    ds: xr.Dataset,
    here: Horizontal,
    grid: xr.Dataset | xr.DataArray,
    there: Horizontal,
) -> xr.Dataset:
    """Return fields with the coordinates of the target.

    Parameters
    ----------
    done : dict of Hashable to xarray.DataArray
        Fields along `TARGET_Y` and `TARGET_X`, and variables that run along neither y nor x.
    ds, here : xarray.Dataset and Horizontal
        The source and its grid.
    grid, there : xarray.Dataset or xarray.DataArray, and Horizontal
        The target.

    Returns
    -------
    xarray.Dataset
        With the attributes of `ds`, the bounds and the grid mapping of the target.

    Raises
    ------
    InputError
        If other dimensions or coordinates of the source are called like those of the target.
    """
    new = _coords_of(grid, there)
    beside = {n: c for n, c in ds.coords.items() if not set(here.dims) & set(c.dims)}
    for gone in (here.grid_mapping, *(here.geographic or ())):
        beside.pop(gone, None)
        done.pop(gone, None)
    _refuse_clashes(done, beside, new, there)
    for variable in done.values():
        if TARGET_Y in variable.dims:
            told = {} if there.grid_mapping is None else {"grid_mapping": str(there.grid_mapping)}
            variable.attrs = {k: v for k, v in variable.attrs.items() if not _stale(k)} | told
    fields = {name: field.drop_vars(list(field.coords)) for name, field in done.items()}
    result = xr.Dataset(fields, attrs=ds.attrs)
    result = result.rename({TARGET_Y: there.dims[0], TARGET_X: there.dims[1]})
    return result.assign_coords(beside).assign_coords(new)


def _coords_of(grid: xr.Dataset | xr.DataArray, there: Horizontal) -> dict[Hashable, xr.DataArray]:
    """Return the coordinates of a grid along y and x, their bounds and the grid mapping."""
    found = {n: c for n, c in grid.coords.items() if set(c.dims) <= set(there.dims) and c.dims}
    bounds = {bounds_name(coord) for coord in found.values()}
    variables = grid.variables if isinstance(grid, xr.Dataset) else grid.coords
    found |= {name: grid[name] for name in bounds if name in variables}
    if there.grid_mapping is not None:
        found[there.grid_mapping] = grid[there.grid_mapping]
    return {name: coord.reset_coords(drop=True) for name, coord in found.items()}


def _stale(attribute: str) -> bool:
    return attribute in _STALE or any(word in attribute for word in _STALE_WORDS)


def _refuse_clashes(
    done: dict[Hashable, xr.DataArray],
    beside: dict[Hashable, xr.DataArray],
    new: dict[Hashable, xr.DataArray],
    there: Horizontal,
) -> None:
    """Refuse what is called like a dimension or coordinate of the target but is another thing."""
    dims = dict.fromkeys(dim for variable in done.values() for dim in variable.dims)
    taken = {*there.dims, *new}
    problems = [
        f"the dimension {dim!r} of the input is one of the grid wanted, too; give it another name: "
        f"ds.rename({{{dim!r}: '{dim}_before'}})"
        for dim in dims
        if dim in taken
    ]
    scalars = [name for name in beside if name in taken and name not in dims]
    if scalars:
        problems.append(
            f"the coordinates {', '.join(map(repr, scalars))} of the input are called like those "
            f"of the grid wanted; leave them out: ds.drop_vars({scalars!r})"
        )
    raise_problems(problems, what="regrid")
