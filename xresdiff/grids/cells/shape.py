"""The cells around the centres of a grid: their corners, and the box that they fill."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.cells.bounds import bounds_of, corner_bounds, degrees, hung, vertices
from xresdiff.grids.cells.boxes import Box
from xresdiff.grids.cells.projection import geographic, grid_crs, project
from xresdiff.grids.cells.sphere import latlon_of, unit_vectors
from xresdiff.grids.coords import Horizontal

__all__ = ["Box", "Outline", "corners", "edges", "footprint", "outline"]

APART = 0.01  # of a cell: how far from a whole turn rounding leaves longitudes
ASTRAY = 0.1  # of a cell: how far latitudes may lie from where the grid mapping puts them
SIDE_POINTS = 257  # along each side of an outline whose sides are straight in their plane


@dataclass(frozen=True, eq=False)
class Outline:
    """The closed line around all cells of a grid.

    Attributes
    ----------
    lat, lon : numpy.ndarray, (n,)
        Its points in degrees, the last one the first again but for whole turns; longitudes are
        unwrapped.
    middle : tuple of float
        Latitude and longitude of a place well inside.
    """

    lat: np.ndarray
    lon: np.ndarray
    middle: tuple[float, float]

    @property
    def pole(self) -> int:
        """1 if the north pole lies inside, -1 if the south pole does, 0 if neither."""
        if abs(self.lon[-1] - self.lon[0]) < 180:
            return 0
        away = np.abs((self.lon - self.middle[1] + 180) % 360 - 180)
        return 1 if self.middle[0] >= self.lat[away.argmin()] else -1


def corners(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return latitude and longitude of the corners of the cells, in degrees.

    They are the CF bounds of the coordinates where the object has them. Else latitudes and
    longitudes, or y and x in their plane, are split halfway between the centres, and those of a
    plane go through the grid mapping. Two-dimensional latitudes and longitudes without a grid
    mapping, or at odds with it, have corners in the mean direction of the four centres around,
    and beyond the outermost centres by linear extrapolation.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the grid. Data are never read; two-dimensional latitudes and longitudes and
        their bounds are, so lazy ones are computed.
    grid : Horizontal
        Grid of `obj`, from :func:`~xresdiff.grids.coords.find_horizontal`.

    Returns
    -------
    tuple of numpy.ndarray
        In float64: ``(ny + 1,)`` and ``(nx + 1,)`` of a grid of latitude and longitude, with
        latitudes within the poles and longitudes unwrapped; else ``(ny + 1, nx + 1)`` each, NaN
        where the projection shows no place.

    Raises
    ------
    InputError
        If bounds do not hang together, coordinates neither rise nor fall, or a direction has one
        cell without bounds.

    Examples
    --------
    >>> from xresdiff.grids.coords import find_horizontal
    >>> ds = xr.Dataset(coords={"lat": [90.0, 89.0, 88.0], "lon": [359.0, 0.0, 1.0]})
    >>> corners(ds, find_horizontal(ds))
    (array([90. , 89.5, 88.5, 87.5]), array([358.5, 359.5, 360.5, 361.5]))
    """
    if grid.kind == "latlon":
        return edges(obj, grid)
    bounds = vertices(obj, grid)
    if bounds is not None:
        return bounds
    if _in_plane(obj, grid):
        y, x = edges(obj, grid)
        return project(obj, grid, y[:, None], x)
    lat, lon = geographic(obj, grid)
    return _around(degrees(lat), degrees(lon), grid)


def edges(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the rows and columns of a grid with one-dimensional coordinates.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the grid; nothing of it but bounds is read.
    grid : Horizontal
        Grid of `obj`, of any kind but curvilinear.

    Returns
    -------
    tuple of numpy.ndarray, (ny + 1,) and (nx + 1,)
        In ``grid.units``, in the order of the coordinates; latitudes within the poles,
        longitudes unwrapped.

    Raises
    ------
    InputError
        As :func:`corners` does.
    """
    angles = grid.kind != "projected"
    x = _line_edges(obj, grid.x_coord, grid.x_values, angles=angles)
    y = _line_edges(obj, grid.y_coord, grid.y_values)
    if grid.kind != "latlon":
        return y, x
    if bounds_of(obj, grid.y_coord) is None:
        y = _to_poles(y, x)
    return np.clip(y, -90, 90), _whole_turn(x)


def outline(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> Outline:
    """Return the line around all cells, without computing the corners inside.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the grid. Two-dimensional latitudes and longitudes are read along the rim alone.
    grid : Horizontal
        Grid of `obj`.

    Raises
    ------
    InputError
        As :func:`corners` does.

    Examples
    --------
    >>> from xresdiff.grids.coords import find_horizontal
    >>> ds = xr.Dataset(coords={"lat": [50.0, 51.0], "lon": [0.0, 1.0]})
    >>> line = outline(ds, find_horizontal(ds))
    >>> print(line.lat.min(), line.lat.max(), line.middle)
    49.5 51.5 (50.5, 0.5)
    """
    if grid.kind == "latlon" or (corner_bounds(obj, grid) is None and _in_plane(obj, grid)):
        return _outline_in_plane(obj, grid)
    bounds = vertices(obj, grid)
    lat2d, lon2d = geographic(obj, grid)
    lat, lon = _rim(lat2d, lon2d, grid) if bounds is None else map(_border, bounds)
    at = {dim: n // 2 for dim, n in lat2d.sizes.items()}
    middle = float(degrees(lat2d.isel(at))), float(degrees(lon2d.isel(at)))
    return Outline(lat, _unwrapped(lon), middle)


def footprint(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> Box:
    """Return the box of latitudes and longitudes around all cells.

    Parameters
    ----------
    obj : xarray.Dataset or xarray.DataArray
        Object on the grid. Two-dimensional latitudes and longitudes are read along the rim, and
        all of them only where the projection does not show all of the rim.
    grid : Horizontal
        Grid of `obj`.

    Returns
    -------
    Box
        Of all longitudes, up to the pole, if a pole lies inside.

    Raises
    ------
    InputError
        As :func:`corners` does.

    Examples
    --------
    >>> from xresdiff.grids.coords import find_horizontal
    >>> ds = xr.Dataset(coords={"lat": [50.0, 51.0], "lon": [359.0, 0.0, 1.0]})
    >>> print(footprint(ds, find_horizontal(ds)))
    49.5 to 51.5 N, 1.5 W to 1.5 E
    """
    if grid.kind == "latlon":
        y, x = edges(obj, grid)
        return Box(float(y.min()), float(y.max()), float(x.min()), float(x.max()))
    line = outline(obj, grid)
    if not np.isfinite(line.lat).all():
        return _box_of_points(*map(degrees, geographic(obj, grid)))
    south, north = float(line.lat.min()), float(line.lat.max())
    if line.pole:
        return Box(*((south, 90.0) if line.pole > 0 else (-90.0, north)), -180.0, 180.0)
    return Box(south, north, float(line.lon.min()), float(line.lon.max()))


def _outline_in_plane(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> Outline:
    """Return the outline of a grid that is a rectangle in its own plane."""
    y, x = edges(obj, grid)
    ys, xs = _rectangle(y, x)
    middle_y, middle_x = (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2
    if grid.kind == "latlon":
        return Outline(ys, xs, (float(middle_y), float(middle_x)))
    lat, lon = project(obj, grid, np.append(ys, middle_y), np.append(xs, middle_x))
    return Outline(lat[:-1], _unwrapped(lon[:-1]), (float(lat[-1]), float(lon[-1])))


def _line_edges(
    obj: xr.Dataset | xr.DataArray, coord: xr.DataArray, values: np.ndarray, angles: bool = False
) -> np.ndarray:
    """Return the edges of the cells of a one-dimensional coordinate, ``(n,) -> (n + 1,)``."""
    bounds = bounds_of(obj, coord)
    if bounds is None:
        return _halfway(values, coord.name)
    return hung(bounds, coord, values, angles=angles)


def _halfway(values: np.ndarray, name: Hashable) -> np.ndarray:
    """Return edges halfway between centres, as far beyond the outermost as within."""
    if values.size < 2:
        raise InputError(
            f"the coordinate {name!r} has {values.size} value{'s' * (values.size != 1)}, which "
            f"tells no size of a cell; write its bounds: ds = ds.assign_coords({name}_bnds="
            f"(({name!r}, 'bnds'), [[...]])), ds[{name!r}].attrs['bounds'] = '{name}_bnds'"
        )
    steps = np.diff(values)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            f"the coordinate {name!r} neither rises nor falls throughout; sort it: "
            f"ds.drop_duplicates({name!r}).sortby({name!r})"
        )
    ends = values[0] - steps[0] / 2, values[-1] + steps[-1] / 2
    return np.concatenate([ends[:1], values[:-1] + steps / 2, ends[1:]])


def _to_poles(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """End edges of latitude at a pole that they nearly reach, on grids that go round the earth."""
    y = y.copy()
    if abs(x[-1] - x[0]) > 360 - abs(x[1] - x[0]) / 2:
        for end, next_to_it in ((0, 1), (-1, -2)):
            half = abs(y[end] - y[next_to_it]) / 2
            if 90 - abs(y[end]) < half * (1 - 1e-3):
                y[end] = np.copysign(90, y[end])
    return np.clip(y, -90, 90)


def _whole_turn(x: np.ndarray) -> np.ndarray:
    """Close the circle of longitudes where rounding left it open."""
    around = float(np.copysign(360, x[-1] - x[0]))
    if abs(x[-1] - x[0] - around) < APART * abs(x[1] - x[0]):
        return np.append(x[:-1], x[0] + around)
    return x


def _in_plane(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> bool:
    """Tell whether y, x and the grid mapping say where the cells are, and say it truly.

    A mapping is not believed that puts the object's own latitudes elsewhere: for instance one
    that leaves out the radius of the model's earth.
    """
    if grid.kind == "curvilinear":
        return False
    try:
        grid_crs(obj, grid)
    except InputError:
        if grid.geographic is None:
            raise
        return False
    return grid.geographic is None or _agrees(obj, grid)


def _agrees(obj: xr.Dataset | xr.DataArray, grid: Horizontal) -> bool:
    """Compare the object's own latitudes and longitudes with the grid mapping's at nine places."""
    at = {dim: sorted({0, obj.sizes[dim] // 2, obj.sizes[dim] - 1}) for dim in grid.dims}
    rows, columns = at.values()
    y, x = edges(obj, grid)
    own = unit_vectors(*(degrees(coord.isel(at)) for coord in geographic(obj, grid)))
    told = unit_vectors(*project(obj, grid, grid.y_values[rows, None], grid.x_values[columns]))
    corner = unit_vectors(*project(obj, grid, y[rows, None], x[columns]))
    astray, half_cell = (np.linalg.norm(a - told, axis=-1) for a in (own, corner))
    return not (astray > 2 * ASTRAY * half_cell).any()  # NaN, of places not shown, is no evidence


def _around(lat: np.ndarray, lon: np.ndarray, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return corners around two-dimensional centres, ``(ny, nx) -> (ny + 1, nx + 1)`` each."""
    if min(lat.shape) < 2:
        raise InputError(
            f"a grid of {lat.shape[0]} x {lat.shape[1]} cells tells no size of a cell; select two "
            f"or more along {grid.dims}, or write the bounds of {grid.y!r} and {grid.x!r}"
        )
    if (lat == lat[:, :1]).all() and (lon == lon[:1]).all():  # of one dimension in all but name
        x = _halfway(np.unwrap(lon[0], period=360), grid.x)
        y = _to_poles(_halfway(lat[:, 0], grid.y), x)
        lat_b, lon_b = np.broadcast_arrays(y[:, None], _whole_turn(x))
        return lat_b, lon_b
    parts = np.moveaxis(unit_vectors(lat, lon), -1, 0)
    return latlon_of(np.stack([_between(part) for part in parts], axis=-1))


def _between(values: np.ndarray) -> np.ndarray:
    """Average four neighbours, extrapolating beyond the outermost."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        ends = 2 * values[:1] - values[1:2], 2 * values[-1:] - values[-2:-1]
        values = np.concatenate([ends[0], values, ends[1]])
        values = np.moveaxis((values[:-1] + values[1:]) / 2, 0, axis)
    return values


def _rim(lat: xr.DataArray, lon: xr.DataArray, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return the outermost corners, in turn, reading two rows and columns along each side."""
    sides = []
    for axis, end in ((0, 0), (1, -1), (0, -1), (1, 0)):
        strip = {grid.dims[axis]: slice(0, 2) if end == 0 else slice(-2, None)}
        around = _around(degrees(lat.isel(strip)), degrees(lon.isel(strip)), grid)
        sides.append([np.take(part, end, axis=axis) for part in around])
    south, east, north, west = sides
    parts = zip(south, east, north, west, strict=True)
    lats, lons = (np.concatenate([s, e[1:], n[-2::-1], w[-2::-1]]) for s, e, n, w in parts)
    return lats, lons


def _border(corner: np.ndarray) -> np.ndarray:
    """Return the outermost corners in turn, the first again at the end."""
    return np.concatenate([corner[0], corner[1:, -1], corner[-1, -2::-1], corner[-2::-1, 0]])


def _rectangle(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points along the sides of a rectangle in its plane, the first again at the end."""
    ys, xs = (np.linspace(v[0], v[-1], SIDE_POINTS) for v in (y, x))
    y2d, x2d = np.broadcast_arrays(ys[:, None], xs)
    return _border(y2d), _border(x2d)


def _box_of_points(lat: np.ndarray, lon: np.ndarray) -> Box:
    """Return the box around points, on the shorter way round."""
    shown = np.isfinite(lat) & np.isfinite(lon)
    if not shown.any():
        raise InputError("no cell of the grid has a latitude and longitude that are finite")
    lat, lon = lat[shown], np.unique(lon[shown] % 360)
    gaps = np.diff(np.append(lon, lon[0] + 360))
    west = float(lon[(gaps.argmax() + 1) % lon.size])
    return Box(float(lat.min()), float(lat.max()), west, west + 360 - float(gaps.max()))


def _unwrapped(lon: np.ndarray) -> np.ndarray:
    return np.unwrap(lon, period=360) if np.isfinite(lon).all() else lon
