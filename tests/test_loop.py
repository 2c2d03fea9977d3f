import logging
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from xresdiff.engine.loop import Recipe, Stage, fit
from xresdiff.engine.patches import Batch
from xresdiff.errors import InputError

CPU = torch.device("cpu")
RECIPE = Recipe(
    steps=20, batch_size=4, patch=8, learning_rate=0.02, warmup=3, validate_every=5, seed=11
)


@dataclass
class Toy:
    """Patches whose target is an affine function of the input."""

    drawn: int = 0

    def draw(self, rng, size, patch):
        self.drawn += 1
        coarse = rng.normal(size=(size, 1, patch, patch)).astype(np.float32)
        return Batch(coarse, 3 * coarse + 1, np.ones_like(coarse))


class Killed(BaseException):
    """What nothing in the loop catches."""


def toy_loss(net, batch, generator):
    coarse, fine = torch.from_numpy(batch.coarse), torch.from_numpy(batch.fine)
    noise = 0.1 * torch.randn(coarse.shape, generator=generator)
    return (net(coarse + noise) - fine).square().mean()


def toy_stage(loss=toy_loss, width=4, **changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.Dropout(0.2), nn.Conv2d(width, 1, 1)
        )
    return replace(Stage("toy", net, loss, Toy(), Toy()), **changes)


def without_times(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def assert_same_run(first, second):
    for name, value in first[0].items():
        assert torch.equal(value, second[0][name]), name
    assert without_times(first[1]) == without_times(second[1])


# --- what training does


def test_a_toy_is_learned(tmp_path):
    recipe = replace(RECIPE, steps=300, validate_every=50, learning_rate=0.05)
    net = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(net.weight)  # far from the answer, so that there is something to learn
    nn.init.zeros_(net.bias)
    stage = toy_stage(net=net, loss=lambda net, batch, _: toy_loss_plain(net, batch))
    weights, history = fit(stage, recipe, tmp_path, device=CPU)
    losses = [row["validation_loss"] for row in history]
    assert losses[-1] < 1e-3 * losses[0]
    assert history[-1]["training_loss"] < history[0]["training_loss"]
    assert weights["weight"].item() == pytest.approx(3, abs=0.02)
    assert weights["bias"].item() == pytest.approx(1, abs=0.02)


def toy_loss_plain(net, batch):
    return (net(torch.from_numpy(batch.coarse)) - torch.from_numpy(batch.fine)).square().mean()


def test_the_history_tells_how_it_went(tmp_path):
    recipe = replace(RECIPE, steps=12)
    _, history = fit(toy_stage(), recipe, tmp_path, device=CPU)
    assert [row["step"] for row in history] == [5, 10, 12]
    assert [row["learning_rate"] for row in history] == [recipe.rate(n) for n in (4, 9, 11)]
    assert {*history[0]} == {
        "step", "learning_rate", "training_loss", "validation_loss", "seconds",
    }  # fmt: skip
    seconds = [row["seconds"] for row in history]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_the_training_loss_is_the_mean_since_the_last_validation(tmp_path):
    seen = []

    def loss(net, batch, generator):
        value = toy_loss(net, batch, generator)
        if net.training:
            seen.append(value.item())
        return value

    _, history = fit(toy_stage(loss), RECIPE, tmp_path, device=CPU)
    means = [np.mean(seen[i : i + 5]) for i in range(0, 20, 5)]
    assert [row["training_loss"] for row in history] == pytest.approx(means)


def test_the_best_weights_are_those_of_the_best_validation(tmp_path):
    scores, weights = iter([0.5, 0.3, 0.9, 0.4]), []

    def loss(net, batch, generator):
        if net.training:
            return toy_loss(net, batch, generator)
        weights.append(net[0].weight.clone())
        return torch.tensor(next(scores))

    recipe = replace(RECIPE, validation_batches=1)
    best, history = fit(toy_stage(loss), recipe, tmp_path, device=CPU)
    assert [row["validation_loss"] for row in history] == pytest.approx([0.5, 0.3, 0.9, 0.4])
    assert torch.equal(best["0.weight"], weights[1])


def test_training_is_in_train_mode_and_validation_is_not(tmp_path):
    modes = []

    def loss(net, batch, generator):
        modes.append((net.training, torch.is_grad_enabled()))
        return toy_loss(net, batch, generator)

    fit(toy_stage(loss), replace(RECIPE, steps=5), tmp_path, device=CPU)
    assert modes == [(True, True)] * 5 + [(False, False)] * RECIPE.validation_batches


def test_no_more_batches_are_drawn_than_needed(tmp_path):
    stage = toy_stage()
    fit(stage, RECIPE, tmp_path, device=CPU)
    assert stage.training.drawn == RECIPE.steps


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    before = torch.get_rng_state()
    fit(toy_stage(), replace(RECIPE, steps=2), tmp_path, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_stages_draw_different_batches(tmp_path):
    sums = {}
    for name in ("mean", "residual"):

        def loss(net, batch, generator, name=name):
            sums.setdefault(name, batch.coarse.sum())
            return toy_loss(net, batch, generator)

        fit(toy_stage(loss, name=name), replace(RECIPE, steps=1), tmp_path, device=CPU)
    assert sums["mean"] != sums["residual"]


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

    def loss(net, batch, generator):
        if net.training:
            path.append(net.weight.item())
        return toy_loss_plain(net, batch)

    recipe = replace(RECIPE, steps=40, validate_every=40, ema_width=width)
    stage = toy_stage(loss, net=nn.Conv2d(1, 1, 1).double().float())
    weights, _ = fit(stage, recipe, tmp_path, device=CPU)
    after = np.array([*path[1:], stage.net.weight.item()])
    edges = (np.arange(41) / 40) ** (exponent + 1)  # integral of t^exponent, scaled to one
    assert weights["weight"].item() == pytest.approx((np.diff(edges) * after).sum(), rel=1e-4)
    density = np.linspace(0, 1, 10_001) ** exponent
    moment = [np.trapezoid(density * np.linspace(0, 1, 10_001) ** k) for k in range(3)]
    deviation = math.sqrt(moment[2] / moment[0] - (moment[1] / moment[0]) ** 2)
    assert deviation == pytest.approx(width, rel=1e-3)


# --- killed and resumed


def killed_at(step, loss=toy_loss):
    """Return a loss that kills the training in a step."""
    count = iter(range(10**6))

    def kill(net, batch, generator):
        if net.training and next(count) == step:
            raise Killed
        return loss(net, batch, generator)

    return kill


@pytest.mark.parametrize("step", [0, 4, 5, 13, 19])
def test_kill_and_resume_is_uninterrupted(tmp_path, step):
    expected = fit(toy_stage(), RECIPE, tmp_path / "..", device=CPU)
    for name in ("toy.pt", "toy.before"):
        (tmp_path / ".." / name).unlink()
    with pytest.raises(Killed):
        fit(toy_stage(killed_at(step)), RECIPE, tmp_path, device=CPU)
    assert_same_run(fit(toy_stage(), RECIPE, tmp_path, device=CPU), expected)


@pytest.mark.parametrize("left", ["nothing", "a start", "half", "all but a byte", "other bytes"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, left):
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = fit(toy_stage(), RECIPE, whole, device=CPU)
    with pytest.raises(Killed):
        fit(toy_stage(killed_at(17)), RECIPE, tmp_path, device=CPU)
    newest = tmp_path / "toy.pt"
    data = newest.read_bytes()
    kept = {
        "nothing": b"",
        "a start": data[:100],
        "half": data[: len(data) // 2],
        "all but a byte": data[:-1],
        "other bytes": bytes(range(256)) * 16,
    }
    newest.write_bytes(kept[left])
    steps = []

    def loss(net, batch, generator):
        steps.append(net.training)
        return toy_loss(net, batch, generator)

    with caplog.at_level(logging.WARNING):
        resumed = fit(toy_stage(loss), RECIPE, tmp_path, device=CPU)
    assert_same_run(resumed, expected)
    assert sum(steps) == 10  # from the checkpoint before, at step 10
    assert "toy.pt is damaged" in caplog.text


def test_without_a_good_checkpoint_training_starts_anew(tmp_path, caplog):
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = fit(toy_stage(), RECIPE, whole, device=CPU)
    for name in ("toy.pt", "toy.before"):
        (tmp_path / name).write_bytes(b"rubbish")
    assert_same_run(fit(toy_stage(), RECIPE, tmp_path, device=CPU), expected)
    assert caplog.text.count("is damaged") == 2


def test_a_kill_between_two_files_loses_nothing_but_time(tmp_path):
    expected = fit(toy_stage(), RECIPE, tmp_path, device=CPU)
    (tmp_path / "toy.pt").rename(tmp_path / "toy.new")  # not renamed yet
    assert_same_run(fit(toy_stage(), RECIPE, tmp_path, device=CPU), expected)


def test_a_finished_run_is_not_trained_again(tmp_path):
    expected = fit(toy_stage(), RECIPE, tmp_path, device=CPU)
    assert_same_run(fit(toy_stage(killed_at(0)), RECIPE, tmp_path, device=CPU), expected)


def test_seconds_go_on(tmp_path):
    with pytest.raises(Killed):
        fit(toy_stage(killed_at(11)), RECIPE, tmp_path, device=CPU)
    state = torch.load(tmp_path / "toy.pt", weights_only=True)
    state["history"][-1]["seconds"] = 1000.0
    torch.save(state, tmp_path / "toy.pt")
    _, history = fit(toy_stage(), RECIPE, tmp_path, device=CPU)
    assert history[-1]["seconds"] > 1000


def test_what_a_checkpoint_holds(tmp_path):
    fit(toy_stage(), RECIPE, tmp_path, device=CPU)
    state = torch.load(tmp_path / "toy.pt", weights_only=True)
    assert {*state} == {
        "net", "ema", "optimiser", "step", "best", "best_weights", "history",
    }  # fmt: skip
    assert state["step"] == 20
    assert {path.name for path in tmp_path.iterdir()} == {"toy.pt", "toy.before"}


# --- what is refused


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    fit(toy_stage(width=4), RECIPE, tmp_path, device=CPU)
    with pytest.raises(InputError, match=r"toy\.pt is a checkpoint of another network; .*out="):
        fit(toy_stage(width=5), RECIPE, tmp_path, device=CPU)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_refused(tmp_path, value):
    def loss(net, batch, generator):
        return toy_loss(net, batch, generator) * value

    with pytest.raises(InputError, match=r"toy stage is (nan|inf) in step 0; .*=0\.002"):
        fit(toy_stage(loss), RECIPE, tmp_path, device=CPU)
