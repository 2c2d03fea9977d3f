"""Scores of a training: what they are of a model whose errors are known."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from tests.toys import toy_card
from tests.training_toys import CPU, Noise, write_model
from xresdiff.models.card import Channel, SamplerCard
from xresdiff.train import validation
from xresdiff.train.batches import Batch, Draws
from xresdiff.train.encoding import Encoding
from xresdiff.train.stages import MeanStage, ResidualStage, network
from xresdiff.train.validation import Validation

U = Channel("u", "eastward_wind", "m s-1", mean=5.0, std=2.0)
V = replace(U, name="v", mean=-5.0)
STEPS = SamplerCard(steps=14, sigma_min=0.02, sigma_max=10.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Networks of zeros: the mean is zero, and the denoiser that of white noise."""
    card = toy_card(inputs=(U,), outputs=(U, V), conserve=(), global_residual=False)
    path = tmp_path_factory.mktemp("validation") / "m"
    return write_model(path, card, quiet=("mean", "residual"), residual={"scale": (3.0, 1.0)})


def stages_of(model, **changes):
    encoding = Encoding(model, CPU)
    mean = MeanStage(encoding, network(model, "mean", CPU))
    return mean, ResidualStage(encoding, network(model, "residual", CPU), mean, **changes)


def draws_of(stds=(3.0, 1.0), missing=0.0, **changes):
    patches = Noise(stds, (5.0, -5.0), missing=missing)
    return Draws(**({"patches": patches, "stage": "validation", "seed": 0} | changes),
                 batch_size=4, patch=32, noisy=True)  # fmt: skip


def scores(stage, draws=None, net=None, **settings):
    asked = {"batches": 2, "sampler": STEPS} | settings
    return Validation(stage, draws or draws_of(), **asked)(stage.net if net is None else net)


@pytest.fixture(scope="module")
def right(model):
    return scores(stages_of(model)[1])


class TestOfTheRightDistribution:
    """Targets are N(5, 3) and N(-5, 1), drawn members too: residuals of 1.5 and 0.5, encoded."""

    def test_the_crps_is_that_of_a_normal_distribution(self, right):
        assert right["crps"] == pytest.approx(1 / math.sqrt(math.pi), rel=0.02)

    def test_the_crps_of_the_mean_is_its_error(self, right):
        assert right["mae_mean"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)

    def test_spread_and_spectrum_are_right(self, right):
        assert right["spread_skill"] == pytest.approx(1, abs=0.03)
        assert 0 < right["spectral_distance"] < 1

    def test_the_loss_is_one_at_every_noise_level(self, right):
        # E (D - y)^2 of the best denoiser is 1 / lambda
        losses = [value for name, value in right.items() if name.startswith("loss_at_")]
        assert len(losses) == 5
        np.testing.assert_allclose([*losses, right["validation_loss"]], 1, rtol=0.05)


def test_a_spread_that_is_too_small_is_told(model):
    narrow = scores(stages_of(model, scale=(1.5, 0.5))[1])
    assert narrow["spread_skill"] == pytest.approx(
        math.sqrt((1 + 1 / 8) / 4 / (1 + 1 / 32)), abs=0.03
    )
    assert narrow["spectral_distance"] == pytest.approx(20 * math.log10(2), abs=0.5)
    assert narrow["crps"] > 0.58


def test_missing_targets_are_left_out(model):
    some = scores(stages_of(model)[1], draws_of(missing=0.3))
    assert some["crps"] == pytest.approx(1 / math.sqrt(math.pi), rel=0.03)
    assert math.isnan(some["spectral_distance"])


def test_outputs_that_never_vary_are_left_out_of_the_crps(model):
    some = scores(stages_of(model)[1], draws_of(stds=(3.0, 0.0)), patches=4)
    assert some["crps"] == pytest.approx(1 / math.sqrt(math.pi), rel=0.03)
    none = scores(stages_of(model)[1], draws_of(stds=(0.0, 0.0)), patches=4)
    assert none["crps"] > 0
    assert math.isnan(none["spectral_distance"])


def test_scores_of_the_mean(model):
    # of encoded deviations 1.5 and 0.5
    some = scores(stages_of(model)[0])
    assert some["mae"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)
    assert some["validation_loss"] == pytest.approx((1.5**2 + 0.5**2) / 2, rel=0.05)
    assert set(some) == {"validation_loss", "mae"}


def test_the_loss_is_weighted_by_output_and_that_at_noise_levels_is_not(model):
    plain, weighted = (scores(stages_of(model, weights=w)[1]) for w in ((), (4.0, 0.0)))
    assert weighted["validation_loss"] == pytest.approx(2 * plain["validation_loss"], rel=0.1)
    assert weighted["loss_at_0.5"] == plain["loss_at_0.5"]


def test_scores_are_the_same_every_time_and_in_parts(model):
    stage = stages_of(model)[1]
    first = scores(stage, patches=2)
    assert scores(stages_of(model)[1], patches=2) == first
    parts = scores(stage, patches=2, pixels=3 * 32 * 32)
    assert parts == pytest.approx(first, rel=1e-4)


def test_batches_are_drawn_once_and_not_those_of_training(model):
    steps = []

    @dataclass(frozen=True)
    class Noted(Draws):
        def batch(self, step, rank=0, world=1):
            steps.append(step)
            return super().batch(step, rank, world)

    stage = stages_of(model)[1]
    validate = Validation(stage, Noted(**vars(draws_of())), batches=3, members=0)
    assert validate(stage.net) == validate(stage.net)
    assert len(steps) == 3
    assert min(steps) >= 2**31


def test_the_network_asked_for_is_scored_and_left_in_its_mode(model, tmp_path):
    card = toy_card(inputs=(U,), outputs=(U, V), conserve=(), global_residual=False)
    other = network(write_model(tmp_path / "m", card), "residual", CPU)
    stage = stages_of(model)[1]
    assert other.training
    assert scores(stage, net=other, members=0) != scores(stage, members=0)
    assert other.training
    scores(stage, net=other.eval(), members=0)
    assert not other.training


def test_batches_are_halved_when_memory_runs_out(model, monkeypatch):
    stage, plain = stages_of(model)[1], ResidualStage.error
    expected, sizes = scores(stage, members=0), []

    def limited(self, noisy, net=None):
        sizes.append(len(noisy.y))
        if len(noisy.y) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, noisy, net)

    monkeypatch.setattr(ResidualStage, "error", limited)
    assert scores(stage, members=0) == pytest.approx(expected, rel=1e-4)
    assert max(sizes) == 4


def test_block_means_tell_noise_from_texture():
    """White noise of the right variance is as good by the pixel as smooth draws; not by blocks."""
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.normal(size=(40, 17, 1, 4, 4)), np.ones((8, 8))).astype(np.float32)
    white = rng.normal(size=(40, 16, 1, 32, 32)).astype(np.float32)
    truth, none = smooth[:, 16], np.zeros((40, 2))
    batch = Batch(truth, truth, np.ones_like(truth), none, none.astype(np.int64))
    pixel, block = (
        [
            validation._crps(*validation._block_means(m, batch, side))
            for m in (smooth[:, :16], white)
        ]
        for side in (1, 8)
    )
    assert pixel[0] == pytest.approx(pixel[1], rel=0.03)
    assert block[1] > 1.2 * block[0]


@pytest.mark.parametrize("share", [0.8, 0.01])
def test_scattered_gaps_leave_a_score(share):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(8, 1, 32, 32)).astype(np.float32)
    members = rng.normal(size=(8, 16, 1, 32, 32)).astype(np.float32)
    weight = (rng.random(truth.shape) < share).astype(np.float32)
    none = np.zeros((8, 2))
    batch = Batch(truth, truth * weight, weight, none, none.astype(np.int64))
    assert validation._crps_of_means(members, batch) == pytest.approx(0.564, rel=0.25)


def test_block_means_are_of_what_is_known():
    fine = np.array([[[[1.0, 3.0], [5.0, 9.0]]]], np.float32)
    weight = np.array([[[[1.0, 0.0], [1.0, 1.0]]]], np.float32)
    none = np.zeros((1, 2))
    batch = Batch(fine, fine * weight, weight, none, none.astype(np.int64))
    members, means = validation._block_means(fine[:, None], batch, 2)
    assert members.item() == means.fine.item() == 5.0
    assert means.weight.item() == 1.0


def test_the_spectrum_is_that_of_the_field_without_its_continuation():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(6, 1, 31, 31)).astype(np.float32)
    members = rng.normal(size=(6, 8, 1, 31, 31)).astype(np.float32)
    none = np.zeros((6, 2))
    batch = Batch(truth, truth, np.ones_like(truth), none, none.astype(np.int64))
    beyond = ((0, 0), (0, 0), (0, 1), (0, 1))
    weight = np.pad(batch.weight, beyond)
    continued = replace(batch, fine=np.pad(truth, beyond), weight=weight)
    padded = np.pad(members, ((0, 0), *beyond), mode="edge")
    assert validation._spectral_distance(padded, continued) == pytest.approx(
        validation._spectral_distance(members, batch)
    )
