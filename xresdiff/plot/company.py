"""What is compared with an ensemble, all at the points that all of them know."""

from collections.abc import Collection, Hashable, Mapping
from functools import reduce
from operator import and_

import xarray as xr

from xresdiff.errors import InputError
from xresdiff.plot.paper import TRUTH, References, beside
from xresdiff.verify.matching import at_points_of, chunked_as, named_as
from xresdiff.verify.pairs import find_member_dim
from xresdiff.verify.stations import at_places_of
from xresdiff.verify.types import Data

__all__ = ["compared", "require_members", "require_points", "where_shared"]


def compared(
    ens: xr.DataArray,
    reference: References | None,
    obs: Data,
    variable: Hashable | None = None,
    member_dim: Hashable | None = None,
) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Put an ensemble, references and the truth at the points that all of them know.

    Dimensions that a reference lacks repeat it, as those of a climatology. Nothing is computed.

    Returns
    -------
    ens : xarray.DataArray
        The ensemble, at the stations if the truth is of stations; NaN where anything is missing,
        if there are references.
    fields : dict of str to xarray.DataArray
        References, then the truth, the same, in the units of `ens`.

    Raises
    ------
    InputError
        If one has other points, or dimensions that the ensemble lacks.

    Examples
    --------
    >>> import numpy as np
    >>> ens = xr.DataArray([[1.0, np.nan], [2.0, 3.0]], dims=("time", "x"))
    >>> own, fields = compared(ens, xr.DataArray([4.0, 5.0], dims="x"), 0 * ens + 1)
    >>> fields["reference"].values
    array([[ 4., nan], [ 4.,  5.]])
    """
    fields = beside(ens, reference, obs, variable)
    truth = fields.pop(TRUTH)
    member = find_member_dim(ens, member_dim)
    fields = {name: at_places_of(field, truth)[0] for name, field in fields.items()}
    ens, truth = at_places_of(ens, truth)
    if not fields:
        return ens, {TRUTH: truth}
    there = {name: _placed(ens, field, member, name) for name, field in fields.items()}
    return _shared(ens, there | {TRUTH: _placed(ens, truth, member, TRUTH)}, member)


def where_shared(
    ens: xr.DataArray, fields: Mapping[str, xr.DataArray], member: Hashable | None
) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Do the same for the fields at the points of an ensemble; the others are left as they are."""
    placed = {}
    for name, field in fields.items():
        try:
            placed[name] = _placed(ens, field, member, name)
        except InputError:  # of another grid
            continue
    ens, shared = _shared(ens, placed, member)
    return ens, {**fields, **shared}


def require_members(fields: Mapping[str, xr.DataArray], what: str, fewest: int = 1) -> None:
    """Refuse references of no, or of too few, members.

    Raises
    ------
    InputError
        That names the first of them.
    """
    for name, field in fields.items():
        member = find_member_dim(field)
        if name == TRUTH or (member is not None and field.sizes[member] >= fewest):
            continue
        found = f"the dimensions {field.dims}" if member is None else "one member only"
        raise InputError(
            f"{what} needs members, {name!r} has {found}: leave it out of reference; "
            "if one dimension is of members, call it so: rename(found='member')"
        )


def require_points(result: xr.DataArray, references: Collection[str]) -> None:
    """Refuse references that leave no point to compare at: `result` is of the ensemble.

    Raises
    ------
    InputError
        If all of `result` is NaN.
    """
    if references and not bool(result.notnull().any()):
        raise InputError(
            f"there is no point that all know: {', '.join(['the ensemble', *references])}. "
            "Leave out the reference that has no values there"
        )


def _placed(
    ens: xr.DataArray, field: xr.DataArray, member: Hashable | None, name: str
) -> xr.DataArray:
    """Put a field at the points of an ensemble, repeated along the dimensions that it lacks."""
    own = None if name == TRUTH else member if member in field.dims else find_member_dim(field)
    grid = ens if member is None else ens.isel({member: 0}, drop=True)
    if own is not None and own not in grid.dims:
        grid = grid.drop_vars([own], errors="ignore").expand_dims({own: field.sizes[own]})
    what = "obs" if name == TRUTH else "reference"
    try:
        there = at_points_of(grid, named_as(ens, field), what)
    except InputError as error:
        if name in (TRUTH, "reference"):
            raise
        raise InputError(f"of {name!r}: {error}") from None
    there = there.expand_dims({d: grid.sizes[d] for d in grid.dims if d not in there.dims})
    return chunked_as(grid, there.assign_coords(grid.coords))


def _shared(
    ens: xr.DataArray, fields: dict[str, xr.DataArray], member: Hashable | None
) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Make everything NaN where anything is, members being one thing."""
    if not fields:
        return ens, fields
    members = [None if n == TRUTH else find_member_dim(f) for n, f in fields.items()]
    pairs = zip((ens, *fields.values()), (member, *members), strict=True)
    known = reduce(and_, (f.notnull() if m is None else f.notnull().all([m]) for f, m in pairs))
    return ens.where(known), {name: field.where(known) for name, field in fields.items()}
