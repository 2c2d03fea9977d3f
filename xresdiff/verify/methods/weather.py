"""Cyclones and fronts, as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable
from typing import Any

import xarray as xr

from xresdiff.verify import weather
from xresdiff.verify.weather.cyclones import By
from xresdiff.verify.weather.geography import Place
from xresdiff.verify.weather.rings import Radii
from xresdiff.verify.weather.sections import Method

__all__ = ["WeatherMethods"]


class WeatherMethods:
    """Cyclones and fronts; see :mod:`xresdiff.verify`."""

    _obj: Any

    def find_cyclone(
        self,
        *,
        near: Place,
        by: By | None = None,
        within_km: float = 300.0,
        variable: Hashable | None = None,
        u: Hashable | None = None,
        v: Hashable | None = None,
    ) -> xr.Dataset:
        """Find a cyclone near a place, in every member and at every time.

        See :func:`xresdiff.find_cyclone`.
        """
        return weather.find_cyclone(
            self._obj,
            near=near,
            by=by,
            within_km=within_km,
            variable=variable,
            u=u,
            v=v,
        )

    def azimuthal_mean(
        self,
        *,
        centre: Place | None = None,
        near: Place | None = None,
        radii_km: Radii | None = None,
        u: Hashable | None = None,
        v: Hashable | None = None,
        skipna: bool = True,
    ) -> Any:
        """Average over rings around the centre of a cyclone, in every member and at every time.

        See :func:`xresdiff.azimuthal_mean`.
        """
        return weather.azimuthal_mean(
            self._obj,
            centre=centre,
            near=near,
            radii_km=radii_km,
            u=u,
            v=v,
            skipna=skipna,
        )

    def maximum_wind(
        self,
        *,
        centre: Place | None = None,
        near: Place | None = None,
        radii_km: Radii | None = None,
        u: Hashable | None = None,
        v: Hashable | None = None,
        skipna: bool = True,
    ) -> xr.Dataset:
        """Measure the maximum wind of a cyclone and its radius, in every member and at every time.

        See :func:`xresdiff.maximum_wind`.
        """
        return weather.maximum_wind(
            self._obj,
            centre=centre,
            near=near,
            radii_km=radii_km,
            u=u,
            v=v,
            skipna=skipna,
        )

    def cross_section(
        self,
        *,
        start: tuple[float, float],
        end: tuple[float, float],
        points: int | None = None,
        method: Method = "bilinear",
        u: Hashable | None = None,
        v: Hashable | None = None,
    ) -> Any:
        """Take values along the great circle between two places, in every member and at every time.

        See :func:`xresdiff.cross_section`.
        """
        return weather.cross_section(
            self._obj,
            start=start,
            end=end,
            points=points,
            method=method,
            u=u,
            v=v,
        )
