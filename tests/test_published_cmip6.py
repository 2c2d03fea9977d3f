"""CorrDiff CMIP6-ERA5 gives here what it gives in NVIDIA's Earth2Studio, and spoils no input.

``tests/data/earth2studio/cmip6.npz`` holds what Earth2Studio 0.19.0 gave for the package of
``imitation_cmip6.py``, see ``record_cmip6.py`` there.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import xresdiff
from tests import imitation_cmip6 as im
from tests.imitations import DATA
from xresdiff.engine import runtime
from xresdiff.engine.fixed import Fixed
from xresdiff.errors import InputError, ModelError
from xresdiff.models.card import Extra, ModelCard
from xresdiff.models.opening import open_model
from xresdiff.models.published import cmip6, cmip6_variables

NEAR = 1e-4  # of the range of a field


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return im.write_cmip6(tmp_path_factory.mktemp("published") / "cmip6")


@pytest.fixture(scope="module")
def card(package: Path) -> ModelCard:
    return cmip6.translate(package, "cmip6").card


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    with np.load(DATA / "cmip6.npz") as file:
        return dict(file)


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Hold fields ``(..., c, y, x)`` against each other, by the range of each channel."""
    axes = tuple(axis for axis in range(theirs.ndim) if axis != theirs.ndim - 3)
    spread = np.ptp(theirs.astype(np.float64), axis=axes, keepdims=True)
    assert np.abs((ours - theirs) / spread).max() < NEAR


def seconds(theirs: dict[str, np.ndarray]) -> np.ndarray:
    hours = im.DAYS[theirs["day"]].to_numpy() + theirs["hours"].astype("m8[h]")
    return hours.astype("M8[s]").astype(np.float64)


def test_the_networks_are_told_what_earth2studio_tells_them(package, theirs):
    domain, day = Fixed(open_model(package)), int(theirs["day"])
    fields = np.nan_to_num(im.days()[day - 1 : day + 2, :, ::-1])  # rows from the north
    coarse = torch.from_numpy(fields.transpose(1, 0, 2, 3).reshape(1, -1, *fields.shape[-2:]))
    moments = torch.tensor([[seconds(theirs)[0], 0.0]], dtype=torch.float64)
    told = domain.condition(domain.enter(coarse), moments)[0, :, ::7, ::7]
    np.testing.assert_allclose(told, theirs["told"], rtol=0, atol=2e-5)


def with_their_noise(monkeypatch: pytest.MonkeyPatch, theirs: dict[str, np.ndarray]) -> None:
    """Let the engine draw what Earth2Studio drew, for every hour and member."""

    def normal_field(seed, labels, member, draw, shape, *origin):
        generator = torch.Generator().manual_seed(int(theirs["seed"]))
        field = torch.randn(shape, generator=generator).numpy()
        np.testing.assert_array_equal(field[0, 0, :8], theirs["latents"][0])
        return field

    monkeypatch.setattr(runtime, "normal_field", normal_field)


def picked(fine: xr.Dataset, theirs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the recorded hours and pixels, ``(hour, c, y, x)``, rows from the south."""
    fine = fine.sortby("lat").sel(time=seconds(theirs).astype("M8[s]").astype("M8[ns]"))
    fields = []
    for name in im.OUTPUTS:
        quantity = name.rstrip("0123456789")
        one = fine[quantity] if quantity in fine else fine[name]
        if "pressure" in one.dims:
            one = one.sel(pressure=float(name.removeprefix(quantity)))
        values = one.transpose("time", "lat", "lon").values
        # the wrapper keeps it above zero, though it is below in every low
        fields.append(np.maximum(values, 0) if name == "z1000" else values)
    every = int(theirs["every"])
    return np.stack(fields, axis=1)[..., ::every, ::every]


def downscaled(ds: xr.Dataset, package: Path, **own) -> xr.Dataset:
    return xresdiff.downscale(ds, model=package, device="cpu", precision="float32", **own)


def hours_of(theirs: dict[str, np.ndarray]) -> list[int]:
    return [int(hour) + 12 for hour in theirs["hours"]]


@pytest.mark.slow
def test_downscaling_days_gives_what_earth2studio_gives(package, theirs, monkeypatch):
    with_their_noise(monkeypatch, theirs)
    ds = im.cmip6().isel(time=slice(0, 3)).chunk(time=1)
    fine = downscaled(ds, package, members=1)
    assert fine.sizes["time"] == 24
    some = fine.isel(time=hours_of(theirs)).isel(member=0).compute()
    assert_near(picked(some, theirs), theirs["members"])


def test_the_mean_is_that_of_earth2studio(package, theirs):
    ds = im.cmip6().isel(time=slice(0, 3)).chunk(time=1)
    fine = downscaled(ds, package, stage="mean")
    assert_near(picked(fine.isel(time=hours_of(theirs)).compute(), theirs), theirs["means"])


def test_the_input_stays_as_it_was(package):
    ds = im.cmip6().isel(time=slice(0, 3))
    before = ds.copy(deep=True)
    downscaled(ds.chunk(time=1), package, stage="mean").isel(time=[3, 4]).compute()
    xr.testing.assert_identical(ds, before)


def test_days_of_a_calendar_become_hours_of_it(package):
    ds = im.cmip6("360_day").chunk(time=1)
    fine = downscaled(ds, package, stage="mean")
    assert fine["time"].dt.calendar == "360_day"
    times = fine["time"].values
    assert [str(times[0]), str(times[-1])] == ["2015-02-28 00:00:00", "2015-02-29 23:00:00"]
    hour = fine["t2m"].isel(time=24)
    assert str(hour["time"].values) == "2015-02-29 00:00:00"
    assert np.isfinite(hour.compute()).all()


def test_days_without_neighbours_are_refused(package):
    with pytest.raises(InputError, match="no time of 'time' has fields -24 h, 0 h and"):
        downscaled(im.cmip6().isel(time=[0, 1]), package)


def test_days_at_midnight_are_refused(package):
    ds = im.cmip6()
    ds = ds.assign_coords(time=ds["time"] - np.timedelta64(12, "h"))
    with pytest.raises(InputError, match="must be those of daily fields, 12:00 UTC"):
        downscaled(ds, package)


# --- the card


def test_inputs_are_the_three_days_of_one_variable_then_of_the_next(card):
    keys = [(channel.label, channel.offset_h) for channel in card.inputs]
    assert keys[:6] == [("siconc", h) for h in (-24, 0, 24)] + [("tas", h) for h in (-24, 0, 24)]
    assert keys[9] == ("zg at 500 hPa", -24.0)
    assert [channel.missing for channel in card.inputs[::3]] == [0.0, None, 0.0, None, None]
    assert card.sea_ice_cover
    assert card.hours == tuple(range(-12, 12))


def test_the_hour_stands_in_the_place_of_the_last_invariant_with_its_scale(card):
    assert card.extras == (
        Extra("cos_zenith", "", 0.05, 0.45),
        Extra("static", "orography", 400.0, 600.0),
        Extra("static", "lsm", 0.4, 0.5),
        Extra("hour_of_day", "", 0.6, 0.3),
        Extra("hour_of_day", "", 11.5, 6.9),
    )


def test_outputs_are_bounded_as_by_the_wrapper_but_for_z_at_1000_hPa(card):
    bounds = {channel.label: channel.minimum for channel in card.outputs}
    assert bounds == {
        "u10m": None,
        "t2m": 0.0,
        "z at 1000 hPa": None,
        "q at 850 hPa": 0.0,
        "tcwv": 0.0,
    }


def test_the_sampler_is_heun_from_400_to_1_unless_told_otherwise(tmp_path, card):
    sampler = card.sampler
    assert (sampler.name, sampler.steps) == ("heun", 3)
    assert (sampler.sigma_min, sampler.sigma_max) == (1.0, 400.0)
    own = im.write_cmip6(tmp_path / "own", number_of_steps=None, sigma_max=80.0, sigma_min=0.5)
    told = cmip6.translate(own, "own").card.sampler
    assert (told.steps, told.sigma_min, told.sigma_max) == (18, 0.5, 80.0)


# The order of the published metadata.json, as a test of an application of the model lists it.
PUBLISHED = """
va10 vas prc ua10 ta850 rls tasmin wap850 hursmax ua850 ua50 va850 hus10 rlut va1000 pr zg1000
sfcWindmax hurs ta50 rsus sfcWind wap10 ta500 ua100 hus1000 zg500 hus250 ua500 ua1000 hursmin ta700
va250 hus700 hus100 ua700 wap100 zg100 ta10 va500 tas ua250 wap1000 zg700 va100 rlds tasmax va700
clt rsds zg10 ta100 wap500 ta250 rss hfls rlus va50 wap250 ta1000 hfss zg850 uas wap700 snc zg50
wap50 zg250 psl hus50 hus850 hus500 siconc ts
"""


def test_every_variable_of_the_published_model_is_known():
    channels = [cmip6_variables.channel(name, mean=0.0, std=1.0) for name in PUBLISHED.split()]
    assert len(channels) == 74
    assert None not in channels
    assert len({channel.key for channel in channels}) == 74
    assert all(channel.standard_name for channel in channels)


# --- what is wrong


def changed(folder: Path, file: str, change) -> Path:
    """Write a package with one JSON file changed."""
    path = im.write_cmip6(folder / "package") / file
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return path.parent


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("stats.json", lambda d: d["input"].pop("sza"), "no 'input' scale of 'sza'"),
        ("stats.json", lambda d: d["input"]["tas"].update(std=0), r"input.tas is .*\"std\": 0"),
        (
            "stats.json",
            lambda d: d["invariants"].pop("coslat"),
            "no 'invariants' scale of 'coslat'",
        ),
        ("metadata.json", lambda d: d["input_variables"].append("mood"), "'mood'"),
        ("metadata.json", lambda d: d["input_variables"].pop(), "12: .*inputs|takes 20 channels"),
        ("metadata.json", lambda d: d.update(inference_mode="diffusion"), "refuses for CMIP6"),
        ("metadata.json", lambda d: d.update(sigma_min=500.0), "must be below sigma_max, 400"),
        ("metadata.json", lambda d: d.update(sampler_type="euler"), "sampler_type"),
        ("metadata.json", lambda d: d.update(invariant_variables=["slope"]), "'slope'"),
        ("metadata.json", lambda d: d.update(invariant_variables=[]), "there is no invariant"),
    ],
)
def test_what_is_wrong_with_a_package_is_said(tmp_path, file, change, told):
    with pytest.raises(ModelError, match=told):
        cmip6.translate(changed(tmp_path, file, change), "wrong")


def test_keys_that_mean_nothing_are_told_and_pass(tmp_path):
    folder = changed(tmp_path, "metadata.json", lambda d: d.update(time_window=[-24, 0, 24]))
    with pytest.warns(UserWarning, match="mean nothing to xresdiff: 'time_window'"):
        cmip6.translate(folder, "own")


@pytest.mark.parametrize("name", ["stats.json", "diffusion.mdlus", "input_latlon_grid.nc"])
def test_what_is_missing_from_a_package_is_said(tmp_path, name):
    folder = im.write_cmip6(tmp_path / "package")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        cmip6.translate(folder, "lacking")


def test_a_grid_from_the_north_is_refused(tmp_path):
    folder = im.write_cmip6(tmp_path / "package")
    (folder / "output_latlon_grid.nc").unlink()
    im.write_axes(folder / "output_latlon_grid.nc", im.LAT[::-1], im.LON)
    with pytest.raises(ModelError, match=r"output_latlon_grid.nc has .* that do not rise"):
        cmip6.translate(folder, "upside-down")


def test_a_grid_of_another_size_is_refused(tmp_path):
    folder = im.write_cmip6(tmp_path / "package")
    (folder / "output_latlon_grid.nc").unlink()
    im.write_axes(folder / "output_latlon_grid.nc", im.LAT, im.LON[::2])
    with pytest.raises(ModelError, match="on a grid of 96 x 192; the target has 96 x 144"):
        cmip6.translate(folder, "narrow")
