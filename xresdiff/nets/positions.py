"""What a network is told of the place of its pixels and of the lead time: maps of its own grid.

A network without padding to guide it cannot tell one place from another. These maps are
concatenated behind its input, and of a patch those rows and columns that it covers. CorrDiff
(Mardani et al., 2025, arXiv 2309.15214) tells its networks the place by four sinusoids.
"""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from xresdiff.errors import InputError

__all__ = ["PlaceMaps", "Places", "Positions", "position_maps"]

Positions = Literal["none", "sinusoidal", "octave", "linear", "test", "learned", "stored"]
Position = Any  # a corner, corners, or indices: what torch.as_tensor takes


def position_maps(kind: str, channels: int, shape: tuple[int, int]) -> np.ndarray:
    r"""Return the fixed maps of a grid, ``(channels, y, x)`` in float32.

    Parameters
    ----------
    kind : {"sinusoidal", "octave", "linear", "test"}
        "sinusoidal": sine of the column, of the row, cosine of the column, of the row, one turn
        over the grid; then, of more than four channels, the same of the angle times
        :math:`2^{ik/(k-1)}`, where *k* is a quarter of the channels and *i* < *k*.
        "octave": the same, with the factors :math:`2^i`.
        "linear": column and row, from -1 to 1. "test": row and column, as numbers.
    channels : int
        A multiple of four of sinusoids, two of the others.
    shape : tuple of int
        Height and width.

    Examples
    --------
    >>> position_maps("linear", 2, (2, 3))[0]
    array([[-1.,  0.,  1.],
           [-1.,  0.,  1.]], dtype=float32)
    """
    height, width = shape
    if kind == "linear":
        lines = [np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]]
    elif kind == "test":
        lines = [np.arange(height, dtype=float)[:, None], np.arange(width, dtype=float)[None]]
    else:
        columns, rows = (np.linspace(0, 2 * np.pi, size) for size in (width, height))
        octaves = channels // 4
        last = octaves - 1 if kind == "octave" else octaves
        factors = 2.0 ** np.linspace(0, last, octaves)
        axes = (columns[None], rows[:, None])
        lines = [wave(f * axis) for f in factors for wave in (np.sin, np.cos) for axis in axes]
    if len(lines) != channels:
        raise InputError(f"positions of the kind {kind!r} have {len(lines)} maps, not {channels}")
    maps = np.empty((channels, height, width), np.float32)
    for place, line in zip(maps, lines, strict=True):  # along one axis each
        place[:] = line
    return maps


@dataclass(frozen=True)
class Places:
    """Rows and columns of the grid that each field of a batch covers.

    Parameters
    ----------
    rows, columns : torch.Tensor, (p, y, x)
        Of each patch.
    samples : int
        Fields of the batch on every patch; field ``p * samples + b`` is sample *b* on patch *p*.
    """

    rows: Tensor
    columns: Tensor
    samples: int

    @classmethod
    def of(cls, position: Position, x: Tensor, shape: tuple[int, int]) -> "Places | None":
        """Find where the fields `x` of ``(p*b, c, y, x)`` lie on a grid; None if they cover it.

        Parameters
        ----------
        position : tuple of int, sequence of tuple of int, or array, optional
            Corner (row, column) of the patch, corners of *p* patches, or indices of rows and
            columns, ``(2, y, x)`` or ``(p, 2, y, x)``.
        x : torch.Tensor, (p * b, c, y, x)
            The fields, patch after patch.
        shape : tuple of int
            Height and width of the grid.

        Raises
        ------
        InputError
            If it is no such thing, or the patch lies outside of the grid.
        """
        height, width = x.shape[-2:]
        if position is None:
            if (height, width) == tuple(shape):
                return None
            raise InputError(
                f"the network knows places on a grid of {shape[0]} x {shape[1]} pixels and was "
                f"given {height} x {width}. Say where they lie: position=(row, column)"
            )
        where = _indices(position, x)
        low, high = where.amin(dim=(0, 2, 3)), where.amax(dim=(0, 2, 3))
        if low.min() < 0 or (high >= torch.tensor(shape, device=high.device)).any():
            raise InputError(
                f"the patch has rows {int(low[0])} to {int(high[0])} and columns {int(low[1])} to "
                f"{int(high[1])}; the grid of the network has {shape[0]} x {shape[1]} pixels"
            )
        if len(x) % len(where):
            raise InputError(f"{len(x)} fields do not lie on {len(where)} patches alike")
        return cls(where[:, 0], where[:, 1], len(x) // len(where))

    def cut(self, maps: Tensor) -> Tensor:
        """Return maps ``(c, Y, X)`` where the fields lie, ``(p*b, c, y, x)``."""
        picked = maps[:, self.rows, self.columns].transpose(0, 1)
        return picked.repeat_interleave(self.samples, dim=0)

    def cut_each(self, table: Tensor, labels: Tensor) -> Tensor:
        """Return the maps of the table ``(n, c, Y, X)`` that the fields' labels ``(p*b,)`` name."""
        rows, columns = (
            each.repeat_interleave(self.samples, dim=0) for each in (self.rows, self.columns)
        )
        # (p*b, y, x, c) -> (p*b, c, y, x)
        return table[labels[:, None, None], :, rows, columns].movedim(-1, 1)


def _indices(position: Position, x: Tensor) -> Tensor:
    """Return rows and columns, ``(p, 2, y, x)``."""
    height, width = x.shape[-2:]
    forms = (
        f"position must be a corner (row, column), corners of patches (p, 2), or indices "
        f"(2, {height}, {width}) or (p, 2, {height}, {width}), of whole numbers"
    )
    try:
        where = torch.as_tensor(
            np.asarray(position) if isinstance(position, Sequence) else position, device=x.device
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{forms}; it is {reprlib.repr(position)}") from error
    if where.is_floating_point() and bool((where.isfinite() & (where == where.round())).all()):
        where = where.long()
    corners = where.ndim <= 2 and where.shape[-1:] == (2,)
    grids = where.ndim in (3, 4) and where.shape[-3:] == (2, height, width)
    whole = not (where.is_floating_point() or where.is_complex() or where.dtype == torch.bool)
    if not whole or not where.numel() or not (corners or grids):
        raise InputError(f"{forms}; it is {tuple(where.shape)} of {where.dtype}")
    if grids:
        return where.long().reshape(-1, 2, height, width)
    offsets = torch.stack(
        torch.meshgrid(
            torch.arange(height, device=x.device),
            torch.arange(width, device=x.device),
            indexing="ij",
        )
    )
    return where.long().reshape(-1, 2, 1, 1) + offsets


class PlaceMaps(nn.Module):
    """The maps that a network concatenates behind its input: of the place, of the lead time.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the grid.
    positions : {"none", "sinusoidal", "octave", "linear", "test", "learned", "stored"}
        See :func:`position_maps`; "learned" maps are trained, "stored" ones come with the weights.
    position_channels : int
        Number of maps of the place.
    lead_time_channels, lead_time_steps : int
        Number of trained maps of each lead time, and of lead times.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        positions: Positions,
        position_channels: int,
        lead_time_channels: int,
        lead_time_steps: int,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.has_maps = positions != "none"
        self.lead_times: nn.Parameter | None = None
        if positions == "learned":
            self.maps = nn.Parameter(torch.randn(position_channels, *shape))
        elif positions == "stored":
            self.register_buffer("maps", torch.zeros(position_channels, *shape))
        elif self.has_maps:
            fixed = torch.from_numpy(position_maps(positions, position_channels, shape))
            self.register_buffer("maps", fixed, persistent=False)
        if lead_time_channels:
            table = torch.randn(lead_time_steps, lead_time_channels, *shape)
            self.lead_times = nn.Parameter(table)

    def forward(self, x: Tensor, lead_time: Tensor | None, places: Places | None) -> Tensor:
        """Concatenate the maps behind the fields.

        Parameters
        ----------
        x : torch.Tensor, (p * b, c, y, x)
            The fields.
        lead_time : torch.Tensor, optional
            Number of the lead time, of all fields, of each of the *b* samples or of each field.
        places : Places, optional
            Where the fields lie; on the whole grid by default.

        Returns
        -------
        torch.Tensor, (p * b, c + maps, y, x)
        """
        known = [x]
        if self.has_maps:
            maps = self.maps.to(x.dtype)
            known.append(places.cut(maps) if places else maps.expand(len(x), -1, -1, -1))
        if self.lead_times is not None:
            samples = places.samples if places else len(x)
            assert lead_time is not None  # the network asked for it
            labels = self._labels(lead_time, len(x), samples)
            table = self.lead_times.to(x.dtype)
            known.append(places.cut_each(table, labels) if places else table[labels])
        return torch.cat(known, dim=1)

    def _labels(self, lead_time: Tensor, fields: int, samples: int) -> Tensor:
        """Return the number of each field's lead time."""
        assert self.lead_times is not None
        labels = lead_time.reshape(-1)
        if len(labels) not in (1, samples, fields):
            raise InputError(f"{len(labels)} lead times are given for {samples} samples")
        steps = len(self.lead_times)
        if labels.min() < 0 or labels.max() >= steps:
            raise InputError(
                f"lead_time counts from 0 to {steps - 1}; it is {sorted(set(labels.tolist()))}"
            )
        return labels.repeat(fields // len(labels)) if len(labels) < fields else labels
