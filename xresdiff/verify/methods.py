"""The scores as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable, Mapping
from typing import Any

import xarray as xr

from xresdiff.verify import scores, spectra
from xresdiff.verify.kernels import Window
from xresdiff.verify.pairs import Data, Dims
from xresdiff.verify.spectra import Sides, Spacing

__all__ = ["ScoreMethods"]


class ScoreMethods:
    """Scores and spectra; see :mod:`xresdiff.verify`."""

    _obj: Any

    def crps(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        fair: bool = True,
        skipna: bool = True,
    ) -> Any:
        """Score an ensemble with the continuous ranked probability score (CRPS).

        See :func:`xresdiff.crps`.
        """
        return scores.crps(
            self._obj,
            obs,
            member_dim=member_dim,
            dim=dim,
            weights=weights,
            fair=fair,
            skipna=skipna,
        )

    def mae(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Average the absolute error of the ensemble mean.

        See :func:`xresdiff.mae`.
        """
        return scores.mae(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def rmse(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Take the root of the mean squared error of the ensemble mean.

        See :func:`xresdiff.rmse`.
        """
        return scores.rmse(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def bias(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Average the ensemble mean minus the truth.

        See :func:`xresdiff.bias`.
        """
        return scores.bias(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def spread(
        self,
        obs: Data | None = None,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Take the root of the mean variance of the members, the variance being unbiased.

        See :func:`xresdiff.spread`.
        """
        return scores.spread(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def spread_skill(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Divide the spread by the error of the ensemble mean.

        See :func:`xresdiff.spread_skill`.
        """
        return scores.spread_skill(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def rank_histogram(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> Any:
        """Count how often the truth takes each place among the sorted members.

        See :func:`xresdiff.rank_histogram`.
        """
        return scores.rank_histogram(
            self._obj, obs, member_dim=member_dim, dim=dim, weights=weights, skipna=skipna
        )

    def scores(
        self,
        obs: Data,
        *,
        reference: Mapping[str, Data] | None = None,
        member_dim: Hashable | None = None,
        dim: Dims = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
    ) -> xr.Dataset:
        """Tabulate the scores of an ensemble, and of what it should beat.

        See :func:`xresdiff.scores`.
        """
        return scores.scores(
            self._obj,
            obs,
            reference=reference,
            member_dim=member_dim,
            dim=dim,
            weights=weights,
            skipna=skipna,
        )

    def spectrum(
        self, *, dim: Sides | None = None, spacing_km: Spacing | None = None, window: Window = "dct"
    ) -> Any:
        """Spread the variance of every field over wavelengths.

        See :func:`xresdiff.spectrum`.
        """
        return spectra.spectrum(self._obj, dim=dim, spacing_km=spacing_km, window=window)

    def log_spectral_distance(
        self,
        obs: Data,
        *,
        member_dim: Hashable | None = None,
        dim: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
    ) -> Any:
        """Compare the spectrum of the members with that of the truth, in decibels.

        See :func:`xresdiff.log_spectral_distance`.
        """
        return spectra.log_spectral_distance(
            self._obj, obs, member_dim=member_dim, dim=dim, spacing_km=spacing_km, window=window
        )
