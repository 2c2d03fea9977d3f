"""The netCDF files of Earth2Studio's packages: grids, and fields of the target."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import xarray as xr

from xresdiff.grids.cells.sphere import typical_spacing_km
from xresdiff.models.published.package_files import Metadata

__all__ = [
    "COARSE_GRID",
    "INVARIANTS",
    "TARGET_GRID",
    "Statics",
    "Target",
    "coarse_of",
    "read_statics",
    "read_target",
    "static_name",
]

TARGET_GRID, COARSE_GRID = "output_latlon_grid.nc", "input_latlon_grid.nc"
INVARIANTS = "invariants.nc"
NETCDF_LIMIT = 2**30  # bytes
MOST_DEGREES = 720.0  # of a longitude

_NO_FIELD = ("lat", "lon", "y", "x", "coarse_lat", "coarse_lon")  # of the grid file, taken


@dataclass(frozen=True)
class Target:
    """A grid and what is known of it.

    Parameters
    ----------
    lat, lon : numpy.ndarray, (y, x) each, or (y,) and (x,)
        In degrees, in the order of the file.
    """

    lat: np.ndarray
    lon: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return (self.lat.shape[0], self.lon.shape[-1])

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude of every point, (y, x) each."""
        if self.lat.ndim == 2:
            return self.lat, self.lon
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat, lon

    @property
    def spacing_km(self) -> float:
        """Typical distance of neighbours, of three digits."""
        dy, dx = typical_spacing_km(*self.points)
        return float(f"{(dy * dx) ** 0.5:.3g}")

    @property
    def region(self) -> str:
        """Where it is, in words: "19.5 to 27.9 °N, 116 to 126 °E".

        Examples
        --------
        >>> y, x = np.mgrid[-4:5, -4:5]
        >>> Target(90.0 - np.hypot(x, y), np.rad2deg(np.arctan2(x, -y))).region
        'around the north pole, north of 84.3 °N'
        """
        lat, lon = self.points
        if abs(_turn(lon)) > 180:
            if lat.mean() > 0:
                return f"around the north pole, north of {lat.min():.3g} °N"
            return f"around the south pole, south of {-lat.max():.3g} °S"
        lon = np.unwrap(np.unwrap(lon, period=360, axis=1), period=360, axis=0)
        lon -= 360 * max(ceil((lon.max() - 360) / 360), 0)
        lon += 360 * max(ceil((-180 - lon.min()) / 360), 0)
        sides = [f"{v:.3g}" for v in (lat.min(), lat.max(), lon.min(), lon.max())]
        return f"{sides[0]} to {sides[1]} °N, {sides[2]} to {sides[3]} °E"


def _turn(lon: np.ndarray) -> float:
    """Return by how many degrees the edge of a grid turns about the axis of the Earth."""
    edge = np.concatenate([lon[0], lon[1:, -1], lon[-1, -2::-1], lon[-2::-1, 0]])
    steps = (np.diff(edge) + 180) % 360 - 180
    return float(steps.sum())


def read_target(folder: Path, problems: list[str], name: str = TARGET_GRID) -> Target | None:
    """Read a grid from a netCDF file with ``lat`` and ``lon``.

    Grids may be of any shape and order; rectilinear ones come back with one dimension each.

    Parameters
    ----------
    folder : Path
        Of the package.
    problems : list of str
        To which every problem is added; no grid comes back then.
    name : str
        Of the file.
    """
    path = folder / name
    if not path.is_file():
        problems.append(f"there is no {name}")
        return None
    axes = _read_fields(path, ("lat", "lon"), problems)
    if len(axes) < 2:
        return None
    lat, lon = axes["lat"], axes["lon"]
    wrong = _wrong_grid(name, lat, lon)
    if wrong:
        problems.append(wrong)
        return None
    if lat.ndim == 2 and (lat == lat[:, :1]).all() and (lon == lon[:1]).all():
        lat, lon = lat[:, 0], lon[0]
    return Target(lat, lon)


def _wrong_grid(name: str, lat: np.ndarray, lon: np.ndarray) -> str:
    """Say what keeps two arrays from being a grid; nothing if they are one."""
    shapes = f"lat of shape {lat.shape} and lon of shape {lon.shape}"
    if lat.ndim != lon.ndim or lat.ndim not in (1, 2) or (lat.ndim == 2 and lat.shape != lon.shape):
        return f"{name} has {shapes}; needed are (y,) and (x,), or (y, x) twice"
    if min(lat.shape + lon.shape) < 2:
        return f"{name} has {shapes}; needed are two rows and columns at least"
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()):
        return f"{name} has latitudes or longitudes that are no numbers"
    if np.abs(lat).max() > 90 or np.abs(lon).max() > MOST_DEGREES:
        return f"{name} has latitudes or longitudes that are no degrees"
    return ""


# --- the coarse grid


def coarse_of(
    folder: Path, metadata: Metadata, target: Target | None, problems: list[str]
) -> Target | None:
    """Return the coarse grid: of the file, or around the target as Earth2Studio lays it.

    Parameters
    ----------
    folder : Path
        Of the package.
    metadata : Metadata
        Which tells the step and the margin.
    target : Target, optional
        That lies within it; None, and nothing is laid around it, where it could not be read.
    problems : list of str
        To which every problem is added.
    """
    if (folder / COARSE_GRID).is_file():
        coarse = read_target(folder, problems, COARSE_GRID)
        if coarse is not None and target is not None:
            problems += _outside(coarse, target, metadata.grid_bounds_margin)
        return coarse
    if metadata.latlon_res is None:
        problems.append(f"there is no {COARSE_GRID}, and no 'latlon_res' in metadata.json instead")
        return None
    step = metadata.latlon_res
    return None if target is None else Target(*(_around(axis, step) for axis in target.points))


def _around(values: np.ndarray, step: float) -> np.ndarray:
    """Return multiples of a step from one before the least value to one behind the last."""
    first, last = np.floor(values.min() / step) - 1, np.ceil(values.max() / step) + 1
    return np.arange(first, last + 1) * step


def _outside(coarse: Target, target: Target, margin: float) -> list[str]:
    """Say that a target reaches beyond its coarse grid; nothing if it does not."""
    (lat, lon), (y, x) = coarse.points, target.points
    middle = (lon.min() + lon.max()) / 2
    x = middle + (x - middle + 180) % 360 - 180
    parts = [(y, lat, "latitudes"), (x, lon, "longitudes")]
    around = lon.max() - lon.min() + 1.5 * np.abs(np.diff(lon, axis=1)).max() > 360
    for values, within, what in parts[:1] if around else parts:
        low, high = within.min(), within.max()
        room = margin * (high - low) + 1e-6
        if values.min() < low - room or values.max() > high + room:
            return [
                f"the target has {what} from {values.min():.6g} to {values.max():.6g}, the coarse "
                f"grid from {low:.6g} to {high:.6g}, with grid_bounds_margin {margin:g} in "
                "metadata.json"
            ]
    return []


# --- fields of the target


@dataclass(frozen=True)
class Statics:
    """Fields of the target that networks are told behind the inputs.

    Parameters
    ----------
    names : tuple of str
        In their order, as the package calls them.
    fields : mapping of numpy.ndarray, (y, x)
        By these names.
    """

    names: tuple[str, ...]
    fields: Mapping[str, np.ndarray]


def read_statics(
    folder: Path, names: Sequence[str] | None, target: Target | None, problems: list[str]
) -> Statics:
    """Read ``invariants.nc``.

    Parameters
    ----------
    folder : Path
        Of the package.
    names : sequence of str, optional
        Which fields, in which order; all that are there by default.
    target : Target, optional
        That they are of; None where it could not be read.
    problems : list of str
        To which every problem is added.
    """
    path = folder / INVARIANTS
    if not path.is_file():
        if names:
            problems.append(f"metadata.json names invariants and there is no {path.name}")
        return Statics(tuple(names or ()), {})
    fields = _read_fields(path, names, problems)
    if len({static_name(name) for name in fields}) < len(fields):
        problems.append(f"{path.name} has names that differ by signs alone: {', '.join(fields)}")
    for name, values in fields.items():
        if target is not None and values.shape != target.shape:
            problems.append(
                f"the invariant {name!r} has the shape {values.shape}, the target {target.shape}"
            )
        elif not np.isfinite(values).all():
            share = 100 * (1 - np.isfinite(values).mean())
            problems.append(
                f"{share:.2g} % of the invariant {name!r} are no numbers; one is enough to make "
                "all of the networks' output no number. Fill them"
            )
    return Statics(tuple(fields if names is None else names), fields)


def static_name(name: str) -> str:
    """Return the name of a field of the target as the grid file can keep it.

    Examples
    --------
    >>> static_name("land/sea"), static_name("lat")
    ('land_sea', 'lat_field')
    """
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain = plain if plain[:1].isalpha() else f"field_{plain}"
    return f"{plain}_field" if plain in _NO_FIELD else plain


def _read_fields(
    path: Path, names: Sequence[str] | None, problems: list[str]
) -> dict[str, np.ndarray]:
    """Return arrays of a netCDF file, in float64, by name; all that are no coordinates, for None.

    Every problem is added to `problems`.
    """
    size = path.stat().st_size
    if size > NETCDF_LIMIT:
        problems.append(f"{path.name} has {size} bytes, more than the {NETCDF_LIMIT} it may have")
        return {}
    try:
        with xr.open_dataset(path, decode_times=False, decode_timedelta=False) as ds:
            wanted = [str(name) for name in ds.data_vars] if names is None else names
            missing = [name for name in wanted if name not in ds.variables]
            problems += [f"{path.name} has no variable {name!r}" for name in missing]
            there = [name for name in wanted if name not in missing]
            if sum(8 * ds[name].size for name in there) > NETCDF_LIMIT:
                problems.append(f"{path.name} unpacks to more than {NETCDF_LIMIT} bytes")
                return {}
            return {name: np.asarray(ds[name].values, np.float64) for name in there}
    except (OSError, ValueError, TypeError, RuntimeError, KeyError):
        problems.append(f"cannot read {path.name}: it is no netCDF file, or damaged")
        return {}
