"""Networks written as PhysicsNeMo reads them."""

import tarfile
import zipfile
from math import sqrt

import pytest
import torch
from torch.nn import functional as F

from tests.checkpoints import SHAPE, called, fields, members_of, normal, stage_net
from xresdiff.errors import ModelError, StoreError
from xresdiff.models.physicsnemo import read_mdlus, write_mdlus
from xresdiff.nets.layers import GroupNorm


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
