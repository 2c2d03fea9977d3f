import math
from dataclasses import replace

import pytest
import torch

from tests.loop_toys import RECIPE, Killed, Toy, Watched, assert_same_run, train
from xresdiff.errors import InputError
from xresdiff.train.recipe import Recipe


def diverging(steps, value=math.nan, **settings):
    """Return a stage whose loss is not finite the first times that it comes to these steps."""
    left, count = list(steps), [0]

    def act(batch, loss):
        # which step it is, is known by the batch: the same batch comes again after a setback
        number = seen.setdefault(float(batch.coarse.sum()), len(seen))
        count[0] += 1
        if number in left:
            left.remove(number)
            return loss * value
        return None

    seen = {}
    return Watched(act, **settings)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_diverging_goes_back_with_half_the_learning_rate(tmp_path, caplog, value):
    _, history = train(tmp_path, diverging([7], value))
    rates = [row["learning_rate"] for row in history]
    expected = [RECIPE.rate(4), *(0.5 * RECIPE.rate(n) for n in (9, 14, 19))]
    assert rates[1:] == pytest.approx(expected)
    assert caplog.text.count("going back to step 5 with half the learning rate, 0.01") == 1


def test_diverging_before_the_first_validation_goes_back_to_the_start(tmp_path):
    _, history = train(tmp_path, diverging([2, 3]))
    assert [row["step"] for row in history] == [0, 5, 10, 15, 20]
    assert history[1]["learning_rate"] == pytest.approx(RECIPE.rate(4) / 4)


def assert_finite(value):
    if isinstance(value, torch.Tensor):
        assert value.isfinite().all()
    elif isinstance(value, dict):
        for own in value.values():
            assert_finite(own)


def test_diverging_a_third_time_is_an_error_and_nothing_broken_is_saved(tmp_path):
    message = (
        r"the toy stage diverged 3 times, now in step 12 at a learning rate of 0\.005: its loss is "
        r"nan.*learning_rate=0\.002, out='.*-2'"
    )
    with pytest.raises(InputError, match=message):
        train(tmp_path, diverging([12, 12, 12]))
    state = torch.load(tmp_path / "toy.pt", weights_only=True)
    assert state["step"] == 10
    assert state["setbacks"] == 2
    assert_finite({name: state[name] for name in ("net", "ema", "best_weights", "optimiser")})


def test_the_same_call_after_that_is_the_same_error(tmp_path):
    with pytest.raises(InputError, match="diverged 3 times"):
        train(tmp_path, diverging([12, 12, 12]))
    with pytest.raises(InputError, match="diverged 3 times"):
        train(tmp_path, diverging([2]))


def test_a_learning_rate_beyond_reason_is_an_error(tmp_path):
    """All losses are finite, and the loss of every interval is as bad as that before."""
    recipe = replace(RECIPE, steps=60, learning_rate=1e3, clip=1e9)
    with pytest.raises(InputError, match=r"its loss rose from .*learning_rate=100"):
        train(tmp_path, Toy(), recipe)


def test_an_explosion_later_on_is_noticed(tmp_path):
    """The learning rate is harmless for ten steps and then is not."""

    class Sudden(Recipe):
        def rate(self, step):
            return 50.0 if 10 <= step < 13 else super().rate(step)

    recipe = Sudden(**{**vars(RECIPE), "steps": 30})
    with pytest.raises(InputError, match=r"diverged 3 times, now in step 14.* its loss rose"):
        train(tmp_path, Toy(), recipe)


def test_one_bad_batch_is_not_taken_for_an_explosion(tmp_path, caplog):
    count = iter(range(100))
    stage = Watched(lambda _, loss: loss * 1e4 if next(count) == 12 else loss)
    train(tmp_path, stage)
    assert "diverged" not in caplog.text


def test_a_score_that_was_never_finite_is_said_to_be(tmp_path):
    with pytest.raises(InputError, match="its validation_loss is nan, as it was from the first"):
        train(tmp_path, validate=lambda _: {"validation_loss": math.nan})


def test_a_score_that_is_not_finite_is_no_good_one(tmp_path):
    scores = iter([1.0, 0.5, math.nan, 0.4, 0.3, 0.2])
    _, history = train(tmp_path, validate=lambda _: {"validation_loss": next(scores)})
    assert [row["validation_loss"] for row in history] == [1.0, 0.5, 0.4, 0.3, 0.2]
    assert history[2]["learning_rate"] == pytest.approx(RECIPE.rate(9) / 2)


@pytest.mark.parametrize("step", [9, 12])
def test_killed_after_a_setback_is_uninterrupted(tmp_path, step):
    """The network has no dropout, for the rerun knows nothing of what was lost."""
    expected = train(tmp_path / "whole", diverging([7]))
    count = iter(range(100))
    sick = diverging([7])
    act = sick.act

    def both(batch, loss):
        if next(count) == step:
            raise Killed
        return act(batch, loss)

    sick.act = both
    with pytest.raises(Killed):
        train(tmp_path, sick)
    assert_same_run(train(tmp_path, Toy()), expected)


def test_how_many_patches_fit_is_not_forgotten_by_a_setback(tmp_path):
    """Memory runs out in step 6; what goes back to step 5 needs no second try."""
    sizes = []

    def act(batch, loss):
        sizes.append(len(batch))
        if len(sizes) > 6 and len(batch) > 2:
            raise MemoryError
        return loss * math.nan if len(sizes) == 10 else loss

    train(tmp_path, Watched(act))
    assert sizes[:7] == [4] * 7
    assert {*sizes[7:]} == {2}


def test_the_lowest_loss_so_far_is_remembered(tmp_path):
    _, history = train(tmp_path, Toy())
    state = torch.load(tmp_path / "toy.pt", weights_only=True)
    assert state["lowest"] <= min(row["training_loss"] for row in history[1:])
