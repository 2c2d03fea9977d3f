"""Give networks what they were trained to see beyond the edges of their target."""

import torch
from torch import Tensor

from xresdiff.models.targets import Padding

__all__ = ["mirrored", "padded"]


def padded(x: Tensor, padding: Padding) -> Tensor:
    """Extend fields beyond their edges.

    Parameters
    ----------
    x : torch.Tensor, (..., y, x)
        Fields.
    padding : Padding
        By how much; rows are mirrored at the edge, which does not come twice, columns too unless
        they continue around the Earth.

    Returns
    -------
    torch.Tensor, (..., y, x)
        The fields and what continues them.

    Examples
    --------
    >>> padded(torch.tensor([[1, 2, 3]]), Padding((0, 0), (1, 2), around=True)).tolist()
    [[3, 1, 2, 3, 1, 2]]
    >>> padded(torch.tensor([[1, 2, 3]]), Padding((0, 0), (1, 2))).tolist()
    [[2, 1, 2, 3, 2, 1]]
    """
    height, width = x.shape[-2:]
    rows = mirrored(-padding.rows[0], height + padding.rows[1], height)
    if padding.around:
        columns = torch.arange(-padding.columns[0], width + padding.columns[1]) % width
    else:
        columns = mirrored(-padding.columns[0], width + padding.columns[1], width)
    return x.index_select(-2, rows.to(x.device)).index_select(-1, columns.to(x.device))


def mirrored(start: int, stop: int, n: int) -> Tensor:
    """Return which of `n` pixels stand at places from `start` to `stop`, mirrored at both edges.

    Parameters
    ----------
    start, stop : int
        Places, those from 0 to `n` being the pixels themselves.
    n : int
        Number of pixels.

    Returns
    -------
    torch.Tensor, (stop - start,)
        Numbers of pixels; those at the edges do not come twice.

    Examples
    --------
    >>> mirrored(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (n - 1), 1)
    place = torch.arange(start, stop) % period
    return torch.minimum(place, period - place)
