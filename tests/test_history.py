import json
import logging
import math
import re
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.loop_toys import CPU, RECIPE, Toy, Watched, train
from xresdiff.errors import InputError
from xresdiff.options import set_options
from xresdiff.train.devices import Devices
from xresdiff.train.history import read, write
from xresdiff.train.reports import Progress, logged

MEAN = [
    {"step": 0.0, "learning_rate": 0.0, "training_loss": math.nan, "validation_loss": 2.0},
    {"step": 5.0, "learning_rate": 0.1, "training_loss": 1.5, "validation_loss": 1.0},
]
RESIDUAL = [
    {"step": 5.0, "crps": 0.3, "loss_at_10": 1.0, "loss_at_0.1": 0.5},
    {"step": 8.0, "crps": math.inf, "loss_at_10": 0.9, "loss_at_0.1": 0.4},
]


@pytest.fixture
def both(tmp_path):
    write(tmp_path, {"mean": MEAN, "residual": RESIDUAL})
    return read(tmp_path)


def test_rows_become_variables_of_stage_and_step(both):
    assert dict(both.sizes) == {"stage": 2, "step": 3, "noise_level": 2}
    assert both.stage.values.tolist() == ["mean", "residual"]
    assert both.step.values.tolist() == [0, 5, 8]
    np.testing.assert_array_equal(both.validation_loss, [[2, 1, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(both.training_loss[0], [np.nan, 1.5, np.nan])
    np.testing.assert_array_equal(both.crps[1], [np.nan, 0.3, np.inf])


def test_losses_at_noise_levels_become_one_variable(both):
    assert both.loss.dims == ("stage", "step", "noise_level")
    assert both.noise_level.values.tolist() == [0.1, 10]
    assert both.loss.sel(stage="residual", step=8).values.tolist() == [0.4, 0.9]
    assert both.loss.sel(stage="mean").isnull().all()
    assert not any(str(name).startswith("loss_at") for name in both)


def test_one_stage_has_the_same_dimensions(tmp_path):
    write(tmp_path, {"mean": MEAN})
    assert read(tmp_path).validation_loss.dims == ("stage", "step")


def test_variables_say_what_they_are(both):
    assert all("long_name" in variable.attrs for variable in both.variables.values())
    assert both.training_loss.attrs["units"] == "1"
    assert both.crps.attrs["units"] == "1"
    assert "standard deviations of the target" in both.crps.attrs["long_name"]


def test_a_stage_is_written_beside_the_others(tmp_path):
    write(tmp_path, {"mean": MEAN})
    write(tmp_path, {"residual": RESIDUAL})
    write(tmp_path, {"mean": MEAN[:1]})
    ds = read(tmp_path)
    assert ds.stage.values.tolist() == ["mean", "residual"]
    assert ds.validation_loss.notnull().sum() == 1


def test_the_file_is_plain_json(both, tmp_path):
    def refuse(name):
        raise AssertionError(name)

    json.loads((tmp_path / "history.json").read_text(), parse_constant=refuse)
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]


def test_a_history_can_be_saved(both, tmp_path):
    both.to_netcdf(tmp_path / "history.nc")


@pytest.mark.parametrize("text", [None, "", "{}", '{"mean": []}', '{"mean": [{"st'])
def test_without_a_run_there_is_an_error(tmp_path, text):
    if text is not None:
        (tmp_path / "history.json").write_text(text)
    with pytest.raises(InputError, match=r"there is no run in .*history\.json.*xresdiff\.history"):
        read(tmp_path)


def test_it_can_be_read_while_a_run_goes_on(tmp_path):
    seen = []

    def validate(net):
        if seen or (tmp_path / "history.json").exists():
            seen.append(read(tmp_path).step.values.tolist())
        return {"validation_loss": 1.0}

    train(tmp_path, validate=validate)
    assert seen == [[0], [0, 5], [0, 5, 10], [0, 5, 10, 15]]
    assert read(tmp_path).step.values.tolist() == [0, 5, 10, 15, 20]


def test_a_run_that_goes_on_writes_what_its_checkpoint_holds(tmp_path):
    train(tmp_path)
    (tmp_path / "history.json").unlink()
    train(tmp_path)
    assert read(tmp_path).step.values.tolist() == [0, 5, 10, 15, 20]


# --- reports


def test_the_log_of_a_run_is_written_once_however_often_it_is_asked_for(tmp_path):
    with logged(tmp_path, CPU), logged(tmp_path, CPU):
        logging.getLogger("xresdiff.train").info("a line")
    assert (tmp_path / "log.txt").read_text().count("a line") == 1


def test_the_log_goes_on_behind_what_is_there(tmp_path):
    for text in ("first", "second"):
        with logged(tmp_path, CPU):
            logging.getLogger("xresdiff.train").info(text)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["first", "second"]


def test_the_log_is_as_it_was_afterwards(tmp_path):
    logger = logging.getLogger("xresdiff")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with pytest.raises(ZeroDivisionError), logged(tmp_path, CPU):
        1 / 0  # noqa: B018
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


def test_warnings_reach_the_user_beside_the_file(tmp_path, caplog):
    with logged(tmp_path, CPU):
        logging.getLogger("xresdiff.train").warning("beware")
        logging.getLogger("xresdiff.train").info("by the way")
    assert [record.getMessage() for record in caplog.records] == ["beware"]
    assert "by the way" in (tmp_path / "log.txt").read_text()


def test_who_does_not_write_keeps_no_log(tmp_path):
    with logged(tmp_path, Devices(torch.device("cpu"), rank=1, world=2)):
        logging.getLogger("xresdiff.train").warning("beware")
    assert list(tmp_path.iterdir()) == []


def test_the_bar_tells_loss_score_and_pace(tmp_path, capsys):
    with set_options(progress=True):
        train(tmp_path)
    told = capsys.readouterr()
    assert "20/20" in told.err
    assert "validation_loss=" in told.err
    assert re.search(r" s a step, about \S+ s for 20 steps", told.out + told.err)


def test_the_pace_of_a_short_training_is_told(tmp_path, capsys):
    with set_options(progress=True):
        train(tmp_path, recipe=replace(RECIPE, steps=2))
    told = capsys.readouterr()
    assert "for 2 steps and their validations" in told.out + told.err


def test_the_pace_counts_the_validations_to_come(tmp_path):
    history = [{"step": 0.0, "seconds": 100.0}]
    assert Progress(tmp_path, "toy", RECIPE, 0, history, CPU).validations_s == 400
    assert Progress(tmp_path, "toy", RECIPE, 10, history, CPU).validations_s == 200


def interrupted_at(step):
    steps = iter(range(100))

    def interrupt(*_):
        if next(steps) == step:
            raise KeyboardInterrupt

    return Watched(interrupt, dropout=0.2)


def test_ctrl_c_tells_where_it_stopped_and_the_same_call_where_it_goes_on(tmp_path, capsys):
    with set_options(progress=True):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, interrupted_at(7))
        stopped = "".join(capsys.readouterr())
        train(tmp_path)
    went_on = "".join(capsys.readouterr())
    assert "stopped at toy step 7 of 20; the same call goes on from step 5" in stopped
    assert "toy goes on at step 5 of 20" in went_on


def test_a_finished_stage_does_not_go_on(tmp_path):
    for _ in range(2):
        train(tmp_path)
    assert "goes on" not in (tmp_path / "log.txt").read_text()


def test_the_bar_goes_back_with_the_run(tmp_path, capsys):
    left = [math.nan]

    class Sick(Toy):
        def loss(self, batch, net=None):
            loss = super().loss(batch, net)
            return loss * left.pop() if net is None and self.net.training and left else loss

    with set_options(progress=True):
        train(tmp_path, Sick())
    assert "20/20" in capsys.readouterr().err


class _Writer:
    """What TensorBoard would be told."""

    told: list = []  # noqa: RUF012

    def __init__(self, folder, purge_step):
        self.told.append((folder, purge_step))

    def add_scalar(self, name, value, step):
        self.told.append((name, step))

    def flush(self):
        pass

    def close(self):
        self.told.append("closed")


def test_tensorboard_is_told_where_it_is_installed(tmp_path, monkeypatch):
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = _Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(_Writer, "told", [])
    train(tmp_path)
    assert _Writer.told[0] == (str(tmp_path / "tensorboard"), 0)
    assert ("toy/validation_loss", 20) in _Writer.told
    assert _Writer.told[-1] == "closed"


@pytest.mark.parametrize("broken", [None, types.ModuleType("torch.utils.tensorboard")])
def test_without_tensorboard_nothing_is_missed(tmp_path, monkeypatch, broken):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", broken)
    _, history = train(tmp_path)
    assert history[-1]["step"] == RECIPE.steps
    assert not (tmp_path / "tensorboard").exists()
