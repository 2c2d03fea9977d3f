"""Recognise the packages of others, and keep their translations."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from xresdiff.errors import ModelError
from xresdiff.models.card import CARD
from xresdiff.models.package import Stage, write_package
from xresdiff.models.published.translation import Translation
from xresdiff.options import cache_dir

__all__ = ["kept", "latest", "recognised", "translated"]

EDITION = 1  # of the translations: a change of what they are asks for another number

_METADATA, _STATS, _CHECKPOINT = "metadata.json", "stats.json", ".mdlus"
_METADATA_LIMIT = 2**20  # bytes that are read to tell packages apart


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
        return not (path / CARD).exists() and any(
            (path / name).exists() for name in (_METADATA, *_taiwan_places())
        )
    if not path.is_file():
        return False
    return path.suffix == _CHECKPOINT or _is_foreign_zip(path)


def _taiwan_places() -> tuple[str, ...]:
    inside = "checkpoints/diffusion.mdlus"
    return (inside, f"corrdiff_inference_package/{inside}")


def _is_foreign_zip(path: Path) -> bool:
    """Tell whether a file is a zip with the checkpoints, or the zip that has them, inside."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False
    return CARD not in names and any(
        name.endswith(("checkpoints/diffusion.mdlus", ".zip")) for name in names
    )


def translated(path: Path, name: str) -> Path:
    """Return our package of a model that somebody else packed, made now or before.

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
    translate = _translator(path)
    folder = _folder() / f"{name}-{_fingerprint(path)[:16]}"
    if not (folder / CARD).is_file():
        made = translate(path, name)
        weights: dict[Stage, Mapping[str, np.ndarray]] = {
            "mean": made.weights["mean"],
            "residual": made.weights["residual"],
        }
        write_package(folder, made.card, weights, grid=made.grid)
    return folder


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


def latest(name: str) -> Path | None:
    """Return the newest translation of a model of a name, if there is one; nothing is hashed.

    Parameters
    ----------
    name : str
        That it was given.

    Returns
    -------
    Path or None
    """
    cards = _folder().glob(f"{name}-{'[0-9a-f]' * 16}/{CARD}")
    return max((card.parent for card in cards), key=os.path.getmtime, default=None)


def _folder() -> Path:
    return cache_dir() / "translated"


def _fingerprint(path: Path) -> str:
    """Hash the files that a package is made of, with their names."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256(str(EDITION).encode())
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        about = file.stat()
        digest.update(f"{name}\0{_sha256(file, about.st_size, about.st_mtime_ns)}".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    """Hash a file, once for as long as its size and time stay what they are."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _translator(path: Path) -> Callable[[Path, str], Translation]:
    """Return what reads a package."""
    from xresdiff.models.published import cmip6, earth2studio, gefs, taiwan

    if path.suffix == _CHECKPOINT:
        raise ModelError(
            f"{path} is one network, without its channels, units and grid: put the two of a model "
            "into a folder as regression.mdlus and diffusion.mdlus, with metadata.json, stats.json "
            "and output_latlon_grid.nc. The network alone is read by "
            f"xresdiff.models.physicsnemo.read_mdlus({str(path)!r})"
        )
    if path.is_file() or not (path / _METADATA).exists():
        return taiwan.translate
    metadata, stats = _json(path / _METADATA), _json(path / _STATS)
    if {"sza", "hod"} <= set(stats.get("input", ())):
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
