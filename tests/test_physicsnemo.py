import json
import subprocess
import sys
from math import inf

import numpy as np
import pytest
import torch

from tests.checkpoints import as_zip, called, changed, given, members_of, stage_net
from tests.peers import needs_peers, peer_arrays, peer_checkpoints, peer_path, relative_error
from xresdiff.errors import ModelError
from xresdiff.models.parts import NetworkCard
from xresdiff.models.physicsnemo import read_checkpoint, read_mdlus
from xresdiff.nets.unet import UNet, UNetConfig

PEER_TOLERANCE = 2e-6


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
        (given(num_blocks=0), "argument num_blocks is 0 and must be a whole number from 1 to 64"),
        (given(resample_filter=[1] * 17), "argument resample_filter is .* a list of 1 to 16 numb"),
        (given(resample_filter=[1, inf]), "argument resample_filter is .* a list of 1 to 16 numb"),
        (given(resample_filter=[1, -1]), "argument resample_filter is .* has the sum 0.0"),
        (given(resample_filter=[1e200, 1e200]), "argument resample_filter is .* the sum 2e.200"),
        (given(amp_mode="on"), "argument amp_mode is 'on' and must be true or false"),
        (given(profile_mode=5), "argument profile_mode is 5 and must be true or false"),
        (given(use_apex_gn=1), "argument use_apex_gn is 1 and must be true or false"),
        (given(checkpoint_level="x"), "argument checkpoint_level is 'x'"),
        (given(label_dropout="x"), "argument label_dropout is 'x'"),
        (given(augment_dim=-3), "argument augment_dim is -3"),
        (given(dropout=1.0), "argument dropout is 1.0 and must be a number from 0 to below 1"),
        (given(dropout=inf), "argument dropout is inf"),
        (given(sigma_min=5.0, sigma_max=1.0), "sigma_min and sigma_max are 5.0 and 1.0, no range"),
        (given(sigma_max=0), "sigma_min and sigma_max are 0.0 and 0.0, no range"),
        (given(sigma_min=inf), "sigma_min and sigma_max are inf and inf, no range"),
        (lambda told: told.update(more=1), "args.json holds 'more', which nothing asks for"),
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


@pytest.mark.parametrize("release", ["2.2banana", "2", "2.2.", "2.2 2.1", "v2.2"])
def test_a_release_that_is_no_version_is_refused(tmp_path, release):
    with pytest.raises(ModelError, match="does not tell the release"):
        read_mdlus(changed(tmp_path / "a.mdlus", release=release))


@pytest.mark.parametrize("release", ["2.0.0a0", "1.3.0rc1", "2.2.2.post1", "2.1.0a0+g1234.dirty"])
def test_a_version_may_have_more_than_numbers(tmp_path, release):
    assert read_checkpoint(changed(tmp_path / "a.mdlus", release=release)).release == release


@pytest.mark.parametrize("release", ["0.4.0", "0.0.1"])
def test_a_release_before_the_first_is_refused(tmp_path, release):
    with pytest.raises(ModelError, match=f"of release {release}; the first that is known is 0.5"):
        read_mdlus(changed(tmp_path / "a.mdlus", release=release))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"author": "me"}, "its metadata tells 'author', which is not known"),
        ({"model.mdlus_file_version": "0.1.0"}, "metadata tells 'model.mdlus_file_version'"),
        ({"modulus_version": "0.5.0"}, "does not tell the release"),
    ],
)
def test_metadata_that_are_not_known_are_refused(tmp_path, told, message):
    path = changed(tmp_path / "a.mdlus")
    members = members_of(path)
    metadata = json.loads(members["metadata.json"]) | told
    as_zip(path, members | {"metadata.json": json.dumps(metadata).encode()})
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)


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


def test_a_checkpoint_prints_in_one_line(tmp_path):
    path = changed(tmp_path / "a.mdlus")
    found = read_checkpoint(path)
    assert str(found) == (
        "Checkpoint(residual network of PhysicsNeMo 2.2.2, 3 -> 2 channels of 16 x 24 pixels, "
        f"{found.parameters} parameters)"
    )


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
