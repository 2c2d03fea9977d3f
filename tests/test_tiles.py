"""Any size goes through: padding is undone, windows cover, blending leaves no trace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.engine import tiles
from xresdiff.engine.tiles import Groups, blend_weights, pad_to, windowed
from xresdiff.engine.tiling import Tiling, windows

sizes = st.integers(1, 70)


@settings(max_examples=60, deadline=None)
@given(height=sizes, width=sizes, multiple=st.integers(1, 32), minimum=st.integers(1, 130))
def test_padding_and_cropping_is_identity(height, width, multiple, minimum):
    x = torch.arange(2.0 * height * width).reshape(1, 2, height, width)
    padded, crop = pad_to(x, multiple, minimum)
    assert torch.equal(padded[..., *crop], x)
    for n, size in zip((height, width), padded.shape[-2:], strict=True):
        assert size % multiple == 0
        assert max(n, minimum) <= size < max(n, minimum) + multiple
    assert padded.unique().numel() == x.numel()


def test_padding_is_a_mirror_on_the_edge():
    padded, _ = pad_to(torch.tensor([[[1, 2, 3]]]), 1, 10)
    assert padded[0, 0].tolist() == [1, 2, 3, 3, 2, 1, 1, 2, 3, 3]


def test_padding_keeps_blocks_whole():
    blocks = torch.rand(1, 1, 3, 5).repeat_interleave(4, -1).repeat_interleave(4, -2)
    padded, _ = pad_to(blocks, 32)
    cells = padded.unfold(-2, 4, 4).unfold(-2, 4, 4)
    assert (cells == cells[..., :1, :1]).all()


def test_nothing_to_pad_copies_nothing():
    x = torch.rand(1, 1, 64, 32)
    assert pad_to(x, 32, 32)[0] is x


@pytest.mark.parametrize(("size", "overlap"), [(16, 8), (16, 5), (16, 0), (5, 2), (1, 0)])
def test_weights_of_even_windows_add_up_to_one(size, overlap):
    weights = blend_weights((size, size), overlap)
    assert (weights > 0).all()
    n = size + 4 * (size - overlap)
    total = torch.zeros(n, n)
    for window in windows((n, n), size, overlap):
        total[window] += weights
    inside = slice(overlap, n - overlap)
    torch.testing.assert_close(total[inside, inside], torch.ones_like(total[inside, inside]))


@settings(max_examples=40, deadline=None)
@given(height=sizes, width=sizes, size=st.integers(4, 32), batch=st.integers(1, 7), data=st.data())
def test_a_pointwise_denoiser_gives_the_same_windowed_or_whole(height, width, size, batch, data):
    overlap = data.draw(st.integers(0, size // 2))
    x = torch.randn(2, 3, height, width)
    sigma = torch.tensor([0.5, 2.0])

    def pointwise(x, sigma):
        return x.sin() / (1 + sigma[:, None, None, None] ** 2)

    denoise = windowed(lambda x, s, _: pointwise(x, s), Tiling(size, overlap), batch * size**2)
    assert torch.equal(denoise(x, sigma), pointwise(x, sigma))


def test_windows_know_their_place():
    place = torch.rand(1, 1, 50, 60)

    def denoise(x, sigma, some):
        return torch.cat([place[..., *window].expand(2, 1, -1, -1) for window in some])

    for batch in (1, 5, 100):
        found = windowed(denoise, Tiling(16, 4), 256 * batch)(
            torch.zeros(2, 1, 50, 60), torch.tensor(1.0)
        )
        assert torch.equal(found, place.expand(2, 1, -1, -1))


@pytest.mark.parametrize(("batch", "largest"), [(1, 2), (2, 2), (6, 6), (7, 6), (100, 18)])
def test_batches_hold_whole_windows(batch, largest):
    seen = []

    def denoise(x, sigma, some):
        assert len(x) == len(sigma) == 2 * len(some)
        seen.append(len(x))
        return x

    windowed(denoise, Tiling(16, 0), 256 * batch)(
        torch.zeros(2, 1, 48, 48), torch.tensor([1.0, 2.0])
    )
    assert sum(seen) == 18
    assert max(seen) == largest


def test_disagreeing_windows_blend_without_a_step():
    def number(x, sigma, some):
        return torch.stack([torch.full_like(x[0], float(w[1].start)) for w in some])

    row = windowed(number, Tiling(32, 16))(torch.zeros(1, 1, 4, 80), torch.tensor(1.0))[0, 0, 0]
    assert row[:16].eq(0).all()
    assert row[-16:].eq(48).all()
    assert row.diff().min() >= 0
    assert row.diff().max() < 1.7  # 16 over 16 pixels, at most pi / 2 a pixel


def test_precision_of_the_sampler_is_kept():
    denoise = windowed(lambda x, s, _: x.float(), Tiling(16, 8))
    assert (
        denoise(torch.zeros(1, 1, 40, 40, dtype=torch.float64), torch.tensor(1.0)).dtype
        == torch.float64
    )


def test_groups_are_halved_when_memory_runs_out_and_stay_so():
    seen = []

    def denoise(x, sigma, some):
        seen.append(len(some))
        if len(some) > 2:
            raise MemoryError
        return x

    x = torch.randn(1, 1, 48, 48)
    denoiser = windowed(denoise, Tiling(16, 0), 256 * 9)
    assert torch.equal(denoiser(x, torch.tensor(1.0)), x)
    assert seen == [9, 4, 2, 2, 2, 2, 1]
    denoiser(x, torch.tensor(1.0))
    assert seen[7:] == [2, 2, 2, 2, 1]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("sizes do not match")])
def test_errors_of_a_single_part_are_not_hidden(error):
    def work(some):
        raise error

    with pytest.raises(type(error)):
        list(Groups([1, 2], 1).run(work))


def test_groups_are_of_whole_windows_of_the_size_that_is_cut():
    groups = tiles.grouped(Tiling(64, 16, multiple=16), (16, 80), 2 * 16 * 48)
    assert [(rows.stop, columns.stop - columns.start) for rows, columns in groups.parts] == [
        (16, 48),
        (16, 48),
    ]
    assert groups.most == 2
