"""Weights of a network for other channels: what stays is kept, what is new begins with nothing.

A new input is not looked at yet, a new output not yet spoken of: their weights in the first and
the last layers are zero, which training changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xresdiff.nets.config import UNetConfig

__all__ = ["Source", "grown", "is_entrance", "is_exit"]

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Source:
    """Which channel of the network before a channel is, and in which units.

    Parameters
    ----------
    slot : int
        Its number in the network before.
    factor, shift : float, default 1 and 0
        Of an input, the network before was given factor * x + shift; of an output, the new one
        gives factor * y + shift.
    """

    slot: int
    factor: float = 1.0
    shift: float = 0.0


def is_entrance(name: str, config: UNetConfig) -> bool:
    """Tell whether a parameter belongs to a layer that sees the input.

    Examples
    --------
    >>> config = UNetConfig(3, 1, encoder="residual")
    >>> [is_entrance(f"enc.level{i}_aux_residual.weight", config) for i in (1, 2)]
    [True, False]
    """
    layer = name.rpartition(".")[0]
    if layer == "enc.level0_conv":
        return True
    if config.encoder == "skip":
        return layer.endswith("_aux_skip")
    return config.encoder == "residual" and layer == "enc.level1_aux_residual"


def is_exit(name: str) -> bool:
    """Tell whether a parameter belongs to a layer that gives the output.

    Examples
    --------
    >>> is_exit("dec.level0_aux_conv.bias"), is_exit("dec.level0_aux_norm.bias")
    (True, False)
    """
    return name.startswith("dec.") and name.rpartition(".")[0].endswith("_aux_conv")


def grown(
    weights: Mapping[str, Array],
    config: UNetConfig,
    *,
    inputs: Sequence[Source | None],
    outputs: Sequence[Source | None],
    softmax_channels: Sequence[int] | None = None,
) -> dict[str, Array]:
    """Return weights for other input and output channels.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        By the names of the parameters of a `nets.unet.UNet`.
    config : UNetConfig
        Its shape.
    inputs : sequence of Source or None, (in_channels of the new network,)
        What each input was; None is new.
    outputs : sequence of Source or None, (out_channels of the new network,)
        What each output was; None is new, and zero.
    softmax_channels : sequence of int, optional
        Those of the new network; by default those of `config`.

    Returns
    -------
    dict of str to numpy.ndarray
        Outputs that are kept are what they were, whatever the new inputs are, as long as no input
        is dropped; an input that is dropped counts as zero. Factors are exact. The shift of an
        input is, but for the pixels at the edges of fields, beyond which the network sees zeros.

    Raises
    ------
    ValueError
        If an output is a probability in one of the networks alone.

    Examples
    --------
    >>> first = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> new = grown({"enc.level0_conv.weight": first, "enc.level0_conv.bias": np.zeros(1)},
    ...             UNetConfig(1, 1), inputs=[None, Source(0)], outputs=[Source(0)])
    >>> new["enc.level0_conv.weight"].shape, new["enc.level0_conv.weight"][0, 0].any()
    ((1, 2, 3, 3), np.False_)
    """
    picked = _probabilities(config, outputs, softmax_channels)
    maps = config.position_channels + config.lead_time_channels
    given = [*inputs, *(Source(config.in_channels + i) for i in range(maps))]  # the maps are last
    new = {}
    for name, array in weights.items():
        layer, _, kind = name.rpartition(".")
        if name == "softmax_scale":
            if picked:  # a network without probabilities has no scale of them
                new[name] = array[picked]
        elif kind not in ("weight", "bias"):
            new[name] = array
        elif is_entrance(name, config):
            weight = weights[f"{layer}.weight"]
            see = _columns if kind == "weight" else _shifted
            new[name] = see(array, weight, given, config.stem**2)
        elif is_exit(name):
            finest = layer == "dec.level0_aux_conv"
            new[name] = _rows(array, outputs, config.stem**2, shift=finest and kind == "bias")
        else:
            new[name] = array
    return new


def _probabilities(
    config: UNetConfig, outputs: Sequence[Source | None], now: Sequence[int] | None
) -> list[int]:
    """Return which of the probabilities before each of those now is."""
    before = config.softmax_channels
    slots = [source.slot if source is not None else -1 for source in outputs]
    now = before if now is None else now
    for place, slot in enumerate(slots):
        if (place in now) != (slot in before):
            raise ValueError(f"output {place} is a probability in one of the networks alone")
    return [before.index(slots[place]) for place in now if place < len(slots)]


def _columns(array: Array, _: Array, given: Sequence[Source | None], pixels: int) -> Array:
    """Return the weights ``(o, i, y, x)`` of a layer that sees `pixels` channels of every input."""
    new = np.zeros((len(array), len(given) * pixels, *array.shape[2:]), array.dtype)
    for place, source in enumerate(given):
        if source is not None:
            old = array[:, source.slot * pixels : (source.slot + 1) * pixels]
            new[:, place * pixels : (place + 1) * pixels] = old * source.factor
    return new


def _shifted(array: Array, weight: Array, given: Sequence[Source | None], pixels: int) -> Array:
    """Return the bias ``(o,)`` of such a layer."""
    new = array.copy()
    for source in given:
        if source is not None and source.shift:
            old = weight[:, source.slot * pixels : (source.slot + 1) * pixels]
            new += (old.sum(axis=(1, 2, 3), dtype=np.float64) * source.shift).astype(new.dtype)
    return new


def _rows(array: Array, outputs: Sequence[Source | None], pixels: int, *, shift: bool) -> Array:
    """Return weights ``(o, ...)`` of a layer that gives `pixels` channels of every output."""
    new = np.zeros((len(outputs) * pixels, *array.shape[1:]), array.dtype)
    for place, source in enumerate(outputs):
        if source is not None:
            old = array[source.slot * pixels : (source.slot + 1) * pixels]
            added = source.shift if shift else 0.0
            new[place * pixels : (place + 1) * pixels] = old * source.factor + added
    return new
