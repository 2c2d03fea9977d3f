"""Pair an ensemble with the truth, variable by variable, and average over the pair."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids.coords import MEMBER_NAMES
from xresdiff.verify import kernels
from xresdiff.verify.arguments import check_fields, check_weights, counterpart, dims_of
from xresdiff.verify.matching import (
    as_difference,
    at_points_of,
    chunked_as,
    in_units_of,
    named_as,
)
from xresdiff.verify.pieces import cut, piece_sizes
from xresdiff.verify.stations import at_places_of
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = [
    "Data",
    "Dims",
    "Labelled",
    "Pair",
    "as_dataset",
    "by_variable",
    "find_member_dim",
]


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

    def statistics(self, *names: str) -> xr.DataArray:
        """Give what :func:`xresdiff.verify.kernels.statistics` knows, along ``part``."""
        origin = self.origin if "product" in names else xr.DataArray(0.0)
        sizes = {"part": len(names)}
        return self.apply(kernels.statistics, self.obs, origin, new_dims=sizes, names=names)

    @property
    def origin(self) -> xr.DataArray:
        """A value of about the size of the truth, from which products lose no digits."""
        dims = [d for d in self.obs.dims if d in self.dims]
        few = {d: slice(None, None, max(self.obs.sizes[d] // 4, 1)) for d in dims}
        return self.obs.isel(few).mean(dims, dtype=np.float64).fillna(0.0)

    def clipped(self, above: float | None, below: float | None) -> "Pair":
        """Make all values under `above` equal, and all over `below`."""
        if above is None and below is None:
            return self
        # both in one precision, so that equal stays equal; what is missing stays missing
        dtype = np.result_type(self.ens.dtype, self.obs.dtype, np.float32)
        ens, obs = (field.astype(dtype).clip(above, below) for field in (self.ens, self.obs))
        return replace(self, ens=ens, obs=obs)

    @property
    def lazy(self) -> bool:
        """Whether anything is computed later only."""
        fields = (self.ens, self.obs, self.weights)
        return any(field is not None and field.chunks is not None for field in fields)

    def in_pieces(self, whole: Collection[Hashable] = ()) -> "Pair":
        """Cut large data in memory into chunks, `whole` along some dimensions."""
        sizes = None if self.lazy else piece_sizes(self.ens, self.member, whole)
        if sizes is None:
            return self
        return replace(self, ens=cut(self.ens, sizes), obs=cut(self.obs, sizes))

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

    def require_two_members(self, what: str, remedy: str) -> None:
        """Refuse an ensemble that has no spread."""
        if self.members < 2:
            raise InputError(f"{what} needs two members or more, found {self.members}: {remedy}")


def by_variable(
    score: Callable[..., xr.DataArray],
    title: str,
    ens: Labelled,
    obs: Data | None,
    member_dim: Hashable | None,
    dim: Dims,
    weights: xr.DataArray | None,
    skipna: bool,
    units: str | None = None,
    references: Sequence[Data] = (),
    without: str = "",
) -> Labelled:
    """Score every variable of an ensemble against the variable of the same name.

    Parameters
    ----------
    score : callable, ``(Pair) -> xarray.DataArray``
        Scores one variable; with `references`, ``(Pair, Pair, ...)``.
    title : str
        What the score is called, to begin the `long_name` of the result with.
    ens, obs : xarray.DataArray or xarray.Dataset
        Forecast and truth; `obs` may be None for scores that need no truth. Of a Dataset those
        numeric variables count that have the dimension of members and a truth.
    member_dim, dim, weights, skipna
        As for :func:`xresdiff.verify.scores.crps`.
    units : str, optional
        Units of the score; those of the variable by default.
    references : sequence of xarray.DataArray or xarray.Dataset, optional
        Other forecasts of the same variables, whose pairs with the truth go to `score` too.
    without : str, optional
        What of the result has no dimension, if not all has that of the variable. Then the
        `long_name` tells the units, and there are no `units` that would be wrong for some.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As `ens`, named as its variables, with `long_name` and `units`.

    Raises
    ------
    InputError
        If there is nothing to compare, or what there is does not match.
    """
    check_fields(ens, obs=obs, weights=weights, references=references)
    member = find_member_dim(ens, member_dim, obs)
    table = as_dataset(ens)
    truths = _truths(table, obs, member)
    dims = dims_of([table[name] for name in truths], member, dim)
    results = {}
    for name, truth in truths.items():
        own = None if dims is None else tuple(d for d in dims if d in table[name].dims)
        pair = _pair(table[name], truth, member, own, weights, skipna)
        others = [counterpart(one, name, len(truths)) for one in references]
        result = score(pair, *(_reference_pair(other, pair, truth) for other in others))
        result.attrs = _attrs(table[name], title, units, without)
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
    if obs is not None:
        ens, obs = at_places_of(ens, obs)
        obs = named_as(ens, obs)
    if member is None:
        if obs is None or not set(ens.dims) <= set(obs.dims):
            raise InputError(no_members(ens, "dimension of members", obs))
        member, ens = "member", ens.expand_dims("member")
    elif obs is not None and member in obs.dims:
        raise InputError(
            f"obs has the dimension of members {member!r} too. Select one: obs.isel({member}=0)"
        )
    dims = tuple(d for d in ens.dims if d != member) if dims is None else dims
    if ens.chunks is not None:
        ens = ens.chunk({member: -1})
    obs = xr.DataArray(0.0) if obs is None else at_points_of(ens, in_units_of(ens, obs), "obs")
    if weights is not None:
        weights = at_points_of(ens, check_weights(named_as(ens, weights), member), "weights")
    obs, weights = (chunked_as(ens, field) for field in (obs, weights))
    return Pair(ens, obs, member, deterministic, dims, weights, skipna)


def _reference_pair(reference: xr.DataArray, pair: Pair, truth: xr.DataArray | None) -> Pair:
    """Match a reference with the ensemble; dimensions that it lacks repeat it, as a climatology."""
    member = pair.member if pair.member in reference.dims else find_member_dim(reference)
    if truth is not None:
        reference, _ = at_places_of(reference, truth)
    own = in_units_of(pair.ens, named_as(pair.ens, reference), "reference")
    grid = pair.ens.isel({pair.member: 0}, drop=True)
    if member is not None:
        grid = grid.drop_vars([member], errors="ignore").expand_dims({member: own.sizes[member]})
    own = at_points_of(grid, own, "reference")
    own = own.expand_dims({d: grid.sizes[d] for d in grid.dims if d not in own.dims})
    if member is None:
        own = own.expand_dims("member")
    elif own.chunks is not None:
        own = own.chunk({member: -1})
    own = chunked_as(pair.ens, own.assign_coords(grid.coords))
    deterministic, member = member is None, "member" if member is None else member
    return replace(pair, ens=own, member=member, deterministic=deterministic)


def find_member_dim(
    obj: Data, member_dim: Hashable | None = None, obs: Data | None = None
) -> Hashable | None:
    """Name the dimension of the members: as told, else by `standard_name`, else by habit.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        An ensemble, or a forecast without members.
    member_dim : Hashable, optional
        The name, if it is known; it must be there.
    obs : xarray.DataArray or xarray.Dataset, optional
        The truth, whose dimensions are none of members: for what the error says.

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
            raise InputError(no_members(obj, f"dimension {member_dim!r}", obs))
        return member_dim
    if len(labelled) > 1:
        raise InputError(
            f"the ensemble has several dimensions of members, {labelled}. "
            f"Say which one to score: member_dim={labelled[0]!r}"
        )
    return next((name for name in (*labelled, *MEMBER_NAMES) if name in obj.dims), None)


def no_members(obj: Data, what: str, obs: Data | None = None) -> str:
    """Say that the dimension of members is not there, and which one it might be."""
    own = [d for d in obj.dims if obs is None or d not in obs.dims]
    name = next((n for n in (*MEMBER_NAMES, *own) if n in obj.dims), "member")
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


def _attrs(ens: xr.DataArray, title: str, units: str | None, without: str) -> dict[str, str]:
    """Name a score after its variable, in the units of the variable unless others are given."""
    name = f"{title} of {label(ens)}"
    own = ens.attrs.get("units") if units is None else units
    if own is None:
        return {"long_name": name}
    if without and own != "1":
        return {"long_name": f"{name} ({own}; {without}: 1)"}
    return {"long_name": name, "units": own} | (as_difference(ens) if units is None else {})
