"""The card of a model to be, as two Datasets and the arguments have it; its statistics are open."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import xarray as xr

from xresdiff.errors import InputError, raise_problems
from xresdiff.models.card import (
    Channel,
    ModelCard,
    NetworkCard,
    RefineTarget,
    SamplerCard,
    StageCard,
)
from xresdiff.models.package import Model
from xresdiff.train import networks, words
from xresdiff.train.arguments import Arguments
from xresdiff.train.channels import Chosen, Side, choose
from xresdiff.train.targets import (
    Grids,
    Place,
    find_grids,
    fixed_place,
    is_fixed,
    padded_to,
    refined,
    whole_because,
)
from xresdiff.train.variables import Key

__all__ = ["Draft", "draft"]

PATCH = 128  # fine pixels, of models that are made from nothing

CONDITIONING = {"refine": ("bilinear", "constant", "phase"), "fixed": ("bilinear",)}
# Of residuals whose standard deviation is 0.5, modes of 0.03 to 4 keep theirs to within 0.6 dB;
# with Heun's method, as many evaluations add up to 2.5 dB.
SAMPLER = SamplerCard(name="dpmpp_2m", steps=16, sigma_min=0.01, sigma_max=20.0)


@dataclass(frozen=True)
class Draft:
    """A model to be.

    Parameters
    ----------
    card : ModelCard
        Final but for what is measured: statistics, transforms of what turns out to be
        intermittent, conservation, global residual.
    grid : bytes or None
        Contents of the grid file of a fixed target.
    start : Model or None
        Whose weights are grown into it.
    fresh : frozenset of (side, key)
        Channels whose mean and standard deviation are to be measured.
    described : frozenset of (side, key)
        Channels of which nothing is known but the attributes of their variables.
    notes : tuple of str
        What is kept, new and left out, and why: lines for the user.
    shape : tuple of int, default ()
        Rows and columns of the target, as it was given.
    """

    card: ModelCard
    grid: bytes | None
    start: Model | None
    fresh: frozenset[tuple[Side, Key]]
    described: frozenset[tuple[Side, Key]]
    notes: tuple[str, ...]
    shape: tuple[int, ...] = ()


def draft(
    coarse: xr.Dataset, target: xr.Dataset, arguments: Arguments, start: Model | None = None
) -> Draft:
    """Make the card that two Datasets and the arguments ask for; no field is computed.

    Parameters
    ----------
    coarse : xarray.Dataset, (..., Y, X)
        Inputs.
    target : xarray.Dataset, (..., y, x)
        What the model is to give.
    arguments : Arguments
        What is asked for. What is out of bounds is passed over: its
        :meth:`~xresdiff.train.arguments.Arguments.problems` are the caller's to tell.
    start : Model, optional
        Where to begin.

    Returns
    -------
    Draft
        Static fields are the one thing that is loaded.

    Raises
    ------
    InputError
        If no model can be made of them: one message with every problem.
    """
    arguments = arguments.usable()
    card = start.card if start is not None else None
    chosen, problems = choose(
        coarse,
        target,
        card,
        inputs=arguments.inputs,
        outputs=arguments.outputs,
        accumulation=arguments.accumulation,
    )
    grids, told = find_grids(coarse, target)
    problems += [one for one in told if one not in problems]
    place: Place | None = None
    if grids is not None:
        place, told, notes = _place(target, grids, arguments, start)
        problems += told
    problems += _unfit(chosen, place, arguments, start)
    raise_problems(list(dict.fromkeys(problems)), what=_what(arguments, start))
    assert place is not None  # its absence is a problem
    data = words.sources(coarse, target)
    if start is None:
        made = _fresh_card(chosen, place, data, arguments)
    else:
        made, more = _tuned_card(chosen, place, data, arguments, start)
        notes = [*notes, *more]
    return _finished(made, chosen, place, arguments, start, [*chosen.notes, *notes, *place.notes])


def _what(arguments: Arguments, start: Model | None) -> str:
    name = arguments.name or (start.name if start else "a model")
    return f"train {name} on these pairs"


def _place(
    target: xr.Dataset, grids: Grids, arguments: Arguments, start: Model | None
) -> tuple[Place | None, list[str], list[str]]:
    """Return the grid of the model, the problems, and what the user should know."""
    card = start.card if start is not None else None
    told = arguments.static is not None or bool(arguments.extras)
    fixed, why = is_fixed(grids, card, told=told)
    try:
        if not fixed:
            rows, columns = (target.sizes[dim] for dim in grids.fine.dims)
            return refined(grids, (rows, columns), card), [], []
        place, problems = fixed_place(
            target,
            grids,
            start,
            static=arguments.static,
            extras=arguments.extras,
        )
    except InputError as error:
        return None, [str(error)], []
    return place, problems, [why] if why else []


def _unfit(
    chosen: Chosen, place: Place | None, arguments: Arguments, start: Model | None
) -> Iterator[str]:
    """Say which arguments do not go with the channels, the grid or the model."""
    outputs = {channel.name for channel in chosen.outputs}
    shared = _shared(chosen)
    have = ", ".join(map(repr, sorted(outputs)))
    for name in arguments.weights or {}:
        if outputs and name not in outputs:
            yield f"weights has {name!r}, which is no output; the outputs are {have}"
    if outputs and arguments.global_residual and not shared:
        yield (
            "global_residual is True, which needs an output that is an input, too; the outputs "
            f"are {have}"
        )
    if start is None and arguments.normalisation == "model":
        yield "normalisation is 'model', but there is no model to begin with: leave it out"
    if start is not None and arguments.network != "auto":
        yield (
            f"network is {arguments.network!r}, but the networks are those of {start.name}; leave "
            "it out, or begin from nothing: xresdiff.train(coarse, target, network=...)"
        )
    fixed = place is not None and not isinstance(place.target, RefineTarget)
    if arguments.conserve and fixed:
        yield (
            f"conserve is {tuple(arguments.conserve)}, which is for models that refine the grid "
            "of their input; on a grid of its own nothing is conserved: conserve=()"
        )
    for name in () if fixed else arguments.conserve or ():
        yield from _unconserved(name, chosen, shared)
    if start is not None:
        yield from _halved(chosen, start)
        yield from _rebased(arguments, start)


def _rebased(arguments: Arguments, start: Model) -> Iterator[str]:
    """Refuse another base of the mean if the mean is not learned anew."""
    asked, had = arguments.global_residual, start.card.global_residual
    if asked is not None and asked is not had and "mean" not in arguments.stages:
        yield (
            f"global_residual is {asked}, that of {start.name} {had}, so that its mean has to be "
            "learned anew: stages=('mean', 'residual')"
        )


def _halved(chosen: Chosen, start: Model) -> Iterator[str]:
    """Refuse some of the probabilities of a model without the others, with which they add up."""
    places = set(networks.config_of(start.card.mean).softmax_channels)
    places |= set(networks.config_of(start.card.residual).softmax_channels)
    every = {start.card.outputs[i].key: start.card.outputs[i].label for i in sorted(places)}
    kept = [channel.key for channel in chosen.outputs if channel.key in every]
    if kept and len(kept) < len(every):
        labels = ", ".join(map(repr, every.values()))
        yield (
            f"{labels} are probabilities of {start.name} that add up to one, and not all of them "
            "are among the outputs: keep all of them or none, outputs=[...]"
        )


def _unconserved(name: str, chosen: Chosen, shared: set[Key]) -> Iterator[str]:
    """Say why an output cannot be conserved."""
    named = [channel for channel in chosen.outputs if channel.name == name]
    if not chosen.outputs:
        return
    if not named or any(channel.key not in shared for channel in named):
        yield f"conserve has {name!r}, which is not both an input and an output"
    elif any(channel.minimum is None or channel.minimum < 0 for channel in named):
        yield (
            f"conserve has {name!r}, which may be negative for all that is known; say that it is "
            f"not: outputs=[Channel({name!r}, ..., minimum=0.0)]"
        )


def _shared(chosen: Chosen) -> set[Key]:
    return {c.key for c in chosen.inputs} & {c.key for c in chosen.outputs}


def _fresh_card(
    chosen: Chosen, place: Place, data: tuple[Any, ...], arguments: Arguments
) -> ModelCard:
    """Return the card of a model without a past."""
    shared = bool(_shared(chosen))
    target = place.target
    factor = target.factor if isinstance(target, RefineTarget) else 1
    patch = arguments.patch or PATCH
    fields = networks.Fields(
        *place.shape, patch, factor, whole=factor == 1 and max(place.shape) <= patch
    )
    configs = networks.fresh(arguments.network, fields, arguments.device)
    stages = {
        name: StageCard(f"{name}.safetensors", NetworkCard(config, 1))
        for name, config in configs.items()
    }
    return ModelCard(
        **words.fresh_words(chosen.outputs, target, data, arguments.name),
        inputs=chosen.inputs,
        outputs=chosen.outputs,
        target=target,
        conditioning=CONDITIONING[target.kind],
        conserve=tuple(arguments.conserve or ()),
        global_residual=shared if arguments.global_residual is None else arguments.global_residual,
        extras=place.extras,
        mean=stages["mean"],
        residual=stages["residual"],
        sampler=SAMPLER,
        patch=patch,
    )


def _tuned_card(
    chosen: Chosen, place: Place, data: tuple[Any, ...], arguments: Arguments, start: Model
) -> tuple[ModelCard, list[str]]:
    """Return the card of a model that begins as another one, and what the user should know."""
    card, notes = start.card, []
    shared = _shared(chosen)
    by_key = {channel.key: i for i, channel in enumerate(card.outputs)}
    conserved = tuple(n for n in card.conserve if _may_conserve(n, chosen, place, shared))
    if arguments.conserve is not None:
        conserved = tuple(arguments.conserve)
    elif conserved != card.conserve:
        lost = [name for name in card.conserve if name not in conserved]
        notes.append(f"no longer conserved: {', '.join(lost)}")
    base = card.global_residual and bool(shared)
    if card.global_residual and not shared and arguments.global_residual is None:
        notes.append("no global residual: none of the outputs is an input")
    keep = isinstance(place.target, RefineTarget) or place.same
    if not keep and networks.maps_of(card):
        notes.append(f"the target has another grid than {start.name}: its maps of place are new")
    patching = card.patching if _holds_patches(card, place) else None
    _refuse_patch(replace(card, patching=patching), place, arguments, start)
    if card.patching is not None and patching is None:
        notes.append("no patches: the target is smaller than one")
    return replace(
        card,
        **words.tuned_words(start, data, arguments.name),
        inputs=chosen.inputs,
        outputs=chosen.outputs,
        target=place.target,
        conditioning=card.conditioning if keep else CONDITIONING["fixed"],
        conserve=conserved,
        global_residual=base if arguments.global_residual is None else arguments.global_residual,
        extras=place.extras,
        sampler=SAMPLER if card.precision == "auto" else card.sampler,
        mean=_reordered(card.mean, by_key, chosen.outputs),
        residual=_reordered(card.residual, by_key, chosen.outputs),
        patch=arguments.patch or card.patch,
        patching=patching,
        scores={},
        files={},
    ), notes


def _refuse_patch(card: ModelCard, place: Place, arguments: Arguments, start: Model) -> None:
    """Refuse patches for a model that learns from whole fields alone."""
    fixed = not isinstance(place.target, RefineTarget)
    if fixed and arguments.patch is not None and arguments.patch < max(place.shape):
        rows, columns = place.shape
        raise_problems(
            [
                f"patch is {arguments.patch}, but the model {reason}, so that it learns from whole "
                f"fields of {rows} x {columns} pixels alone: leave patch= out"
                for reason in whole_because(card)
            ],
            what=_what(arguments, start),
        )


def _holds_patches(card: ModelCard, place: Place) -> bool:
    """Tell whether a target is as large as the patches of a model, if it has any."""
    sides = card.patching.shape if card.patching is not None else (0, 0)
    return all(n >= least for n, least in zip(place.shape, sides, strict=True))


def _may_conserve(name: str, chosen: Chosen, place: Place, shared: set[Key]) -> bool:
    named = [channel for channel in chosen.outputs if channel.name == name]
    refines = isinstance(place.target, RefineTarget)
    return refines and bool(named) and all(channel.key in shared for channel in named)


def _reordered(stage: StageCard, places: dict[Key, int], outputs: tuple[Channel, ...]) -> StageCard:
    """Return a stage whose settings of single outputs are those of the outputs now."""
    before = [places.get(channel.key) for channel in outputs]
    scale = tuple(1.0 if i is None else stage.scale[i] for i in before) if stage.scale else ()
    config = dict(stage.network.config)
    if config.get("softmax_channels"):
        config["softmax_channels"] = tuple(
            i for i, was in enumerate(before) if was in config["softmax_channels"]
        )
    return replace(stage, scale=scale, network=replace(stage.network, config=config))


def _finished(
    card: ModelCard,
    chosen: Chosen,
    place: Place,
    arguments: Arguments,
    start: Model | None,
    notes: list[str],
) -> Draft:
    """Fit networks, padding and patches to one another."""
    multiple = networks.size_multiple(card)
    target, fresh = card.target, chosen.fresh
    if target.kind == "fixed":
        if not place.same:
            target = replace(target, padding=padded_to(place, multiple))
        padding = target.padding
        shape = padding.padded(*place.shape) if padding else place.shape
        card = networks.adapted(replace(card, target=target), shape)
    else:
        if networks.maps_of(card):
            raise InputError(
                f"cannot {_what(arguments, start)}: networks with maps of place are for models of "
                "one region; tell them something of it: static=..., or extras=('latitude',)"
            )
        card = networks.adapted(card, None)
    card = replace(card, patch=_patch(card, place, multiple))
    if arguments.normalisation == "data":
        sides: tuple[tuple[Side, tuple[Channel, ...]], ...]
        card = replace(card, inputs=_open(card.inputs), outputs=_open(card.outputs))
        sides = (("input", card.inputs), ("output", card.outputs))
        fresh = frozenset((side, c.key) for side, channels in sides for c in channels)
    told = tuple(dict.fromkeys(notes))
    return Draft(card, place.grid, start, fresh, chosen.described, told, place.shape)


def _open(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Return channels whose statistics are to be measured: what was known is not of these data."""
    return tuple(replace(channel, mean=0.0, std=1.0) for channel in channels)


def _patch(card: ModelCard, place: Place, multiple: int) -> int:
    """Return the side of patches: at most that of the fields, and what the networks take."""
    target = card.target
    if isinstance(target, RefineTarget):
        multiple = lcm(multiple, target.factor)
        side = min(place.shape)
    else:
        side = max(target.padding.padded(*place.shape) if target.padding else place.shape)
        if whole_because(card):
            return -(-side // multiple) * multiple
    return max(multiple, min(card.patch, side) // multiple * multiple)
