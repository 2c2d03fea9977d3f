"""The container of a checkpoint: three members in a tar or a zip, read with suspicion."""

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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from xresdiff.errors import ModelError, StoreError, raise_problems

__all__ = ["Contents", "fills", "read_archive", "write_archive"]

MEMBERS = ("model.pt", "args.json", "metadata.json")
JSON_LIMIT = 1 << 20  # bytes; true ones have a few hundred
JSON_DEPTH = 16  # objects and lists within each other; true ones have four
DIGITS = 18  # of a whole number
INFLATION = 4  # how many times its own size a zip may hold; weights hardly deflate
PADDING = 1 << 20  # bytes of zeros behind a tar; its writers round up to 10 240
EXTENDED_LIMIT = 1 << 16  # bytes of a tar's extended header; true ones have 30
EXTENDED = ("mtime", "atime", "ctime", "uid", "gid", "uname", "gname")

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
        with path.open("rb") as file:
            archive = _opened(file)
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
    """An uncompressed tar, as PhysicsNeMo wrote up to release 1.3, read header by header."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size = file, os.fstat(file.fileno()).st_size
        self.places: dict[str, tuple[int, int]] = {}

    def members(self) -> list[_Member]:
        found: list[_Member] = []
        while (info := self._header()) is not None:
            start = self.file.tell()
            found.append(_Member(info.name, info.size, self._problem(info, start)))
            if found[-1].problem or len(found) > len(MEMBERS):
                return found  # enough to refuse it
            self.places[info.name] = start, info.size
            self.file.seek(start + _blocks(info.size))
        rest = self.file.read(PADDING + 1)
        if len(rest) > PADDING or rest.strip(b"\0"):
            raise tarfile.ReadError("something stands behind its end")
        return found

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header, or None at the end; tell what an extended one in front says."""
        try:
            info = self._block()
            if info.type == tarfile.XHDTYPE:
                self._check_extended(info.size)
                info = self._block()
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return None
        return info

    def _block(self) -> tarfile.TarInfo:
        block = self.file.read(tarfile.BLOCKSIZE)
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")

    def _check_extended(self, size: int) -> None:
        """Refuse an extended header that says more than times and owners."""
        if not 0 <= size <= EXTENDED_LIMIT:
            raise tarfile.ReadError(f"an extended header has {size} bytes")
        text = self.file.read(_blocks(size))[:size]
        while text:  # records "18 mtime=1234.567\n", each of which begins with its length
            digits = text.partition(b" ")[0]
            record, text = text[: int(digits)], text[int(digits) :]
            key = record[len(digits) + 1 :].partition(b"=")[0].decode()
            if len(record) != int(digits) or key not in EXTENDED:
                raise tarfile.ReadError(f"an extended header tells {key!r}")

    def _problem(self, info: tarfile.TarInfo, start: int) -> str:
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            return "is no plain file"
        if info.size < 0 or start + info.size > self.size:
            return f"declares {info.size} bytes, more than the file has"
        return ""

    def read(self, name: str) -> bytes:
        start, size = self.places[name]
        self.file.seek(start)
        return self.file.read(size)


def _blocks(size: int) -> int:
    """Return the bytes that a member of a tar takes, with its padding."""
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


class _Zip:
    """A zip, as PhysicsNeMo has written since release 2.0."""

    def __init__(self, file: IO[bytes]) -> None:
        self.archive, self.size = zipfile.ZipFile(file), os.fstat(file.fileno()).st_size
        if not fills(self.archive, file):
            raise zipfile.BadZipFile("something stands before or behind it")

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


def fills(archive: zipfile.ZipFile, file: IO[bytes]) -> bool:
    """Tell whether a zip begins and ends with its file, so that all see the same members."""
    file.seek(-22, os.SEEK_END)
    end = file.read()
    first = min((info.header_offset for info in archive.infolist()), default=0)
    return first == 0 and end[:4] == b"PK\5\6" and end[-2:] == b"\0\0"


def _opened(file: IO[bytes]) -> _Tar | _Zip:
    """Open a zip or a tar, told apart by how they begin: a tar may hold a zip."""
    start = file.read(4)
    file.seek(0)
    return _Zip(file) if start == b"PK\3\4" else _Tar(file)


def _parse(text: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; infinity is a number here, since the files have it."""
    try:
        data = json.loads(
            text.decode(),
            object_pairs_hook=_once,
            parse_constant=_constant,
            parse_int=_integer,
        )
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


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


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
