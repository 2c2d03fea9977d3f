"""How a network of a checkpoint is called, and what it says to a wrong call."""

import pytest
import torch
from torch import Tensor

from tests.checkpoints import SHAPE, fields, normal, stage_net
from xresdiff.errors import InputError


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


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), [1.0, 0.0]])
def test_a_noise_level_is_positive_and_finite(sigma):
    net = stage_net()
    with pytest.raises(InputError, match="sigma must be positive and finite"):
        net(*fields(net), sigma)


@pytest.mark.parametrize("sigma", ["much", [[1.0], [1.0, 2.0]]])
def test_a_noise_level_is_a_number(sigma):
    net = stage_net()
    with pytest.raises(InputError, match="sigma must be one noise level or 2"):
        net(*fields(net), sigma)


def without_fields(value):
    return value[:0]


@pytest.mark.parametrize("stage", [0.5, None])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Tensor.long, r"is of torch\.int64; type condition\.float\(\)"),
        (Tensor.bool, r"is of torch\.bool"),
        (
            Tensor.numpy,
            r"must be a torch\.Tensor and is a ndarray; .* type torch\.from_numpy",
        ),
        (without_fields, r"is \(0, 3, 16, 24\): there is no field in it"),
    ],
)
def test_a_condition_is_a_tensor_of_real_numbers(stage, change, message):
    net = stage_net(stage, latent=stage is None)
    x, condition = fields(net)
    with pytest.raises(InputError, match=f"the condition {message}"):
        net(x, change(condition), 1.0)


def test_a_noisy_field_is_a_tensor_of_real_numbers():
    net = stage_net()
    x, condition = fields(net)
    with pytest.raises(InputError, match=r"x is of torch\.int32; type x\.float\(\)"):
        net(x.int(), condition, 1.0)


@pytest.mark.parametrize("stage", [0.5, None])
@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (torch.float64, torch.float64),
        (torch.float32, torch.float32),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
)
def test_results_have_32_bits_or_more(stage, given, wanted):
    net = stage_net(stage, latent=stage is None)
    x, condition = (value.to(given) for value in fields(net))
    x = x if stage else 0 * x
    out = net(x, condition, 2.0)
    assert out.dtype == wanted
    torch.testing.assert_close(out, net(x.float(), condition.float(), 2.0).to(wanted))
