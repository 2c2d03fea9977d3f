"""`finetune` and `train`, from two Datasets to a model that downscales."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from tests.toys import rain_pairs as pair_of
from tests.toys import write_toy_model
from xresdiff.downscale import downscale
from xresdiff.errors import InputError, ModelError
from xresdiff.models.opening import open_model
from xresdiff.models.package import Model, write_package
from xresdiff.options import set_options
from xresdiff.train import finetune, fit, history, loop, train
from xresdiff.train.fit import Recipes, fit_model
from xresdiff.train.grown import initial_weights
from xresdiff.train.patches import PairedPatches
from xresdiff.train.readers import ArrayReader
from xresdiff.train.recipe import Recipe

FACTOR = 4
QUICK = {"steps": 2, "batch_size": 2, "device": "cpu", "precision": "float32"}


@pytest.fixture(autouse=True)
def quiet():
    with set_options(progress=False):
        yield


@pytest.fixture(scope="module", autouse=True)
def few_scores():
    """Score few members of few patches, as the scores are not what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Validation", partial(fit.Validation, batches=2, patches=1, members=2))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Model:
    return write_toy_model(tmp_path_factory.mktemp("start") / "toy")


@pytest.fixture
def not_trained(monkeypatch):
    """All is read, settled, told and written that a training begins with; nothing is trained."""
    monkeypatch.setattr(fit, "fit_model", lambda start, *_, **__: start)


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
    assert tuned.card.name == "toy-tuned"
    assert not tuned.card.scores  # they were those of the model before
    assert not same_weights(tuned, model)


def test_a_finetuned_model_downscales(trained):
    coarse, target = pair_of()
    ensemble = downscale(coarse, members=2, model=trained[1], steps=2, device="cpu")
    assert ensemble.precip_rate.sizes == {"member": 2, "time": 4, "lat": 32, "lon": 32}
    np.testing.assert_allclose(ensemble.lat, target.lat)
    assert np.isfinite(ensemble.precip_rate).all()


def test_the_scale_of_the_residual_is_measured(trained, model):
    (scale,) = trained[1].card.residual.scale
    assert trained[1].card.residual.sigma_data == model.card.residual.sigma_data
    assert 0.1 < scale < 10
    assert scale != 1


def test_the_history_is_labelled(trained):
    ds = history(trained[0])
    assert ds.sizes == {"stage": 2, "step": 3, "noise_level": 5}
    assert ds.stage.values.tolist() == ["mean", "residual"]
    assert ds.step.values.tolist() == [0, 1, 2]
    assert np.isfinite(ds.validation_loss).all()
    assert np.isfinite(ds.crps.sel(stage="residual")).all()


def test_no_history_without_a_run(tmp_path):
    with pytest.raises(InputError, match=r"there is no run in .*history\.json is missing"):
        history(tmp_path)


def test_the_run_is_described(trained):
    out, tuned = trained
    told = json.loads((out / "train.json").read_text())
    assert told["steps"] == {"mean": 2, "residual": 2}
    assert told["batch_size"] == 2
    assert told["model"]
    card = json.loads((out / "card.json").read_text())
    assert card["name"] == tuned.card.name
    assert "training toy-tuned" in (out / "log.txt").read_text()


def test_a_finished_run_says_so(trained, model, capsys):
    with set_options(progress=True):
        finetune(*pair_of(), model=model, out=trained[0], **QUICK)
    told = "".join(capsys.readouterr())
    assert f"already finished: {trained[0] / 'model'}" in told
    assert "goes on" not in told


def test_what_will_be_done_is_told_before_it_starts(model, tmp_path, capsys):
    coarse, target = pair_of()
    with set_options(progress=True):
        finetune(coarse.isel(time=[0, 1, 2]), target, model=model, out=tmp_path, **QUICK)
    told = capsys.readouterr()
    page = told.out + told.err
    assert "training toy-tuned, beginning with toy, on cpu" in page
    assert "2 to learn from, 1 to validate with; left out: 1 of the target without a part" in page
    assert "counts     100 % of the target" in page
    assert "regridded" not in page
    assert "already finished" not in page
    assert "patches    32 x 32 pixels, 2 a step" in page
    assert page.index("pairs") < page.index("mean:")


# --- goes on, gives the same


def test_the_same_call_does_not_train_again(trained, model, monkeypatch):
    monkeypatch.setattr(loop._Run, "update", None)
    monkeypatch.setattr(fit, "measure", None)
    monkeypatch.setattr(fit._Fit, "_means", None)
    again = finetune(*pair_of(), model=model, out=trained[0], **QUICK)
    assert again.sha256 == trained[1].sha256


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
    [
        ({"steps": 3}, "steps.mean was 2 and is 3 now"),
        ({"seed": 1}, "seed was 0 and is 1 now"),
        ({"name": "other"}, "card.name was 'toy-tuned' and is 'other' now"),
    ],
)
def test_another_call_needs_another_folder(trained, model, change, told):
    with pytest.raises(InputError, match=f"holds another run: {told}.*out=") as caught:
        finetune(*pair_of(), model=model, out=trained[0], **(QUICK | change))
    assert "data" not in str(caught.value)


def test_other_data_need_another_folder(trained, model):
    coarse, target = pair_of()
    with pytest.raises(InputError, match="holds another run: coarse or target differ from"):
        finetune(coarse, 2 * target.assign_attrs(), model=model, out=trained[0], **QUICK)


@pytest.fixture(scope="module")
def of_another_seed(model, tmp_path_factory):
    """A model, and whether torch's random numbers were where they had been before."""
    before = torch.get_rng_state()
    other = finetune(*pair_of(), model=model, out=tmp_path_factory.mktemp("seed"), **QUICK, seed=1)
    return other, torch.equal(torch.get_rng_state(), before)


def test_the_seed_counts(trained, of_another_seed):
    assert not same_weights(of_another_seed[0], trained[1])


def test_the_callers_random_numbers_are_left_alone(of_another_seed):
    assert of_another_seed[1]


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
    assert finetune(coarse, holes, model=model, out=tmp_path, **QUICK).card.name == "toy-tuned"


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
    target.precip_rate.attrs["units"] = "K"
    text = refused(coarse, target, model, tmp_path, **changes)
    assert "cannot train toy on these pairs, for 7 reasons" in text
    assert "steps is 0; it is a whole number of at least 1" in text
    assert "batch_size is 1.5" in text
    assert "patch is -16" in text
    assert "learning_rate is 0.0; it is positive" in text
    assert "validation is 1.0; it is a share between 0 and 1" in text
    assert "seed is True; it is a whole number from 0" in text
    assert "target: " in text


def test_units_that_do_not_convert_are_refused(model, tmp_path):
    coarse, target = pair_of()
    target.precip_rate.attrs["units"] = "K"
    assert "target: " in refused(coarse, target, model, tmp_path)


def test_pixels_under_missing_inputs_do_not_count(model, tmp_path):
    coarse, target = pair_of()
    absurd = target.where(target.lat > 50.08, 9.0)
    coarse = coarse.where(coarse.lat > 50.08)
    ways = [
        finetune(coarse, some, model=model, out=tmp_path / name, **QUICK)
        for name, some in (("as it is", target), ("absurd", absurd))
    ]
    assert same_weights(*ways)


def test_a_target_without_values_is_refused(model, tmp_path):
    coarse, target = pair_of()
    with pytest.raises(InputError, match="output 'precip_rate' has no known value in any pair"):
        finetune(coarse, target * np.nan, model=model, out=tmp_path, **QUICK)


@pytest.mark.usefixtures("not_trained")
def test_empty_pairs_are_skipped_and_counted(model, tmp_path, capsys):
    coarse, target = pair_of(times=5)
    holes = target.where(target.time != target.time[2])
    with set_options(progress=True):
        finetune(coarse, holes, model=model, out=tmp_path / "holes", **QUICK)
    assert "1 pairs without a known target under known inputs" in "".join(capsys.readouterr())


def test_one_pair_is_enough(model, tmp_path):
    coarse, target = pair_of()
    tuned = finetune(coarse.isel(time=[0]), target, model=model, out=tmp_path, **QUICK)
    assert tuned.card.residual.scale[0] > 0


@pytest.mark.usefixtures("not_trained")
@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.isel(lat=slice(None, None, -1)),
        lambda ds: ds.isel(lat=slice(4, 60)).assign_coords(lat=ds.lat[4:60] + 0.02),
        lambda ds: ds.isel(lat=slice(3, 30)),
    ],
    ids=["turned", "shifted", "cut"],
)
def test_a_target_on_another_grid_is_reached_by_regridding(model, tmp_path, change):
    coarse, target = pair_of(size=16)
    tuned = finetune(coarse, change(target), model=model, out=tmp_path, **QUICK)
    assert tuned.card.target.factor == FACTOR


def test_no_common_times_are_refused(model, tmp_path):
    coarse, target = pair_of()
    later = target.assign_coords(time=target.time + np.timedelta64(1, "D"))
    text = refused(coarse, later, model, tmp_path)
    assert "2024-07-01" in text
    assert "2024-07-02" in text


def test_times_of_two_names_are_refused(model, tmp_path):
    coarse, target = pair_of()
    text = refused(coarse, target.rename(time="valid_time"), model, tmp_path)
    assert "target.rename({'valid_time': 'time'})" in text


@pytest.mark.usefixtures("not_trained")
def test_the_page_tells_regridding_and_counts_nothing_beyond_the_target(model, tmp_path, capsys):
    coarse, target = pair_of(size=16)
    with set_options(progress=True):
        finetune(coarse, target.isel(lat=slice(3, 30)), model=model, out=tmp_path, **QUICK)
    page = "".join(capsys.readouterr())
    assert "regridded  coarse, conservative, to blocks of the target's grid" in page
    assert "fields of 28 x 64" in page
    assert "counts     100 % of the target" in page


@pytest.mark.usefixtures("not_trained")
def test_the_page_says_that_patches_are_smaller_than_asked_for(model, tmp_path, capsys):
    with set_options(progress=True):
        finetune(*pair_of(), model=model, out=tmp_path, **QUICK, patch=31)
    page = "".join(capsys.readouterr())
    assert "patches of 31 pixels asked for; the networks take multiples of 8" in page


@pytest.mark.usefixtures("not_trained")
def test_a_patch_below_what_the_networks_take_is_the_smallest(model, tmp_path):
    finetune(*pair_of(), model=model, out=tmp_path, **QUICK, patch=4)
    assert json.loads((tmp_path / "train.json").read_text())["patch"] == 8


def test_an_unknown_precision_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="precision is 'half'; it is one of 'auto', 'float32'"):
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
    fine = (np.kron(coarse, pattern) * np.exp(amplitude * checks)).astype(np.float32)
    return PairedPatches(ArrayReader(coarse, fine, np.zeros((n, 2)), FACTOR), np.arange(n))


def test_both_stages_learn(model, tmp_path):
    recipe = Recipe(
        steps=60, batch_size=4, patch=32, learning_rate=0.005, warmup=5, validate_every=15
    )
    card = model.card
    made = fit_model(
        write_package(tmp_path / "start", card, initial_weights(card, seed=0, start=None)),
        textured(200, seed=0),
        textured(20, seed=1),
        recipes=Recipes(recipe, recipe),
        out=tmp_path / "run",
        device="cpu",
        precision="float32",
    )
    losses = history(tmp_path / "run").validation_loss
    shrunk = losses.isel(step=-1) / losses.isel(step=0)
    assert shrunk.sel(stage="mean") < 0.65  # the pattern
    assert shrunk.sel(stage="residual") < 0.95  # the checks; one is the loss of white noise
    assert losses.sel(stage="residual").isel(step=-1) < 0.95
    assert open_model(made.path).card.residual.scale == made.card.residual.scale
    assert not list(tmp_path.rglob("*.new"))


def test_a_model_is_trained_from_nothing(tmp_path):
    coarse, target = pair_of(size=16)
    rain = "precip_rate"
    coarse[rain].attrs["standard_name"] = target[rain].attrs["standard_name"] = "rainfall_rate"
    network = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "stem": 4}
    made = train(coarse, target, network=network, out=tmp_path, name="bern", **QUICK)
    card = made.card
    assert (card.name, card.target.factor, card.conserve) == ("bern", FACTOR, (rain,))
    ens = downscale(coarse, members=2, model=made, steps=2, device="cpu")
    means = ens[rain].coarsen(lat=FACTOR, lon=FACTOR).mean()
    np.testing.assert_allclose(means[0], coarse[rain], rtol=1e-4)


def test_a_target_that_the_model_at_hand_does_not_know_needs_another(tmp_path):
    coarse, target = (ds.rename(precip_rate="t2m") for ds in pair_of())
    with pytest.raises(InputError, match=r"'t2m', none of which rain-16x knows.*train\(target\)"):
        finetune(coarse, target, out=tmp_path)


@pytest.mark.usefixtures("not_trained")
def test_a_call_that_was_refused_may_be_corrected_in_its_folder(model, tmp_path):
    coarse, target = pair_of()
    with pytest.raises(InputError, match="has no known value"):
        finetune(coarse, target * np.nan, model=model, out=tmp_path, **QUICK)
    assert finetune(coarse, target, model=model, out=tmp_path, **QUICK).card.name == "toy-tuned"


def test_the_mean_alone_leaves_a_residual_of_the_right_size(model, tmp_path):
    alone = finetune(*pair_of(), model=model, stages=("mean",), out=tmp_path, **QUICK)
    assert alone.card.residual.scale
    assert json.loads((tmp_path / "card.json").read_text())["residual"]["scale"]


def test_the_residual_may_learn_from_pairs_of_its_own(model, tmp_path):
    coarse, target = pair_of(times=8)
    ways = [
        finetune(
            coarse, target, model=model, out=tmp_path / str(share), residual_pairs=share, **QUICK
        )
        for share in (0.0, 0.5)
    ]
    assert not same_weights(*ways)
    last = target.where(target.time != target.time[6], 2 * target)  # no pair of the mean's
    own = finetune(coarse, last, model=model, out=tmp_path / "own", residual_pairs=0.5, **QUICK)
    assert own.read("mean.safetensors") == ways[1].read("mean.safetensors")
    assert own.read("residual.safetensors") != ways[1].read("residual.safetensors")


def test_a_mean_that_knows_its_pairs_by_heart_is_warned_of(caplog):
    from xresdiff.train.fit import _warn_of_narrowness

    _warn_of_narrowness((0.5, 0.5), (0.55, 0.5))
    assert not caplog.records
    _warn_of_narrowness((0.5, 0.5), (1.0, 1.5))
    assert "2.5 times as much of the validation pairs" in caplog.text
    assert "residual_pairs=0.4" in caplog.text
