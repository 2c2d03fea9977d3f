"""Distributions and calibration, as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable, Sequence
from typing import Any

import xarray as xr

from xresdiff.verify import calibration, distributions, multivariate
from xresdiff.verify.distributions import QUANTILES
from xresdiff.verify.events import Levels
from xresdiff.verify.multivariate import Over
from xresdiff.verify.types import Data, Dims

__all__ = ["DistributionMethods"]


class DistributionMethods:
    """Distributions, and whether ensembles draw from the right one; see :mod:`xresdiff.verify`."""

    _obj: Any

    def rank_histogram(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ci: float | None = None,
    ) -> Any:
        """Count how often the truth takes each place among the sorted members.

        See :func:`xresdiff.rank_histogram`.
        """
        return calibration.rank_histogram(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ci=ci,
        )

    def pit(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        bins: int = 10,
        ci: float | None = None,
    ) -> Any:
        """Count how often the truth takes each probability: the histogram of its PIT.

        See :func:`xresdiff.pit`.
        """
        return calibration.pit(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            bins=bins,
            ci=ci,
        )

    def brier(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        threshold: Levels,
        fair: bool = True,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score the probability of reaching a threshold with the Brier score.

        See :func:`xresdiff.brier`.
        """
        return calibration.brier(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            threshold=threshold,
            fair=fair,
            reference=reference,
            ci=ci,
        )

    def reliability(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        threshold: Levels,
        classes: int | None = None,
        ci: float | None = None,
    ) -> Any:
        """Compare the probability of reaching a threshold with how often that happened.

        See :func:`xresdiff.reliability`.
        """
        return calibration.reliability(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            threshold=threshold,
            classes=classes,
            ci=ci,
        )

    def energy_score(
        self,
        obs: Data,
        *,
        over: Over,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        fair: bool = True,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score whole fields with the energy score, the CRPS of vectors.

        See :func:`xresdiff.energy_score`.
        """
        return multivariate.energy_score(
            self._obj,
            obs,
            over=over,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            fair=fair,
            reference=reference,
            ci=ci,
        )

    def variogram_score(
        self,
        obs: Data,
        *,
        over: Over,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        fair: bool = True,
        p: float = 0.5,
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Score the differences between the points of a field with the variogram score.

        See :func:`xresdiff.variogram_score`.
        """
        return multivariate.variogram_score(
            self._obj,
            obs,
            over=over,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            fair=fair,
            p=p,
            reference=reference,
            ci=ci,
        )

    def pdf(
        self,
        *,
        dim: Dims = None,
        bins: int | Sequence[float] | None = None,
    ) -> Any:
        """Estimate the probability density of every variable with a histogram.

        See :func:`xresdiff.pdf`.
        """
        return distributions.pdf(
            self._obj,
            dim=dim,
            bins=bins,
        )

    def quantiles(
        self,
        q: float | Sequence[float] = QUANTILES,
        *,
        dim: Dims = None,
        skipna: bool = True,
    ) -> Any:
        """Take quantiles of every variable, exactly, of data of any size.

        See :func:`xresdiff.quantiles`.
        """
        return distributions.quantiles(
            self._obj,
            q,
            dim=dim,
            skipna=skipna,
        )
