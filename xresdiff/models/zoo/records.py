"""What is known of the files in the cache: their hashes, who told them, when they were checked."""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models import strict_json
from xresdiff.models.zoo.entries import Entry

__all__ = ["COPY", "Kept", "Record", "path_of", "problem", "read", "sha256_of", "today", "write"]

COPY = "a copy made by hand"  # told the sha256, as nobody else does
SETTLED_S = 2.0  # after its last change, a file is no more being copied

log = logging.getLogger("xresdiff")


@dataclass(frozen=True)
class Kept:
    """One file as it was when its bytes were last hashed.

    Parameters
    ----------
    sha256 : str
        What its bytes must have.
    size, mtime_ns, ctime_ns, inode : int
        With these, it is the file that was hashed.
    known : str
        Who told the sha256.
    date : str
        When it was recorded.
    """

    sha256: str
    size: int
    mtime_ns: int
    known: str
    date: str
    ctime_ns: int = 0
    inode: int = 0

    def at(self, path: Path) -> "Kept":
        """Return the same bytes as the file of a path that they are in now."""
        now = path.stat()
        return replace(
            self,
            size=now.st_size,
            mtime_ns=now.st_mtime_ns,
            ctime_ns=now.st_ctime_ns,
            inode=now.st_ino,
        )


@dataclass(frozen=True)
class Record:
    """What is known of one model in the cache.

    Parameters
    ----------
    url, revision : str
        Where it came from.
    licence, licence_shown : str
        Its terms, and the date on which they were shown.
    files : dict of Kept
        By their path within the model.
    """

    url: str
    revision: str
    licence: str = ""
    licence_shown: str = ""
    files: dict[str, Kept] = field(default_factory=dict)


def place(target: Path) -> Path:
    """Return where the record of a file or folder of the cache is: beside it."""
    return target.with_name(f"{target.name}.sha256.json")


def read(entry: Entry) -> Record:
    """Return the record of a model; an empty one if nothing is known.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    path = place(entry.target)
    try:
        return strict_json.read(Record, strict_json.parse(path.read_bytes()), what="record")
    except (FileNotFoundError, NotADirectoryError):
        return Record(entry.url, entry.revision)
    except (ModelError, OSError) as error:
        raise ModelError(
            f"{path} cannot be read, which holds the sha256 of {entry.target}: {error}. "
            f"If you trust that model, type: rm '{path}'"
        ) from error


def write(entry: Entry, record: Record) -> None:
    """Write the record of a model, whole or not at all.

    Raises
    ------
    OSError
        If the cache cannot be written.
    """
    path = place(entry.target)
    handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w") as file:
            json.dump(asdict(record), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    finally:
        Path(new).unlink(missing_ok=True)


def today() -> str:
    """Return the date (UTC)."""
    return datetime.now(UTC).date().isoformat()


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def problem(entry: Entry) -> str:
    """Check the files of a model that are here; say what is wrong with them, if anything is.

    Files that have the size, the times of change and the inode of the record are those that were
    hashed. Others are hashed now; one of which nobody told the hash, such as a copy made by hand,
    is recorded as it is, which is said.

    Parameters
    ----------
    entry : Entry
        A model whose `target` exists.

    Returns
    -------
    str
        Empty if all of them are there, with the bytes that they should have.

    Raises
    ------
    ModelError
        If the record is damaged.
    """
    record = read(entry)
    names = _names(entry, record)
    if not names:
        return f"{entry.target} is empty"
    checked, problems = {}, []
    for name in names:
        try:
            checked[name] = _checked(entry, name, record.files.get(name))
        except (ModelError, OSError) as error:
            problems.append(str(error))
    new = [name for name, kept in checked.items() if name not in record.files]
    if new and not problems:
        log.info("nothing was recorded of %s; it is recorded anew", entry.target)
        _tell_copies(entry, {name: checked[name] for name in new})
    if not problems and checked != record.files:
        with contextlib.suppress(OSError):  # a cache that is read only is checked every time
            write(entry, replace(record, files=checked))
    try:
        raise_problems(problems, what=f"trust {entry.target}", error=ModelError)
    except ModelError as error:
        return str(error)
    return ""


def _tell_copies(entry: Entry, new: dict[str, Kept]) -> None:
    """Warn of the files that are believed as they are."""
    if believed := [name for name, kept in new.items() if kept.known == COPY]:
        warn(
            f"nobody tells the sha256 of {', '.join(believed)} of the model {entry.name!r}, which "
            f"is in {entry.target.parent} without a record, as a copy made by hand; those of now "
            "were recorded, and are required from now on"
        )


def _names(entry: Entry, record: Record) -> list[str]:
    target = entry.target
    if not target.is_dir():
        return [target.name]
    there = (file.relative_to(target).as_posix() for file in target.rglob("*") if file.is_file())
    return sorted(record.files) or sorted(entry.files or there)


def path_of(entry: Entry, name: str) -> Path:
    """Return where a file of a model is."""
    return entry.target / name if entry.target.is_dir() else entry.target


def _checked(entry: Entry, name: str, kept: Kept | None) -> Kept:
    path = path_of(entry, name)
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    needed = entry.sha256 or (kept.sha256 if kept else None)
    if kept and kept.sha256 == needed and kept == kept.at(path):
        return kept
    if needed is None:
        _settle(path)
    known = kept.known if kept else entry.hash_source if entry.sha256 else COPY
    now = Kept("", 0, 0, known, kept.date if kept else today()).at(path)
    found = sha256_of(path)
    if needed not in (None, found):
        told = f", as it had on {kept.date}" if kept and not entry.sha256 else ""
        raise ModelError(f"the sha256 of {path} is {found}; it should be {needed}{told}")
    return replace(now, sha256=found)


def _settle(path: Path) -> None:
    """Wait for a file that is perhaps being copied."""
    while 0 <= time.time() - path.stat().st_mtime < SETTLED_S:
        time.sleep(SETTLED_S / 10)
