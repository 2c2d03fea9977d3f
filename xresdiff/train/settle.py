"""Put what was measured onto a card: statistics, transforms, global residual, conservation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from xresdiff.errors import InputError, raise_problems, warn
from xresdiff.models.card import Channel, ModelCard
from xresdiff.train.arguments import Arguments
from xresdiff.train.channels import Side
from xresdiff.train.draft import Draft
from xresdiff.train.plan import inputs_without
from xresdiff.train.quantities import CUBE_ROOT, is_rain, rooted
from xresdiff.train.survey import Survey, Twin, Values
from xresdiff.train.variables import Key

__all__ = ["settle"]

INTERMITTENT = 0.2  # share of zeros from which a variable that is never negative gets a cube root
CONSERVED = 0.01  # relative difference of block means up to which pairs conserve
FORCED = 0.1  # such a difference from which users are warned that it goes
GAPS = 0.5  # share of an input that is missing from which users are warned of it
CONSTANT = 1e-7  # standard deviation relative to the largest value, up to which nothing varies
LIT = ("radiation", "radiative", "shortwave", "sunshine")  # zero at night, not now and then

Sides: TypeAlias = tuple[tuple[Side, tuple[Channel, ...], Sequence[Values]], ...]


def settle(draft: Draft, survey: Survey, arguments: Arguments) -> ModelCard:
    """Return the card with everything that the data decide.

    Parameters
    ----------
    draft : Draft
        The model to be.
    survey : Survey
        Of its pairs, in the order of its channels.
    arguments : Arguments
        What is asked for, which goes before what was found.

    Returns
    -------
    ModelCard
        Channels that are new, or all with ``normalisation="data"``, have the mean and standard
        deviation of the data. New ones that are never negative and often zero are seen through
        their cube root.

    Raises
    ------
    InputError
        If a channel has no known value, or was looked at under another transform.

    Warns
    -----
    UserWarning
        If a channel is the same everywhere, an input is missing over more than half, or block
        means that are far from the input are to be conserved: by the arguments, or as the model
        that is tuned does.
    """
    card = draft.card
    if not survey.is_of(card):
        raise InputError(
            f"cannot train {card.name}: the folder of the run holds statistics of its channels "
            "under other transforms; train in another folder: out=..."
        )
    sides: Sides = (("input", card.inputs, survey.inputs), ("output", card.outputs, survey.outputs))
    _refuse_nothing(sides, draft)
    roots = _intermittent(draft, sides)
    inputs, outputs = (_measured(draft, side, some, found, roots) for side, some, found in sides)
    settled = replace(card, inputs=inputs, outputs=outputs)
    base, conserve = card.global_residual, card.conserve
    if draft.start is None and arguments.global_residual is None:
        base = _pays(settled, survey.twins)
    if draft.start is None and arguments.conserve is None and card.target.kind == "refine":
        conserve = _conserved(settled, survey.twins)
    settled = replace(settled, global_residual=base, conserve=conserve)
    _warn_of_forcing(settled, survey.twins)
    _warn_of_gaps(settled, survey)
    return settled


def _refuse_nothing(sides: Sides, draft: Draft) -> None:
    """Refuse channels without a single known value."""
    problems = [
        f"the {side} {channel.label!r} has no known value in any pair: leave it out, "
        + _without(side, channel, draft)
        for side, channels, found in sides
        for channel, values in zip(channels, found, strict=True)
        if not values.count
    ]
    raise_problems(problems, what=f"train {draft.card.name} on these pairs")


def _without(side: Side, channel: Channel, draft: Draft) -> str:
    """Return what to type to leave a channel out."""
    known = getattr(draft.start.card, f"{side}s") if draft.start is not None else ()
    if draft.start is not None and channel.key not in {c.key for c in known}:
        return (
            f"{side}s=list(model.card.{side}s), model=xresdiff.open_model({draft.start.source!r})"
        )
    if channel.level_Pa is not None:
        return f"{side}s=[Channel({channel.name!r}, ..., level_Pa=...), ...] of the other levels"
    return f"{side}s=[...]"


def _intermittent(draft: Draft, sides: Sides) -> set[Key]:
    """Return which new quantities are never negative and often zero, on either side."""
    often, never = set(), set()
    for side, channels, found in sides:
        for channel, values in zip(channels, found, strict=True):
            if (side, channel.key) not in draft.described:
                continue
            if values.minimum < 0 or channel.maximum is not None or _lit(channel):
                never.add(channel.key)
            elif values.zeros > INTERMITTENT and channel.transform.name == "identity":
                often.add(channel.key)
    return often - never


def _lit(channel: Channel) -> bool:
    return any(word in channel.standard_name for word in LIT)


def _measured(
    draft: Draft,
    side: Side,
    channels: tuple[Channel, ...],
    found: Sequence[Values],
    roots: set[Key],
) -> tuple[Channel, ...]:
    """Return channels with what was measured of those whose statistics are open."""
    done = []
    for channel, values in zip(channels, found, strict=True):
        place = (side, channel.key)
        if channel.key in roots and place in draft.described:
            channel = rooted(channel)
        done.append(_normalised(channel, values, side) if place in draft.fresh else channel)
    return tuple(done)


def _normalised(channel: Channel, values: Values, side: Side) -> Channel:
    """Return a channel with the mean and standard deviation of its transformed values."""
    mean, std = values.mean, values.std
    if channel.transform.name != "identity":
        mean, std = values.bent_mean, values.bent_std
    constant = values.std <= CONSTANT * max(abs(values.minimum), abs(values.maximum))
    if constant or not std > 0:
        warn(
            f"the {side} {channel.label!r} is {values.mean:g} {channel.units} everywhere, so the "
            f"networks learn nothing of it; leave it out: {side}s=[...]"
        )
        std = 1.0
    return replace(channel, mean=mean, std=std)


def _pays(card: ModelCard, twins: Sequence[Twin]) -> bool:
    """Tell whether the interpolated inputs are nearer to the target than its mean is."""
    shares = []
    for twin in twins:
        error, variance = twin.error, twin.variance
        if card.outputs[twin.output].transform.name != "identity":
            error, variance = twin.bent_error, twin.bent_variance
        if variance > 0:
            shares.append(error / variance)
    return bool(shares) and sum(shares) < len(shares)


def _conserved(card: ModelCard, twins: Sequence[Twin]) -> tuple[str, ...]:
    """Return the outputs of rain whose block means are the input."""
    apart = {twin.output: twin.blocks for twin in twins}
    names: dict[str, bool] = {}
    for i, channel in enumerate(card.outputs):
        blocks = apart.get(i)
        like_rain = channel.minimum == 0 and (is_rain(channel) or channel.transform == CUBE_ROOT)
        holds = like_rain and blocks is not None and blocks < CONSERVED
        names[channel.name] = names.get(channel.name, True) and holds
    return tuple(name for name, holds in names.items() if holds)


def _warn_of_forcing(card: ModelCard, twins: Sequence[Twin]) -> None:
    """Warn of block means that will be forced, but are not so in the pairs."""
    for twin in twins:
        channel = card.outputs[twin.output]
        if channel.name in card.conserve and twin.blocks is not None and twin.blocks > FORCED:
            warn(
                f"the block means of {channel.label!r} differ from the input by "
                f"{100 * twin.blocks:.0f} % in the median, and conserve={card.conserve!r} makes "
                "them equal; leave it out if they are not to be: "
                f"conserve={tuple(name for name in card.conserve if name != channel.name)!r}"
            )


def _warn_of_gaps(card: ModelCard, survey: Survey) -> None:
    """Warn of inputs that are missing over more than half."""
    for i, values in enumerate(survey.inputs):
        if values.missing > GAPS and len(card.inputs) > 1:
            warn(
                f"the input {card.inputs[i].label!r} is missing in {100 * values.missing:.0f} % of "
                "its values, where nothing is learned of the others either; leave it out: "
                + inputs_without(card, i)
            )
