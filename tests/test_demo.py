"""The demo's parts, with a stand-in for the model: what it chooses, measures, writes and prints."""

import numpy as np
import pytest
import xarray as xr

from tests.toys import write_toy_package
from xresdiff import demo
from xresdiff.errors import InputError, StoreError
from xresdiff.grids.coarsen import coarsen
from xresdiff.tutorial import rain_field, rain_pair


@pytest.fixture(autouse=True)
def no_model(monkeypatch, tmp_path):
    """Members are the bilinear field times noise of mean one."""
    toy = write_toy_package(tmp_path / "toy")

    def downscale(ds, *, members, model, steps, seed):
        fine = rain_field(times=ds.time.values, shape=tuple(16 * ds.sizes[d] for d in "yx"))
        field = demo.bilinear(ds.precip_rate, fine)
        noise = np.random.default_rng(seed).gamma(2, 0.5, (members, *field.shape)).astype("f4")
        member = ("member", np.arange(members), {"standard_name": "realization"})
        rain = xr.DataArray(noise, dims=("member", *field.dims)) * field
        rain.attrs = field.attrs
        return xr.Dataset({"precip_rate": rain}, {"member": member}, {"xresdiff_seed": seed})

    monkeypatch.setattr(demo, "downscale", downscale)
    monkeypatch.setattr(demo, "open_model", lambda name: toy)


@pytest.fixture
def case():
    coarse, truth = rain_pair(times=2, shape=(64, 96))
    return demo.Case(coarse.precip_rate, truth.precip_rate)


def test_the_case_made_here_is_a_pair():
    case = demo.made_here()
    assert dict(case.coarse.sizes) == {"time": 4, "y": 16, "x": 16}
    assert dict(case.truth.sizes) == {"time": 4, "y": 256, "x": 256}


def test_a_fine_dataset_is_the_truth_and_its_block_means_the_input():
    fine = rain_field(times=6, shape=(330, 290))
    case = demo.of_dataset(fine)
    assert dict(case.coarse.sizes) == {"time": 4, "y": 16, "x": 16}
    xr.testing.assert_allclose(coarsen(case.truth, 16), case.coarse)


def test_a_coarse_dataset_has_no_truth():
    coarse, _ = rain_pair(times=2, shape=(160, 320))
    case = demo.of_dataset(coarse)
    assert case.truth is None
    assert dict(case.coarse.sizes) == {"time": 2, "y": 10, "x": 16}


def test_the_window_is_the_wettest_without_missing_values():
    rain = xr.zeros_like(rain_pair(times=1, shape=(640, 640))[0])
    rain.precip_rate[0, 30, 30] = 9.0
    rain.precip_rate[0, 30, 39] = np.nan
    rain.precip_rate[0, 4, 5] = 1.0
    case = demo.of_dataset(rain)
    assert case.coarse.max() == 9.0
    assert not case.coarse.isnull().any()


def test_units_and_names_are_those_of_the_model():
    coarse, _ = rain_pair(times=1, shape=(64, 64))
    flux = (coarse / 3600).rename(precip_rate="pr")
    flux.pr.attrs = {"units": "kg m-2 s-1"}
    case = demo.of_dataset(flux)
    assert case.coarse.name == "precip_rate"
    np.testing.assert_allclose(case.coarse, coarse.precip_rate, rtol=1e-5)


@pytest.mark.parametrize("spacing", [0.25, 2.0, 4.0, 40.0])
def test_spacings_that_fit_neither_the_truth_nor_the_input_are_refused(spacing):
    with pytest.raises(InputError, match=rf"0.8 to 1.2 km.* 12 to 20 km.* is of {spacing:g} x"):
        demo.of_dataset(rain_field(times=1, shape=(64, 64), spacing_km=spacing))


def test_data_without_rain_are_refused():
    with pytest.raises(InputError, match=r"no rain rate: found \['t'\], needed one called 'precip"):
        demo.of_dataset(xr.Dataset({"t": ("x", [1.0])}))


def test_bilinear_is_exact_on_a_plane(case):
    plane = case.coarse.isel(time=0).copy(data=np.add.outer(np.arange(4.0), np.arange(6.0)))
    fine = demo.bilinear(plane, case.truth.to_dataset())
    y, x = ((case.truth[d] - plane[d][0]) / 16000 for d in "yx")
    expected = y.clip(0, 3) + x.clip(0, 5)
    np.testing.assert_allclose(fine, expected, atol=1e-12)
    assert fine.dims == ("y", "x")
    np.testing.assert_array_equal(fine.lat, case.truth.lat)


def test_the_table_holds_what_was_measured(case):
    result = demo.downscaled(case, members=4)
    text = demo.table(result)
    rows = {line[:-36].strip(): line[-36:].split() for line in text.splitlines()[1:]}
    assert text.splitlines()[0].split() == ["truth", "ensemble", "bilinear"]
    mean = result.bilinear.astype("f8")
    assert float(rows["RMSE of the mean (mm h-1)"][2]) == pytest.approx(
        float(((mean - case.truth) ** 2).mean() ** 0.5), abs=1e-3
    )
    assert rows["CRPS, fair (mm h-1)"][2] == rows["MAE of the mean (mm h-1)"][2]
    assert rows["spread / error of the mean"][2] == "-"
    wet = float(rows["wet area, over 0.1 mm h-1 (%)"][0])
    assert wet == pytest.approx(100 * float((case.truth > 0.1).mean()), abs=1e-3)
    assert float(rows["seconds per member"][1]) >= 0


def test_without_truth_the_table_has_what_needs_none(case):
    text = demo.table(demo.downscaled(demo.Case(case.coarse, None), members=2))
    assert text.splitlines()[0].split() == ["ensemble", "bilinear"]
    assert "CRPS" not in text
    assert "error of the block means" in text


@pytest.mark.parametrize("known", [True, False])
def test_store_and_figures_are_written(tmp_path, case, known):
    case = case if known else demo.Case(case.coarse, None)
    result = demo.downscaled(case, members=4)
    paths = demo.save(result, tmp_path / "new")
    xr.testing.assert_equal(xr.open_zarr(paths[0]).load(), result.ensemble)
    assert [path.name for path in paths[1:]] == ["members.png", "spectrum.png"]
    assert all(path.stat().st_size > 10_000 for path in paths[1:])


def test_the_ensemble_of_another_run_stays(tmp_path, case):
    demo.save(demo.downscaled(case, members=4), tmp_path)
    with pytest.raises(StoreError, match="xresdiff_seed is 0 there, 1 here"):
        demo.save(demo.downscaled(case, members=4, seed=1), tmp_path)
