"""Put two fields in the same units and at the same points, or say what differs.

Nothing here computes data: units, dimensions and coordinates are compared, no values.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids.coords import find_horizontal
from xresdiff.grids.units import convert, is_difference
from xresdiff.grids.units.spellings import unit

__all__ = ["at_points_of", "in_units_of", "named_as"]

# Coordinates may differ by a few roundings to float32 of their largest value, but never by more
# than a tenth of their smallest step.
ROUNDING = 4 * float(np.finfo(np.float32).eps)
STEP_FRACTION = 0.1

# Degrees by which two-dimensional latitudes from a projection and from a file may differ, or a
# tenth of a cell where that is less.
NEAR = 1e-3


def in_units_of(ens: xr.DataArray, obs: xr.DataArray) -> xr.DataArray:
    """Convert `obs` to the units of `ens`, if `ens` has any.

    An `obs` without units is taken to have those of `ens`, with a warning.

    Raises
    ------
    UnitsError
        If the units do not convert.

    Examples
    --------
    >>> ens = xr.DataArray([283.15], dims="x", attrs={"units": "K"})
    >>> in_units_of(ens, xr.DataArray([10.0], dims="x", attrs={"units": "degC"})).values
    array([283.15])
    """
    units = ens.attrs.get("units")
    if units is None:
        return obs
    kinds = {_is_difference(da) for da in (ens, obs)}
    if kinds == {True, False}:
        raise UnitsError(
            "of the ensemble and obs, one is a temperature and one a difference of temperatures; "
            "compare like with like"
        )
    return convert(obs, units)


def _is_difference(da: xr.DataArray) -> bool | None:
    """Tell whether a temperature is a difference of two; None of anything else."""
    known = unit(str(da.attrs.get("units", "")))
    if known is None or known.quantities not in ("temperature", "difference"):
        return None
    return is_difference(da.attrs)


def named_as(ens: xr.DataArray, obs: xr.DataArray) -> xr.DataArray:
    """Give the rows and columns of `obs` the names that they have in `ens`.

    Only coordinates of one kind are renamed, with all that tells their points, which may differ;
    else `obs` is returned as it is.

    Examples
    --------
    >>> ens = xr.DataArray([[1.0]], {"lat": [50.0], "lon": [5.0]}, ("lat", "lon"))
    >>> named_as(ens, ens.rename(lat="latitude", lon="longitude")).dims
    ('lat', 'lon')
    """
    if set(obs.dims) <= set(ens.dims):
        return obs
    try:
        ours, theirs = find_horizontal(ens), find_horizontal(obs)
    except InputError:
        return obs
    flat = {grid.dims == (grid.y, grid.x) for grid in (ours, theirs)}
    if ours.kind != theirs.kind or flat != {ours.kind != "curvilinear"}:
        return obs
    pairs = zip((*theirs.dims, theirs.y, theirs.x), (*ours.dims, ours.y, ours.x), strict=True)
    names = {their: our for their, our in pairs if their != our}
    taken = {*obs.dims, *obs.coords} - set(names)
    return obs if taken & set(names.values()) else obs.rename(names)


def at_points_of(ens: xr.DataArray, other: xr.DataArray, what: str) -> xr.DataArray:
    """Put a field at the points of `ens`, which must be its own.

    Parameters
    ----------
    ens : xarray.DataArray
        The ensemble; it may have more dimensions.
    other : xarray.DataArray
        The truth, or weights. Dimensions are matched by name; an axis may run the other way; a
        dimension without coordinates is matched by its size. Coordinates may differ by the
        rounding to float32: 4 of its steps at the largest value, or a tenth of the
        smallest distance of two points if that is less.
    what : str
        What to call `other` in errors.

    Returns
    -------
    xarray.DataArray
        The values of `other` in the order of `ens`, without coordinates.

    Raises
    ------
    InputError
        If `other` has dimensions that `ens` lacks, or other points.

    Examples
    --------
    >>> ens = xr.DataArray([1.0, 2.0], coords={"lat": [50.0, 51.0]}, dims="lat")
    >>> at_points_of(ens, ens[::-1], "obs").values
    array([1., 2.])
    """
    extra = [d for d in other.dims if d not in ens.dims]
    if extra:
        raise InputError(
            f"{what} has the dimensions {extra}, which the ensemble {tuple(ens.dims)} lacks. "
            f"Select one value of each: {what}.isel({extra[0]}=0)"
        )
    problems = []
    for dim in other.dims:
        if dim in ens.coords and dim in other.coords:
            ours, theirs = ens[dim].values, other[dim].values
            if _same(ours, theirs):
                continue
            if _same(ours, theirs[::-1]):
                other = other.isel({dim: slice(None, None, -1)})
            else:
                problems.append(_difference(dim, ours, theirs, what))
        elif ens.sizes[dim] != other.sizes[dim]:
            problems.append(
                f"{dim!r} has {ens.sizes[dim]} points in the ensemble, {other.sizes[dim]} in {what}"
            )
    if not problems:
        problems = _curvilinear_problems(ens, other, what)
    raise_problems(problems, what=f"compare the ensemble with {what}")
    return other.drop_vars(list(other.coords))


def _curvilinear_problems(ens: xr.DataArray, other: xr.DataArray, what: str) -> list[str]:
    """Compare the two-dimensional latitudes and longitudes that both have."""
    return [
        f"the points of {name!r} are not those of the ensemble; "
        f"interpolate {what} to the grid of the ensemble first"
        for name, ours in ens.coords.items()
        if ours.ndim == 2
        and name in other.coords
        and set(ours.dims) == set(other[name].dims)
        and not np.allclose(
            ours.values,
            other[name].transpose(*ours.dims).values,
            rtol=0,
            atol=_nearness(ours.values),
            equal_nan=True,
        )
    ]


def _nearness(values: np.ndarray) -> float:
    """Return by how much two-dimensional coordinates (degrees) of one grid may differ."""
    steps = np.hypot(*np.gradient(values)) if min(values.shape) > 1 else np.array([])
    known = steps[np.isfinite(steps)]
    return min(NEAR, STEP_FRACTION * float(np.median(known))) if known.size else NEAR


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two arrays of coordinates are equal up to rounding."""
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        return np.array_equal(a, b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    tolerance = ROUNDING * np.nanmax(np.abs(a), initial=0.0)
    if a.ndim == 1 and a.size > 1:
        tolerance = min(tolerance, STEP_FRACTION * np.abs(np.diff(a)).min())
    return np.allclose(a, b, rtol=0.0, atol=tolerance, equal_nan=True)


def _difference(dim: Hashable, ours: np.ndarray, theirs: np.ndarray, what: str) -> str:
    return (
        f"{dim!r} is {_extent(ours)} in the ensemble, {_extent(theirs)} in {what}. Interpolate "
        f"{what} to the points of the ensemble, or keep those that they share: "
        f"ens, {what} = xarray.align(ens, {what}, join='inner')"
    )


def _extent(values: np.ndarray) -> str:
    if not values.size:
        return "empty"
    return f"{_short(values[0])} to {_short(values[-1])} ({values.size} points)"


def _short(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, np.floating) else f"{value!s:.19}"
