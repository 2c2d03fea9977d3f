"""A few files kept as one folder or one zip: listed and read with suspicion, written atomically."""

import contextlib
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from xresdiff.errors import ModelError, StoreError, raise_problems

__all__ = ["PLAIN_NAME", "listing", "previous", "read", "suspicion", "write"]

SUFFIX = ".resdiff"  # of the files that are zips
PLAIN_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")  # means one file on every file system

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


def listing(path: Path) -> dict[str, int]:
    """Return the size in bytes of every file, by name, as the folder or the zip declares it.

    Raises
    ------
    ModelError
        If it is absent, unreadable, or a zip with members that no model of ours has: paths,
        links, repeated names, encryption, unusual compression.
    """
    if not path.exists():
        raise ModelError(f"there is no file or folder {path}{_interrupted(path)}")
    with _reading(path, "its list of files"):
        if path.is_dir():
            return {file.name: file.stat().st_size for file in path.iterdir() if file.is_file()}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    times = Counter(member.orig_filename for member in members)
    problems = [
        f"its member {member.orig_filename!r} {problem}"
        for member in members
        if (problem := _suspicion(member, times[member.orig_filename]))
    ]
    raise_problems(problems, what=f"trust the file {path}", error=ModelError)
    return {member.filename: member.file_size for member in members}


def _suspicion(member: zipfile.ZipInfo, times: int) -> str:
    """Say what is wrong with a member of a zip; nothing, if it is a plain file."""
    if not PLAIN_NAME.fullmatch(member.orig_filename):
        return "is not a plain file name"
    return suspicion(member, times)


def suspicion(
    member: zipfile.ZipInfo, times: int, kinds: tuple[int, ...] = (0, stat.S_IFREG)
) -> str:
    """Say what is wrong with a member of a zip, whatever its name; nothing, if nothing is.

    Parameters
    ----------
    member : zipfile.ZipInfo
        The member.
    times : int
        How many there are of its name.
    kinds : tuple of int
        What it may be, as `stat` numbers it; 0 where the zip does not tell.
    """
    if times > 1:
        return f"is there {times} times"
    if stat.S_IFMT(member.external_attr >> 16) not in kinds:
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is neither stored nor deflated"
    return ""


def read(path: Path, name: str, *, limit: int) -> bytes:
    """Return the contents of one file, of which no more than `limit` bytes are ever in memory.

    Raises
    ------
    ModelError
        If it is absent, unreadable or larger.
    """
    with _reading(path, name), _member(path, name) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ModelError(f"{name} of {path} is larger than the {limit} bytes that it may have")
    return data


@contextlib.contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    if path.is_dir():
        with (path / name).open("rb") as file:
            yield file
    else:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            yield member


@contextlib.contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError) as error:
        raise ModelError(f"cannot read {what} in {path}: {error}") from error
    except _DAMAGE as error:
        raise ModelError(
            f"{path} is damaged or no {SUFFIX} file: {error}. Copy or fetch it again"
        ) from error


def write(path: Path, contents: Mapping[str, bytes]) -> Path:
    """Write files as a folder, or as one zip if the path ends with ``.resdiff``.

    They are written and synced beside their place and then renamed into it. Whenever this is
    killed, a package that was there before is whole: in its place or, should the kill fall between
    the two renames that replacing a folder takes, at :func:`previous`.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    StoreError
        If the place cannot be written.
    """
    target = path.expanduser().resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            new = Path(scratch) / target.name
            (_write_zip if target.suffix == SUFFIX else _write_folder)(new, contents)
            _put(new, target)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    return path


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    path.mkdir()
    for name, data in contents.items():
        with (path / name).open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _write_zip(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a zip, uncompressed and undated: equal contents make equal bytes."""
    with path.open("xb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in contents.items():
                archive.writestr(zipfile.ZipInfo(name), data)
        file.flush()
        os.fsync(file.fileno())


def _put(new: Path, target: Path) -> None:
    """Rename a finished package into its place, an old one out of it."""
    if new.is_file() and not target.is_dir():
        os.replace(new, target)
        return
    old = previous(target)
    if target.exists():
        _remove(old)  # left by a save that was killed after its work was done
        os.replace(target, old)
    try:
        os.replace(new, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    _remove(old)


def previous(path: Path) -> Path:
    """Return where a package is for the moment in which another takes its place."""
    return path.with_name(f".{path.name}.previous")


def _interrupted(path: Path) -> str:
    old = previous(path)
    if not old.exists():
        return ""
    return f"; a save was interrupted and left the model in {old}. Type: mv '{old}' '{path}'"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
