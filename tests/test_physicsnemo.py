import json
import subprocess
import sys
import tarfile
import zipfile
from math import inf, sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.checkpoints import SHAPE, changed, members_of, stage_net
from tests.peers import needs_peers, peer_arrays, peer_checkpoints, peer_path, relative_error
from xresdiff.errors import InputError, ModelError, StoreError
from xresdiff.models.parts import NetworkCard
from xresdiff.models.physicsnemo import read_checkpoint, read_mdlus, write_mdlus
from xresdiff.nets.layers import GroupNorm
from xresdiff.nets.unet import UNet, UNetConfig

PEER_TOLERANCE = 2e-6


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fields(net, seed=0):
    """Return a noisy field and a condition."""
    x = normal(2, net.net.config.out_channels, *SHAPE, seed=seed)
    return x, normal(2, net.condition_channels, *SHAPE, seed=seed + 1)


def called(net, **told):
    x, condition = fields(net)
    if net.sigma_data is None:
        return net(None, condition, **told)
    return net(x, condition, torch.tensor([0.3, 7.0]), **told)


# --- reading, against what PhysicsNeMo wrote


def called_as_theirs(net, arrays):
    return net(
        arrays.get("x"),
        arrays.get("cond", arrays.get("img_lr")),
        arrays.get("sigma"),
        arrays.get("lead_time_label"),
    )


@needs_peers
@pytest.mark.parametrize("name", peer_checkpoints())
def test_a_peers_checkpoint_runs_as_it_did(name):
    net, arrays = read_mdlus(peer_path(name)), peer_arrays(name)
    assert relative_error(called_as_theirs(net, arrays), arrays["y"]) < PEER_TOLERANCE


@needs_peers
@pytest.mark.parametrize(
    "name",
    [
        "01_reg_songunet",
        "02_reg_posembd_learnable",
        "03_edm_posembd_sin4_hrmean",
        "05a_reg_poslt_ce",
    ],
)
def test_a_peers_checkpoint_trains_as_it_did(name):
    net, arrays = read_mdlus(peer_path(name)).train(), peer_arrays(name)
    assert relative_error(called_as_theirs(net, arrays), arrays["y_train"]) < PEER_TOLERANCE


@needs_peers
def test_a_checkpoint_tells_what_a_card_needs():
    checkpoint = read_checkpoint(peer_path("03_edm_posembd_sin4_hrmean"))
    assert (checkpoint.stage, checkpoint.latent, checkpoint.scale_condition) == (
        "residual",
        False,
        False,
    )
    assert (checkpoint.sigma_data, checkpoint.sigma_min, checkpoint.sigma_max) == (0.5, 0.0, inf)
    assert (checkpoint.condition_channels, checkpoint.shape) == (5, (32, 48))
    assert (checkpoint.parameters, checkpoint.release) == (81210, "2.2.2")
    assert {value.dtype for value in checkpoint.weights.values()} == {np.dtype(np.float32)}
    card = NetworkCard(json.loads(json.dumps(checkpoint.config)), checkpoint.parameters)
    net = UNet(UNetConfig(**card.config))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in checkpoint.weights.items()})


@needs_peers
def test_a_network_is_read_to_be_run():
    net = read_mdlus(peer_path("01_reg_songunet"))
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_the_room_is_imported_without_torch():
    code = "import sys, xresdiff.models.physicsnemo; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- what is refused in arguments and weights


def renamed(name):
    def change(told):
        told["__name__"] = name

    return change


def given(**values):
    def change(told):
        told["__args__"].update(values)

    return change


def module(name):
    def change(told):
        told["__module__"] = name

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("tEDMPrecondSuperRes"), "class tEDMPrecondSuperRes is not known"),
        (renamed("DiT"), "class DiT is not known"),
        (module("mine.networks"), "mine.networks.EDMPrecondSuperResolution is not one of"),
        (module("physicsnemo.models.unet"), "is not one of PhysicsNeMo's diffusion models"),
        (given(window=3), "argument window is not known"),
        (given(act="relu"), "argument act is 'relu'"),
        (given(model_type="DiT"), "argument model_type is 'DiT' and must be one of SongUNet"),
        (given(embedding_type="cosine"), "argument embedding_type is 'cosine'"),
        (given(model_channels=-8), "argument model_channels is -8"),
        (given(model_channels=10**9), "argument model_channels is 1000000000"),
        (given(num_blocks=10**6), "argument num_blocks is 1000000"),
        (given(img_resolution=[10**6, 10**6]), "argument img_resolution must be"),
        (given(sigma_data=0.0), "argument sigma_data is 0.0"),
        (given(label_dim=3), "asks for 3 class labels"),
        (given(img_out_channels=0), "channels do not add up"),
        (given(use_fp16="yes"), "argument use_fp16 is 'yes' and must be true or false"),
        (given(channel_mult=[1, 2, 4]), "is missing"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        read_mdlus(changed(tmp_path / "a.mdlus", arguments=change))


def test_everything_wrong_with_arguments_is_told_at_once(tmp_path):
    path = changed(tmp_path / "a.mdlus", arguments=given(act="relu", window=3, num_blocks=-1))
    with pytest.raises(ModelError) as error:
        read_mdlus(path)
    assert all(word in str(error.value) for word in ("act", "window", "num_blocks"))


def test_missing_unknown_and_misshapen_weights_are_told_at_once(tmp_path):
    def break_it(state):
        del state["model.enc.16x16_conv.bias"]
        state["model.enc.16x16_odd.weight"] = torch.ones(2)
        state["model.dec.16x16_aux_norm.weight"] = torch.ones(3)

    with pytest.raises(ModelError) as error:
        read_mdlus(changed(tmp_path / "a.mdlus", weights=break_it))
    text = str(error.value)
    assert "enc.16x16_conv.bias is missing" in text
    assert "enc.16x16_odd.weight is not of this network" in text
    assert "dec.16x16_aux_norm.weight is (3,), not (8,)" in text


def test_a_release_that_is_not_told_is_refused(tmp_path):
    with pytest.raises(ModelError, match="does not tell the release"):
        read_mdlus(changed(tmp_path / "a.mdlus", release="latest"))


def test_a_newer_release_is_read_with_a_warning(tmp_path):
    path = changed(tmp_path / "a.mdlus", release="3.0.0")
    with pytest.warns(UserWarning, match=r"of PhysicsNeMo 3\.0\.0; numerics are known up to 2\.2"):
        assert torch.equal(called(read_mdlus(path)), called(stage_net()))


# --- what releases did differently


def test_the_norm_was_biased_before_release_06(tmp_path):
    old, new = (
        read_mdlus(changed(tmp_path / f"{release}.mdlus", release=release))
        for release in ("0.5.0", "0.6.0")
    )
    assert (old.net.config.unbiased_norm, new.net.config.unbiased_norm) == (False, True)
    assert not torch.allclose(called(old), called(new))
    assert torch.equal(called(old.train()), called(new.train()))


def test_attention_was_over_channels_in_release_11(tmp_path):
    over = {
        release: read_checkpoint(changed(tmp_path / "a.mdlus", release=release)).config
        for release in ("1.0.1", "1.1.1", "1.2.0")
    }
    assert [config["attention_over"] for config in over.values()] == [
        "pixels",
        "channels",
        "pixels",
    ]


@pytest.mark.parametrize(
    ("release", "scaled"), [("0.9.0", True), ("1.1.0", False), ("1.2.0", True)]
)
def test_release_11_took_no_notice_of_the_scale_of_the_condition(tmp_path, release, scaled):
    path = changed(tmp_path / "a.mdlus", stage_net(scale_condition=True), release=release)
    assert read_checkpoint(path).scale_condition == scaled


@pytest.mark.parametrize(("release", "dropout"), [("0.7.0", 0.1), ("0.8.0", 0.13)])
def test_defaults_are_those_of_the_release(tmp_path, release, dropout):
    def forget(told):
        del told["__args__"]["dropout"]

    net = stage_net(positions="sinusoidal", position_channels=4)
    path = changed(tmp_path / "a.mdlus", net, release=release, arguments=forget)
    assert read_checkpoint(path).config["dropout"] == dropout


def test_a_stored_grid_is_used_rather_than_computed(tmp_path):
    net = stage_net(positions="sinusoidal", position_channels=4)

    def swap(state):
        state["model.pos_embd"] = net.net.places.maps[[1, 0, 3, 2]].clone()

    read = read_mdlus(changed(tmp_path / "a.mdlus", net, release="1.2.0", weights=swap))
    assert torch.equal(read.net.places.maps[0], net.net.places.maps[1])


def test_the_norm_of_apex_counts_and_the_dead_one_beside_it_does_not(tmp_path):
    def rename(state):
        name = "model.enc.16x16_block0.norm0.weight"
        state["model.enc.16x16_block0.norm0.gn.weight"] = state[name]
        state[name] = torch.zeros_like(state[name])

    read = read_mdlus(changed(tmp_path / "a.mdlus", weights=rename))
    assert torch.equal(called(read), called(stage_net()))


def test_filters_other_than_the_arguments_say_are_refused(tmp_path):
    def turn(state):
        state["model.enc.8x8_down.conv0.resample_filter"] = torch.tensor([[[[1.0, 0], [0, 0]]]])

    with pytest.raises(ModelError, match=r"8x8_down\.conv0\.resample_filter is not the filter"):
        read_mdlus(changed(tmp_path / "a.mdlus", weights=turn))


def test_old_names_of_attention_are_read(tmp_path):
    def rename(state):
        for old, new in (("norm2", "attn.norm"), ("qkv", "attn.qkv"), ("proj", "attn.proj")):
            for end in ("weight", "bias"):
                state[f"model.dec.8x8_in0.{old}.{end}"] = state.pop(
                    f"model.dec.8x8_in0.{new}.{end}"
                )
        state["device_buffer"] = state["model.device_buffer"] = torch.empty(0)

    read = read_mdlus(changed(tmp_path / "a.mdlus", release="1.0.1", weights=rename))
    assert torch.equal(called(read), called(stage_net()))


def test_nested_arguments_are_read(tmp_path):
    def nest(told):
        inner = ("model_channels", "channel_mult", "num_blocks", "attn_resolutions", "dropout")
        told["__args__"]["model_kwargs"] = {k: told["__args__"].pop(k) for k in inner}

    read = read_mdlus(changed(tmp_path / "a.mdlus", arguments=nest))
    assert torch.equal(called(read), called(stage_net()))


# --- how a network is called


@pytest.mark.parametrize(
    "sigma", [2.0, torch.tensor(2.0), torch.full((2,), 2.0), torch.full((2, 1, 1, 1), 2.0)]
)
def test_a_noise_level_comes_in_any_form(sigma):
    net = stage_net()
    x, condition = fields(net)
    wanted = torch.cat([net(x[i : i + 1], condition[i : i + 1], 2.0) for i in range(2)])
    torch.testing.assert_close(net(x, condition, sigma), wanted)


def test_the_mean_stage_takes_no_notice_of_a_noise_level():
    net = stage_net(None, latent=True)
    x, condition = fields(net)
    assert torch.equal(net(0 * x, condition, sigma=3.0), net(None, condition))


@pytest.mark.parametrize(
    ("sigma_data", "call", "message"),
    [
        (0.5, lambda net, x, c: net(x, c), "asks for a noise level"),
        (0.5, lambda net, x, c: net(None, c, 1.0), "asks for a noisy field"),
        (0.5, lambda net, x, c: net(x, c[:, :1], 1.0), r"must be \(b, 3, y, x\).* it is \(2, 1,"),
        (0.5, lambda net, x, c: net(x, None, 1.0), "a condition of 3 channels"),
        (0.5, lambda net, x, c: net(x[:1], c, 1.0), r"x must be \(2, 2, 16, 24\)"),
        (0.5, lambda net, x, c: net(x, c, [1.0, 2.0, 3.0]), "one noise level or 2; there are 3"),
        (0.5, lambda net, x, c: net(x, c, 1.0, lead_time=0), "knows no lead times"),
        (None, lambda net, x, c: net(x[..., :1], normal(2, 5, *SHAPE)), "has no latent"),
    ],
)
def test_a_wrong_call_says_what_is_needed(sigma_data, call, message):
    net = stage_net(sigma_data)
    with pytest.raises(InputError, match=message):
        call(net, *(normal(2, n, *SHAPE) for n in (2, 3)))


# --- writing


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_is_a_zip_or_a_tar(tmp_path, legacy):
    path = tmp_path / "a.mdlus"
    write_mdlus(path, stage_net(), legacy=legacy)
    assert tarfile.is_tarfile(path) == legacy
    if not legacy:
        assert {m.compress_type for m in zipfile.ZipFile(path).infolist()} == {zipfile.ZIP_STORED}
    assert torch.equal(called(read_mdlus(path)), called(stage_net()))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "changes",
    [
        {"sigma_data": None, "latent": True},
        {"sigma_data": 0.7, "scale_condition": True},
        {"positions": "octave", "position_channels": 8},
        {"positions": "learned", "position_channels": 3, "attention_levels": (1,)},
        {"encoder": "residual", "decoder": "skip", "embedding": "fourier"},
        {"resample_filter": (1, 3, 3, 1), "encoder": "skip", "channel_mult_noise": 2},
        {"additive_position": True, "bottleneck_attention": False, "embedding": "zero"},
        {"channel_mult": (2, 3), "narrow_entrance": True},
        {"style": "adm", "model_channels": 64, "shape": (16, 16)},
    ],
)
def test_a_network_that_is_written_is_read_again(tmp_path, changes):
    net = stage_net(**changes)
    path = tmp_path / "a.mdlus"
    write_mdlus(path, net)
    read = read_mdlus(path)
    assert read.net.config == net.net.config
    state = net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in read.state_dict().items())
    assert (read.sigma_data, read.latent, read.scale_condition) == (
        net.sigma_data,
        net.latent,
        net.scale_condition,
    )


def test_lead_times_and_probabilities_are_written_too(tmp_path):
    net = stage_net(
        None, latent=True, lead_time_channels=2, lead_time_steps=3, softmax_channels=(0, 1)
    )
    write_mdlus(tmp_path / "a.mdlus", net)
    read = read_mdlus(tmp_path / "a.mdlus")
    out = called(read, lead_time=[0, 2])
    assert torch.equal(out, called(net, lead_time=[0, 2]))
    torch.testing.assert_close(out.sum(1), torch.ones(2, *SHAPE))


@pytest.mark.parametrize("encoder", ["standard", "skip", "residual"])
def test_a_mean_without_latent_is_written_with_one_of_no_effect(tmp_path, encoder):
    net = stage_net(None, encoder=encoder)
    write_mdlus(tmp_path / "a.mdlus", net)
    read = read_mdlus(tmp_path / "a.mdlus")
    assert read.latent
    assert read.condition_channels == net.condition_channels
    condition = fields(net)[1]
    wanted = net(None, condition)
    torch.testing.assert_close(read(None, condition), wanted)
    torch.testing.assert_close(read(normal(2, 2, *SHAPE), condition), wanted)


def test_a_biased_norm_is_written_with_larger_weights(tmp_path):
    net = stage_net(unbiased_norm=False, shape=None, attention_levels=(1,))
    with pytest.raises(ModelError, match=r"type shape=\(height, width\)"):
        write_mdlus(tmp_path / "a.mdlus", net)
    write_mdlus(tmp_path / "a.mdlus", net, shape=SHAPE)
    read = read_mdlus(tmp_path / "a.mdlus")
    assert read.net.config.unbiased_norm
    torch.testing.assert_close(called(read), called(net), rtol=1e-5, atol=1e-5)


def test_larger_weights_are_the_inverse_of_the_identity():
    norm = GroupNorm(8, unbiased=True).eval()
    x, n = normal(2, 8, 3, 5), 4 * 15
    with torch.no_grad():
        norm.weight.mul_(sqrt(n / (n - 1)))
    torch.testing.assert_close(norm(x), F.group_norm(x, 2), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": 2}, "folds blocks of 2 x 2 pixels"),
        ({"attention_over": "channels"}, "attention is over channels"),
        ({"softmax_channels": (0,)}, "no lead times"),
        ({"model_channels": 6, "whole_groups": True}, "has 6 channels in 1 groups"),
        ({"style": "adm", "shape": (16, 16)}, "fewer than 64 channels"),
        ({"style": "adm", "model_channels": 64}, "is no square"),
        ({"shape": (15, 24)}, "must be multiples of 2"),
        ({"channel_mult": (2, 2)}, "first convolution has 16 channels, not 8"),
    ],
)
def test_what_physicsnemo_has_not_is_refused(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        write_mdlus(tmp_path / "a.mdlus", stage_net(**changes))
    assert not list(tmp_path.iterdir())


def test_every_reason_is_told(tmp_path):
    net = stage_net(stem=2, attention_over="channels", shape=None)
    with pytest.raises(ModelError, match="for 3 reasons"):
        write_mdlus(tmp_path / "a.mdlus", net)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    net = stage_net()
    net.net.enc["level0_conv"].bias[0] = torch.nan
    with pytest.raises(ModelError, match=r"enc\.level0_conv\.bias is not finite"):
        write_mdlus(tmp_path / "a.mdlus", net)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.mdlus"
    write_mdlus(path, stage_net())
    before = members_of(path)

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StoreError, match="no space"):
        write_mdlus(path, stage_net(None))
    assert members_of(path) == before
    assert list(tmp_path.iterdir()) == [path]
