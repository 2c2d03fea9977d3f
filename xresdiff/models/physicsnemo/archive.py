"""The container of a checkpoint: three members in a tar or a zip, read with suspicion."""

import contextlib
import io
import json
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xresdiff.errors import ModelError, StoreError, raise_problems

__all__ = ["Contents", "read_archive", "write_archive"]

MEMBERS = ("model.pt", "args.json", "metadata.json")
JSON_LIMIT = 1 << 20  # bytes; true ones have a few hundred
JSON_DEPTH = 16  # objects and lists within each other; true ones have four
INFLATION = 4  # how many times its own size a zip may hold; weights hardly deflate

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    OverflowError,
)


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds.

    Parameters
    ----------
    arguments, metadata : dict
        The two JSON objects.
    weights : bytes
        The file that torch saved.
    """

    arguments: dict[str, Any]
    metadata: dict[str, Any]
    weights: bytes


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    problem: str


def read_archive(path: Path) -> Contents:
    """Read the members of a checkpoint, of which nothing is unpacked to a place of its choice.

    Raises
    ------
    ModelError
        If the file is absent, damaged, or holds anything but the three members: other names,
        links, repeated names, sizes beyond the file's.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        with _opened(path) as archive:
            members = archive.members()
            _check(members, path)
            data = {name: archive.read(name) for name in MEMBERS}
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    except _DAMAGE as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is damaged or no .mdlus file: {error}") from error
    return Contents(
        arguments=_parse(data["args.json"], f"args.json of {path}"),
        metadata=_parse(data["metadata.json"], f"metadata.json of {path}"),
        weights=data["model.pt"],
    )


def _check(members: list[_Member], path: Path) -> None:
    """Refuse members that no checkpoint has, before any of them is read."""
    times = Counter(member.name for member in members)
    problems = [f"its member {m.name!r} {m.problem}" for m in members if m.problem]
    problems += [f"its member {n!r} is there {k} times" for n, k in times.items() if k > 1]
    problems += [
        f"its member {name!r} is none of {', '.join(MEMBERS)}"
        for name in times
        if name not in MEMBERS
    ]
    problems += [f"it has no member {name}" for name in MEMBERS if name not in times]
    problems += [
        f"its member {member.name} has {member.size} bytes; {JSON_LIMIT} are the most"
        for member in members
        if member.name.endswith(".json") and member.size > JSON_LIMIT
    ]
    raise_problems(problems, what=f"trust the file {path}", error=ModelError)


class _Tar:
    """An uncompressed tar, as PhysicsNeMo wrote up to release 1.3."""

    def __init__(self, tar: tarfile.TarFile, size: int) -> None:
        self.tar, self.size = tar, size

    def members(self) -> list[_Member]:
        found = []
        for info in self.tar:
            found.append(_Member(info.name, info.size, self._problem(info)))
            if len(found) > len(MEMBERS):
                break  # enough to refuse it
        return found

    def _problem(self, info: tarfile.TarInfo) -> str:
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.sparse is not None:
            return "is no plain file"
        if info.size < 0 or info.offset_data + info.size > self.size:
            return f"declares {info.size} bytes, more than the file has"
        return ""

    def read(self, name: str) -> bytes:
        member = self.tar.extractfile(self.tar.getmember(name))
        assert member is not None  # it is a plain file
        return _whole(member, self.tar.getmember(name).size)


class _Zip:
    """A zip, as PhysicsNeMo has written since release 2.0."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive, self.size = archive, size

    def members(self) -> list[_Member]:
        infos = self.archive.infolist()[: len(MEMBERS) + 1]
        total = sum(info.file_size for info in infos)
        return [
            _Member(info.orig_filename, info.file_size, self._problem(info, total))
            for info in infos
        ]

    def _problem(self, info: zipfile.ZipInfo, total: int) -> str:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.is_dir():
            return "is a link, a folder or a device"
        if info.flag_bits & 1:
            return "is encrypted"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "is neither stored nor deflated"
        if total > INFLATION * self.size:
            return f"and the others declare {total} bytes in a file of {self.size}"
        return ""

    def read(self, name: str) -> bytes:
        with self.archive.open(name) as member:
            return _whole(member, self.archive.getinfo(name).file_size)


def _whole(file: IO[bytes], size: int) -> bytes:
    """Read a member, and no more of it than it declares."""
    data = file.read(size + 1)
    if len(data) != size:
        raise ValueError("a member has not the size that it declares")
    return data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Tar | _Zip]:
    """Open a tar, else a zip: what torch saved in a tar is itself a zip."""
    size = path.stat().st_size
    with contextlib.ExitStack() as stack:
        try:
            tar = stack.enter_context(tarfile.open(path, "r:"))
        except tarfile.TarError:
            yield _Zip(stack.enter_context(zipfile.ZipFile(path)), size)
        else:
            yield _Tar(tar, size)


def _parse(text: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; infinity is a number here, since the files have it."""
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{what} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ModelError(f"{what} is not a JSON object")
    if not _shallow(data, JSON_DEPTH):
        raise ModelError(f"{what} is nested more than {JSON_DEPTH} deep")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key comes twice")
    return data


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("NaN is not a number")
    return float(name)


def _shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_shallow(item, depth - 1) for item in items)


def write_archive(path: Path, members: Mapping[str, bytes], *, legacy: bool) -> None:
    """Write members as a zip, or as a tar, beside their place and then into it.

    Raises
    ------
    StoreError
        If the place cannot be written.
    """
    target = path.expanduser().resolve()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            new = Path(scratch) / target.name
            with new.open("xb") as file:
                (_fill_tar if legacy else _fill_zip)(file, members)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, target)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error


def _fill_zip(file: IO[bytes], members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def _fill_tar(file: IO[bytes], members: Mapping[str, bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
