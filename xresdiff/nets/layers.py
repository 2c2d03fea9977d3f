"""The layers of the U-Net: resampling convolution, group norm, attention, noise embedding."""

from math import log, pi, sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "Conv", "FourierEmbedding", "GroupNorm", "Linear", "sinusoids"]


def _xavier_uniform(shape: tuple[int, ...], fan_in: int, fan_out: int, scale: float) -> Tensor:
    return (torch.rand(shape) * 2 - 1) * (sqrt(6 / (fan_in + fan_out)) * scale)


class Linear(nn.Module):
    """A dense layer, Xavier-uniform, with zero bias."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        shape = (out_features, in_features)
        self.weight = nn.Parameter(_xavier_uniform(shape, in_features, out_features, 1.0))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``(b, in_features)``."""
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class Conv(nn.Module):
    """A convolution that may halve or double the size first.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in and out.
    size : {0, 1, 3}
        Side of the convolution kernel; 0 resamples alone.
    resample : {"up", "down"}, optional
        Double or halve height and width, with the outer product of `kernel` as filter.
    kernel : tuple of float, default (1, 1)
        Resampling filter along one axis; it is normalised to sum to one.
    fused : bool, default False
        Filter after the convolution rather than before it (down only).
    scale : float, default 1
        Factor on the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        resample: Literal["up", "down"] | None = None,
        kernel: tuple[float, ...] = (1, 1),
        fused: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.resample, self.fused, self.size = resample, fused, size
        self.box = len(kernel) == 2 and kernel[0] == kernel[1]  # the mean of 2 x 2 pixels
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if size:
            area = size * size
            shape = (out_channels, in_channels, size, size)
            weight = _xavier_uniform(shape, in_channels * area, out_channels * area, scale)
            self.weight = nn.Parameter(weight)
            self.bias = nn.Parameter(torch.zeros(out_channels))
        if resample:
            taps = torch.as_tensor(kernel, dtype=torch.float32)
            outer = taps.outer(taps) / taps.sum() ** 2
            self.register_buffer("resample_filter", outer[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Resample and convolve ``(b, c, y, x)``."""
        if self.resample and not self.fused:
            x = self._resampled(x)
        if self.weight is None or self.bias is None:
            return x
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if self.fused:
            return self._fused_down(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=self.size // 2)

    def _filter(self, x: Tensor) -> Tensor:
        filter_ = self.get_buffer("resample_filter")
        return filter_.to(x.dtype).expand(x.shape[1], -1, -1, -1)

    def _resampled(self, x: Tensor) -> Tensor:
        taps = self._filter(x)
        pad = (taps.shape[-1] - 1) // 2
        if self.resample == "down":
            if self.box:
                return F.avg_pool2d(x, 2)
            return F.conv2d(x, taps, stride=2, padding=pad, groups=x.shape[1])
        if self.box:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.conv_transpose2d(x, 4 * taps, stride=2, padding=pad, groups=x.shape[1])

    def _fused_down(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        pad = (self.get_buffer("resample_filter").shape[-1] - 1) // 2
        x = F.conv2d(x, weight, padding=self.size // 2 + pad)
        return F.conv2d(x, self._filter(x), bias, stride=2, groups=x.shape[1])


class GroupNorm(nn.Module):
    r"""Group norm in groups of four channels or so, 32 groups at most.

    With ``unbiased=True`` the variance has the divisor n - 1 in eval mode, n being the
    elements of a group. That equals the usual norm with the weight times :math:`\sqrt{(n-1)/n}` and
    epsilon times :math:`(n-1)/n`, so the fused kernel serves both.

    Parameters
    ----------
    channels : int
        Channels in and out.
    unbiased : bool, default False
        Divide the variance by n - 1 in eval mode.
    eps : float, default 1e-6
        Added to the variance.
    whole_groups : bool, default False
        Take channels // 4 groups rather than one more for a remainder; the two differ where the
        channels are no multiple of four.
    """

    def __init__(
        self,
        channels: int,
        *,
        unbiased: bool = False,
        eps: float = 1e-6,
        whole_groups: bool = False,
    ) -> None:
        super().__init__()
        most = min(32, channels // 4 if whole_groups else -(-channels // 4))
        self.groups = next((n for n in range(most, 0, -1) if channels % n == 0), 1)
        self.unbiased, self.eps = unbiased, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(b, c, y, x)``."""
        weight: Tensor = self.weight
        eps = self.eps
        if self.unbiased and not self.training:
            n = x[0].numel() // self.groups
            weight, eps = weight * sqrt((n - 1) / n), eps * (n - 1) / n
        return F.group_norm(x, self.groups, weight.to(x.dtype), self.bias.to(x.dtype), eps)


class Attention(nn.Module):
    """Self-attention, added to its input.

    Parameters
    ----------
    channels : int
        Channels in and out.
    norm : GroupNorm
        What the input passes through first.
    heads : int, default 1
        Groups of channels that attend apart.
    over : {"pixels", "channels", "segments"}
        What attends to what. "segments" is for heads that each have, rather than some channels of
        all pixels, the pixels of a part of the field, cut into as many segments as there are heads.
    """

    def __init__(
        self,
        channels: int,
        norm: GroupNorm,
        *,
        heads: int = 1,
        over: Literal["pixels", "channels", "segments"] = "pixels",
    ) -> None:
        super().__init__()
        self.heads, self.over = heads, over
        self.norm = norm
        self.qkv = Conv(channels, channels * 3, 1, scale=sqrt(0.2))
        self.proj = Conv(channels, channels, 1, scale=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Attend in ``(b, c, y, x)``."""
        b, c, h, w = x.shape
        n, qkv = self.heads, self.qkv(self.norm(x))
        # queries, keys and values alternate channel by channel: (b, 3c, h, w) -> 3 x (b*n, hw, c/n)
        if self.over == "segments":
            q, k, v = qkv.movedim(1, -1).reshape(b * n, h * w, c // n, 3).unbind(-1)
        else:
            q, k, v = qkv.reshape(b * n, c // n, 3, h * w).permute(2, 0, 3, 1)
        if self.over == "channels":
            q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v)
        attended = attended if self.over == "channels" else attended.transpose(1, 2)
        return x + self.proj(attended.reshape(b, c, h, w))


def sinusoids(noise: Tensor, features: int, *, endpoint: bool = True) -> Tensor:
    """Embed noise labels ``(b,)`` in sines, then cosines, as ``(b, features)``.

    The wavelengths rise from 2 pi towards 10 000 times that, which they reach if `endpoint`.
    """
    half = features // 2
    steps = torch.arange(half, dtype=torch.float32, device=noise.device)
    exponent = steps / (half - 1 if endpoint else half)
    angles = noise.float()[:, None] * torch.exp(-log(10_000) * exponent)
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(noise.dtype)


class FourierEmbedding(nn.Module):
    """Embed noise labels in sines, then cosines, of random fixed frequencies."""

    def __init__(self, features: int, scale: float = 16.0) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(features // 2) * scale)

    def forward(self, noise: Tensor) -> Tensor:
        """Embed noise labels ``(b,)`` as ``(b, features)``."""
        angles = noise.float()[:, None] * (2 * pi * self.get_buffer("freqs"))
        return torch.cat([angles.sin(), angles.cos()], dim=1).to(noise.dtype)
