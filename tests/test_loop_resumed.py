import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.loop_toys import (
    RECIPE,
    Killed,
    Toy,
    Watched,
    assert_same_run,
    assert_same_weights,
    killed_at,
    run_toy,
    train,
)
from xresdiff.errors import InputError
from xresdiff.nets.unet import UNet, UNetConfig


def test_scores_of_numpy_do_not_spoil_a_checkpoint(tmp_path, caplog):
    expected = train(tmp_path, validate=lambda _: {"validation_loss": np.float32(0.5)})
    assert_same_run(train(tmp_path, killed_at(0)), expected)
    assert "damaged" not in caplog.text


def unet_stage():
    """A U-Net as the models have it, its fields with the channels last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(UNetConfig(1, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1))
    net.to(memory_format=torch.channels_last)

    class Fields(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x.to(memory_format=torch.channels_last), x.new_zeros(len(x)))

    return Toy(Fields())


def test_a_u_net_with_channels_last_is_resumed_to_the_bit(tmp_path):
    recipe = replace(RECIPE, steps=6, validate_every=2, patch=16)
    expected = train(tmp_path / "whole", unet_stage(), recipe)
    steps, stage = iter(range(100)), unet_stage()
    loss_of = stage.loss

    def loss(batch, net=None):
        if net is None and next(steps) == 3:
            raise Killed
        return loss_of(batch, net)

    stage.loss = loss
    with pytest.raises(Killed):
        train(tmp_path, stage, recipe)
    stage = unet_stage()
    assert_same_run(train(tmp_path, stage, recipe), expected)
    fields = [value for value in stage.net.parameters() if value.ndim == 4 and value.shape[1] > 1]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in fields)


@pytest.mark.parametrize("step", [0, 4, 5, 13, 19])
def test_kill_and_resume_is_uninterrupted(tmp_path, step):
    expected = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path, killed_at(step))
    assert_same_run(train(tmp_path), expected)


def test_a_kill_between_two_files_loses_nothing_but_time(tmp_path):
    expected = train(tmp_path)
    (tmp_path / "toy.pt").rename(tmp_path / "toy.new")  # not renamed yet
    assert_same_run(train(tmp_path), expected)


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path):
    expected = train(tmp_path / "whole")
    with pytest.raises(Killed):
        train(tmp_path, killed_at(17))
    newest = tmp_path / "toy.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    steps = []
    assert_same_run(train(tmp_path, Watched(lambda *_: steps.append(1), dropout=0.2)), expected)
    assert len(steps) == 10  # from the checkpoint before, at step 10


def test_a_finished_run_is_not_trained_again(tmp_path):
    expected = train(tmp_path)
    assert_same_run(train(tmp_path, killed_at(0)), expected)


def test_seconds_go_on(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, killed_at(11))
    state = torch.load(tmp_path / "toy.pt", weights_only=True)
    state["history"][-1]["seconds"] = 1000.0
    torch.save(state, tmp_path / "toy.pt")
    _, history = train(tmp_path)
    assert history[-1]["seconds"] > 1000


def test_what_a_run_leaves(tmp_path):
    train(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "toy.pt", "toy.before", "history.json", "log.txt",
    }  # fmt: skip


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(tmp_path, Toy(width=4))
    with pytest.raises(InputError, match=r"toy\.pt is a checkpoint of another network: .*out="):
        train(tmp_path, Toy(width=5))


@pytest.mark.slow
def test_kill_9_at_random_moments_ends_with_the_same_weights(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert "finished" in run_toy(whole, 60, 0.01).communicate()[0]
    rng, kills = np.random.default_rng(), 0
    while kills < 4:
        process = run_toy(killed, 60, 0.01)
        while not (killed / "log.txt").exists() and process.poll() is None:
            time.sleep(0.01)
        before = len((killed / "log.txt").read_bytes())
        while len((killed / "log.txt").read_bytes()) == before and process.poll() is None:
            time.sleep(0.005)  # until it trains
        time.sleep(rng.uniform(0, 0.25))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills > 1
    assert "finished" in run_toy(killed, 60, 0.01).communicate()[0]
    assert_same_weights(
        torch.load(killed / "weights-0.pt", weights_only=True),
        torch.load(whole / "weights-0.pt", weights_only=True),
    )
