"""Between physical units and what the networks see, as a model's card says.

Training and inference share this file, so that a network meets the same numbers in both.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from xresdiff.models.card import Channel, ModelCard, RefineTarget
from xresdiff.nets.transforms import conserve_blocks, decode, encode, phase, refine

__all__ = ["Fields", "based", "decoded", "encoded"]


def encoded(x: Tensor, channels: tuple[Channel, ...]) -> Tensor:
    """Transform and normalise physical values ``(b, c, y, x)``, channel by channel."""
    parts = []
    for i, c in enumerate(channels):
        kind = c.transform
        y = encode(x[:, i], kind.name, scale=kind.scale, exponent=kind.exponent)
        parts.append((y - c.mean) / c.std)
    return torch.stack(parts, dim=1)


def decoded(y: Tensor, channels: tuple[Channel, ...]) -> Tensor:
    """Undo :func:`encoded`, then keep to each channel's bounds."""
    parts = []
    for i, c in enumerate(channels):
        kind = c.transform
        x = decode(y[:, i] * c.std + c.mean, kind.name, scale=kind.scale, exponent=kind.exponent)
        if c.minimum is not None or c.maximum is not None:
            x = x.clamp(c.minimum, c.maximum)
        if c.dry_below is not None:
            x = torch.where(x < c.dry_below, torch.zeros_like(x), x)
        parts.append(x)
    return torch.stack(parts, dim=1)


def based(
    coarse: Tensor, card: ModelCard, onto: Callable[[Tensor], Tensor], shape: tuple[int, int]
) -> Tensor:
    """Return what the mean network's output is added to, encoded.

    Parameters
    ----------
    coarse : torch.Tensor, (b, c, Y, X)
        Physical inputs.
    card : ModelCard
        Of the model.
    onto : callable
        Brings inputs onto the target.
    shape : tuple of int
        y and x of the target.

    Returns
    -------
    torch.Tensor, (b, k, y, x)
        With the global residual connection, the input of the same name, level and offset for every
        output that has one; zero for all others.
    """
    place = {channel.key: i for i, channel in enumerate(card.inputs)}
    base = coarse.new_zeros(len(coarse), len(card.outputs), *shape)
    given = [i for i, c in enumerate(card.outputs) if card.global_residual and c.key in place]
    if given:
        outputs = tuple(card.outputs[i] for i in given)
        known = onto(coarse[:, [place[channel.key] for channel in outputs]])
        base[:, given] = encoded(known, outputs)
    return base


class Fields:
    """The way of a field into the networks and out of them.

    Parameters
    ----------
    card : ModelCard
        Of a model that refines the grid of its input.
    """

    def __init__(self, card: ModelCard) -> None:
        assert isinstance(card.target, RefineTarget)  # the caller's to check
        self.card, self.factor = card, card.target.factor
        self.place = {channel.key: i for i, channel in enumerate(card.inputs)}

    def condition(self, coarse: Tensor) -> Tensor:
        """Return what the networks are told of ``(b, c, Y, X)``: ``(b, k, y, x)``."""
        known, parts = encoded(coarse, self.card.inputs), []
        for how in self.card.conditioning:
            if how == "phase":
                parts.append(phase(coarse, self.factor))
            else:
                parts.append(refine(known, self.factor, how))
        return torch.cat(parts, dim=1)

    def base(self, coarse: Tensor) -> Tensor:
        """Return what the mean network's output is added to, encoded, ``(b, c, y, x)``.

        The interpolated input with the global residual connection, else zero; zero also for
        outputs that are no inputs.
        """
        rows, columns = (n * self.factor for n in coarse.shape[-2:])
        return based(
            coarse, self.card, lambda known: refine(known, self.factor, "bilinear"), (rows, columns)
        )

    def encode(self, fine: Tensor) -> Tensor:
        """Return targets ``(b, c, y, x)`` in encoded units."""
        return encoded(fine, self.card.outputs)

    def decode(self, fields: Tensor, coarse: Tensor) -> Tensor:
        """Return encoded fields ``(b, c, y, x)`` in physical units, bounded and conserving."""
        fine = decoded(fields, self.card.outputs)
        for i, channel in enumerate(self.card.outputs):
            if channel.name in self.card.conserve:
                known = coarse[:, [self.place[channel.key]]]
                fine[:, [i]] = conserve_blocks(fine[:, [i]], known, self.factor)
        return fine
