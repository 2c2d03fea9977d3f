"""Put two fields in the same units and at the same points, or say what differs.

Nothing here computes data: units, dimensions and coordinates are compared, no values.
"""

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, UnitsError, raise_problems, warn
from xresdiff.grids.coords import Horizontal, find_coordinate, find_horizontal
from xresdiff.grids.coords.criteria import LATITUDES, LONGITUDES, Side, candidates
from xresdiff.grids.units import convert, is_difference
from xresdiff.grids.units.spellings import unit

__all__ = ["as_difference", "at_points_of", "chunked_as", "in_units_of", "named_as"]

# Coordinates may differ by a few roundings to float32 of their largest value, but never by more
# than a tenth of their smallest step.
ROUNDING = 4 * float(np.finfo(np.float32).eps)
STEP_FRACTION = 0.1

# Degrees by which two-dimensional latitudes from a projection and from a file may differ, or a
# tenth of a cell where that is less.
NEAR = 1e-3


def in_units_of(ens: xr.DataArray, obs: xr.DataArray, what: str = "obs") -> xr.DataArray:
    """Convert `obs`, called `what` in errors, to the units of `ens`, if `ens` has any.

    Where one of the two has no units they are taken to be the same, with a warning.

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
        if "units" in obs.attrs:
            units = obs.attrs["units"]
            warn(
                f"the ensemble has no units; they are taken to be those of {what}. Say so: "
                f"ens.attrs['units'] = {units!r}"
            )
        return obs
    kinds = {_is_difference(da) for da in (ens, obs)}
    if kinds == {True, False}:
        raise UnitsError(
            f"of the ensemble and {what}, one is a temperature and one a difference of "
            "temperatures; compare like with like"
        )
    return convert(obs, units)


def as_difference(da: xr.DataArray) -> dict[str, str]:
    """Return the attributes that make errors of a temperature differences of temperatures."""
    return {} if _is_difference(da) is None else {"units_metadata": "temperature: difference"}


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
    try:
        ours, theirs = find_horizontal(ens), find_horizontal(obs)
    except InputError:
        return obs
    flat = {grid.dims == (grid.y, grid.x) for grid in (ours, theirs)}
    if ours.kind != theirs.kind or len(flat) > 1:
        return obs
    names = dict(zip(_names_of(theirs), _names_of(ours), strict=False))
    names = {their: our for their, our in names.items() if their != our}
    taken = {*obs.dims, *obs.coords} - set(names)
    return obs if taken & set(names.values()) else obs.rename(names)


def _names_of(grid: Horizontal) -> tuple[Hashable, ...]:
    """Name all that tells the points of a grid."""
    return (*grid.dims, grid.y, grid.x, *(grid.geographic or ()))


def chunked_as(ens: xr.DataArray, field: Any) -> Any:
    """Cut a lazy field at the places where a lazy ensemble is cut, else as it is."""
    if field is None or field.chunks is None or ens.chunks is None:
        return field
    shared = [d for d in field.dims if ens.sizes.get(d) == field.sizes[d]]
    return field.chunk({d: ens.chunksizes[d] for d in shared})


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
    _refuse_extra(ens, other, what)
    if what != "weights":
        _refuse_labels(ens, other, what)
    problems = []
    rows = _rows_and_columns(ens)
    for dim in other.dims:
        turned, problem = _matched(ens, other, dim, what, dim in rows)
        if problem is not None:
            problems.append(problem)
        elif turned:
            other = other.isel({dim: slice(None, None, -1)})
    if not problems:
        problems = _curvilinear_problems(ens, other, what)
    raise_problems(problems, what=f"compare the ensemble with {what}")
    return other.drop_vars(list(other.coords))


def _rows_and_columns(da: xr.DataArray) -> tuple[Hashable, ...]:
    """Name the horizontal dimensions, if there are any."""
    try:
        return find_horizontal(da).dims
    except InputError:
        return ()


def _refuse_extra(ens: xr.DataArray, other: xr.DataArray, what: str) -> None:
    """Refuse dimensions that the ensemble lacks."""
    extra = [d for d in other.dims if d not in ens.dims]
    if not extra:
        return
    if set(extra) & set(_rows_and_columns(other)):
        raise InputError(
            f"{what} is on another grid: {_rows_and_columns(other)}, the ensemble on "
            f"{_rows_and_columns(ens) or tuple(ens.dims)}. Bring it there: "
            f"{what}.resdiff.regrid(ens)"
        )
    advice = f"Select one value of each: {what}.isel({extra[0]}=0)"
    if what == "weights":
        advice = f"Give them the names of the ensemble: weights.rename({extra[0]}=...)"
    if what == "reference":
        advice += f"; if it is of members: reference.rename({extra[0]}='member')"
        advice += f"; if it is a climatology: reference.sel({extra[0]}=ens.time.dt.{extra[0]})"
    if what == "obs" and not set(_rows_and_columns(ens)) & set(other.dims):
        advice += (
            "; if these are stations, tell where they are: "
            f"obs.assign_coords(lat=({extra[0]!r}, ...), lon=({extra[0]!r}, ...))"
        )
    raise InputError(
        f"{what} has the dimensions {extra}, which the ensemble {tuple(ens.dims)} lacks. {advice}"
    )


def _refuse_labels(ens: xr.DataArray, other: xr.DataArray, what: str) -> None:
    """Refuse fields of one time, level or place that are held against all, or another one."""
    for name, label in other.coords.items():
        if label.dims and (name in other.dims or name not in ens.dims):
            continue
        if name in ens.dims:
            raise InputError(
                f"{what} is of one {name!r}, {_short(label.values.flat[0])}, or of one for each "
                f"point; the ensemble has {ens.sizes[name]}. Select it: ens.sel({name}={what}."
                f"{name}); if it holds for all: {what}.drop_vars({name!r})"
            )
        same = name in ens.coords and not ens[name].dims and _tells(ens[name])
        if same and not _same(np.atleast_1d(ens[name].values), np.atleast_1d(label.values)):
            raise InputError(
                f"{name!r} is {_short(ens[name].values[()])} in the ensemble, "
                f"{_short(label.values[()])} in {what}. If they are to be compared all the same: "
                f"{what}.drop_vars({name!r})"
            )


def _tells(label: xr.DataArray) -> bool:
    """Tell whether a label is of time."""
    return label.dtype.kind == "M" or find_coordinate(label, "time") == label.name


def _matched(
    ens: xr.DataArray, other: xr.DataArray, dim: Hashable, what: str, horizontal: bool
) -> tuple[bool, str | None]:
    """Tell whether a dimension runs the other way, and what else is wrong with it."""
    if ens.sizes[dim] != other.sizes[dim]:
        return False, _difference(ens, other, dim, what, horizontal)
    axes = _axes_of(ens, other, dim)
    if all(_same(ours, theirs) for ours, theirs in axes):
        return False, None
    if all(_same(ours, theirs[::-1]) for ours, theirs in axes):
        return True, None
    return False, _difference(ens, other, dim, what, horizontal)


def _axes_of(
    ens: xr.DataArray, other: xr.DataArray, dim: Hashable
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what both tell of the points along a dimension.

    That is its own coordinate, else latitudes and longitudes along it.
    """
    if dim in ens.coords and dim in other.coords:
        names = [dim]
    else:
        known = [n for side in (LATITUDES, LONGITUDES) for n in _called(ens, side)]
        names = [n for n in known if n in other.coords and ens[n].dims == other[n].dims == (dim,)]
    pairs = [(ens[name].values, other[name].values) for name in names]
    turning = _called(ens, LONGITUDES)
    return [
        _unwound(*pair) if name in turning else pair
        for name, pair in zip(names, pairs, strict=True)
    ]


def _called(da: xr.DataArray, side: Side) -> list[Hashable]:
    """Name the one-dimensional latitudes, or longitudes."""
    return candidates(da, side, da.coords)["latlon"]


def _unwound(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count longitudes from the same meridian: 359 is -1 where the other one says so."""
    ours = np.asarray(ours, dtype=np.float64)
    return ours, ours + (np.asarray(theirs, dtype=np.float64) - ours + 180) % 360 - 180


def _curvilinear_problems(ens: xr.DataArray, other: xr.DataArray, what: str) -> list[str]:
    """Compare the two-dimensional latitudes and longitudes that both have."""
    return [
        f"the points of {name!r} are not those of the ensemble. Bring {what} to them: "
        f"{what}.resdiff.regrid(ens)"
        for name, ours in ens.coords.items()
        if ours.ndim == 2
        and name in other.coords
        and set(ours.dims) == set(other[name].dims)
        and not _close(ours.values, other[name].transpose(*ours.dims).values)
    ]


def _close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Tell whether two-dimensional coordinates are equal, in degrees up to whole turns."""
    apart = (np.asarray(theirs, dtype=np.float64) - ours + 180) % 360 - 180
    known = np.isfinite(ours) == np.isfinite(theirs)
    return bool(known.all() and (np.abs(apart[np.isfinite(apart)]) <= _nearness(ours)).all())


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


def _difference(
    ens: xr.DataArray, other: xr.DataArray, dim: Hashable, what: str, horizontal: bool
) -> str:
    """Say how the points along a dimension differ, and what to do."""
    extents = [
        _extent(da[dim].values) if dim in da.coords else f"{da.sizes[dim]} points"
        for da in (ens, other)
    ]
    found = f"{dim!r} is {extents[0]} in the ensemble, {extents[1]} in {what}"
    if horizontal and all(dim in da.coords for da in (ens, other)):
        ours, theirs = (np.sort(np.round(da[dim].values % 360, 5)) for da in (ens, other))
        if dim in _called(ens, LONGITUDES) and np.array_equal(ours, theirs):
            low = float(ens[dim].min())
            return (
                f"{found}, the same points in another order. Count from the same meridian: {what}."
                f"assign_coords({dim}=({what}.{dim} - {low:g}) % 360 + {low:g}).sortby({dim!r})"
            )
    if horizontal:
        return f"{found}. Bring {what} to the grid of the ensemble: {what}.resdiff.regrid(ens)"
    if not all(dim in da.coords for da in (ens, other)):
        return f"{found}. Give both coordinates along it: ens.assign_coords({dim}=...)"
    return (
        f"{found}. Interpolate {what} to the points of the ensemble, or keep those that they "
        f"share: ens, {what} = xarray.align(ens, {what}, join='inner')"
    )


def _extent(values: np.ndarray) -> str:
    if not values.size:
        return "empty"
    return f"{_short(values[0])} to {_short(values[-1])} ({values.size} points)"


def _short(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, np.floating) else f"{value!s:.19}"
