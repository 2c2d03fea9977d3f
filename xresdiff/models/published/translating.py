"""Recognise the packages of others, and keep their translations."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from xresdiff.errors import ModelError, StoreError
from xresdiff.models.card import CARD, ModelCard
from xresdiff.models.package import Stage, open_package, write_package
from xresdiff.models.published import cmip6, earth2studio, gefs, taiwan
from xresdiff.models.published.package_files import METADATA
from xresdiff.models.published.package_parts import FILES
from xresdiff.models.published.translation import NOT_TOLD, Translation
from xresdiff.models.published.unpacking import members, unpacked
from xresdiff.models.zoo import registry
from xresdiff.models.zoo.locks import locked
from xresdiff.options import cache_dir

__all__ = ["forget", "kept", "latest", "recognised", "translated"]

EDITION = 2  # of the translations: a change of what they are asks for another number

_CHECKPOINT, _ZIP = ".mdlus", ".zip"
_METADATA_LIMIT = 2**20  # bytes that are read to tell packages apart

_ONE_AT_A_TIME = threading.Lock()  # beside the lock of the file, which some systems lack


def recognised(path: Path) -> bool:
    """Tell whether a file or folder is a package, or a checkpoint, of somebody else.

    Parameters
    ----------
    path : Path
        Any path, whether there is anything or not.

    Returns
    -------
    bool
    """
    if path.is_dir():
        return not (path / CARD).exists() and (_is_generic(path) or _is_taiwan(path))
    if not path.is_file():
        return False
    if path.suffix == _CHECKPOINT:
        return True
    return CARD not in members(path) and (_is_generic(path) or _is_taiwan(path))


def _is_generic(path: Path) -> bool:
    """Tell whether a folder, or a zip, or the one folder in it, has files of Earth2Studio's."""
    names = _names_in(path)
    networks = any(name.endswith(_CHECKPOINT) and not name.startswith(".") for name in names)
    if _is_taiwan(path):
        return METADATA in names and networks
    return METADATA in names or networks


def _names_in(path: Path) -> list[str]:
    """Return the files of a folder, or those at the top of a zip or one folder below it."""
    if not path.is_dir():
        return [name.rpartition("/")[2] for name in members(path) if name.count("/") < 2]
    try:
        with os.scandir(path) as entries:
            return [
                entry.name
                for entry in entries
                if entry.name.endswith((METADATA, _CHECKPOINT)) and entry.is_file()
            ]
    except OSError:  # not for this user to read
        return []


def _is_taiwan(path: Path) -> bool:
    """Tell whether a folder or zip has the checkpoints of Taiwan, or a zip that may have them."""
    marker = taiwan.FILES["residual"]
    if path.is_dir():
        return any((path / name).exists() for name in (marker, f"{taiwan.FOLDER}/{marker}"))
    return any(name.endswith((marker, _ZIP)) for name in members(path))


def translated(path: Path, name: str) -> Path:
    """Return our package of a model that somebody else packed, made now or before.

    Of several threads and processes that ask at once, one translates.

    Parameters
    ----------
    path : Path
        That is :func:`recognised`.
    name : str
        For the card.

    Returns
    -------
    Path
        A folder in the cache.

    Raises
    ------
    ModelError
        If the package is damaged, incomplete or of a kind that is not known.
    StoreError
        If the cache cannot be written.
    """
    _refuse_network(path)
    folder = _place(path, name)
    if not (folder / CARD).is_file():
        with _alone(folder):
            if not (folder / CARD).is_file():  # none has made it meanwhile
                _translate(path, name, folder)
    with contextlib.suppress(OSError):  # of a cache that is only read
        _remember(path, name, folder)
    return folder


def _translate(path: Path, name: str, folder: Path) -> None:
    with _files(path) as there:
        made = _translator(there)(there, name)
    weights: dict[Stage, Mapping[str, np.ndarray]] = {
        "mean": made.weights["mean"],
        "residual": made.weights["residual"],
    }
    shutil.rmtree(folder, ignore_errors=True)  # left without its card
    write_package(folder, _with_terms(made.card), weights, grid=made.grid)


def _with_terms(card: ModelCard) -> ModelCard:
    """Return a card with the licence and citation of the list of models, if its package has none.

    A package that somebody fetched by hand is known by its name.
    """
    entry = next((entry for entry in registry.entries() if entry.name == card.name), None)
    if entry is None or card.licence != NOT_TOLD:
        return card
    references = dict.fromkeys((*card.references, *filter(None, [entry.citation])))
    return replace(card, licence=entry.licence or card.licence, references=tuple(references))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a translation, among threads and processes."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder))
        except OSError as error:
            raise StoreError(
                f"the cache {cache_dir()} cannot be written ({error}). Type "
                "export XRESDIFF_CACHE=/a/folder/of/yours"
            ) from error
        yield


def forget(path: Path, name: str) -> None:
    """Remove the translation of a package if it is damaged.

    Parameters
    ----------
    path, name
        As of :func:`translated`.
    """
    folder = _place(path, name)
    if not folder.exists():
        return
    with _alone(folder):
        if not _is_whole(folder):  # another process may have made it again
            shutil.rmtree(folder, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        model = open_package(folder, source="")
        for part in model.card.parts:
            model.read(part)
    except ModelError:
        return False
    return True


def kept(sha256: str) -> Path | None:
    """Return the translation whose card has a sha256, if there is one.

    Parameters
    ----------
    sha256 : str
        Of its ``card.json``.

    Returns
    -------
    Path or None
    """
    for card in sorted(_folder().glob(f"*/{CARD}")):
        if hashlib.sha256(card.read_bytes()).hexdigest() == sha256:
            return card.parent
    return None


def latest(name: str, path: Path | None = None) -> Path | None:
    """Return the translation of a package as it lies there, if it was made; nothing is hashed.

    Parameters
    ----------
    name : str
        That it was given.
    path : Path, optional
        Of the package; by default, where the known model of that name is.

    Returns
    -------
    Path or None
    """
    try:
        path = registry.find(name) if path is None else path
        folder = _folder() / Path(_note(path, name).read_text(encoding="utf-8")).name
    except (ModelError, OSError, UnicodeError):
        return None
    return folder if (folder / CARD).is_file() else None


def _remember(path: Path, name: str, folder: Path) -> None:
    """Note which translation is that of a package, for :func:`latest`."""
    note = _note(path, name)
    if note.is_file() and note.read_text(encoding="utf-8") == folder.name:
        return
    new = note.with_name(f".{note.name}.{os.getpid()}.{threading.get_ident()}")
    new.write_text(folder.name, encoding="utf-8")
    new.replace(note)


def _note(path: Path, name: str) -> Path:
    """Return the file that tells where the translation is: of these files, by size and time."""
    digest = hashlib.sha256(f"{EDITION}\0{path.absolute()}".encode())
    for file in _files_of(path):
        about = file.stat()
        digest.update(f"{file}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return _folder() / f"{name}-{digest.hexdigest()[:16]}.note"


def _place(path: Path, name: str) -> Path:
    """Return where the translation of a package is kept."""
    return _folder() / f"{name}-{_fingerprint(path)[:16]}"


def _folder() -> Path:
    return cache_dir() / "translated"


def _fingerprint(path: Path) -> str:
    """Hash the files that a package is made of, with their names."""
    digest = hashlib.sha256(str(EDITION).encode())
    for file in _files_of(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        about = file.stat()
        digest.update(f"{name}\0{_sha256(file, about.st_size, about.st_mtime_ns)}".encode())
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    """Return the files that are read of a package, and no others that lie beside them."""
    if not path.is_dir():
        return [path]
    patterns = FILES if _is_generic(path) else taiwan.PATTERNS
    return sorted({file for each in patterns for file in path.glob(each) if file.is_file()})


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    """Hash a file, once for as long as its size and time stay what they are."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextlib.contextmanager
def _files(path: Path) -> Iterator[Path]:
    """Give a translator what it reads: a folder, for Taiwan the zip as well."""
    if path.is_dir() or not _is_generic(path):
        yield path
        return
    with unpacked(path, FILES) as folder:
        yield folder


def _refuse_network(path: Path) -> None:
    if path.is_file() and path.suffix == _CHECKPOINT:
        raise ModelError(
            f"{path} is one network, without its channels, units and grid: put the two of a model "
            "into a folder as regression.mdlus and diffusion.mdlus, with metadata.json, stats.json "
            "and output_latlon_grid.nc. The network alone is read by "
            f"xresdiff.models.physicsnemo.read_mdlus({str(path)!r})"
        )


def _translator(path: Path) -> Callable[[Path, str], Translation]:
    """Return what reads a package."""
    if not (path.is_dir() and _is_generic(path)):
        return taiwan.translate
    metadata, stats = _json(path / METADATA), _json(path / "stats.json")
    inputs = stats.get("input")
    if isinstance(inputs, dict) and set(cmip6.SUN_AND_HOUR) <= set(inputs):
        return cmip6.translate
    if {"lead_hours", "patch_shape"} & set(metadata):
        return gefs.translate
    return earth2studio.translate


def _json(path: Path) -> dict[str, Any]:
    """Read enough of a file to tell packages apart; the translators judge it."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(_METADATA_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
