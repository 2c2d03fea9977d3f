"""Weights of a checkpoint against its arguments, and the maps of its grid."""

import pytest
import torch

from tests.checkpoints import called, changed, given, stage_net
from xresdiff.errors import ModelError
from xresdiff.models.physicsnemo import read_checkpoint, read_mdlus
from xresdiff.nets import positions


def grid_net(**changes):
    return stage_net(positions="sinusoidal", position_channels=4, **changes)


def never(*given):
    raise AssertionError("maps are made")


def test_weights_are_checked_before_maps_are_made(tmp_path, monkeypatch):
    def grow(told):
        told["__args__"].update(img_resolution=[4096, 4096], use_fp16=True)

    path = changed(tmp_path / "a.mdlus", grid_net(), arguments=grow)
    monkeypatch.setattr(positions, "position_maps", never)
    with pytest.raises(ModelError, match="is missing"):
        read_mdlus(path)


def test_maps_are_made_once_and_for_a_network_alone(tmp_path, monkeypatch):
    path, wanted = changed(tmp_path / "a.mdlus", grid_net()), called(grid_net())
    made, make = [], positions.position_maps

    def counted(*given):
        made.append(given)
        return make(*given)

    monkeypatch.setattr(positions, "position_maps", counted)
    read_checkpoint(path)
    assert not made
    assert torch.equal(called(read_mdlus(path)), wanted)
    assert len(made) == 1


def test_too_little_memory_is_told(tmp_path, monkeypatch):
    def fail(*given):
        raise MemoryError

    path = changed(tmp_path / "a.mdlus", grid_net())
    monkeypatch.setattr(positions, "position_maps", fail)
    with pytest.raises(ModelError, match="too little memory"):
        read_mdlus(path)


def test_maps_that_no_file_explains_are_limited(tmp_path):
    path = changed(tmp_path / "a.mdlus", grid_net(), arguments=given(img_resolution=[8192, 8192]))
    with pytest.raises(ModelError, match="its 4 maps of 8192 x 8192 are too large"):
        read_mdlus(path)


def test_maps_of_the_globe_are_within_the_limits(tmp_path):
    path = changed(
        tmp_path / "a.mdlus",
        grid_net(),
        arguments=given(
            img_resolution=[768, 1536],
            img_in_channels=103,
            N_grid_channels=100,
            gridtype="learnable",
        ),
    )
    with pytest.raises(ModelError, match="cannot fit the weights") as error:
        read_checkpoint(path)
    assert "too large" not in str(error.value)


def test_computed_maps_are_rounded_with_the_weights(tmp_path):
    path = changed(tmp_path / "a.mdlus", grid_net(), arguments=given(use_fp16=True))
    maps = read_mdlus(path).net.places.maps
    assert torch.equal(maps, grid_net().net.places.maps.half().float())


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("2.2.0", "model.device_buffer"),
        ("1.3.0", "model.evil_device_buffer"),
        ("1.3.0", "model.enc.device_buffer"),
        ("2.2.0", "model.zero_emb"),
        ("2.2.0", "model.map_augment.weight"),
        ("2.2.0", "sigma_data"),
    ],
)
def test_weights_that_the_class_has_not_are_refused(tmp_path, release, name):
    def add(state):
        state[name] = torch.zeros(0)

    with pytest.raises(ModelError, match=f"{name.removeprefix('model.')} "):
        read_mdlus(changed(tmp_path / "a.mdlus", release=release, weights=add))


def test_a_device_buffer_with_numbers_in_it_is_refused(tmp_path):
    def add(state):
        state["device_buffer"] = torch.ones(1)

    with pytest.raises(ModelError, match="device_buffer is not empty"):
        read_mdlus(changed(tmp_path / "a.mdlus", release="1.3.0", weights=add))


def test_weights_for_labels_of_augmentation_are_passed_over(tmp_path):
    def add(state):
        state["model.map_augment.weight"] = torch.ones(8, 3)

    path = changed(tmp_path / "a.mdlus", arguments=given(augment_dim=3), weights=add)
    assert torch.equal(called(read_mdlus(path)), called(stage_net()))


def test_frequencies_other_than_those_of_the_embedding_are_refused(tmp_path):
    def turn(state):
        state["model.map_noise.freqs"] *= 2

    with pytest.raises(ModelError, match=r"map_noise\.freqs is not of this network"):
        read_mdlus(changed(tmp_path / "a.mdlus", weights=turn))


@pytest.mark.parametrize("sigma_data", [torch.tensor(0.6), torch.ones(3), torch.zeros(0)])
def test_a_deviation_among_the_weights_is_that_of_the_arguments(tmp_path, sigma_data):
    def change(state):
        state["sigma_data"] = sigma_data

    def precond(told):
        told["__name__"] = "EDMPrecond"
        told["__args__"]["img_in_channels"] += told["__args__"]["img_out_channels"]

    path = tmp_path / "a.mdlus"
    changed(path, arguments=precond, weights=change)
    with pytest.raises(ModelError, match=r"sigma_data is not 0\.5, as the arguments say"):
        read_checkpoint(path)
