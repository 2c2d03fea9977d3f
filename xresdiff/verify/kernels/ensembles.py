"""Statistics of ensembles at every point: numpy in, numpy out."""

from functools import cached_property, lru_cache

import numpy as np

from xresdiff.verify.kernels.blocks import Floats, in_blocks

__all__ = ["crps", "mean", "statistics", "variance"]

#: Members up to which a sorting network is the faster way.
NETWORK_MEMBERS = 128


@in_blocks
def crps(ens: Floats, obs: Floats, *, fair: bool = True) -> Floats:
    r"""Continuous ranked probability score, ``(..., m), (...) -> (...)``.

    .. math:: \frac1m \sum_i |x_i - y| - \frac{1}{2 m (m - 1)} \sum_{i,j} |x_i - x_j|

    if `fair` (Ferro, 2014, doi:10.1002/qj.2270); with :math:`m^2` for :math:`m (m - 1)` if not,
    the integral of the squared difference of the two distribution functions.

    The double sum needs no (m, m) temporary: the gap between the k-th and the next of the sorted
    members lies between :math:`k (m - k)` pairs, so it is a sum over gaps, free of cancellation.

    Examples
    --------
    >>> ens, obs = np.array([[1.0, 3.0]]), np.array([2.0])
    >>> crps(ens, obs), crps(ens, obs, fair=False)
    (array([0.]), array([0.5]))
    """
    known = Statistics(ens, obs)
    return known.crps if fair else known.crps_ecdf


def _pairs(ens: Floats) -> Floats:
    """Sum of the distances of all pairs of members, each once, ``(m, n) -> (n)``.

    The rows are sorted in place.
    """
    m = len(ens)
    if m < 2:
        return np.where(np.isnan(ens[0]), np.nan, 0.0) if m else np.zeros(ens.shape[1])
    _sort_rows(ens)
    total = np.zeros(ens.shape[1])
    for k in range(1, m):
        total += np.multiply(ens[k] - ens[k - 1], k * (m - k), dtype=np.float64)
    return total


def _mean_of_rows(rows: Floats) -> Floats:
    """Mean over the members in float64, ``(m, n) -> (n)``."""
    return rows.mean(0, dtype=np.float64)


def _sort_rows(rows: Floats) -> None:
    """Sort every column, in place: a sorting network, which moves whole rows at a time.

    A column with a NaN becomes one of NaN as far as its values are compared with it. The steps of
    a network grow faster than the members: many are sorted column by column.
    """
    if len(rows) > NETWORK_MEMBERS:
        rows.sort(axis=0)
        return
    least = np.empty_like(rows[0])
    for i, j in _network(len(rows)):
        np.minimum(rows[i], rows[j], out=least)
        np.maximum(rows[i], rows[j], out=rows[j])
        rows[i] = least


@lru_cache(maxsize=16)
def _network(n: int) -> tuple[tuple[int, int], ...]:
    """Pairs to put in order, one after the other, that sort `n` values.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M).
    """
    pairs = []
    top = 1 << max((n - 1).bit_length() - 1, 0)
    p = top
    while p:
        q, r, d = top, 0, p
        while d:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            d, q, r = (q - p, q // 2, p) if q != p else (0, q, r)
        p //= 2
    return tuple(pairs)


@in_blocks
def mean(ens: Floats) -> Floats:
    """Mean of the members, ``(..., m) -> (...)``."""
    return _mean_of_rows(ens)


@in_blocks
def variance(ens: Floats) -> Floats:
    """Variance of the members, unbiased (divided by m - 1), ``(..., m) -> (...)``."""
    return ens.var(0, ddof=1, dtype=np.float64)


@in_blocks
def statistics(ens: Floats, obs: Floats, origin: Floats, *, names: tuple[str, ...]) -> Floats:
    """Several statistics of one pass over the data, ``(..., m), (...) -> (..., len(names))``.

    Their names are the properties of :class:`Statistics`. All are NaN where anything is missing.
    Products and squares are those of distances from `origin`.

    Examples
    --------
    >>> ens, obs = np.array([[1.0, 3.0]]), np.array([2.5])
    >>> statistics(ens, obs, np.zeros(1), names=("error", "variance", "absolute"))
    array([[-0.5,  2. ,  1. ]])
    """
    known = Statistics(ens, obs, origin)
    values = np.stack([getattr(known, name) for name in names], axis=-1)
    values[np.isnan(known.mean + known.obs)] = np.nan
    return values


class Statistics:
    """What is known of members ``(m, n)`` and the truth ``(n)`` at every point, ``(n)`` each."""

    def __init__(self, ens: Floats, obs: Floats, origin: Floats | float = 0.0) -> None:
        self.ens, self.obs, self.m = ens, obs.astype(np.float64), len(ens)
        self.origin = origin

    @cached_property
    def mean(self) -> Floats:
        """Mean of the members."""
        return _mean_of_rows(self.ens)

    @cached_property
    def variance(self) -> Floats:
        """Unbiased variance of the members."""
        return self.ens.var(0, ddof=1, dtype=np.float64)

    @cached_property
    def absolute(self) -> Floats:
        """Mean absolute error of the members."""
        return _mean_of_rows(np.abs(self.ens - self.obs.astype(self.ens.dtype)))

    @cached_property
    def pairs(self) -> Floats:
        """Sum of the distances of all pairs of members; the members are sorted by this."""
        return _pairs(self.ens)

    @property
    def crps(self) -> Floats:
        """Fair CRPS."""
        return self.absolute - self.pairs / (self.m * (self.m - 1))

    @property
    def crps_ecdf(self) -> Floats:
        """CRPS of the members as a distribution."""
        return self.absolute - self.pairs / self.m**2

    @property
    def error(self) -> Floats:
        """Mean of the members minus the truth."""
        return self.mean - self.obs

    @property
    def error_absolute(self) -> Floats:
        """Absolute error of the mean of the members."""
        return np.abs(self.error)

    @property
    def error2(self) -> Floats:
        """Squared error of the mean of the members."""
        return self.error**2

    @property
    def x(self) -> Floats:
        """Mean of the members, from the origin."""
        return self.mean - self.origin

    @property
    def y(self) -> Floats:
        """The truth, from the origin."""
        return self.obs - self.origin

    @property
    def x2(self) -> Floats:
        """Square of x."""
        return self.x**2

    @property
    def y2(self) -> Floats:
        """Square of y."""
        return self.y**2

    @property
    def product(self) -> Floats:
        """X times y."""
        return self.x * self.y
