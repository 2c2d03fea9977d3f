"""Two Datasets in, pairs of fields out: read as inference reads them, aligned, lazy."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xresdiff.engine.arguments import Arguments as Asked
from xresdiff.engine.blocks import MOMENT
from xresdiff.engine.channels import alone, find_channels
from xresdiff.engine.hours import moves_time, on_hours
from xresdiff.engine.moments import moments
from xresdiff.engine.placement import Placement
from xresdiff.engine.request import Request, dims_of, examine
from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids import coords
from xresdiff.models.card import FixedTarget, ModelCard, RefineTarget
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model
from xresdiff.train.aligning import Match, align
from xresdiff.train.lines import in_training
from xresdiff.train.points import off_points, refines
from xresdiff.train.sides import PAIR, paired_fields

if TYPE_CHECKING:
    from xresdiff.train.arguments import Arguments
    from xresdiff.train.draft import Draft

__all__ = ["PAIR", "Pairs", "pair"]

# What inference tells users to type where it does not go in training.
_OTHER_LINES = (
    (". Take a grid within the input:", ". Cut the target to what coarse covers: target.sel(...)"),
    (". Say which grid is wanted:", ". Regrid coarse and the target first: ds.resdiff.regrid(...)"),
    (". Or say which grid", ". Regrid coarse and the target first: ds.resdiff.regrid(...)"),
    (": ds.resdiff.downscale(grid=", ", or train a model of your own: xresdiff.train(...)"),
)


@dataclass(frozen=True)
class Pairs:
    """Fields that belong together, in physical units, lazy if what they are made of is.

    Parameters
    ----------
    coarse : xarray.DataArray, (_pair, _channel, Y, X)
        Inputs in float32 and the units of the card, NaN where missing. The labels of the pairs are
        coordinates along ``_pair``.
    fine : xarray.DataArray, (_pair, _channel, y, x)
        Targets in float32 and the units of the card, NaN where missing, and where the last cells
        of a coarse grid reach beyond the target.
    moments : numpy.ndarray, (n, 2)
        Seconds since 1970 and number of the lead time, float64; zeros for networks that are not
        told.
    factor : int
        Fine pixels along a side of a coarse cell: 1 on a fixed target, 0 for one that inputs are
        stretched to, whose fields go together only as a whole.
    dropped : tuple of int
        Fields of the two Datasets that have no partner.
    request : Request
        What was checked. Its model is a draft, which cannot run.
    """

    coarse: xr.DataArray
    fine: xr.DataArray
    moments: NDArray[np.float64]
    factor: int
    dropped: tuple[int, int]
    request: Request


@dataclass(frozen=True, repr=False)
class _Drafted(Model):
    """A model of which there is a card, and a grid if its target is fixed, but no weights yet."""

    grid: bytes | None = None
    verb: str = "train"  # what the user called

    def read(self, name: str) -> bytes:
        """Return the grid."""
        assert self.grid is not None  # a fixed target has one
        return self.grid


def pair(coarse: xr.Dataset, target: xr.Dataset, draft: "Draft", arguments: "Arguments") -> Pairs:
    """Bring two Datasets onto the grids of a model, and pair their fields by their labels.

    No field of lazy Datasets is computed, nor one of files that were opened without chunks; lazy
    coordinates are, where they tell the points of a grid, or the time. Forecasts of one lead time
    are paired by the time that they are for. Fields without a partner are neither read nor
    checked, unless amounts become rates, for which their neighbours may count.

    Parameters
    ----------
    coarse, target : xarray.Dataset, (..., Y, X) and (..., y, x)
        Inputs, and what the model should have given, along the same other dimensions. Missing
        values are let through.
    draft : Draft
        The model that is to be trained.
    arguments : Arguments
        `regridding` and `accumulation` count here.

    Returns
    -------
    Pairs
        Of the labels that both have, in rising order.

    Raises
    ------
    InputError
        If the Datasets do not fit the model or one another: one message with every problem, a
        `UnitsError` if all of them are of units. Fill values of lazy Datasets are found when they
        are computed.
    """
    card = draft.card
    verb = "train" if draft.start is None else "finetune"
    model = _Drafted(card, Path(), "", card.name, grid=draft.grid, verb=verb)
    asked = Asked(members=1, accumulation=arguments.accumulation, skipna=True, training="coarse")
    what = asked.doing(card.name)
    raise_problems(list(_type_problems(coarse=coarse, target=target)), what=what)
    request, others, unlike = _of_coarse(coarse, target, model, asked, arguments.regridding)
    goal, more, unlike_too = _of_target(target, model, replace(asked, training="target"))
    if not more:
        line = _regridding_line(draft)
        more = _grid_problems(target, goal, model, line)
    match, apart = _aligned(coarse, target, card, request, asked)
    problems = [
        *(_trained(told, verb) for told in others),
        *(f"target: {in_training(told, 'target', verb)}" for told in more),
        *apart,
    ]
    unlike = [f"coarse: {in_training(told, 'coarse', verb)}" for told in unlike]
    unlike += [f"target: {in_training(told, 'target', verb)}" for told in unlike_too]
    raise_problems(
        list(dict.fromkeys(problems + unlike)),
        what=what,
        error=InputError if problems else UnitsError,
    )
    assert request is not None  # its absence is a problem, as that of the others
    assert goal is not None
    assert match is not None
    return _paired(coarse, target, request, goal, match)


def _paired(
    coarse: xr.Dataset, target: xr.Dataset, request: Request, goal: Request, match: Match
) -> Pairs:
    """Build the fields of what was checked."""
    sides, problems = [], []
    for ds, own, places in ((coarse, request, match.coarse), (target, goal, match.target)):
        try:
            sides.append(paired_fields(ds, own, places))
        except InputError as error:  # of values in memory
            problems += _reasons(str(error), own)
    raise_problems(problems, what=request.what)
    inputs, outputs = sides
    card = request.card
    factor = 1
    if isinstance(card.target, RefineTarget):
        factor = card.target.factor
        outputs = _extended(outputs, request.placement.shape)
    elif card.target.stretched:
        factor = 0
    labels = {dim: (PAIR, values) for dim, values in match.labels.items()}
    return Pairs(
        inputs.assign_coords(labels),
        outputs.assign_coords(labels),
        _moments(coarse, request, match),
        factor,
        match.dropped,
        request,
    )


def _type_problems(**given: Any) -> Iterator[str]:
    for name, ds in given.items():
        if not isinstance(ds, xr.Dataset):
            line = f": {name}.to_dataset()" if isinstance(ds, xr.DataArray) else ""
            yield f"{name} is a {type(ds).__name__}; a Dataset is needed{line}"


# --- what is asked of each side


def _of_coarse(
    coarse: xr.Dataset, target: xr.Dataset, model: Model, asked: Asked, regridding: str | None
) -> tuple[Request | None, list[str], list[str]]:
    """Check the inputs as inference does, on their own grid or brought to that of the target."""
    goal = model.card.target
    if isinstance(goal, RefineTarget):
        if refines(coarse, target, goal.factor):
            return examine(coarse, model, asked)  # nothing is regridded
        try:
            coords.find_horizontal(target)
        except InputError:
            return None, [], []  # told of the target
        asked = replace(asked, grid=target)
    return examine(coarse, model, replace(asked, regridding=regridding))


def _of_target(
    target: xr.Dataset, model: Model, asked: Asked
) -> tuple[Request | None, list[str], list[str]]:
    """Find the outputs in the target, as if they were the inputs of a model on its grid."""
    mirror = _mirror(model.card)
    found, missing, unlike = find_channels(target, mirror, asked.accumulation)
    names = [each.name for each in found]
    try:
        grid = coords.find_horizontal(alone(target, names))
    except InputError as error:
        return None, [*missing, str(error)], unlike
    flat = [name for name in names if not set(grid.dims) <= set(target[name].dims)]
    missing += [f"{name!r} does not run along {grid.dims}" for name in dict.fromkeys(flat)]
    dims = dims_of(target, found)
    missing += [
        f"there is nothing along {dim!r}: its size is 0" for dim in dims if not target.sizes[dim]
    ]
    loop = tuple(dim for dim in dims if dim not in grid.dims)
    shape = (target.sizes[grid.dims[0]], target.sizes[grid.dims[1]])
    placement = Placement(None, grid, xr.Dataset(), shape, shape)
    own = replace(model, card=mirror)
    goal = Request(own, grid, placement, found, loop, "member", asked, asked.settings(mirror))
    return goal, missing, unlike


def _mirror(card: ModelCard) -> ModelCard:
    """Return the card of a model that takes what this one gives."""
    return replace(card, inputs=card.outputs, hours=(0.0,))


def _grid_problems(target: xr.Dataset, goal: Request | None, model: Model, line: str) -> list[str]:
    """Say that the target is not on the points of a model with a grid of its own."""
    assert goal is not None  # there were no problems
    if not isinstance(model.card.target, FixedTarget):
        return []
    file = read_grid(model.read(model.card.target.grid), model.card)
    told = off_points(target, goal.given, file)
    return [f"{told}, which {model.card.name} gives fields on; regrid it: {line}"] if told else []


def _regridding_line(draft: "Draft") -> str:
    """Return the line to type for a target on the grid of a model."""
    name = draft.card.name if draft.start is None else draft.start.source
    grid = f"coarse.chunk().resdiff.downscale(model={name!r}, stage='mean')"
    return f"target.resdiff.regrid({grid})"


def _trained(told: str, verb: str) -> str:
    """Say of coarse or of the target what inference says of the input and the grid."""
    name, told = ("target", told[6:]) if told.startswith("grid: ") else ("coarse", told)
    for there, instead in _OTHER_LINES:
        before, found, _ = told.partition(there)
        told = before + instead if found else told
    return f"{name}: {in_training(told, name, verb)}"


def _reasons(text: str, request: Request) -> list[str]:
    """Return the problems of an error one by one, with the name of the Dataset."""
    head, *lines = text.split("\n  - ")
    side = f"{request.arguments.training}: "
    lines = lines or [head.removeprefix(f"cannot {request.what}: ")]
    verb = getattr(request.model, "verb", "train")
    return [
        side + in_training(line.removeprefix(side), request.arguments.training, verb)
        for line in lines
    ]


# --- which fields belong together


def _aligned(
    coarse: xr.Dataset, target: xr.Dataset, card: ModelCard, request: Request | None, asked: Asked
) -> tuple[Match | None, list[str]]:
    """Pair the fields of both Datasets, whatever else is wrong with them."""
    loop = _loop(coarse, card, asked)
    other = _loop(target, _mirror(card), asked)
    if loop is None or other is None or (request is None and moves_time(card)):
        return None, []
    return align(on_hours(coarse, card), target, loop, other)


def _loop(ds: xr.Dataset, card: ModelCard, asked: Asked) -> tuple[Hashable, ...] | None:
    """Return the dimensions of the fields beside y and x, None if they cannot be told."""
    found, _, _ = find_channels(ds, card, asked.accumulation)
    try:
        grid = coords.find_horizontal(alone(ds, [each.name for each in found]))
    except InputError:
        return None
    return tuple(dim for dim in dims_of(ds, found) if dim not in grid.dims) if found else None


# --- their values


def _extended(fields: xr.DataArray, shape: tuple[int, int]) -> xr.DataArray:
    """Extend targets by missing values to the end of the last coarse cells."""
    dims = fields.dims[-2:]
    more = {d: n - fields.sizes[d] for d, n in zip(dims, shape, strict=True)}
    if not any(more.values()):
        return fields
    padded = fields.pad({d: (0, n) for d, n in more.items()}, constant_values=np.nan)
    return padded if padded.chunks is None else padded.chunk(dict.fromkeys(dims, -1))


def _moments(coarse: xr.Dataset, request: Request, match: Match) -> NDArray[np.float64]:
    """Return what networks are told of the time of every pair, (n, 2)."""
    told = moments(on_hours(coarse, request.card), request)
    if not told:
        return np.zeros((match.n, 2))
    array = told[0].isel({dim: own for dim, own in match.coarse.items() if dim in told[0].dims})
    lacking = {d: len(own) for d, own in match.coarse.items() if d not in array.dims}
    whole = array.expand_dims(lacking).transpose(*match.dims, MOMENT)
    return np.asarray(whole.values, np.float64).reshape(-1, 2)
