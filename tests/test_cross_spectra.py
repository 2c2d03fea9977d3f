"""Co-spectra sum to the covariance; coherence is that of noise of known correlation."""

import warnings

import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.spectra.cross import coherence, cross_spectrum
from xresdiff.verify.spectra.power import spectrum

PLANE = {"sides": ("y", "x"), "spacing_km": 2.0}
WINDOWS = ["dct", "hann", None]


def noise(seed=0, units="K", **dims):
    """Draw fields of 9 x 14 points without coordinates."""
    values = np.random.default_rng(seed).standard_normal((*dims.values(), 9, 14))
    return xr.DataArray(
        values.astype(np.float32), dims=(*dims, "y", "x"), name="t", attrs={"units": units}
    )


class TestCrossSpectrum:
    @pytest.mark.parametrize("window", ["dct", None])
    def test_sums_to_the_covariance(self, window):
        a, b = noise(0, time=3), noise(1, time=3) + 5
        shared = cross_spectrum(a, b, window=window, **PLANE).sum("wavenumber")
        expected = xr.cov(a.astype(float), b.astype(float), ("y", "x"), ddof=0)
        np.testing.assert_allclose(shared, expected, rtol=1e-6)

    @pytest.mark.parametrize("window", WINDOWS)
    def test_of_a_field_and_itself_is_its_spectrum(self, window):
        a = noise(time=2)
        shared = cross_spectrum(a, a, window=window, **PLANE)
        xr.testing.assert_allclose(shared, spectrum(a, window=window, **PLANE))

    @pytest.mark.parametrize("window", WINDOWS)
    def test_is_that_of_sums_and_differences(self, window):
        a, b = noise(0).astype(float), noise(1).astype(float)
        plus, minus = (spectrum(one, window=window, **PLANE) for one in (a + b, a - b))
        shared = cross_spectrum(a, b, window=window, **PLANE)
        np.testing.assert_allclose(shared, (plus - minus) / 4, atol=1e-12)

    def test_of_waves_in_phase_against_and_a_quarter_apart(self):
        x = 2 * np.pi * np.arange(32) / 32
        cos, sin = (
            xr.DataArray(np.tile(wave(4 * x), (32, 1)), dims=("y", "x"))
            for wave in (np.cos, np.sin)
        )
        options = {"sides": ("y", "x"), "spacing_km": 1.0, "window": None}
        at = {"wavenumber": 1 / 8}
        assert cross_spectrum(cos, 3 * cos, **options).sel(at) == pytest.approx(1.5)
        assert cross_spectrum(cos, -cos, **options).sel(at) == pytest.approx(-0.5)
        assert cross_spectrum(cos, sin, **options).sel(at) == pytest.approx(0)

    def test_is_labelled(self):
        a, b = noise(units="K", time=2), noise(units="m s-1")
        shared = cross_spectrum(a, b.rename("u"), **PLANE)
        assert shared.dims == ("time", "wavenumber")
        assert shared.attrs == {
            "long_name": "covariance per wavenumber bin of t and u",
            "units": "K (m s-1)",
        }
        assert shared.wavelength[-1] == 4.0
        assert cross_spectrum(a, a, **PLANE).units == "K2"

    @pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 2, "x": 5}])
    def test_is_lazy_and_the_same_for_any_chunks(self, chunks):
        a, b = noise(0, time=3), noise(1, time=3)
        with raise_if_dask_computes():
            lazy = cross_spectrum(a.chunk(chunks), b, **PLANE)
        assert lazy.chunks
        xr.testing.assert_allclose(lazy, cross_spectrum(a, b, **PLANE))

    def test_missing_values_of_either_make_it_missing(self):
        a, b = noise(0, time=3), noise(1, time=3)
        a[0, 1, 1] = b[1, 2, 2] = np.nan
        known = cross_spectrum(a, b, **PLANE).notnull().all("wavenumber")
        assert known.values.tolist() == [False, False, True]

    def test_refuses_other_points(self):
        a = noise(time=2).assign_coords(time=[0, 1])
        b = a.assign_coords(time=[1, 2])
        with pytest.raises(
            InputError, match=r"'time' is 0 to 1 .* in a, 1 to 2 .* a, b = xarray.align\(a, b"
        ):
            cross_spectrum(a, b, **PLANE)
        with pytest.raises(InputError, match=r"'x' is 14 points in a, 13 in b.*slice\(0, 13\)"):
            cross_spectrum(noise(), noise()[:, :13], **PLANE)
        a_there, b_there = xr.align(a, b, join="inner")
        assert cross_spectrum(a_there, b_there, **PLANE).sizes["time"] == 1
        with pytest.raises(InputError, match=r"a is a Dataset; .*a\['t'\]"):
            coherence(a.to_dataset(), a, **PLANE)
        with pytest.raises(InputError, match=r"t is along \('time', 'x'\)"):
            cross_spectrum(a, a.isel(y=0), **PLANE)

    @pytest.mark.parametrize("measure", [cross_spectrum, coherence])
    def test_points_are_matched_as_scores_match_them(self, measure):
        sides = {"lat": np.linspace(20, 26, 9), "lon": np.linspace(118, 124, 14)}
        a, b = (noise(i).rename(y="lat", x="lon").assign_coords(sides) for i in (0, 1))
        wanted = measure(a, b)
        rounded = {name: values.astype(np.float32) for name, values in sides.items()}
        renamed = b.rename(lat="latitude", lon="longitude")
        for same in (b.assign_coords(rounded), b[::-1], b[:, ::-1], renamed):
            xr.testing.assert_identical(measure(a, same), wanted)

    def test_dimensions_of_one_repeat_the_other(self):
        a, b = noise(0, level=2), noise(1, time=3).assign_coords(time=[0, 6, 12])
        shared = cross_spectrum(a, b, **PLANE)
        assert set(shared.dims) == {"level", "time", "wavenumber"}
        assert shared.time.values.tolist() == [0, 6, 12]
        one = cross_spectrum(a[1], b[2], **PLANE)
        xr.testing.assert_allclose(
            shared.isel(level=1, time=2).drop_vars("time"), one.drop_vars("time", errors="ignore")
        )

    def test_names_of_its_own_are_refused_others_not(self):
        a, b = noise(0, part=3), noise(1, part=3)
        assert cross_spectrum(a, b, **PLANE).dims == ("part", "wavenumber")
        assert coherence(a, b, dim=(), **PLANE).dims == ("part", "wavenumber")
        with pytest.raises(InputError, match=r"rename\(wavenumber='other'\)"):
            cross_spectrum(a.rename(part="wavenumber"), b.rename(part="wavenumber"), **PLANE)

    @pytest.mark.parametrize(
        ("one", "other", "units"),
        [
            ("1", "1", "1"),
            ("K", "1", "K"),
            ("%", "%", "%2"),
            ("m s-1", "m s-1", "(m s-1)2"),
            ("", "K", None),
        ],
    )
    def test_units_are_multiplied(self, one, other, units):
        a, b = noise(0, units=one), noise(1, units=other)
        assert cross_spectrum(a, b, **PLANE).attrs.get("units") == units


class TestCoherence:
    @pytest.mark.parametrize("window", WINDOWS)
    def test_of_noise_of_a_known_correlation(self, window):
        a, other = noise(0, time=400), noise(1, time=400)
        b = 0.6 * a + 0.8 * other
        found = coherence(a, 7 * b - 3, window=window, **PLANE)
        np.testing.assert_allclose(found, 0.36, atol=0.05)
        assert found.units == "1"

    @pytest.mark.parametrize("window", WINDOWS)
    def test_of_multiples_is_one_and_never_more(self, window):
        a = noise(time=2)
        one = coherence(a, -3 * a, window=window, **PLANE)
        np.testing.assert_allclose(one, 1, rtol=1e-6)
        assert one.max() <= 1
        several = coherence(noise(0, time=40), noise(1, time=40), dim=(), window=window, **PLANE)
        assert several.dims == ("time", "wavenumber")
        assert 0 <= several.min() <= several.max() <= 1

    @pytest.mark.parametrize("window", ["dct", None])
    def test_of_what_is_unrelated_is_one_over_the_number_of_modes(self, window):
        found = coherence(noise(0, time=3000), noise(1, time=3000), dim=(), window=window, **PLANE)
        full = noise(0).sizes["y"], noise(0).sizes["x"]
        along = [
            np.arange(n) / (2 * n) if window == "dct" else np.abs(np.fft.fftfreq(n)) for n in full
        ]
        radius = np.hypot(along[0][:, None], along[1]) / (2 * found.wavenumber.values[0])
        modes = [(abs(radius - k) < 0.5).sum() for k in range(2, found.wavenumber.size)]
        np.testing.assert_allclose(found.mean("time")[1:-1], 1 / np.array(modes), rtol=0.15)

    def test_tells_the_wavelengths_that_two_fields_share(self):
        x = np.arange(64)
        shared = np.cos(np.pi * 8 * (x + 0.5) / 64)
        a, b = (
            xr.DataArray(
                shared + 0.1 * np.random.default_rng(seed).standard_normal((64, 64)),
                dims=("y", "x"),
            )
            for seed in (0, 1)
        )
        found = coherence(a, b, sides=("y", "x"), spacing_km=1.0)
        assert found.sel(wavenumber=1 / 16) > 0.95
        assert found.isel(wavenumber=slice(20, None)).max() < 0.2

    def test_sums_over_the_fields_named(self):
        a, b = noise(0, time=3, level=2), noise(1, time=3, level=2)
        found = coherence(a, b, dim="time", **PLANE)
        assert found.dims == ("level", "wavenumber")
        xr.testing.assert_allclose(
            found.isel(level=1), coherence(a.isel(level=1), b.isel(level=1), **PLANE)
        )
        with pytest.raises(InputError, match=r"over \['member'\].*dim=\('time', 'level'\)"):
            coherence(a, b, dim="member", **PLANE)

    def test_leaves_out_fields_with_missing_values(self):
        a, b = noise(0, time=3), noise(1, time=3)
        expected = coherence(a[1:], b[1:], **PLANE)
        b[0, 1, 1] = np.nan
        xr.testing.assert_allclose(coherence(a, b, **PLANE), expected)
        assert coherence(a, b, skipna=False, **PLANE).isnull().all()
        assert coherence(a[:1], b[:1], **PLANE).isnull().all()

    def test_is_lazy_and_unknown_without_variance(self):
        dry = xr.zeros_like(noise(time=2)).chunk(time=1, y=3)
        with raise_if_dask_computes():
            lazy = coherence(noise(time=2), dry, **PLANE)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert lazy.compute().isnull().all()
