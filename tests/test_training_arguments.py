import json
from importlib import import_module

import pytest
import xarray as xr

import xresdiff
from xresdiff.errors import InputError
from xresdiff.models.card import Channel
from xresdiff.train.arguments import Arguments


def problem(**given):
    """Return the only problem of arguments."""
    (told,) = Arguments(**given).problems()
    return told


def test_the_defaults_have_no_problems():
    assert Arguments().problems() == []


def test_everything_that_may_be_given_has_no_problems():
    given = Arguments(
        stages=("residual",),
        steps={"residual": 10},
        batch_size=2,
        patch=64,
        learning_rate=1e-3,
        device="cuda:1",
        precision="bfloat16",
        inputs=["t2m", Channel("z", "geopotential", "m2 s-2", level_Pa=5e4)],
        outputs=("t2m",),
        static=xr.DataArray([1.0], dims="x", name="orog"),
        extras=("day_of_year", "hour", "solar_zenith", "latitude"),
        normalisation="data",
        global_residual=False,
        conserve=(),
        weights={"t2m": 0.5},
        network={"model_channels": 8},
        augment=True,
        regridding="conservative",
        accumulation="1h",
        name="mine",
        patience=3,
        cache=False,
    )
    assert given.problems() == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("stages", ("mode",), "stages is ('mode',); it is ('mean', 'residual'), or one of them"),
        ("stages", "mean", "stages is 'mean'; it is ('mean', 'residual')"),
        ("stages", (), "stages is ()"),
        ("stages", None, "stages is None; it is ('mean', 'residual')"),
        ("freeze", "encoder", "freeze is 'encoder'; it is a list of names: freeze=['encoder']"),
        ("stages", ("mean", "mean"), "names a stage twice"),
        ("steps", 0, "steps is 0; it is a whole number of at least 1"),
        ("steps", {"mean": 1.5}, "steps['mean'] is 1.5; it is a whole number of at least 1"),
        ("steps", {"both": 5}, "steps has 'both'; its keys are 'mean' and 'residual'"),
        ("batch_size", True, "batch_size is True; it is a whole number of at least 1"),
        ("patch", -16, "patch is -16; it is a whole number of at least 1"),
        ("patience", 0, "patience is 0; it is a whole number of at least 1"),
        ("seed", -1, "seed is -1; it is a whole number from 0"),
        ("learning_rate", 0.0, "learning_rate is 0.0; it is positive"),
        ("learning_rate", float("nan"), "learning_rate is nan; it is positive"),
        ("validation", 1.0, "validation is 1.0; it is a share between 0 and 1"),
        ("device", "tpu", "device is 'tpu'; it is 'auto', 'cpu'"),
        ("precision", "half", "precision is 'half'; it is one of 'auto', 'float32', 'bfloat16'"),
        ("normalisation", "none", "normalisation is 'none'; it is one of None, 'model', 'data'"),
        ("global_residual", "yes", "global_residual is 'yes'; it is one of None, True, False"),
        ("augment", 1, "augment is 1; it is one of None, True, False"),
        ("cache", None, "cache is None; it is one of True, False"),
        ("regridding", "cubic", "regridding is 'cubic'; it is one of None, 'bilinear'"),
        ("accumulation", "often", "accumulation is 'often'; it is an interval such as '1h'"),
        ("name", "my model", "name is 'my model'; it is of letters, digits"),
        ("inputs", "t2m", "inputs is 't2m'; it is a list of names or Channels: inputs=['t2m']"),
        ("outputs", [1], "outputs is [1]; it is a list of names or Channels"),
        ("inputs", [], "inputs is empty; name a variable, or leave inputs= out for all"),
        ("extras", ("moon",), "extras has 'moon'; it knows 'day_of_year', 'hour'"),
        ("extras", "hour", "extras is 'hour'; it is a list of names: extras=['hour']"),
        ("conserve", "pr", "conserve is 'pr'; it is a list of names: conserve=['pr']"),
        ("freeze", None, "freeze is None; it is a list of names"),
        ("weights", {"t2m": 0}, "weights['t2m'] is 0; it is positive"),
        ("weights", 2.0, "weights is 2.0; it is a mapping of outputs"),
        ("network", "huge", "network is 'huge'; it is one of 'auto', 'small', 'medium', 'large'"),
        ("network", {"width": 3}, "network has 'width'; it knows model_channels"),
        ("network", {"in_channels": 3}, "network has 'in_channels', which follows from the data"),
        ("static", "orog", "static is a str; it is a Dataset of fields without time"),
        ("static", xr.DataArray(0.0), "static has no name; give it one: static=static.rename("),
    ],
)
def test_what_is_out_of_bounds_is_told_with_what_is_needed(name, value, told):
    assert told in problem(**{name: value})


def test_all_problems_are_told_together():
    assert len(Arguments(batch_size=0, validation=2, extras=("moon",)).problems()) == 3


def test_what_is_out_of_bounds_has_its_default_where_it_must_be_usable():
    given = Arguments(
        stages="mean", steps={"both": 1}, weights={"a": -1}, network={"width": 1}, patch=32
    )
    assert given.usable() == Arguments(patch=32)


def test_the_facts_of_a_run_are_json():
    facts = Arguments(freeze=("encoder",), weights={"t2m": 2}).facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["weights"] == {"t2m": 2.0}


def test_lists_become_tuples():
    given = Arguments(stages=["mean"], extras=["hour"], conserve=["tp"], freeze=["encoder"])
    assert given.problems() == []
    assert given == Arguments(
        stages=("mean",), extras=("hour",), conserve=("tp",), freeze=("encoder",)
    )


@pytest.mark.parametrize("verb", ["finetune", "train"])
def test_a_name_in_place_of_a_list_is_not_taken_apart(verb, tmp_path):
    ds = xr.Dataset()
    given = {"extras": "latitude", "conserve": "tp"}
    if verb == "finetune":
        given |= {"freeze": "encoder", "stages": "mean", "model": "rain-16x"}
    with pytest.raises(InputError) as caught:
        getattr(xresdiff, verb)(ds, ds, out=tmp_path / "run", **given)
    assert "extras is 'latitude'; it is a list of names: extras=['latitude']" in str(caught.value)
    assert "conserve is 'tp'" in str(caught.value)
    assert verb == "train" or "freeze is 'encoder'" in str(caught.value)
    assert verb == "train" or "stages is 'mean'" in str(caught.value)


def test_fine_tuning_may_change_what_a_model_conserves(monkeypatch, tmp_path):
    verbs = import_module("xresdiff.train.verbs")
    seen = []
    monkeypatch.setattr(verbs, "run", lambda *args: seen.append(args[2]))
    ds = xr.Dataset()
    own = {"model": "rain-16x", "conserve": (), "global_residual": False}
    xresdiff.finetune(ds, ds, **own)
    ds.resdiff.finetune(ds, **own)
    xresdiff.finetune(ds, ds, model="rain-16x")
    told = [(one.conserve, one.global_residual) for one in seen]
    assert told == [((), False), ((), False), (None, None)]
