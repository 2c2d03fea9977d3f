"""The parts that a U-Net is built of: residual blocks and the embedding of the noise level."""

from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xresdiff.nets.config import UNetConfig
from xresdiff.nets.layers import Attention, Conv, FourierEmbedding, GroupNorm, Linear, sinusoids

__all__ = ["Block", "NoiseEmbedding", "norm"]


def norm(config: UNetConfig, channels: int) -> GroupNorm:
    """Return a norm as the network has them."""
    eps = 1e-5 if config.style == "adm" else 1e-6
    return GroupNorm(
        channels, unbiased=config.unbiased_norm, eps=eps, whole_groups=config.whole_groups
    )


def _attention(config: UNetConfig, channels: int) -> nn.Module:
    """Return an attention; of less than one head of an ADM network, nothing."""
    heads = channels // 64 if config.style == "adm" else 1
    if not heads:
        return nn.Identity()
    return Attention(channels, norm(config, channels), heads=heads, over=config.attention_over)


class Block(nn.Module):
    """Two convolutions about a skip, with the noise embedding added between them."""

    def __init__(
        self,
        config: UNetConfig,
        in_channels: int,
        out_channels: int,
        *,
        resample: Literal["up", "down"] | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        embedded = config.model_channels * config.channel_mult_emb
        kernel = config.resample_filter
        self.dropout = config.dropout
        self.adaptive = config.style == "adm"
        self.scale = 1.0 if self.adaptive else sqrt(0.5)
        self.norm0 = norm(config, in_channels)
        self.conv0 = Conv(in_channels, out_channels, 3, resample=resample, kernel=kernel)
        self.affine = Linear(embedded, out_channels * (2 if self.adaptive else 1))
        self.norm1 = norm(config, out_channels)
        self.conv1 = Conv(out_channels, out_channels, 3, scale=1e-5)
        changes = in_channels != out_channels
        size = 1 if changes or not self.adaptive else 0
        self.skip = (
            Conv(in_channels, out_channels, size, resample=resample, kernel=kernel)
            if changes or resample is not None
            else nn.Identity()
        )
        self.attn = _attention(config, out_channels) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply to ``(b, c, y, x)``, with the embedding ``(b, e)`` of the noise level."""
        h = self.conv0(F.silu(self.norm0(x)))
        told = self.affine(embedding)[:, :, None, None]
        if self.adaptive:
            scale, shift = told.chunk(2, dim=1)
            h = F.silu(torch.addcmul(shift, self.norm1(h), scale + 1))
        else:
            h = F.silu(self.norm1(h + told))
        h = self.conv1(F.dropout(h, p=self.dropout, training=self.training))
        h = (h + self.skip(x)) * self.scale
        return h if isinstance(self.attn, nn.Identity) else self.attn(h) * self.scale


class NoiseEmbedding(nn.Module):
    """Turn the noise level into a vector: sinusoids, then two dense layers."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        features = config.model_channels * config.channel_mult_noise
        self.width = config.model_channels * config.channel_mult_emb
        self.features = features
        self.kind, self.adm = config.embedding, config.style == "adm"
        if self.kind == "fourier":
            self.map_noise = FourierEmbedding(features)
        if self.kind != "zero":
            self.map_layer0 = Linear(features, self.width)
            self.map_layer1 = Linear(self.width, self.width)

    def forward(self, noise: Tensor) -> Tensor:
        """Embed noise labels ``(b,)`` as ``(b, width)``."""
        if self.kind == "zero":
            return noise.new_zeros(noise.shape[0], self.width)
        if self.kind == "fourier":
            waves = self.map_noise(noise)
        else:
            waves = sinusoids(noise, self.features, endpoint=not self.adm)
        if self.adm:  # cosines first
            waves = waves.roll(self.features // 2, dims=1)
        return F.silu(self.map_layer1(F.silu(self.map_layer0(waves))))
