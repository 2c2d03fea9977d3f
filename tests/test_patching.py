"""Patches lie where PhysicsNeMo has them, and leave no trace."""

import pytest
import torch
from torch.nn import functional as F

from xresdiff.engine.patching import conditions, cut, patched, patches, shrunk
from xresdiff.models.targets import Patching

# (shape, patching) -> rows and columns of GridPatching2D.global_index, in its order, and a few
# pixels of what its fuse makes of the sines of 0, 1, 2 ..., of PhysicsNeMo 2.2.2
PEER = {
    ((13, 17), Patching((8, 8), 2, 1)): (
        [[1, 0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9, 10, 11], [9, 10, 11, 12, 11, 10, 9, 8]],
        [
            [1, 0, 1, 2, 3, 4, 5, 6],
            [4, 5, 6, 7, 8, 9, 10, 11],
            [9, 10, 11, 12, 13, 14, 15, 16],
            [14, 15, 16, 15, 14, 13, 12, 11],
        ],
        [
            [0.4121185, 0.46435857, -0.6355196, 0.72392297],
            [0.334103, 0.40026528, -0.5416637, 0.6125264],
            [0.37960774, 0.48415288, -0.6480646, 0.727585],
            [0.8064006, 0.12591416, -0.3740906, 0.5735528],
        ],
    ),
    ((20, 11), Patching((10, 6), 1, 2)): (
        [
            [2, 1, 0, 1, 2, 3, 4, 5, 6, 7],
            [5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
            [12, 13, 14, 15, 16, 17, 18, 19, 18, 17],
        ],
        [[2, 1, 0, 1, 2, 3], [1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9], [7, 8, 9, 10, 9, 8]],
        [
            [0.9906074, -0.8318919, 0.3229494, 0.44534725],
            [-0.58015126, 0.22891694, 0.46342352, -0.7835979],
            [0.08854538, 0.22893952, -0.73742676, 0.6537014],
            [0.7958241, -0.83189845, 0.6727426, 0.02667931],
        ],
    ),
}


@pytest.mark.parametrize("case", PEER)
def test_patches_lie_where_physicsnemo_has_them(case):
    shape, patching = case
    rows, columns, _ = PEER[case]
    ours = [(patch.rows.tolist(), patch.columns.tolist()) for patch in patches(patching, shape)]
    assert ours == [(row, column) for column in columns for row in rows]


@pytest.mark.parametrize("case", PEER)
def test_patches_are_fused_as_physicsnemo_fuses_them(case):
    shape, patching = case
    numbers = iter(range(10**6))

    def denoise(x, sigma, some):
        return torch.sin(torch.tensor([next(numbers) for _ in range(x.numel())])).reshape(x.shape)

    fused = patched(denoise, patching, shape)(torch.zeros(1, 1, *shape), torch.tensor(1.0))
    few = fused[0, 0, :: shape[0] // 3, :: shape[1] // 3]
    torch.testing.assert_close(few, torch.tensor(PEER[case][2]), rtol=0, atol=2e-6)


def test_a_denoiser_that_changes_nothing_changes_nothing():
    x = torch.randn(2, 3, 37, 50)
    same = patched(lambda x, sigma, some: x, Patching((16, 12), 3, 2), (37, 50))
    assert torch.equal(same(x, torch.tensor(2.0)), x)


def test_sigmas_go_with_their_fields():
    x = torch.zeros(2, 1, 20, 20)
    sigma = torch.tensor([1.0, 2.0])
    told = patched(lambda x, s, some: x + s[:, None, None, None], Patching((8, 8), 2, 1), (20, 20))
    assert torch.equal(told(x, sigma), x + sigma[:, None, None, None])


def test_patches_are_no_larger_than_the_field():
    assert {len(patch.rows) for patch in patches(Patching((64, 8), 2, 1), (20, 20))} == {20}


def test_a_field_of_a_few_pixels_is_refused():
    with pytest.raises(ValueError, match="patches of 4 x 8 pixels are too small"):
        patches(Patching((8, 8), 2, 1), (4, 20))


def test_a_patch_is_told_of_itself_and_of_the_whole():
    patching, shape = Patching((6, 8), 1, 1), (9, 15)
    mean, inputs = torch.rand(2, 1, *shape), torch.rand(2, 3, *shape)
    some = patches(patching, shape)[2:4]
    own = torch.cat([mean, inputs], dim=1)
    told = conditions(own, shrunk(inputs, patching), some)
    assert told.shape == (4, 7, 6, 8)
    whole = F.interpolate(inputs, size=(6, 8), mode="bilinear")
    for i, patch in enumerate(some):
        torch.testing.assert_close(told[2 * i : 2 * i + 2, 4:], whole, rtol=0, atol=0)
        for b in range(2):
            expected = own[b][:, patch.rows][:, :, patch.columns]
            torch.testing.assert_close(told[2 * i + b, :4], expected, rtol=0, atol=0)
    assert torch.equal(conditions(own, None, some), cut(own, some))
