"""Spectra are labelled in km, sum to the variance, and compute nothing."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.spectra.power import log_spectral_distance, spectrum

PLANE = {"sides": ("y", "x"), "spacing_km": 1.0}

# rapsd of pysteps 1.21.5 (fft_method=numpy.fft) of `(7 y + 3 x^2) % 11 + y / 2` on 16 x 16 points.
RAPSD = [97.5801354, 25.3892989, 12.0605942, 8.78585912, 5.262865, 19.8298987, 16.9320178]


def field(units="mm h-1", **dims):
    """Draw fields on a grid of 2 km."""
    shape = (*dims.values(), 8, 12)
    return xr.DataArray(
        np.random.default_rng(0).random(shape).astype(np.float32),
        coords={
            "y": ("y", 2000.0 * np.arange(8)[::-1], {"units": "m"}),
            "x": ("x", 2.0e3 * np.arange(12), {"units": "m"}),
        },
        dims=(*dims, "y", "x"),
        name="rain",
        attrs={"units": units, "long_name": "rain rate"},
    )


def test_is_labelled_and_sums_to_the_variance():
    da = field(member=3, time=2)
    power = spectrum(da)
    assert power.dims == ("member", "time", "wavenumber")
    assert power.name == "rain"
    assert power.attrs == {
        "long_name": "variance per wavenumber bin of rain rate",
        "units": "(mm h-1)2",
    }
    assert power.wavenumber.units == "km-1"
    assert power.wavelength.units == "km"
    assert power.wavelength.values[[0, -1]].tolist() == [32.0, 4.0]
    np.testing.assert_allclose(power.wavenumber * power.wavelength, 1)
    xr.testing.assert_allclose(power.sum("wavenumber"), da.astype(float).var(("y", "x")))
    assert spectrum(field("K")).units == "K2"


@pytest.mark.parametrize("window", ["dct", "hann", None])
@pytest.mark.parametrize("chunks", [{"time": 1}, {"y": 3, "x": 5}])
def test_is_lazy_and_the_same_for_any_chunks(window, chunks):
    da = field(time=2)
    with raise_if_dask_computes():
        lazy = spectrum(da.chunk(chunks), window=window)
        table = spectrum(da.chunk(chunks).to_dataset(), window=window)
    assert lazy.chunks
    assert table.chunks
    xr.testing.assert_allclose(lazy, spectrum(da, window=window))
    xr.testing.assert_identical(table.rain.compute(), lazy.compute())


def test_takes_the_variables_on_the_grid():
    ds = field(time=2).to_dataset().assign(crs=0, mean=("time", [0.0, 1.0]), wind=field())
    assert set(spectrum(ds).data_vars) == {"rain", "wind"}


def test_spacing_of_latitude_and_longitude():
    lat = ("lat", 60 + 0.1 * np.arange(-4, 4), {"units": "degrees_north"})
    lon = ("lon", 0.2 * np.arange(8), {"units": "degrees_east"})
    da = field().isel(x=slice(8)).drop_vars(("y", "x")).rename(y="lat", x="lon")
    power = spectrum(da.assign_coords(lat=lat, lon=lon))
    assert power.wavelength[-1] == pytest.approx(2 * 11.1, rel=0.01)


def test_dimensions_and_spacing_may_be_given():
    da = field()
    bare = da.drop_vars(("y", "x")).rename(y="j", x="i")
    expected = spectrum(da)
    xr.testing.assert_allclose(spectrum(bare, sides=("j", "i"), spacing_km=2.0), expected)
    xr.testing.assert_allclose(spectrum(da, sides=("x", "y")), expected)
    xr.testing.assert_allclose(spectrum(da, spacing_km=(2.0, 2.0)), expected)
    assert spectrum(da, spacing_km=1.0).wavelength[-1] == 2.0


def test_missing_values_make_a_spectrum_missing():
    da = field(time=2)
    da[0, 3, 3] = np.nan
    power = spectrum(da)
    assert power.isel(time=0).isnull().all()
    assert power.isel(time=1).notnull().all()


@pytest.mark.parametrize(
    ("da", "options", "message"),
    [
        (field().drop_vars(("y", "x")).rename(y="j", x="i"), {}, "no horizontal coordinates"),
        (field().isel(y=[0, 1, 2, 3, 5]), {}, "without spacing_km=: the spacing of 'y' changes"),
        (field().isel(y=slice(3)), {}, "4 points a side"),
        (field(time=5), {"sides": ("time", "x")}, r"are \('y', 'x'\), not \('time', 'x'\)"),
        (field(), {"sides": ("j", "i"), "spacing_km": 1.0}, r"no dimensions \['j', 'i'\]"),
        (field(), {"sides": ("y", "y")}, r"two dimensions, such as \('y', 'x'\), not \('y', 'y'\)"),
        (field(), {"sides": "yx"}, "two dimensions, .*, not 'yx'"),
        (field(), {"spacing_km": 0.0}, "one distance over 0, or one for each side, not 0.0"),
        (field(), {"spacing_km": (1.0, 2.0, 3.0)}, "or one for each side, not"),
        (field(), {**PLANE, "spacing_km": (0.1, 9.0)}, r"no waves in common.*points along 'y'"),
        (field(), {"window": "hamming"}, "window='dct', 'hann' or None, not 'hamming'"),
    ],
)
def test_refuses_what_has_no_spectrum(da, options, message):
    with pytest.raises(InputError, match=message):
        spectrum(da, **options)


def plain(values, **options):
    """Take the spectrum of bare fields, 1 km between points."""
    values = np.asarray(values)
    dims = (*"abc"[: values.ndim - 2], "y", "x")
    return spectrum(xr.DataArray(values, dims=dims), **PLANE, **options)


class TestOfWaves:
    def test_ends_at_the_nyquist_wavenumber_not_in_the_corners(self):
        power = plain(np.random.default_rng(0).random((448, 448)), window=None)
        assert power.size == 224
        assert power.wavenumber[-1] == 0.5

    @pytest.mark.parametrize(("window", "waves"), [("dct", 20), (None, 20)])
    def test_a_wave_is_at_its_own_wavenumber(self, window, waves):
        x = np.arange(448)
        wave = np.cos(2 * np.pi * waves * (x + 0.5) / 448)
        power = plain(np.tile(wave, (448, 1)), window=window)
        assert power.idxmax("wavenumber") == pytest.approx(waves / 448)
        assert power.max() == pytest.approx(0.5)

    @pytest.mark.parametrize("shape", [(64, 48), (51, 80)])
    def test_of_oblong_fields_any_direction_is_in_the_bin_of_its_wavelength(self, shape):
        y, x = np.mgrid[: shape[0], : shape[1]]
        n = max(shape)
        shift = 5 / shape[0] * y + 8 / shape[1] * x  # whole waves along both sides
        power = plain(np.cos(2 * np.pi * shift), window=None)
        wanted = np.hypot(5 / shape[0], 8 / shape[1])
        found = power.idxmax("wavenumber").item()
        assert abs(found - wanted) <= 0.5 / min(shape) < 8 / n
        assert power.max() == pytest.approx(0.5)

    def test_finds_the_slope_of_fields_cut_from_larger_ones(self):
        n = 448
        k = np.hypot(np.fft.fftfreq(2 * n)[:, None], np.fft.rfftfreq(2 * n))
        k[0, 0] = np.inf
        noise = np.random.default_rng(0).standard_normal((5, 2 * n, 2 * n))
        large = np.fft.irfft2(np.fft.rfft2(noise) * k**-2.0)  # k^-4 a mode, k^-3 a ring of modes
        quarters = large.reshape(5, 2, n, 2, n).transpose(0, 1, 3, 2, 4)
        power = plain(quarters).mean(("a", "b", "c"))
        waves = power.wavenumber.values * 2 * n
        middle = (waves > 20) & (waves < 400)
        slope = np.polyfit(np.log(waves[middle]), np.log(power.values[middle]), 1)[0]
        assert slope == pytest.approx(-3, abs=0.05)

    @settings(max_examples=20)
    @given(
        arrays(np.float64, (5, 7), elements=st.floats(-10, 10)),
        st.sampled_from(["dct", "hann", None]),
        st.floats(-4, 4),
        st.floats(-50, 50),
    )
    def test_a_factor_is_squared_a_constant_does_not_count(self, values, window, factor, constant):
        power = plain(factor * values + constant, window=window)
        np.testing.assert_allclose(power, factor**2 * plain(values, window=window), atol=1e-9)


class TestAgainstPysteps:
    """Its means over rings of whole wavenumbers, of a square field, are our sums."""

    def values(self):
        y, x = np.mgrid[:16, :16]
        return (7 * y + 3 * x**2) % 11 + y / 2

    def ours(self):
        k = 16 * np.fft.fftfreq(16)
        ring = np.hypot(k[:, None], k).round()
        counts = np.array([(ring == r).sum() for r in range(1, 8)])
        return plain(self.values(), window=None).values[:-1] * 16**2 / counts

    def test_the_numbers_that_it_gave(self):
        np.testing.assert_allclose(self.ours(), RAPSD, rtol=1e-7)

    def test_itself(self):
        rapsd = pytest.importorskip("pysteps.utils.spectral").rapsd
        np.testing.assert_allclose(self.ours(), rapsd(self.values(), fft_method=np.fft)[1:])


def curvilinear(lat, lon):
    """Put fields at two-dimensional latitudes and longitudes."""
    coords = {
        "lat": (("y", "x"), lat, {"units": "degrees_north"}),
        "lon": (("y", "x"), lon, {"units": "degrees_east"}),
    }
    values = np.random.default_rng(0).random(lat.shape)
    return xr.DataArray(values, coords, ("y", "x"))


class TestTwoDimensionalCoordinates:
    def test_turned_against_the_meridians(self):
        i, j = np.mgrid[:8, :12]
        lat, lon = 0.03 * i - 0.04 * j, 179.9 + 0.04 * i + 0.03 * j  # a step of 0.05 degrees
        da = curvilinear(lat, (lon + 180) % 360 - 180)
        expected = spectrum(da.drop_vars(["lat", "lon"]), sides=("y", "x"), spacing_km=5.55975)
        np.testing.assert_allclose(spectrum(da), expected)
        np.testing.assert_allclose(spectrum(da).wavelength, expected.wavelength, rtol=1e-4)

    def test_are_those_of_one_dimension(self):
        lat, lon = np.meshgrid(60 + 0.1 * np.arange(-4, 4), 0.2 * np.arange(9), indexing="ij")
        flat = curvilinear(lat, lon).drop_vars(["lat", "lon"]).rename(y="lat", x="lon")
        flat = flat.assign_coords(lat=lat[:, 0], lon=lon[0])
        np.testing.assert_allclose(
            spectrum(curvilinear(lat, lon)).wavelength, spectrum(flat).wavelength, rtol=1e-4
        )

    def test_those_unknown_are_left_out(self):
        lat, lon = np.meshgrid(0.1 * np.arange(8), 0.1 * np.arange(8), indexing="ij")
        expected = spectrum(curvilinear(lat, lon)).wavelength
        lat[2, 3] = np.nan
        np.testing.assert_allclose(spectrum(curvilinear(lat, lon)).wavelength, expected, rtol=1e-6)
        with pytest.raises(InputError, match=r"no two neighbours along 'y'.*spacing_km="):
            spectrum(curvilinear(np.full_like(lat, np.nan), lon))

    def test_whose_steps_change_too_much_are_refused(self):
        lat, lon = np.meshgrid(0.1 * 1.2 ** np.arange(8), 0.1 * np.arange(8), indexing="ij")
        with pytest.raises(InputError, match=r"'y' goes from 2\.22 to 6\.64 km.*spacing_km=\(4\.1"):
            spectrum(curvilinear(lat, lon))

    def test_the_whole_earth_is_refused_a_belt_is_not(self):
        lat = np.linspace(-60, 88, 38)
        da = xr.DataArray(np.zeros((38, 90)), {"lat": lat, "lon": 4.0 * np.arange(90)})
        with pytest.raises(InputError, match=r"'lon' goes from 15\.5 to 445 km.*belt of latitudes"):
            spectrum(da)
        assert spectrum(da.sel(lat=slice(0, 56))).wavelength[0] > 2000

    def test_stations_are_refused(self):
        da = xr.DataArray(
            np.zeros(9), {"lat": ("site", range(9)), "lon": ("site", range(9))}, "site"
        )
        with pytest.raises(InputError, match="points without rows and columns"):
            spectrum(da)


@pytest.mark.parametrize("window", ["dct", "hann", None])
def test_a_field_without_rain_has_a_spectrum_of_zeros(window):
    dry = xr.zeros_like(field(time=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (spectrum(dry, window=window) == 0).all()
        assert (spectrum(dry.chunk(time=1), window=window).compute() == 0).all()


class TestLogSpectralDistance:
    def test_of_a_factor(self):
        obs = field(time=2)
        ens = xr.concat([obs, obs[::-1]], "sample") * np.sqrt(10)
        distance = log_spectral_distance(ens, obs)
        assert distance == pytest.approx(10.0, rel=1e-5)
        assert distance.units == "dB"
        assert log_spectral_distance(obs, obs) == 0

    def test_is_lazy_and_takes_datasets(self):
        obs = field(time=2)
        ens = xr.concat([2 * obs, 3 * obs], "number")
        with raise_if_dask_computes():
            lazy = log_spectral_distance(ens.chunk(number=1, y=3), obs.chunk(time=1))
        assert lazy.chunks is not None
        table = log_spectral_distance(ens.to_dataset(name="rain"), obs.to_dataset(name="rain"))
        xr.testing.assert_allclose(lazy, table.rain)

    def test_refuses_another_grid(self):
        with pytest.raises(InputError, match="'x' is 0 to 22000"):
            log_spectral_distance(field(), field().assign_coords(x=field().x + 500))

    def test_does_not_mind_oblong_fields_and_members_called_sample(self):
        obs = field(time=2).isel(x=slice(11))
        ens = xr.concat([obs, 2 * obs], "sample")
        expected = 10 * np.log10((1 + 4) / 2)
        assert log_spectral_distance(ens, obs) == pytest.approx(expected, rel=1e-6)

    def test_averages_before_the_logarithm(self):
        obs = xr.concat([field(), 0 * field()], "time")  # it rains at one time of two
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert log_spectral_distance(np.sqrt(10) * obs, obs) == pytest.approx(10, rel=1e-5)

    @pytest.mark.parametrize(("ens", "obs", "expected"), [(0, 1, np.inf), (0, 0, np.nan)])
    def test_without_rain(self, ens, obs, expected):
        for chunks in ({}, {"y": 2}):
            pair = (
                factor * field().chunk(chunks) if chunks else factor * field()
                for factor in (ens, obs)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                distance = log_spectral_distance(*pair).compute()
            np.testing.assert_equal(distance.item(), expected)

    def test_along_time_or_over_it(self):
        obs = field(time=3)
        ens = obs * xr.DataArray([1.0, 2.0, 4.0], dims="time")
        along = log_spectral_distance(ens, obs, dim=())
        assert along.dims == ("time",)
        np.testing.assert_allclose(along, 20 * np.log10([1, 2, 4]), atol=1e-5)
        xr.testing.assert_equal(along, log_spectral_distance(ens, obs, dim=("y", "x")))
        over = log_spectral_distance(ens, obs, dim="time")
        xr.testing.assert_equal(over, log_spectral_distance(ens, obs))

    def test_a_missing_field_leaves_its_counterpart_out(self):
        obs = field(time=2).copy()
        ens = xr.concat([2 * obs, 2 * obs], "member")
        ens[:, 1] *= 100
        obs[1, 3, 3] = np.nan
        assert log_spectral_distance(ens, obs) == pytest.approx(20 * np.log10(2), rel=1e-6)
        assert log_spectral_distance(ens, obs, skipna=False).isnull()
        ens[1, 0, 0, 0] = np.nan
        assert log_spectral_distance(ens, obs).isnull()

    def test_weights_are_of_fields(self):
        obs = field(time=2)
        ens = obs * xr.DataArray([2.0, 100.0], dims="time")
        weights = xr.DataArray([1.0, 0.0], dims="time")
        distance = log_spectral_distance(ens, obs, weights=weights)
        assert distance == pytest.approx(20 * np.log10(2), rel=1e-6)
        with pytest.raises(InputError, match=r"weights along \('y',\) cannot count.*weights=None"):
            log_spectral_distance(ens, obs, weights=xr.ones_like(obs.y))

    def test_beside_a_reference_with_an_interval(self):
        obs = field(time=6)
        both = log_spectral_distance(2 * obs, obs, reference=4 * obs, ci=0.9)
        values = both.sel(bound="estimate")
        np.testing.assert_allclose(values, [20 * np.log10(2), 20 * np.log10(4), 0.5], rtol=1e-6)
        np.testing.assert_allclose(both, values.broadcast_like(both), rtol=1e-6)

    def test_leaves_out_variables_that_are_not_on_the_plane(self):
        obs = field(time=2).to_dataset().assign(mean=("time", [0.0, 1.0]))
        assert list(log_spectral_distance(obs, obs)) == ["rain"]

    def test_large_data_in_memory_are_as_lazy_ones(self, monkeypatch):
        monkeypatch.setattr("xresdiff.verify.pieces.PIECE_VALUES", 64)
        obs, ens = field(time=3), field(member=2, time=3) ** 2
        lazy = log_spectral_distance(ens.chunk(time=1), obs, dim="time").compute()
        xr.testing.assert_allclose(log_spectral_distance(ens, obs, dim="time"), lazy)


@pytest.mark.parametrize(("units", "squared"), [("1", "1"), ("%", "%2"), ("", None), ("K", "K2")])
def test_units_are_squared(units, squared):
    power = spectrum(field(units=units), sides=("y", "x"), spacing_km=1.0)
    assert power.attrs.get("units") == squared


def test_the_slope_of_small_fields_is_as_the_notes_say():
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    k[0, 0] = np.inf
    noise = np.random.default_rng(0).standard_normal((40, 128, 128))
    waves = np.fft.ifft2(np.fft.fft2(noise) * k**-2).real[:, :64, :64]  # not periodic
    power = spectrum(
        xr.DataArray(waves, dims=("time", "y", "x")), sides=("y", "x"), spacing_km=1.0
    ).mean("time")[4:-20]
    slope = np.polyfit(np.log(power.wavenumber), np.log(power), 1)[0]
    assert slope == pytest.approx(-3, abs=0.15)


def test_members_may_lie_along_any_dimension_but_its_own():
    ens, obs = field(member=3, time=2), field(time=2) * 2
    wanted = log_spectral_distance(ens, obs)
    for name in ("part", "_member", "quantile"):
        found = log_spectral_distance(ens.rename(member=name), obs, member_dim=name)
        xr.testing.assert_allclose(found, wanted)
    with pytest.raises(InputError, match=r"rename\(part='other'\)"):
        log_spectral_distance(ens.rename(time="part"), obs.rename(time="part"))
    for name in ("wavenumber", "wavelength"):
        with pytest.raises(InputError, match=f"rename\\({name}='other'"):
            spectrum(ens.rename(member=name))
