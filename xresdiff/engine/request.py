"""Hold an input against a model's card: every problem in one message, before anything runs."""

from collections.abc import Hashable
from dataclasses import dataclass

import xarray as xr

from xresdiff.engine.arguments import Arguments, Settings
from xresdiff.engine.channels import alone, find_channels
from xresdiff.engine.hours import lead_problems, time_problems
from xresdiff.engine.placement import Placement
from xresdiff.engine.placing import place
from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids import coords
from xresdiff.grids.coords import levels
from xresdiff.models.card import ModelCard
from xresdiff.models.package import Model

__all__ = ["Request", "check_request", "dims_of", "examine"]


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
    def what(self) -> str:
        """What is being done, to begin errors with."""
        return self.arguments.doing(self.model.name)

    @property
    def refusal(self) -> str:
        """The beginning of errors of values, which names the Dataset where there are two."""
        side = self.arguments.training
        return f"cannot {self.what}: {side}" if side else f"cannot {self.what}"

    @property
    def horizontal(self) -> coords.Horizontal:
        """The grid of what the networks take."""
        return self.placement.horizontal

    @property
    def variables(self) -> tuple[Hashable, ...]:
        """Names of the variables in the input, each once."""
        return tuple(dict.fromkeys(found.name for found in self.found))

    @property
    def distinct(self) -> tuple[int, ...]:
        """The first input channel of every field: those at other times are the same fields."""
        first: dict[tuple[str, float | None], int] = {}
        for i, channel in enumerate(self.card.inputs):
            first.setdefault(channel.key[:2], i)
        return tuple(first.values())

    @property
    def methods(self) -> tuple[str, ...]:
        """How every input channel is regridded."""
        asked = self.arguments.regridding
        # between parallels and meridians is nowhere on a grid that has none
        told = {"latlon_bilinear": "bilinear"} if self.given.kind != "latlon" else {}
        own = (told.get(channel.method, channel.method) for channel in self.card.inputs)
        return tuple(asked or method for method in own)


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
    request, others, unlike = examine(ds, model, arguments)
    raise_problems(
        list(dict.fromkeys(others + unlike)),
        what=arguments.doing(model.name),
        error=InputError if others else UnitsError,
    )
    assert request is not None  # its absence is a problem
    return request


def examine(
    ds: xr.Dataset, model: Model, arguments: Arguments
) -> tuple[Request | None, list[str], list[str]]:
    """Find what a model needs in an input; nothing is loaded or computed.

    Returns
    -------
    tuple
        The request, None if there are problems; the problems; those of units.
    """
    found, missing, unlike = find_channels(ds, model.card, arguments.accumulation)
    variables = [each.name for each in found]
    asked = list(arguments.problems(model.card))
    grid = None if any(told.startswith("grid is") for told in asked) else arguments.grid
    given, placement, misfits = place(alone(ds, variables), model, variables, grid)
    dims = dims_of(ds, found)
    loop = tuple(dim for dim in dims if given is None or dim not in given.dims)
    member = _free_name(ds, loop)
    others = [
        *asked,
        *arguments.chunk_problems((member, *loop)),
        *missing,
        *(time_problems(ds, model.card, variables) if not missing else ()),
        *lead_problems(ds, model.card),
        *_time_problems(ds, model.card),
        *(f"there is nothing along {dim!r}: its size is 0" for dim in dims if not ds.sizes[dim]),
        *misfits,
    ]
    if member in ds.dims:
        others.append(f"{member!r} is taken, and 'member' too: ds.rename({{{member!r}: 'draw'}})")
    if others or unlike or given is None or placement is None:
        return None, others, unlike
    settings = arguments.settings(model.card)
    return Request(model, given, placement, found, loop, member, arguments, settings), [], []


def _time_problems(ds: xr.Dataset, card: ModelCard) -> list[str]:
    """Say that the time is not known, where the networks are told it."""
    told = any(extra.timed for extra in card.extras)
    if not told or coords.find_coordinate(ds, "time") is not None:
        return []
    return [
        f"{card.name} is told the hour and where the sun stands, but the input has no time: "
        "ds.assign_coords(time=np.datetime64('2021-09-12T00:00', 'ns'))"
    ]


def dims_of(ds: xr.Dataset, found: tuple[levels.Found, ...]) -> list[Hashable]:
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
