"""Pointwise transforms of skewed variables, refinement onto the fine grid, block-mean conservation.

Every function takes and returns tensors ``(b, c, y, x)`` in physical or encoded units, and is
differentiable, but for the roots at zero. The transforms keep zero at zero.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["block_mean", "conserve_blocks", "decode", "encode", "phase", "refine"]

_ENCODE: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "identity": lambda x, scale, exponent: x,
    "log1p": lambda x, scale, exponent: torch.log1p(x.clamp_min(0) / scale),
    "sqrt": lambda x, scale, exponent: (x.clamp_min(0) / scale).sqrt(),
    "power": lambda x, scale, exponent: (x.clamp_min(0) / scale) ** exponent,
}
_DECODE: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "identity": lambda y, scale, exponent: y,
    "log1p": lambda y, scale, exponent: torch.expm1(y.clamp_min(0)) * scale,
    "sqrt": lambda y, scale, exponent: y.clamp_min(0) ** 2 * scale,
    "power": lambda y, scale, exponent: y.clamp_min(0) ** (1 / exponent) * scale,
}


def encode(x: Tensor, name: str, *, scale: float = 1.0, exponent: float = 1.0) -> Tensor:
    """Transform physical values: identity, log1p (of x/scale), sqrt or power (of x/scale).

    Examples
    --------
    >>> encode(torch.tensor([0.0, 0.8]), "power", scale=0.1, exponent=1 / 3).tolist()
    [0.0, 2.0]
    """
    return _ENCODE[name](x, scale, exponent)


def decode(y: Tensor, name: str, *, scale: float = 1.0, exponent: float = 1.0) -> Tensor:
    """Invert :func:`encode`; encoded values below zero are zero for all but the identity.

    Examples
    --------
    >>> decode(torch.tensor([-1.0, 2.0]), "power", scale=0.1, exponent=1 / 3).tolist()
    [0.0, 0.8]
    """
    return _DECODE[name](y, scale, exponent)


def refine(coarse: Tensor, factor: int, how: str) -> Tensor:
    """Bring a coarse field onto the grid that splits every cell into factor x factor cells.

    Parameters
    ----------
    coarse : torch.Tensor, (b, c, Y, X)
        Cell means.
    factor : int
        Fine cells along a side of a coarse one.
    how : {"constant", "bilinear"}
        Each cell's own value, or bilinear interpolation between cell centres, constant beyond
        the outermost of them.

    Returns
    -------
    torch.Tensor, (b, c, Y * factor, X * factor)

    Raises
    ------
    ValueError
        If `how` is neither.
    """
    if how == "constant":
        return coarse.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    if how != "bilinear":
        raise ValueError(f"how={how!r} is neither 'constant' nor 'bilinear'")
    return F.interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)


def phase(coarse: Tensor, factor: int) -> Tensor:
    """Return each fine pixel's place within its coarse cell, -1 to 1, as ``(b, 2, y, x)``."""
    b, _, rows, columns = coarse.shape
    place = (torch.arange(factor, device=coarse.device) + 0.5) * 2 / factor - 1
    y = place.repeat(rows)[:, None].expand(-1, columns * factor)
    x = place.repeat(columns)[None].expand(rows * factor, -1)
    return torch.stack([y, x]).expand(b, -1, -1, -1).to(coarse.dtype)


def block_mean(fine: Tensor, factor: int) -> Tensor:
    """Average blocks of factor x factor pixels of ``(b, c, y, x)``."""
    return F.avg_pool2d(fine, factor)


def conserve_blocks(fine: Tensor, coarse: Tensor, factor: int, *, passes: int = 2) -> Tensor:
    r"""Scale a non-negative field so that the mean of each block is the coarse value.

    A plain factor per block, :math:`c / \overline{f}`, is exact but tears the field at the blocks'
    edges. So the factors are first interpolated bilinearly between the blocks and applied `passes`
    times, each bringing the means nearer; the plain factors then close what is left. A
    block that is dry while its coarse cell is not takes the coarse field, interpolated.

    Parameters
    ----------
    fine : torch.Tensor, (b, c, Y * factor, X * factor)
        Field to correct, not negative.
    coarse : torch.Tensor, (b, c, Y, X)
        Block means to have, not negative.
    factor : int
        Fine pixels along a side of a coarse cell.
    passes : int, default 2
        Smooth corrections before the exact one.

    Returns
    -------
    torch.Tensor, (b, c, Y * factor, X * factor)
        Not negative, with block means equal to `coarse` to rounding.

    Examples
    --------
    >>> fine, coarse = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 2, 2)
    >>> torch.allclose(block_mean(conserve_blocks(fine, coarse, 4), 4), coarse)
    True
    """
    dry = block_mean(fine, factor) <= 1e-3 * coarse
    fill = refine(coarse, factor, "bilinear")
    fine = torch.where(refine(dry, factor, "constant"), fill, fine)
    for _ in range(passes):
        ratio = (coarse / block_mean(fine, factor).clamp_min(1e-12)).clamp(0.25, 4.0)
        fine = fine * refine(ratio, factor, "bilinear")
    ratio = coarse / block_mean(fine, factor).clamp_min(1e-12)
    return fine * refine(ratio, factor, "constant")
