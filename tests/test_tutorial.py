"""The stochastic rain: deterministic, labelled, and of the statistics that its page claims."""

import numpy as np
import pytest
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.tutorial import rain_field, rain_pair


@pytest.fixture(scope="module")
def fields():
    """Thirty-two fields of as many seeds, (seed, y, x)."""
    return np.concatenate([rain_field(times=1, seed=seed).precip_rate for seed in range(32)])


def test_the_same_seed_gives_the_same_rain():
    xr.testing.assert_identical(
        rain_field(times=1, shape=(32, 48), seed=3), rain_field(times=1, shape=(32, 48), seed=3)
    )


def test_another_seed_gives_other_rain():
    first, second = (rain_field(times=1, seed=seed).precip_rate for seed in (0, 1))
    assert abs(np.corrcoef(first.values.ravel(), second.values.ravel())[0, 1]) < 0.3


def test_a_time_does_not_depend_on_the_others():
    three = rain_field(times=3, shape=(64, 64), seed=1)
    last = rain_field(times=three.time.values[2:], shape=(64, 64), seed=1)
    xr.testing.assert_identical(last, three.isel(time=slice(2, None)))


def test_times_before_1970_and_in_any_unit():
    rain = rain_field(times=["1950-01-01", "2100-06-01T06:00"], shape=(32, 32))
    assert rain.sizes["time"] == 2
    assert np.isfinite(rain.precip_rate).all()


def test_numpy_integers_count_times():
    assert rain_field(times=np.int64(2), shape=(8, 8)).sizes["time"] == 2
    with pytest.raises(InputError, match="there is no time"):
        rain_field(times=np.int64(0), shape=(8, 8))


def test_rain_is_intermittent(fields):
    wet = (fields > 0.1).mean((1, 2))
    assert 0.15 < wet.mean() < 0.30
    assert wet.min() < 0.15  # some weather is drier
    assert np.all((fields == 0) | (fields >= 0.1))


def test_rain_is_skewed(fields):
    assert 20 < np.quantile(fields, 0.999) < 60
    assert fields.max() < 150
    assert np.median(fields[fields > 0.1]) < fields[fields > 0.1].mean() / 2


def test_spectrum_falls_as_radar_rain_does(fields):
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    window = np.outer(np.hanning(256), np.hanning(256))
    power = (np.abs(np.fft.fft2(fields * window)) ** 2).mean(0)
    inside = (frequency >= 1 / 16) & (frequency <= 1 / 3)
    edges = np.geomspace(1 / 16, 1 / 3, 12)
    ring = np.digitize(frequency[inside], edges)
    level = [np.log(power[inside][ring == k].mean()) for k in range(1, 12)]
    centres = np.log(edges[:-1] * edges[1:]) / 2
    slope = np.polyfit(centres, level, 1)[0]
    assert -3.2 < slope < -2.2


def test_rain_moves_and_changes():
    rain = np.sqrt(rain_field(times=2, seed=1).precip_rate.values)
    pattern = rain - rain.mean((1, 2), keepdims=True)
    spectrum = np.fft.fft2(pattern)
    covariance = np.fft.ifft2(spectrum[0].conj() * spectrum[1]).real
    norm = np.sqrt((pattern[0] ** 2).sum() * (pattern[1] ** 2).sum())
    shift = np.unravel_index(covariance.argmax(), covariance.shape)
    distance = np.hypot(*[min(n, 256 - n) for n in shift])
    assert 3 <= distance <= 12  # 40 km/h is 6.7 km in ten minutes
    assert 0.7 < covariance.max() / norm < 0.99


def test_labels_follow_cf():
    rain = rain_field(times=2, shape=(20, 30), spacing_km=2.0)
    assert rain.precip_rate.dims == ("time", "y", "x")
    assert rain.precip_rate.dtype == np.float32
    assert rain.precip_rate.attrs["standard_name"] == "lwe_precipitation_rate"
    assert rain.precip_rate.attrs["units"] == "mm h-1"
    assert rain.crs.attrs["grid_mapping_name"] == "lambert_azimuthal_equal_area"
    assert float(rain.x[1] - rain.x[0]) == 2000.0
    assert float(rain.lat.mean()) == pytest.approx(47.0, abs=0.1)
    assert float(rain.lon.mean()) == pytest.approx(8.0, abs=0.1)


def test_labels_survive_netcdf_and_zarr(tmp_path):
    rain = rain_field(times=2, shape=(20, 30))
    rain.to_netcdf(tmp_path / "rain.nc")
    rain.to_zarr(tmp_path / "rain.zarr", zarr_format=3, consolidated=False)
    xr.testing.assert_equal(xr.load_dataset(tmp_path / "rain.nc"), rain)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "rain.zarr", consolidated=False).load(), rain)


def test_the_coarse_rain_is_the_block_mean():
    coarse, fine = rain_pair(times=1, shape=(64, 96), seed=2)
    blocks = fine.precip_rate.values.reshape(1, 4, 16, 6, 16).mean((2, 4))
    np.testing.assert_allclose(coarse.precip_rate, blocks, rtol=1e-5)
    np.testing.assert_allclose(coarse.x[0], fine.x[:16].mean())
    assert coarse.precip_rate.attrs["units"] == "mm h-1"
    assert fine.precip_rate.attrs["cell_methods"] == "time: point"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"times": 0}, r"no time in times=0; type times=1"),
        ({"times": []}, r"no time in times=\[\]"),
        ({"shape": (0, 8)}, r"shape=\(0, 8\) is not two positive numbers"),
        ({"spacing_km": 0.0}, r"spacing_km=0.0 is not positive"),
    ],
)
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        rain_field(**wrong)


def test_a_shape_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match="multiples of the factor 16"):
        rain_pair(shape=(60, 96))
