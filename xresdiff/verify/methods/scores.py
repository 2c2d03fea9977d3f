"""Scores of ensembles, as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable, Mapping
from typing import Any

import xarray as xr

from xresdiff.verify import scores, spreads, stations, tables
from xresdiff.verify.stations import StationMethod
from xresdiff.verify.types import Data, Dims

__all__ = ["ScoreMethods"]


class ScoreMethods:
    """Scores of ensembles; see :mod:`xresdiff.verify`."""

    _obj: Any

    def crps(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        fair: bool = True,
        above: float | None = None,
        below: float | None = None,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score an ensemble with the continuous ranked probability score (CRPS).

        See :func:`xresdiff.crps`.
        """
        return scores.crps(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            fair=fair,
            above=above,
            below=below,
            reference=reference,
            ci=ci,
        )

    def mae(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Average the absolute error of the ensemble mean.

        See :func:`xresdiff.mae`.
        """
        return scores.mae(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            reference=reference,
            ci=ci,
        )

    def member_mae(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Average the absolute error of the members.

        See :func:`xresdiff.member_mae`.
        """
        return scores.member_mae(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            reference=reference,
            ci=ci,
        )

    def rmse(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Take the root of the mean squared error of the ensemble mean.

        See :func:`xresdiff.rmse`.
        """
        return scores.rmse(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            reference=reference,
            ci=ci,
        )

    def bias(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ci: float | None = None,
    ) -> Any:
        """Average the ensemble mean minus the truth.

        See :func:`xresdiff.bias`.
        """
        return scores.bias(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ci=ci,
        )

    def correlation(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ci: float | None = None,
    ) -> Any:
        """Correlate the ensemble mean with the truth over the dimensions that are averaged.

        See :func:`xresdiff.correlation`.
        """
        return scores.correlation(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ci=ci,
        )

    def spread(
        self,
        obs: Data | None = None,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ci: float | None = None,
    ) -> Any:
        """Take the root of the mean variance of the members, the variance being unbiased.

        See :func:`xresdiff.spread`.
        """
        return spreads.spread(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ci=ci,
        )

    def spread_skill(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ci: float | None = None,
    ) -> Any:
        """Divide the spread by the error of the ensemble mean.

        See :func:`xresdiff.spread_skill`.
        """
        return spreads.spread_skill(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ci=ci,
        )

    def scores(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        reference: Mapping[str, Data] | None = None,
        ci: float | None = None,
    ) -> xr.Dataset:
        """Tabulate the scores of an ensemble, and of what it should beat.

        See :func:`xresdiff.scores`.
        """
        return tables.scores(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            reference=reference,
            ci=ci,
        )

    def at_stations(
        self,
        obs: Data,
        *,
        method: StationMethod = "bilinear",
    ) -> Any:
        """Bring fields to the places of stations.

        See :func:`xresdiff.at_stations`.
        """
        return stations.at_stations(
            self._obj,
            obs,
            method=method,
        )
