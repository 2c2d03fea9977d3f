"""Which variables of two Datasets a model takes and gives, as the channels of its card."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import xarray as xr

from xresdiff.engine.hours import moves_time
from xresdiff.errors import InputError, UnitsError, raise_problems
from xresdiff.grids import units
from xresdiff.grids.coords import levels
from xresdiff.grids.units.accumulations import time_bounds_of
from xresdiff.models.card import Channel, ModelCard
from xresdiff.train.lines import in_training
from xresdiff.train.quantities import bounded
from xresdiff.train.stretches import stretch_problems
from xresdiff.train.variables import Key, Variables, is_open, name_problems

__all__ = ["Chosen", "Side", "choose"]

Side = Literal["input", "output"]


@dataclass(frozen=True)
class Chosen:
    """The channels of a model to be.

    Parameters
    ----------
    inputs, outputs : tuple of Channel
        Those that a model knows already come first.
    fresh : frozenset of (side, key)
        Whose mean and standard deviation are open.
    described : frozenset of (side, key)
        Those of them that are as the attributes of their variables have them: neither a model's
        nor a user's.
    notes : tuple of str
        What is kept, new and left out.
    """

    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    fresh: frozenset[tuple[Side, Key]]
    described: frozenset[tuple[Side, Key]]
    notes: tuple[str, ...]


def choose(
    coarse: xr.Dataset,
    target: xr.Dataset,
    card: ModelCard | None = None,
    *,
    inputs: Sequence[str | Channel] | None = None,
    outputs: Sequence[str | Channel] | None = None,
    accumulation: str | None = None,
) -> tuple[Chosen, list[str]]:
    """Choose inputs and outputs; nothing is computed.

    Parameters
    ----------
    coarse, target : xarray.Dataset
        The pairs.
    card : ModelCard, optional
        Of the model to begin with, which keeps its own channels where the Datasets have them.
    inputs, outputs : sequence of str or Channel, optional
        Which; by default all variables with a time that run along the grid.
    accumulation : str, optional
        The time in which amounts fell.

    Returns
    -------
    tuple
        The channels, and the problems, one sentence each; with problems, some may be lacking.

    Raises
    ------
    InputError
        If names or attributes are no texts, or a grid has fewer than two rows or columns.

    Warns
    -----
    UserWarning
        If the input and the output of one quantity may be over different times.
    """
    told = [*name_problems("coarse", coarse), *name_problems("target", target)]
    raise_problems(told, what="train on these pairs")  # nothing can be found by such names
    known = (card.inputs, card.outputs) if card else ((), ())
    taken = Variables("coarse", coarse, known[0], inputs).read()
    given = Variables("target", target, known[1], outputs).read()
    problems = [*taken.problems, *given.problems]
    for one in (taken, given):
        one.strip_aliases()
    empty = (one for one in (taken, given) if not one.channels and not one.problems)
    problems.extend(_nothing(one) for one in empty)
    _match_outputs(given, taken, accumulation, problems)
    _match_inputs(taken, given, accumulation, problems)
    if not problems and (card is None or not moves_time(card)):
        problems.extend(stretch_problems(taken, given, accumulation))
    sides: tuple[tuple[Side, Variables], ...] = (("input", taken), ("output", given))
    fresh = frozenset((side, c.key) for side, one in sides for c in one.new if is_open(c))
    own = frozenset((side, c.key) for side, one in sides for c in one.new if c.key not in one.users)
    notes = (*taken.told("inputs"), *given.told("outputs"))
    return Chosen(taken.channels, given.channels, fresh, own, notes), problems


def _match_outputs(
    given: Variables, taken: Variables, accumulation: str | None, problems: list[str]
) -> None:
    """Give new outputs the units of the model's input of the same key."""
    verb = "finetune"  # else nothing is kept
    kept = {channel.key: channel for channel in taken.kept}
    for i, channel in enumerate(given.new):
        like = kept.get(channel.key)
        if like is None or like.units == channel.units:
            continue
        found = given.own[channel.key]
        da = levels.take(given.ds, found)
        try:
            bounds = time_bounds_of(given.ds, found.name)
            units.check(da, like, accumulation=accumulation, bounds=bounds)
        except UnitsError as error:
            problems.append(f"target: {in_training(str(error), 'target', verb)}")
            continue
        given.new[i] = bounded(
            replace(channel, units=like.units, minimum=None, maximum=None, dry_below=None), da
        )


def _match_inputs(
    taken: Variables, given: Variables, accumulation: str | None, problems: list[str]
) -> None:
    """Make new inputs of the same quantity as an output like it, in name and units."""
    verb = "finetune" if taken.known else "train"
    for output in given.channels:
        same = _same(taken, given, output)
        if same is None:
            continue
        i, found = same
        own = taken.new[i]
        da = levels.take(taken.ds, found)
        try:
            bounds = time_bounds_of(taken.ds, found.name)
            units.check(da, output, accumulation=accumulation, bounds=bounds)
        except UnitsError as error:
            if own.key == output.key:
                problems.append(f"coarse: {in_training(str(error), 'coarse', verb)}")
            else:
                taken.notes.append(
                    f"{own.label!r} has the standard name of {output.label!r}, but is taken for "
                    f"another quantity: {error}"
                )
            continue
        taken.new[i] = _like(output, own)
        taken.own[output.key] = found
        if own.name != output.name:
            taken.notes.append(f"{own.label!r} of coarse is the input {output.label!r}")


def _same(taken: Variables, given: Variables, output: Channel) -> tuple[int, levels.Found] | None:
    """Find the new input that is an output: by its key, else by standard name if both are sole."""
    if any(channel.key == output.key for channel in taken.kept):
        return None
    place = {c.key: i for i, c in enumerate(taken.new) if c.key not in taken.users}
    if output.key in place:
        return place[output.key], taken.own[output.key]
    twins = [
        c
        for c in given.channels
        if (c.standard_name, c.level_Pa) == (output.standard_name, output.level_Pa)
    ]
    if not output.standard_name or len(twins) > 1:
        return None
    try:
        found = levels.find_channel(taken.ds, output)
    except InputError:  # several are it
        return None
    for key, where in taken.own.items():
        if where == found and key in place:
            return place[key], where
    return None


def _like(output: Channel, own: Channel) -> Channel:
    """Return an input of the quantity of an output, whose statistics are its own."""
    aliases = (*output.aliases, own.name) if own.name not in output.names else output.aliases
    return replace(
        output,
        aliases=aliases,
        mean=0.0,
        std=1.0,
        long_name=own.long_name or output.long_name,
        cell_methods=own.cell_methods,
        regridding=own.regridding,
        missing=own.missing,
    )


def _nothing(one: Variables) -> str:
    told = f": {'; '.join(one.notes)}" if one.notes else ""
    return (
        f"{one.what} has no variable that runs along {one.grid.dims} and in time{told}. Of a "
        f"single field: {one.what}.expand_dims('time')"
    )
