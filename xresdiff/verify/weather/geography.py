"""What case studies of the weather share: where the points of a grid and other places are."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.cells.sphere import typical_spacing_km
from xresdiff.grids.coords import Horizontal, listing
from xresdiff.grids.coords.criteria import bounds_names
from xresdiff.grids.regrid.seams import goes_round
from xresdiff.verify.weights import cell_area

__all__ = [
    "Place",
    "applied",
    "chunked_whole",
    "fields_on",
    "place_of",
    "places_of",
    "spacing_of",
    "units_of",
]

#: Latitude and longitude in degrees, or a Dataset with variables of these names.
Place: TypeAlias = tuple[float, float] | xr.Dataset

PLACE = "_place"  # dimension that no user has


def places_of(ds: xr.Dataset, grid: Horizontal) -> xr.DataArray:
    """Return what the kernels of the weather need to know of a grid, in memory.

    Parameters
    ----------
    ds : xarray.Dataset
        Anything on the grid.
    grid : Horizontal
        Its grid.

    Returns
    -------
    xarray.DataArray, (_place: 4, y, x)
        Latitude and longitude in degrees, area of the cells in m2, and 1 at the rim of the
        domain, else 0.
    """
    lat, lon = geographic(ds, grid)
    y, x = grid.dims
    if grid.kind == "latlon":
        lats, lons = np.meshgrid(lat.values, lon.values, indexing="ij")
    else:
        lats, lons = (part.transpose(y, x).values for part in (lat, lon))
    area = cell_area(ds).transpose(y, x).values
    rim = _rim(lats.astype(np.float64), lons.astype(np.float64))
    return xr.DataArray(np.stack([lats, lons, area, rim]).astype(np.float64), dims=(PLACE, y, x))


def spacing_of(places: xr.DataArray) -> tuple[float, float]:
    """Return the spacing of a grid along y and x in km, from its `places`."""
    return typical_spacing_km(places.values[0], places.values[1])


def fields_on(ds: xr.Dataset, grid: Horizontal) -> dict[Hashable, xr.DataArray]:
    """Return the numeric variables that run along both dimensions of a grid, in whole fields."""
    beside = bounds_names(ds)
    fields = {
        name: chunked_whole(variable, grid)
        for name, variable in ds.data_vars.items()
        if variable.dtype.kind in "fiu" and set(grid.dims) <= set(variable.dims)
        if name not in beside
    }
    if not fields:
        raise InputError(
            f"no variable of numbers runs along {grid.dims}; the Dataset has "
            f"{listing(ds.data_vars)}"
        )
    return fields


def chunked_whole(da: xr.DataArray, grid: Horizontal) -> xr.DataArray:
    """Make one chunk of every field, where the data are lazy; leave the coordinates alone."""
    if da.chunks is None:
        return da
    return da.copy(data=da.variable.chunk(dict.fromkeys(grid.dims, -1)).data)


def place_of(place: Place | None, what: str, ds: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return latitude and longitude of a place, or of many along dimensions of the data."""
    if isinstance(place, xr.Dataset):
        if not {"latitude", "longitude"} <= set(place.variables):
            raise InputError(
                f"{what} has no latitude and longitude, it has {listing(place.variables)}; rename "
                f"them: {what}.rename(lat='latitude', lon='longitude')"
            )
        lat, lon = (place[name].reset_coords(drop=True) for name in ("latitude", "longitude"))
        _refuse_other_labels(lat, what, ds)
        return lat, lon
    try:
        north, east = (float(part) for part in place or ())
    except (TypeError, ValueError):
        north = east = np.nan
    if not (abs(north) <= 90 and np.isfinite(east)):
        raise InputError(
            f"{what}={place!r} is no latitude and longitude in degrees, in this order: "
            f"{what}=(23.5, 121.0)"
        )
    return xr.DataArray(north), xr.DataArray(east)


def applied(
    kernel: Callable[..., Any],
    fields: Sequence[xr.DataArray],
    around: tuple[xr.DataArray, xr.DataArray, xr.DataArray],
    grid: Horizontal,
    sizes: dict[str, int],
    options: dict[str, Any],
) -> xr.DataArray:
    """Apply a kernel of fields, latitude, longitude and places, lazily if the fields are lazy.

    What the kernel returns lies along the dimensions of `sizes`, which no field may have.
    """
    _refuse_taken(sizes, [d for da in (*fields, *around[:2]) for d in da.dims])
    result: xr.DataArray = xr.apply_ufunc(
        kernel,
        *fields,
        *around,
        kwargs=options,
        input_core_dims=[*([*grid.dims] for _ in fields), [], [], [PLACE, *grid.dims]],
        output_core_dims=[list(sizes)],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": sizes},
        keep_attrs=True,  # of the coordinates; those of the data are set at the end
    )
    gone = [name for name in (grid.grid_mapping,) if name in result.coords]
    return result.drop_vars(gone).drop_attrs(deep=False)


def units_of(da: xr.DataArray) -> dict[str, Any]:
    """Return the units of a variable, as attributes."""
    return {key: value for key, value in da.attrs.items() if key == "units"}


def _refuse_taken(sizes: dict[str, int], dims: Sequence[Hashable]) -> None:
    """Refuse data with a dimension of a name that the result needs for another."""
    for name in sizes:
        if name in dims:
            raise InputError(
                f"the result has a dimension {name!r} of its own, which the data have, too; call "
                f"theirs otherwise: ds.rename({name}='other')"
            )


def _rim(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Tell the points of a grid (y, x) that have no neighbour on one side."""
    known = np.isfinite(lat) & np.isfinite(lon)
    beyond = np.pad(known, 1)
    if goes_round(lon):
        beyond[1:-1, [0, -1]] = True
    if lat.shape[0] > 1:
        for row, inner in ((0, 1), (-1, -2)):
            at_pole = np.abs(lat[row]) + np.abs(lat[row] - lat[inner]) > 90
            beyond[row] |= np.pad(at_pole & bool(goes_round(lon)), 1)
    neighbours = beyond[:-2, 1:-1] & beyond[2:, 1:-1] & beyond[1:-1, :-2] & beyond[1:-1, 2:]
    return known & ~neighbours


def _refuse_other_labels(place: xr.DataArray, what: str, ds: xr.Dataset) -> None:
    """Refuse places that are known for other times or members than those of the data."""
    for dim in place.dims:
        ours, theirs = ds.indexes.get(dim), place.indexes.get(dim)
        if ours is not None and theirs is not None and not ours.equals(theirs):
            raise InputError(
                f"{what} has other labels along {dim!r} than the data; select those of the data: "
                f"{what}.sel({dim}=ds[{dim!r}])"
            )
