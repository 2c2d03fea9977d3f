"""Bring fields to places of observation: stations, buoys, points of a list."""

from collections.abc import Hashable
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import find_horizontal
from xresdiff.grids.coords.criteria import LATITUDES, LONGITUDES, candidates
from xresdiff.grids.regrid import regrid
from xresdiff.verify.types import Data, Labelled

__all__ = ["StationMethod", "at_places_of", "at_stations"]

StationMethod: TypeAlias = Literal["bilinear", "nearest"]

METHODS = {"bilinear": "bilinear", "nearest": "nearest_s2d"}
ROW, STATION = "_row_of_stations", "_station"


def at_stations(ens: Labelled, obs: Data, *, method: StationMethod = "bilinear") -> Labelled:
    """Bring fields to the places of stations.

    Scores do this by themselves, bilinearly, where the truth is at stations; do it yourself for
    the nearest points: ``ens.resdiff.at_stations(obs, method="nearest").resdiff.crps(obs)``.

    Parameters
    ----------
    ens : xarray.DataArray or xarray.Dataset, (..., y, x)
        Fields on any grid with latitude and longitude, or with a CF grid mapping that tells them.
    obs : xarray.DataArray or xarray.Dataset, (..., station)
        Anything with one-dimensional latitude and longitude (degrees) along one dimension.
    method : {"bilinear", "nearest"}, default "bilinear"
        Between the four points around a station, or the nearest one.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., station)
        Values at the stations, with their coordinates; NaN outside of the grid, or, bilinearly,
        beside a missing value. Lazy if `ens` is.

    Raises
    ------
    InputError
        If there are no such stations, or no grid.

    Examples
    --------
    >>> grid = {"lat": [50.0, 51.0], "lon": [4.0, 5.0]}
    >>> field = xr.DataArray([[0.0, 1.0], [2.0, 3.0]], grid, name="t")
    >>> place = {"lat": ("station", [50.5, 50.9]), "lon": ("station", [4.5, 4.1])}
    >>> at_stations(field, xr.Dataset(coords=place)).round(2).values
    array([1.5, 1.9])
    >>> at_stations(field, xr.Dataset(coords=place), method="nearest").values[1]
    np.float64(2.0)
    """
    if method not in METHODS:
        raise InputError(f"stations are reached by {' or '.join(METHODS)}, not {method!r}")
    found = _places(obs)
    if found is None:
        raise InputError(
            "there are no stations: latitude and longitude along one dimension are needed, "
            f"found the coordinates {list(obs.coords)}: "
            "obs.assign_coords(lat=('station', ...), lon=('station', ...))"
        )
    dim, lat, lon = found
    if not lat.size:
        raise InputError(f"there are no stations along {dim!r}: it has no points")
    row = {
        name: ((ROW, dim), np.asarray(coord.values, dtype=np.float64)[None], attrs)
        for name, coord, attrs in (
            ("latitude", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            ("longitude", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        )
    }
    done = regrid(ens, xr.Dataset(coords=row), method=METHODS[method])  # type: ignore[arg-type]
    done = done.isel({ROW: 0}, drop=True).drop_vars(["latitude", "longitude"])
    own = {n: c for n, c in obs.coords.items() if c.dims == (dim,)}
    return done.assign_coords(own)


def at_places_of(ens: xr.DataArray, obs: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Bring fields to the stations where the truth is, if it is at stations, or at a single one.

    Raises
    ------
    InputError
        If the truth moves, as along the track of a ship.
    """
    unlisted = obs
    found, single = _places(obs), False
    if found is None and _has_grid_that(ens, obs):
        obs, single = _as_list(obs), True
        found = _places(obs)
    if found is None:
        return ens, unlisted
    places, lat, lon = found
    if places in ens.dims:
        if _has_grid_that(ens, obs):
            raise InputError(
                f"the truth moves along {places!r}. Bring the ensemble to its track first: "
                f"ens.interp({{'lat': obs[{lat.name!r}], 'lon': obs[{lon.name!r}]}}), with the "
                "names of the rows and columns of ens"
            )
        return ens, obs
    others = [n for n in obs.coords if obs[n].dims == (places,) and n not in (lat.name, lon.name)]
    own = [name for name in others if name in ens.dims]
    if own:
        raise InputError(
            f"every point along {places!r} has its own {own[0]!r}. Bring the ensemble there: "
            f"ens.resdiff.at_stations(obs.drop_vars({own[0]!r})).sel({own[0]}=obs.{own[0]})"
        )
    ens, obs = at_stations(ens, obs), obs.drop_vars([lat.name, lon.name])
    return (ens.isel({places: 0}), obs.isel({places: 0})) if single else (ens, obs)


def _as_list(obs: xr.DataArray) -> xr.DataArray:
    """Make a report with one latitude and one longitude a list of one."""
    single = [n for n, c in obs.coords.items() if not c.dims and c.dtype.kind in "fiu"]
    listed = {name: (STATION, [obs[name].item()], obs[name].attrs) for name in single}
    return obs.drop_vars(single).expand_dims(STATION).assign_coords(listed)


def _has_grid_that(ens: xr.DataArray, obs: xr.DataArray) -> bool:
    """Tell whether `ens` has rows and columns that `obs` lacks."""
    try:
        grid = find_horizontal(ens)
    except InputError:
        return False
    return not set(grid.dims) & set(obs.dims)


def _places(obs: Data) -> tuple[Hashable, xr.DataArray, xr.DataArray] | None:
    """Find latitude and longitude that run along one dimension, which is neither of them."""
    lats, lons = (candidates(obs, side, obs.coords)["latlon"] for side in (LATITUDES, LONGITUDES))
    for lat, lon in ((obs[a], obs[o]) for a in lats for o in lons):
        if lat.ndim == 1 and lat.dims == lon.dims and lat.dims[0] not in (lat.name, lon.name):
            return lat.dims[0], lat, lon
    return None
