"""One pass over the pairs: what their values are like, and how far the input goes to the target."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xresdiff.engine.missing import fill_block
from xresdiff.models.card import Channel, ModelCard, Transform
from xresdiff.train.quantities import CUBE_ROOT
from xresdiff.train.readers import Reader
from xresdiff.train.sums import Counts, Moments, bent, block_differences, interpolated, spread

__all__ = ["Survey", "Twin", "Values", "survey", "unit_problems"]

MOST_PAIRS = 2000  # that are looked at
MOST_THREADS = 8  # that look at pairs at once
FAR_STDS = 5.0  # of the target, between two means of one quantity
FAR_TIMES = 5.0  # between two means of one quantity that is never negative


@dataclass(frozen=True)
class Values:
    """What the values of a channel are like, over all pairs looked at.

    Parameters
    ----------
    count : int
        How many are known.
    mean, std : float
        Of the known ones, in the units of the channel; NaN if there are none.
    bent_mean, bent_std : float
        Of the known ones under the transform of the channel or, if it has none, of their cube
        roots, those below zero counting as zero.
    minimum, maximum : float
        Of the known ones.
    zeros : float
        Share of the known ones that are exactly zero.
    missing : float
        Share of all that are missing.
    """

    count: int
    mean: float
    std: float
    bent_mean: float
    bent_std: float
    minimum: float
    maximum: float
    zeros: float
    missing: float


@dataclass(frozen=True)
class Twin:
    """How an output differs from the input of the same quantity, where both are known.

    Parameters
    ----------
    output, input : int
        Places of the two channels on the card.
    coarse_mean, fine_mean : float
        Means of the input, interpolated to the target, and of the target.
    error, variance : float
        Mean square of the target minus the interpolated input, and variance of the target.
    bent_error, bent_variance : float
        The same under the transform of the output or, if it has none, of cube roots, those of
        values below zero being zero.
    blocks : float or None
        Median of the difference between the mean of a coarse cell's pixels and its value, relative
        to the larger of the two; None on fixed targets, and if all blocks are empty.
    """

    output: int
    input: int
    coarse_mean: float
    fine_mean: float
    error: float
    variance: float
    bent_error: float
    bent_variance: float
    blocks: float | None = None


@dataclass(frozen=True)
class Survey:
    """What one pass over the pairs found.

    Parameters
    ----------
    pairs : int
        How many there are.
    inputs, outputs : tuple of Values
        In the order of the card.
    twins : tuple of Twin, default ()
        One for every output that is an input, too.
    empty : tuple of int, default ()
        Pairs, of those looked at, of which nothing counts: the target is known nowhere where all
        inputs are.
    counted : float, default 1.0
        Share of the values of the target, in all pairs looked at, that are known where all inputs
        are known: those that are learned from.
    costs : tuple of float, default ()
        For every input, the share of those values that counts no more because this input alone is
        missing there.
    seen : tuple of str, default ()
        Under which transforms the channels were looked at, inputs first.
    """

    pairs: int
    inputs: tuple[Values, ...]
    outputs: tuple[Values, ...]
    twins: tuple[Twin, ...] = ()
    empty: tuple[int, ...] = ()
    counted: float = 1.0
    costs: tuple[float, ...] = ()
    seen: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Write it as JSON that :meth:`from_json` reads back equal."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Survey":
        """Read what :meth:`to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            pairs=data["pairs"],
            inputs=tuple(Values(**each) for each in data["inputs"]),
            outputs=tuple(Values(**each) for each in data["outputs"]),
            twins=tuple(Twin(**each) for each in data["twins"]),
            empty=tuple(data["empty"]),
            counted=data["counted"],
            costs=tuple(data["costs"]),
            seen=tuple(data["seen"]),
        )

    def is_of(self, card: ModelCard) -> bool:
        """Tell whether channels were looked at under the transforms of a card."""
        return self.seen in ((), _Ways.of(card).seen)


def survey(reader: Reader, card: ModelCard) -> Survey:
    """Look once at the pairs, at 2000 evenly spaced ones if there are more.

    Parameters
    ----------
    reader : Reader
        Of the pairs.
    card : ModelCard
        Whose channels they have, with their transforms; their statistics do not matter.

    Returns
    -------
    Survey
        Sums are made in float64. Pairs that are kept for validation are among those looked at:
        which they are, is known only when the empty ones are.
    """
    picks = np.unique(np.linspace(0, reader.n - 1, min(reader.n, MOST_PAIRS)).astype(int))
    ways = _Ways.of(card)
    total: _Look | None = None
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        # merged in the order of the pairs, so that threads do not change a bit
        for look in pool.map(lambda i: _look(reader, int(i), ways), picks):
            total = look if total is None else total.merged(look)
    assert total is not None  # there is one pair at least
    return Survey(
        pairs=reader.n,
        inputs=tuple(sums.values() for sums in total.inputs),
        outputs=tuple(sums.values() for sums in total.outputs),
        twins=tuple(
            twin.twin(*places) for twin, places in zip(total.twins, ways.twins, strict=True)
        ),
        empty=tuple(total.empty),
        counted=total.counts.share,
        costs=total.counts.costs,
        seen=ways.seen,
    )


def unit_problems(found: Survey, card: ModelCard) -> list[str]:
    """Say where an input and an output of one quantity look as if they had different units.

    Parameters
    ----------
    found : Survey
        Of the pairs.
    card : ModelCard
        As of :func:`survey`.

    Returns
    -------
    list of str
        One for every quantity whose means differ by more than five standard deviations of the
        target or, if it is never negative, by a factor of more than five.
    """
    return [
        told
        for twin in found.twins
        if (told := _unit_problem(twin, found, card.outputs[twin.output]))
    ]


def _unit_problem(twin: Twin, found: Survey, channel: Channel) -> str:
    output, given = found.outputs[twin.output], found.inputs[twin.input]
    low, high = sorted((twin.coarse_mean, twin.fine_mean))
    apart = high - low > FAR_STDS * (output.std or given.std)  # a constant has no deviation
    positive = channel.minimum is not None or given.minimum >= 0
    amount = output.minimum >= 0 and low >= 0 and positive
    if not apart and not (amount and high > FAR_TIMES * low):
        return ""
    name, units = channel.name, channel.units
    return (
        f"{channel.label!r} of coarse is {twin.coarse_mean:.4g} {units} on average, that of the "
        f"target {twin.fine_mean:.4g} {units}. See whether the units are what they are said to be: "
        f"coarse[{name!r}].attrs['units'], target[{name!r}].attrs['units']"
    )


def _twins(card: ModelCard) -> Iterator[tuple[int, int]]:
    """Yield the places of outputs that are inputs, and of those inputs."""
    place = {channel.key: c for c, channel in enumerate(card.inputs)}
    for k, channel in enumerate(card.outputs):
        if channel.key in place:
            yield k, place[channel.key]


@dataclass(frozen=True)
class _Ways:
    """Which outputs are inputs, and under which transforms the channels are looked at."""

    twins: list[tuple[int, int]]
    inputs: list[Transform]
    outputs: list[Transform]

    @classmethod
    def of(cls, card: ModelCard) -> "_Ways":
        inputs, outputs = (
            # those that turn out to be intermittent will be seen through their cube root
            [CUBE_ROOT if c.transform.name == "identity" else c.transform for c in channels]
            for channels in (card.inputs, card.outputs)
        )
        return cls(list(_twins(card)), inputs, outputs)

    @property
    def seen(self) -> tuple[str, ...]:
        """What tells the transforms from others."""
        every = (*self.inputs, *self.outputs)
        return tuple(f"{way.name} {way.scale!r} {way.exponent!r}" for way in every)


@dataclass(frozen=True)
class _Sums:
    """The values of a channel."""

    plain: Moments
    bent: Moments
    zeros: int
    size: int
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: NDArray[np.float32], way: Transform) -> "_Sums":
        known = values[np.isfinite(values)].astype(np.float64)
        return cls(
            plain=Moments.of(known),
            bent=Moments.of(bent(known, way)),
            zeros=int((known == 0).sum()),
            size=values.size,
            minimum=float(known.min(initial=np.inf)),
            maximum=float(known.max(initial=-np.inf)),
        )

    def merged(self, other: "_Sums") -> "_Sums":
        return _Sums(
            plain=self.plain.merged(other.plain),
            bent=self.bent.merged(other.bent),
            zeros=self.zeros + other.zeros,
            size=self.size + other.size,
            minimum=min(self.minimum, other.minimum),
            maximum=max(self.maximum, other.maximum),
        )

    def values(self) -> Values:
        count, nan = self.plain.count, float("nan")
        return Values(
            count=count,
            mean=self.plain.mean,
            std=self.plain.variance**0.5,
            bent_mean=self.bent.mean,
            bent_std=self.bent.variance**0.5,
            minimum=self.minimum if count else nan,
            maximum=self.maximum if count else nan,
            zeros=self.zeros / count if count else nan,
            missing=1 - count / self.size,
        )


@dataclass(frozen=True)
class _TwinSums:
    """An output and the input of the same quantity."""

    coarse: Moments
    fine: Moments
    bent: Moments
    error: Moments
    bent_error: Moments
    blocks: list[NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        coarse: NDArray[np.float32],
        fine: NDArray[np.float32],
        factor: int,
        way: Transform,
    ) -> "_TwinSums":
        known = np.isfinite(fine) & spread(np.isfinite(coarse), fine.shape)
        there = fine[known].astype(np.float64)
        seen = bent(there, way)
        base = interpolated(fill_block(coarse), fine.shape)[known].astype(np.float64)
        return cls(
            coarse=Moments.of(base),
            fine=Moments.of(there),
            bent=Moments.of(seen),
            error=Moments.of(np.square(there - base)),
            bent_error=Moments.of(np.square(seen - bent(base, way))),
            blocks=[block_differences(coarse, fine, factor)] if factor > 1 else [],
        )

    def merged(self, other: "_TwinSums") -> "_TwinSums":
        return _TwinSums(
            coarse=self.coarse.merged(other.coarse),
            fine=self.fine.merged(other.fine),
            bent=self.bent.merged(other.bent),
            error=self.error.merged(other.error),
            bent_error=self.bent_error.merged(other.bent_error),
            blocks=self.blocks + other.blocks,
        )

    def twin(self, output: int, source: int) -> Twin:
        blocks = np.concatenate(self.blocks) if self.blocks else np.array([])
        return Twin(
            output=output,
            input=source,
            coarse_mean=self.coarse.mean,
            fine_mean=self.fine.mean,
            error=self.error.mean,
            variance=self.fine.variance,
            bent_error=self.bent_error.mean,
            bent_variance=self.bent.variance,
            blocks=float(np.median(blocks)) if blocks.size else None,
        )


@dataclass(frozen=True)
class _Look:
    """What some pairs are like."""

    inputs: list[_Sums]
    outputs: list[_Sums]
    twins: list[_TwinSums]
    counts: Counts
    empty: list[int]

    def merged(self, other: "_Look") -> "_Look":
        return _Look(
            [a.merged(b) for a, b in zip(self.inputs, other.inputs, strict=True)],
            [a.merged(b) for a, b in zip(self.outputs, other.outputs, strict=True)],
            [a.merged(b) for a, b in zip(self.twins, other.twins, strict=True)],
            self.counts.merged(other.counts),
            self.empty + other.empty,
        )


def _look(reader: Reader, i: int, ways: _Ways) -> _Look:
    """Look at one pair."""
    coarse, fine = reader.read(i, slice(None), slice(None))
    counts = Counts.of(coarse, fine)
    return _Look(
        [_Sums.of(values, way) for values, way in zip(coarse, ways.inputs, strict=True)],
        [_Sums.of(values, way) for values, way in zip(fine, ways.outputs, strict=True)],
        [_TwinSums.of(coarse[c], fine[k], reader.factor, ways.outputs[k]) for k, c in ways.twins],
        counts,
        [] if counts.known else [i],
    )
