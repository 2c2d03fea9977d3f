"""Spectra are labelled in km, sum to the variance, and compute nothing."""

import numpy as np
import pytest
import xarray as xr

from tests.helpers import raise_if_dask_computes
from xresdiff.errors import InputError
from xresdiff.verify.spectra import log_spectral_distance, spectrum


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
    xr.testing.assert_allclose(spectrum(bare, dim=("j", "i"), spacing_km=2.0), expected)
    xr.testing.assert_allclose(spectrum(da, dim=("x", "y")), expected)
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
        (field(time=5), {"dim": ("time", "x")}, r"are \('y', 'x'\), not \('time', 'x'\)"),
        (field(), {"dim": ("j", "i"), "spacing_km": 1.0}, r"no dimensions \['j', 'i'\]"),
        (field(), {"window": "hamming"}, "window='dct', 'hann' or None, not 'hamming'"),
    ],
)
def test_refuses_what_has_no_spectrum(da, options, message):
    with pytest.raises(InputError, match=message):
        spectrum(da, **options)


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
