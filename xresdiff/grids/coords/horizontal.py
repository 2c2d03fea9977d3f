"""Find the horizontal grid of an object, whatever its coordinates are called."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords.criteria import (
    LATITUDES,
    LONGITUDES,
    Evidence,
    bounds_names,
    candidates,
    length_unit,
    plane_dims,
)

__all__ = ["Horizontal", "find_horizontal", "listing"]

Kind: TypeAlias = Literal["latlon", "rotated", "projected", "curvilinear"]
Choices: TypeAlias = dict[Evidence, list[Hashable]]

# What dimensions of cells or stations are called, in lower case: points without rows and columns.
POINTS = frozenset(
    {"cell", "cells", "ncell", "ncells", "ncol", "node", "nodes", "nnodes", "rgrid"}
    | {"values", "point", "points", "npoints", "station", "stations", "location", "site"}
)


@dataclass(frozen=True, eq=False)
class Horizontal:
    """The horizontal grid of an object: which coordinates it has and what they mean.

    Attributes
    ----------
    y, x : Hashable
        Names of the coordinate variables.
    dims : tuple of Hashable
        The dimensions they run along, y first; mostly, but not always, of the same names.
    kind : {"latlon", "rotated", "projected", "curvilinear"}
        One-dimensional latitude and longitude, those of a rotated pole, projected lengths, or
        two-dimensional latitude and longitude.
    grid_mapping : Hashable or None
        Name of the CF grid mapping variable.
    geographic : tuple of Hashable or None
        Names of two-dimensional latitude and longitude, where the object has them.
    y_coord, x_coord : xarray.DataArray
        The coordinate variables; two-dimensional ones run along `dims` in this order, without
        a dimension of time that the object's own may have.
    """

    y: Hashable
    x: Hashable
    dims: tuple[Hashable, Hashable]
    kind: Kind
    grid_mapping: Hashable | None = None
    geographic: tuple[Hashable, Hashable] | None = None
    y_coord: xr.DataArray = field(kw_only=True, repr=False)
    x_coord: xr.DataArray = field(kw_only=True, repr=False)

    @property
    def y_values(self) -> np.ndarray:
        """Values of y in float64, in `units`."""
        return np.asarray(self.y_coord.values, dtype=np.float64)

    @property
    def x_values(self) -> np.ndarray:
        """Values of x in float64, in `units`; longitudes are unwrapped, so may pass 180 or 360."""
        values = np.asarray(self.x_coord.values, dtype=np.float64)
        return values if self.kind == "projected" else np.unwrap(values, period=360)

    @property
    def units(self) -> str:
        """One of ``"degrees"``, ``"m"``, ``"km"``, or empty if the coordinates do not tell."""
        return length_unit(self.y_coord) if self.kind == "projected" else "degrees"


def find_horizontal(obj: xr.Dataset | xr.DataArray) -> Horizontal:
    """Find the horizontal coordinates by their CF attributes, else by habitual names.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Any object on one horizontal grid; nothing of it is computed. Of a Dataset, coordinates
        that no data variable runs along do not count: the staggered ones of WRF, mostly.

    Returns
    -------
    Horizontal
        Names, dimensions and kind of the grid.

    Raises
    ------
    InputError
        If there are no horizontal coordinates, more than one choice of them, points that form no
        grid, or latitudes and longitudes that move with time or are in radians.

    Examples
    --------
    >>> ds = xr.Dataset(coords={"lat": [50.0, 50.25], "lon": [359.75, 0.0]})
    >>> find_horizontal(ds)
    Horizontal(y='lat', x='lon', dims=('lat', 'lon'), kind='latlon', ...)
    """
    ys, xs = _choices(obj)
    kinds = [kind for kind in ys if ys[kind] and xs[kind]]
    if not kinds:
        raise InputError(_nothing_found(obj))
    kind = kinds[0]
    y, x = _only(obj, ys[kind]), _only(obj, xs[kind])
    dims = _dims_of(obj, y, x)
    others = {
        other: (ys[other][0], xs[other][0])
        for other in kinds[1:]
        if other != "index" and len(ys[other]) == len(xs[other]) == 1
    }
    _refuse_other_dims(obj, (y, x), dims, others.values())
    _refuse_strange_values(obj, (y, x), dims)
    beside = others.get("curvilinear")
    flat = beside if beside and all(obj[name].ndim == 2 for name in beside) else None
    mapping = _grid_mapping(obj)
    attrs = _told_by_mapping(obj, mapping) if kind == "index" else ({}, {})
    grid = Horizontal(
        y=y,
        x=x,
        dims=dims,
        kind=_kind(kind, attrs[0]),
        grid_mapping=mapping,
        geographic=(y, x) if kind == "curvilinear" else flat,
        y_coord=_in_plane(obj[y], dims).assign_attrs(attrs[0]),
        x_coord=_in_plane(obj[x], dims).assign_attrs(attrs[1]),
    )
    _refuse_longitudes_twice(grid)
    return grid


def listing(names: Iterable[Hashable]) -> str:
    """Write names one after another, as a user would type them.

    Examples
    --------
    >>> listing(("lat", "lon"))
    "'lat', 'lon'"
    """
    return ", ".join(map(repr, names)) or "none"


def _choices(obj: xr.Dataset | xr.DataArray) -> tuple[Choices, Choices]:
    """Return the candidates for y and x, of the grid of the data if they have one."""
    bounds = bounds_names(obj)
    every = [name for name in obj.coords if name not in bounds]
    variables = obj.data_vars.items() if isinstance(obj, xr.Dataset) else [(obj.name, obj)]
    planes = [set(v.dims) for name, v in variables if v.dims and name not in bounds]
    of_data = [name for name in every if any(set(obj[name].dims) <= dims for dims in planes)]
    for among in (of_data, every):
        ys, xs = (candidates(obj, side, among) for side in (LATITUDES, LONGITUDES))
        if any(ys[kind] and xs[kind] for kind in ys):
            break
    return ys, xs


def _only(obj: xr.Dataset | xr.DataArray, names: list[Hashable]) -> Hashable:
    """Return the single name of a list, refuse several."""
    if len(names) == 1:
        return names[0]
    found = f"more than one choice of coordinate: {listing(names)}"
    if len({frozenset(obj[name].dims) for name in names}) > 1:
        raise InputError(
            f"{found}, along different dimensions. Select the variables of one grid: "
            "ds[['name', ...]]"
        )
    raise InputError(
        f"{found}. Keep one: ds.drop_vars({names[1:]!r}), or select the variables of one grid"
    )


def _dims_of(obj: xr.Dataset | xr.DataArray, y: Hashable, x: Hashable) -> tuple[Hashable, Hashable]:
    """Return the dimensions that two coordinates span, y first."""
    dims = tuple(dict.fromkeys((*plane_dims(obj[y]), *plane_dims(obj[x]))))
    if len(dims) != 2:
        raise InputError(_no_grid(dims, y, x))
    if obj[y].ndim > 1 and (_is_dim_of(dims[0], "x") or _is_dim_of(dims[1], "y")):
        return dims[1], dims[0]
    return dims


def _is_dim_of(dim: Hashable, side: Literal["y", "x"]) -> bool:
    known = LATITUDES if side == "y" else LONGITUDES
    return str(dim).lower() in (
        known.dims | known.geographic_names | known.rotated_names | known.planar_names
    )


def _refuse_other_dims(
    obj: xr.Dataset | xr.DataArray,
    pair: tuple[Hashable, Hashable],
    dims: tuple[Hashable, Hashable],
    others: Iterable[tuple[Hashable, Hashable]],
) -> None:
    """Refuse a second pair of coordinates that spans another grid."""
    for other in others:
        if set(_dims_of(obj, *other)) != set(dims):
            raise InputError(
                f"more than one grid found: {pair} and {other}. Select the variables of one: "
                "ds[['name', ...]]"
            )


def _refuse_strange_values(
    obj: xr.Dataset | xr.DataArray,
    pair: tuple[Hashable, Hashable],
    dims: tuple[Hashable, Hashable],
) -> None:
    """Refuse coordinates that may move with time, or are in radians."""
    moving = {dim: 0 for name in pair for dim in obj[name].dims if dim not in dims}
    if any(obj.sizes[dim] > 1 for dim in moving):
        line = ", ".join(f"{n!r}: ds[{n!r}].isel({moving}, drop=True)" for n in pair)
        raise InputError(
            f"the coordinates {listing(pair)} run along {listing(moving)} too, as if the grid "
            f"moved. If it does not, keep one time of them: ds.assign_coords({{{line}}})"
        )
    if str(obj[pair[0]].attrs.get("units", "")).lower().startswith("radian"):
        line = ", ".join(
            f"{n!r}: np.degrees(ds[{n!r}]).assign_attrs(units='degrees')" for n in pair
        )
        raise InputError(
            f"the coordinates {listing(pair)} are in radians, degrees are needed: "
            f"ds.assign_coords({{{line}}})"
        )


def _refuse_longitudes_twice(grid: Horizontal) -> None:
    """Refuse longitudes that go round the earth and on, as copies for plotting do."""
    if grid.kind != "latlon" or grid.x_coord.size < 3 or grid.x_coord.chunks is not None:
        return
    x = grid.x_values
    again = int((np.abs(x - x[0]) > 360 - 0.01 * np.abs(x[1] - x[0])).sum())
    if again and np.unique((x % 360).round(6) % 360).size == x.size - again:
        raise InputError(
            f"the longitudes {grid.x!r} go round the earth and begin again: {again} of {x.size} "
            f"are there twice; leave them out: ds.isel({{{grid.dims[1]!r}: slice(None, -{again})}})"
        )


def _kind(found: Evidence, attrs: dict[str, str]) -> Kind:
    """Return the kind of a grid; of y and x without units, what the grid mapping tells."""
    if found != "index":
        return found
    return "latlon" if attrs.get("standard_name") == "latitude" else "projected"


def _told_by_mapping(
    obj: xr.Dataset | xr.DataArray, mapping: Hashable | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the attributes that the text of a CRS gives y and x, as in files of rioxarray."""
    text = "" if mapping is None else str(obj[mapping].attrs.get("crs_wkt", ""))
    unit = _unit_of_crs(text) if text else ""
    if unit == "degrees":
        return (
            {"standard_name": "latitude", "units": "degrees_north"},
            {"standard_name": "longitude", "units": "degrees_east"},
        )
    if not unit:
        return {}, {}
    names = ("projection_y_coordinate", "projection_x_coordinate")
    y, x = ({"standard_name": name, "units": unit} for name in names)
    return y, x


@lru_cache(maxsize=64)
def _unit_of_crs(text: str) -> str:
    """Return "m", "km" or "degrees" (of latitude and longitude), else nothing."""
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    try:
        crs = CRS.from_user_input(text)
    except ProjError:
        return ""
    if crs.is_geographic and not crs.is_derived:
        meridian = crs.prime_meridian
        usual = crs.axis_info[0].unit_name == "degree" and not (meridian and meridian.longitude)
        return "degrees" if usual else ""
    factor = crs.axis_info[0].unit_conversion_factor if crs.is_projected else 0.0
    return {1.0: "m", 1000.0: "km"}.get(factor, "")


def _in_plane(coord: xr.DataArray, dims: tuple[Hashable, Hashable]) -> xr.DataArray:
    """Return a coordinate without dimensions besides `dims`, and along them in their order."""
    if coord.ndim < 2:
        return coord
    return coord.isel({dim: 0 for dim in coord.dims if dim not in dims}, drop=True).transpose(*dims)


def _grid_mapping(obj: xr.Dataset | xr.DataArray) -> Hashable | None:
    """Return the grid mapping variable that the data name, else the only one there is."""
    data = obj.data_vars.values() if isinstance(obj, xr.Dataset) else [obj]
    for variable in data:
        told = variable.attrs.get("grid_mapping") or variable.encoding.get("grid_mapping", "")
        name = str(told).partition(":")[0].strip()  # CF's long form is "crs: x y"
        if name in obj.coords or name in getattr(obj, "data_vars", ()):
            return name
    mapped = {"grid_mapping_name", "crs_wkt"}
    everything = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    there = [name for name, variable in everything.items() if mapped & set(variable.attrs)]
    return there[0] if len(there) == 1 else None


def _no_grid(dims: tuple[Hashable, ...], y: Hashable, x: Hashable) -> str:
    """Say that coordinates make no grid, and how points become one."""
    run = f"the coordinates {y!r} and {x!r} run along {listing(dims)}"
    if len(dims) != 1:
        return f"{run}, which makes no grid of two dimensions; fields on a grid are needed"
    dim = dims[0]
    return (
        f"{run} alone: points without rows and columns, such as those of HEALPix, ICON or a "
        "reduced Gaussian grid, or stations. Fields on a grid of two dimensions are needed. If "
        f"the points are those of a grid: ds.set_index({{{dim!r}: [{y!r}, {x!r}]}}).unstack("
        f"{dim!r}); else regrid the file first: cdo remapcon,r360x180 in.nc out.nc"
    )


def _nothing_found(obj: xr.Dataset | xr.DataArray) -> str:
    """Say that there are no horizontal coordinates, and what would make some."""
    dims, coords = tuple(obj.sizes), tuple(obj.coords)
    found = f"no horizontal coordinates: the dims are {listing(dims)}, the coords {listing(coords)}"
    hidden = _hidden(obj)
    if hidden:
        return f"{found}. Make coordinates of {listing(hidden)}: ds.set_coords({hidden!r})"
    points = [dim for dim in dims if str(dim).lower() in POINTS]
    if points:
        return (
            f"{found}. {points[0]!r} seems to be one of points without rows and columns, such as "
            "those of HEALPix, ICON or stations; regrid the file to latitude and longitude first: "
            "cdo remapcon,r360x180 in.nc out.nc"
        )
    if len(dims) < 2:
        return f"{found}. Fields along latitude and longitude, or y and x, are needed"
    y, x = dims[-2:]
    if y not in coords or x not in coords:
        return f"{found}. Give some: ds.assign_coords(lat=({y!r}, [...]), lon=({x!r}, [...]))"
    return (
        f"{found}. Rename them, ds.rename({{{y!r}: 'lat', {x!r}: 'lon'}}), or say what they are, "
        f"ds[{y!r}].attrs['standard_name'] = 'latitude' and ds[{x!r}].attrs['standard_name'] = "
        "'longitude' ('projection_y_coordinate' and 'projection_x_coordinate' if projected)"
    )


def _hidden(obj: xr.Dataset | xr.DataArray) -> list[Hashable]:
    """Return data variables that are latitude and longitude."""
    known = LATITUDES.geographic_names | LONGITUDES.geographic_names
    standard = {LATITUDES.coordinate, LONGITUDES.coordinate}
    return [
        name
        for name, variable in getattr(obj, "data_vars", {}).items()
        if str(name).lower() in known or variable.attrs.get("standard_name") in standard
    ]
