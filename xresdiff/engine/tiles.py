"""Fit fields of any size to a network: pad small ones, run large ones in overlapping windows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from xresdiff.engine.batches import memory_ran_out
from xresdiff.engine.tiling import Tiling, Window

__all__ = ["Groups", "Window", "blend_weights", "blended", "grouped", "pad_to", "windowed"]

PartT = TypeVar("PartT")


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


class Groups(Generic[PartT]):
    """The parts of a field in groups that a network is given at once, smaller if memory runs out.

    Parameters
    ----------
    parts : sequence
        Windows or patches, all of one shape.
    most : int
        How many parts make a group, at least one.
    """

    def __init__(self, parts: Sequence[PartT], most: int) -> None:
        self.parts, self.most = parts, max(most, 1)

    def run(self, work: Callable[[Sequence[PartT]], Tensor]) -> Iterator[tuple[PartT, Tensor]]:
        """Yield each part with its fields, of which `work` gives those of a group in turn."""
        done = 0
        while done < len(self.parts):
            some = self.parts[done : done + self.most]
            try:
                fields = work(some)
            except (RuntimeError, MemoryError) as error:
                if len(some) == 1 or not memory_ran_out(error):
                    raise
                self.most = len(some) // 2
                continue
            yield from zip(some, fields.split(len(fields) // len(some)), strict=True)
            done += len(some)


def blended(
    work: Callable[[Sequence[Window]], Tensor], groups: Groups[Window], out: Tensor, overlap: int
) -> Tensor:
    """Average the fields of windows where they overlap, near their middles the more.

    Parameters
    ----------
    work : callable
        ``windows -> fields``, ``(k * b, c, h, w)``: of the windows one behind the other.
    groups : Groups
        The windows.
    out : torch.Tensor, (b, c, y, x)
        Zeros, which become the result.
    overlap : int
        Width of the slopes of the weights.

    Returns
    -------
    torch.Tensor, (b, c, y, x)
        `out`; where windows agree, exactly what they say.
    """
    rows, columns = groups.parts[0]
    weights = blend_weights((rows.stop - rows.start, columns.stop - columns.start), overlap)
    weights, total = weights.to(out), torch.zeros_like(out[0, 0])
    for window, field in groups.run(work):
        total[window] += weights
        # a running weighted mean, which equal fields do not change by a single bit
        out[..., *window].lerp_(field.to(out.dtype), weights / total[window])
    return out


def windowed(
    denoise: Callable[[Tensor, Tensor, Sequence[Window]], Tensor], tiles: Tiling, pixels: int = 0
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
    tiles : Tiling
        Size of the windows and what they share.
    pixels : int, default 0
        Denoise windows of up to this many pixels at once, and at least one of all fields.

    Returns
    -------
    callable
        ``(x, sigma) -> denoised`` for `x` of shape ``(b, c, y, x)``, `sigma` of shape ``()`` or
        ``(b,)``.

    Raises
    ------
    ValueError
        By :func:`~xresdiff.engine.tiling.windows`, if the overlap does not suit the size.
    """
    known: dict[tuple[int, ...], Groups[Window]] = {}

    def denoised(x: Tensor, sigma: Tensor) -> Tensor:
        if x.shape not in known:  # they remember how much memory takes
            known[x.shape] = grouped(tiles, (x.shape[-2], x.shape[-1]), pixels // len(x))

        def work(some: Sequence[Window]) -> Tensor:
            stack = torch.cat([x[..., *window] for window in some])  # (k * b, c, y, x)
            return denoise(stack, sigma.repeat(len(some)) if sigma.ndim else sigma, some)

        return blended(work, known[x.shape], torch.zeros_like(x), tiles.overlap)

    return denoised


def grouped(tiles: Tiling, shape: tuple[int, int], pixels: int) -> Groups[Window]:
    """Return the windows of a field in groups of some number of pixels, or one by one."""
    cover = tiles.windows(shape)
    rows, columns = cover[0]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Groups(cover, pixels // area)


def _slopes(n: int, overlap: int) -> Tensor:
    """Return one-dimensional weights, ``(n,)``."""
    place = torch.arange(n) + 0.5
    distance = torch.minimum(place, n - place)  # from the nearer edge, to the pixel's middle
    return torch.sin(torch.pi / 2 * (distance / max(overlap, 0.5)).clamp(max=1)) ** 2
