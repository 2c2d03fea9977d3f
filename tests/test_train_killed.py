"""The whole of a training, killed at any moment: the same call ends with the same model.

Processes are forked from one that has imported everything, and kill themselves or are killed with
SIGKILL, which nothing can catch.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.toys import rain_pairs, write_toy_model
from xresdiff.errors import InputError, StoreError
from xresdiff.models.opening import open_model
from xresdiff.options import set_options
from xresdiff.train import finetune, fit, loop
from xresdiff.train.folder import RUN
from xresdiff.train.readers import open_reader

FACTOR = 4
FEW = partial(fit.Validation, batches=1, patches=1, members=2)  # the scores are not what is tested
CALL = {"steps": 7, "batch_size": 2, "device": "cpu", "precision": "float32"}
PROCESSES = multiprocessing.get_context("forkserver")
# what a training imports on its way, too
PROCESSES.set_forkserver_preload(
    [
        __name__,
        "dask.array",
        "scipy.ndimage",
        "sparse",
        "torch._dynamo",
        "xresdiff.train.validation",
    ]
)

# What a process is about to do when it is killed: an event of the interpreter, and a part of the
# path that it is about. In the order in which they come.
IN_TURN = [
    ("os.rename", "fine.npy.new"),
    ("os.rename", "start"),
    ("os.rename", "mean.pt"),
    ("tempfile.mkdtemp", ""),  # means are computed
    ("os.rename", ".model."),
]
ONCE = [
    ("os.rename", "train.new"),
    ("os.rename", "survey.new"),
    ("open", "mean.new"),
    ("os.rename", "residual.pt"),
    ("open", ".model."),
]


def pairs():
    """Return rain and its block means, lazily."""
    coarse, target = rain_pairs()
    return coarse.chunk(time=1), target.chunk(time=1)


def train(folder, out, **changes):
    """Train in this process."""
    with set_options(progress=False):
        return finetune(*pairs(), model=folder / "toy", out=out, **(CALL | changes))


def alone():
    """Prepare a process of its own: its pairs are cached on disk."""
    torch.set_num_threads(1)
    open_reader.__kwdefaults__["limit_bytes"] = 0
    fit.Validation = FEW


def undisturbed(folder, out):
    alone()
    train(folder, out)


def killed_before(moment, folder, out):
    """Train, and die before something is done for the first time."""
    alone()
    event, part = moment

    def watch(now, about):
        path = str(about[0]) if about else ""
        here = str(out) in path or event == "tempfile.mkdtemp"
        inside = path.removeprefix(str(out))
        if now == event and here and (part in inside or not part) and _counts(now, path):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train(folder, out)


def _counts(event, path):
    """Leave out the scratch folders of packages."""
    return event != "tempfile.mkdtemp" or Path(path).name.startswith("tmp")


def killed_at(number, folder, out):
    """Train, and die before the so manieth time that something is done in the folder."""
    alone()
    left = iter(range(number))

    def watch(event, about):
        touches = event in ("open", "os.rename", "os.mkdir", "os.remove")
        if touches and str(out) in str(about[0]) and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train(folder, out)


def command(config, out):
    from xresdiff.cli import main

    alone()
    with set_options(progress=False):
        sys.exit(main(["train", str(config), "--out", str(out)]))


def status(function, *arguments, seconds=None):
    """Return how a process ended; it is killed after so many seconds."""
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    process.join(120)
    assert not process.is_alive()
    return process.exitcode


def same_weights(first, second):
    return all(
        np.array_equal(value, second.weights(stage)[name])
        for stage in ("mean", "residual")
        for name, value in first.weights(stage).items()
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run that nobody disturbed, and of what it begins with."""
    folder = tmp_path_factory.mktemp("killed")
    write_toy_model(folder / "toy")
    assert status(undisturbed, folder, folder / "whole") == 0
    return folder


@pytest.fixture(autouse=True)
def as_alone(monkeypatch):
    monkeypatch.setitem(open_reader.__kwdefaults__, "limit_bytes", 0)
    monkeypatch.setattr(fit, "Validation", FEW)


def goes_on(folder, out):
    """Tell whether the same call gives the same model."""
    expected = open_model(folder / "whole" / "model")
    made = train(folder, out)
    return made.sha256 == expected.sha256 and same_weights(made, expected)


# --- killed


def test_killed_at_every_stage_in_turn_it_ends_with_the_same_model(folder, tmp_path):
    """One run, killed once at each of these moments, each time a little further."""
    out = tmp_path / "run"
    ends = [status(killed_before, moment, folder, out) for moment in IN_TURN]
    assert ends == [-signal.SIGKILL] * len(IN_TURN)
    assert goes_on(folder, out)
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ONCE, ids=lambda moment: "-".join(moment))
def test_killed_once_it_ends_with_the_same_model(folder, tmp_path, moment):
    out = tmp_path / "run"
    assert status(killed_before, moment, folder, out) == -signal.SIGKILL
    assert goes_on(folder, out)


@pytest.mark.slow
@pytest.mark.parametrize("number", np.random.default_rng(0).integers(1, 150, 4).tolist())
def test_killed_before_any_file_is_touched_it_ends_with_the_same_model(folder, tmp_path, number):
    out = tmp_path / "run"
    assert status(killed_at, number, folder, out) == -signal.SIGKILL
    assert goes_on(folder, out)


@pytest.mark.slow
@pytest.mark.parametrize("share", np.random.default_rng(1).uniform(0.1, 1, 2).round(3).tolist())
def test_the_command_killed_by_the_clock_ends_with_the_same_model(folder, tmp_path, share):
    for name, ds in zip(("coarse", "target"), pairs(), strict=True):
        ds.to_netcdf(tmp_path / f"{name}.nc")
    config = tmp_path / "config.yaml"
    told = {"coarse": "coarse.nc", "target": "target.nc", "model": str(folder / "toy"), **CALL}
    config.write_text(yaml.safe_dump(told))
    begun = time.perf_counter()
    assert status(command, config, tmp_path / "whole") == 0
    seconds = time.perf_counter() - begun
    status(command, config, tmp_path / "run", seconds=share * seconds)
    assert status(command, config, tmp_path / "run") == 0
    first, second = (open_model(tmp_path / out / "model") for out in ("whole", "run"))
    assert first.sha256 == second.sha256
    assert same_weights(first, second)


# --- damaged

FILES = [
    "train.json",
    "train.copy.json",
    "survey.json",
    "card.json",
    "history.json",
    "mean.pt",
    "mean.before",
    "residual.pt",
    "residual.before",
    "start/card.json",
    "start/mean.safetensors",
    "start/residual.safetensors",
    "cache/coarse.npy",
    "cache/fine.npy",
    "cache/contents.json",
    "model/card.json",
    "model/mean.safetensors",
    "model/residual.safetensors",
]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


# a file of every kind: described, settled, computed, written in turns, packed
DAMAGED = [(truncate, "survey.json"), (truncate, "mean.pt"), (truncate, "model/card.json")]
MORE_DAMAGED = [
    (truncate, "train.json"),
    (truncate, "residual.pt"),
    (truncate, "cache/fine.npy"),
    (truncate, "start/card.json"),
    (truncate, "start/mean.safetensors"),
    (empty, "train.copy.json"),
    (empty, "history.json"),
    (empty, "cache/contents.json"),
    (empty, "model/residual.safetensors"),
    (Path.unlink, "survey.json"),
    (Path.unlink, "mean.pt"),
    (Path.unlink, "cache/coarse.npy"),
]


@pytest.fixture
def finished(folder, tmp_path):
    """A copy of the run that nobody disturbed."""
    return shutil.copytree(folder / "whole", tmp_path / "run")


def test_these_are_all_files_of_a_run(folder):
    out = folder / "whole"
    there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith("tensorboard")} == {
        "log.txt", *FILES,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "name"),
    [*DAMAGED, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE_DAMAGED)],
)
def test_a_damaged_file_is_made_good(folder, finished, damage, name):
    damage(finished / name)
    assert goes_on(folder, finished)


@pytest.mark.parametrize("damage", ["", "[]", None])
def test_a_run_that_nobody_knows_is_not_gone_on_with(folder, finished, damage):
    for name in ("train.json", "train.copy.json"):
        if damage is None:
            (finished / name).unlink()
        else:
            (finished / name).write_text(damage)
    with pytest.raises(InputError, match=r"holds mean\.pt.* and no train\.json.*out='.*run-2'"):
        train(folder, finished)


def test_a_model_that_is_no_run_is_not_replaced(folder, tmp_path):
    shutil.copytree(folder / "toy", tmp_path / "model")
    with pytest.raises(InputError, match=r"holds model, and no train\.json"):
        train(folder, tmp_path)


def test_a_model_that_was_being_replaced_is_whole_again(folder, finished):
    (finished / "model").rename(finished / ".model.previous")
    assert goes_on(folder, finished)
    assert not (finished / ".model.previous").exists()


def test_notes_beside_a_model_are_told_before_training(folder, finished, monkeypatch):
    (finished / "model" / "notes.txt").write_text("mine")
    monkeypatch.setattr(fit, "fit_model", None)
    with pytest.raises(StoreError, match=r"model of this training.*holds notes\.txt: move"):
        train(folder, finished)
    assert (finished / "model" / "notes.txt").exists()


@pytest.fixture
def not_trained(monkeypatch):
    """All is written that a training begins with, and nothing is trained."""
    monkeypatch.setattr(fit, "fit_model", lambda start, *_, **__: start)


@pytest.mark.usefixtures("not_trained")
def test_a_survey_of_nobody_knows_what_is_made_again(folder, tmp_path):
    expected = json.loads((folder / "whole" / "survey.json").read_text())
    (tmp_path / "survey.json").write_text(json.dumps(expected | {"empty": [0]}))
    train(folder, tmp_path)
    assert json.loads((tmp_path / "survey.json").read_text()) == expected


@pytest.mark.usefixtures("not_trained")
def test_a_start_of_something_else_is_written_again(folder, finished):
    expected = open_model(finished / "start").sha256
    shutil.rmtree(finished / "start")
    write_toy_model(finished / "start", seed=3)
    train(folder, finished)
    assert open_model(finished / "start").sha256 == expected


def test_what_a_file_system_refuses_is_told(folder, tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot write the run to .*run: .*out="):
        train(folder, tmp_path / "run")


@pytest.mark.usefixtures("not_trained")
def test_numbers_of_numpy_are_arguments(folder, tmp_path):
    changes = {"steps": np.int64(7), "batch_size": np.int64(2), "patience": np.int64(3)}
    train(folder, tmp_path, **changes, learning_rate=np.float32(0.5), seed=np.int64(1))
    told = json.loads((tmp_path / RUN).read_text())
    assert (told["patience"], told["learning_rate"]) == (3, 0.5)


def test_a_finished_run_is_not_trained_again(folder, finished, monkeypatch):
    monkeypatch.setattr(loop._Run, "update", None)
    assert goes_on(folder, finished)
