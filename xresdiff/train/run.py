"""A training from two Datasets to a model: check, pair, survey, settle, fit.

Everything is settled and told before anything is trained, and kept in the folder of the run:
``card.json``, ``train.json`` and a copy of it, ``survey.json`` and the model to begin with,
``start/``.
"""

import json
import logging
from dataclasses import asdict, replace
from math import prod
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from xresdiff.errors import InputError, XresdiffError, raise_problems
from xresdiff.models.card import ModelCard
from xresdiff.models.package import Model, Stage, open_package, write_package
from xresdiff.options import get_option
from xresdiff.train.arguments import Arguments
from xresdiff.train.draft import Draft, draft
from xresdiff.train.folder import MODEL, START, SURVEY, claim, tidy, write
from xresdiff.train.grown import frozen_problems, initial_weights
from xresdiff.train.pairs import Pairs, pair
from xresdiff.train.patches import PairedPatches, split
from xresdiff.train.plan import (
    Effort,
    described,
    effort,
    learned_from,
    page,
    patch_note,
    validate_every,
)
from xresdiff.train.readers import Reader, fingerprint, open_reader
from xresdiff.train.settle import settle
from xresdiff.train.survey import Survey, survey, unit_problems

if TYPE_CHECKING:
    from xresdiff.train.devices import Devices
    from xresdiff.train.fit import Recipes

__all__ = ["run"]

CARD = "card.json"

log = logging.getLogger(__name__)


def run(
    coarse: xr.Dataset,
    target: xr.Dataset,
    arguments: Arguments,
    start: Model | None,
    out: str | PathLike[str],
) -> Model:
    """Train a model on pairs, or go on with the run in `out`.

    Parameters
    ----------
    coarse, target : xarray.Dataset
        As of :func:`xresdiff.finetune`.
    arguments : Arguments
        What is asked for.
    start : Model or None
        Where to begin; None begins from nothing.
    out : str or PathLike
        Folder of the run.

    Returns
    -------
    Model
        The one in ``<out>/model``.

    Raises
    ------
    InputError
        As of :func:`xresdiff.finetune`.
    """
    from xresdiff.train.devices import Devices

    devices = Devices.here(arguments.usable().device)
    with devices.told_once():
        plan, pairs = devices.together(lambda: _checked(coarse, target, arguments, start))
        return _run(plan, pairs, arguments, start, Path(out), devices)


def _run(
    plan: Draft,
    pairs: Pairs,
    arguments: Arguments,
    start: Model | None,
    folder: Path,
    devices: "Devices",
) -> Model:
    """Train on pairs that were checked."""
    devices.lead(
        lambda: claim(folder, {"data": fingerprint(pairs), "model": start and start.sha256})
    )
    reader = _read(pairs, folder, devices, cache=arguments.cache)
    found = _surveyed(reader, plan, folder, devices)
    card, training, validation, done = devices.together(
        lambda: _settled(plan, reader, found, arguments, start, devices)
    )
    begin = _begin(card, plan, arguments, done, folder, devices)
    if devices.writer:
        told = described(
            card,
            reader,
            done,
            training=len(training.picks),
            validation=len(validation.picks),
            left_out=_left_out(pairs, found),
            counts=learned_from(card, found, _padded(plan, reader)),
            regridded=_regridded(pairs),
            run=folder,
        )
        notes = (*plan.notes, *patch_note(arguments.patch, done, card, reader))
        _say(page(told, notes, _title(card, start, devices)), folder, devices)
    before = _made(folder)
    from xresdiff.train.fit import fit_model

    for_mean, for_residual = _apart(training, arguments.residual_pairs)
    model = fit_model(
        begin,
        for_mean,
        validation,
        residual_training=for_residual,
        recipes=_recipes(card, arguments, done, tuned=start is not None),
        out=folder,
        device=devices,
        precision=arguments.precision,
    )
    devices.lead(lambda: write(folder / CARD, model.card.to_json()))  # with what was measured
    if devices.writer and model.sha256 == before:
        _say(f"already finished: {folder / MODEL}", folder, devices)
    return model


def _settled(
    plan: Draft,
    reader: Reader,
    found: Survey,
    arguments: Arguments,
    start: Model | None,
    devices: "Devices",
) -> tuple[ModelCard, PairedPatches, PairedPatches, Effort]:
    """Return what follows from the data: the card, where patches come from, and how many."""
    what = f"train {plan.card.name} on these pairs"
    raise_problems(unit_problems(found, plan.card), what=what)
    card = settle(plan, found, arguments)
    training, validation = _patches(reader, found, card, arguments)
    done = effort(
        arguments,
        card,
        reader,
        len(training.picks),
        tuned=start is not None,
        gpu=devices.device.type == "cuda",
        processes=devices.world,
    )
    return card, training, validation, done


def _checked(
    coarse: xr.Dataset, target: xr.Dataset, arguments: Arguments, start: Model | None
) -> tuple[Draft, Pairs]:
    """Check everything that can be checked without reading a field; one error for all of it."""
    name = arguments.name or (start.name if start else "a model")
    for which, ds in (("coarse", coarse), ("target", target)):
        if not isinstance(ds, xr.Dataset):
            raise InputError(
                f"cannot train {name}: {which} is a {type(ds).__name__}; a Dataset is needed: "
                f"{which}.to_dataset()"
            )
    problems = list(arguments.problems())
    usable = arguments.usable()
    try:
        plan = draft(coarse, target, arguments, start)
        problems += frozen_problems(plan.card, usable.stages, usable.freeze)
        pairs = pair(coarse, target, plan, arguments)
    except InputError as error:
        if not problems:
            raise
        problems.append(str(error))
    raise_problems(problems, what=f"train {name} on these pairs")
    return plan, pairs


def _read(pairs: Pairs, folder: Path, devices: "Devices", *, cache: bool) -> Reader:
    """Open the pairs for reading; the writer fills the cache that the others then find."""
    where = folder / "cache" if cache else None
    readers: list[Reader] = []

    def open_first() -> bool:
        readers.append(open_reader(pairs, where))
        return isinstance(getattr(readers[0], "coarse", None), np.memmap)

    cached = devices.lead(open_first)
    if devices.writer:
        return readers[0]
    return open_reader(pairs, where if cached else None)


def _surveyed(reader: Reader, plan: Draft, folder: Path, devices: "Devices") -> Survey:
    """Look over the data once; what was found before is read again."""

    def look() -> Survey:
        path = folder / SURVEY
        try:
            return Survey.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
            found = survey(reader, plan.card)
            write(path, found.to_json())
            return found

    return devices.lead(look)


def _patches(
    reader: Reader, found: Survey, card: ModelCard, arguments: Arguments
) -> tuple[PairedPatches, PairedPatches]:
    """Return where training and validation draw from."""
    picks = np.setdiff1d(np.arange(reader.n), found.empty)
    if not len(picks):
        raise InputError(
            f"cannot train {card.name}: the target of none of the {reader.n} pairs is known where "
            "all inputs are; look at coarse.isnull().mean() and target.isnull().mean()"
        )
    first, last = split(picks, arguments.validation)
    turn = arguments.augment
    if turn is None:
        turn = card.target.kind == "refine" and all(
            channel.method == "conservative" for channel in (*card.inputs, *card.outputs)
        )
    return PairedPatches(reader, first, turn=turn), PairedPatches(reader, last)


def _apart(training: PairedPatches, share: float) -> tuple[PairedPatches, PairedPatches]:
    """Return what the mean and what the residual learns from: the same, or apart."""
    if not share:
        return training, training
    first, last = split(training.picks, share)
    return replace(training, picks=first), replace(training, picks=last)


def _begin(
    card: ModelCard,
    plan: Draft,
    arguments: Arguments,
    done: Effort,
    folder: Path,
    devices: "Devices",
) -> Model:
    """Write the model to begin with, once its run is known to be this one."""
    path = folder / START

    def begin() -> None:
        claim(folder, asdict(done) | arguments.facts() | {"card": json.loads(card.to_json())})
        write(folder / CARD, card.to_json())
        tidy(folder, card)
        weights = initial_weights(card, seed=int(arguments.seed), start=plan.start)
        write_package(path, card, weights, grid=plan.grid)

    devices.lead(begin)
    return open_package(path, source=str(path.absolute()))


def _recipes(card: ModelCard, arguments: Arguments, done: Effort, *, tuned: bool) -> "Recipes":
    from xresdiff.train.fit import Recipes
    from xresdiff.train.loop import Recipe

    def recipe(stage: Stage) -> Recipe:
        steps = done.steps.get(stage, 0)
        return Recipe(
            steps=steps,
            batch_size=done.batch_size,
            patch=done.patch,
            learning_rate=done.learning_rate,
            warmup=min(100, steps // 10),
            validate_every=validate_every(stage, steps, done.batch_size, card.sampler),
            patience=arguments.patience,
            keep_start=tuned and stage == "mean",  # members' scores change less than they vary
            seed=int(arguments.seed),
        )

    counts = arguments.weights or {}
    return Recipes(
        mean=recipe("mean"),
        residual=recipe("residual"),
        stages=arguments.stages,
        freeze=arguments.freeze,
        weights=tuple(float(counts.get(channel.name, 1.0)) for channel in card.outputs),
    )


def _left_out(pairs: Pairs, found: Survey) -> str:
    """Tell how many fields are not used."""
    told = [
        f"{n} of {which} without a partner"
        for n, which in zip(pairs.dropped, ("coarse", "the target"), strict=True)
        if n
    ]
    if found.empty:
        told.append(f"{len(found.empty)} pairs without a known target under known inputs")
    return f"; left out: {', '.join(told)}" if told else ""


def _padded(plan: Draft, reader: Reader) -> float:
    """Return how many times as large as the target its fields are, with their padding."""
    return prod(reader.fine_shape) / prod(plan.shape or reader.fine_shape)


def _regridded(pairs: Pairs) -> str:
    """Tell how the input is brought to the grid of the target, nothing if it stays where it is."""
    request = pairs.request
    if request.placement.coarse is None:
        return ""
    blocks = "blocks of " if request.card.target.kind == "refine" else ""
    return f"coarse, {'/'.join(dict.fromkeys(request.methods))}, to {blocks}the target's grid"


def _made(folder: Path) -> str:
    """Return the hash of the model that is there already; nothing if there is none."""
    try:
        return open_package(folder / MODEL, source="").sha256
    except XresdiffError:
        return ""


def _title(card: ModelCard, start: Model | None, devices: "Devices") -> str:
    origin = f", beginning with {start.name}" if start else ", from nothing"
    several = f" and {devices.world - 1} more" if devices.world > 1 else ""
    return f"training {card.name}{origin}, on {devices.device}{several}"


def _say(text: str, folder: Path, devices: "Devices") -> None:
    """Tell what will be done: on the screen, and in the log of the run."""
    from xresdiff.train.reports import logged

    with logged(folder, devices):
        log.info(text)
    if get_option("progress"):
        tqdm.write(text)
