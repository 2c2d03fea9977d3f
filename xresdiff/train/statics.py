"""Static fields, such as orography, on the grid of a target."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xresdiff.engine.placement import spacing_of
from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import Horizontal, find_horizontal, listing
from xresdiff.grids.coords.criteria import bounds_names
from xresdiff.grids.regrid import regrid

__all__ = ["Static", "statics_on"]

MOST_MISSING = 0.05  # share of a field that may be filled with the nearest values
FINER = 0.75  # times the spacing of the target: fields of smaller cells are averaged
SAME_PLACE_DEG = 1e-4  # between coordinates of one grid
TAKEN = frozenset({"lat", "lon", "y", "x", "coarse_lat", "coarse_lon"})  # names in a grid file


@dataclass(frozen=True)
class Static:
    """A field of the target.

    Parameters
    ----------
    values : numpy.ndarray, (y, x)
        In its own units, complete.
    mean, std : float
        Of them; `std` is 1 where they are all the same.
    """

    values: np.ndarray
    mean: float
    std: float


def statics_on(
    static: xr.Dataset | xr.DataArray | None, target: xr.Dataset, there: Horizontal
) -> tuple[dict[str, Static], list[str], list[str]]:
    """Bring static fields to the grid of a target and load them.

    Parameters
    ----------
    static : xarray.Dataset or xarray.DataArray or None
        Fields without time, on any grid.
    target : xarray.Dataset
        On the grid wanted.
    there : Horizontal
        That grid.

    Returns
    -------
    tuple
        The fields by name, the problems, and what the user should know.
    """
    if static is None:
        return {}, [], []
    ds = static.to_dataset() if isinstance(static, xr.DataArray) else static
    try:
        here = find_horizontal(ds)
    except InputError as error:
        return {}, [f"static: {error}"], []
    fields = {name: _flat(ds[name], here) for name in _names(ds, here)}
    problems = [*_problems(fields, here)]
    if not fields:
        problems.append(f"static has no fields along {here.dims}; it has {listing(ds.data_vars)}")
    if problems:
        return {}, problems, []
    mapping = {here.grid_mapping} & set(ds.data_vars)  # which would be left behind
    known = ds.set_coords(list(mapping)).assign(fields)
    moved, notes = _moved(known[list(fields)], here, target, there)
    done: dict[str, Static] = {}
    for name, values in moved.items():
        whole, told = _filled(name, values)
        problems += [told] if whole is None else []
        notes += [told] if whole is not None and told else []
        if whole is not None:
            mean, std = float(whole.mean()), float(whole.std())
            done[name] = Static(whole, mean, std if std > 1e-12 * abs(mean) else 1.0)
            if done[name].std != std:
                notes.append(f"static {name!r} is {mean:g} everywhere and tells nothing")
    return done, problems, notes


def _names(ds: xr.Dataset, here: Horizontal) -> list[str]:
    beside = bounds_names(ds) | {here.grid_mapping}
    return [
        str(name)
        for name, da in ds.data_vars.items()
        if name not in beside and set(here.dims) <= set(da.dims) and da.dtype.kind in "biuf"
    ]


def _flat(da: xr.DataArray, here: Horizontal) -> xr.DataArray:
    """Return a field without dimensions of one place beside y and x."""
    single = [dim for dim in da.dims if dim not in here.dims and da.sizes[dim] == 1]
    flat = da.isel({dim: 0 for dim in single}, drop=True)
    return flat.astype("f8") if flat.dtype.kind in "biu" else flat


def _problems(fields: dict[str, xr.DataArray], here: Horizontal) -> Iterator[str]:
    for name, da in fields.items():
        others = [dim for dim in da.dims if dim not in here.dims]
        if others:
            line = ", ".join(f"{dim}=0" for dim in others)
            yield (
                f"static {name!r} runs along {listing(others)} too; take one field of it: "
                f"static.isel({line})"
            )
        if name in TAKEN:
            yield (
                f"static {name!r} has the name of a coordinate; rename it: "
                f"static.rename({{{name!r}: '{name}_field'}})"
            )


def _moved(
    ds: xr.Dataset, here: Horizontal, target: xr.Dataset, there: Horizontal
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return fields ``(y, x)`` on the target, and how they came there."""
    if _is_same(ds, here, target, there):
        return {str(n): np.asarray(da.transpose(*here.dims).values) for n, da in ds.items()}, []
    finer = max(spacing_of(ds, here)) < FINER * min(spacing_of(target, there))
    method = "conservative_normed" if finer else "bilinear"
    grid = target.drop_vars(list(set(target.data_vars) - {there.grid_mapping}))
    moved = regrid(ds.compute(), grid, method=method, skipna=True)  # type: ignore[arg-type]
    dims = find_horizontal(moved).dims
    fields = {str(name): np.asarray(moved[name].transpose(*dims).values) for name in ds.data_vars}
    how = "cell means" if finer else method
    return fields, [f"static fields are regridded to the target ({how}): {listing(fields)}"]


def _is_same(ds: xr.Dataset, here: Horizontal, target: xr.Dataset, there: Horizontal) -> bool:
    """Tell whether two objects lie on one grid, in one order."""
    sizes = [tuple(obj.sizes[dim] for dim in g.dims) for obj, g in ((ds, here), (target, there))]
    if sizes[0] != sizes[1]:
        return False
    places = [geographic(ds, here), geographic(target, there)]
    meshed = [
        np.meshgrid(lat.values, lon.values, indexing="ij")
        if lat.ndim == 1
        else [lat.values, lon.values]
        for lat, lon in places
    ]
    lat = np.abs(meshed[0][0] - meshed[1][0])
    lon = np.abs((meshed[0][1] - meshed[1][1] + 180) % 360 - 180)
    return bool(np.nanmax(lat) < SAME_PLACE_DEG and np.nanmax(lon) < SAME_PLACE_DEG)


def _filled(name: str, values: np.ndarray) -> tuple[np.ndarray | None, str]:
    """Fill what little is missing with the nearest values; refuse a field with more."""
    from scipy.ndimage import distance_transform_edt

    known = np.isfinite(values)
    share = 1 - known.mean()
    if not share:
        return values.astype(np.float32), ""
    if share > MOST_MISSING:
        return None, (
            f"static {name!r} is missing at {100 * share:.3g} % of the target; give it for all of "
            f"it, or say what its missing values stand for: static=static.fillna({{{name!r}: 0}})"
        )
    where = distance_transform_edt(~known, return_distances=False, return_indices=True)
    told = f"static {name!r}: {int((~known).sum())} missing pixels take the nearest values"
    return values[tuple(where)].astype(np.float32), told
