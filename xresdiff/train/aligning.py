"""Which field of one Dataset goes with which of another: by the labels of every dimension."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xarray as xr
from numpy.typing import NDArray

from xresdiff.engine.moments import time_of_fields
from xresdiff.errors import InputError, warn
from xresdiff.grids.coords import find_coordinate
from xresdiff.grids.units.steps import hours_of_unit
from xresdiff.train.indexes import common, comparable, is_time, known, values, written

__all__ = ["Match", "align"]

Loop = tuple[Hashable, ...]


@dataclass(frozen=True)
class Match:
    """Which fields of two Datasets belong together.

    Parameters
    ----------
    dims : tuple of Hashable
        The dimensions that both run along, those of time first.
    coarse, target : dict of numpy.ndarray
        Places along each of them; pairs are all combinations, in the order of `dims`.
    labels : dict of numpy.ndarray, (n,)
        Of every pair, for the dimensions that have any.
    dropped : tuple of int
        Fields of the two that have no partner.
    """

    dims: Loop
    coarse: dict[Hashable, NDArray[np.int64]]
    target: dict[Hashable, NDArray[np.int64]]
    labels: dict[Hashable, NDArray[Any]]
    dropped: tuple[int, int]

    @property
    def n(self) -> int:
        """Number of pairs."""
        return prod(len(places) for places in self.coarse.values())


def align(
    coarse: xr.Dataset, target: xr.Dataset, loop: Loop, other: Loop
) -> tuple[Match | None, list[str]]:
    """Pair fields by their common labels, or by their places where there are no labels.

    Forecasts of a single lead time are paired by the time that they are for, ``valid_time``, not
    by that of their start.

    Parameters
    ----------
    coarse, target : xarray.Dataset
        Whose fields they are.
    loop, other : tuple of Hashable
        All dimensions that fields of `coarse` and of `target` run along, but y and x.

    Returns
    -------
    tuple
        What belongs together, None if there are problems; the problems. Pairs rise along every
        dimension whose labels have an order.

    Warns
    -----
    UserWarning
        If only one of the Datasets has labels along a dimension.

    Examples
    --------
    >>> coarse = xr.Dataset(coords={"step": [0, 6, 12]})
    >>> target = xr.Dataset(coords={"step": [12, 0]})
    >>> match, _ = align(coarse, target, ("step",), ("step",))
    >>> match.coarse["step"].tolist(), match.target["step"].tolist(), match.dropped
    ([0, 2], [1, 0], (1, 0))
    """
    problems = [
        *_dim_problems(coarse, target, loop, other),
        *_scalar_problems(coarse, target),
        *_start_problems(coarse, target),
    ]
    places: dict[Hashable, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
    labels: dict[Hashable, NDArray[Any]] = {}
    shared = [dim for dim in loop if dim in other]
    timed = []
    for dim in shared:
        first, second = _index(coarse, dim), _index(target, dim)
        if first is None or second is None:
            problems += _size_problems(coarse, target, dim, first, second)
            _warn_of_places(dim, first, second)
            every = np.arange(coarse.sizes[dim])
            places[dim] = every, every
            continue
        told = _label_problems(first, second, dim)
        if not told:
            places[dim] = common(first, second)
            told = _overlap_problems(first, second, dim) if not len(places[dim][0]) else []
        problems += told
        if is_time(first):
            timed.append(dim)
        if not told:
            labels[dim] = values(first)[places[dim][0]]
    if problems:
        return None, problems
    dims = (*timed, *(dim for dim in shared if dim not in timed))
    return _match(coarse, target, dims, places, labels), []


def _match(
    coarse: xr.Dataset,
    target: xr.Dataset,
    dims: Loop,
    places: dict[Hashable, tuple[NDArray[np.int64], NDArray[np.int64]]],
    labels: dict[Hashable, NDArray[Any]],
) -> Match:
    """Combine what was found along each dimension."""
    shape = tuple(len(places[dim][0]) for dim in dims)
    n = prod(shape)
    every = dict(zip(dims, np.unravel_index(np.arange(n), shape), strict=True)) if dims else {}
    return Match(
        dims,
        {dim: places[dim][0] for dim in dims},
        {dim: places[dim][1] for dim in dims},
        {dim: own[every[dim]] for dim, own in labels.items()},
        (prod(coarse.sizes[dim] for dim in dims) - n, prod(target.sizes[dim] for dim in dims) - n),
    )


def _index(ds: xr.Dataset, dim: Hashable) -> pd.Index | None:
    """Return the labels of a dimension: the time of its fields where they have one."""
    own = ds.indexes.get(dim)
    if own is not None and not is_time(own):
        return own
    try:
        name = time_of_fields(ds)
    except InputError:
        return own
    if name is None or name == dim or ds[name].dims != (dim,):
        return own
    return ds[name].compute().to_index()


def _dim_problems(coarse: xr.Dataset, target: xr.Dataset, loop: Loop, other: Loop) -> Iterator[str]:
    """Say which dimensions only one of the Datasets has."""
    lone, alone = ([d for d in a if d not in b] for a, b in ((loop, other), (other, loop)))
    if len(lone) == len(alone) == 1:
        yield (
            f"coarse runs along {lone[0]!r} and the target along {alone[0]!r}; give them one name: "
            f"target.rename({{{alone[0]!r}: {lone[0]!r}}})"
        )
        return
    for dim in lone:
        yield _lone_problem(dim, coarse, target, "coarse", "target")
    for dim in alone:
        yield _lone_problem(dim, target, coarse, "target", "coarse")


def _scalar_problems(coarse: xr.Dataset, target: xr.Dataset) -> Iterator[str]:
    """Say that single fields are of different times."""
    times = []
    for ds in (coarse, target):
        try:
            name = time_of_fields(ds)
        except InputError:
            return
        if name is None or ds[name].ndim or ds[name].dtype.kind not in "MO":
            return
        times.append((name, ds[name].expand_dims("one").to_index()))
    (name, first), (_, second) = times
    if not len(common(first, second)[0]):
        yield (
            f"coarse is of the {name} {first[0]}, the target of {second[0]}; take fields of one "
            f"time, or if they do belong together: target.assign_coords({{{name!r}: "
            f"coarse[{name!r}]}})"
        )


def _start_problems(coarse: xr.Dataset, target: xr.Dataset) -> Iterator[str]:
    """Say that it is not known whether times are the start of forecasts of one lead time."""
    both = {"coarse": _lead(coarse), "target": _lead(target)}
    if both["coarse"] == both["target"]:
        return
    for name, told in both.items():
        if told is None or not told[2]:
            continue
        time, lead, hours = told
        new = f"{name}.assign_coords(valid_time={name}[{time!r}]"
        yield (
            f"{name} has {time!r} and one {lead!r}, {hours:g} h, but no valid_time, so that it is "
            f"not known which time its fields are of. If {time!r} is the start of the forecast: "
            f"{new} + {name}[{lead!r}]); if not: {new})"
        )


def _lead(ds: xr.Dataset) -> tuple[Hashable, Hashable, float] | None:
    """Return names of a time that may be a start and of a single lead time, and its hours."""
    try:
        time, lead = time_of_fields(ds), find_coordinate(ds, "lead_time")
    except InputError:
        return None
    if time is None or lead is None or ds[lead].ndim or not ds[time].ndim:
        return None
    if str(time).lower() == "valid_time" or "valid_time" in ds.coords:
        return None
    value = ds[lead].values
    if value.dtype.kind == "m":
        return time, lead, float(value / np.timedelta64(1, "s")) / 3600
    unit = hours_of_unit(ds[lead])
    return None if unit is None else (time, lead, float(value) * unit)


def _warn_of_places(dim: Hashable, first: pd.Index | None, second: pd.Index | None) -> None:
    """Warn of fields that are paired by their places as one side has no labels."""
    if (first is None) == (second is None):
        return
    lacks, has = ("coarse", "target") if first is None else ("target", "coarse")
    warn(
        f"{lacks} has no labels along {dim!r}, so its fields are paired with those of {has} by "
        f"their places, the first with the first; if that is right, say it: "
        f"{lacks}.assign_coords({{{dim!r}: {has}[{dim!r}]}})"
    )


def _lone_problem(dim: Hashable, ds: xr.Dataset, other: xr.Dataset, name: str, lacks: str) -> str:
    size = ds.sizes[dim]
    told = f"{name} runs along {dim!r}, of {size}, and {lacks} does not"
    valid = _valid_of(ds, dim)
    if valid is not None and size > 1:
        time, start = valid
        line = f"{lacks}.sel({{{start!r}: {name}[{time!r}]}})"
        return (
            f"{told}. Take one, {name}.isel({{{dim!r}: 0}}), which is paired by its {time!r}, or "
            f"pair all of them with the fields of their {time!r}: "
            f"{line}.assign_coords({{{start!r}: {name}[{start!r}]}})"
        )
    if dim in other.coords and not other[dim].ndim:
        return f"{told}: {lacks}.expand_dims({dim!r})"
    if size == 1:
        return f"{told}: {name}.squeeze({dim!r})"
    new = f"{{{dim!r}: {f'{name}[{dim!r}]' if dim in ds.coords else size}}}"
    return (
        f"{told}. Take one, {name}.isel({{{dim!r}: 0}}), or pair all of them with the same fields: "
        f"{lacks}.expand_dims({new})"
    )


def _valid_of(ds: xr.Dataset, dim: Hashable) -> tuple[Hashable, Hashable] | None:
    """Return the time of forecasts along start and lead time, and the dimension of the starts."""
    try:
        name = time_of_fields(ds)
    except InputError:
        return None
    if name is None or ds[name].ndim != 2 or dim not in ds[name].dims:
        return None
    (start,) = (one for one in ds[name].dims if one != dim)
    timed = start in ds.indexes and is_time(ds.indexes[start])
    return (name, start) if timed else None


def _size_problems(
    coarse: xr.Dataset,
    target: xr.Dataset,
    dim: Hashable,
    first: pd.Index | None,
    second: pd.Index | None,
) -> Iterator[str]:
    """Say that fields cannot be paired by their places."""
    if coarse.sizes[dim] == target.sizes[dim]:
        return
    lacking = [name for name, one in (("coarse", first), ("target", second)) if one is None]
    lines = ", ".join(f"{name}.assign_coords({{{dim!r}: ...}})" for name in lacking)
    yield (
        f"{coarse.sizes[dim]} coarse fields and {target.sizes[dim]} of the target along {dim!r} "
        f"cannot be paired without labels: {lines}"
    )


def _label_problems(first: pd.Index, second: pd.Index, dim: Hashable) -> list[str]:
    """Say what keeps labels from being compared: zones of time, and those there more than once."""
    both = (("coarse", first), ("target", second))
    told = [
        f"the {dim} of {name} is in the time zone {index.tz}, and times are in UTC without one: "
        f"{name}.assign_coords({{{dim!r}: {name}.indexes[{dim!r}].tz_convert(None)}})"
        for name, index in both
        if isinstance(index, pd.DatetimeIndex) and index.tz is not None
    ]
    if told:
        return told
    rounded = comparable(first, second)
    for (name, index), same in zip(both, rounded, strict=True):
        there = known(same)
        twice = there[same[there].duplicated()]
        if not len(twice):
            continue
        at = index[twice[0]]
        if not index.is_unique:
            line = f"{name}.drop_duplicates({dim!r})"
            told.append(f"{name} has the {dim} {at} more than once: {line}")
        else:
            line = f"{name}.assign_coords({{{dim!r}: {name}.indexes[{dim!r}].round('s')}})"
            told.append(
                f"{name} has more than one {dim} in the second of {at}, and files round times to "
                f"seconds: {line}.drop_duplicates({dim!r})"
            )
    return told


def _overlap_problems(first: pd.Index, second: pd.Index, dim: Hashable) -> list[str]:
    """Say that there is no common label, between which both run, and what may help."""
    told = (
        f"no {dim} is in both: coarse runs from {_span(first)}, the target from {_span(second)}. "
    )
    if not (is_time(first) and is_time(second)):
        return [f"{told}Give both the same labels: target.assign_coords({{{dim!r}: ...}})"]
    calendars = [getattr(index, "calendar", "standard") for index in (first, second)]
    a, b = (written(index).dropna() for index in (first, second))
    if len(a) and len(b) and a.min() <= b.max() and b.min() <= a.max():
        line = f"target.resample({{{dim!r}: '1D'}}).mean() and the same of coarse"
        return [f"{told}Bring both to the same times, such as {line}"]
    if calendars[0] != calendars[1]:
        line = f"coarse.convert_calendar({calendars[1]!r}, dim={dim!r})"
        return [f"{told}Their calendars are {calendars[0]!r} and {calendars[1]!r}: {line}"]
    return [f"{told}Give fields of the same times"]


def _span(index: pd.Index) -> str:
    try:
        return f"{index.min()} to {index.max()}"
    except TypeError:  # of labels without an order
        return f"{index[0]} to {index[-1]}"
