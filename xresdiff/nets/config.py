"""The shape of a network, as plain numbers and words."""

from dataclasses import dataclass
from typing import Literal

from xresdiff.nets.positions import Positions

__all__ = ["UNetConfig"]


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a network.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels that enter (noisy field, then conditions; not the maps of place and lead time)
        and leave.
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
    whole_groups : bool, default False
        Round the number of groups of the norms down, as PhysicsNeMo did up to release 1.1.
    style : {"song", "adm"}
        "adm": the noise embedding scales and shifts the norm between the two convolutions, heads
        of attention have 64 channels, and in the decoder every block of a level attends.
    narrow_entrance : bool, default False
        Give the first convolution `model_channels` rather than the width of the finest level, as
        PhysicsNeMo's networks of the style "song".
    attention_over : {"pixels", "channels", "segments"}
        What attends to what; "channels" is PhysicsNeMo's release 1.1, "segments" its release 1.2,
        which differs where there are several heads.
    positions : {"none", "sinusoidal", "octave", "linear", "test", "learned", "stored"}
        Maps of the place concatenated behind the input; see :mod:`xresdiff.nets.positions`.
    position_channels : int, default 0
        Number of those maps.
    lead_time_channels, lead_time_steps : int, default 0
        Number of trained maps of each lead time, concatenated last, and of lead times.
    additive_position : bool, default False
        Add a trained map to the activations behind the first convolution.
    shape : tuple of int, optional
        Height and width of the grid of all these maps.
    softmax_channels : tuple of int, default ()
        Outputs that are probabilities: scaled, and in eval mode passed through a softmax.
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
    whole_groups: bool = False
    style: Literal["song", "adm"] = "song"
    narrow_entrance: bool = False
    attention_over: Literal["pixels", "channels", "segments"] = "pixels"
    positions: Positions = "none"
    position_channels: int = 0
    lead_time_channels: int = 0
    lead_time_steps: int = 0
    additive_position: bool = False
    shape: tuple[int, int] | None = None
    softmax_channels: tuple[int, ...] = ()

    @property
    def has_maps(self) -> bool:
        """Whether the network must know where on its grid a field lies."""
        return self.positions != "none" or self.lead_time_channels > 0 or self.additive_position

    @property
    def size_multiple(self) -> int:
        """Number of pixels that height and width must be a multiple of."""
        return self.stem * 2 ** (len(self.channel_mult) - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(mult * self.model_channels for mult in self.channel_mult)

    @property
    def first_width(self) -> int:
        """Channels behind the first convolution."""
        return self.model_channels if self.narrow_entrance else self.widths[0]
