"""The weights that a training begins with: a model's, grown for other channels, or fresh ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from xresdiff.errors import InputError, raise_problems
from xresdiff.models.card import Channel, Extra, ModelCard, StageCard
from xresdiff.models.package import Model
from xresdiff.models.package import Stage as StageName

if TYPE_CHECKING:
    from torch import nn

    from xresdiff.nets.config import UNetConfig
    from xresdiff.nets.growth import Source

__all__ = ["Slot", "frozen", "frozen_problems", "initial_weights", "input_slots"]

STAGES: tuple[StageName, ...] = ("mean", "residual")
FREE = ("in_channels", "out_channels", "shape", "dropout", "softmax_channels")  # may differ
OF_THE_GRID = ("places.maps", "places.lead_times", "added")  # what has the shape of the grid
GROUPS = {
    "encoder": ("enc.*",),
    "decoder": ("dec.*",),
    "embedding": ("embed.*",),
    "first": ("enc.level0_conv.*",),
    "last": ("dec.*_aux_conv.*",),
}

Weights: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Slot:
    """One channel that enters a network.

    Parameters
    ----------
    role : str
        "noisy", "latent" or "mean" of an output; "bilinear" or "constant" of an input; "phase" of
        an axis; "extra"; the last three with "whole " in front, where patches are told of the whole
        field.
    of : Channel, Extra or str
        What it is of.
    """

    role: str
    of: Channel | Extra | str


def input_slots(card: ModelCard, stage: StageName) -> tuple[Slot, ...]:
    """Return what the channels are that enter a network, in their order.

    Parameters
    ----------
    card : ModelCard
        Of the model.
    stage : {"mean", "residual"}
        Which network.

    Returns
    -------
    tuple of Slot
        Without the maps of place and lead time, which come behind.
    """
    told: list[Slot] = []
    for how in card.conditioning:
        told += [Slot(how, each) for each in (("y", "x") if how == "phase" else card.inputs)]
    told += [Slot("extra", extra) for extra in card.extras]
    if stage == "mean":
        return (*(Slot("latent", c) for c in card.outputs if card.mean.latent), *told)
    again = told if card.patching is not None and card.patching.whole else []
    return (
        *(Slot("noisy", channel) for channel in card.outputs),
        *(Slot("mean", channel) for channel in card.outputs if card.mean_conditioning),
        *told,
        *(Slot(f"whole {slot.role}", slot.of) for slot in again),
    )


def initial_weights(
    card: ModelCard, *, seed: int = 0, start: Model | None = None
) -> dict[StageName, Weights]:
    """Return the weights of both networks to begin a training with.

    Parameters
    ----------
    card : ModelCard
        Of the model to be.
    seed : int, default 0
        Of fresh weights.
    start : Model, optional
        A model whose weights to take. Its channels are found by name or alias, level, offset, units
        and transform; new inputs are not looked at yet, new outputs are the base.

    Returns
    -------
    dict of dict of numpy.ndarray
        In float32, for the stages "mean" and "residual". Fresh networks give zeros, so that the
        mean is the base.

    Raises
    ------
    InputError
        If the networks differ in more than their channels and their grid.

    Notes
    -----
    Where the mean and the std of a channel differ from those of `start`, the first and the last
    layers make up for it. That is exact for the std, and for the mean but at the edges of fields,
    beyond which networks see zeros. It is not exact where a residual network scales its condition
    (a change of the mean of an input is left to training), and for residuals whose size in units of
    the old and the new `scale` differs, which are taken to be alike. Outputs of the mean that get
    or lose their base begin anew, as do maps of place on another grid ("stored" ones as zeros).
    """
    fresh = _fresh(card, seed)
    if start is None:
        return fresh
    raise_problems(
        [problem for stage in STAGES for problem in _differences(card, start.card, stage)],
        what=f"begin {card.name} with the weights of {start.name}",
    )
    return {stage: _of_start(card, start, stage, fresh[stage]) for stage in STAGES}


def _fresh(card: ModelCard, seed: int) -> dict[StageName, Weights]:
    """Return fresh weights, those of the last layers zero."""
    import torch

    from xresdiff.engine.runtime import build
    from xresdiff.nets.growth import is_exit

    weights: dict[StageName, Weights] = {}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for stage in STAGES:
            state = build(getattr(card, stage).network).state_dict()
            weights[stage] = {
                name: np.zeros_like(value.numpy()) if is_exit(name) else value.numpy()
                for name, value in state.items()
            }
    return weights


def _differences(card: ModelCard, before: ModelCard, stage: StageName) -> list[str]:
    """Tell in what the networks of a stage differ beyond their channels."""
    new: StageCard = getattr(card, stage)
    old: StageCard = getattr(before, stage)
    mine, yours = _config(new), _config(old)
    pairs = {
        each.name: (getattr(mine, each.name), getattr(yours, each.name))
        for each in fields(mine)
        if each.name not in FREE
    }
    if stage == "residual":
        for name in ("sigma_data", "scale_condition"):
            pairs[name] = (getattr(new, name), getattr(old, name))
    return [
        f"{name} of its {stage} network is {a!r}, that of {before.name} {b!r}; leave network= out "
        "to keep the networks, or model= to begin with fresh ones"
        for name, (a, b) in pairs.items()
        if a != b
    ]


def _of_start(card: ModelCard, start: Model, stage: StageName, fresh: Weights) -> Weights:
    """Return the weights of a stage of a model for the channels of another card."""
    from xresdiff.nets.growth import grown

    before = start.card
    try:
        weights = grown(
            {name: value.astype(np.float32) for name, value in start.weights(stage).items()},
            _config(getattr(before, stage)),
            inputs=_inputs(card, before, stage),
            outputs=_outputs(card, before, stage),
            softmax_channels=_config(getattr(card, stage)).softmax_channels,
        )
    except ValueError as error:
        raise InputError(f"cannot begin {card.name} with {start.name}: {error}") from error
    for name in OF_THE_GRID:
        if name in fresh and weights[name].shape != fresh[name].shape:
            weights[name] = fresh[name]
    return weights


def _inputs(card: ModelCard, before: ModelCard, stage: StageName) -> list["Source | None"]:
    """Return what every channel that enters was."""
    from xresdiff.nets.growth import Source

    old = input_slots(before, stage)
    moves = not (stage == "residual" and card.residual.scale_condition)
    sources: list[Source | None] = []
    taken: set[int] = set()  # one thing may be told twice, in two scales
    for slot in input_slots(card, stage):
        free = [own.of if own.role == slot.role else None for own in old]
        place = _found([None if i in taken else of for i, of in enumerate(free)], slot.of)
        if place is None:
            sources.append(None)
            continue
        taken.add(place)
        was, now = old[place].of, slot.of
        if isinstance(was, str) or isinstance(now, str) or slot.role in ("noisy", "latent"):
            sources.append(Source(place))
        else:
            shift = (now.mean - was.mean) / was.std
            sources.append(Source(place, now.std / was.std, shift if moves else 0.0))
    return sources


def _outputs(card: ModelCard, before: ModelCard, stage: StageName) -> list["Source | None"]:
    """Return what every output was."""
    from xresdiff.nets.growth import Source

    sources: list[Source | None] = []
    for now in card.outputs:
        place = _found(before.outputs, now)
        if place is None or stage == "residual":
            sources.append(None if place is None else Source(place))
            continue
        was = before.outputs[place]
        based = _based(now, card)
        if based != _based(was, before):
            sources.append(None)
        else:
            shift = 0.0 if based else (was.mean - now.mean) / now.std
            sources.append(Source(place, was.std / now.std, shift))
    return sources


def _based(output: Channel, card: ModelCard) -> bool:
    """Tell whether the mean network gives the difference of an output from an input."""
    return card.global_residual and output.key in {channel.key for channel in card.inputs}


def _found(old: Sequence[Channel | Extra | str | None], new: Channel | Extra | str) -> int | None:
    """Return the place of the same thing among the old ones; of the same name by preference."""
    alike = [i for i, each in enumerate(old) if each is not None and _same(each, new)]
    named = [i for i in alike if getattr(old[i], "name", None) == getattr(new, "name", None)]
    return next(iter(named or alike), None)


def _same(old: Channel | Extra | str, new: Channel | Extra | str) -> bool:
    if isinstance(old, Channel) and isinstance(new, Channel):
        shares = new.name in old.names or old.name in new.names
        place = old.key[1:] == new.key[1:]
        return shares and place and (old.units, old.transform) == (new.units, new.transform)
    if isinstance(old, Extra) and isinstance(new, Extra):
        return (old.kind, old.name) == (new.kind, new.name)
    return old == new


def _config(card: StageCard) -> "UNetConfig":
    from xresdiff.nets.config import UNetConfig

    return UNetConfig(**card.network.config)


def frozen(net: "nn.Module", patterns: Sequence[str]) -> list[str]:
    """Keep parameters of a network as they are: they ask for no gradients.

    Parameters
    ----------
    net : torch.nn.Module
        Changed in place.
    patterns : sequence of str
        Names of parameters, with ``*`` for anything, or of groups: "encoder", "decoder",
        "embedding", "first" (the first convolution), "last" (the layers that give the output).

    Returns
    -------
    list of str
        Names of the parameters that are frozen now.

    Examples
    --------
    >>> from xresdiff.nets.unet import UNet, UNetConfig
    >>> net = UNet(UNetConfig(3, 1, model_channels=8, channel_mult=(1,), num_blocks=1))
    >>> frozen(net, ["first"])
    ['enc.level0_conv.weight', 'enc.level0_conv.bias']
    """
    parameters = dict(net.named_parameters())
    picked = _matched(parameters, patterns)
    for name in picked:
        parameters[name].requires_grad_(False)
    return picked


def frozen_problems(
    card: ModelCard, stages: Sequence[StageName], patterns: Sequence[str]
) -> list[str]:
    """Say which patterns freeze nothing, and where they leave nothing to learn.

    Parameters
    ----------
    card : ModelCard
        Of the model that is to be trained.
    stages : sequence of {"mean", "residual"}
        Those that are trained.
    patterns : sequence of str
        As of :func:`frozen`.

    Returns
    -------
    list of str
        One for every pattern that matches no parameter of any of these networks, and for every
        network whose parameters are all frozen.
    """
    if not patterns:
        return []
    names = {stage: _parameters(card, stage) for stage in stages}
    every = [name for own in names.values() for name in own]
    problems = [
        f"freeze has {pattern!r}, which matches no parameter of the {' or the '.join(names)} "
        f"network; name some of {', '.join(GROUPS)}, or parameters such as {every[0]!r}"
        for pattern in patterns
        if not _matched(every, [pattern])
    ]
    full = [stage for stage, own in names.items() if len(_matched(own, patterns)) == len(own)]
    others = [stage for stage in stages if stage not in full]
    for stage in full:
        line = f", or train the other stage alone: stages=({others[0]!r},)" if others else ""
        problems.append(
            f"freeze={list(patterns)} leaves nothing to learn of the {stage} network; freeze less"
            + line
        )
    return problems


def _parameters(card: ModelCard, stage: StageName) -> list[str]:
    """Return the names of the parameters of a network, without their values."""
    import torch

    from xresdiff.engine.runtime import build

    with torch.device("meta"):
        return [name for name, _ in build(getattr(card, stage).network).named_parameters()]


def _matched(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that some pattern or group is of."""
    every = [one for pattern in patterns for one in GROUPS.get(pattern, (pattern,))]
    return [name for name in names if any(fnmatchcase(name, one) for one in every)]
