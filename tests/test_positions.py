import tracemalloc

import numpy as np
import pytest
import torch

from tests.peers import needs_peers, peer_arrays
from tests.toys import toy_net
from xresdiff.errors import InputError
from xresdiff.nets.positions import position_maps
from xresdiff.nets.unet import UNet, UNetConfig

GRID = (16, 24)
PATCH = (8, 8)


def net(**changes):
    return toy_net(
        {
            "in_channels": 2,
            "out_channels": 1,
            "model_channels": 8,
            "channel_mult": (1, 2),
            "num_blocks": 1,
            "dropout": 0.0,
            "positions": "learned",
            "position_channels": 3,
            "shape": GRID,
        }
        | changes
    ).requires_grad_(False)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cut(maps, corner):
    row, column = corner
    return maps[..., row : row + PATCH[0], column : column + PATCH[1]]


def indices(corner):
    row, column = corner
    return np.mgrid[row : row + PATCH[0], column : column + PATCH[1]]


def on_patch(network, x, corner, label=None):
    """Return what a network gives whose whole grid is the patch."""
    config = network.config
    small = UNet(UNetConfig(**(vars(config) | {"shape": PATCH})))
    state = network.state_dict()
    for name in ("places.maps", "places.lead_times", "added"):
        if name in state:
            state[name] = cut(state[name], corner)
    small.load_state_dict(state)
    with torch.no_grad():
        return small.eval()(x, torch.zeros(len(x)), lead_time=label)


# --- fixed maps


@needs_peers
@pytest.mark.parametrize("key", ["sinusoidal_4"])
def test_fixed_maps_are_the_peers(key):
    theirs = peer_arrays("grids_32x48")[key]
    assert torch.equal(torch.from_numpy(position_maps("sinusoidal", 4, (32, 48))), theirs)


def test_sinusoids_turn_once_over_the_grid_and_then_faster():
    maps = position_maps("sinusoidal", 8, (3, 5))
    columns, rows = np.linspace(0, 2 * np.pi, 5), np.linspace(0, 2 * np.pi, 3)
    np.testing.assert_allclose(maps[0, 1], np.sin(columns), atol=1e-6)
    np.testing.assert_allclose(maps[3, :, 2], np.cos(rows), atol=1e-6)
    np.testing.assert_allclose(maps[4, 1], np.sin(4 * columns), atol=1e-6)
    octaves = position_maps("octave", 8, (3, 5))
    np.testing.assert_array_equal(octaves[:4], maps[:4])
    np.testing.assert_allclose(octaves[4, 1], np.sin(2 * columns), atol=1e-6)


def test_lines_and_numbers_are_rows_and_columns():
    assert position_maps("linear", 2, (3, 5))[:, 0, 4].tolist() == [1.0, -1.0]
    assert position_maps("test", 2, (3, 5))[:, 1, 4].tolist() == [1.0, 4.0]


def test_maps_are_the_float32_of_what_float64_gives():
    height, width = 37, 51
    columns, rows = np.meshgrid(*(np.linspace(0, 2 * np.pi, n) for n in (width, height)))
    wanted = [
        wave(f * axis) for f in (1, 4) for wave in (np.sin, np.cos) for axis in (columns, rows)
    ]
    maps = position_maps("sinusoidal", 8, (height, width))
    np.testing.assert_array_equal(maps, np.float32(wanted))


def test_maps_take_little_more_memory_than_they_have():
    tracemalloc.start()
    maps = position_maps("sinusoidal", 16, (512, 512))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.2 * maps.nbytes


def test_a_wrong_number_of_maps_is_refused():
    with pytest.raises(InputError, match="'linear' have 2 maps, not 3"):
        position_maps("linear", 3, (3, 5))


def test_fixed_maps_are_not_among_the_weights():
    assert "places.maps" not in net(positions="sinusoidal", position_channels=4).state_dict()
    assert "places.maps" in net(positions="stored").state_dict()


# --- patches


@pytest.mark.parametrize("form", [tuple, np.array, torch.tensor, indices])
def test_a_patch_has_the_maps_of_its_place(form):
    network, x, corner = net(), normal(2, 2, *PATCH), (5, 11)
    ours = network(x, torch.zeros(2), position=form(corner))
    torch.testing.assert_close(ours, on_patch(network, x, corner))


@pytest.mark.parametrize("additive", [False, True])
def test_every_patch_has_its_own_place_and_every_sample_its_lead_time(additive):
    network = net(lead_time_channels=2, lead_time_steps=4, additive_position=additive)
    corners, labels = [(0, 0), (5, 11), (8, 16)], torch.tensor([3, 1])
    x = normal(6, 2, *PATCH)  # patch after patch
    ours = network(x, torch.zeros(6), lead_time=labels, position=corners)
    for p, corner in enumerate(corners):
        rows = slice(2 * p, 2 * p + 2)
        wanted = on_patch(network, x[rows], corner, labels)
        torch.testing.assert_close(ours[rows], wanted)
    grids = np.stack([indices(corner) for corner in corners])
    assert torch.equal(network(x, torch.zeros(6), lead_time=labels, position=grids), ours)


def test_the_whole_grid_is_the_default():
    network, x = net(), normal(2, 2, *GRID)
    assert torch.equal(network(x, torch.zeros(2)), network(x, torch.zeros(2), position=(0, 0)))


def test_a_network_without_maps_takes_no_notice_of_places():
    network, x = net(positions="none", position_channels=0), normal(1, 2, *PATCH)
    assert torch.equal(network(x, torch.zeros(1)), network(x, torch.zeros(1), position=(99, 99)))


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (None, r"16 x 24 pixels and was given 8 x 8.*position=\(row, column\)"),
        ((9, 0), "rows 9 to 16"),
        ((0, -1), "columns -1 to 6"),
        ((0.5, 0), "whole numbers"),
        ((np.nan, 0), "whole numbers"),
        ((np.inf, 0), "whole numbers"),
        ((0, 0, 0), "must be a corner"),
        ((slice(0, 8), slice(0, 8)), r"indices \(2, 8, 8\) .*it is \(slice"),
        ((np.arange(8), np.arange(9)), r"indices \(2, 8, 8\) .*it is \(array"),
        ((np.arange(8), np.arange(8)), r"indices \(2, 8, 8\) .*it is \(2, 8\) of"),
        ("corner", "must be a corner"),
        ([(0, 0)] * 4, "6 fields do not lie on 4 patches"),
    ],
)
def test_a_place_outside_the_grid_is_refused(position, message):
    with pytest.raises(InputError, match=message):
        net()(normal(6, 2, *PATCH), torch.zeros(6), position=position)


# --- lead times


@pytest.mark.parametrize("label", [2, [2, 2], np.array([2, 2]), torch.tensor(2)])
def test_a_lead_time_comes_in_any_form(label):
    network, x = net(lead_time_channels=2, lead_time_steps=4), normal(2, 2, *GRID)
    wanted = network(x, torch.zeros(2), lead_time=torch.tensor([2, 2]))
    assert torch.equal(network(x, torch.zeros(2), lead_time=label), wanted)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "asks for a lead time"),
        (4, "from 0 to 3"),
        (-1, "from 0 to 3"),
        ([0, 1, 2], "3 lead times are given for 2 samples"),
        (0.5, "whole numbers, not 0.5"),
        (np.inf, "whole numbers, not inf"),
        (np.nan, "whole numbers, not nan"),
        ("soon", "whole numbers, not 'soon'"),
    ],
)
def test_a_wrong_lead_time_is_refused(label, message):
    network = net(lead_time_channels=2, lead_time_steps=4)
    with pytest.raises(InputError, match=message):
        network(normal(2, 2, *GRID), torch.zeros(2), lead_time=label)


# --- probabilities


def test_probabilities_are_a_softmax_in_eval_mode_alone():
    network = net(out_channels=3, softmax_channels=(0, 2))
    network.softmax_scale.copy_(torch.tensor([2.0, 3.0]))
    plain = net(out_channels=3)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if k != "softmax_scale"})
    x, noise = normal(1, 2, *GRID), torch.zeros(1)
    raw, out = plain(x, noise), network(x, noise)
    logits = raw[:, [0, 2]] * torch.tensor([2.0, 3.0])[:, None, None]
    torch.testing.assert_close(out[:, [0, 2]], logits.softmax(1))
    assert torch.equal(out[:, 1], raw[:, 1])
    torch.testing.assert_close(network.train()(x, noise)[:, [0, 2]], logits)
