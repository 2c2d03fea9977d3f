"""Any size goes through: padding is undone, windows cover, blending leaves no trace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xresdiff.engine.tiles import blend_weights, pad_to, windowed, windows

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


@settings(max_examples=60, deadline=None)
@given(height=sizes, width=sizes, size=st.integers(1, 40), data=st.data())
def test_windows_cover_every_field(height, width, size, data):
    overlap = data.draw(st.integers(0, size // 2))
    cover = windows((height, width), size, overlap)
    count = torch.zeros(height, width)
    for window in cover:
        assert count[window].shape == (min(size, height), min(size, width))
        count[window] += 1
    assert (count > 0).all()
    assert len(set(map(str, cover))) == len(cover)
    assert [s.stop for s in cover[-1]] == [height, width]


@pytest.mark.parametrize("overlap", [-1, 9])
def test_overlaps_of_more_than_half_are_refused(overlap):
    with pytest.raises(ValueError, match="windows of 16 pixels overlap by 0 to 8"):
        windows((64, 64), 16, overlap)


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

    denoise = windowed(lambda x, s, _: pointwise(x, s), size, overlap, batch)
    assert torch.equal(denoise(x, sigma), pointwise(x, sigma))


def test_windows_know_their_place():
    place = torch.rand(1, 1, 50, 60)

    def denoise(x, sigma, some):
        return torch.cat([place[..., *window].expand(2, 1, -1, -1) for window in some])

    for batch in (1, 5, 100):
        found = windowed(denoise, 16, 4, batch)(torch.zeros(2, 1, 50, 60), torch.tensor(1.0))
        assert torch.equal(found, place.expand(2, 1, -1, -1))


@pytest.mark.parametrize(("batch", "largest"), [(1, 2), (2, 2), (6, 6), (7, 6), (100, 18)])
def test_batches_hold_whole_windows(batch, largest):
    seen = []

    def denoise(x, sigma, some):
        assert len(x) == len(sigma) == 2 * len(some)
        seen.append(len(x))
        return x

    windowed(denoise, 16, 0, batch)(torch.zeros(2, 1, 48, 48), torch.tensor([1.0, 2.0]))
    assert sum(seen) == 18
    assert max(seen) == largest


def test_disagreeing_windows_blend_without_a_step():
    def number(x, sigma, some):
        return torch.stack([torch.full_like(x[0], float(w[1].start)) for w in some])

    row = windowed(number, 32, 16)(torch.zeros(1, 1, 4, 80), torch.tensor(1.0))[0, 0, 0]
    assert row[:16].eq(0).all()
    assert row[-16:].eq(48).all()
    assert row.diff().min() >= 0
    assert row.diff().max() < 1.7  # 16 over 16 pixels, at most pi / 2 a pixel


def test_precision_of_the_sampler_is_kept():
    denoise = windowed(lambda x, s, _: x.float(), 16, 8)
    assert (
        denoise(torch.zeros(1, 1, 40, 40, dtype=torch.float64), torch.tensor(1.0)).dtype
        == torch.float64
    )
