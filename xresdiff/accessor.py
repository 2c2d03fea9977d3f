"""``.resdiff`` on Datasets and DataArrays: one line per method, no state but the object.

It also gives model cards their ``.plot``.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal

import xarray as xr

import xresdiff.downscale as _downscale
import xresdiff.grids.coarsen as _coarsen
import xresdiff.grids.regrid as _regrid
import xresdiff.store as _store
import xresdiff.train as _train
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.models.card import Channel, ModelCard, SamplerCard
from xresdiff.models.package import Model, Stage
from xresdiff.overview import overview, overview_html
from xresdiff.plot.domains import CardPlotMethods
from xresdiff.plot.methods import PlotMethods
from xresdiff.verify.methods import VerifyMethods

__all__ = ["ResdiffDataArrayAccessor", "ResdiffDatasetAccessor"]

ModelCard.plot = property(CardPlotMethods)  # figures are above models: they come from here


class _Methods(VerifyMethods):
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
        tile: int | Literal["independent"] | None = None,
        overlap: int | None = None,
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
            tile=tile,
            overlap=overlap,
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
        model: str | PathLike[str] | Model | None = None,
        stages: Sequence[Stage] = ("mean", "residual"),
        steps: int | Mapping[str, int] | None = None,
        batch_size: int | None = None,
        patch: int | None = None,
        learning_rate: float | None = None,
        validation: float = 0.1,
        residual_pairs: float = 0.0,
        out: str | PathLike[str] = "run",
        device: str = "auto",
        precision: str = "auto",
        seed: int = 0,
        inputs: Sequence[str | Channel] | None = None,
        outputs: Sequence[str | Channel] | None = None,
        static: xr.Dataset | xr.DataArray | None = None,
        extras: Sequence[str] = (),
        normalisation: Literal["model", "data"] = "model",
        global_residual: bool | None = None,
        conserve: Sequence[str] | None = None,
        freeze: Sequence[str] = (),
        weights: Mapping[str, float] | None = None,
        regridding: Method | None = None,
        accumulation: str | None = None,
        augment: bool | None = None,
        patience: int | None = 8,
        cache: bool = True,
        name: str | None = None,
    ) -> Model:
        """Go on training a model with your own pairs: your region, your variables, your data.

        See :func:`xresdiff.finetune`.
        """
        return _train.finetune(
            self._obj,
            target,
            model=model,
            stages=stages,
            steps=steps,
            batch_size=batch_size,
            patch=patch,
            learning_rate=learning_rate,
            validation=validation,
            residual_pairs=residual_pairs,
            out=out,
            device=device,
            precision=precision,
            seed=seed,
            inputs=inputs,
            outputs=outputs,
            static=static,
            extras=extras,
            normalisation=normalisation,
            global_residual=global_residual,
            conserve=conserve,
            freeze=freeze,
            weights=weights,
            regridding=regridding,
            accumulation=accumulation,
            augment=augment,
            patience=patience,
            cache=cache,
            name=name,
        )

    def train(
        self,
        target: xr.Dataset,
        *,
        network: str | Mapping[str, object] = "auto",
        steps: int | Mapping[str, int] | None = None,
        batch_size: int | None = None,
        patch: int | None = None,
        learning_rate: float | None = None,
        validation: float = 0.1,
        residual_pairs: float = 0.0,
        out: str | PathLike[str] = "run",
        device: str = "auto",
        precision: str = "auto",
        seed: int = 0,
        inputs: Sequence[str | Channel] | None = None,
        outputs: Sequence[str | Channel] | None = None,
        static: xr.Dataset | xr.DataArray | None = None,
        extras: Sequence[str] = (),
        global_residual: bool | None = None,
        conserve: Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
        regridding: Method | None = None,
        accumulation: str | None = None,
        augment: bool | None = None,
        patience: int | None = 8,
        cache: bool = True,
        name: str = "mine",
    ) -> Model:
        """Train a model from nothing with your own pairs of fields.

        See :func:`xresdiff.train`.
        """
        return _train.train(
            self._obj,
            target,
            network=network,
            steps=steps,
            batch_size=batch_size,
            patch=patch,
            learning_rate=learning_rate,
            validation=validation,
            residual_pairs=residual_pairs,
            out=out,
            device=device,
            precision=precision,
            seed=seed,
            inputs=inputs,
            outputs=outputs,
            static=static,
            extras=extras,
            global_residual=global_residual,
            conserve=conserve,
            weights=weights,
            regridding=regridding,
            accumulation=accumulation,
            augment=augment,
            patience=patience,
            cache=cache,
            name=name,
        )

    def to_zarr(
        self,
        path: str | os.PathLike[str],
        *,
        resume: bool = True,
        shards: Mapping[Hashable, int] | None = None,
        encoding: Mapping[Hashable, Mapping[str, Any]] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an ensemble to a zarr store, chunk by chunk; killed and called again, it goes on.

        See :func:`xresdiff.to_zarr`.
        """
        return _store.to_zarr(
            self._obj,
            path,
            resume=resume,
            shards=shards,
            encoding=encoding,
            storage_options=storage_options,
        )

    def to_netcdf(self, path: str | os.PathLike[str]) -> None:
        """Write a small ensemble to a netCDF file, compressed; it appears whole or not at all.

        See :func:`xresdiff.to_netcdf`.
        """
        return _store.to_netcdf(self._obj, path)


@xr.register_dataarray_accessor("resdiff")
class ResdiffDataArrayAccessor(_Methods):
    """``da.resdiff``: score and plot one variable."""
