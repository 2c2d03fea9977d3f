"""The chunks of an ensemble where none are asked for."""

from math import prod

import numpy as np
import xarray as xr

from xresdiff.engine.request import Request

__all__ = ["LARGEST_BYTES", "MOST_MEMBERS", "equal_chunks", "member_chunks"]

MOST_MEMBERS = 16  # of a chunk; how many fields run at once is told by PIXELS_AT_ONCE
LARGEST_BYTES = {"cpu": 2**28, "cuda": 2**30}  # of a chunk, by device


def member_chunks(request: Request, coarse: xr.DataArray) -> tuple[int, ...]:
    """Return how an ensemble is cut along its members.

    Parameters
    ----------
    request : Request
        From :func:`~xresdiff.engine.request.check_request`. The chunks that it asks for are kept.
    coarse : xarray.DataArray
        The inputs of the networks, whose chunks along other dimensions are those of the result.

    Returns
    -------
    tuple of int
        Members of every chunk. A chunk is what is computed at once, of all outputs: at most 256 MB
        unless one member is more, since a worker holds it some three times over: as the blended
        fields of the sampler, as the result, and as what is being written. Where a GPU is asked for
        by name, 1 GB: its machine has more memory, and larger batches are worth it there. Chunks
        of a store, each with one output, are smaller, so far from the 2 GB that its compression
        can take.
    """
    asked = request.arguments
    wanted = (asked.chunks or {}).get(request.member)
    if wanted is not None:
        size = asked.members if wanted == -1 else min(wanted, asked.members)
        return _cut(asked.members, int(size))
    fields = prod(max(coarse.chunksizes.get(dim, (1,))) for dim in request.loop)
    member = 4 * len(request.card.outputs) * prod(request.placement.shape) * fields
    kind = asked.device.split(":")[0]
    most = LARGEST_BYTES.get(kind, LARGEST_BYTES["cpu"]) // member
    return equal_chunks(asked.members, int(np.clip(most, 1, MOST_MEMBERS)))


def equal_chunks(n: int, most: int) -> tuple[int, ...]:
    """Cut `n` into equal chunks of at most `most`; the last is less if else they were far smaller.

    Examples
    --------
    >>> equal_chunks(64, 16), equal_chunks(50, 16), equal_chunks(17, 16)
    ((16, 16, 16, 16), (10, 10, 10, 10, 10), (9, 8))
    """
    divisors = [size for size in range(1, most + 1) if n % size == 0]
    if 2 * divisors[-1] >= min(n, most):
        return _cut(n, divisors[-1])
    return _cut(n, -(-n // -(-n // most)))


def _cut(n: int, size: int) -> tuple[int, ...]:
    whole, rest = divmod(n, size)
    return (size,) * whole + ((rest,) if rest else ())
