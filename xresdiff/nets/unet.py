"""The U-Net of both stages: the DDPM++ / NCSN++ family ("SongUNet") of the CorrDiff papers.

Song et al. (2021, arXiv 2011.13456) introduced the family, Karras et al. (2022, arXiv
2206.00364) fixed the form used here, and CorrDiff (Mardani et al., 2025, arXiv 2309.15214)
took it over. Layers, initial weights and numerics agree with the networks in NVIDIA's published
checkpoints. One thing is ours: a *stem*, which folds blocks of pixels into channels, so that a
small network is cheap at full resolution. The ADM network ("DhariwalUNet") of Dhariwal & Nichol
(2021, arXiv 2105.05233) differs from the family in its blocks alone and is here too.
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xresdiff.errors import InputError
from xresdiff.nets.blocks import Block, NoiseEmbedding, norm
from xresdiff.nets.config import UNetConfig
from xresdiff.nets.layers import Conv
from xresdiff.nets.positions import PlaceMaps, Places

__all__ = ["UNet", "UNetConfig"]


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
        given = config.in_channels + config.position_channels + config.lead_time_channels
        self.enc = nn.ModuleDict()
        skips = self._build_encoder(given * config.stem**2)
        self.dec = nn.ModuleDict()
        self._build_decoder(skips, config.out_channels * config.stem**2)
        if config.has_maps:
            self._build_maps()
        if config.softmax_channels:
            self.softmax_scale = nn.Parameter(torch.ones(len(config.softmax_channels)))

    def _build_maps(self) -> None:
        config = self.config
        if config.shape is None or (config.additive_position and config.stem > 1):
            raise InputError("maps of places need a shape; additive ones, a stem of 1, too")
        self.places = PlaceMaps(
            config.shape,
            positions=config.positions,
            position_channels=config.position_channels,
            lead_time_channels=config.lead_time_channels,
            lead_time_steps=config.lead_time_steps,
        )
        if config.additive_position:
            added = torch.empty(config.first_width, *config.shape)
            self.added = nn.Parameter(nn.init.trunc_normal_(added, std=0.02))

    def _build_encoder(self, in_channels: int) -> list[int]:
        """Add the encoder; return the channels of its skips, in the order they are pushed."""
        config, aux = self.config, in_channels
        skips: list[int] = []
        for level, width in enumerate(config.widths):
            if level == 0:
                self.enc["level0_conv"] = Conv(in_channels, config.first_width, 3)
            else:
                before = config.widths[level - 1]
                self.enc[f"level{level}_down"] = Block(config, before, before, resample="down")
                self._build_aux_encoder(level, aux, before)
                aux = before if config.encoder == "residual" else aux
            skips.append(config.first_width if level == 0 else config.widths[level - 1])
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
                last = i == config.num_blocks or config.style == "adm"
                attends = level in config.attention_levels and last
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
        self.dec[f"level{level}_aux_norm"] = norm(config, channels)
        self.dec[f"level{level}_aux_conv"] = Conv(channels, out_channels, 3, scale=1e-5)

    def forward(
        self, x: Tensor, noise: Tensor, *, lead_time: Any = None, position: Any = None
    ) -> Tensor:
        r"""Apply the network.

        Parameters
        ----------
        x : torch.Tensor, (b, in_channels, y, x)
            Field and conditions; height and width multiples of ``config.size_multiple``.
        noise : torch.Tensor, (b,)
            Noise labels, :math:`c_{noise}(\sigma)`; zeros in the mean stage.
        lead_time : int or array of int, (b,), optional
            Number of the lead time, of a network that knows lead times.
        position : tuple of int, sequence of tuple of int, or array, optional
            Where the fields lie on the network's grid: corner (row, column); corners of *p*
            patches, the fields being patch after patch; or indices ``([p,] 2, y, x)``. The whole
            grid by default; of no consequence to a network that knows no places.

        Returns
        -------
        torch.Tensor, (b, out_channels, y, x)

        Raises
        ------
        InputError
            If the size does not fit, or lead time or position are missing, wrong or not known.
        """
        config, stem = self.config, self.config.stem
        if any(size % config.size_multiple for size in x.shape[-2:]):
            raise InputError(
                f"height and width must be multiples of {config.size_multiple}; "
                f"the fields have {x.shape[-2]} x {x.shape[-1]} pixels"
            )
        labels = self._lead_time(lead_time, x)
        # the labels stay in float32: in bfloat16, neighbouring noise levels would be one
        embedding = self.embed(noise.float()).to(x.dtype)
        places = None
        if config.shape is not None and config.has_maps:
            places = Places.of(position, x, config.shape)
            x = self.places(x, labels, places)
        # (b, c, y, x) -> (b, c*s*s, y/s, x/s)
        x = F.pixel_unshuffle(x, stem) if stem > 1 else x
        out = self._decode(self._encode(x, embedding, places), embedding)
        return self._probabilities(F.pixel_shuffle(out, stem) if stem > 1 else out)

    def _lead_time(self, lead_time: Any, x: Tensor) -> Tensor | None:
        """Return the numbers of the lead times; refuse them where the network knows none."""
        steps = self.config.lead_time_steps if self.config.lead_time_channels else 0
        if lead_time is None and not steps:
            return None
        if lead_time is None:
            raise InputError(f"the network asks for a lead time: lead_time=0, at most {steps - 1}")
        if not steps:
            raise InputError("the network knows no lead times; leave lead_time out")
        try:
            labels = torch.as_tensor(lead_time, device=x.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"lead_time must be whole numbers, not {lead_time!r}") from error
        given = labels.double()
        if not bool((given.isfinite() & (given == given.round())).all()):
            raise InputError(f"lead_time must be whole numbers, not {labels.tolist()}")
        return labels.long()

    def _probabilities(self, out: Tensor) -> Tensor:
        picked = list(self.config.softmax_channels)
        if not picked:
            return out
        some = out[:, picked] * self.softmax_scale.to(out.dtype)[:, None, None]
        out = out.clone()
        out[:, picked] = some if self.training else some.softmax(dim=1)
        return out

    def _encode(self, x: Tensor, embedding: Tensor, places: Places | None) -> list[Tensor]:
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
                if self.config.additive_position and not skips:  # behind the first convolution
                    added = self.added.to(x.dtype)
                    x = x + (places.cut(added) if places else added)
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
