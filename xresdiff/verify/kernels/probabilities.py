"""Ensembles as probabilities: ranks, shares of members over a threshold. Numpy in, numpy out.

Thresholds are met in the precision of the data, of the ensemble and of the truth each; the two are
compared in the coarser precision of both.
"""

from collections.abc import Sequence

import numpy as np

from xresdiff.verify.kernels.blocks import Floats, in_own_precision

__all__ = ["brier", "pit_shares", "rank_shares", "reliability"]


@in_own_precision
def rank_shares(ens: Floats, obs: Floats) -> Floats:
    """Share of each of the m + 1 ranks in every observation, ``(..., m), (...) -> (..., m + 1)``.

    An observation that equals `t` members (rain: both zero) could take any of `t` + 1 ranks, and is
    shared out equally among them, so that draws of one distribution give a flat histogram.

    Examples
    --------
    >>> rank_shares(np.array([0.0, 0.0, 4.0]), np.array(0.0))
    array([0.33, 0.33, 0.33, 0.  ])
    """
    return _shares(ens, obs, len(ens) + 1)


@in_own_precision
def pit_shares(ens: Floats, obs: Floats, *, bins: int) -> Floats:
    """Share of every observation in equal bins of probability, ``(..., m), (...) -> (..., bins)``.

    An observation with `k` members below it and `t` equal to it is spread evenly over the
    probabilities from k / (m + 1) to (k + t + 1) / (m + 1).

    Examples
    --------
    >>> pit_shares(np.array([0.0, 0.0, 4.0]), np.array(0.0), bins=2)
    array([0.67, 0.33])
    """
    return _shares(ens, obs, bins)


def _shares(ens: Floats, obs: Floats, bins: int) -> Floats:
    """Share out the ranks that are possible among equal bins, ``(m, n), (n) -> (n, bins)``."""
    ranks = len(ens) + 1
    ens, obs = _alike(ens, obs)
    lower = (ens < obs).sum(0)[:, None]
    width = (ens == obs).sum(0)[:, None] + 1
    edges = np.arange(bins + 1) * ranks / bins  # in ranks: whole numbers for bins of one rank
    below = np.clip((edges - lower) / width, 0.0, 1.0)
    shares = np.diff(below, axis=1)
    shares[_unknown(ens, obs)] = np.nan
    return shares


def _alike(ens: Floats, obs: Floats) -> tuple[Floats, Floats]:
    """Give both the coarser of their precisions: 0.7 is one number, wherever it is from."""
    coarse = min(ens.dtype, obs.dtype, key=lambda dtype: dtype.itemsize)
    with np.errstate(over="ignore"):  # past all numbers of few bits is above them
        return ens.astype(coarse, copy=False), obs.astype(coarse, copy=False)


def _unknown(ens: Floats, obs: Floats) -> Floats:
    """Tell where a member or the observation is missing, ``(m, n), (n) -> (n)``."""
    unknown = np.isnan(obs)
    for member in ens:  # one at a time: as fast, without a temporary of all
        unknown |= np.isnan(member)
    return unknown


def _events(ens: Floats, obs: Floats, threshold: float) -> tuple[Floats, Floats]:
    """Count the members at or over a threshold, and whether the observation is, ``(n)`` each."""
    return (ens >= threshold).sum(0).astype(np.float64), (obs >= threshold).astype(np.float64)


@in_own_precision
def brier(ens: Floats, obs: Floats, *, thresholds: Sequence[float], fair: bool = True) -> Floats:
    r"""Brier score of reaching every threshold, ``(..., m), (...) -> (..., thresholds, 1)``.

    .. math:: (k / m - o)^2 - \frac{k (m - k)}{m^2 (m - 1)}

    where :math:`k` of :math:`m` members and the observation (:math:`o` = 1 or 0) reach it; without
    the second term if not `fair` (Ferro, 2014, doi:10.1002/qj.2270). The last axis has one part.

    Examples
    --------
    >>> brier(np.array([0.0, 3.0]), np.array(4.0), thresholds=[1.0, 2.5], fair=False)[..., 0]
    array([0.25, 0.25])
    """
    m = len(ens)
    scores = np.empty((ens.shape[1], len(thresholds), 1))
    for i, threshold in enumerate(thresholds):
        k, o = _events(ens, obs, threshold)
        scores[:, i, 0] = (k / m - o) ** 2
        if fair:
            scores[:, i, 0] -= k * (m - k) / (m**2 * (m - 1))
    scores[_unknown(ens, obs)] = np.nan
    return scores


@in_own_precision
def reliability(ens: Floats, obs: Floats, *, thresholds: Sequence[float], classes: int) -> Floats:
    """Sort points into classes, ``(..., m), (...) -> (..., thresholds, classes, 3)``.

    The classes of probability lie around 0, 1 / (classes - 1), ..., 1; a share half way between two
    is in the upper one. The last axis has, for every class: whether the point is in it; if so, the
    share of the members that reach the threshold; and whether the observation does.

    Examples
    --------
    >>> reliability(np.array([0.0, 3.0]), np.array(4.0), thresholds=[1.0], classes=3)[0]
    array([[0. , 0. , 0. ],
           [1. , 0.5, 1. ],
           [0. , 0. , 0. ]])
    """
    m = len(ens)
    parts = np.zeros((ens.shape[1], len(thresholds), classes, 3))
    points = np.arange(ens.shape[1])
    for i, threshold in enumerate(thresholds):
        k, o = _events(ens, obs, threshold)
        # whole numbers: k / m * (classes - 1), rounded half up
        place = (2 * k.astype(np.int64) * (classes - 1) + m) // (2 * m)
        parts[points, i, place] = np.stack([np.ones_like(o), k / m, o], axis=-1)
    parts[_unknown(ens, obs)] = np.nan
    return parts
