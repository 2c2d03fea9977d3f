import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from tests.toys import toy_card, write_toy_model
from xresdiff.downscale import downscale
from xresdiff.engine import loop
from xresdiff.engine.loop import Recipe
from xresdiff.engine.patches import PairedPatches
from xresdiff.engine.stages import NoiseLevels, Recipes, fit_model
from xresdiff.errors import InputError, ModelError
from xresdiff.grids.target import refine
from xresdiff.models.opening import open_model
from xresdiff.models.package import Model
from xresdiff.train import finetune, history

FACTOR = 4
QUICK = {"steps": 2, "batch_size": 2, "device": "cpu", "precision": "float32"}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return write_toy_model(tmp_path_factory.mktemp("start") / "toy")


def pair_of(times=4, size=8):
    """Return a coarse and a fine Dataset, the first being the block means of the second."""
    lat, lon = 50 + 0.15 * np.arange(size), 5 + 0.22 * np.arange(size)
    time = np.datetime64("2024-07-01", "ns") + np.timedelta64(1, "h") * np.arange(times)
    coarse = xr.Dataset(coords={"time": time, "lat": lat, "lon": lon})
    target = refine(coarse, FACTOR).assign_coords(time=time)
    rng = np.random.default_rng(0)
    rain = np.exp(rng.normal(size=(times, size * FACTOR, size * FACTOR))).astype(np.float32)
    target["precip_rate"] = (("time", "lat", "lon"), rain, {"units": "mm h-1"})
    means = rain.reshape(times, size, FACTOR, size, FACTOR).mean((2, 4))
    coarse["precip_rate"] = (("time", "lat", "lon"), means, {"units": "mm h-1"})
    return coarse, target


def same_weights(first, second):
    return all(
        np.array_equal(first.weights(stage)[name], second.weights(stage)[name])
        for stage in ("mean", "residual")
        for name in first.weights(stage)
    )


# --- what comes out


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory):
    torch.set_num_threads(1)  # as in every test: sums are made in one order
    out = tmp_path_factory.mktemp("run")
    return out, finetune(*pair_of(), model=model, out=out, **QUICK)


def test_finetune_returns_a_model_that_opens(trained, model):
    out, tuned = trained
    assert isinstance(tuned, Model)
    assert open_model(out / "model").sha256 == tuned.sha256
    assert tuned.card.name == "toy"
    assert not tuned.card.scores  # they were those of the model before
    assert not same_weights(tuned, model)


def test_a_finetuned_model_downscales(trained):
    coarse, target = pair_of()
    ensemble = downscale(coarse, members=2, model=trained[1], steps=2, device="cpu")
    assert ensemble.precip_rate.sizes == {"member": 2, "time": 4, "lat": 32, "lon": 32}
    np.testing.assert_allclose(ensemble.lat, target.lat)
    assert np.isfinite(ensemble.precip_rate).all()


def test_sigma_data_is_measured(trained, model):
    assert trained[1].card.residual.sigma_data != model.card.residual.sigma_data
    assert 0.1 < trained[1].card.residual.sigma_data < 10


def test_the_history_is_labelled(trained):
    ds = history(trained[0])
    assert ds.sizes == {"stage": 2, "step": 2}
    assert ds.stage.values.tolist() == ["mean", "residual"]
    assert ds.step.values.tolist() == [1, 2]
    assert set(ds) == {"learning_rate", "training_loss", "validation_loss", "seconds"}
    assert np.isfinite(ds.training_loss).all()


def test_no_history_without_a_finished_run(tmp_path):
    with pytest.raises(InputError, match=r"no finished run in .*: .*history\.json is missing"):
        history(tmp_path)


# --- goes on, gives the same


def test_the_same_call_does_not_train_again(trained, model, monkeypatch):
    monkeypatch.setattr(loop._Run, "update", None)
    again = finetune(*pair_of(), model=model, out=trained[0], **QUICK)
    assert same_weights(again, trained[1])


@pytest.mark.parametrize("killed", ["mean", "residual"])
def test_kill_and_resume_is_uninterrupted(trained, model, tmp_path, monkeypatch, killed):
    update = loop._Run.update

    def kill(run, batch):
        if run.stage.name == killed and run.step == 1:
            raise KeyboardInterrupt
        update(run, batch)

    monkeypatch.setattr(loop._Run, "update", kill)
    with pytest.raises(KeyboardInterrupt):
        finetune(*pair_of(), model=model, out=tmp_path, **QUICK)
    monkeypatch.undo()
    resumed = finetune(*pair_of(), model=model, out=tmp_path, **QUICK)
    assert same_weights(resumed, trained[1])
    assert resumed.sha256 == trained[1].sha256


@pytest.mark.parametrize(
    ("change", "told"),
    [({"steps": 3}, "steps was 2 and is 3 now"), ({"seed": 1}, "seed was 0 and is 1 now")],
)
def test_another_call_needs_another_folder(trained, model, change, told):
    with pytest.raises(InputError, match=f"holds another run: {told}.*out=") as caught:
        finetune(*pair_of(), model=model, out=trained[0], **(QUICK | change))
    assert "data" not in str(caught.value)


def test_other_data_need_another_folder(trained, model):
    coarse, target = pair_of()
    with pytest.raises(InputError, match="holds another run: data was"):
        finetune(coarse, 2 * target.assign_attrs(), model=model, out=trained[0], **QUICK)


def test_the_seed_counts(trained, model, tmp_path):
    other = finetune(*pair_of(), model=model, out=tmp_path, **QUICK, seed=1)
    assert not same_weights(other, trained[1])


def test_the_callers_random_numbers_are_left_alone(model, tmp_path):
    before = torch.get_rng_state()
    finetune(*pair_of(), model=model, out=tmp_path, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)


# --- what goes in


def test_order_units_and_names_do_not_matter(trained, model, tmp_path):
    coarse, target = pair_of()
    coarse = coarse.transpose("lon", "time", "lat").rename(precip_rate="pr")
    coarse["pr"] = (coarse.pr / 3600).assign_attrs(units="kg m-2 s-1")
    target = target.isel(time=slice(None, None, -1)).chunk(time=1)
    tuned = finetune(coarse, target, model=model, out=tmp_path, **QUICK)
    for stage in ("mean", "residual"):
        for name, weight in trained[1].weights(stage).items():
            np.testing.assert_allclose(tuned.weights(stage)[name], weight, rtol=0.02, atol=1e-3)


def test_times_are_paired_by_their_labels(model, tmp_path):
    coarse, target = pair_of(times=5)
    whole = finetune(
        coarse.isel(time=[1, 3, 4]),
        target.isel(time=[1, 3, 4]),
        model=model,
        out=tmp_path / "a",
        **QUICK,
    )
    picked = finetune(
        coarse.isel(time=[0, 1, 3, 4]),
        target.isel(time=[1, 2, 3, 4]),
        model=model,
        out=tmp_path / "b",
        **QUICK,
    )
    assert same_weights(whole, picked)


def test_missing_targets_are_taken(model, tmp_path):
    coarse, target = pair_of()
    holes = target.where(target.lon > 5.3)
    assert finetune(coarse, holes, model=model, out=tmp_path, **QUICK).card.name == "toy"


# --- what is refused


def refused(coarse, target, model, tmp_path, **changes):
    with pytest.raises(InputError) as caught:
        finetune(coarse, target, model=model, out=tmp_path / "run", **(QUICK | changes))
    assert not (tmp_path / "run").exists()  # before anything is written
    return str(caught.value)


def test_arguments_out_of_bounds_are_refused_together(model, tmp_path):
    changes = {
        "steps": 0,
        "batch_size": 1.5,
        "patch": -16,
        "learning_rate": 0.0,
        "validation": 1.0,
        "seed": True,
    }
    coarse, target = pair_of()
    text = refused(coarse.rename(precip_rate="snow"), target, model, tmp_path, **changes)
    assert "cannot train toy on these pairs, for 7 reasons" in text
    assert "steps is 0; it is a whole number of at least 1" in text
    assert "batch_size is 1.5" in text
    assert "patch is -16" in text
    assert "learning_rate is 0.0; it is positive" in text
    assert "validation is 1.0; it is a share between 0 and 1" in text
    assert "seed is True; it is a whole number of at least 0" in text
    assert "coarse: there is no precip_rate; it has 'snow'" in text


def test_units_that_do_not_convert_are_refused(model, tmp_path):
    coarse, target = pair_of()
    target.precip_rate.attrs["units"] = "K"
    assert "target: " in refused(coarse, target, model, tmp_path)


def test_missing_inputs_are_refused(model, tmp_path):
    coarse, target = pair_of()
    text = refused(coarse.where(coarse.lat > 50.1), target, model, tmp_path)
    assert "coarse has missing values; fill them: coarse.fillna(...)" in text


def test_a_target_without_values_is_refused(model, tmp_path):
    coarse, target = pair_of()
    assert "all are missing" in refused(coarse, target * np.nan, model, tmp_path)


def test_one_time_is_not_enough(model, tmp_path):
    coarse, target = pair_of()
    text = refused(coarse.isel(time=[0]), target, model, tmp_path)
    assert "there are 1 common times; at least two are needed" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.isel(lat=slice(None, None, -1)),
        lambda ds: ds.assign_coords(lat=ds.lat + 0.02),
        lambda ds: ds.isel(lat=slice(1, None)),
        lambda ds: ds.coarsen(lat=2).mean(),
    ],
    ids=["turned", "shifted", "cut", "coarser"],
)
def test_a_target_on_another_grid_is_refused(model, tmp_path, change):
    coarse, target = pair_of()
    text = refused(coarse, change(target), model, tmp_path)
    assert "the target's 'lat' has" in text
    assert "but the coarse grid refined by 4 has 32 points from 49.9438 to 51.1062" in text


def test_a_target_on_a_curvilinear_grid_is_refused(model, tmp_path):
    coarse, target = pair_of()
    lat, lon = xr.broadcast(target.lat, target.lon)
    bent = target.rename(lat="y", lon="x").drop_vars(["y", "x"])
    bent = bent.assign_coords(lat=(("y", "x"), lat.values), lon=(("y", "x"), lon.values))
    text = refused(coarse, bent, model, tmp_path)
    assert "target: the coordinates 'lat' and 'lon' are two-dimensional" in text


def test_other_dimensions_are_refused(model, tmp_path):
    coarse, target = pair_of()
    assert "ds.stack(time=[...])" in refused(coarse.expand_dims(number=2), target, model, tmp_path)
    assert "ds.expand_dims('time')" in refused(coarse, target.isel(time=0), model, tmp_path)


def test_times_of_two_names_are_refused(model, tmp_path):
    coarse, target = pair_of()
    text = refused(coarse, target.rename(time="valid_time"), model, tmp_path)
    assert "target.rename({'valid_time': 'time'})" in text


def test_times_without_labels_must_be_as_many(model, tmp_path):
    coarse, target = pair_of()
    text = refused(coarse.drop_vars("time"), target.isel(time=[0, 1]), model, tmp_path)
    assert "4 coarse fields and 2 of the target cannot be paired without labels" in text


def test_patches_that_are_too_small_are_refused(model, tmp_path):
    text = refused(*pair_of(), model, tmp_path, patch=4)
    assert "patches of 4 pixels from fields of 32 x 32 are too small for toy; it takes" in text
    assert "multiples of 8 pixels" in text


def test_an_unknown_precision_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="precision is 'half'; it is 'auto', 'float32'"):
        finetune(*pair_of(), model=model, out=tmp_path, **(QUICK | {"precision": "half"}))


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no model is called 'atlantis'"):
        finetune(*pair_of(), model="atlantis", out=tmp_path)


# --- from scratch


def textured(n, seed):
    """Return pairs whose fine field has a fixed pattern in every cell, and checks at random."""
    rng = np.random.default_rng(seed)
    coarse = np.exp(rng.normal(size=(n, 1, 8, 8))).astype(np.float32)
    pattern = np.linspace(0.1, 1.9, FACTOR**2).reshape(FACTOR, FACTOR)
    checks = np.where(np.indices((32, 32)).sum(0) % 2, 1, -1)
    amplitude = 0.2 * rng.normal(size=(n, 1, 1, 1))
    fine = np.kron(coarse, pattern) * np.exp(amplitude * checks)
    return PairedPatches(coarse, fine.astype(np.float32), FACTOR, turn=False)


def test_both_stages_learn(model, tmp_path):
    card = replace(toy_card(), mean=model.card.mean, residual=model.card.residual)
    recipe = Recipe(
        steps=60,
        batch_size=4,
        patch=32,
        learning_rate=0.005,
        warmup=5,
        validate_every=15,
        validation_batches=4,
    )
    made = fit_model(
        card,
        textured(200, seed=0),
        textured(20, seed=1),
        recipes=Recipes(recipe, recipe, NoiseLevels()),
        out=tmp_path,
        device="cpu",
        precision="float32",
    )
    losses = history(tmp_path).validation_loss
    shrunk = losses.isel(step=-1) / losses.isel(step=0)
    assert shrunk.sel(stage="mean") < 0.65  # the pattern
    assert shrunk.sel(stage="residual") < 0.95  # the checks; one is the loss of white noise
    assert losses.sel(stage="residual").isel(step=-1) < 0.95
    assert open_model(made.path).card.residual.sigma_data == made.card.residual.sigma_data
    assert {w.dtype for w in made.weights("mean").values()} == {np.dtype(np.float16)}
    assert not list(tmp_path.glob("*.new"))
    assert list(json.loads((tmp_path / "history.json").read_text())) == ["mean", "residual"]
