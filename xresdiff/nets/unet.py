"""The U-Net of both stages: the DDPM++ / NCSN++ family ("SongUNet") of the CorrDiff papers.

Song et al. (2021, arXiv 2011.13456) introduced the family, Karras et al. (2022, arXiv
2206.00364) fixed the form used here, and CorrDiff (Mardani et al., 2025, arXiv 2309.15214)
took it over. Layers, initial weights and numerics agree with the networks in NVIDIA's published
checkpoints. One thing is ours: a *stem*, which folds blocks of pixels into channels, so that a
small network is cheap at full resolution.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xresdiff.nets.layers import Attention, Conv, FourierEmbedding, GroupNorm, Linear, sinusoids

__all__ = ["UNet", "UNetConfig"]


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a network.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels that enter (noisy field, then conditions) and leave.
    model_channels : int, default 128
        Width at the finest level.
    channel_mult : tuple of int, default (1, 2, 2, 2)
        Width of each level, in units of `model_channels`; every level halves the size.
    channel_mult_emb : int, default 4
        Width of the noise embedding, in units of `model_channels`.
    num_blocks : int, default 4
        Residual blocks of a level in the encoder; the decoder has one more.
    attention_levels : tuple of int, default ()
        Levels with self-attention, 0 being the finest.
    bottleneck_attention : bool, default True
        Whether the deepest level attends once more. Without any attention the network sees only
        its receptive field, but for the statistics of its norms, and runs at any size alike.
    embedding : {"positional", "fourier", "zero"}
        How the noise level enters; "zero" leaves it out.
    channel_mult_noise : int, default 1
        Width of the noise features, in units of `model_channels`.
    encoder : {"standard", "skip", "residual"}
        Whether the input also reaches the deeper levels directly.
    decoder : {"standard", "skip"}
        Whether every level contributes to the output directly.
    resample_filter : tuple of float, default (1, 1)
        Filter of up- and downsampling; (1, 1) is the mean of 2 x 2 pixels.
    dropout : float, default 0.1
        Share of activations dropped in training.
    stem : {1, 2, 4}
        Side of the pixel blocks folded into channels at the entrance and unfolded at the exit.
    unbiased_norm : bool, default False
        Divide variances by n - 1 in eval mode, as PhysicsNeMo has done since release 0.6.
    """

    in_channels: int
    out_channels: int
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attention_levels: tuple[int, ...] = ()
    bottleneck_attention: bool = True
    embedding: Literal["positional", "fourier", "zero"] = "positional"
    channel_mult_noise: int = 1
    encoder: Literal["standard", "skip", "residual"] = "standard"
    decoder: Literal["standard", "skip"] = "standard"
    resample_filter: tuple[float, ...] = (1, 1)
    dropout: float = 0.10
    stem: int = 1
    unbiased_norm: bool = False

    @property
    def size_multiple(self) -> int:
        """Number of pixels that height and width must be a multiple of."""
        return self.stem * 2 ** (len(self.channel_mult) - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(mult * self.model_channels for mult in self.channel_mult)


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
        unbiased, kernel = config.unbiased_norm, config.resample_filter
        self.dropout = config.dropout
        self.norm0 = GroupNorm(in_channels, unbiased=unbiased)
        self.conv0 = Conv(in_channels, out_channels, 3, resample=resample, kernel=kernel)
        self.affine = Linear(embedded, out_channels)
        self.norm1 = GroupNorm(out_channels, unbiased=unbiased)
        self.conv1 = Conv(out_channels, out_channels, 3, scale=1e-5)
        project = in_channels != out_channels or resample is not None
        self.skip = (
            Conv(in_channels, out_channels, 1, resample=resample, kernel=kernel)
            if project
            else nn.Identity()
        )
        self.attn = Attention(out_channels, unbiased=unbiased) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply to ``(b, c, y, x)``, with the embedding ``(b, e)`` of the noise level."""
        h = self.conv0(F.silu(self.norm0(x)))
        h = h + self.affine(embedding)[:, :, None, None]
        h = F.silu(self.norm1(h))
        h = self.conv1(F.dropout(h, p=self.dropout, training=self.training))
        h = (h + self.skip(x)) * sqrt(0.5)
        return h if isinstance(self.attn, nn.Identity) else self.attn(h) * sqrt(0.5)


class NoiseEmbedding(nn.Module):
    """Turn the noise level into a vector: sinusoids, then two dense layers."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        features = config.model_channels * config.channel_mult_noise
        self.width = config.model_channels * config.channel_mult_emb
        self.features = features
        self.kind = config.embedding
        if self.kind == "fourier":
            self.map_noise = FourierEmbedding(features)
        if self.kind != "zero":
            self.map_layer0 = Linear(features, self.width)
            self.map_layer1 = Linear(self.width, self.width)

    def forward(self, noise: Tensor) -> Tensor:
        """Embed noise labels ``(b,)`` as ``(b, width)``."""
        if self.kind == "zero":
            return noise.new_zeros(noise.shape[0], self.width)
        waves = self.map_noise(noise) if self.kind == "fourier" else sinusoids(noise, self.features)
        return F.silu(self.map_layer1(F.silu(self.map_layer0(waves))))


class UNet(nn.Module):
    """F of the EDM paper: a field and its noise label in, a field out.

    Parameters
    ----------
    config : UNetConfig
        Shape of the network.

    Examples
    --------
    >>> net = UNet(UNetConfig(in_channels=3, out_channels=1, model_channels=8, num_blocks=1))
    >>> net(torch.zeros(2, 3, 16, 24), torch.zeros(2)).shape
    torch.Size([2, 1, 16, 24])
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = NoiseEmbedding(config)
        self.enc = nn.ModuleDict()
        skips = self._build_encoder(config.in_channels * config.stem**2)
        self.dec = nn.ModuleDict()
        self._build_decoder(skips, config.out_channels * config.stem**2)

    def _build_encoder(self, in_channels: int) -> list[int]:
        """Add the encoder; return the channels of its skips, in the order they are pushed."""
        config, aux = self.config, in_channels
        skips: list[int] = []
        for level, width in enumerate(config.widths):
            if level == 0:
                self.enc["level0_conv"] = Conv(in_channels, width, 3)
            else:
                before = config.widths[level - 1]
                self.enc[f"level{level}_down"] = Block(config, before, before, resample="down")
                self._build_aux_encoder(level, aux, before)
                aux = before if config.encoder == "residual" else aux
            skips.append(width if level == 0 else config.widths[level - 1])
            for i in range(config.num_blocks):
                attends = level in config.attention_levels
                self.enc[f"level{level}_block{i}"] = Block(
                    config, skips[-1], width, attention=attends
                )
                skips.append(width)
        return skips

    def _build_aux_encoder(self, level: int, aux: int, width: int) -> None:
        kernel = self.config.resample_filter
        if self.config.encoder == "skip":
            self.enc[f"level{level}_aux_down"] = Conv(aux, aux, 0, resample="down", kernel=kernel)
            self.enc[f"level{level}_aux_skip"] = Conv(aux, width, 1)
        elif self.config.encoder == "residual":
            self.enc[f"level{level}_aux_residual"] = Conv(
                aux, width, 3, resample="down", kernel=kernel, fused=True
            )

    def _build_decoder(self, skips: list[int], out_channels: int) -> None:
        config, skips = self.config, list(skips)
        deepest = len(config.widths) - 1
        channels = skips[-1]
        for level in range(deepest, -1, -1):
            width = config.widths[level]
            if level == deepest:
                attends = config.bottleneck_attention
                self.dec[f"level{level}_in0"] = Block(config, channels, width, attention=attends)
                self.dec[f"level{level}_in1"] = Block(config, width, width)
            else:
                self.dec[f"level{level}_up"] = Block(config, channels, channels, resample="up")
            channels = width if level == deepest else channels
            for i in range(config.num_blocks + 1):
                attends = level in config.attention_levels and i == config.num_blocks
                self.dec[f"level{level}_block{i}"] = Block(
                    config, channels + skips.pop(), width, attention=attends
                )
                channels = width
            if level == 0 or config.decoder == "skip":
                self._build_output(level, deepest, channels, out_channels)

    def _build_output(self, level: int, deepest: int, channels: int, out_channels: int) -> None:
        config = self.config
        if config.decoder == "skip" and level < deepest:
            self.dec[f"level{level}_aux_up"] = Conv(
                out_channels, out_channels, 0, resample="up", kernel=config.resample_filter
            )
        self.dec[f"level{level}_aux_norm"] = GroupNorm(channels, unbiased=config.unbiased_norm)
        self.dec[f"level{level}_aux_conv"] = Conv(channels, out_channels, 3, scale=1e-5)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        r"""Apply the network.

        Parameters
        ----------
        x : torch.Tensor, (b, in_channels, y, x)
            Field and conditions; height and width multiples of ``config.size_multiple``.
        noise : torch.Tensor, (b,)
            Noise labels, :math:`c_{noise}(\sigma)`; zeros in the mean stage.

        Returns
        -------
        torch.Tensor, (b, out_channels, y, x)
        """
        stem = self.config.stem
        # the labels stay in float32: in bfloat16, neighbouring noise levels would be one
        embedding = self.embed(noise.float()).to(x.dtype)
        # (b, c, y, x) -> (b, c*s*s, y/s, x/s)
        x = F.pixel_unshuffle(x, stem) if stem > 1 else x
        out = self._decode(self._encode(x, embedding), embedding)
        return F.pixel_shuffle(out, stem) if stem > 1 else out

    def _encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        skips: list[Tensor] = []
        aux = x
        for name, layer in self.enc.items():
            if name.endswith("aux_down"):
                aux = layer(aux)
            elif name.endswith("aux_skip"):
                x = skips[-1] = x + layer(aux)
            elif name.endswith("aux_residual"):
                x = skips[-1] = aux = (x + layer(aux)) * sqrt(0.5)
            else:
                x = layer(x, embedding) if isinstance(layer, Block) else layer(x)
                skips.append(x)
        return skips

    def _decode(self, skips: list[Tensor], embedding: Tensor) -> Tensor:
        x, out = skips[-1], None
        normed = x
        for name, layer in self.dec.items():
            if name.endswith("aux_up"):
                out = layer(out)
            elif name.endswith("aux_norm"):
                normed = layer(x)
            elif name.endswith("aux_conv"):
                level_out = layer(F.silu(normed))
                out = level_out if out is None else out + level_out
            else:
                if "_block" in name:
                    x = torch.cat([x, skips.pop()], dim=1)
                x = layer(x, embedding)
        assert out is not None  # the finest level always has an output
        return out
