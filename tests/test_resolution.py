"""Effective resolution is where a known filter falls under a half."""

import warnings

import numpy as np
import pytest
import scipy.fft
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.kernels.spectral import resolved_wavelength
from xresdiff.verify.spectra.power import spectrum
from xresdiff.verify.spectra.resolution import effective_resolution

PLANE = {"sides": ("y", "x"), "spacing_km": 2.0}
SHAPE = (24, 31)


def truth(seed=0, **dims):
    """Draw fields without coordinates."""
    values = np.random.default_rng(seed).standard_normal((*dims.values(), *SHAPE))
    return xr.DataArray(values, dims=(*dims, "y", "x"), name="t", attrs={"units": "K"})


def filtered(da, gain):
    """Multiply every bin of the spectrum by `gain`, of the number of the bin (from 1)."""
    rows, columns = (np.arange(n) / (2 * n) for n in SHAPE)
    bins = np.hypot(rows[:, None], columns) * 2 * min(SHAPE)
    modes = scipy.fft.dctn(da.values, norm="ortho", axes=(-2, -1))
    factor = np.sqrt(gain(np.clip(np.floor(bins + 0.5), 1, min(SHAPE))))
    return da.copy(data=scipy.fft.idctn(modes * factor, norm="ortho", axes=(-2, -1)))


def kilometres(number):
    """Wavelength of a bin (from 1)."""
    return 2 * 2.0 * min(SHAPE) / number


@pytest.mark.parametrize("half", [3, 7.3, 18])
def test_of_a_filter_that_is_a_half_at_a_known_wavelength(half):
    obs = truth(time=2)
    forecast = filtered(obs, lambda k: 0.5 * (half / k) ** 2)
    found = effective_resolution(forecast, obs, **PLANE)
    assert found == pytest.approx(kilometres(half))  # power laws are what it interpolates by
    assert found.attrs == {"long_name": "effective resolution of t", "units": "km"}


def test_another_ratio():
    forecast = filtered(truth(), lambda k: 0.5 * (8 / k) ** 2)
    assert effective_resolution(forecast, truth(), ratio=0.125, **PLANE) == pytest.approx(
        kilometres(16)
    )
    with pytest.raises(InputError, match="ratio is a share of the variance over 0"):
        effective_resolution(forecast, truth(), ratio=0, **PLANE)


def test_dips_before_do_not_count():
    forecast = filtered(truth(), lambda k: np.where(k == 2, 0.1, np.where(k > 9, 0.25, 1.0)))
    found = effective_resolution(forecast, truth(), **PLANE).item()
    assert kilometres(10) < found < kilometres(9)


def test_the_open_last_bin_does_not_count():
    last = min(SHAPE)
    forecast = filtered(truth(), lambda k: np.where(k >= last, 100.0, np.where(k > 9, 0.25, 1.0)))
    assert effective_resolution(forecast, truth(), **PLANE) < kilometres(9)


def test_is_unknown_where_all_is_resolved():
    assert effective_resolution(truth(), truth(), **PLANE).isnull()
    short = filtered(truth(), lambda k: np.where((k > 9) & (k < 18), 0.1, 1.0))
    assert effective_resolution(short, truth(), **PLANE).isnull()  # less than an octave


def test_a_rise_after_an_octave_does_not_count():
    noisy = filtered(truth(), lambda k: np.where((k < 8) | (k > 16), 1.0, 0.5 * (7 / k) ** 4))
    found = effective_resolution(noisy, truth(), **PLANE).item()
    assert kilometres(8) < found < kilometres(7)


def test_of_fields_that_were_packed():
    rng = np.random.default_rng(3)
    k = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96))
    k[0, 0] = np.inf
    modes = np.fft.fft2(rng.standard_normal((8, 96, 96))) * k**-3
    fields = [np.fft.ifft2(modes * gain).real for gain in (1, np.sqrt(0.5 ** ((k * 20) ** 2)))]
    scale = 5 / fields[0].std()
    whole = [xr.DataArray(scale * field, dims=("time", "y", "x")) for field in fields]
    packed = [(10 * field).round() / 10 for field in whole]
    ratio = spectrum(packed[1], window=None, **PLANE) / spectrum(packed[0], window=None, **PLANE)
    assert ratio.isel(wavenumber=-3).mean() > 0.8  # where noise is all that there is
    found, wanted = (
        effective_resolution(*reversed(pair), window=None, **PLANE).item()
        for pair in (packed, whole)
    )
    assert wanted == pytest.approx(40, rel=0.05)
    assert found == pytest.approx(wanted, rel=0.1)


def test_is_infinite_where_nothing_is():
    assert effective_resolution(0.5 * truth(), truth(), **PLANE) == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert effective_resolution(0 * truth(), truth(), **PLANE) == np.inf
        assert effective_resolution(0 * truth(), 0 * truth(), **PLANE).isnull()


def test_spectra_are_averaged_over_members_and_fields_first():
    obs = truth(time=2)
    low = filtered(obs, lambda k: 0.2 * (8 / k) ** 2)
    high = filtered(obs, lambda k: 0.8 * (8 / k) ** 2)
    ens = xr.concat([low, high], "sample")
    assert effective_resolution(ens, obs, **PLANE) == pytest.approx(kilometres(8))
    along = effective_resolution(ens, obs, dim=(), **PLANE)
    assert along.dims == ("time",)
    np.testing.assert_allclose(along, kilometres(8))


@pytest.mark.parametrize("window", ["dct", "hann", None])
def test_is_where_the_ratio_of_the_spectra_crosses(window):
    obs = truth(time=5)
    forecast = obs.rolling(x=3, center=True, min_periods=1).mean()
    forecast = forecast.rolling(y=3, center=True, min_periods=1).mean()
    powers = (spectrum(one, window=window, **PLANE).mean("time") for one in (forecast, obs))
    ratio = np.divide(*powers)[:-1]
    found = effective_resolution(forecast, obs, window=window, **PLANE).item()
    assert (ratio < 0.5).values.tolist() == (ratio.wavelength < found).values.tolist()


def test_is_lazy_and_takes_datasets_and_references():
    obs = truth(time=3)
    coarse, fine = (filtered(obs, lambda k, half=half: 0.5 * (half / k) ** 2) for half in (4, 8))
    with raise_if_dask_computes():
        lazy = effective_resolution(
            fine.chunk(time=1, y=5).to_dataset(), obs.to_dataset(), reference=coarse, **PLANE
        )
    assert lazy.chunks
    expected = [kilometres(8), kilometres(4), 0.5]
    np.testing.assert_allclose(lazy.t.sel(value=["score", "reference", "skill"]), expected)


def test_kernel_follows_the_logarithms():
    wavelengths = np.array([8.0, 4.0, 2.0, 1.0])
    ratios = np.array(
        [
            [1, 1, 0.25, 0.1],
            [1, 0.5, 0.1, 0.1],
            [0.4, 0.4, 0.1, 0.1],
            [1, 0, 1, 1],
            [0.4, 0.4, 0.1, 1],
            [1, 0.25, 0.1, 1],
        ]
    )
    found = resolved_wavelength(ratios, np.ones(4), wavelengths=wavelengths, ratio=0.5)
    np.testing.assert_allclose(found, [8**0.5, 4.0, np.inf, np.nan, np.inf, 32**0.5])
