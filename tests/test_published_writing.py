"""Models of ours written as packages of Earth2Studio, and read again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import imitations as im
from tests.toys import write_toy_package
from xresdiff.errors import InputError, ModelError, StoreError
from xresdiff.models.card import Channel, Transform
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model, write_package
from xresdiff.models.published import earth2studio
from xresdiff.models.published.translation import Translation
from xresdiff.models.published.writing import write_earth2studio


def model_of(folder: Path, networks: str = "square", **changes: Any) -> Model:
    """Return the translation of an imitation as a model, with fields of its card changed."""
    given = {"target", "coarse", "latlon_res"} & set(changes)
    own = {name: changes.pop(name) for name in given}
    package = im.write_generic(folder / "imitation", networks, **own)
    made = earth2studio.translate(package, "own")
    card = replace(made.card, **changes)
    return write_package(folder / "model", card, made.weights, grid=made.grid)


def again(model: Model, folder: Path) -> Translation:
    return earth2studio.translate(write_earth2studio(model, folder / "written"), "own")


def refusal(model: Model, folder: Path) -> str:
    with pytest.raises(ModelError) as info:
        write_earth2studio(model, folder / "written")
    assert not (folder / "written").exists()
    return str(info.value)


def test_a_package_comes_back_as_it_was(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    made = again(model, tmp_path)
    for name in ("inputs", "outputs", "extras", "sampler", "mean_conditioning"):
        assert getattr(made.card, name) == getattr(model.card, name)
    for stage in ("mean", "residual"):
        ours, theirs = model.weights(stage), made.weights[stage]
        assert ours.keys() == theirs.keys()
        for name, weight in ours.items():
            np.testing.assert_array_equal(theirs[name], weight)
    before = read_grid(model.read("grid.nc"), model.card)
    after = read_grid(made.grid, made.card)
    for name in before.variables:
        np.testing.assert_array_equal(after[name], before[name])


def test_a_variable_of_our_own_keeps_its_units(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    outputs = (Channel("foehn", "", "m s-1"), *model.card.outputs[1:])
    made = again(model_of(tmp_path / "own", outputs=outputs), tmp_path)
    assert (made.card.outputs[0].name, made.card.outputs[0].units) == ("foehn", "m s-1")


def test_another_sampler_is_replaced_with_a_warning(tmp_path: Path) -> None:
    own = replace(model_of(tmp_path).card.sampler, name="dpmpp_2m")
    model = model_of(tmp_path / "own", sampler=own)
    with pytest.warns(UserWarning, match="'dpmpp_2m'"):
        made = again(model, tmp_path)
    assert made.card.sampler == replace(own, name="heun")


def test_all_that_cannot_be_said_is_named(tmp_path: Path) -> None:
    outputs = (
        Channel("mrr", "equivalent_reflectivity_factor", "dBZ", minimum=0.0),
        Channel("t2m", "air_temperature", "degC", transform=Transform("sqrt")),
        Channel("u10m", "eastward_wind", "m s-1"),
    )
    text = refusal(model_of(tmp_path, outputs=outputs, hours=(0.0, 1.0)), tmp_path)
    assert "mrr is kept to bounds: minimum" in text
    assert "t2m is transformed by sqrt" in text
    assert "t2m is in 'degC', Earth2Studio's 't2m' in 'K'" in text
    assert "hours" in text


def test_grids_that_earth2studio_does_not_run_are_refused(tmp_path: Path) -> None:
    target = (np.linspace(46, 44, 48), np.linspace(7, 10, 64))
    text = refusal(model_of(tmp_path, "oblong", target=target), tmp_path)
    assert "rectilinear" in text
    assert "48 rows and 64 columns" in text


def test_one_step_is_refused(tmp_path: Path) -> None:
    own = replace(model_of(tmp_path).card.sampler, steps=1)
    text = refusal(model_of(tmp_path / "own", sampler=own), tmp_path)
    assert "samples in 1 step, of which Earth2Studio makes no numbers" in text


def test_a_quantity_on_a_level_without_a_name_there_is_refused(tmp_path: Path) -> None:
    height = Channel("gh", "geopotential_height", "m", level_Pa=50000.0)
    inputs = model_of(tmp_path).card.inputs
    inputs = (*inputs[:-1], replace(height, regridding="latlon_bilinear"))
    text = refusal(model_of(tmp_path / "own", inputs=inputs), tmp_path)
    assert "gh at 500 hPa has no name of Earth2Studio, which knows no 'gh500'" in text


def test_a_path_in_place_of_a_model_is_told_how_to_open_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"xresdiff\.open_model\('bay.resdiff'\)"):
        write_earth2studio("bay.resdiff", tmp_path / "written")


def test_a_model_that_refines_is_refused(tmp_path: Path) -> None:
    assert "refines any grid" in refusal(write_toy_package(tmp_path / "toy"), tmp_path)


def test_nothing_is_replaced(tmp_path: Path) -> None:
    model = model_of(tmp_path)
    with pytest.raises(StoreError, match="there already"):
        write_earth2studio(model, tmp_path / "imitation")
