from dataclasses import replace

import pytest
import torch

from tests.toys import PRECIP_RATE, toy_card
from xresdiff.engine.fields import Fields
from xresdiff.models.card import Channel, Transform
from xresdiff.nets.transforms import block_mean, phase, refine

TEMPERATURE = Channel(
    "t2m", "air_temperature", "K", mean=280.0, std=10.0, minimum=180.0, maximum=330.0
)


def rain(rows=3, columns=4, channels=1):
    generator = torch.Generator().manual_seed(0)
    return torch.rand((2, channels, rows, columns), generator=generator) * 5


def test_the_condition_is_made_as_the_card_says():
    card = toy_card(conditioning=("bilinear", "constant", "phase"))
    condition = Fields(card).condition(rain())
    assert condition.shape == (2, 4, 12, 16)
    encoded = (torch.log1p(rain() / 0.1) - 0.3) / 0.7
    torch.testing.assert_close(condition[:, :1], refine(encoded, 4, "bilinear"))
    torch.testing.assert_close(condition[:, 1:2], refine(encoded, 4, "constant"))
    assert torch.equal(condition[:, 2:], phase(rain(), 4))


def test_decode_undoes_encode():
    fields = Fields(toy_card(conserve=()))
    fine = rain(12, 16)
    torch.testing.assert_close(fields.decode(fields.encode(fine), rain()), fine)


def test_the_base_is_the_interpolated_input():
    fields = Fields(toy_card())
    interpolated = refine(rain(), 4, "bilinear")
    torch.testing.assert_close(fields.base(rain()), fields.encode(interpolated))
    assert not Fields(toy_card(global_residual=False)).base(rain()).any()


def test_outputs_that_are_no_inputs_have_a_base_of_zero():
    fields = Fields(toy_card(outputs=(TEMPERATURE, PRECIP_RATE)))
    base = fields.base(rain())
    assert not base[:, 0].any()
    assert torch.equal(base[:, 1:], Fields(toy_card()).base(rain()))


def test_channels_are_matched_by_name():
    card = toy_card(inputs=(TEMPERATURE, PRECIP_RATE), outputs=(PRECIP_RATE, TEMPERATURE))
    fields = Fields(card)
    coarse = torch.cat([280 + rain(), rain()], dim=1)  # temperature, rain
    swapped = coarse.flip(1)
    torch.testing.assert_close(fields.base(coarse), fields.encode(refine(swapped, 4, "bilinear")))
    decoded = fields.decode(fields.base(coarse), coarse)
    torch.testing.assert_close(block_mean(decoded[:, :1], 4), coarse[:, 1:])  # rain is conserved
    assert (decoded[:, 1] > 270).all()


def test_outputs_are_kept_to_their_bounds():
    card = toy_card(inputs=(TEMPERATURE,), outputs=(TEMPERATURE,), conserve=())
    encoded = torch.tensor([-50.0, 0.0, 50.0]).reshape(1, 1, 1, 3)
    decoded = Fields(card).decode(encoded, rain())
    assert decoded.flatten().tolist() == [180, 280, 330]


@pytest.mark.parametrize("dry_below", [None, 0.5])
def test_drizzle_is_dried(dry_below):
    channel = replace(
        PRECIP_RATE, dry_below=dry_below, transform=Transform("identity"), mean=0.0, std=1.0
    )
    card = toy_card(inputs=(channel,), outputs=(channel,), conserve=())
    decoded = Fields(card).decode(torch.tensor([0.0, 0.3, 0.6]).reshape(1, 1, 1, 3), rain())
    expected = [0.0, 0.3, 0.6] if dry_below is None else [0.0, 0.0, 0.6]
    assert decoded.flatten().tolist() == pytest.approx(expected)
