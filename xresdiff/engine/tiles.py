"""Fit fields of any size to a network: pad small ones, run large ones in overlapping windows."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Window", "blend_weights", "pad_to", "windowed", "windows"]

Window: TypeAlias = tuple[slice, slice]


def pad_to(x: Tensor, multiple: int, minimum: int = 1) -> tuple[Tensor, Window]:
    """Extend fields by their mirror image until the network can take them.

    Everything is added below and to the right, so that places keep their numbers. The mirror
    stands on the edge, between pixels: blocks of pixels next to it stay whole. A field smaller
    than what it lacks is reflected back and forth.

    Parameters
    ----------
    x : torch.Tensor, (..., y, x)
        Fields, not empty.
    multiple : int
        The padded height and width are multiples of this.
    minimum : int, default 1
        They are not less than this.

    Returns
    -------
    padded : torch.Tensor, (..., y, x)
        The fields and their reflections; `x` itself if nothing is needed.
    crop : tuple of slice
        The rows and columns of the fields: ``padded[..., *crop]`` is `x`.

    Examples
    --------
    >>> padded, crop = pad_to(torch.tensor([[1, 2, 3]]), multiple=2, minimum=8)
    >>> padded[0].tolist(), tuple(padded.shape)
    ([1, 2, 3, 3, 2, 1, 1, 2], (8, 8))
    >>> padded[crop].tolist()
    [[1, 2, 3]]
    """
    height, width = x.shape[-2:]
    crop = slice(height), slice(width)
    for dim, n in ((-2, height), (-1, width)):
        enough = -(-max(n, minimum) // multiple) * multiple
        if enough > n:
            place = torch.arange(enough, device=x.device) % (2 * n)
            x = x.index_select(dim, torch.minimum(place, 2 * n - 1 - place))
    return x, crop


def windows(shape: tuple[int, int], size: int, overlap: int) -> list[Window]:
    """Cover a field with windows that overlap, the last ones flush with its edge.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the field.
    size : int
        Height and width of a window; those of the field where it is smaller.
    overlap : int
        Pixels that neighbours share, at most half of `size`; the last ones may share more.

    Returns
    -------
    list of tuple of slice
        Rows and columns of each window, all of one shape, row by row.

    Raises
    ------
    ValueError
        If `overlap` is negative or more than half of `size`.

    Examples
    --------
    >>> windows((4, 9), size=4, overlap=1)
    [(slice(0, 4, None), slice(0, 4, None)), (slice(0, 4, None), slice(3, 7, None)),
     (slice(0, 4, None), slice(5, 9, None))]
    """
    if not 0 <= overlap <= size // 2:
        raise ValueError(f"windows of {size} pixels overlap by 0 to {size // 2}, not {overlap}")
    rows, columns = (_spans(n, size, size - overlap) for n in shape)
    return list(product(rows, columns))


def blend_weights(shape: tuple[int, int], overlap: int) -> Tensor:
    """Weigh the pixels of a window: one inside, falling smoothly towards the edges.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the window.
    overlap : int
        Width of the slopes, whose shape is that of a squared sine: those of two windows that
        overlap by as much add up to one.

    Returns
    -------
    torch.Tensor, (y, x)
        Positive everywhere, float32.

    Examples
    --------
    >>> blend_weights((6, 6), overlap=2)[2]
    tensor([0.1464, 0.8536, 1.0000, 1.0000, 0.8536, 0.1464])
    """
    rows, columns = (_slopes(n, overlap) for n in shape)
    return rows[:, None] * columns


def windowed(
    denoise: Callable[[Tensor, Tensor, Sequence[Window]], Tensor],
    size: int,
    overlap: int,
    batch: int = 1,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Make a denoiser of large fields from one of windows.

    At every noise level the field is cut into overlapping windows, each is denoised, and where
    they overlap the results are averaged, near their middles the more (MultiDiffusion, Bar-Tal et
    al., 2023, arXiv 2302.08113). The samplers see one denoiser of the whole field, so that no
    seam can grow from step to step. Where windows agree, the result is exactly theirs.

    Parameters
    ----------
    denoise : callable
        ``(x, sigma, windows) -> denoised`` for `x` of shape ``(k * b, c, y, x)``: the windows one
        behind the other, each with the `b` fields of the batch.
    size : int
        Height and width of a window.
    overlap : int
        Pixels that neighbouring windows share, at most half of `size`.
    batch : int, default 1
        Denoise up to this many fields at once, all of the batch and at least one window.

    Returns
    -------
    callable
        ``(x, sigma) -> denoised`` for `x` of shape ``(b, c, y, x)``, `sigma` of shape ``()`` or
        ``(b,)``.

    Raises
    ------
    ValueError
        By :func:`windows`, if `overlap` does not suit `size`.
    """

    def denoised(x: Tensor, sigma: Tensor) -> Tensor:
        cover = windows((x.shape[-2], x.shape[-1]), size, overlap)
        first = x[..., *cover[0]]
        weights = blend_weights((first.shape[-2], first.shape[-1]), overlap).to(x)
        total, mean = torch.zeros_like(x[0, 0]), torch.zeros_like(x)
        at_once = max(batch // len(x), 1)
        for i in range(0, len(cover), at_once):
            some = cover[i : i + at_once]
            stack = torch.cat([x[..., *window] for window in some])  # (k * b, c, y, x)
            levels = sigma.repeat(len(some)) if sigma.ndim else sigma
            for window, field in zip(some, denoise(stack, levels, some).split(len(x)), strict=True):
                total[window] += weights
                # a running weighted mean, which equal fields do not change by a single bit
                mean[..., *window].lerp_(field.to(mean.dtype), weights / total[window])
        return mean

    return denoised


def _spans(n: int, size: int, stride: int) -> list[slice]:
    """Cover 0 to n by spans of `size`, or by one if that is more than there is."""
    if n <= size:
        return [slice(0, n)]
    starts = [*range(0, n - size, stride), n - size]
    return [slice(start, start + size) for start in starts]


def _slopes(n: int, overlap: int) -> Tensor:
    """Return one-dimensional weights, ``(n,)``."""
    place = torch.arange(n) + 0.5
    distance = torch.minimum(place, n - place)  # from the nearer edge, to the pixel's middle
    return torch.sin(torch.pi / 2 * (distance / max(overlap, 0.5)).clamp(max=1)) ** 2
