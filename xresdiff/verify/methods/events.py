"""Events: values at or above a threshold, as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable
from typing import Any

import xarray as xr

from xresdiff.verify import events, neighbourhoods
from xresdiff.verify.events import Levels
from xresdiff.verify.kernels.events import Edges
from xresdiff.verify.spectra.sides import Sides, Spacing
from xresdiff.verify.types import Data, Dims

__all__ = ["EventMethods"]


class EventMethods:
    """Events: values at or above a threshold; see :mod:`xresdiff.verify`."""

    _obj: Any

    def contingency(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        threshold: Levels,
        probability: float | None = None,
    ) -> Any:
        """Count hits, misses, false alarms and correct negatives.

        See :func:`xresdiff.contingency`.
        """
        return events.contingency(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            threshold=threshold,
            probability=probability,
        )

    def events(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        threshold: Levels,
        probability: float | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score forecasts of events, values at or above a threshold.

        See :func:`xresdiff.events`.
        """
        return events.events(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            threshold=threshold,
            probability=probability,
            ci=ci,
        )

    def probability(
        self,
        *,
        member_dim: Hashable | None = None,
        skipna: bool = True,
        threshold: Levels,
        scale_km: Levels | None = None,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
    ) -> Any:
        """Map the probability of exceedance, at points or in neighbourhoods.

        See :func:`xresdiff.probability`.
        """
        return neighbourhoods.probability(
            self._obj,
            member_dim=member_dim,
            skipna=skipna,
            threshold=threshold,
            scale_km=scale_km,
            sides=sides,
            spacing_km=spacing_km,
        )

    def fss(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        threshold: Levels,
        scale_km: Levels,
        edges: Edges = "shrink",
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score events in neighbourhoods with the fractions skill score (FSS).

        See :func:`xresdiff.fss`.
        """
        return neighbourhoods.fss(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            threshold=threshold,
            scale_km=scale_km,
            edges=edges,
            sides=sides,
            spacing_km=spacing_km,
            ci=ci,
        )
