"""Scores as functions of averages: what is averaged, over what, and how sure the result is.

Every score here is made of parts that are known at every point (errors, their squares, hits), of
which averages are taken, and of a formula of these averages. So all of them take weights, leave
out what is missing, are compared with a reference, and get an interval in one and the same way.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import find_coordinate
from xresdiff.verify import kernels
from xresdiff.verify.pairs import Pair, by_variable
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = ["Measure", "Totals", "check_level", "evaluate", "first", "measure", "time_of", "totals"]

Totals: TypeAlias = tuple[xr.DataArray, xr.DataArray]

VALUES = ("score", "reference", "skill")
BOUNDS = ("estimate", "lower", "upper")

FEWEST_TIMES = 5


@dataclass(frozen=True)
class Measure:
    """A score as a function of averages.

    Attributes
    ----------
    title : str
        What it is called, to begin the `long_name` of the result with.
    points : callable, ``(Pair) -> xarray.DataArray, (..., part)``
        What is averaged, at every point; NaN where it is not known.
    finish : callable, numpy ``(..., part) -> (...)``
        The score of these averages; ``(..., score)`` where `scores` names several.
    units : str, optional
        Units of the score; those of the data by default.
    scores : tuple of str, optional
        Names of several scores, along the dimension `score` of the result.
    whole : tuple of Hashable
        Dimensions along which `points` needs all of the data at once.
    truth : bool
        Whether it needs to know what happened.
    """

    title: str
    points: Callable[[Pair], xr.DataArray]
    finish: kernels.Finish
    units: str | None = None
    scores: tuple[str, ...] | None = None
    whole: tuple[Hashable, ...] = ()
    truth: bool = True

    def as_several(self, averages: Any) -> Any:
        """Finish, ``(..., part) -> (..., score)``."""
        done = self.finish(averages)
        return done[..., None] if self.scores is None else done


def measure(
    what: Measure,
    ens: Labelled,
    obs: Data | None,
    *,
    dim: Dims = None,
    member_dim: Hashable | None = None,
    weights: xr.DataArray | None = None,
    skipna: bool = True,
    reference: Data | None = None,
    ci: float | None = None,
) -> Labelled:
    """Score every variable of an ensemble, and of a reference beside it.

    Parameters
    ----------
    what : Measure
        The score.
    ens, obs, dim, member_dim, weights, skipna, reference, ci
        As for :func:`xresdiff.verify.scores.crps`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `ens`; with `reference` along `value`, with `ci` along `bound`.

    Raises
    ------
    InputError
        As :func:`xresdiff.verify.scores.crps`.
    """
    check_level(ci)

    def score(*pairs: Pair) -> xr.DataArray:
        time = None if ci is None else time_of(pairs[0])
        return evaluate(what, totals(what, pairs, time), time, ci)

    if obs is None and what.truth:
        raise InputError(f"{what.title} needs the truth: f(ens, obs)")
    references, without = ([], "") if reference is None else ([reference], "skill")
    return by_variable(
        score,
        what.title,
        ens,
        obs,
        member_dim,
        dim,
        weights,
        skipna,
        what.units,
        references,
        without,
    )


def totals(what: Measure, pairs: Sequence[Pair], time: Hashable | None = None) -> list[Totals]:
    """Sum the parts of a score and their weights over the dimensions to average but `time`.

    Several forecasts are scored at the points that all of them have. Large data in memory are
    worked on in pieces, by all cores.
    """
    import dask

    pieces = [pair.in_pieces(what.whole) for pair in pairs]
    points = [what.points(pair) for pair in pieces]
    if len(points) > 1 and pairs[0].skipna:
        shared = reduce(and_, (values.isel(part=0).notnull() for values in points))
        points = [values.where(shared) for values in points]
    summed = [_sums(pair, values, time) for pair, values in zip(pieces, points, strict=True)]
    if not any(pair.lazy for pair in pairs):
        (summed,) = dask.compute(summed, scheduler="threads")
    return list(summed)


def _sums(pair: Pair, points: xr.DataArray, time: Hashable | None) -> Totals:
    """Sum the values and the weights of those that are known."""
    dims = [d for d in pair.dims if d != time]
    known = points.notnull() if pair.skipna else xr.ones_like(points, dtype=bool)
    weights = known if pair.weights is None else known * pair.weights
    values = points if pair.weights is None else points * pair.weights
    return values.sum(dims, skipna=pair.skipna), weights.sum(dims).astype(np.float64)


def evaluate(
    what: Measure, summed: list[Totals], time: Hashable | None = None, ci: float | None = None
) -> xr.DataArray:
    """Make scores of the totals of one forecast, or of two: the second is the reference."""
    flat = [_whole(total, time) for both in summed for total in both]
    core = ["part"] if time is None else [time, "part"]
    own = ["score", "value"] if time is None else ["score", "value", "bound"]
    sizes = {"score": len(what.scores or ("",)), "value": 3 if len(summed) == 2 else 1, "bound": 3}
    result = xr.apply_ufunc(
        kernels.finished if time is None else kernels.intervals,
        *flat,
        kwargs={"finish": what.as_several} | ({} if time is None else {"level": ci}),
        input_core_dims=[core] * len(flat),
        output_core_dims=[own],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {name: sizes[name] for name in own}},
        keep_attrs=True,  # of the coordinates
    )
    result = result.assign_coords(score=list(what.scores)) if what.scores else result.isel(score=0)
    if time is not None:
        result = result.assign_coords(bound=list(BOUNDS))
    if len(summed) == 1:
        return result.isel(value=0)
    return result.assign_coords(value=list(VALUES))


def _whole(total: xr.DataArray, time: Hashable | None) -> xr.DataArray:
    """Put the times in order, and them and the parts in one chunk."""
    if time is not None and time in total.coords:
        total = total.sortby(time)
    if total.chunks is None:
        return total
    return total.chunk({d: -1 for d in ("part", time) if d in total.dims})


def first(averages: Any) -> Any:
    """Finish a score that is an average: ``(..., part) -> (...)``."""
    return averages[..., 0]


def check_level(ci: float | None) -> None:
    """Refuse a level of confidence that is none."""
    if ci is not None and not 0 < ci < 1:
        raise InputError(f"ci is a share between 0 and 1, such as ci=0.95, not {ci}")


def time_of(pair: Pair) -> Hashable:
    """Name the dimension of time to draw from.

    Raises
    ------
    InputError
        If there is none among those to average, or too few times.
    """
    known = (find_coordinate(pair.ens, role) for role in ("time", "reference_time"))
    time = next((name for name in (*known, "time") if name in pair.dims), None)
    if time is None:
        raise InputError(
            f"an interval needs times to draw from, among the dimensions to average {pair.dims}: "
            "score several times, with dim=None, or leave ci out"
        )
    count = pair.ens.sizes[time]
    if count < FEWEST_TIMES:
        raise InputError(f"an interval needs {FEWEST_TIMES} times or more, found {count}: no ci")
    return time
