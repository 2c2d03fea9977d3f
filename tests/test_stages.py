"""The losses of both stages, by their formulas, and that training meets what inference does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.regions import EXTRAS, LAT, LAT_2D, LON_2D, OROGRAPHY, write_bay
from tests.toys import PRECIP_RATE, fixed_card, toy_card
from tests.training_toys import CPU, Noise, noised, rain_batch, write_model
from xresdiff.engine.arguments import Settings
from xresdiff.engine.fields import Fields
from xresdiff.engine.noise import normal_field
from xresdiff.engine.runtime import Draw, Runtime, sampled
from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Extra, FixedTarget, Padding, Patching, SamplerCard
from xresdiff.models.grid_file import write_grid
from xresdiff.train.batches import Batch, Draws
from xresdiff.train.encoding import Encoding, NoiseLevels
from xresdiff.train.stages import MeanStage, ResidualStage, measure, network

WIND = Channel("ws", "wind_speed", "m s-1", mean=5.0, std=2.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Rain from rain; residuals of a quarter."""
    path = tmp_path_factory.mktemp("stages") / "rain"
    return write_model(path, toy_card(), residual={"scale": (0.25,)})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Rain and wind from rain."""
    path = tmp_path_factory.mktemp("stages") / "both"
    return write_model(path, toy_card(outputs=(PRECIP_RATE, WIND)))


def stages_of(model, **changes):
    encoding = Encoding(model, CPU)
    mean = MeanStage(encoding, network(model, "mean", CPU))
    return mean, ResidualStage(encoding, network(model, "residual", CPU), mean, **changes)


def mean_by_hand(model, batch):
    fields, coarse = Fields(model.card), torch.from_numpy(batch.coarse)
    net = model.network("mean").net
    with torch.no_grad():
        correction = net(fields.condition(coarse), torch.zeros(len(coarse)))
    return fields.base(coarse) + correction


def test_noise_levels_are_log_normal_about_the_data():
    level = torch.from_numpy(np.random.default_rng(0).standard_normal(20_000))
    logs = (NoiseLevels(mean=-1.0, std=1.4).sigma(level, 0.3) / 0.6).log()
    assert logs.mean().item() == pytest.approx(-1.0, abs=0.05)
    assert logs.std().item() == pytest.approx(1.4, abs=0.05)


def test_the_mean_loss_is_the_weighted_sum_of_squared_errors(model):
    batch = rain_batch(missing=0.3)
    target = Fields(model.card).encode(torch.from_numpy(batch.fine))
    error = (mean_by_hand(model, batch) - target) ** 2
    expected = (torch.from_numpy(batch.weight) * error).sum()
    torch.testing.assert_close(stages_of(model)[0].loss(batch).detach(), expected)


def test_the_denoising_loss_is_the_formula_of_the_edm_paper(model):
    batch, sigma_data, scale = rain_batch(missing=0.3), 0.5, 0.25
    fields = Fields(model.card)
    coarse, weight = torch.from_numpy(batch.coarse), torch.from_numpy(batch.weight)
    mean = mean_by_hand(model, batch)
    y = weight * (fields.encode(torch.from_numpy(batch.fine)) - mean) / scale
    sigma = torch.from_numpy(np.exp(-1.2 + 1.2 * batch.level).astype("f4"))  # 2 sigma_data is one
    s = sigma[:, None, None, None]
    x = y + s * torch.from_numpy(batch.noise)
    both = s**2 + sigma_data**2
    known = torch.cat([x / both.sqrt(), mean, fields.condition(coarse)], dim=1)
    with torch.no_grad():
        f = model.network("residual").net(known, sigma.log() / 4)
    denoised = sigma_data**2 / both * x + s * sigma_data / both.sqrt() * f
    expected = (weight * both / (s * sigma_data) ** 2 * (denoised - y) ** 2).sum()
    torch.testing.assert_close(
        stages_of(model)[1].loss(batch).detach(), expected, rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("which", [0, 1])
def test_missing_targets_neither_count_nor_are_seen(model, which):
    stage, batch = stages_of(model)[which], rain_batch(missing=0.3)
    filled = replace(batch, fine=np.where(batch.weight > 0, batch.fine, np.float32(99)))
    assert stage.loss(batch) == stage.loss(filled)


@pytest.mark.parametrize("which", [0, 1])
def test_the_losses_of_parts_add_up(model, which):
    stage, batch = stages_of(model)[which], rain_batch()
    parts = sum(stage.loss(batch.part(slice(i, i + 2))) for i in (0, 2, 4))
    torch.testing.assert_close(parts, stage.loss(batch), rtol=1e-5, atol=0)


def test_the_denoising_loss_trains_the_residual_network_alone(model):
    mean, residual = stages_of(model)
    residual.loss(rain_batch()).backward()
    assert all(p.grad is not None for p in residual.net.parameters())
    assert all(p.grad is None for p in mean.net.parameters())


def test_another_network_takes_the_place_of_the_stages_own(model, tmp_path):
    other = write_model(tmp_path / "other", toy_card(), seed=7, residual={"scale": (0.25,)})
    batch = rain_batch()
    mean = stages_of(model)[0].loss(batch, network(other, "mean", CPU))
    assert mean == stages_of(other)[0].loss(batch)
    assert mean != stages_of(model)[0].loss(batch)
    residual = stages_of(model)[1]
    moved = network(other, "residual", CPU)
    assert residual.loss(batch, moved) != residual.loss(batch)


def test_a_mean_that_was_computed_before_is_taken(model):
    batch, residual = rain_batch(), stages_of(model)[1]
    given = replace(batch, mean=mean_by_hand(model, batch).numpy())
    torch.testing.assert_close(residual.loss(given), residual.loss(batch), rtol=1e-4, atol=0)
    assert residual.loss(replace(batch, mean=given.mean + 1)) != residual.loss(given)


def test_without_a_mean_network_the_mean_is_the_base(model):
    encoding, batch = Encoding(model, CPU), rain_batch()
    alone = ResidualStage(encoding, network(model, "residual", CPU), None)
    base = Fields(model.card).base(torch.from_numpy(batch.coarse))
    assert torch.equal(alone.mean(encoding.tensors(batch)), base)


def test_the_mean_network_is_evaluated_without_dropout(tmp_path):
    model = write_model(tmp_path / "m", toy_card(), network={"dropout": 0.5})
    mean, residual = stages_of(model)
    tensors = residual.encoding.tensors(rain_batch())
    assert torch.equal(residual.mean(tensors), residual.mean(tensors))
    assert mean.net.training


def two_outputs(batch):
    wind = np.random.default_rng(5).normal(5, 2, batch.fine.shape).astype("f4")
    fine = np.concatenate([batch.fine, wind], axis=1)
    return noised(replace(batch, fine=fine, weight=np.ones_like(fine)))


@pytest.mark.parametrize("which", [0, 1])
def test_the_errors_of_outputs_count_as_they_are_weighted(both, which):
    batch = two_outputs(rain_batch())
    encoding = Encoding(both, CPU)

    def loss(*weights):
        mean = MeanStage(encoding, network(both, "mean", CPU), weights=weights)
        net = network(both, "residual", CPU)
        stages = (mean, ResidualStage(encoding, net, mean, weights=weights))
        return stages[which].loss(batch).item()

    assert loss(3.0, 0.0) + loss(0.0, 0.5) == pytest.approx(loss(3.0, 0.5), rel=1e-5)
    assert loss(2.0, 0.0) == pytest.approx(2 * loss(1.0, 0.0), rel=1e-5)
    assert loss() == pytest.approx(loss(1.0, 1.0))


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (1.0, float("nan"))])
def test_weights_that_do_not_fit_the_outputs_are_refused(both, weights):
    with pytest.raises(InputError, match="one number of at least 0 for each of precip_rate, ws"):
        MeanStage(Encoding(both, CPU), network(both, "mean", CPU), weights=weights)


def test_noise_is_asked_for(model):
    with pytest.raises(InputError, match="noisy=True"):
        stages_of(model)[1].loss(replace(rain_batch(), noise=None))
    with pytest.raises(InputError, match="nothing to denoise"):
        stages_of(model)[0].denoise(torch.zeros(1), torch.ones(1), torch.zeros(1))


def test_bfloat16_gives_nearly_the_same_loss(model):
    encoding, batch = Encoding(model, CPU), rain_batch()
    exact, rough = (
        MeanStage(encoding, network(model, "mean", CPU), dtype=dtype).loss(batch).item()
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rough == pytest.approx(exact, rel=0.01)
    assert rough != exact


class TestTheMeasuredScale:
    def test_brings_residuals_to_sigma_data(self, tmp_path):
        outputs = (replace(WIND, name="u"), replace(WIND, name="v"))
        card = toy_card(inputs=(WIND,), outputs=outputs, conserve=(), global_residual=False)
        model = write_model(tmp_path / "m", card, quiet=("mean",), residual={"sigma_data": 0.4})
        mean, residual = stages_of(model)
        draws = Draws(Noise((1.0, 6.0), (5.0, 5.0), missing=0.3), "x", 0, 8, 32, noisy=True)
        scale = measure(mean.encoding, mean, draws, batches=8)
        assert scale == pytest.approx((0.5 / 0.4, 3.0 / 0.4), rel=0.02)
        scaled = ResidualStage(mean.encoding, residual.net, mean, scale=scale)
        noisy = scaled.noisy(draws.batch(100))
        for i in range(2):
            known = noisy.y[:, i][noisy.weight[:, i] > 0]
            assert known.std().item() == pytest.approx(0.4, rel=0.02)

    def test_of_a_constant_is_finite(self, tmp_path):
        card = toy_card(inputs=(WIND,), outputs=(WIND,), conserve=(), global_residual=False)
        model = write_model(tmp_path / "m", card, quiet=("mean",))
        mean, residual = stages_of(model)
        draws = Draws(Noise((0.0,), (5.0,)), "x", 0, 4, 32, noisy=True)
        scale = measure(mean.encoding, mean, draws, batches=2)
        assert scale == (2e-6,)
        scaled = ResidualStage(mean.encoding, residual.net, mean, scale=scale)
        assert scaled.loss(draws.batch(0)).isfinite()

    def test_of_what_is_always_missing_is_one(self, both):
        mean, _ = stages_of(both)
        draws = Draws(Noise((1.0, 2.0), missing=1.1), "x", 0, 4, 32)
        assert measure(mean.encoding, mean, draws, batches=2) == (1.0, 1.0)


# --- what training shows the networks is what inference shows them

CURVED = write_grid(LAT_2D, LON_2D, statics={"orography": OROGRAPHY})
PADDED = FixedTarget("a bay", 4.0, 28.0, padding=Padding((3, 5), (4, 4)))
STRETCHED = FixedTarget("a bay", 4.0, 28.0, stretched=True)
COARSE = write_grid(LAT, np.linspace(119, 122, 36), coarse=(LAT[::4], np.linspace(119, 122, 9)))
FIXED = {
    "plain": (fixed_card(extras=EXTRAS), CURVED, {}),
    "base": (fixed_card(extras=(Extra("sin_day"), EXTRAS[0]), global_residual=True), CURVED, {}),
    "padded": (fixed_card(target=PADDED, extras=EXTRAS), CURVED, {}),
    "patched": (
        fixed_card(target=PADDED, extras=EXTRAS, patching=Patching((16, 20), whole=False)),
        CURVED,
        {"positions": "sinusoidal", "position_channels": 4, "shape": (32, 44)},
    ),
    "patched and told of the whole": (
        fixed_card(extras=EXTRAS, patching=Patching((16, 20)), mean_conditioning=False),
        CURVED,
        {},
    ),
    "lead times": (
        fixed_card(lead_hours=(0.0, 6.0), patching=Patching((16, 20), whole=False)),
        CURVED,
        {"lead_time_channels": 2, "lead_time_steps": 2, "shape": (24, 36)},
    ),
    "stretched": (fixed_card(target=STRETCHED, global_residual=True), COARSE, {}),
}


def bay_batch(model, n=2):
    rng = np.random.default_rng(2)
    shape = (6, 9) if model.card.target.stretched else (24, 36)
    about = np.reshape([285, 0], (2, 1, 1))
    fine = (about + 5 * rng.standard_normal((n, 2, 24, 36))).astype("f4")
    coarse = (about + 5 * rng.standard_normal((n, 2, *shape))).astype("f4")
    moments = np.stack([1.6e9 + 20_000 * np.arange(n), np.arange(n) % 2], axis=1)
    corners = np.zeros((n, 2), int)
    return noised(Batch(coarse, fine, np.ones_like(fine), moments, corners))


@pytest.fixture(scope="module", params=["refined", *FIXED])
def pair(request, tmp_path_factory):
    """A model and a batch of whole fields."""
    path = tmp_path_factory.mktemp("pair") / "m"
    if request.param == "refined":
        card = toy_card(outputs=(PRECIP_RATE, WIND))
        model = write_model(path, card, residual={"scale": (0.25, 3.0), "scale_condition": True})
        return model, two_outputs(rain_batch(2))
    card, grid, net = FIXED[request.param]
    mean = {"latent": request.param == "padded"}
    model = write_model(path, card, grid, network=net, mean=mean, residual={"scale": (0.5, 2.0)})
    return model, bay_batch(model)


def test_the_mean_is_that_of_inference(pair):
    model, batch = pair
    runtime, stage = Runtime(model, CPU, torch.float32), stages_of(model)[1]
    expected = runtime.mean(batch.coarse, batch.moments)
    np.testing.assert_allclose(
        stage.mean(stage.encoding.tensors(batch)).numpy(), expected, rtol=1e-4, atol=1e-4
    )


def test_members_are_those_of_inference(pair):
    model, batch = pair
    runtime, stage = Runtime(model, CPU, torch.float32), stages_of(model)[1]
    stage.net.eval()
    sampler = SamplerCard(steps=3)
    mean = runtime.mean(batch.coarse, batch.moments)
    draws = [Draw(t, ("a",), 0) for t in range(2)]
    expected = runtime.members(batch.coarse, mean, draws, Settings(sampler), batch.moments)
    tensors, encoding = stage.encoding.tensors(batch), stage.encoding
    center = stage.mean(tensors)

    def noise(number):
        field = normal_field(Settings(sampler).seed, ("a",), 0, number, center.shape[1:])
        return torch.from_numpy(np.stack([field] * 2))

    with torch.inference_mode():
        drawn = sampled(sampler, stage.denoiser(tensors, center), noise)
    fields = encoding.inner(center + drawn * stage.scale, tensors)
    result = encoding.decode(fields, tensors).numpy()
    np.testing.assert_allclose(result, expected, rtol=2e-3, atol=2e-3)


def test_both_stages_learn_from_whole_fields(pair):
    model, batch = pair
    for stage in stages_of(model):
        loss = stage.loss(batch)
        loss.backward()
        assert loss.isfinite()
        assert sum(float(p.grad.abs().sum()) for p in stage.net.parameters()) > 0


def test_patches_that_cover_a_field_count_every_pixel_once(pair):
    model, batch = pair
    noisy = stages_of(model)[1].noisy(batch)
    assert noisy.weight.sum().item() == pytest.approx(batch.weight.sum(), rel=1e-5)
    if model.card.patching:
        assert noisy.y.shape[-2:] == (16, 20)


def test_patches_of_a_target_with_maps_are_told_their_place(tmp_path):
    card, grid, net = FIXED["patched"]
    model = write_model(tmp_path / "m", card, grid, network=net)
    whole = bay_batch(model, 1)
    rows, columns = slice(4, 20), slice(10, 30)
    part = replace(
        whole,
        **{
            name: np.ascontiguousarray(getattr(whole, name)[..., rows, columns])
            for name in ("coarse", "fine", "weight", "noise")
        },
        corners=np.array([[4, 10]]),
    )
    residual = stages_of(model)[1]
    told = residual.encoding.where(residual.encoding.tensors(part))["position"]
    assert told[0, :, 0, 0].tolist() == [7, 14]  # behind 3 rows and 4 columns of padding
    assert residual.loss(part) != residual.loss(replace(part, corners=np.array([[0, 0]])))


def test_a_bay_is_trained_on_patches(tmp_path):
    model = write_bay(tmp_path / "bay")
    whole = bay_batch(model)
    part = Batch(
        **{
            name: np.ascontiguousarray(getattr(whole, name)[..., 8:, :16])
            for name in ("coarse", "fine", "weight", "noise")
        },
        moments=whole.moments,
        corners=np.array([[8, 0], [8, 0]]),
        level=whole.level,
    )
    for stage in stages_of(model):
        assert stage.loss(part).isfinite()
