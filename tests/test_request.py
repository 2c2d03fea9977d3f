"""What does not fit is refused in one message: what was found, what is needed, what to type."""

import dataclasses
import shutil

import numpy as np
import pytest
import xarray as xr

from tests.toys import PRECIP_RATE, write_toy_model
from xresdiff.downscale import downscale
from xresdiff.engine.request import Arguments, check_request
from xresdiff.errors import InputError, ModelError, StoreError, UnitsError
from xresdiff.models import zoo
from xresdiff.models.parts import Channel
from xresdiff.store import to_zarr


def refusal(ds, model, error=InputError, **arguments):
    """Return the message with which a call is refused."""
    with pytest.raises(error) as caught:
        downscale(ds, model=model, **arguments)
    assert caught.type is error
    return str(caught.value)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_missing_variable(coarse, toy, lazy):
    coarse = coarse.drop_vars("precip_rate").assign(t2m=(("y", "x"), np.zeros((6, 5))))
    message = refusal(coarse.chunk() if lazy else coarse, toy)
    assert "'precip_rate' (standard name 'lwe_precipitation_rate', mm h-1) is missing" in message
    assert "has 't2m'" in message
    assert "ds.rename({'t2m': 'precip_rate'})" in message


def test_the_likeliest_variable_is_named(coarse, toy):
    bare = coarse.precip_rate.drop_attrs()
    named = {"t2m": bare.assign_attrs(units="K"), "rain": bare.assign_attrs(units="mm/day")}
    message = refusal(coarse.drop_vars("precip_rate").assign(named), toy)
    assert "has 't2m', 'rain'" in message
    assert "ds.rename({'rain': 'precip_rate'})" in message


def test_nothing_at_all(coarse, toy):
    message = refusal(coarse.drop_vars("precip_rate"), toy)
    assert "is missing; the Dataset has none" in message


def test_a_variable_of_other_units(coarse, toy):
    coarse.precip_rate.attrs["units"] = "K"
    message = refusal(coarse, toy, UnitsError)
    assert "'precip_rate' is in 'K', which does not convert to the 'mm h-1' needed" in message


def test_an_amount_in_place_of_a_rate(coarse, toy):
    coarse.precip_rate.attrs["units"] = "mm"
    message = refusal(coarse, toy, UnitsError)
    assert "is an amount in 'mm', a rate in 'mm h-1' is needed" in message
    assert 'ds.resdiff.downscale(accumulation="10min")' in message


def test_units_that_are_not_told_are_assumed_with_a_warning(coarse, toy):
    del coarse.precip_rate.attrs["units"]
    with pytest.warns(UserWarning, match="has no units, 'mm h-1' is assumed") as warned:
        downscale(coarse, model=toy, members=1, steps=1)
    assert len(warned) == 1


def test_units_are_looked_at_without_reading_values(coarse, toy, no_compute):
    coarse.precip_rate.attrs["units"] = "K"
    refusal(coarse.chunk(), toy, UnitsError)


def test_no_spatial_coordinates(coarse, toy):
    bare = coarse.drop_vars(["y", "x", "lat", "lon"]).rename(y="j", x="i")
    message = refusal(bare, toy)
    assert "no horizontal coordinates: the dims are 'time', 'j', 'i'" in message
    assert "ds.assign_coords(lat=('j', [...]), lon=('i', [...]))" in message


def test_uneven_spacing(coarse, toy):
    y = coarse.y.values.copy()
    y[3] += 4000
    message = refusal(coarse.assign_coords(y=("y", y, coarse.y.attrs)), toy)
    assert "the spacing of 'y' changes from" in message
    assert "ds.interp({'y': np.linspace(" in message


@pytest.mark.parametrize("scale", [0.25, 2.0])
def test_a_spacing_far_from_the_models(coarse, toy, scale):
    attrs = {d: coarse[d].attrs for d in ("y", "x")}
    ds = coarse.assign_coords({d: (d, coarse[d].values * scale, attrs[d]) for d in ("y", "x")})
    message = refusal(ds, toy)
    assert f"the spacing of the grid is {16 * scale:g} x {16 * scale:g} km" in message
    assert "toy takes 12 to 20 km, best 16" in message


def test_coordinates_without_a_unit_of_length(coarse, toy):
    ds = coarse.drop_vars(["lat", "lon", "crs"])
    for d in ("y", "x"):
        ds[d].attrs = {}
    assert "have no unit of length" in refusal(ds, toy)


def test_a_single_row(coarse, toy):
    assert "'y' has 1 value; a spacing needs two or more" in refusal(coarse.isel(y=[0]), toy)


def test_a_grid_that_reaches_beyond_a_pole(coarse, toy, no_compute):
    coords = {"lat": 90 - 0.15 * np.arange(6), "lon": 22.0 * np.arange(5)}
    rain = coarse.precip_rate.chunk().variable
    ds = xr.Dataset({"precip_rate": (("time", "lat", "lon"), rain.data, rain.attrs)}, coords)
    assert "the cells at 'lat' = 90 reach beyond a pole" in refusal(ds, toy)


@pytest.mark.parametrize("lazy", [False, True])
def test_no_time(coarse, toy, lazy):
    none = coarse.isel(time=slice(0))
    message = refusal(none.chunk() if lazy else none, toy)
    assert "there is nothing along 'time': its size is 0" in message


@pytest.mark.parametrize("members", [0, -3, 2.5, 2.0, True, "four", None])
def test_members_that_are_no_number_of_members(coarse, toy, members):
    message = refusal(coarse, toy, members=members)
    assert f"members is {members!r}; it is a whole number of at least 1" in message


@pytest.mark.parametrize("steps", [0, -1, 1.5])
def test_steps_that_are_no_number_of_steps(coarse, toy, steps):
    assert f"steps is {steps!r}; it is a whole number" in refusal(coarse, toy, steps=steps)


@pytest.mark.parametrize("seed", [-1, 0.5, None, 2**63])
def test_seeds_that_files_cannot_keep(coarse, toy, seed):
    assert f"seed is {seed!r}; it is a whole number from 0" in refusal(coarse, toy, seed=seed)


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("stage", "residual", "'both', 'mean'"),
        ("sampler", "ddim", "'dpmpp_2m', 'euler', 'heun', 'stochastic'"),
        ("precision", "float16", "'auto', 'float32', 'bfloat16'"),
        ("device", "tpu", "'auto', 'cpu', 'mps', 'cuda' or 'cuda:1'"),
    ],
)
def test_words_that_are_not_known(coarse, toy, name, value, known):
    message = refusal(coarse, toy, **{name: value})
    assert f"{name} is {value!r}" in message
    assert known in message


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ({"tme": 4}, "there are no chunks along 'tme', but along 'member', 'time'"),
        ({"y": 2}, "there are no chunks along 'y', but along 'member', 'time'; fields stay whole"),
        ({"time": 0}, "the chunks along 'time' are 0"),
        ({"member": 2.5}, "the chunks along 'member' are 2.5"),
        ("auto", "chunks is 'auto'; it is a mapping, such as {'member': 4}"),
    ],
)
def test_chunks_that_cannot_be(coarse, toy, chunks, told):
    assert told in refusal(coarse.chunk(), toy, chunks=chunks)


def test_both_names_of_members_taken(coarse, toy):
    taken = coarse.expand_dims(member=[0, 1], sample=[0])
    assert "ds.rename({'sample': 'draw'})" in refusal(taken, toy)


def test_an_array_in_place_of_a_dataset(coarse, toy):
    message = refusal(coarse.precip_rate, toy)
    assert "cannot downscale a DataArray; a Dataset is needed: da.to_dataset()" in message


def test_a_variable_beside_the_grid(coarse, toy):
    ds = coarse.assign(precip_rate=coarse.precip_rate.mean("y", keep_attrs=True))
    assert "'precip_rate' does not run along ('y', 'x')" in refusal(ds, toy)


def test_two_variables_of_the_standard_name(coarse, toy):
    ds = coarse.rename(precip_rate="a").assign(b=coarse.precip_rate)
    assert "ds.rename({'a': 'precip_rate'})" in refusal(ds, toy)


def test_wind_is_not_taken_for_rain(coarse, toy):
    wind = coarse.precip_rate.rename("u10")
    wind.attrs = {"units": "m s-1", "long_name": "10 metre U wind component"}
    assert "rename" not in refusal(wind.to_dataset(), toy)
    rain = wind.rename("rr").assign_attrs(long_name="rainfall rate")
    assert "ds.rename({'rr': 'precip_rate'})" in refusal(rain.to_dataset(), toy)


def test_every_problem_comes_in_one_message(coarse, toy):
    coarse.precip_rate.attrs["units"] = "K"
    y = coarse.y.values.copy()
    y[3] += 4000
    ds = coarse.assign_coords(y=("y", y, coarse.y.attrs)).isel(time=slice(0))
    message = refusal(ds, toy, members=0, steps=0, sampler="ddim", chunks={"z": 1})
    first, *problems = message.splitlines()
    assert first == "cannot downscale with toy, for 7 reasons:"
    found = ("members is 0", "steps is 0", "sampler is", "'z'", "'time'", "of 'y'", "'K'")
    for problem, part in zip(problems, found, strict=True):
        assert problem.startswith("  - ")
        assert part in problem


def test_several_problems_of_units_are_a_units_error(coarse, tmp_path):
    wind = Channel("u10", "eastward_wind", "m s-1")
    inputs = (PRECIP_RATE, wind)
    model = write_toy_model(tmp_path / "two", inputs=inputs)
    ds = coarse.assign(u10=coarse.precip_rate.assign_attrs(units="Pa"))
    ds.precip_rate.attrs["units"] = "K"
    assert "for 2 reasons" in refusal(ds, model, UnitsError)


def test_an_unknown_model(coarse):
    message = refusal(coarse, "rain-17x", ModelError)
    assert "no model is called 'rain-17x'" in message
    assert all(name in message for name in zoo.names())


@pytest.mark.parametrize("file", ["mean.safetensors", "residual.safetensors"])
def test_a_damaged_model(coarse, toy, tmp_path, file):
    folder = shutil.copytree(toy.path, tmp_path / "toy")
    data = bytearray((folder / file).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / file).write_bytes(data)
    message = refusal(coarse, folder, ModelError)
    assert f"{file} of the model {folder} is damaged" in message
    assert "sha256" in message


def test_a_model_changed_since_the_graph_was_built(coarse, toy, tmp_path):
    folder = shutil.copytree(toy.path, tmp_path / "toy")
    lazy = downscale(coarse.chunk(), model=folder, members=1, steps=1)
    write_toy_model(folder, seed=1)
    with pytest.raises(ModelError, match="not the one that this graph was built with"):
        lazy.compute(scheduler="synchronous")


def test_output_that_cannot_be_written(coarse, toy, tmp_path):
    lazy = downscale(coarse.chunk(), model=toy, members=1, steps=1)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="file"):
        to_zarr(lazy, tmp_path / "file" / "ens.zarr")


def test_a_sampler_card_sets_everything_of_the_sampler(toy, coarse):
    own = dataclasses.replace(toy.card.sampler, name="stochastic", churn=3.0, sigma_max=5.0)
    settings = check_request(coarse, toy, Arguments(sampler=own, steps=7)).settings
    assert settings.sampler == dataclasses.replace(own, steps=7)


def test_a_sampler_card_that_breaks_rules(coarse, toy):
    own = dataclasses.replace(toy.card.sampler, churn=3.0)
    for name, value in {"name": "ddim", "steps": 0, "sigma_max": 1e-9, "churn": -1.0}.items():
        object.__setattr__(own, name, value)
    message = refusal(coarse, toy, sampler=own)
    assert "for 4 reasons" in message
    assert "sampler.steps: 0 must be positive" in message


def test_stochastic_without_churn(coarse, toy):
    message = refusal(coarse, toy, sampler="stochastic")
    assert "type sampler=dataclasses.replace(" in message
    assert "name='stochastic', churn=10.0)" in message


@pytest.mark.parametrize("attrs", [{"scale_factor": 0.1}, {"_FillValue": -9999}])
def test_packed_data_are_to_be_decoded(coarse, toy, attrs):
    packed = (coarse.precip_rate * 10).astype("i2").assign_attrs(units="mm h-1", **attrs)
    ds = coarse.assign(precip_rate=packed)
    message = refusal(ds, toy)
    assert "is packed" in message
    assert "ds = xr.decode_cf(ds)" in message
    downscale(xr.decode_cf(ds), model=toy, members=1, steps=1)


def test_names_of_times_are_not_proposed_for_rain(coarse, toy):
    times = (("time", "y"), np.full((3, 6), "2024"))
    ds = coarse.drop_vars("precip_rate").assign(Times=times)
    assert "none of them in units of it" in refusal(ds, toy)


def test_a_global_input_is_asked_for_a_region(toy):
    lat, lon = np.arange(-89.9, 90, 0.25), np.arange(0, 360, 0.25)
    rain = (
        ("lat", "lon"),
        np.broadcast_to(np.float32(1), (lat.size, lon.size)),
        {"units": "mm h-1"},
    )
    message = refusal(xr.Dataset({"pr": rain}, {"lat": lat, "lon": lon}), toy)
    assert "xresdiff.target_grid(lat=(50, 55), lon=(0, 8), spacing_km=4)" in message


def test_a_reason_is_told_once(coarse, toy):
    message = refusal(coarse, toy, accumulation="hourly")
    assert message.count("hourly") == 1
