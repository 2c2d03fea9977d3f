import numpy as np
import pytest
import torch

from tests.toys import toy_card, toy_net, toy_networks
from xresdiff.engine.fields import Fields
from xresdiff.engine.loop import Recipe
from xresdiff.engine.patches import Batch, PairedPatches, coarsen_blocks
from xresdiff.engine.stages import NoiseLevels, _Losses

CPU = torch.device("cpu")
FACTOR = 4


def rain(n=6, size=32, seed=0):
    rng = np.random.default_rng(seed)
    fine = np.exp(rng.normal(size=(n, 1, size, size))).astype(np.float32)
    return coarsen_blocks(fine, FACTOR), fine


def batch_of(missing=0.0):
    coarse, fine = rain()
    known = np.random.default_rng(1).random(fine.shape) >= missing
    return Batch(coarse, np.where(known, fine, 0).astype(np.float32), known.astype(np.float32))


@pytest.fixture
def losses():
    return _Losses(toy_card(), CPU, torch.float32)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_noise_levels_are_log_normal_about_the_data():
    sigma = NoiseLevels(mean=-1.0, std=1.4).draw(20_000, 0.3, generator())
    logs = (sigma / 0.6).log()
    assert logs.mean().item() == pytest.approx(-1.0, abs=0.05)
    assert logs.std().item() == pytest.approx(1.4, abs=0.05)


def test_the_mean_loss_is_that_of_base_plus_correction(losses):
    net, batch = toy_net(toy_networks()["mean"]), batch_of()
    fields = Fields(toy_card())
    coarse, fine = torch.from_numpy(batch.coarse), torch.from_numpy(batch.fine)
    with torch.no_grad():
        prediction = fields.base(coarse) + net(fields.condition(coarse), torch.zeros(6))
        expected = (prediction - fields.encode(fine)).square().mean()
        torch.testing.assert_close(losses.mean(net, batch, generator()), expected)


@pytest.mark.parametrize("stage", ["mean", "residual"])
def test_missing_targets_do_not_count(losses, stage):
    mean_net = toy_net(toy_networks()["mean"])
    residual = losses.residual(mean_net, 0.5, NoiseLevels())
    loss, net = {
        "mean": (losses.mean, mean_net),
        "residual": (residual, toy_net(toy_networks()["residual"])),
    }[stage]
    batch = batch_of(missing=0.3)
    filled = Batch(batch.coarse, np.where(batch.weight > 0, batch.fine, 99), batch.weight)
    with torch.no_grad():
        if stage == "mean":
            assert loss(net, batch, generator()) == loss(net, filled, generator())
        else:  # the network sees noise where the target is missing, but is not scored there
            assert loss(net, batch, generator()).isfinite()


def test_the_denoising_loss_trains_the_residual_network_alone(losses):
    mean_net, net = toy_net(toy_networks()["mean"]), toy_net(toy_networks()["residual"])
    losses.residual(mean_net, 0.5, NoiseLevels())(net, batch_of(), generator()).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad is None for p in mean_net.parameters())


def test_the_denoising_loss_has_its_randomness_from_the_generator(losses):
    nets = (toy_net(toy_networks()["mean"]), toy_net(toy_networks()["residual"]))
    loss = losses.residual(nets[0], 0.5, NoiseLevels())
    with torch.no_grad():
        first, again, other = (loss(nets[1], batch_of(), generator(n)) for n in (1, 1, 2))
    assert first == again
    assert first != other


def test_sigma_data_is_the_deviation_of_what_the_mean_leaves(losses):
    net = toy_net(toy_networks()["mean"])
    coarse, fine = rain(n=40)
    patches = PairedPatches(coarse, fine, FACTOR, turn=False)
    measured = losses.sigma_data(net, patches, Recipe(batch_size=16, patch=32))
    fields = Fields(toy_card())
    known = torch.from_numpy(coarse)
    with torch.no_grad():
        mean = fields.base(known) + net(fields.condition(known), torch.zeros(40))
        residual = fields.encode(torch.from_numpy(fine)) - mean
    assert measured == pytest.approx(residual.square().mean().sqrt().item(), rel=0.02)


def test_bfloat16_gives_nearly_the_same_loss():
    net, batch = toy_net(toy_networks()["mean"]), batch_of()
    exact, rough = (
        _Losses(toy_card(), CPU, dtype).mean(net, batch, generator())
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert rough.item() == pytest.approx(exact.item(), rel=0.01)
