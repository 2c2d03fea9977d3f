"""Cover large fields as networks that were trained on patches were meant to.

Patches overlap and reach beyond the field, which is mirrored there, and where they overlap their
mean is taken. What PhysicsNeMo calls GridPatching2D.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from xresdiff.engine.padding import mirrored
from xresdiff.engine.tiles import Groups
from xresdiff.models.targets import Patching

__all__ = ["Patch", "conditions", "cut", "patched", "patches", "shrunk"]


@dataclass(frozen=True, eq=False)
class Patch:
    """One patch of a field.

    Parameters
    ----------
    top, left : int
        Row and column of its first pixel; negative beyond the field.
    rows, columns : torch.Tensor, (h,) and (w,)
        Which row and column of the field each of its pixels shows.
    """

    top: int
    left: int
    rows: Tensor
    columns: Tensor

    def index(self) -> Tensor:
        """Return the row and the column of every pixel, (2, h, w)."""
        return torch.stack(torch.meshgrid(self.rows, self.columns, indexing="ij"))

    def inside(self, height: int, width: int) -> tuple[slice, slice]:
        """Return which of its rows and columns are within a field, not mirrored."""
        return (
            slice(max(-self.top, 0), min(height - self.top, len(self.rows))),
            slice(max(-self.left, 0), min(width - self.left, len(self.columns))),
        )

    def place(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the field that these are."""
        return (
            slice(max(self.top, 0), min(self.top + len(self.rows), height)),
            slice(max(self.left, 0), min(self.left + len(self.columns), width)),
        )


def patches(patching: Patching, shape: tuple[int, int]) -> list[Patch]:
    """Cover a field with patches, column by column.

    Parameters
    ----------
    patching : Patching
        Shape of the patches and how they lie; those larger than the field have its shape.
    shape : tuple of int
        Height and width of the field.

    Returns
    -------
    list of Patch
        All of one shape.

    Raises
    ------
    ValueError
        If the field is smaller than what patches share.

    Examples
    --------
    >>> [(p.top, p.left) for p in patches(Patching((6, 8), overlap=1, boundary=1), (8, 12))]
    [(-1, -1), (3, -1), (-1, 5), (3, 5)]
    """
    height, width = _patch_shape(patching, shape)
    shared = patching.overlap + patching.boundary
    if min(height, width) <= shared + patching.boundary:
        raise ValueError(
            f"patches of {height} x {width} pixels are too small to overlap by {patching.overlap} "
            f"and reach {patching.boundary} beyond; more than {shared + patching.boundary} needed"
        )
    tops, lefts = (
        [number * (size - shared) - patching.boundary for number in range(-(-n // (size - shared)))]
        for n, size in zip(shape, (height, width), strict=True)
    )
    return [
        Patch(
            top,
            left,
            mirrored(top, top + height, shape[0]),
            mirrored(left, left + width, shape[1]),
        )
        for left in lefts
        for top in tops
    ]


def cut(x: Tensor, some: Sequence[Patch]) -> Tensor:
    """Cut patches out of fields.

    Parameters
    ----------
    x : torch.Tensor, (b, c, y, x)
        Fields.
    some : sequence of Patch
        `k` of them.

    Returns
    -------
    torch.Tensor, (k * b, c, h, w)
        The patches one behind the other, each of all fields.
    """
    return torch.cat(
        [
            x.index_select(-2, patch.rows.to(x.device)).index_select(-1, patch.columns.to(x.device))
            for patch in some
        ]
    )


def shrunk(x: Tensor, patching: Patching) -> Tensor:
    """Shrink whole fields, ``(b, c, y, x)``, to the shape of a patch, bilinearly."""
    size = _patch_shape(patching, (x.shape[-2], x.shape[-1]))
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def conditions(own: Tensor, whole: Tensor | None, some: Sequence[Patch]) -> Tensor:
    """Return what the network is told of patches.

    Parameters
    ----------
    own : torch.Tensor, (b, c, y, x)
        What is cut: the mean, if the network is told of it, and the condition.
    whole : torch.Tensor, (b, d, h, w), optional
        The condition, without the mean, as :func:`shrunk` returns it, for every patch; if the
        network is told of it.
    some : sequence of Patch
        `k` of them.

    Returns
    -------
    torch.Tensor, (k * b, c + d, h, w)
        In the order of :func:`cut`.
    """
    told = cut(own, some)
    return told if whole is None else torch.cat([told, whole.repeat(len(some), 1, 1, 1)], dim=1)


def patched(
    denoise: Callable[[Tensor, Tensor, Sequence[Patch]], Tensor],
    patching: Patching,
    shape: tuple[int, int],
    pixels: int = 0,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Make a denoiser of large fields from one of patches.

    The samplers see one denoiser of the whole field. Where patches agree, the result is exactly
    theirs.

    Parameters
    ----------
    denoise : callable
        ``(x, sigma, patches) -> denoised`` for `x` of shape ``(k * b, c, h, w)``: the patches one
        behind the other, each of the `b` fields of the batch.
    patching : Patching
        Shape of the patches and how they lie.
    shape : tuple of int
        Height and width of the field.
    pixels : int, default 0
        Denoise patches of up to this many pixels at once, and at least one of all fields.

    Returns
    -------
    callable
        ``(x, sigma) -> denoised`` for `x` of shape ``(b, c, y, x)``, `sigma` of shape ``()`` or
        ``(b,)``.

    Raises
    ------
    ValueError
        By :func:`patches`, if the field is smaller than what patches share.
    """
    cover, area = patches(patching, shape), prod(_patch_shape(patching, shape))
    known: dict[int, Groups[Patch]] = {}

    def denoised(x: Tensor, sigma: Tensor) -> Tensor:
        def work(some: Sequence[Patch]) -> Tensor:
            levels = sigma.repeat(len(some)) if sigma.ndim else sigma
            return denoise(cut(x, some), levels, some)

        count, mean = torch.zeros_like(x[0, 0]), torch.zeros_like(x)
        if len(x) not in known:  # they remember how much memory takes
            known[len(x)] = Groups(cover, pixels // (area * len(x)))
        for patch, field in known[len(x)].run(work):
            place, inside = patch.place(*shape), patch.inside(*shape)
            count[place] += 1
            # a running mean, which equal fields do not change by a single bit
            mean[..., *place].lerp_(field[..., *inside].to(mean.dtype), 1 / count[place])
        return mean

    return denoised


def _patch_shape(patching: Patching, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the shape of the patches of a field."""
    return min(patching.shape[0], shape[0]), min(patching.shape[1], shape[1])
