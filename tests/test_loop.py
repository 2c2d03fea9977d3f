import logging
import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.loop_toys import (
    CPU,
    RECIPE,
    Affine,
    Toy,
    Watched,
    assert_same_run,
    assert_same_weights,
    killed_at,
    train,
    two_layers,
)
from xresdiff.errors import InputError
from xresdiff.train.loop import Recipe, _batches

# --- what training does


def test_a_toy_is_learned(tmp_path):
    recipe = replace(RECIPE, steps=150, validate_every=50, learning_rate=0.1)
    net = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(net.weight)  # far from the answer, so that there is something to learn
    nn.init.zeros_(net.bias)
    weights, history = train(tmp_path, Toy(net), recipe)
    losses = [row["validation_loss"] for row in history]
    assert losses[-1] < 1e-3 * losses[0]
    assert history[-1]["training_loss"] < history[1]["training_loss"]
    assert weights["weight"].item() == pytest.approx(3, abs=0.02)
    assert weights["bias"].item() == pytest.approx(1, abs=0.02)


def test_the_history_tells_how_it_went(tmp_path):
    recipe = replace(RECIPE, steps=12)
    _, history = train(tmp_path, recipe=recipe)
    assert [row["step"] for row in history] == [0, 5, 10, 12]
    rates = [row["learning_rate"] for row in history]
    assert rates == [0, *(recipe.rate(n) for n in (4, 9, 11))]
    assert {*history[0]} == {
        "step", "learning_rate", "training_loss", "gradient_norm", "validation_loss", "seconds",
    }  # fmt: skip
    seconds = [row["seconds"] for row in history]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < seconds[3]


def test_the_training_loss_is_the_mean_since_the_last_validation(tmp_path):
    seen = []
    stage = Watched(lambda batch, loss: seen.append(loss.item() / batch.weight.sum()))
    _, history = train(tmp_path, stage)
    means = [np.mean(seen[i : i + 5]) for i in range(0, 20, 5)]
    assert [row["training_loss"] for row in history[1:]] == pytest.approx(means)


def test_the_gradient_is_that_of_the_mean_over_what_counts(tmp_path):
    norms = []

    def act(batch, loss):
        parameters = list(stage.net.parameters())
        gradients = torch.autograd.grad(loss / batch.weight.sum(), parameters, retain_graph=True)
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))

    stage = Watched(act)
    _, history = train(tmp_path, stage, replace(RECIPE, steps=5))
    assert history[-1]["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-5)


def test_a_gradient_is_clipped(tmp_path):
    """With its norm far below the epsilon of AdamW, a clipped gradient moves nothing."""
    recipe = replace(RECIPE, steps=5, weight_decay=0, clip=1e-14)
    start = {name: value.clone() for name, value in two_layers().state_dict().items()}
    weights, history = train(tmp_path, Toy(), recipe)
    assert history[-1]["gradient_norm"] > 0.1  # as it was before
    for name, value in weights.items():
        torch.testing.assert_close(value, start[name], atol=1e-6, rtol=0)


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    scores, weights = iter([0.6, 0.5, 0.3, 0.9, 0.4]), []

    def validate(net):
        weights.append(net[0].weight.clone())
        return {"validation_loss": next(scores)}

    best, history = train(tmp_path, validate=validate)
    assert [row["validation_loss"] for row in history] == [0.6, 0.5, 0.3, 0.9, 0.4]
    assert torch.equal(best["0.weight"], weights[2])


def test_training_is_in_train_mode_and_validation_is_not(tmp_path):
    modes = []
    stage = Watched(lambda *_: modes.append((stage.net.training, torch.is_grad_enabled())))

    def validate(net):
        modes.append((net.training, torch.is_grad_enabled()))
        return {"validation_loss": 1.0}

    train(tmp_path, stage, replace(RECIPE, steps=5), validate=validate)
    assert modes == [(False, False), *[(True, True)] * 5, (False, False)]


def test_it_stops_when_the_score_stays(tmp_path):
    scores = iter([9.0, 5.0, 3.0, 4.0, 3.5, 1.0])
    recipe = replace(RECIPE, steps=100, patience=2)
    _, history = train(
        tmp_path, recipe=recipe, validate=lambda _: {"validation_loss": next(scores)}
    )
    assert [row["step"] for row in history] == [0, 5, 10, 15, 20]


def test_a_stopped_run_is_not_trained_again(tmp_path):
    recipe = replace(RECIPE, steps=100, patience=1)
    validate = lambda _: {"validation_loss": 1.0}  # noqa: E731
    expected = train(tmp_path, recipe=recipe, validate=validate)
    assert expected[1][-1]["step"] == 10
    assert_same_run(train(tmp_path, killed_at(0), recipe, validate=validate), expected)


def test_without_a_step_the_weights_are_those_of_the_start(tmp_path):
    weights, history = train(tmp_path, Toy(), replace(RECIPE, steps=0))
    assert_same_weights(weights, two_layers().state_dict())
    assert [row["step"] for row in history] == [0]


def test_steps_without_any_target_are_counted_and_change_nothing(tmp_path):
    weights, history = train(tmp_path, Toy(), replace(RECIPE, steps=5), Affine(missing=math.inf))
    assert_same_weights(weights, two_layers().state_dict())
    assert history[-1]["step"] == 5
    assert math.isnan(history[-1]["training_loss"])


def test_no_better_score_than_at_the_start_is_said(tmp_path, caplog):
    scores = iter([1.0, 1.5])
    train(
        tmp_path,
        recipe=replace(RECIPE, steps=5),
        validate=lambda _: {"validation_loss": next(scores)},
    )
    assert "no validation gave a better validation_loss (1.5) than" in caplog.text


def test_frozen_weights_stay(tmp_path):
    stage = Toy()
    stage.net[0].requires_grad_(False)
    start = stage.net[0].weight.clone()
    weights, _ = train(tmp_path, stage)
    assert torch.equal(weights["0.weight"], start)


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    before = torch.get_rng_state()
    train(tmp_path, recipe=replace(RECIPE, steps=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_comes_from_the_seed_alone(tmp_path):
    first = train(tmp_path / "a")
    torch.rand(7)
    assert_same_run(train(tmp_path / "b"), first)
    other = train(tmp_path / "c", Toy())
    assert not torch.equal(other[0]["0.weight"], first[0]["0.weight"])


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = two_layers()

    def forward(self, x):
        return self.layers(x)


@pytest.mark.slow
def test_a_compiled_network_keeps_its_names_and_learns_the_same(tmp_path):
    plain, _ = train(tmp_path / "plain", Toy(Wrapped()))
    torch._dynamo.reset()
    compiled, _ = train(tmp_path / "compiled", Toy(Wrapped()), replace(RECIPE, compile=True))
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert {*compiled} == {*plain}
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-5)


def test_a_line_tells_the_pace_once(tmp_path):
    train(tmp_path, recipe=replace(RECIPE, steps=30))
    lines = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "a step" in line]
    assert len(lines) == 1
    assert "s for 30 steps and their validations, peak memory" in lines[0]


# --- the recipe


def test_the_rate_rises_and_falls():
    recipe = Recipe(steps=1000, learning_rate=0.01, warmup=100)
    rates = np.array([recipe.rate(step) for step in range(1000)])
    cosine = 0.005 * (1 + np.cos(np.pi * np.arange(1000) / 1000))
    np.testing.assert_allclose(rates[99:], cosine[99:])
    np.testing.assert_allclose(rates[:100], cosine[:100] * np.arange(1, 101) / 100)
    assert (np.diff(rates[:80]) > 0).all()
    assert (np.diff(rates[100:]) < 0).all()
    assert recipe.rate(1000) == 0


def test_no_warm_up_starts_at_the_top():
    assert Recipe(warmup=0, learning_rate=0.5).rate(0) == 0.5


# exponents from Karras et al. (2024, arXiv 2312.02696), section 3.1
@pytest.mark.parametrize(("width", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_average_has_the_width_asked_for(tmp_path, width, exponent):
    """Hold the average against the weighted sum of all the steps' weights that it stands for."""
    path = []  # the parameter before every step
    torch.manual_seed(0)
    stage = Watched(lambda *_: path.append(stage.net.weight.item()), net=nn.Conv2d(1, 1, 1))
    recipe = replace(RECIPE, steps=40, validate_every=40, ema_width=width)
    weights, _ = train(tmp_path, stage, recipe)
    after = np.array([*path[1:], stage.net.weight.item()])
    edges = (np.arange(41) / 40) ** (exponent + 1)  # integral of t^exponent, scaled to one
    assert weights["weight"].item() == pytest.approx((np.diff(edges) * after).sum(), abs=1e-5)
    density = np.linspace(0, 1, 10_001) ** exponent
    moment = [np.trapezoid(density * np.linspace(0, 1, 10_001) ** k) for k in range(3)]
    deviation = math.sqrt(moment[2] / moment[0] - (moment[1] / moment[0]) ** 2)
    assert deviation == pytest.approx(width, rel=1e-3)


# --- the batches


class Numbered:
    """Draws that are their number, the later the faster; some cannot be drawn."""

    def __init__(self, broken=-1):
        self.broken, self.threads, self.asked = broken, set(), []

    def batch(self, step, rank, world):
        self.asked.append(step)
        self.threads.add(threading.current_thread().name)
        time.sleep(0.002 * (step % 3))
        if step == self.broken:
            raise InputError(f"no batch {step}")
        return step


def test_batches_come_in_order():
    assert list(_batches(Numbered(), CPU, range(3, 30))) == list(range(3, 30))


def test_batches_are_drawn_ahead_by_two_threads_but_not_far():
    draws = Numbered()
    batches = _batches(draws, CPU, range(100))
    for _ in range(5):
        next(batches)
        time.sleep(0.02)
    assert 5 < len(draws.asked) <= 9
    batches.close()
    assert draws.threads == {"draws_0", "draws_1"}
    assert not any(thread.name.startswith("draws") for thread in threading.enumerate())


def test_a_batch_that_cannot_be_drawn_is_an_error_in_its_place():
    batches = _batches(Numbered(broken=4), CPU, range(9))
    assert [next(batches) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="no batch 4"):
        next(batches)


def test_no_more_batches_are_drawn_than_needed(tmp_path):
    patches = Affine()
    train(tmp_path, patches=patches)
    assert sum(patches.drawn) == RECIPE.steps * RECIPE.batch_size


def test_an_interrupt_leaves_no_thread(tmp_path):
    def interrupt(batch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Watched(interrupt))
    assert not any(thread.name.startswith("draws") for thread in threading.enumerate())


def test_stages_draw_different_batches(tmp_path):
    sums = {}
    for name in ("mean", "residual"):
        stage = Watched(lambda batch, _, n=name: sums.setdefault(n, batch.coarse.sum()), name=name)
        stage.act = lambda batch, _, n=name: sums.update({n: batch.coarse.sum()})
        train(tmp_path, stage, replace(RECIPE, steps=1))
    assert sums["mean"] != sums["residual"]


# --- memory


@pytest.mark.parametrize("size", [1, 2, 3])
def test_micro_batches_add_up_to_the_batch(tmp_path, size):
    whole, _ = train(tmp_path / "whole", Toy())
    parts, _ = train(tmp_path / "parts", Toy(), replace(RECIPE, micro_batch=size))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)


def greedy(most, error=torch.OutOfMemoryError, **settings):
    """Return a stage whose memory holds so many patches, and the sizes that it was given."""
    sizes = []

    def act(batch, loss):
        sizes.append(len(batch))
        if len(batch) > most:
            raise error("out of memory")

    return Watched(act, **settings), sizes


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError, MemoryError])
def test_batches_are_halved_when_memory_runs_out(tmp_path, caplog, error):
    stage, sizes = greedy(1, error)
    halved, _ = train(tmp_path / "halved", stage)
    whole, _ = train(tmp_path / "whole", Toy())
    assert sizes == [4, 2, *[1] * 4 * RECIPE.steps]
    for name, value in whole.items():
        torch.testing.assert_close(halved[name], value, rtol=1e-4, atol=1e-5)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        "memory ran out; going on with 1 of 4 patches at a time, whose gradients are added up: "
        "the result is the same"
    ]


def test_how_many_patches_fit_is_remembered(tmp_path):
    stage, _ = greedy(2)
    train(tmp_path, stage, replace(RECIPE, steps=20, patience=1), validate=lambda _: SAME)
    stage, sizes = greedy(2)
    train(tmp_path, stage)
    assert sizes == [2] * 20


SAME = {"validation_loss": 1.0}


def test_memory_that_runs_out_again_is_not_said_again(tmp_path, caplog):
    count = iter(range(100))

    def act(batch, loss):
        if len(batch) > (2 if next(count) < 20 else 1):
            raise MemoryError

    train(tmp_path, Watched(act))
    assert caplog.text.count("memory ran out") == 1


def test_a_patch_that_does_not_fit_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"single patch of 8 pixels; type patch=4"):
        train(tmp_path, greedy(0)[0])


def test_other_errors_are_not_taken_for_want_of_memory(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"):
        train(tmp_path, Watched(lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ"))))


def test_the_log_is_told_to_nobody_who_did_not_ask(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(tmp_path)
    assert caplog.text == ""
    assert "toy {'step': 20.0" in (tmp_path / "log.txt").read_text()
