"""Where a store is: a folder of this machine, or a URL that fsspec knows."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import time
from typing import Any
from uuid import uuid4

from xresdiff.errors import StoreError

__all__ = ["ROOT", "Place", "place_of"]

ROOT = "zarr.json"  # of a group: once it is there, the store is
DRAFT = ".xresdiff-draft"  # marks a URL where making a store has begun

HOURS_OF_A_DRAFT = 24  # those of other processes may be older only if these were killed

READ_ONLY = ("http", "https", "zip", "tar", "github")
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}


@dataclass(frozen=True)
class Place:
    """The place of a store; it travels to workers.

    Parameters
    ----------
    url : str
        Absolute path of a folder, or a URL.
    storage_options : mapping, optional
        For fsspec, such as keys and endpoints.

    Notes
    -----
    Whatever fails raises OSError, also where the library of a filesystem has errors of its own.
    """

    url: str
    storage_options: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return self.url

    @property
    def folder(self) -> Path | None:
        """The folder, if it is on this machine."""
        return None if "://" in self.url else Path(self.url)

    @property
    def options(self) -> dict[str, Any] | None:
        """What xarray and zarr take as `storage_options`."""
        return dict(self.storage_options) if self.storage_options else None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.url).name if self.folder is None else self.folder.name

    @property
    def another(self) -> str:
        """A path beside this one, to be suggested."""
        stem = self.name.removesuffix(".zarr")
        return f"{self.url[: len(self.url) - len(self.name)]}{stem}.new.zarr"

    @property
    def kind(self) -> str:
        """What is there, in a word."""
        return "a file" if self.folder is not None and self.folder.is_file() else "a folder"

    def is_empty(self) -> bool:
        """Tell whether nothing is there, or only what is left of a store that was never whole."""
        if self.folder is not None:
            return not self.folder.exists() or (
                self.folder.is_dir() and not any(self.folder.iterdir())
            )
        with self._filesystem() as (fs, root):
            fs.invalidate_cache()
            if fs.exists(f"{root}/{ROOT}"):
                return False
            return fs.exists(f"{root}/{DRAFT}") or not (fs.exists(root) and fs.ls(root))

    def read(self, key: str) -> bytes | None:
        """Read a file of the store, None if it is not there."""
        try:
            if self.folder is not None:
                return (self.folder / key).read_bytes()
            with self._filesystem() as (fs, root):
                return bytes(fs.cat_file(f"{root}/{key}"))
        except FileNotFoundError:
            return None

    def replace(self, key: str, data: bytes, folder: str) -> None:
        """Replace a file of the store in one step: readers see the old one or the new one.

        On a disk it is first written beside others in a folder of the store, that of an array:
        readers go through the folder of the root, and would wonder at it. That is one step on
        local disks and object stores; others may have none.
        """
        if self.folder is None:
            with self._filesystem() as (fs, root):
                fs.pipe_file(f"{root}/{key}", data)
            return
        draft = self.folder / folder / f".{ROOT}.{uuid4().hex}.draft"
        try:
            write_through(draft, data)
            draft.replace(self.folder / key)
        finally:
            draft.unlink(missing_ok=True)

    def tidy(self, folders: Iterable[str]) -> None:
        """Remove the drafts that writers who were killed left in folders of the store."""
        if self.folder is not None:
            for folder in folders:
                for draft in _left(self.folder / folder, ROOT):
                    draft.unlink(missing_ok=True)

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Make the store of files that are at hand; it appears whole or not at all."""
        if self.folder is None:
            self._publish_remotely(files)
            return
        for left in _left(self.folder.parent, self.folder.name):
            shutil.rmtree(left, ignore_errors=True)
        draft = self.folder.with_name(f".{self.folder.name}.{uuid4().hex}.draft")
        try:
            for key, data in files.items():
                (draft / key).parent.mkdir(parents=True, exist_ok=True)
                write_through(draft / key, data)
            draft.replace(self.folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _publish_remotely(self, files: Mapping[str, bytes]) -> None:
        """Write the root last; objects have no folder that could be renamed."""
        with self._filesystem() as (fs, root):
            if fs.exists(f"{root}/{DRAFT}"):
                fs.rm(root, recursive=True)
            fs.pipe_file(f"{root}/{DRAFT}", b"")
            for key, data in files.items():
                if key != ROOT:
                    fs.pipe_file(f"{root}/{key}", data)
            fs.pipe_file(f"{root}/{ROOT}", files[ROOT])
            fs.rm_file(f"{root}/{DRAFT}")

    @contextmanager
    def _filesystem(self) -> Iterator[tuple[Any, str]]:
        """Give the filesystem of fsspec and the path in it; whatever fails is an OSError."""
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        try:
            fs, root = url_to_fs(self.url, **(self.options or {}))
            yield fs, root.rstrip("/")
        except (OSError, StoreError):
            raise
        except Exception as error:  # of botocore, aiohttp and others, which have their own
            raise OSError(f"{type(error).__name__}: {error}") from error


def _left(folder: Path, name: str) -> list[Path]:
    """Return the drafts of a name in a folder that no living process can be writing."""
    before = time() - HOURS_OF_A_DRAFT * 3600
    drafts = (path for path in folder.glob("*.draft") if path.name.startswith(f".{name}."))
    return [path for path in drafts if path.exists() and path.stat().st_mtime < before]


def write_through(file: Path, data: bytes) -> None:
    """Write a file, and wait until it is on disk."""
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def place_of(path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> Place:
    """Return the place that a user names.

    Raises
    ------
    StoreError
        If it is a URL that cannot be written to, or of a filesystem that is not installed.

    Examples
    --------
    >>> place_of("memory://runs/ens.zarr", None).another
    'memory://runs/ens.new.zarr'
    """
    text = os.fspath(path)
    if "://" not in text and "::" not in text:
        return Place(str(Path(text).expanduser().absolute()))
    scheme = text.partition("://")[0]
    if scheme == "file":
        return Place(str(Path(text.removeprefix("file://")).absolute()))
    if "::" in text or scheme in READ_ONLY:
        raise StoreError(
            f"{text} cannot be written to chunk by chunk; the path of a folder or a URL such as "
            f"{'s3://bucket/' + PurePosixPath(text).name!r} is needed"
        )
    _check_installed(scheme, text)
    return Place(text.rstrip("/"), storage_options)


def _check_installed(scheme: str, text: str) -> None:
    import fsspec  # type: ignore[import-untyped]

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = PACKAGES.get(scheme)
        line = f"type: pip install {package}" if package else str(error)
        raise StoreError(f"{text} needs a package that is not installed; {line}") from error
    except ValueError as error:
        raise StoreError(
            f"{text} is of no filesystem that fsspec knows ({error}); the path of a folder or a "
            "URL such as 's3://bucket/ens.zarr' is needed"
        ) from error
