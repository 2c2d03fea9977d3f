"""Pair an ensemble with the truth, variable by variable, and average over the pair."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import MEMBER_NAMES
from xresdiff.verify import kernels
from xresdiff.verify.matching import at_points_of, in_units_of, named_as

__all__ = [
    "Data",
    "Dims",
    "Labelled",
    "Pair",
    "as_dataset",
    "by_variable",
    "find_member_dim",
]

Data: TypeAlias = xr.DataArray | xr.Dataset
Dims: TypeAlias = Hashable | Iterable[Hashable] | None
Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)


@dataclass(frozen=True)
class Pair:
    """Forecast and truth of one variable, matched, and how to average over them.

    Attributes
    ----------
    ens : xarray.DataArray, (member, ...)
        The members, in one chunk. A forecast without members is an ensemble of one.
    obs : xarray.DataArray, (...)
        The truth, in the units of `ens` and at its points; zero where none was given.
    member : Hashable
        Name of the dimension of the members.
    deterministic : bool
        Whether the forecast came without such a dimension.
    dims : tuple of Hashable
        Dimensions to average.
    weights : xarray.DataArray or None
        Weights of the average.
    skipna : bool
        Leave NaN out of the average.
    """

    ens: xr.DataArray
    obs: xr.DataArray
    member: Hashable
    deterministic: bool
    dims: tuple[Hashable, ...]
    weights: xr.DataArray | None
    skipna: bool

    @property
    def members(self) -> int:
        """Number of members."""
        return self.ens.sizes[self.member]

    @cached_property
    def mean(self) -> xr.DataArray:
        """Mean of the members."""
        return self.apply(kernels.mean)

    @cached_property
    def variance(self) -> xr.DataArray:
        """Variance of the members, unbiased; NaN where the truth is."""
        return self.apply(kernels.variance).where(self.obs.notnull())

    @property
    def error(self) -> xr.DataArray:
        """Mean of the members minus the truth."""
        return self.mean - self.obs

    def apply(
        self,
        kernel: Callable[..., Any],
        *fields: Any,
        new_dims: Mapping[str, int] | None = None,
        **options: Any,
    ) -> xr.DataArray:
        """Apply a kernel ``(..., m), (...) -> (..., *new_dims)``, lazily if the data are lazy."""
        sizes = dict(new_dims or {})
        return xr.apply_ufunc(
            kernel,
            self.ens,
            *fields,
            kwargs=options,
            input_core_dims=[[self.member], *([] for _ in fields)],
            output_core_dims=[list(sizes)],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": sizes},
            keep_attrs=True,  # of the coordinates; those of the data are set at the end
        )

    def average(self, values: xr.DataArray) -> xr.DataArray:
        """Average over `dims`, with the weights."""
        if not self.dims:
            return values
        weighted = values if self.weights is None else values.weighted(self.weights)
        return weighted.mean(self.dims, skipna=self.skipna)

    def require_two_members(self, what: str, remedy: str) -> None:
        """Refuse an ensemble that has no spread."""
        if self.members < 2:
            raise InputError(f"{what} needs two members or more, found {self.members}: {remedy}")


def by_variable(
    score: Callable[[Pair], xr.DataArray],
    title: str,
    ens: Labelled,
    obs: Data | None,
    member_dim: Hashable | None,
    dim: Dims,
    weights: xr.DataArray | None,
    skipna: bool,
    units: str | None = None,
) -> Labelled:
    """Score every variable of an ensemble against the variable of the same name.

    Parameters
    ----------
    score : callable, ``(Pair) -> xarray.DataArray``
        Scores one variable.
    title : str
        What the score is called, to begin the `long_name` of the result with.
    ens, obs : xarray.DataArray or xarray.Dataset
        Forecast and truth; `obs` may be None for scores that need no truth. Of a Dataset those
        numeric variables count that have the dimension of members and a truth.
    member_dim, dim, weights, skipna
        As for :func:`xresdiff.verify.scores.crps`.
    units : str, optional
        Units of the score; those of the variable by default.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `ens`, named as its variables, with `long_name` and `units`.

    Raises
    ------
    InputError
        If there is nothing to compare, or what there is does not match.
    """
    member = find_member_dim(ens, member_dim)
    dims = _as_tuple(dim)
    table = as_dataset(ens)
    results = {}
    for name, truth in _truths(table, obs, member).items():
        result = score(_pair(table[name], truth, member, dims, weights, skipna))
        result.attrs = _attrs(table[name], title, units)
        results[name] = result
    if isinstance(ens, xr.DataArray):
        (result,) = results.values()
        return result.rename(ens.name)
    return xr.Dataset(results)


def as_dataset(data: Data, name: Hashable = None) -> xr.Dataset:
    """Make a DataArray the only variable of a Dataset, called `name`, else as it is."""
    if isinstance(data, xr.Dataset):
        return data
    own = "field" if data.name is None else data.name
    return data.to_dataset(name=own if name is None else name)


def _pair(
    ens: xr.DataArray,
    obs: xr.DataArray | None,
    member: Hashable | None,
    dims: tuple[Hashable, ...] | None,
    weights: xr.DataArray | None,
    skipna: bool,
) -> Pair:
    """Match one variable with its truth."""
    deterministic = member is None
    obs = None if obs is None else named_as(ens, obs)
    if member is None:
        if obs is None or not set(ens.dims) <= set(obs.dims):
            raise InputError(_no_members(ens, "dimension of members"))
        member, ens = "member", ens.expand_dims("member")
    elif obs is not None and member in obs.dims:
        raise InputError(
            f"obs has the dimension of members {member!r} too. Select one: obs.isel({member}=0)"
        )
    there = tuple(d for d in ens.dims if d != member)
    dims = there if dims is None else dims
    if not set(dims) <= set(there):
        raise InputError(
            f"cannot average over {dims}: there is {there}. "
            f"Name some of these, dim={there!r}, or none, dim=()"
        )
    if ens.chunks is not None:
        ens = ens.chunk({member: -1})
    obs = xr.DataArray(0.0) if obs is None else at_points_of(ens, in_units_of(ens, obs), "obs")
    if weights is not None:
        weights = at_points_of(ens, named_as(ens, weights), "weights")
    return Pair(ens, obs, member, deterministic, dims, weights, skipna)


def _as_tuple(dim: Dims) -> tuple[Hashable, ...] | None:
    if dim is None:
        return None
    return tuple(dim) if isinstance(dim, Iterable) and not isinstance(dim, str) else (dim,)


def find_member_dim(obj: Data, member_dim: Hashable | None = None) -> Hashable | None:
    """Name the dimension of the members: as told, else by `standard_name`, else by habit.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        An ensemble, or a forecast without members.
    member_dim : Hashable, optional
        The name, if it is known; it must be there.

    Returns
    -------
    Hashable or None
        The dimension whose coordinate has the standard name `realization`, else the first of
        `MEMBER_NAMES` that there is, else None.

    Raises
    ------
    InputError
        If `member_dim` is no dimension of `obj`, or several have that standard name.

    Examples
    --------
    >>> find_member_dim(xr.DataArray([[1.0, 2.0]], dims=("x", "number")))
    'number'
    """
    labelled = [d for d in obj.dims if obj[d].attrs.get("standard_name") == "realization"]
    if member_dim is not None:
        if member_dim not in obj.dims:
            raise InputError(_no_members(obj, f"dimension {member_dim!r}"))
        return member_dim
    if len(labelled) > 1:
        raise InputError(
            f"the ensemble has several dimensions of members, {labelled}. "
            f"Say which one to score: member_dim={labelled[0]!r}"
        )
    return next((name for name in (*labelled, *MEMBER_NAMES) if name in obj.dims), None)


def _no_members(obj: Data, what: str) -> str:
    name = next((n for n in (*MEMBER_NAMES, *obj.dims) if n in obj.dims), "member")
    return (
        f"the ensemble has no {what}; it has {tuple(obj.dims)}. "
        f"Name its member dimension: member_dim={name!r}"
    )


def _truths(
    ens: xr.Dataset, obs: Data | None, member: Hashable | None
) -> dict[Hashable, xr.DataArray | None]:
    """Name the variables to score, each with its truth."""
    names = [
        name
        for name, variable in ens.data_vars.items()
        if variable.dtype.kind in "fiub" and (member is None or member in variable.dims)
    ]
    if obs is None and names:
        return dict.fromkeys(names)
    obs = xr.Dataset() if obs is None else as_dataset(obs, names[0] if len(names) == 1 else None)
    shared = [name for name in names if name in obs.data_vars]
    if not shared:
        raise InputError(
            f"no variable to score: the ensemble has {names}, obs has {list(obs.data_vars)}. "
            "Give obs the name of its counterpart: obs.rename({'found': 'wanted'})"
        )
    return {name: obs[name] for name in shared}


def label(da: xr.DataArray) -> str:
    """Call a variable by its `long_name`, else its `standard_name`, else its name."""
    own = "values" if da.name is None else str(da.name)
    return str(da.attrs.get("long_name") or da.attrs.get("standard_name") or own)


def _attrs(ens: xr.DataArray, title: str, units: str | None) -> dict[str, str]:
    """Name a score after its variable, in the units of the variable unless others are given."""
    units = ens.attrs.get("units") if units is None else units
    return {"long_name": f"{title} of {label(ens)}"} | ({} if units is None else {"units": units})
