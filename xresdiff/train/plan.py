"""What a training will do: the effort that suits data and device, and a page that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm, prod
from pathlib import Path

import numpy as np

from xresdiff.errors import InputError
from xresdiff.models.card import Channel, Extra, ModelCard, SamplerCard
from xresdiff.models.package import Stage
from xresdiff.train.arguments import Arguments
from xresdiff.train.networks import size_multiple
from xresdiff.train.readers import Reader
from xresdiff.train.survey import Survey
from xresdiff.train.targets import TIMED

__all__ = [
    "Effort",
    "described",
    "effort",
    "inputs_without",
    "is_whole",
    "learned_from",
    "memory_bytes",
    "page",
    "patch_multiple",
    "patch_note",
    "validate_every",
]

# How often every pixel of the target is seen, from nothing and from a model; within bounds.
PASSES: dict[Stage, tuple[int, int]] = {"mean": (60, 20), "residual": (150, 50)}
LEAST: dict[Stage, tuple[int, int]] = {"mean": (1000, 300), "residual": (2500, 800)}
MOST: dict[Stage, tuple[int, int]] = {"mean": (4000, 1000), "residual": (10_000, 3000)}
ON_A_GPU = 8  # times as many at most
STAGES: tuple[Stage, ...] = ("mean", "residual")
PIXELS_OF_A_STEP = {"cpu": 2**17, "gpu": 2**21}
LARGE = 20e6  # parameters; networks that are larger want a smaller learning rate
PATCHES_OF_A_STEP = 4, 64  # at least and at most
BYTES_TRAINED = 24  # of a parameter: weight, gradient, two moments, average and the best, float32
COSTLY = 0.1  # share of the target from which users are told which input it is lost by
BYTES_HELD = 4  # of a parameter of the other network
VALIDATIONS = 4, 20  # of a stage, at least and at most
SHARE = 1 / 3  # that validations may cost, of what the steps cost
BACKWARD = 3  # times as much as a patch without gradients, costs one with them


@dataclass(frozen=True)
class Effort:
    """How much is done, as asked for or as suits.

    Parameters
    ----------
    steps : dict of str to int
        Of each stage.
    batch_size : int
        Patches of a step, on all devices together.
    patch : int
        Side of a patch, in fine pixels.
    learning_rate : float
        At its peak.
    """

    steps: dict[Stage, int]
    batch_size: int
    patch: int
    learning_rate: float


def patch_multiple(card: ModelCard) -> int:
    """Return what the side of a patch is a multiple of, in fine pixels."""
    factor = card.target.factor if card.target.kind == "refine" else 1
    return lcm(size_multiple(card), factor)


def effort(
    arguments: Arguments,
    card: ModelCard,
    reader: Reader,
    pairs: int,
    *,
    tuned: bool,
    gpu: bool,
    processes: int = 1,
) -> Effort:
    """Settle how much is done.

    Parameters
    ----------
    arguments : Arguments
        What is asked for; what it leaves open is chosen here.
    card : ModelCard
        Of the model that is trained.
    reader : Reader
        Of the pairs.
    pairs : int
        How many of them are trained on.
    tuned : bool
        Whether the networks have learned before.
    gpu : bool
        Whether it runs on one.
    processes : int, default 1
        On how many devices; each takes a patch of a step at least.

    Returns
    -------
    Effort

    Raises
    ------
    InputError
        If fewer patches a step are asked for than there are devices.
    """
    patch = _patch(arguments.patch, card, reader)
    pixels = prod(reader.fine_shape) if is_whole(patch, reader) else patch**2
    batch_size = _batch_size(arguments.batch_size, pixels, processes, gpu=gpu)
    known = min(pixels, prod(reader.fine_shape))  # the rest is a mirror image
    seen = batch_size * known / (pairs * prod(reader.fine_shape))
    steps: dict[Stage, int] = {}
    for stage in STAGES:
        if stage not in arguments.stages:
            continue
        asked = _asked(arguments.steps, stage)
        most = MOST[stage][tuned] * (ON_A_GPU if gpu else 1)
        suits = int(np.clip(PASSES[stage][tuned] / seen, LEAST[stage][tuned], most))
        steps[stage] = suits if asked is None else int(asked)
    largest = max(card.mean.network.parameters, card.residual.network.parameters)
    usual = 2e-4 if tuned or largest > LARGE else 1e-3
    return Effort(steps, batch_size, patch, float(arguments.learning_rate or usual))


def is_whole(patch: int, reader: Reader) -> bool:
    """Tell whether patches of that side are whole fields, of any shape."""
    return reader.factor == 0 or (reader.factor == 1 and patch >= max(reader.fine_shape))


def validate_every(stage: Stage, steps: int, batch_size: int, sampler: SamplerCard) -> int:
    """Return the steps between validations: some twenty, fewer where they would cost too much.

    It follows from the arguments alone, so that a training that goes on, or that has more devices,
    is the same.

    Parameters
    ----------
    stage : {"mean", "residual"}
        Validations of the residual draw members, and cost the more evaluations of its sampler.
    steps : int
        Of the stage.
    batch_size : int
        Patches of a step.
    sampler : SamplerCard
        That members are drawn with.

    Returns
    -------
    int
        So many that validations, the one before the first step included, cost no more than a third
        of the steps, but that there are at least four behind it, if there are four steps.

    Examples
    --------
    >>> validate_every("mean", 4000, 16, SamplerCard())
    200
    >>> validate_every("residual", 2500, 8, SamplerCard("heun", steps=18))
    358
    """
    least, most = VALIDATIONS
    cost = _patches_of_a_validation(stage, batch_size, sampler)
    paid = int(SHARE * BACKWARD * batch_size * steps / cost) - 1
    wanted = min(max(paid, least), most)
    return max(min(-(-steps // wanted), (steps - 1) // (least - 1)), 1)


def _patches_of_a_validation(stage: Stage, batch_size: int, sampler: SamplerCard) -> int:
    """Return how many patches go through a network in a validation, without gradients."""
    from xresdiff.nets.samplers import evaluations
    from xresdiff.train.validation import LEVELS, Validation

    batches, patches = Validation.batches, Validation.patches
    if stage == "mean":
        return batches * batch_size + patches
    losses = (batches + max(batches // 4, 1) * len(LEVELS)) * batch_size
    calls = evaluations(sampler.name, sampler.steps) + 1  # and the mean
    return losses + patches * Validation.members * calls


def _asked(steps: int | Mapping[str, int] | None, stage: Stage) -> int | None:
    return steps.get(stage) if isinstance(steps, Mapping) else steps


def _batch_size(asked: int | None, pixels: int, processes: int, *, gpu: bool) -> int:
    """Return the patches of a step, for patches of so many pixels."""
    if asked is None:
        suits = PIXELS_OF_A_STEP["gpu" if gpu else "cpu"] // pixels
        return max(int(np.clip(suits, *PATCHES_OF_A_STEP)), processes)
    if asked < processes:
        raise InputError(
            f"batch_size is {asked}, too few for {processes} processes, which take a patch each "
            f"at least: batch_size={processes}"
        )
    return int(asked)


def _patch(asked: int | None, card: ModelCard, reader: Reader) -> int:
    """Return the side of patches that fields fill and networks take.

    On a target of its own, it is that of the whole field if it is asked for, or if that is no
    larger than a patch would be.
    """
    multiple = patch_multiple(card)
    side = int(asked or card.patch)
    sizes = [-(-size // multiple) * multiple for size in reader.fine_shape]
    if card.target.kind == "fixed":
        small = asked is None and prod(sizes) <= side**2
        if reader.factor == 0 or small or side >= max(reader.fine_shape):
            return max(sizes)
    return max(multiple, min(side, *reader.fine_shape) // multiple * multiple)


def page(lines: dict[str, str], notes: tuple[str, ...], title: str) -> str:
    """Write what is about to be done, one thing a line.

    Examples
    --------
    >>> print(page({"pairs": "17 to train on"}, ("u10 is new",), "training mine on cpu"))
    training mine on cpu
      pairs      17 to train on
                 u10 is new
    """
    told = [f"  {name:<10} {text}" for name, text in lines.items()]
    return "\n".join([title, *told, *(f"{'':13}{note}" for note in notes)])


def described(
    card: ModelCard,
    reader: Reader,
    done: Effort,
    *,
    training: int,
    validation: int,
    left_out: str,
    counts: str,
    run: Path,
    regridded: str = "",
) -> dict[str, str]:
    """Return the lines of :func:`page`; those of which there is nothing to tell are left out."""
    parameters = [card.mean.network.parameters, card.residual.network.parameters]
    spacing = card.target.spacing_km
    if card.target.kind == "refine":
        grid = f"{card.target.factor} times finer than {spacing:.3g} km, anywhere"
    else:
        grid = f"{card.target.domain}"
    steps = ", ".join(f"{n} ({stage})" for stage, n in done.steps.items())
    whole = is_whole(done.patch, reader)
    patches = "whole fields" if whole else f"{done.patch} x {done.patch} pixels"
    same = ", the same" if training == validation == 1 and reader.n == 1 else ""
    lines = {
        "pairs": f"{training} to learn from, {validation} to validate with{same}{left_out}",
        "counts": counts,
        "inputs": _names(card.inputs),
        "told": ", ".join(dict.fromkeys(_word(extra) for extra in card.extras)),
        "outputs": _names(card.outputs),
        "regridded": regridded,
        "grid": f"{grid}; fields of {reader.fine_shape[0]} x {reader.fine_shape[1]}",
        "networks": f"{parameters[0] / 1e6:.2g} (mean) and {parameters[1] / 1e6:.2g} (residual) "
        "million parameters",
        "patches": f"{patches}, {done.batch_size} a step",
        "steps": f"{steps}, learning rate {done.learning_rate:g}",
        "memory": f"{memory_bytes(card, done) / 2**30:.2g} GiB for weights and optimiser; time and "
        "the rest are told after the first steps",
        "run": str(run.absolute()),
    }
    return {name: text for name, text in lines.items() if text or name == "counts"}


def _word(extra: Extra) -> str:
    """Return what users call an extra."""
    words = (word for word, kinds in TIMED.items() if extra.kind in kinds)
    return extra.name or next(words, extra.kind)


def patch_note(asked: int | None, done: Effort, card: ModelCard, reader: Reader) -> tuple[str, ...]:
    """Say why patches are smaller, or larger, than those asked for; nothing if they are not."""
    if asked is None or asked == done.patch or is_whole(done.patch, reader):
        return ()
    multiple = patch_multiple(card)
    why = f"the networks take multiples of {multiple}"
    if asked // multiple * multiple > done.patch:
        why = f"the fields have {reader.fine_shape[0]} x {reader.fine_shape[1]}"
    return (f"patches of {asked} pixels asked for; {why}",)


def learned_from(card: ModelCard, found: Survey, padded: float = 1.0) -> str:
    """Tell how much of the target counts, and which input costs most of it.

    Parameters
    ----------
    card : ModelCard
        Of the model that is trained.
    found : Survey
        Of its pairs.
    padded : float, default 1.0
        How many times as large as the target its fields are, with what reaches beyond its end.

    Returns
    -------
    str
        With what to type to leave that input out, if it alone costs more than a tenth.
    """
    told = f"{100 * padded * found.counted:.3g} % of the target: what is known where all inputs are"
    cost = max(found.costs, default=0.0)
    if len(card.inputs) < 2 or padded * cost <= COSTLY:
        return told
    place = found.costs.index(cost)
    return (
        f"{told}; {100 * padded * (found.counted + cost):.3g} % without "
        f"{card.inputs[place].label!r}, which is missing: {inputs_without(card, place)}"
    )


def inputs_without(card: ModelCard, place: int) -> str:
    """Return what to type to leave an input out."""
    names = [channel.name for channel in card.inputs]
    others = [name for i, name in enumerate(names) if i != place]
    return f"inputs={others}" if len(set(names)) == len(names) else "inputs=[...]"


def memory_bytes(card: ModelCard, done: Effort) -> int:
    """Return the most that weights and optimiser take, while either stage is trained."""
    both = {stage: getattr(card, stage).network.parameters for stage in STAGES}
    return max(
        BYTES_TRAINED * both[stage] + BYTES_HELD * (sum(both.values()) - both[stage])
        for stage in done.steps
    )


def _names(channels: tuple[Channel, ...]) -> str:
    return ", ".join(channel.label for channel in channels)
