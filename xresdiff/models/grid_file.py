"""The file of a fixed target: its grid, the coarse grid, and the fields that networks are told.

It is netCDF 3, which SciPy reads from memory, so that it is parsed from the very bytes whose sha256
was checked.
"""

import io
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.card import ModelCard
from xresdiff.models.targets import FixedTarget

__all__ = ["outline", "read_grid", "write_grid"]

POINTS = 8  # along each side of an outline
LEVELS = (1, 2, 2, 2)  # of a network whose card does not tell them

_LAT = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"}
_LON = {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"}


def write_grid(
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    statics: Mapping[str, np.ndarray] | None = None,
    coarse: tuple[np.ndarray, np.ndarray] | None = None,
) -> bytes:
    """Return the contents of a grid file.

    Parameters
    ----------
    lat, lon : numpy.ndarray, (y, x) each, or (y,) and (x,)
        The target (degrees).
    statics : mapping of str to numpy.ndarray, (y, x)
        Fields of the target, by name.
    coarse : tuple of numpy.ndarray, (Y,) and (X,)
        Latitudes and longitudes of the coarse grid (degrees).

    Returns
    -------
    bytes
        The same for the same grid.

    Examples
    --------
    >>> data = write_grid(np.array([24.0, 25.0]), np.array([120.0, 121.0, 122.0]))
    >>> xr.open_dataset(io.BytesIO(data), engine="scipy").lon.values
    array([120., 121., 122.])
    """
    curvilinear = lat.ndim == 2
    dims = ("y", "x") if curvilinear else ("lat", "lon")
    coords = {"lat": (dims if curvilinear else "lat", lat, _LAT)}
    coords["lon"] = (dims if curvilinear else "lon", lon, _LON)
    if coarse is not None:
        coords |= {"coarse_lat": ("coarse_lat", coarse[0], _LAT)}
        coords |= {"coarse_lon": ("coarse_lon", coarse[1], _LON)}
    fields = {name: (dims, field) for name, field in (statics or {}).items()}
    return bytes(xr.Dataset(fields, coords).to_netcdf(engine="scipy"))


def read_grid(data: bytes, card: ModelCard) -> xr.Dataset:
    """Return the grid of a fixed target from the contents of its file.

    Parameters
    ----------
    data : bytes
        Of the file, checked.
    card : ModelCard
        Of the model.

    Returns
    -------
    xarray.Dataset
        ``lat`` and ``lon``, the static fields of the card, ``coarse_lat`` and ``coarse_lon`` if
        there are any; in memory.

    Raises
    ------
    ModelError
        If it is no such file, lacks what the card says, does not go together, or is of a size
        that the networks do not run on.
    """
    grid = _parsed(data)
    assert isinstance(card.target, FixedTarget)  # the only kind with a file
    told = [extra.name for extra in card.extras if extra.kind == "static"]
    needed = ["lat", "lon", *told, *(["coarse_lat", "coarse_lon"] if card.target.stretched else [])]
    missing = [name for name in needed if name not in grid.variables]
    problems = [f"{card.target.grid} has no {name!r}" for name in missing]
    problems += [
        f"{name!r} of {card.target.grid} has values that are no numbers"
        for name in needed
        if name in grid.variables and not np.isfinite(grid[name].values).all()
    ]
    problems = problems or [*_shape_problems(grid, told)] or [*_size_problems(grid, card)]
    raise_problems(problems, what=f"read the grid of the model {card.name!r}", error=ModelError)
    return grid


def _shape_problems(grid: xr.Dataset, told: list[str]) -> Iterator[str]:
    """Yield what of a grid file does not go together."""
    lat, lon = grid["lat"], grid["lon"]
    if lat.ndim != lon.ndim or lat.ndim not in (1, 2) or (lat.ndim == 2 and lat.shape != lon.shape):
        yield (
            f"lat has the shape {lat.shape} and lon {lon.shape}; needed are (y,) and (x,), or "
            "(y, x) twice"
        )
        return
    shape = (lat.shape[0], lon.shape[-1])
    for name in told:
        if grid[name].shape != shape:
            yield f"{name!r} has the shape {grid[name].shape}, the target {shape}"
    for name in ("coarse_lat", "coarse_lon"):
        if name in grid.variables and grid[name].ndim != 1:
            yield f"{name!r} has {grid[name].ndim} dimensions, one is needed"


def _size_problems(grid: xr.Dataset, card: ModelCard) -> Iterator[str]:
    """Yield what keeps the networks, as the card has them, from running on a grid."""
    assert isinstance(card.target, FixedTarget)  # the caller's to check
    target = shape = (grid["lat"].shape[0], grid["lon"].shape[-1])
    if card.target.padding is not None:
        shape = card.target.padding.padded(*target)
    for name in ("mean", "residual"):
        config = getattr(card, name).network.config
        if _has_maps(config) and tuple(config["shape"]) != shape:
            yield (
                f"the {name} network knows its place on a grid of {config['shape'][0]} x "
                f"{config['shape'][1]}; the target has {shape[0]} x {shape[1]}, with its padding"
            )
        sizes = shape
        if name == "residual" and card.patching is not None:
            sizes = (min(card.patching.shape[0], shape[0]), min(card.patching.shape[1], shape[1]))
        multiple = config.get("stem", 1) * 2 ** (len(config.get("channel_mult", LEVELS)) - 1)
        if any(size % multiple for size in sizes):
            yield (
                f"the {name} network is given {sizes[0]} x {sizes[1]} pixels and takes multiples "
                f"of {multiple} alone; write the model with FixedTarget(..., padding=...)"
            )


def _has_maps(config: Mapping[str, Any]) -> bool:
    """Tell whether a network has maps of its grid, so that it runs on no other."""
    if config.get("shape") is None:
        return False
    return config.get("positions", "none") != "none" or bool(
        config.get("lead_time_channels") or config.get("additive_position")
    )


def outline(grid: xr.Dataset) -> tuple[tuple[float, float], ...]:
    """Return points around a target, once around, to the thousandth of a degree.

    Parameters
    ----------
    grid : xarray.Dataset
        From :func:`read_grid`.

    Returns
    -------
    tuple of tuple of float
        Longitude and latitude of each.

    Examples
    --------
    >>> lat, lon = np.array([50.0, 51.0]), np.array([4.0, 5.0])
    >>> outline(xr.Dataset(coords={"lat": lat, "lon": lon}))
    ((4.0, 50.0), (5.0, 50.0), (5.0, 51.0), (4.0, 51.0))
    """
    lat, lon = grid["lat"].values, grid["lon"].values
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    last_y, last_x = lat.shape[0] - 1, lat.shape[1] - 1
    rows, columns = (np.unique(np.linspace(0, n, POINTS).astype(int)) for n in (last_y, last_x))
    places = [
        *((0, j) for j in columns[:-1]),
        *((i, last_x) for i in rows[:-1]),
        *((last_y, j) for j in columns[:0:-1]),
        *((i, 0) for i in rows[:0:-1]),
    ]
    return tuple((round(float(lon[place]), 3), round(float(lat[place]), 3)) for place in places)


@lru_cache(maxsize=4)
def _parsed(data: bytes) -> xr.Dataset:
    try:
        with xr.open_dataset(io.BytesIO(data), engine="scipy") as ds:
            return ds.load()
    except (OSError, ValueError, TypeError, AssertionError, IndexError, KeyError) as error:
        raise ModelError(f"the grid file of the model is damaged: {error}") from error
