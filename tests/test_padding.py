"""Fields go on beyond their edges as PyTorch's own paddings have it."""

import pytest
import torch
from torch.nn import functional as F

from xresdiff.engine.padding import padded
from xresdiff.models.targets import Padding


@pytest.mark.parametrize("around", [True, False])
def test_torch_pads_alike(around):
    x = torch.rand(2, 3, 9, 14)
    ours = padded(x, Padding(rows=(3, 5), columns=(7, 2), around=around))
    rows = F.pad(x, (0, 0, 3, 5), mode="reflect")
    torch.testing.assert_close(
        ours, F.pad(rows, (7, 2, 0, 0), mode="circular" if around else "reflect"), rtol=0, atol=0
    )


def test_the_published_padding_has_its_size():
    padding = Padding(rows=(23, 24), columns=(48, 48), around=True)
    x = torch.rand(1, 2, 31, 50)
    grown = padded(x, padding)
    assert grown.shape[-2:] == padding.padded(31, 50)


def test_padding_may_be_wider_than_the_field():
    x = torch.tensor([[0, 1, 2]])
    assert padded(x, Padding((0, 0), (7, 0))).tolist() == [[1, 2, 1, 0, 1, 2, 1, 0, 1, 2]]
    assert padded(x, Padding((2, 2), (0, 0)))[:, 0].tolist() == [0] * 5
