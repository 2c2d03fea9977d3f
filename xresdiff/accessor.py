"""``.resdiff`` on Datasets and DataArrays: one line per method, no state but the object.

It also gives model cards their ``.plot``.
"""

import os
from collections.abc import Hashable, Mapping
from os import PathLike
from typing import Any, Literal

import xarray as xr

import xresdiff.downscale as _downscale
import xresdiff.grids.coarsen as _coarsen
import xresdiff.grids.regrid as _regrid
import xresdiff.store as _store
import xresdiff.train as _train
import xresdiff.verify.scores as _scores
import xresdiff.verify.spectra as _spectra
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.models.card import ModelCard, SamplerCard
from xresdiff.models.package import Model
from xresdiff.overview import overview, overview_html
from xresdiff.plot.domains import CardPlotMethods
from xresdiff.plot.methods import PlotMethods
from xresdiff.verify.kernels import Window
from xresdiff.verify.pairs import Data, Dims
from xresdiff.verify.spectra import Sides, Spacing

__all__ = ["ResdiffDataArrayAccessor", "ResdiffDatasetAccessor"]

ModelCard.plot = property(CardPlotMethods)  # figures are above models: they come from here


class _Methods:
    """What Datasets and DataArrays have in common."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __repr__(self) -> str:
        return overview(self._obj)

    def _repr_html_(self) -> str:
        return overview_html(self._obj)

    @property
    def plot(self) -> PlotMethods:
        """Figures; see :mod:`xresdiff.plot`."""
        return PlotMethods(self._obj)

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
        return _scores.crps(
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
        return _scores.mae(
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
        return _scores.rmse(
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
        return _scores.bias(
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
        return _scores.spread(
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
        return _scores.spread_skill(
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
        return _scores.rank_histogram(
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
        return _scores.scores(
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
        return _spectra.spectrum(self._obj, dim=dim, spacing_km=spacing_km, window=window)

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
        return _spectra.log_spectral_distance(
            self._obj, obs, member_dim=member_dim, dim=dim, spacing_km=spacing_km, window=window
        )

    def coarsen(self, factor: int) -> Any:
        """Average blocks of factor x factor cells.

        See :func:`xresdiff.coarsen`.
        """
        return _coarsen.coarsen(self._obj, factor)

    def regrid(
        self,
        grid: xr.Dataset | xr.DataArray,
        *,
        method: Method = "bilinear",
        skipna: bool = False,
        na_thres: float = 1.0,
    ) -> Any:
        """Move fields onto another grid.

        See :func:`xresdiff.regrid`.
        """
        return _regrid.regrid(self._obj, grid, method=method, skipna=skipna, na_thres=na_thres)


@xr.register_dataset_accessor("resdiff")
class ResdiffDatasetAccessor(_Methods):
    """``ds.resdiff``: downscale, train, write, score and plot a Dataset."""

    def downscale(
        self,
        *,
        members: int = 16,
        model: str | PathLike[str] | Model = "rain-16x",
        stage: Literal["both", "mean"] = "both",
        sampler: str | SamplerCard | None = None,
        steps: int | None = None,
        seed: int = 0,
        device: str = "auto",
        precision: str = "auto",
        chunks: Mapping[Hashable, int] | None = None,
        grid: xr.Dataset | xr.DataArray | None = None,
        regridding: Method | None = None,
        accumulation: str | None = None,
        skipna: bool = False,
        na_thres: float = 1.0,
    ) -> xr.Dataset:
        """Draw an ensemble of fine fields from coarse ones.

        See :func:`xresdiff.downscale`.
        """
        return _downscale.downscale(
            self._obj,
            members=members,
            model=model,
            stage=stage,
            sampler=sampler,
            steps=steps,
            seed=seed,
            device=device,
            precision=precision,
            chunks=chunks,
            grid=grid,
            regridding=regridding,
            accumulation=accumulation,
            skipna=skipna,
            na_thres=na_thres,
        )

    def finetune(
        self,
        target: xr.Dataset,
        *,
        model: str | PathLike[str] | Model = "rain-16x",
        steps: int = 1000,
        batch_size: int = 8,
        patch: int | None = None,
        learning_rate: float = 2e-4,
        validation: float = 0.1,
        out: str | PathLike[str] = "run",
        device: str = "auto",
        precision: str = "auto",
        seed: int = 0,
    ) -> Model:
        """Go on training both stages of a model with your own pairs of fields.

        See :func:`xresdiff.finetune`.
        """
        return _train.finetune(
            self._obj,
            target,
            model=model,
            steps=steps,
            batch_size=batch_size,
            patch=patch,
            learning_rate=learning_rate,
            validation=validation,
            out=out,
            device=device,
            precision=precision,
            seed=seed,
        )

    def to_zarr(self, path: str | os.PathLike[str], *, resume: bool = True) -> None:
        """Write an ensemble to a zarr store, block by block; killed and called again, it goes on.

        See :func:`xresdiff.to_zarr`.
        """
        return _store.to_zarr(self._obj, path, resume=resume)


@xr.register_dataarray_accessor("resdiff")
class ResdiffDataArrayAccessor(_Methods):
    """``da.resdiff``: score and plot one variable."""
