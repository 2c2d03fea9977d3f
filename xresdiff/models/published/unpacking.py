"""Packages of folders that come as one zip: which they are, and their files on disk."""

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from xresdiff.errors import ModelError
from xresdiff.models.published.tree import open_tree

__all__ = ["members", "unpacked"]

FILE_LIMIT = 2**31  # bytes, of a checkpoint


def members(path: Path) -> list[str]:
    """Return the names in a zip; none if it is no zip."""
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return []


@contextlib.contextmanager
def unpacked(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """Copy the files of a package out of its zip, into a folder that is gone afterwards.

    Parameters
    ----------
    path : Path
        Of the zip.
    names : sequence of str
        Of files, which all lie in one folder of it; the first that is there tells which. Others
        are left where they are.

    Yields
    ------
    Path
        A folder, named as the zip is.

    Raises
    ------
    ModelError
        If the zip is damaged or not to be trusted; or from within, with the path of the zip.
    """
    told = {name.rpartition("/")[2] for name in members(path)}
    marker = next((name for name in names if name in told), names[0])
    with tempfile.TemporaryDirectory(prefix="xresdiff-") as scratch:
        folder = Path(scratch) / path.name
        folder.mkdir()
        with open_tree(path, marker) as tree:
            for name in names:
                if name in tree:
                    tree.copy(name, folder / name, limit=FILE_LIMIT)
        try:
            yield folder
        except ModelError as error:
            raise ModelError(str(error).replace(str(folder), str(path))) from error
