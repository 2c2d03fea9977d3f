"""Model files: what is written is read back, and nothing else is."""

import io
import pickle

import numpy as np
import pytest
import xarray as xr

from tests.toys import fixed_card, toy_card, toy_weights, write_toy_package
from xresdiff.errors import InputError, ModelError, StoreError
from xresdiff.models import package
from xresdiff.models.card import (
    Extra,
    FixedTarget,
    NetworkCard,
    Padding,
    Patching,
    StageCard,
)
from xresdiff.models.grid_file import write_grid
from xresdiff.models.opening import open_key, open_model
from xresdiff.models.package import write_package

PLACES = ["toy", "toy.resdiff"]


@pytest.fixture(params=PLACES)
def model(request, tmp_path):
    """A toy model, as a folder and as a file."""
    return write_toy_package(tmp_path / request.param)


@pytest.fixture
def folder(tmp_path):
    return write_toy_package(tmp_path / "toy")


def flip(path, place=-1):
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_weights_survive(model):
    for stage, arrays in toy_weights().items():
        read = model.weights(stage)
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, strict=True)


def test_any_memory_layout_is_saved(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.arange(9)[::2]}
    saved = write_package(tmp_path / "toy", toy_card(), {"mean": arrays, "residual": arrays})
    for name, array in saved.weights("mean").items():
        np.testing.assert_array_equal(array, arrays[name], strict=True)


def test_opening_finds_the_same_model(model):
    assert open_model(model) is model
    assert open_model(model.path) == open_model(str(model.path)) == model
    assert open_model(model.path).card == model.card
    assert model.name == "toy"
    assert len({model, open_model(model.path)}) == 1


def test_relative_paths_make_absolute_keys(model, monkeypatch):
    monkeypatch.chdir(model.path.parent)
    assert open_model(model.path.name).key == model.key == f"{model.path}@{model.sha256}"


def test_keys_open_the_model_they_were_made_for(model):
    assert open_key(model.key) == model
    write_toy_package(model.path, title="Another")
    with pytest.raises(ModelError, match="not the one that this graph was built with"):
        open_key(model.key)


def test_models_travel_to_other_processes(model):
    assert pickle.loads(pickle.dumps(model)).card == model.card


def test_the_card_shows_the_model(model):
    assert repr(model) == repr(model.card)
    assert model._repr_html_() == model.card._repr_html_()


@pytest.mark.parametrize("place", ["copy", "new/folders/copy.resdiff"])
def test_saving_keeps_the_model(model, tmp_path, place):
    assert model.save(tmp_path / place) == tmp_path / place
    copy = open_model(tmp_path / place)
    assert copy.sha256 == model.sha256
    assert copy.path.is_file() == place.endswith(".resdiff")
    assert sorted(path.name for path in copy.path.parent.iterdir() if path.name[0] == ".") == []


@pytest.mark.parametrize("place", PLACES)
def test_saving_replaces_a_model(model, tmp_path, place):
    there = write_toy_package(tmp_path / "there" / place, title="Another")
    model.save(there.path)
    assert [path.name for path in there.path.parent.iterdir()] == [place]
    assert open_model(there.path).sha256 == model.sha256


def test_saving_onto_itself_changes_nothing(model):
    model.save(model.path)
    assert open_model(model.path) == model


def test_other_things_are_not_replaced(folder, tmp_path):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    with pytest.raises(StoreError, match="is not a whole model, so it is not replaced"):
        folder.save(thesis)
    with pytest.raises(StoreError, match="is not a whole model, so it is not replaced"):
        write_toy_package(thesis / "chapter.tex")
    assert (thesis / "chapter.tex").read_text() == "years of work"


def test_notes_beside_a_model_are_not_lost(folder, tmp_path):
    there = write_toy_package(tmp_path / "there")
    (there.path / "notes.txt").write_text("read me")
    with pytest.raises(StoreError, match=r"holds more than a model, .* notes\.txt"):
        folder.save(there.path)
    assert open_model(there.path) == there


@pytest.mark.parametrize("name", ["mean.safetensors", "residual.safetensors"])
def test_damaged_weights_are_named(folder, name):
    flip(folder.path / name)
    with pytest.raises(
        ModelError, match=rf"{name} of the model .* is damaged .*Copy or fetch"
    ) as e:
        open_model(folder.path)
    assert folder.card.files[name] in str(e.value)
    with pytest.raises(ModelError, match="is damaged or was changed"):
        folder.weights(name.split(".")[0])
    with pytest.raises(ModelError, match="is damaged or was changed"):
        folder.save(folder.path.parent / "copy")
    assert not (folder.path.parent / "copy").exists()


def test_a_card_that_changed_meanwhile_is_not_saved(folder, tmp_path):
    flip(folder.path / "card.json", place=20)
    with pytest.raises(ModelError, match=r"card\.json of the model .* was changed"):
        folder.save(tmp_path / "copy")


def test_weights_are_checked_before_they_are_parsed(folder, monkeypatch):
    flip(folder.path / "mean.safetensors", place=0)
    monkeypatch.setattr(package.safetensors.numpy, "load", None)
    with pytest.raises(ModelError, match="is damaged"):
        folder.weights("mean")


def test_unknown_stages_are_refused(folder):
    with pytest.raises(InputError, match="no stage 'median'; it has 'mean' and 'residual'"):
        folder.weights("median")


def test_weights_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "_pack", lambda arrays: b"not safetensors")
    broken = write_toy_package(tmp_path / "toy")
    with pytest.raises(ModelError, match=r"mean\.safetensors holds no weights for NumPy"):
        broken.weights("mean")


def test_missing_files_are_named_together(folder):
    (folder.path / "mean.safetensors").unlink()
    (folder.path / "residual.safetensors").unlink()
    with pytest.raises(ModelError, match="for 2 reasons") as caught:
        open_model(folder.path)
    assert "mean.safetensors is missing" in str(caught.value)


def test_cards_without_hashes_are_refused(folder):
    (folder.path / "card.json").write_text(toy_card().to_json())
    with pytest.raises(ModelError, match=r"card\.json has no sha256 of mean\.safetensors"):
        open_model(folder.path)


def test_problems_of_the_card_name_its_path(folder):
    text = (folder.path / "card.json").read_text().replace('"patch": 32', '"patch": 0')
    (folder.path / "card.json").write_text(text)
    with pytest.raises(ModelError, match=r"toy/card\.json: .*patch: 0 must be positive"):
        open_model(folder.path)


def test_large_files_are_refused(model, monkeypatch):
    monkeypatch.setattr(package, "FILE_LIMIT", 100)
    with pytest.raises(ModelError, match=r"mean\.safetensors has \d+ bytes, more than the 100"):
        open_model(model.path)
    with pytest.raises(ModelError, match=r"mean\.safetensors .* is larger than the 100 bytes"):
        model.weights("mean")
    monkeypatch.setattr(package, "CARD_LIMIT", 100)
    with pytest.raises(ModelError, match=r"card\.json .* is larger than the 100 bytes"):
        open_model(model.path)


def test_absent_models_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"there is no file or folder .*absent"):
        open_model(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"is not a model: there is no card\.json in it"):
        open_model(tmp_path)


def test_keys_are_checked():
    for key in ("toy", "@" + "0" * 64, "toy@123"):
        with pytest.raises(ModelError, match="is not the key of a model"):
            open_key(key)


def test_fixed_targets_bring_their_grid(tmp_path):
    card = fixed_card()
    grid = write_grid(np.array([50.0, 51.0]), np.array([4.0, 5.0]))
    fixed = write_package(tmp_path / "toy.resdiff", card, toy_weights(), grid=grid)
    assert fixed.read("grid.nc") == grid
    assert fixed.card.target.outline == ((4.0, 50.0), (5.0, 50.0), (5.0, 51.0), (4.0, 51.0))
    assert open_model(fixed.save(tmp_path / "copy")).sha256 == fixed.sha256


LAT, LON = np.linspace(24.0, 25.0, 24), np.linspace(120.0, 121.0, 36)


def with_fields(**fields):
    """Return a grid file of 24 x 36 with more variables."""
    with xr.open_dataset(io.BytesIO(write_grid(LAT, LON)), engine="scipy") as grid:
        return bytes(grid.load().assign(fields).to_netcdf(engine="scipy"))


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        (with_fields(h=(("a", "b"), np.ones((3, 4)))), r"'h' has the shape \(3, 4\), the target"),
        (
            with_fields(
                h=(("lat", "lon"), np.ones((24, 36))), coarse_lat=(("a", "b"), np.ones((2, 2)))
            ),
            "'coarse_lat' has 2 dimensions",
        ),
        (
            bytes(
                xr.Dataset(
                    {"lat": (("y", "x"), np.ones((4, 6))), "lon": ("x", LON[:6]), "h": 1.0}
                ).to_netcdf(engine="scipy")
            ),
            r"lat has the shape \(4, 6\) and lon \(6,\)",
        ),
    ],
)
def test_parts_of_a_grid_must_go_together(tmp_path, grid, told):
    card = fixed_card(extras=(Extra("static", "h"),))
    with pytest.raises(ModelError, match=told):
        write_package(tmp_path / "toy", card, toy_weights(), grid=grid)


def stage_of(**config):
    return StageCard("residual.safetensors", NetworkCard(config, 7))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"residual": stage_of(channel_mult=(1, 2, 2, 2, 2))}, "residual network is .* of 16"),
        ({"residual": stage_of(channel_mult=(1, 2), stem=4)}, "24 x 36 pixels .* of 8 alone"),
        (
            {"target": FixedTarget("a bay", 4.0, 28.0, padding=Padding((0, 1), (0, 0)))},
            "25 x 36 pixels .* of 2 alone",
        ),
        (
            {"residual": stage_of(channel_mult=(1, 2), positions="learned", shape=(24, 24))},
            "place on a grid of 24 x 24; the target has 24 x 36",
        ),
        ({"patching": Patching((9, 12), overlap=1, boundary=1)}, "9 x 12 pixels .* of 2 alone"),
    ],
)
def test_a_target_that_the_networks_do_not_run_on_is_refused(tmp_path, changes, told):
    grid = write_grid(LAT, LON)
    with pytest.raises(ModelError, match=told):
        write_package(tmp_path / "toy", fixed_card(**changes), toy_weights(), grid=grid)


def test_padding_makes_a_target_fit(tmp_path):
    odd = write_grid(np.linspace(24.0, 25.0, 25), LON)
    target = FixedTarget("a bay", 4.0, 28.0, padding=Padding((0, 1), (0, 0)))
    model = write_package(tmp_path / "toy", fixed_card(target=target), toy_weights(), grid=odd)
    assert model.card.target.outline


def test_weights_and_grid_must_go_with_the_card(tmp_path):
    with pytest.raises(ModelError, match="a refine target needs no grid"):
        write_package(tmp_path / "toy", toy_card(), toy_weights(), grid=b"CDF...")
    with pytest.raises(ModelError, match="for 2 reasons") as caught:
        write_package(tmp_path / "toy", fixed_card(), {"mean": toy_weights()["mean"]})
    assert "weights for 'residual' are missing" in str(caught.value)
    assert "a fixed target needs a grid" in str(caught.value)
    with pytest.raises(ModelError, match="the grid file of the model is damaged"):
        write_package(tmp_path / "toy", fixed_card(), toy_weights(), grid=b"CDF...")
    words = {"a": np.array(["text"])}
    with pytest.raises(ModelError, match="cannot be kept as safetensors"):
        write_package(tmp_path / "toy", toy_card(), {"mean": words, "residual": words})
    assert list(tmp_path.iterdir()) == []


def test_weights_that_went_away_are_named(folder):
    (folder.path / "mean.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot read mean\.safetensors in .*toy"):
        folder.weights("mean")
