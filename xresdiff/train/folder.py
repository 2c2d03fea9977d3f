"""The folder of a run: what the run is of, and files that are whole or not there."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xresdiff.errors import InputError, ModelError, StoreError
from xresdiff.models.card import CARD as PACKAGE_CARD
from xresdiff.models.card import ModelCard
from xresdiff.models.container import previous
from xresdiff.models.package import open_package

__all__ = ["MODEL", "RUN", "START", "SURVEY", "claim", "tidy", "write"]

RUN, COPY, SURVEY = "train.json", "train.copy.json", "survey.json"
START, MODEL = "start", "model"  # packages in the folder of a run
# what must not be gone on with, nor replaced, without knowing what it is of
TRAINED = ("mean.pt", "mean.before", "residual.pt", "residual.before", MODEL)

# what is known by a hash alone, which tells nobody anything
HASHED = {
    "data": "coarse or target differ from those it was begun with",
    "model": "the model to begin with is not the one that it was begun with",
}

log = logging.getLogger(__name__)


def claim(out: Path, facts: dict[str, Any]) -> None:
    """Note what a run is of; refuse the folder of a run of something else.

    Parameters
    ----------
    out : pathlib.Path
        The folder; it is made if it is not there.
    facts : dict
        What tells this run from others, for JSON. More may follow in another call.

    Raises
    ------
    InputError
        If the folder holds a run of which one of the facts differs, or what was trained without
        anything that says what it is of.
    StoreError
        If it cannot be written.
    """
    facts = json.loads(json.dumps(facts, default=_plain))
    before = _claimed(out)
    if not _begun(out, before) and any(_changes(before, facts)):
        before = {}  # it was refused before anything was trained
    changed = [
        HASHED.get(name, f"{name} was {_short(was)} and is {_short(value)} now")
        for name, was, value in _changes(before, facts)
    ]
    if changed:
        raise InputError(
            f"{out} holds another run: {'; '.join(changed)}. Train in another folder: "
            f"out={f'{out}-2'!r}"
        )
    text = json.dumps({"xresdiff": version("xresdiff")} | before | facts, indent=1)
    try:
        if not before:
            (out / SURVEY).unlink(missing_ok=True)  # of data that nobody knows
        for name in (COPY, RUN):
            if _contents(out / name) != text:
                write(out / name, text)
    except OSError as error:
        raise StoreError(
            f"cannot write the run to {out}: {error}; train in another folder: out=..."
        ) from error


def tidy(folder: Path, card: ModelCard) -> None:
    """Remove what was left half written, or was damaged, where models are to be written.

    Parameters
    ----------
    folder : pathlib.Path
        Of the run, which is known to be the one that goes on.
    card : ModelCard
        Of the models.

    Raises
    ------
    StoreError
        If something else lies there.
    """
    for path in (folder / START, folder / MODEL):
        for left in folder.glob(f".{path.name}.*"):
            if left != previous(path):
                shutil.rmtree(left, ignore_errors=True)
        if not path.exists():
            continue
        there = {file.name for file in path.iterdir()} if path.is_dir() else {"a file"}
        if strays := there - {PACKAGE_CARD, *card.parts}:
            raise StoreError(
                f"{path}, where the {path.name} of this training is to be, holds "
                f"{', '.join(sorted(strays))}: move that elsewhere, or train in another folder: "
                f"out={f'{folder}-2'!r}"
            )
        try:
            open_package(path, source="")
        except ModelError as error:
            log.warning("%s is written again: %s", path, error)
            shutil.rmtree(path)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all, even if the machine goes down meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _claimed(out: Path) -> dict[str, Any]:
    """Return what a folder says its run is of; nothing, if there is no run."""
    for name in (RUN, COPY):
        try:
            facts = json.loads(_contents(out / name) or "")
        except ValueError:
            continue
        if isinstance(facts, dict) and "data" in facts:
            return facts
    there = [name for name in TRAINED if (out / name).exists()]
    if there:
        raise InputError(
            f"{out} holds {', '.join(there)}, and no {RUN} that can be read and says what they "
            f"are of. Train in another folder: out={f'{out}-2'!r}"
        )
    return {}


def _begun(out: Path, before: dict[str, Any]) -> bool:
    """Tell whether a run got as far as to be settled."""
    return "card" in before or any((out / name).exists() for name in TRAINED)


def _contents(path: Path) -> str | None:
    """Return the text of a file; None if there is none, or none that can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _plain(value: Any) -> Any:
    """Return a number of NumPy as JSON knows it."""
    return value.item()


def _changes(
    before: dict[str, Any], now: dict[str, Any], where: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs: its name, what it was and what it is."""
    for name, value in now.items():
        if name not in before or before[name] == value:
            continue
        if isinstance(value, dict) and isinstance(before[name], dict):
            yield from _changes(before[name], value, f"{where}{name}.")
        else:
            yield f"{where}{name}", before[name], value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:56]} ..."
