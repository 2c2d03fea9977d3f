"""Hold an input against a model's card: every problem in one message, before anything runs."""

from collections.abc import Hashable
from dataclasses import dataclass

import xarray as xr

from xresdiff.engine.arguments import Arguments, Settings
from xresdiff.engine.placement import Placement, place
from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids import coords, units
from xresdiff.grids.coords import levels
from xresdiff.grids.units.accumulations import bounds_of
from xresdiff.models.card import Channel, ModelCard, RefineTarget
from xresdiff.models.package import Model

__all__ = ["Request", "check_request"]


@dataclass(frozen=True)
class Request:
    """What is asked for, checked: the model, the grids, the variables found, the settings."""

    model: Model
    given: coords.Horizontal  # the grid of the input
    placement: Placement
    found: tuple[levels.Found, ...]  # the variable of every input channel
    loop: tuple[Hashable, ...]  # every dimension of the fields but y and x
    member: str  # name of the new dimension
    arguments: Arguments
    settings: Settings

    @property
    def card(self) -> ModelCard:
        """The card of the model."""
        return self.model.card

    @property
    def factor(self) -> int:
        """Fine cells along a side of a coarse one."""
        assert isinstance(self.card.target, RefineTarget)  # checked
        return self.card.target.factor

    @property
    def horizontal(self) -> coords.Horizontal:
        """The grid of what the networks take."""
        return self.placement.horizontal

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """Names of the variables in the input, each once."""
        return tuple(dict.fromkeys(found.name for found in self.found))

    @property
    def methods(self) -> tuple[str, ...]:
        """How every input channel is regridded."""
        return tuple(self.arguments.regridding or channel.method for channel in self.card.inputs)


def check_request(ds: xr.Dataset, model: Model, arguments: Arguments | None = None) -> Request:
    """Check arguments and input against the model; nothing is loaded or computed.

    Raises
    ------
    InputError
        With every problem; a `UnitsError` if all of them are of units.
    """
    if not isinstance(ds, xr.Dataset):
        raise InputError(
            f"cannot downscale a {type(ds).__name__}; a Dataset is needed: da.to_dataset()"
        )
    arguments = arguments or Arguments()
    found, missing, unlike = _find_variables(ds, model.card, arguments)
    variables = [each.name for each in found]
    asked = list(arguments.problems(model.card))
    grid = None if any(told.startswith("grid is") for told in asked) else arguments.grid
    given, placement, misfits = place(ds, model.card, variables, grid)
    dims = _dims(ds, found)
    loop = tuple(dim for dim in dims if given is None or dim not in given.dims)
    member = _free_name(ds, loop)
    others = [
        *asked,
        *arguments.chunk_problems((member, *loop)),
        *missing,
        *(f"there is nothing along {dim!r}: its size is 0" for dim in dims if not ds.sizes[dim]),
        *misfits,
    ]
    if member in ds.dims:
        others.append(f"{member!r} is taken, and 'member' too: ds.rename({{{member!r}: 'draw'}})")
    raise_problems(
        others + unlike,
        what=f"downscale with {model.name}",
        error=InputError if others else UnitsError,
    )
    assert given is not None  # its absence is a problem
    assert placement is not None
    settings = arguments.settings(model.card)
    return Request(model, given, placement, found, loop, member, arguments, settings)


def _dims(ds: xr.Dataset, found: tuple[levels.Found, ...]) -> list[Hashable]:
    """Return the dimensions of the fields; all there are if no variable was found."""
    dims = dict.fromkeys(
        dim
        for each in found
        for dim in ds[each.name].dims
        if each.level is None or dim != each.level[0]
    )
    return list(dims or ds.sizes)


def _free_name(ds: xr.Dataset, loop: tuple[Hashable, ...]) -> str:
    """Name the dimension of the members: "member", or "sample" if the input has realizations."""
    ensemble = any(
        dim in coords.MEMBER_NAMES or ds[dim].attrs.get("standard_name") == "realization"
        for dim in loop
    )
    names = ("sample", "member") if ensemble else ("member", "sample")
    free = [name for name in names if name not in ds.coords and name not in ds.dims]
    return free[0] if free else names[0]


def _find_variables(
    ds: xr.Dataset, card: ModelCard, arguments: Arguments
) -> tuple[tuple[levels.Found, ...], list[str], list[str]]:
    """Find the variable of every input channel; say which are missing or in unlike units."""
    found: list[levels.Found] = []
    missing, unlike = [], []
    for channel in card.inputs:
        try:
            one = levels.find_channel(ds, channel)
        except InputError as error:
            missing.append(str(error))
            continue
        if one is not None:
            found.append(one)
            try:
                units.check(
                    ds[one.name],
                    channel,
                    accumulation=arguments.accumulation,
                    bounds=bounds_of(ds, one.name),
                )
            except UnitsError as error:
                unlike.append(str(error))
        elif channel.level_Pa is None:
            missing.append(_missing_variable(ds, channel))
    missing += levels.missing_levels(ds, card.inputs)
    return tuple(found), list(dict.fromkeys(missing)), list(dict.fromkeys(unlike))


def _missing_variable(ds: xr.Dataset, channel: Channel) -> str:
    needed = f"{channel.name!r} (standard name {channel.standard_name!r}, {channel.units})"
    if not ds.data_vars:
        return f"the variable {needed} is missing; the Dataset has none"
    likely = [name for name, da in ds.data_vars.items() if _converts(da, channel)]
    like = [*likely, *ds.data_vars][0]
    return (
        f"the variable {needed} is missing; the Dataset has {', '.join(map(repr, ds.data_vars))}. "
        f"If one of them is it: ds.rename({{{like!r}: {channel.name!r}}})"
    )


def _converts(da: xr.DataArray, channel: Channel) -> bool:
    try:
        units.factor_offset(str(da.attrs.get("units", "")), channel.units)
    except UnitsError:
        return False
    return True
