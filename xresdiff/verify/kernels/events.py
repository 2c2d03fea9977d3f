"""Events, values at or above a threshold, at points and in windows: numpy in, numpy out.

Every array is compared with the threshold in its own precision: 0.7 in float32 is no less than
0.7. Members are counted, and windows summed, in whole numbers, so no rounding adds up.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xresdiff.verify.kernels.blocks import Floats

__all__ = [
    "Edges",
    "Size",
    "contingency",
    "contingency_scores",
    "exceedance",
    "fraction_errors",
    "fractions",
    "fractions_skill",
]

#: What windows do at the edges of the field.
Edges: TypeAlias = Literal["shrink", "inside", "zero"]

#: Points of a window along y and x.
Size: TypeAlias = tuple[int, int]


def exceedance(ens: Floats, *, thresholds: Sequence[float]) -> Floats:
    """Share of the members at or above each threshold, ``(..., m) -> (..., t)``.

    Examples
    --------
    >>> exceedance(np.array([0.0, 1.0, 2.0, 4.0]), thresholds=(1, 3))
    array([0.75, 0.25])
    """
    members = np.moveaxis(ens, -1, 0)
    shares = np.stack([_count(members, t) for t in thresholds], axis=-1) / len(members)
    shares[~_known(members)] = np.nan
    return shares


def contingency(
    ens: Floats, obs: Floats, *, thresholds: Sequence[float], probability: float | None = None
) -> Floats:
    """Hits, misses, false alarms, correct negatives, ``(..., m), (...) -> (..., t, 4)``.

    They are shares of the members, or 0 and 1 with `probability`: the share of the members from
    which on an event is forecast.

    Examples
    --------
    >>> ens, obs = np.array([[0.0, 0.0, 2.0, 2.0]] * 2), np.array([5.0, 0.0])
    >>> contingency(ens, obs, thresholds=[1.0])[:, 0]
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]])
    >>> contingency(ens, obs, thresholds=[1.0], probability=0.5)[:, 0]
    array([[1., 0., 0., 0.],
           [0., 0., 1., 0.]])
    """
    members = np.moveaxis(ens, -1, 0)
    shape = np.broadcast_shapes(members.shape[1:], obs.shape)
    table = np.empty((*shape, len(thresholds), 4))
    for k, threshold in enumerate(thresholds):
        forecast = _count(members, threshold) / len(members)
        if probability is not None:
            forecast = (forecast >= probability).astype(np.float64)
        happened = obs >= threshold
        table[..., k, 0] = forecast * happened
        table[..., k, 1] = (1 - forecast) * happened
        table[..., k, 2] = forecast * ~happened
        table[..., k, 3] = (1 - forecast) * ~happened
    table[~(_known(members) & ~np.isnan(obs))] = np.nan
    return table


def contingency_scores(table: Floats) -> Floats:
    """Scores of a table of hits, misses, false alarms and correct negatives.

    ``(..., 4) -> (..., 6)``: CSI, POD, FAR, ETS, HSS, frequency bias; NaN where undefined.

    Examples
    --------
    >>> contingency_scores(np.array([0.3, 0.1, 0.2, 0.4]))
    array([0.5 , 0.75, 0.4 , 0.25, 0.4 , 1.25])
    """
    hits, misses, false, negatives = (table[..., k] for k in range(4))
    forecast, happened = hits + false, hits + misses
    total = hits + misses + false + negatives
    by_chance = _ratio(forecast * happened, total)
    skill = 2 * (hits * negatives - misses * false)
    base = happened * (misses + negatives) + forecast * (false + negatives)
    return np.stack(
        [
            _ratio(hits, hits + misses + false),
            _ratio(hits, happened),
            _ratio(false, forecast),
            _ratio(hits - by_chance, hits + misses + false - by_chance),
            _ratio(skill, base),
            _ratio(forecast, happened),
        ],
        axis=-1,
    )


def fractions(
    ens: Floats, *, thresholds: Sequence[float], sizes: Sequence[Size], skipna: bool = True
) -> Floats:
    """Share of the members at or above each threshold, averaged in windows around every point.

    ``(..., m, y, x) -> (..., t, s, y, x)``. Windows hold the known points of the field. The result
    is NaN where a member is, and, without `skipna`, wherever one of a window is.

    Examples
    --------
    >>> ens = np.array([[[0.0, 0.0, 4.0, np.nan]]])
    >>> fractions(ens, thresholds=[1.0], sizes=[(1, 1), (1, 3)])[0, :, 0]
    array([[0.        , 0.        , 1.        ,        nan],
           [0.        , 0.33333333, 0.5       ,        nan]])
    """
    *lead, m, ny, nx = ens.shape
    result = np.empty((*lead, len(thresholds), len(sizes), ny, nx))
    for at in np.ndindex(*lead):
        members = ens[at]
        known = _known(members)
        windows = [_Windows(known, size, "shrink" if skipna else "whole") for size in sizes]
        for i, table in enumerate(_tables(members, known, thresholds)):
            for j, window in enumerate(windows):
                result[(*at, i, j)] = window.means(table, m, np.nan)
    return result


def fraction_errors(
    ens: Floats,
    obs: Floats,
    weights: Floats | None = None,
    *,
    thresholds: Sequence[float],
    sizes: Sequence[Size],
    edges: Edges = "shrink",
    skipna: bool = True,
) -> Floats:
    """Squared difference and squares of the fractions of forecast and truth, summed over fields.

    ``(..., m, y, x), (..., y, x) -> (..., t, s, 2)``, divided by the number of points of the field;
    NaN where there is no window to count. Windows are counted around known points.

    Examples
    --------
    >>> ens, obs = np.array([[[0.0, 4.0, 0.0]]]), np.array([[4.0, 0.0, 0.0]])
    >>> fraction_errors(ens, obs, thresholds=[1.0], sizes=[(1, 1), (9, 9)])[0] * 9
    array([[6., 6.],
           [0., 2.]])
    """
    fields = [obs] if weights is None else [obs, weights]
    lead = np.broadcast_shapes(ens.shape[:-3], *(field.shape[:-2] for field in fields))
    ens = np.broadcast_to(ens, lead + ens.shape[-3:])
    fields = [np.broadcast_to(field, lead + field.shape[-2:]) for field in fields]
    result = np.full((*lead, len(thresholds), len(sizes), 2), np.nan)
    for at in np.ndindex(*lead):
        plane = _Plane(ens[at], *(field[at] for field in fields))
        if skipna or plane.known.all():
            plane.errors(thresholds, sizes, edges, out=result[at])
    return result


def fractions_skill(errors: Floats) -> Floats:
    """Fractions skill score of averages of :func:`fraction_errors`, ``(..., 2) -> (...)``.

    Examples
    --------
    >>> fractions_skill(np.array([[0.1, 0.4], [0.0, 0.0]]))
    array([0.75,  nan])
    """
    return 1 - _ratio(errors[..., 0], errors[..., 1])


class _Plane:
    """The members ``(m, y, x)``, the truth and weights ``(y, x)`` of one field."""

    def __init__(self, ens: Floats, obs: Floats, weights: Floats | None = None) -> None:
        self.ens, self.obs, self.weights = ens, obs, weights
        self.known = _known(ens) & ~np.isnan(obs)

    def errors(
        self, thresholds: Sequence[float], sizes: Sequence[Size], edges: Edges, out: Floats
    ) -> None:
        """Write the sums of every threshold and window to `out`, ``(t, s, 2)``."""
        windows = [_Windows(self.known, size, edges) for size in sizes]
        tables = zip(
            _tables(self.ens, self.known, thresholds),
            _tables(self.obs[None], self.known, thresholds),
            strict=True,
        )
        for i, (forecast, truth) in enumerate(tables):
            for j, window in enumerate(windows):
                if not window.counted.any():
                    continue
                f, o = window.means(forecast, len(self.ens), 0.0), window.means(truth, 1, 0.0)
                out[i, j] = self.squared(f - o), self.squared(f) + self.squared(o)

    def squared(self, values: Floats) -> np.floating[Any]:
        """Sum of squares with the weights, per point of the field."""
        weighted = values if self.weights is None else values * self.weights
        return np.vdot(weighted, values) / values.size


class _Windows:
    """Windows of one size around every point of a field: which points of theirs count.

    A window of `n` points begins ``n // 2`` points before its centre: of an even number, one more
    lies before than behind. ``"whole"`` windows may be cut by the edge but hold nothing unknown.
    """

    def __init__(self, known: NDArray[np.bool_], size: Size, edges: Edges | str) -> None:
        self.bounds = tuple(_bounds(n, w) for n, w in zip(known.shape, size, strict=True))
        inside = np.multiply.outer(*(stop - start for start, stop in self.bounds))
        found = self.sums(_summed(known))
        full = size[0] * size[1]
        #: Points to divide by; those outside are dry where they are taken to be.
        self.points = found + (full - inside) if edges == "zero" else found
        #: The centres whose windows count.
        self.counted = known
        if edges == "inside":
            self.counted = found == full
        elif edges == "whole":
            self.counted = known & (found == inside)

    def sums(self, table: Floats) -> Floats:
        """Sum over every window, from a summed area table."""
        (top, bottom), (left, right) = self.bounds
        rows = table[bottom] - table[top]
        return rows[:, right] - rows[:, left]

    def means(self, table: Floats, members: int, other: float) -> Floats:
        """Mean share of the members in every window; `other` where it does not count."""
        result = np.full(self.counted.shape, other)
        counts = members * self.points
        return np.divide(self.sums(table), counts, out=result, where=self.counted)


def _bounds(n: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First point of every window along one side of `n` points, and the first behind it."""
    start = np.arange(n) - width // 2
    return np.clip(start, 0, n), np.clip(start + width, 0, n)


def _tables(
    members: Floats, known: NDArray[np.bool_], thresholds: Sequence[float]
) -> Iterator[Floats]:
    """Yield summed area tables of how many members ``(m, y, x)`` are at or above a threshold."""
    for threshold in thresholds:
        yield _summed(np.where(known, _count(members, threshold), 0))


def _summed(plane: NDArray[Any]) -> Floats:
    """Sum over all points above and to the left, ``(y, x) -> (y + 1, x + 1)``."""
    table = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    np.cumsum(plane, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table


def _count(members: Floats, threshold: float) -> NDArray[np.int64]:
    """Count the members at or above a threshold, ``(m, ...) -> (...)``, one at a time."""
    count = np.zeros(members.shape[1:], np.int64)
    for member in members:
        count += member >= threshold
    return count


def _known(members: Floats) -> NDArray[np.bool_]:
    """Tell where no member is missing, ``(m, ...) -> (...)``."""
    known = np.ones(members.shape[1:], bool)
    for member in members:
        known &= ~np.isnan(member)
    return known


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide, to NaN by zero."""
    unknown = np.full(np.shape(above), np.nan)
    return np.divide(above, below, out=unknown, where=below != 0)
