"""Networks for other channels: what they keep, what they ignore, what they begin with."""

import numpy as np
import pytest
import torch

from tests.toys import noisy, toy_net
from xresdiff.nets.growth import Source, grown
from xresdiff.nets.unet import UNet, UNetConfig

SHAPES = {
    "standard": {},
    "stem": {"stem": 2},
    "skip": {"encoder": "skip", "decoder": "skip", "resample_filter": (1, 3, 3, 1), "stem": 2},
    "residual": {"encoder": "residual", "resample_filter": (1, 3, 3, 1)},
    "maps": {
        "positions": "sinusoidal",
        "position_channels": 4,
        "lead_time_channels": 2,
        "lead_time_steps": 3,
        "additive_position": True,
        "shape": (16, 16),
    },
    "adm": {"style": "adm", "narrow_entrance": True},
}


def shape(kind, inputs=3, outputs=2):
    small = {"model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1, "dropout": 0.0}
    return small | SHAPES[kind] | {"in_channels": inputs, "out_channels": outputs}


def run(net, x):
    lead = {"lead_time": 1} if net.config.lead_time_channels else {}
    with torch.no_grad():
        return net(x, torch.full((len(x),), 0.3), **lead)


def grow(net, kind, inputs, outputs):
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    new = grown(weights, net.config, inputs=inputs, outputs=outputs)
    other = UNet(UNetConfig(**shape(kind, len(inputs), len(outputs)))).eval()
    other.load_state_dict({name: torch.from_numpy(value) for name, value in new.items()})
    return other


@pytest.fixture(params=list(SHAPES))
def kind(request):
    return request.param


@pytest.fixture
def net(kind):
    return toy_net(shape(kind))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_channels_may_change_their_order(net, kind):
    moved = grow(net, kind, [Source(2), Source(0), Source(1)], [Source(1), Source(0)])
    x = noisy(2, 3, 16, 16)
    close(run(moved, x[:, [2, 0, 1]]), run(net, x).flip(1))


def test_new_inputs_are_not_looked_at_and_new_outputs_are_zero(net, kind):
    inputs = [None, Source(0), Source(1), None, Source(2)]
    wider = grow(net, kind, inputs, [Source(0), None, Source(1)])
    x = noisy(2, 5, 16, 16)
    out = run(wider, x)
    close(out[:, [0, 2]], run(net, x[:, [1, 2, 4]]))
    assert not out[:, 1].any()
    assert torch.equal(run(wider, torch.cat([99 * x[:, :1], x[:, 1:]], dim=1)), out)


def test_inputs_that_are_dropped_count_as_zero(net, kind):
    narrower = grow(net, kind, [Source(0), Source(2)], [Source(1)])
    x = noisy(2, 3, 16, 16)
    x[:, 1] = 0
    close(run(narrower, x[:, [0, 2]]), run(net, x)[:, 1:])


def test_units_may_change(net, kind):
    x = noisy(2, 3, 16, 16)
    # by a factor everywhere, by a shift where the network does not see beyond the field
    scaled = grow(
        net, kind, [Source(0, 2.0), Source(1, 0.5), Source(2)], [Source(0, 3.0, 1.0), Source(1)]
    )
    given = torch.cat([x[:, :1] / 2, x[:, 1:2] * 2, x[:, 2:]], dim=1)
    expected = run(net, x)
    close(run(scaled, given), torch.stack([expected[:, 0] * 3 + 1, expected[:, 1]], dim=1))


@pytest.mark.parametrize("kind", ["standard", "skip", "residual"])
def test_the_shift_of_an_input_is_made_up_for_in_the_first_layers(kind):
    net = toy_net(shape(kind))
    shifted = grow(net, kind, [Source(0, 1.0, 4.0), Source(1), Source(2)], [Source(0), Source(1)])
    x = noisy(1, 3, 16, 16)
    moved = x.clone()
    moved[:, 0] += 4
    fold = net.config.stem

    def first(some, fields):
        inner = torch.nn.functional.pixel_unshuffle(fields, fold) if fold > 1 else fields
        return some.enc["level0_conv"](inner)[..., 1:-1, 1:-1]

    with torch.no_grad():
        close(first(shifted, x), first(net, moved))
        for name in ("level1_aux_skip", "level1_aux_residual"):
            if name in net.enc:
                change = shifted.enc[name].bias - net.enc[name].bias
                seen = net.enc[name].weight[:, : fold**2].sum(dim=(1, 2, 3))
                close(change, 4 * seen)


def test_probabilities_take_their_scale_along():
    config = UNetConfig(**(shape("standard", outputs=3) | {"softmax_channels": (0, 1)}))
    weights = {name: value.numpy() for name, value in UNet(config).state_dict().items()}
    weights["softmax_scale"] = np.float32([2, 3])
    inputs, moved = [Source(i) for i in range(3)], [Source(2), Source(1), Source(0)]
    new = grown(weights, config, inputs=inputs, outputs=moved, softmax_channels=(1, 2))
    assert new["softmax_scale"].tolist() == [3, 2]
    same = grown(weights, config, inputs=inputs, outputs=[Source(0), Source(1), None])
    assert same["softmax_scale"].tolist() == [2, 3]
    none = grown(weights, config, inputs=inputs, outputs=[Source(2)], softmax_channels=())
    assert "softmax_scale" not in none
    with pytest.raises(ValueError, match="output 0 is a probability in one of the networks alone"):
        grown(weights, config, inputs=inputs, outputs=moved)


def test_weights_that_stay_are_the_same_to_the_bit(net, kind):
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    same = grown(
        weights,
        net.config,
        inputs=[Source(0), Source(1), Source(2)],
        outputs=[Source(0), Source(1)],
    )
    assert set(same) == set(weights)
    assert all(np.array_equal(same[name], weights[name]) for name in weights)
