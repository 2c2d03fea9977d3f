"""The files of a published archive, in a zip or a folder, looked at with suspicion.

Nothing is unpacked but single files, under names of ours, into a folder of the caller.
"""

import contextlib
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.container import suspicion

__all__ = ["Tree", "open_tree"]

MOST_MEMBERS = 100_000
MOST_BYTES = 2**34  # of all members together
SMALL = 2**20  # bytes; of larger members, the ratio of sizes is looked at
MOST_RATIO = 200  # weights and fields hardly shrink, a bomb is a thousand times its size

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
_CHUNK = 2**20


@dataclass(frozen=True)
class Tree:
    """Files below one folder of an archive.

    Parameters
    ----------
    path : Path
        The zip or the folder, for messages.
    root : str
        Where the files are in it, "" or with a slash at its end.
    archive : zipfile.ZipFile, optional
        The zip, open; None for a folder.
    """

    path: Path
    root: str
    archive: zipfile.ZipFile | None

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of this name, with "/" between its parts."""
        if self.archive is None:
            return (self.path / self.root / name).is_file()
        return f"{self.root}{name}" in self.archive.NameToInfo

    def read(self, name: str, *, limit: int) -> bytes:
        """Return the contents of a file, of which no more than `limit` bytes come into memory.

        Raises
        ------
        ModelError
            If it is absent, damaged or larger.
        """
        with self._open(name, limit) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ModelError(f"{name} of {self.path} is larger than the {limit} bytes it may have")
        return data

    def copy(self, name: str, to: Path, *, limit: int) -> Path:
        """Copy a file to a path, under the same conditions; return the path."""
        with self._open(name, limit) as file, to.open("xb") as copy:
            while chunk := file.read(_CHUNK):
                copy.write(chunk)
                if copy.tell() > limit:
                    raise ModelError(f"{name} of {self.path} is larger than {limit} bytes")
        return to

    @contextlib.contextmanager
    def _open(self, name: str, limit: int) -> Iterator[IO[bytes]]:
        if name not in self:
            raise ModelError(f"there is no {name} in {self.path}")
        with _reading(self.path, name):
            if self.archive is None:
                with (self.path / self.root / name).open("rb") as file:
                    yield file
                return
            info = self.archive.getinfo(f"{self.root}{name}")
            ratio = info.file_size / max(info.compress_size, 1)
            if info.file_size > limit or (info.file_size > SMALL and ratio > MOST_RATIO):
                raise ModelError(
                    f"{name} of {self.path} would unpack from {info.compress_size} to "
                    f"{info.file_size} bytes; no such file of a model does"
                )
            with self.archive.open(info) as member:
                yield member


@contextlib.contextmanager
def open_tree(path: Path, marker: str) -> Iterator[Tree]:
    """Open a zip or a folder, and find where in it the files lie.

    Parameters
    ----------
    path : Path
        A zip, a zip in which that zip lies, or the folder that it was unpacked to.
    marker : str
        A file of it, such as "checkpoints/diffusion.mdlus", by which its place is found.

    Yields
    ------
    Tree
        The files.

    Raises
    ------
    ModelError
        If there is no such file, or a zip holds what no model does: paths that lead out of it,
        links, repeated names, encryption, unusual compression, too many or too large members.
    """
    if path.is_dir():
        yield Tree(path, _root_in_folder(path, marker), None)
        return
    with contextlib.ExitStack() as stack:
        archive = _opened(stack, path)
        names = [name for name in archive.namelist() if name.endswith(".zip")]
        if not any(name.endswith(marker) for name in archive.namelist()) and len(names) == 1:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="xresdiff-"))
            inner = Tree(path, "", archive).copy(
                names[0], Path(folder) / "inner.zip", limit=MOST_BYTES
            )
            archive = _opened(stack, inner, told=path)
        roots = [n.removesuffix(marker) for n in archive.namelist() if _ends_with(n, marker)]
        if len(roots) != 1:
            raise ModelError(f"{path} has {len(roots)} files {marker}, one is needed")
        yield Tree(path, roots[0], archive)


def _root_in_folder(path: Path, marker: str) -> str:
    if (path / marker).is_file():
        return ""
    roots = [f"{each.name}/" for each in path.iterdir() if (each / marker).is_file()]
    if len(roots) != 1:
        raise ModelError(f"{path} has {len(roots)} files {marker}, one is needed")
    return roots[0]


def _opened(stack: contextlib.ExitStack, path: Path, told: Path | None = None) -> zipfile.ZipFile:
    with _reading(told or path, "its list of files"):
        archive = stack.enter_context(zipfile.ZipFile(path))
    _check(archive, told or path)
    return archive


def _check(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse a zip with members that no model has."""
    members = archive.infolist()
    times = Counter(member.orig_filename for member in members)
    problems = [
        f"its member {member.orig_filename!r} {problem}"
        for member in members
        if (problem := _suspicion(member, times[member.orig_filename]))
    ]
    total = sum(member.file_size for member in members)
    if len(members) > MOST_MEMBERS:
        problems.append(f"it has {len(members)} members, more than {MOST_MEMBERS}")
    if total > MOST_BYTES:
        problems.append(f"it would unpack to {total} bytes, more than {MOST_BYTES}")
    raise_problems(problems[:20], what=f"trust the file {path}", error=ModelError)


def _suspicion(member: zipfile.ZipInfo, times: int) -> str:
    """Say what is wrong with a member of a zip; nothing, if it is a plain file or folder."""
    name = member.orig_filename
    if name.startswith("/") or ".." in PurePosixPath(name).parts or set(name) & set("\\:\0"):
        return "does not lie within it"
    return suspicion(member, times, (0, stat.S_IFREG, stat.S_IFDIR))


def _ends_with(name: str, marker: str) -> bool:
    return name == marker or name.endswith(f"/{marker}")


@contextlib.contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except (OSError, KeyError) as error:
        raise ModelError(f"cannot read {what} in {path}: {error}") from error
    except _DAMAGE as error:
        raise ModelError(f"{path} is damaged or no zip: {error}. Copy or fetch it again") from error
