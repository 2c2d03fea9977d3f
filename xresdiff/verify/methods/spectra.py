"""Power spectra, as methods of ``.resdiff``, one line each."""

from collections.abc import Hashable
from typing import Any, Literal

import xarray as xr

from xresdiff.verify import spectra
from xresdiff.verify.kernels.spectral import Window
from xresdiff.verify.pairs import Data, Dims
from xresdiff.verify.spectra.sides import Sides, Spacing

__all__ = ["SpectrumMethods"]


class SpectrumMethods:
    """Power spectra; see :mod:`xresdiff.verify`."""

    _obj: Any

    def spectrum(
        self,
        *,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
    ) -> Any:
        """Spread the variance of every field over wavelengths.

        See :func:`xresdiff.spectrum`.
        """
        return spectra.spectrum(
            self._obj,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
        )

    def log_spectral_distance(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Compare the spectrum of the members with that of the truth, in decibels.

        See :func:`xresdiff.log_spectral_distance`.
        """
        return spectra.log_spectral_distance(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
            reference=reference,
            ci=ci,
        )

    def kinetic_energy_spectrum(
        self,
        *,
        u: Hashable | None = None,
        v: Hashable | None = None,
        split: bool = False,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window | Literal["auto"] = "auto",
    ) -> xr.DataArray:
        """Spread the kinetic energy of the wind over wavelengths.

        See :func:`xresdiff.kinetic_energy_spectrum`.
        """
        return spectra.kinetic_energy_spectrum(
            self._obj,
            u=u,
            v=v,
            split=split,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
        )

    def cross_spectrum(
        self,
        b: xr.DataArray,
        *,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
    ) -> xr.DataArray:
        """Spread the covariance of two fields over wavelengths.

        See :func:`xresdiff.cross_spectrum`.
        """
        return spectra.cross_spectrum(
            self._obj,
            b,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
        )

    def coherence(
        self,
        b: xr.DataArray,
        *,
        dim: Dims = None,
        skipna: bool = True,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
    ) -> xr.DataArray:
        """Tell how closely two fields go together at every wavelength, whatever their amplitudes.

        See :func:`xresdiff.coherence`.
        """
        return spectra.coherence(
            self._obj,
            b,
            dim=dim,
            skipna=skipna,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
        )

    def effective_resolution(
        self,
        obs: Data,
        *,
        dim: Dims = None,
        member_dim: Hashable | None = None,
        weights: xr.DataArray | None = None,
        skipna: bool = True,
        ratio: float = 0.5,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
        reference: Data | None = None,
        ci: float | None = None,
    ) -> Any:
        """Find the wavelength below which a forecast lacks variance.

        See :func:`xresdiff.effective_resolution`.
        """
        return spectra.effective_resolution(
            self._obj,
            obs,
            dim=dim,
            member_dim=member_dim,
            weights=weights,
            skipna=skipna,
            ratio=ratio,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
            reference=reference,
            ci=ci,
        )
