"""Models told the lead time and drawn in patches give here what they give in PhysicsNeMo.

``tests/data/earth2studio/gefs.npz`` holds what PhysicsNeMo 2.2.2 gave for the package of
``imitation_gefs.py``, see ``record_gefs.py`` there.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import xresdiff
from tests import imitation_gefs as gefs_package
from tests import imitations as im
from xresdiff.engine import runtime
from xresdiff.errors import InputError, ModelError
from xresdiff.models.card import ModelCard, Patching
from xresdiff.models.published import gefs

NEAR = 1e-4  # of the range of a field


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gefs_package.write_gefs(tmp_path_factory.mktemp("published") / "gefs")


@pytest.fixture(scope="module")
def card(package: Path) -> ModelCard:
    return gefs.translate(package, "gefs").card


@pytest.fixture(scope="module")
def theirs() -> dict[str, np.ndarray]:
    with np.load(im.DATA / "gefs.npz") as file:
        return dict(file)


def forecast(hours: tuple[float, ...]) -> xr.Dataset:
    """Return the same weather at several hours of a forecast."""
    ds = im.era5(im.GENERIC_INPUTS, *im.coarse_axes()).isel(time=0)
    steps = (np.array(hours) * 3600).astype("m8[s]").astype("m8[ns]")
    return xr.concat([ds] * len(hours), "step").assign_coords(step=("step", steps))


def picked(fine: xr.Dataset, theirs: dict[str, np.ndarray]) -> np.ndarray:
    """Return the recorded pixels, ``(step, c, y, x)``."""
    every = int(theirs["every"])
    fields = [fine[name].transpose("step", "y", "x").values for name in gefs_package.OUTPUTS]
    return np.stack(fields, axis=1)[..., ::every, ::every]


def assert_near(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Hold fields against each other by the range of each channel; probabilities are bounded."""
    places = list(gefs_package.PROBABILITIES)
    theirs = theirs.astype(np.float64)
    spread = np.ptp(theirs, axis=(0, 2, 3), keepdims=True)
    theirs[:, places] = theirs[:, places].clip(0, 1)
    assert np.abs((ours - theirs) / spread).max() < NEAR


def downscaled(package: Path, hours: tuple[float, ...], **own) -> xr.Dataset:
    return xresdiff.downscale(
        forecast(hours), model=package, device="cpu", precision="float32", **own
    )


def hours_of(theirs: dict[str, np.ndarray]) -> tuple[float, ...]:
    return tuple(float(gefs_package.LEAD_HOURS[label]) for label in theirs["labels"])


def test_the_mean_of_every_lead_time_is_that_of_physicsnemo(package, theirs):
    fine = downscaled(package, hours_of(theirs), stage="mean")
    assert_near(picked(fine, theirs), theirs["means"])


def test_the_residual_in_patches_is_that_of_physicsnemo(package, theirs, monkeypatch):
    def normal_field(seed, labels, member, draw, shape, *origin):
        generator = torch.Generator().manual_seed(int(theirs["seed"]))
        field = torch.randn(shape, generator=generator).numpy()
        np.testing.assert_array_equal(field[0, 0, :8], theirs["latents"][0])
        return field

    monkeypatch.setattr(runtime, "normal_field", normal_field)
    fine = downscaled(package, hours_of(theirs), members=1)
    assert_near(picked(fine.isel(member=0), theirs), theirs["members"])


def test_lead_times_that_the_model_does_not_know_are_refused(package):
    with pytest.raises(InputError, match="lead times of 4 hours; it knows 0, 3, 6 hours"):
        downscaled(package, (3.0, 4.0))


def test_a_forecast_without_lead_times_is_refused(package):
    ds = im.era5(im.GENERIC_INPUTS, *im.coarse_axes())
    with pytest.raises(InputError, match="told the lead time of the forecast, but the input has n"):
        xresdiff.downscale(ds, model=package)


# --- the card


def test_the_card_tells_lead_times_and_patches(card):
    assert card.lead_hours == (0.0, 3.0, 6.0)
    assert card.patching == Patching((16, 24), overlap=2, boundary=1, whole=True)
    assert card.patch == 24


def test_probabilities_are_kept_from_0_to_1(card):
    bounds = {channel.name: (channel.units, channel.minimum) for channel in card.outputs}
    assert bounds["csnow"] == bounds["crain"] == ("1", 0.0)
    assert bounds["t2m"] == ("K", None)
    assert [channel.maximum for channel in card.outputs] == [None, None, 1.0, 1.0]


def test_probabilities_may_have_any_name(tmp_path):
    folder = changed(
        tmp_path,
        lambda d: d.update(output_variables=["t2m", "u10m", "cat_snow", "cat_none"]),
        lambda d: d["output"].update(dict.fromkeys(("cat_snow", "cat_none"), d["output"]["csnow"])),
    )
    channels = gefs.translate(folder, "own").card.outputs
    assert [(c.name, c.units, c.maximum) for c in channels[2:]] == [
        ("cat_snow", "1", 1.0),
        ("cat_none", "1", 1.0),
    ]


# --- what is wrong


def changed(folder: Path, metadata, stats=lambda d: None) -> Path:
    """Write a package with its JSON files changed."""
    package = gefs_package.write_gefs(folder / "package")
    for name, change in (("metadata.json", metadata), ("stats.json", stats)):
        data = json.loads((package / name).read_text())
        change(data)
        (package / name).write_text(json.dumps(data))
    return package


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("lead_hours"), r'"lead_hours": \[0, 3, 6\]'),
        (lambda d: d.update(lead_hours=[0, 3]), "tells 3 lead times apart, metadata.json has 2"),
        (lambda d: d.update(lead_hours=[0, 6, 3]), r"\[0.0, 6.0, 3.0\] must rise from 0"),
        (lambda d: d.update(patch_shape=[15, 24]), "patches of 15 x 24 cannot be halved to 2"),
        (lambda d: d.update(patch_overlap=14), "patch_shape: .* must exceed overlap"),
        (lambda d: d.update(patch_shape=[16]), "patch_shape"),
        (lambda d: d.update(patch_whole=False), "takes 20 channels as condition"),
        (lambda d: d.pop("patch_shape"), "takes 20 channels as condition"),
        (lambda d: d["output_variables"].pop(), "gives 4 channels"),
        (lambda d: d.update(inference_mode="diffusion"), "inference_mode 'diffusion'"),
    ],
)
def test_what_is_wrong_with_a_package_is_said(tmp_path, change, told):
    with pytest.raises(ModelError, match=told):
        gefs.translate(changed(tmp_path, change), "wrong")


def test_lead_hours_of_networks_that_are_not_told_them_are_refused(tmp_path):
    folder = tmp_path / "square"
    im.write_generic(folder, "square", lead_hours=[0, 3])
    with pytest.raises(ModelError, match="no network is told the lead time"):
        gefs.translate(folder, "square")


def test_a_grid_of_another_size_is_refused(tmp_path):
    folder = gefs_package.write_gefs(tmp_path / "package")
    for name in ("output_latlon_grid.nc", "invariants.nc"):
        (folder / name).unlink()
    lat, lon = im.curved(48, 48)
    im.write_axes(folder / "output_latlon_grid.nc", lat, lon)
    im.write_invariants(folder / "invariants.nc", im.INVARIANTS, lat, lon)
    with pytest.raises(ModelError, match="has lead times for a grid of 48 x 64; the target has"):
        gefs.translate(folder, "narrow")
