"""The layers of the U-Net, against their formulas."""

from math import exp, log, pi, sqrt

import pytest
import torch
from torch.nn import functional as F

from tests.toys import noisy
from xresdiff.nets.layers import Attention, Conv, FourierEmbedding, GroupNorm, sinusoids


def test_attention_over_channels_is_a_softmax_over_channels():
    attention = Attention(4, GroupNorm(4), heads=2, over="channels")
    with torch.no_grad():
        attention.proj.weight.mul_(1e5)
    x = noisy(2, 4, 3, 5)
    qkv = attention.qkv(attention.norm(x)).flatten(2)
    q, k, v = (qkv[:, i::3].unflatten(1, (2, 2)) for i in range(3))  # (b, heads, c, pixels)
    weights = torch.einsum("bhcp,bhdp->bhcd", q, k).div(sqrt(15)).softmax(-1)
    attended = torch.einsum("bhcd,bhdp->bhcp", weights, v).reshape(x.shape)
    torch.testing.assert_close(attention(x), x + attention.proj(attended))


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_over_segments_cuts_pixels_among_heads(heads):
    attention = Attention(4, GroupNorm(4), heads=heads, over="segments")
    with torch.no_grad():
        attention.proj.weight.mul_(1e5)
    x = noisy(1, 4, 2, 3)
    qkv = attention.qkv(attention.norm(x)).flatten(2)[0].T  # (pixels, 12)
    rows = qkv.reshape(heads, 6, 4 // heads, 3)  # of each head: half the pixels, cut in two
    parts = []
    for row in rows:
        q, k, v = row.unbind(-1)
        parts.append(((q @ k.T / sqrt(4 / heads)).softmax(-1) @ v).T)
    attended = torch.cat(parts).reshape(x.shape)
    torch.testing.assert_close(attention(x), x + attention.proj(attended))
    if heads == 1:
        attention.over = "pixels"
        torch.testing.assert_close(attention(x), x + attention.proj(attended))


@pytest.mark.parametrize("kernel", [(1, 1), (1, 3), (1, 3, 3, 1)])
def test_resampling_is_a_filter_with_a_stride(kernel):
    x = noisy(2, 3, 8, 12)
    taps = torch.outer(torch.tensor(kernel), torch.tensor(kernel)).float()
    taps = (taps / taps.sum()).expand(3, 1, -1, -1)
    pad = len(kernel) // 2 - 1
    down = Conv(3, 3, 0, resample="down", kernel=kernel)(x)
    torch.testing.assert_close(down, F.conv2d(x, taps, stride=2, padding=pad, groups=3))
    up = Conv(3, 3, 0, resample="up", kernel=kernel)(x)
    expected = F.conv_transpose2d(x, 4 * taps, stride=2, padding=pad, groups=3)
    torch.testing.assert_close(up, expected)


def test_a_fused_convolution_filters_last():
    conv = Conv(3, 5, 3, resample="down", kernel=(1, 3, 3, 1), fused=True)
    with torch.no_grad():
        conv.bias.copy_(noisy(5))
    x = noisy(2, 3, 8, 12)
    plain = F.conv2d(F.pad(x, (2, 2, 2, 2)), conv.weight)
    taps = conv.resample_filter.expand(5, 1, -1, -1)
    expected = F.conv2d(plain, taps, stride=2, groups=5) + conv.bias[:, None, None]
    torch.testing.assert_close(conv(x), expected)
    assert conv(x).shape == (2, 5, 4, 6)


def test_sinusoids_are_sines_then_cosines():
    waves = sinusoids(torch.tensor([0.0, 2.0]), 6)
    angles = [2 * exp(-log(10_000) * i / 2) for i in range(3)]
    expected = torch.tensor(angles)
    assert waves[0].tolist() == [0, 0, 0, 1, 1, 1]
    torch.testing.assert_close(waves[1], torch.cat([expected.sin(), expected.cos()]))


def test_fourier_features_have_fixed_random_frequencies():
    embedding = FourierEmbedding(8)
    assert not list(embedding.parameters())
    waves = embedding(torch.tensor([0.25]))[0]
    angles = 2 * pi * 0.25 * embedding.freqs
    torch.testing.assert_close(waves, torch.cat([angles.sin(), angles.cos()]))
