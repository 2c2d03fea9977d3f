"""Check what scores are given, before anything is compared."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import xarray as xr

from xresdiff.errors import InputError
from xresdiff.verify.types import Data, Dims

__all__ = ["check_fields", "check_weights", "counterpart", "dims_of", "listed", "with_dims"]


def check_fields(ens: Data, *, obs: Any, weights: Any, references: Sequence[Any]) -> None:
    """Refuse what is not labelled.

    Raises
    ------
    InputError
        If something is neither a DataArray nor a Dataset.
    """
    for name, field in (("obs", obs), *(("reference", one) for one in references)):
        if isinstance(field, Mapping) and not isinstance(field, xr.Dataset):
            raise InputError(
                "a score takes one reference, the table several. Give one of yours, "
                f"reference=reference[{next(iter(field), 'name')!r}], or ask for the table: "
                "ens.resdiff.scores(obs, reference=reference)"
            )
        if field is not None and not isinstance(field, xr.DataArray | xr.Dataset):
            raise InputError(
                f"{name} is a {type(field).__name__}, of which nobody knows the points. Give a "
                f"DataArray: xarray.DataArray({name}, coords={{...}}, dims=(...))"
            )
    if weights is not None and not isinstance(weights, xr.DataArray):
        shape = getattr(weights, "shape", ())
        fits = [d for d, n in ens.sizes.items() if shape == (n,)]
        dims = f"{fits[0]!r}" if len(fits) == 1 else "(...)"
        raise InputError(
            f"weights are a {type(weights).__name__}; give a DataArray, such as "
            f"xresdiff.cell_area(ens), or name what they are along: "
            f"xarray.DataArray(weights, dims={dims})"
        )


def check_weights(weights: xr.DataArray, member: Hashable) -> xr.DataArray:
    """Return weights in float64; those in memory are looked at.

    Raises
    ------
    InputError
        If some are missing or negative, or if they are of members.
    """
    if member in weights.dims:
        raise InputError(
            f"members count equally, the weights are along {member!r}, too. Average over it: "
            f"weights.mean({member!r})"
        )
    if weights.chunks is None and not bool((weights >= 0).all()):
        raise InputError(
            "weights are missing or negative at some points; leave these points out: "
            "weights.fillna(0).clip(min=0)"
        )
    return weights.astype("float64").fillna(0.0)


def dims_of(
    fields: Sequence[xr.DataArray], member: Hashable | None, dim: Dims
) -> tuple[Hashable, ...] | None:
    """Name the dimensions to average, each of which some variable must have; None for all.

    Raises
    ------
    InputError
        If no variable has one.
    """
    if dim is None or dim is ...:
        return None
    dims = listed(dim)
    there = tuple(dict.fromkeys(d for field in fields for d in field.dims if d != member))
    if not set(dims) <= set(there):
        raise InputError(
            f"cannot average over {dims}: there is {there}. "
            f"Name some of these, dim={there!r}, or none, dim=()"
        )
    return dims


def with_dims(dim: Dims, more: Iterable[Hashable]) -> Dims:
    """Add dimensions to those to average.

    Examples
    --------
    >>> with_dims("time", ("y", "x"))
    ('time', 'y', 'x')
    """
    return None if dim is None or dim is ... else tuple(dict.fromkeys((*listed(dim), *more)))


def listed(dim: Dims) -> tuple[Hashable, ...]:
    """List dimensions that may be but one."""
    return tuple(dim) if isinstance(dim, Iterable) and not isinstance(dim, str) else (dim,)


def counterpart(reference: Data, name: Hashable, variables: int) -> xr.DataArray:
    """Choose the variable of a reference.

    Raises
    ------
    InputError
        If it is not there, or if it is not clear which one it is.
    """
    if isinstance(reference, xr.DataArray):
        if variables > 1 and reference.name != name:
            raise InputError(
                f"the reference is one field, the ensemble has {variables} variables. Score one, "
                f"ens[{name!r}], or give the reference all of them, as a Dataset"
            )
        return reference
    if name not in reference.data_vars:
        raise InputError(
            f"the reference has no {name!r}; it has {list(reference.data_vars)}. "
            f"Score what both have: ens[{[str(n) for n in reference.data_vars]}]"
        )
    return reference[name]
