from itertools import product
from math import sqrt
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.peers import needs_peers, peer_arrays, peer_net, relative_error
from tests.toys import noisy, toy_net
from xresdiff.errors import InputError
from xresdiff.nets.edm import Denoiser
from xresdiff.nets.layers import Attention, GroupNorm
from xresdiff.nets.unet import UNet, UNetConfig

SMALL: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 2,
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_blocks": 1,
    "dropout": 0.0,
}


def small(**changes: Any) -> UNetConfig:
    return UNetConfig(**(SMALL | changes))


# --- against networks that PhysicsNeMo wrote

PEER_TOLERANCE = 2e-6


@needs_peers
@pytest.mark.parametrize("training", [False, True])
def test_a_peers_regression_network_gives_the_same(training):
    net, arrays = peer_net("01_reg_songunet"), peer_arrays("01_reg_songunet")
    given = torch.cat([arrays["x"], arrays["img_lr"]], dim=1)
    with torch.no_grad():
        ours = net.train(training)(given, torch.zeros(len(given)))
    theirs, other = arrays["y_train"], arrays["y"]
    if not training:
        theirs, other = other, theirs
    assert relative_error(ours, theirs) < PEER_TOLERANCE
    assert relative_error(ours, other) > 1e-4  # the variance is biased in training alone


@needs_peers
def test_a_peers_network_without_noise_gives_the_same():
    net, arrays = peer_net("11_stormcastunet"), peer_arrays("11_stormcastunet")
    with torch.no_grad():
        ours = net(arrays["img_lr"], torch.zeros(2))
    assert relative_error(ours, arrays["y"]) < PEER_TOLERANCE


@needs_peers
def test_a_peers_ncsnpp_network_gives_the_same():
    net, arrays = peer_net("08_edm_songunet_ncsnpp"), peer_arrays("08_edm_songunet_ncsnpp")
    assert (net.config.embedding, net.config.encoder) == ("fourier", "residual")
    with torch.no_grad():
        ours = Denoiser(net, sigma_data=0.5)(arrays["x"], arrays["sigma"], arrays["img_lr"])
    assert relative_error(ours, arrays["y"]) < PEER_TOLERANCE


@needs_peers
@pytest.mark.parametrize("training", [False, True])
def test_a_peers_network_with_positions_gives_the_same(training):
    name = "03_edm_posembd_sin4_hrmean"
    net, arrays = peer_net(name), peer_arrays(name)
    grid = peer_arrays("grids_32x48")["sinusoidal_4"].expand(2, -1, -1, -1)
    condition = torch.cat([arrays["cond"], grid], dim=1)
    denoiser = Denoiser(net, sigma_data=0.5).train(training)
    with torch.no_grad():
        ours = denoiser(arrays["x"], arrays["sigma"], condition)
    assert relative_error(ours, arrays["y_train" if training else "y"]) < PEER_TOLERANCE


@needs_peers
def test_a_peers_network_with_a_scaled_condition_gives_the_same():
    net, arrays = peer_net("09_edmprecondsr_scale1"), peer_arrays("09_edmprecondsr_scale1")
    grid = peer_arrays("grids_32x48")["sinusoidal_4"].expand(2, -1, -1, -1)
    scale = (arrays["sigma"] ** 2 + 0.5**2).rsqrt()[:, None, None, None]
    condition = torch.cat([scale * arrays["img_lr"], grid], dim=1)
    with torch.no_grad():
        ours = Denoiser(net, sigma_data=0.5)(arrays["x"], arrays["sigma"], condition)
    assert relative_error(ours, arrays["y"]) < PEER_TOLERANCE


# --- shapes and configurations


@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize("times", [(1, 1), (2, 5), (3, 2)])
def test_any_multiple_of_the_size_runs(stem, times):
    config = small(stem=stem, channel_mult=(1, 2, 2))
    assert config.size_multiple == 4 * stem
    height, width = (n * config.size_multiple for n in times)
    with torch.no_grad():
        out = UNet(config).eval()(noisy(2, 3, height, width), torch.zeros(2))
    assert out.shape == (2, 2, height, width)
    assert out.isfinite().all()


@pytest.mark.parametrize("stem", [2, 4])
def test_a_stem_folds_pixels_into_channels(stem):
    config = small(stem=stem)
    area = stem**2
    plain = UNet(small(in_channels=3 * area, out_channels=2 * area)).eval()
    folded = UNet(config).eval()
    folded.load_state_dict(plain.state_dict())
    x, noise = noisy(2, 3, 16, 24), noisy(2)
    with torch.no_grad():
        expected = F.pixel_shuffle(plain(F.pixel_unshuffle(x, stem), noise), stem)
        assert torch.equal(folded(x, noise), expected)


@pytest.mark.parametrize(
    ("embedding", "encoder", "decoder", "resample_filter"),
    list(
        product(
            ["positional", "fourier", "zero"],
            ["standard", "skip", "residual"],
            ["standard", "skip"],
            [(1, 1), (1, 3, 3, 1)],
        )
    ),
)
def test_every_configuration_runs_and_learns(embedding, encoder, decoder, resample_filter):
    config = small(
        embedding=embedding,
        encoder=encoder,
        decoder=decoder,
        resample_filter=resample_filter,
        attention_levels=(1,),
        channel_mult_noise=2,
        dropout=0.1,
    )
    net = UNet(config)
    out = net(noisy(1, 3, 8, 4), noisy(1))
    assert out.shape == (1, 2, 8, 4)
    out.square().sum().backward()
    idle = {name for name, p in net.named_parameters() if p.grad is None}
    assert not idle


@pytest.mark.parametrize("levels", [(), (0, 1)])
def test_an_adm_network_runs_and_learns(levels):
    net = UNet(small(style="adm", model_channels=64, attention_levels=levels))
    out = net(noisy(1, 3, 8, 4), noisy(1))
    assert out.shape == (1, 2, 8, 4)
    out.square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    heads = [module.heads for module in net.modules() if isinstance(module, Attention)]
    # the bottleneck; with levels, each block of them in the encoder and in the decoder
    assert heads == ([2] if not levels else [1, 2, 2, 2, 2, 1, 1])


@pytest.mark.parametrize(("narrow", "width"), [(False, 16), (True, 8)])
def test_the_first_convolution_may_have_the_width_of_the_model(narrow, width):
    net = UNet(small(channel_mult=(2, 3), narrow_entrance=narrow))
    assert net.enc["level0_conv"].weight.shape[0] == width
    assert net.enc["level0_block0"].conv0.weight.shape[:2] == (16, width)
    with torch.no_grad():
        assert net(noisy(1, 3, 8, 4), noisy(1)).shape == (1, 2, 8, 4)


def test_a_size_that_does_not_halve_is_refused():
    with pytest.raises(InputError, match="multiples of 2; the fields have 8 x 5 pixels"):
        UNet(small())(noisy(1, 3, 8, 5), noisy(1))


@pytest.mark.parametrize("changes", [{}, {"additive_position": True, "stem": 2, "shape": (8, 8)}])
def test_maps_without_a_grid_are_refused(changes):
    with pytest.raises(InputError, match="need a shape; additive ones, a stem of 1"):
        UNet(small(**({"positions": "learned", "position_channels": 2} | changes)))


def test_the_names_of_parameters_are_those_of_model_files():
    names = set(UNet(small(attention_levels=(1,))).state_dict())
    assert len(names) == 146
    assert names >= {
        "embed.map_layer0.weight",
        "enc.level0_conv.weight",
        "enc.level0_block0.norm0.weight",
        "enc.level1_down.conv0.resample_filter",
        "enc.level1_block0.attn.qkv.weight",
        "dec.level1_in0.attn.proj.bias",
        "dec.level1_in1.affine.weight",
        "dec.level0_up.skip.weight",
        "dec.level0_block1.conv1.bias",
        "dec.level0_aux_norm.weight",
        "dec.level0_aux_conv.weight",
    }


def test_fields_of_a_batch_do_not_mix():
    net = toy_net(SMALL)
    x, noise = noisy(3, 3, 8, 8), noisy(3)
    with torch.no_grad():
        together = net(x, noise)
        alone = torch.cat([net(x[i : i + 1], noise[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("embedding", ["positional", "fourier", "zero"])
def test_the_noise_level_counts_unless_it_is_left_out(embedding):
    net = toy_net(SMALL | {"embedding": embedding})
    x = noisy(1, 3, 8, 8).expand(2, -1, -1, -1)
    with torch.no_grad():
        low, high = net(x, torch.tensor([-1.0, 1.0]))
    assert torch.equal(low, high) == (embedding == "zero")


def test_dropout_is_for_training_alone():
    net = toy_net(SMALL | {"dropout": 0.5})
    x, noise = noisy(1, 3, 8, 8), torch.zeros(1)
    with torch.no_grad():
        assert torch.equal(net(x, noise), net(x, noise))
        net.train()
        assert not torch.equal(net(x, noise), net(x, noise))


# --- precision


@pytest.mark.parametrize("embedding", ["positional", "fourier"])
def test_bfloat16_stays_close_to_float32(embedding):
    net = toy_net(SMALL | {"embedding": embedding, "attention_levels": (1,)})
    x, noise = noisy(2, 3, 32, 32), torch.tensor([-0.777, 0.333])
    with torch.no_grad():
        exact, rough = net(x, noise), net(x.bfloat16(), noise)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).square().mean().sqrt() < 0.02 * exact.std()


def test_neighbouring_noise_levels_differ_in_bfloat16():
    net = toy_net(SMALL | {"embedding": "fourier"})
    # closer than the eight bits of a bfloat16 can tell apart
    labels = torch.tensor([0.5, 0.501])
    assert labels.bfloat16().unique().numel() == 1
    x = noisy(1, 3, 8, 8).bfloat16().expand(2, -1, -1, -1)
    with torch.no_grad():
        first, second = net(x, labels)
    assert not torch.equal(first, second)


# --- first weights


def test_a_fresh_network_gives_next_to_nothing():
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        out = UNet(small(bottleneck_attention=True)).eval()(noisy(2, 3, 16, 16), noisy(2))
    assert 1e-7 < out.std() < 1e-4


def test_first_weights_are_xavier_uniform():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(small(model_channels=32, attention_levels=(1,)))
    for name, module in net.named_modules():
        if not (hasattr(module, "weight") and isinstance(module.weight, nn.Parameter)):
            continue
        assert not module.bias.any(), name
        weight = module.weight.detach()
        if isinstance(module, GroupNorm):
            assert (weight == 1).all(), name
            continue
        fan_out, fan_in = (n * weight[0, 0].numel() for n in weight.shape[:2])
        limit = sqrt(6 / (fan_in + fan_out)) * first_scale(name)
        assert weight.abs().max() <= limit, name
        # the mean and standard deviation of a uniform distribution, within five of their errors
        tolerance = 5 / sqrt(weight.numel())
        assert abs(weight.mean()) < tolerance * limit / sqrt(3), name
        assert abs(weight.std() / (limit / sqrt(3)) - 1) < tolerance, name


def first_scale(name: str) -> float:
    if name.endswith(("conv1", "attn.proj", "aux_conv")):
        return 1e-5
    return sqrt(0.2) if name.endswith("attn.qkv") else 1.0


# --- layers


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 2), (48, 12), (160, 32), (144, 24)])
def test_groups_have_four_channels_or_more(channels, groups):
    norm = GroupNorm(channels)
    assert norm.groups == groups
    assert channels // norm.groups >= 4


@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (6, 1), (8, 2), (12, 3), (160, 32)])
def test_groups_are_rounded_down_where_asked_for(channels, groups):
    assert GroupNorm(channels, whole_groups=True).groups == groups


def test_the_unbiased_norm_divides_by_one_less():
    norm = GroupNorm(8, unbiased=True).eval()
    with torch.no_grad():
        norm.weight.copy_(noisy(8))
        norm.bias.copy_(noisy(8, seed=2))
    x = 3 + 2 * noisy(2, 8, 3, 5)
    groups = x.reshape(2, 2, -1)
    mean, variance = groups.mean(-1, keepdim=True), groups.var(-1, keepdim=True)
    normed = ((groups - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
    expected = normed * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)
    biased = F.group_norm(x, 2, norm.weight, norm.bias, 1e-6)
    torch.testing.assert_close(norm.train()(x), biased)


def test_attention_is_a_softmax_over_pixels():
    attention = Attention(4, GroupNorm(4))
    with torch.no_grad():
        attention.proj.weight.mul_(1e5)
    x = noisy(2, 4, 3, 5)
    # outputs of the dense layer alternate: query, key and value of channel 0, of channel 1, ...
    qkv = attention.qkv(attention.norm(x)).flatten(2)
    q, k, v = qkv[:, 0::3], qkv[:, 1::3], qkv[:, 2::3]
    weights = torch.einsum("bcq,bck->bqk", q, k).div(sqrt(4)).softmax(-1)
    attended = torch.einsum("bqk,bck->bcq", weights, v).reshape(x.shape)
    torch.testing.assert_close(attention(x), x + attention.proj(attended))
