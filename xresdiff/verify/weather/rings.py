"""The wind, the rain and whatever else around the centre of a cyclone, by distance from it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import Horizontal, find_horizontal
from xresdiff.verify.kernels import weather as kernels
from xresdiff.verify.pairs import Labelled, as_dataset, label
from xresdiff.verify.weather import geography
from xresdiff.verify.weather.cyclones import find_cyclone, search_in
from xresdiff.verify.weather.geography import Place
from xresdiff.verify.weather.winds import (
    Names,
    Winds,
    find_winds,
    to_east_and_north,
    wind_speed,
)

__all__ = ["azimuthal_mean", "maximum_wind"]

Radii: TypeAlias = float | Sequence[float]

OUT_TO_KM = 200.0
LEAST_RINGS = 8


def azimuthal_mean(
    ds: Labelled,
    *,
    centre: Place | None = None,
    near: Place | None = None,
    radii_km: Radii | None = None,
    u: Hashable | None = None,
    v: Hashable | None = None,
    skipna: bool = True,
) -> Labelled:
    r"""Average over rings around the centre of a cyclone, in every member and at every time.

    The mean of a variable over a ring is weighted by the areas of the cells whose centres lie in
    it. A wind is split at every point, before it is averaged, into

    .. math:: v_t = v e - u n, \qquad v_r = u e + v n

    where :math:`(e, n)` is the direction along the great circle away from the centre. The
    tangential wind is positive anticlockwise, as in cyclones of the northern hemisphere; the
    radial wind is positive outwards.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray, (..., y, x)
        Fields on any grid, as for :func:`xresdiff.find_cyclone`.
    centre : tuple of float, or xarray.Dataset
        Latitude and longitude in degrees, or what :func:`xresdiff.find_cyclone` found, here or in
        other data.
    near : tuple of float, or xarray.Dataset
        In place of `centre`: where to look for it with :func:`xresdiff.find_cyclone`, by the
        pressure or by both components of the wind.
    radii_km : float or sequence of float, optional
        Width of the rings, around radii of 0, 1, 2, ... times the width; the first is a disc of
        half the width. Or the edges of the rings, of which the radii are the middles. By default
        rings as wide as the spacing of the grid, out to 200 km or eight widths.
    u, v : Hashable, optional
        Names of the eastward and northward wind; found by default. Those along the axes of the
        grid (`x_wind`, `y_wind`) are turned.
    skipna : bool, default True
        Leave missing values out of the means.

    Returns
    -------
    xarray.DataArray or xarray.Dataset, (..., radius)
        Every variable on the grid, averaged; of a Dataset with one wind, or one named, also
        `tangential_wind`, `radial_wind` and `wind_speed`, unless it has variables of these names,
        which are averaged as they are. The coordinate `radius` is in km. NaN for rings that are
        not wholly within the domain, and for those of which less than half of the area is known.
        Lazy if `ds` is.

    Raises
    ------
    InputError
        If there is no grid, no centre or two, or rings that do not grow; with `near` also where
        there is a speed only, as the strongest wind is not at the centre.
    UnitsError
        If the units of the components of the wind do not convert.

    References
    ----------
    Mardani, M. et al. (2023). Residual corrective diffusion modeling for km-scale atmospheric
    downscaling. arXiv:2309.15214 (a typhoon, by the mean of its wind around the centre).

    Examples
    --------
    >>> lat, lon = np.linspace(-1.0, 1.0, 21), np.linspace(-1.0, 1.0, 21)
    >>> distance = xr.DataArray(np.hypot.outer(lat, lon) * 111.195, {"lat": lat, "lon": lon})
    >>> azimuthal_mean(distance, centre=(0.0, 0.0), radii_km=[20, 40, 60]).round(0).values
    array([31., 51.])

    Members stay apart, each around its own centre. Their mean and their spread:

    >>> ens = xr.concat([distance, 3 * distance], "member")
    >>> means = azimuthal_mean(ens, centre=(0.0, 0.0), radii_km=[20, 40, 60])
    >>> means.mean("member").round(0).values, means.std("member", ddof=1).round(0).values
    (array([ 59., 102.]), array([42., 72.]))
    """
    table = as_dataset(ds)
    around = _around(ds, centre, near, radii_km, (u, v), skipna)
    means = {}
    for name, field in geography.fields_on(table, around.grid).items():
        told = {"long_name": f"azimuthal mean of {label(field)}", **geography.units_of(field)}
        means[name] = around.mean(field).assign_attrs(told)
    if isinstance(ds, xr.DataArray):
        (mean,) = means.values()
        return mean.rename(ds.name)
    pairs = find_winds(table, (u, v))
    if len(pairs) == 1 and set(pairs[0]) <= set(means):
        means = _wind_means(table, pairs[0], around) | means
    return xr.Dataset(means)


def maximum_wind(
    ds: xr.Dataset | xr.DataArray,
    *,
    centre: Place | None = None,
    near: Place | None = None,
    radii_km: Radii | None = None,
    u: Hashable | None = None,
    v: Hashable | None = None,
    skipna: bool = True,
) -> xr.Dataset:
    """Measure the maximum wind of a cyclone and its radius, in every member and at every time.

    Parameters
    ----------
    ds : xarray.Dataset or xarray.DataArray, (..., y, x)
        Eastward and northward wind, or wind speed, on any grid.
    centre, near, radii_km, u, v, skipna
        As for :func:`xresdiff.azimuthal_mean`.

    Returns
    -------
    xarray.Dataset, (...)
        `maximum_wind`, the largest speed at any point in the rings; `mean_maximum_wind`, the
        largest azimuthal mean of the speed; and `radius_of_maximum_wind`, the radius of its ring,
        in km. Rings of which the mean is not known, as those that are not wholly within the domain,
        do not count for the last two, which are NaN if that leaves the strongest ring without one
        beyond it. With ``skipna=False`` all are NaN where any value in the rings is missing. Lazy
        if `ds` is.

    Raises
    ------
    InputError
        As :func:`xresdiff.azimuthal_mean`, and if there is no wind, or more than one.
    UnitsError
        If the units of the components of the wind do not convert.

    Notes
    -----
    The radius is that of a ring: it is known to half of their spacing, and so is its spread over
    members.

    References
    ----------
    Mardani, M., et al. (2025). Residual corrective diffusion modeling for km-scale atmospheric
    downscaling. Commun. Earth Environ. 6, 124, doi:10.1038/s43247-025-02042-5.

    Examples
    --------
    >>> lat, lon = np.linspace(-1.0, 1.0, 41), np.linspace(-1.0, 1.0, 41)
    >>> km = xr.DataArray(np.hypot.outer(lat, lon) * 111.195, {"lat": lat, "lon": lon})
    >>> speed = (40 * np.minimum(km / 50, 50 / km.clip(1))).rename("wind_speed")
    >>> found = maximum_wind(speed, centre=(0.0, 0.0))
    >>> found.radius_of_maximum_wind.round().item(), found.mean_maximum_wind.round().item()
    (50.0, 39.0)

    Each member has its own: their mean and their spread are those of the ensemble.

    >>> ens = xr.concat([speed, 1.5 * speed], "member")
    >>> strongest = maximum_wind(ens, centre=(0.0, 0.0)).mean_maximum_wind
    >>> strongest.mean("member").round().item(), strongest.std("member", ddof=1).round().item()
    (49.0, 14.0)
    """
    around = _around(ds, centre, near, radii_km, (u, v), skipna)
    if isinstance(ds, xr.DataArray):
        speed = geography.chunked_whole(ds, around.grid)
    else:
        speed = wind_speed(ds, around.grid, (u, v))
    found = around.strongest(speed)
    largest, edges = "largest azimuthal mean of wind speed", around.edges
    where = f"within {edges[-1]:g} km" if not edges[0] else f"{edges[0]:g} to {edges[-1]:g} km"
    told = {
        "maximum_wind": {"long_name": f"largest wind speed {where} of the centre"},
        "mean_maximum_wind": {"long_name": largest},
        "radius_of_maximum_wind": {"long_name": f"radius of the {largest}", "units": "km"},
    }
    return xr.Dataset(
        {
            name: found.isel(_part=i).assign_attrs(geography.units_of(speed) | attrs)
            for i, (name, attrs) in enumerate(told.items())
        }
    )


@dataclass(frozen=True, eq=False)
class _Around:
    """Rings around a centre, and the grid they lie on."""

    grid: Horizontal
    centre: tuple[xr.DataArray, xr.DataArray]
    places: xr.DataArray
    edges: tuple[float, ...]
    radii: tuple[float, ...]
    options: dict[str, Any]

    def mean(self, field: xr.DataArray) -> xr.DataArray:
        """Average a field over the rings."""
        kernel, sizes = kernels.ring_means, {"radius": len(self.radii)}
        return self.labelled(self.apply(kernel, field, sizes=sizes, options=self.options))

    def wind(self, u: xr.DataArray, v: xr.DataArray) -> xr.DataArray:
        """Average tangential wind, radial wind and speed over the rings, ``(..., 3, radius)``."""
        kernel, sizes = kernels.wind_rings, {"_part": 3, "radius": len(self.radii)}
        return self.labelled(self.apply(kernel, u, v, sizes=sizes, options=self.options))

    def strongest(self, field: xr.DataArray) -> xr.DataArray:
        """Return the largest value, the largest mean of a ring, and its radius, ``(..., 3)``."""
        options = self.options | {"radii": self.radii}
        return self.apply(kernels.strongest, field, sizes={"_part": 3}, options=options)

    def apply(
        self,
        kernel: Callable[..., Any],
        *fields: xr.DataArray,
        sizes: dict[str, int],
        options: dict[str, Any],
    ) -> xr.DataArray:
        """Apply a kernel of fields, centres and places."""
        return geography.applied(
            kernel, fields, (*self.centre, self.places), self.grid, sizes, options
        )

    def labelled(self, means: xr.DataArray) -> xr.DataArray:
        """Give means over rings the radii."""
        attrs = {"long_name": "distance from the centre", "units": "km"}
        return means.assign_coords(radius=("radius", np.array(self.radii), attrs))


def _around(
    ds: xr.Dataset | xr.DataArray,
    centre: Place | None,
    near: Place | None,
    radii_km: Radii | None,
    winds: Names,
    skipna: bool,
) -> _Around:
    """Find the grid, the centre and the rings."""
    if (centre is None) == (near is None):
        raise InputError(
            "give either the centre of the cyclone, centre=(lat, lon) or what find_cyclone found, "
            "or where to look for it, near=(lat, lon)"
        )
    table = as_dataset(ds)
    grid = find_horizontal(table)
    places = geography.places_of(table, grid)
    spacing = max(geography.spacing_of(places))
    edges, radii = _rings(radii_km, spacing)
    if near is not None:
        centre = _found(ds, grid, near, winds)
    options = {"edges": edges, "spacing_km": spacing, "skipna": skipna}
    return _Around(grid, geography.place_of(centre, "centre", table), places, edges, radii, options)


def _found(ds: xr.Dataset | xr.DataArray, grid: Horizontal, near: Place, winds: Names) -> Place:
    """Find the centre, where there is more to find it by than speed."""
    try:
        if search_in(ds, grid, winds=winds).by == "wind":
            raise InputError("the strongest wind is around the centre of a cyclone, not in it")
        return find_cyclone(ds, near=near, u=winds[0], v=winds[1])
    except InputError as error:
        raise InputError(
            f"near= finds no centre here: {error}. find_cyclone, which takes by= and variable=, "
            "can find it first, in these data or in others, such as those of the pressure: "
            "centre=other.resdiff.find_cyclone(near=...)"
        ) from error


def _wind_means(ds: xr.Dataset, pair: Winds, around: _Around) -> dict[Hashable, xr.DataArray]:
    """Average the wind over rings, in its parts."""
    u, v = to_east_and_north(ds, around.grid, pair)
    wind = around.wind(u, v)
    told = {
        "tangential_wind": "azimuthal mean of tangential wind, anticlockwise",
        "radial_wind": "azimuthal mean of radial wind, outwards",
        "wind_speed": "azimuthal mean of wind speed",
    }
    return {
        name: wind.isel(_part=i).assign_attrs(long_name=text, **geography.units_of(u))
        for i, (name, text) in enumerate(told.items())
    }


def _rings(radii_km: Radii | None, spacing: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the edges of the rings and their radii."""
    width = spacing if radii_km is None else radii_km
    if isinstance(width, Real) and not isinstance(width, bool):
        width = float(width)
        if not 0 < width < np.inf:
            raise InputError(f"radii_km is {width!r}; it is the width of the rings in km: 5.0")
        count = max(round(OUT_TO_KM / width), LEAST_RINGS)
        edges = [0.0, *(width * (k + 0.5) for k in range(count + 1))]
        return tuple(edges), tuple(width * k for k in range(count + 1))
    edges = _numbers(width)
    if len(edges) < 2 or edges[0] < 0 or not (np.diff([*edges, np.inf]) > 0).all():
        raise InputError(
            f"radii_km={width!r} is neither the width of the rings in km, such as 5.0, nor two or "
            "more edges of rings that grow, such as radii_km=[0, 10, 20, 40]"
        )
    return tuple(edges), tuple((a + b) / 2 for a, b in pairwise(edges))


def _numbers(values: Any) -> list[float]:
    """Return numbers as a list, an empty one if they are none."""
    if isinstance(values, str | bool):
        return []
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        return []
