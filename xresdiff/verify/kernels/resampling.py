"""Scores of averages, and how sure they are: numpy in, numpy out."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from xresdiff.verify.kernels.blocks import Floats

__all__ = ["Finish", "finished", "intervals"]

#: Turns averages ``(..., part)`` into scores ``(..., score)``.
Finish: TypeAlias = Callable[[Floats], Floats]

RESAMPLES = 1000
SEED = 0

#: Values of draws worked on at a time.
DRAWN_VALUES = 2**20


def finished(*totals: Floats, finish: Finish) -> Floats:
    """Turn sums and weights of parts into scores, ``(..., part) x 2 or 4 -> (..., score, value)``.

    The sums and weights are those of one forecast, or of two: then the values are the score of the
    first, that of the second, and the skill of the first over the second, 1 - score / score.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = [
            finish(sums / weights) for sums, weights in zip(totals[::2], totals[1::2], strict=True)
        ]
        if len(scores) == 2:
            scores.append(1 - scores[0] / scores[1])
    return np.stack(scores, axis=-1)


def intervals(*totals: Floats, finish: Finish, level: float) -> Floats:
    r"""Bootstrap scores over time, ``(..., time, part) x 2 or 4 -> (..., score, value, bound)``.

    Times are drawn in blocks, since those that follow one another are alike: blocks of
    :math:`\lceil n^{1/3} \rceil` times (Kuensch, 1989, doi:10.1214/aos/1176347265) that begin
    anywhere, the last time being followed by the first (Politis and Romano, 1992). All forecasts
    and parts see the same draws, 1000 of them. The bounds are the score of all times, and the lower
    and upper percentiles of those of the draws.
    """
    shape = np.broadcast_shapes(*(total.shape for total in totals))
    *places, times, parts = shape
    rows = [np.broadcast_to(total, shape).reshape(-1, times, parts) for total in totals]
    step = max(DRAWN_VALUES // (RESAMPLES * parts), 1)
    blocks = range(0, max(len(rows[0]), 1), step)
    done = [_bounds([row[i : i + step] for row in rows], finish, level) for i in blocks]
    joined = np.concatenate(done)
    return joined.reshape(*places, *joined.shape[1:])


def _bounds(totals: list[Floats], finish: Finish, level: float) -> Floats:
    """Bootstrap some places, ``(place, time, part) each -> (place, score, value, bound)``."""
    often = _how_often(totals[0].shape[-2])
    known = [np.moveaxis(total, -2, -1) for total in totals]  # (place, part, time)
    drawn = [np.moveaxis(total @ often.T, -1, 0) for total in known]  # (draw, place, part)
    estimate = finished(*(total.sum(-1) for total in known), finish=finish)
    draws = finished(*drawn, finish=finish)
    tail = (1 - level) / 2
    lower, upper = _quantiles(draws, (tail, 1 - tail))
    return np.stack([estimate, lower, upper], axis=-1)


def _quantiles(draws: Floats, shares: tuple[float, float]) -> list[Floats]:
    """Quantiles over the first axis, of the draws that have a score; NaN where none has."""
    ordered = np.sort(draws, axis=0)  # those without come last
    last = np.maximum(len(draws) - np.isnan(draws).sum(0) - 1, 0)
    found = []
    for share in shares:
        place = share * last
        below = np.floor(place).astype(np.intp)
        low, high = (
            np.take_along_axis(ordered, index[None], axis=0)[0]
            for index in (below, np.minimum(below + 1, last))
        )
        between = place - below
        with np.errstate(invalid="ignore"):  # infinity from infinity
            found.append(np.where(low == high, low, low + between * (high - low)))
    return found


@lru_cache(maxsize=4)
def _how_often(times: int) -> Floats:
    """How often every draw has every time, ``(draw, time)``."""
    length = int(np.ceil(round(times ** (1 / 3), 9)))
    blocks = -(-times // length)
    rng = np.random.Generator(np.random.Philox(SEED))
    first = rng.integers(times, size=(RESAMPLES, blocks, 1))
    drawn = ((first + np.arange(length)) % times).reshape(RESAMPLES, -1)[:, :times]
    return np.stack([np.bincount(one, minlength=times) for one in drawn]).astype(np.float64)
