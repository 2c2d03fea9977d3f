"""Hold an input against a model's card: every problem in one message, before anything runs."""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids import coords, units
from xresdiff.models.card import Channel, ModelCard, RefineTarget, SamplerCard
from xresdiff.models.package import Model
from xresdiff.models.parts import SAMPLER_NAMES

__all__ = ["Arguments", "Request", "Settings", "check_request"]

LARGEST_SEED = 2**63 - 1  # what an attribute of a netCDF file holds
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """What an ensemble depends on beside its model and its input.

    Parameters
    ----------
    seed : int, default 0
        Of the noise.
    sampler : SamplerCard
        How the residual is drawn.
    device : str, default "auto"
        "cpu", "cuda", "cuda:1", "mps" or "auto".
    precision : {"auto", "float32", "bfloat16"}
        Of the networks; everything around them is in float32.
    """

    sampler: SamplerCard
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Arguments:
    """What a user asks for, as given."""

    members: int = 16
    stage: str = "both"
    sampler: str | SamplerCard | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    chunks: Mapping[Hashable, int] | None = None

    def problems(self, card: ModelCard) -> Iterable[str]:
        """Say what is out of bounds."""
        if not _is_whole(self.members, 1):
            yield f"members is {self.members!r}; it is a whole number of at least 1"
        if self.steps is not None and not _is_whole(self.steps, 1):
            yield f"steps is {self.steps!r}; it is a whole number of at least 1"
        if not _is_whole(self.seed, 0) or self.seed > LARGEST_SEED:
            yield f"seed is {self.seed!r}; it is a whole number from 0 to 2**63 - 1"
        choices: dict[str, tuple[str | None, ...]] = {
            "stage": ("both", "mean"),
            "precision": ("auto", "float32", "bfloat16"),
        }
        if not isinstance(self.sampler, SamplerCard):
            choices["sampler"] = (None, *SAMPLER_NAMES)
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                known = ", ".join(repr(choice) for choice in allowed if choice)
                yield f"{name} is {value!r}; it is one of {known}"
        if not _DEVICE.fullmatch(str(self.device)):
            yield f"device is {self.device!r}; it is 'auto', 'cpu', 'mps', 'cuda' or 'cuda:1'"
        yield from self._sampler_problems(card)

    def _sampler_problems(self, card: ModelCard) -> Iterable[str]:
        if isinstance(self.sampler, SamplerCard):
            yield from (f"sampler.{name}: {told}" for name, told in self.sampler.rules())
        elif self.sampler == "stochastic" and not card.sampler.churn:
            churned = replace(card.sampler, name="stochastic", churn=10.0)
            yield f"'stochastic' needs a churn, {card.name} has none; type sampler={churned!r}"

    def chunk_problems(self, dims: tuple[Hashable, ...]) -> Iterable[str]:
        """Say what chunks the result, which has `dims` beside y and x, cannot have."""
        if self.chunks is None:
            return
        if not isinstance(self.chunks, Mapping):
            yield f"chunks is {self.chunks!r}; it is a mapping, such as {{{dims[0]!r}: 4}}"
            return
        for dim, size in self.chunks.items():
            if dim not in dims:
                known = ", ".join(map(repr, dims))
                yield f"there are no chunks along {dim!r}, but along {known}; fields stay whole"
            elif size != -1 and not _is_whole(size, 1):
                yield f"the chunks along {dim!r} are {size!r}; they are whole numbers, or -1: all"

    def settings(self, card: ModelCard) -> Settings:
        """Return the settings that these arguments and a card make."""
        given = self.sampler
        sampler = given if isinstance(given, SamplerCard) else card.sampler
        changes: dict[str, Any] = {"name": given} if isinstance(given, str) else {}
        sampler = replace(sampler, steps=int(self.steps or sampler.steps), **changes)
        return Settings(sampler, int(self.seed), self.device, self.precision)


@dataclass(frozen=True)
class Request:
    """What is asked for, checked: the model, the grid, the variables found, the settings."""

    model: Model
    horizontal: coords.Horizontal
    variables: tuple[Hashable, ...]
    loop: tuple[Hashable, ...]  # every dimension of the input but y and x
    member: str  # name of the new dimension
    members: int
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


def check_request(ds: xr.Dataset, model: Model, arguments: Arguments = Arguments()) -> Request:
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
    variables, missing, unlike = _find_variables(ds, model.card)
    horizontal, misfits = _find_grid(ds, model.card, variables)
    dims = dict.fromkeys(dim for name in variables for dim in ds[name].dims) or ds.sizes
    loop = tuple(dim for dim in dims if horizontal is None or dim not in horizontal.dims)
    member = _free_name(ds, loop)
    others = [
        *arguments.problems(model.card),
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
    assert horizontal is not None  # its absence is a problem
    settings = arguments.settings(model.card)
    return Request(model, horizontal, variables, loop, member, int(arguments.members), settings)


def _is_whole(value: object, least: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return int(value) >= least


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
    ds: xr.Dataset, card: ModelCard
) -> tuple[tuple[Hashable, ...], list[str], list[str]]:
    """Find the variable of every input channel; say which are missing or in unlike units."""
    found: list[Hashable] = []
    missing, unlike = [], []
    for channel in card.inputs:
        try:
            name = coords.find_variable(ds, channel)
        except InputError as error:
            missing.append(str(error))
            continue
        if name is None:
            missing.append(_missing_variable(ds, channel))
            continue
        found.append(name)
        if not ds[name].attrs.get("units"):
            continue  # assumed to be right, with a warning, when the values are read
        nothing = ds[name].isel(dict.fromkeys(ds[name].dims, slice(0)))
        try:
            units.convert(nothing, channel.units)
        except UnitsError as error:
            unlike.append(str(error))
    return tuple(found), missing, unlike


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


def _find_grid(
    ds: xr.Dataset, card: ModelCard, variables: tuple[Hashable, ...]
) -> tuple[coords.Horizontal | None, list[str]]:
    """Find the grid and hold its spacing against the model's."""
    try:
        grid = coords.find_horizontal(ds)
    except InputError as error:
        return None, [str(error)]
    if not all(ds.sizes[dim] for dim in grid.dims):
        return grid, []
    uneven = coords.check_uniform(grid)
    if uneven:
        return grid, uneven
    flat = [name for name in variables if not set(grid.dims) <= set(ds[name].dims)]
    if flat:
        return grid, [f"{name!r} does not run along {grid.dims}" for name in flat]
    return grid, _spacing_problems(grid, card)


def _spacing_problems(grid: coords.Horizontal, card: ModelCard) -> list[str]:
    if not isinstance(card.target, RefineTarget):
        return [f"models with a {card.target.kind} target cannot run yet"]
    try:
        spacing = coords.spacing_km(grid)
    except InputError as error:
        return [str(error)]
    low, high = card.target.spacing_range_km
    if all(low <= step <= high for step in spacing):
        return []
    found = " x ".join(f"{step:.3g}" for step in spacing)
    finer = min(spacing) < low and max(spacing) * 2 <= high
    remedy = (
        "Average it: xresdiff.coarsen(ds, factor)"
        if finer
        else "Interpolate to such a grid first, or use another model"
    )
    return [
        f"the spacing of the grid is {found} km; {card.name} takes {low:g} to {high:g} km, best "
        f"{card.target.spacing_km:g}. {remedy}"
    ]
