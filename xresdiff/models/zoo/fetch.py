"""Models into the cache: whole, checked, and once for all processes that share it."""

import contextlib
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

from xresdiff.errors import ModelError, StoreError, XresdiffError, warn
from xresdiff.models.zoo import records
from xresdiff.models.zoo.download import TEXTS, download
from xresdiff.models.zoo.entries import Entry
from xresdiff.models.zoo.locks import locked, stage
from xresdiff.models.zoo.records import Kept, Record, sha256_of, today
from xresdiff.models.zoo.sources import Source, sources
from xresdiff.options import cache_dir, offline

__all__ = ["fetch", "find", "state"]

FIRST = "its first download"  # told the sha256, as nobody else does

log = logging.getLogger("xresdiff")


def fetch(entry: Entry) -> Path:
    """Return the file or folder of a model, fetched into the cache if need be.

    Parameters
    ----------
    entry : Entry
        A model that is not inside this package.

    Returns
    -------
    Path
        Checked: its bytes have the sha256 of the entry, that its publisher tells, or else that
        of the first download.

    Raises
    ------
    ModelError
        If it cannot be run here, is only fetched by hand, is not the file that its sha256
        promises, or cannot be fetched, perhaps because ``XRESDIFF_OFFLINE`` forbids it.
    StoreError
        If the cache cannot be written.
    """
    _refuse_status(entry)
    if entry.address.local is not None:
        return _local(entry)
    wrong = _wrong(entry)
    if wrong and offline():
        raise ModelError(
            f"the model {entry.name!r} cannot be opened: {wrong}, and XRESDIFF_OFFLINE forbids to "
            f"fetch it. {_by_hand(entry)}"
        )
    if wrong:
        _fetch(entry)
    else:
        _at_first_use(entry)
    return entry.target


def _fetch(entry: Entry) -> None:
    what = f"cannot fetch the model {entry.name!r}"
    try:
        entry.target.parent.mkdir(parents=True, exist_ok=True)
        with locked(entry.target):
            if _wrong(entry):  # no other process has brought it meanwhile
                _bring(entry)
    except XresdiffError as error:
        raise type(error)(f"{what}: {error}. {_by_hand(entry)}") from error
    except OSError as error:
        if hasattr(error, "response"):  # of a server, where others are of the disk
            raise ModelError(f"{what}: {error}. {_by_hand(entry)}") from error
        raise StoreError(
            f"{what}: the cache {cache_dir()} cannot be written ({error}). Type "
            f"export XRESDIFF_CACHE=/a/folder/of/yours. {_by_hand(entry)}"
        ) from error


def find(entry: Entry) -> Path:
    """Return the file or folder of a model that was fetched before; never fetch it.

    Parameters
    ----------
    entry : Entry
        A model that is not inside this package.

    Returns
    -------
    Path
        Checked as by :func:`fetch`.

    Raises
    ------
    ModelError
        If it is not in the cache, or not as it was.
    """
    _refuse_status(entry)
    if entry.address.local is not None:
        return _local(entry)
    if wrong := _wrong(entry):
        raise ModelError(
            f"the model {entry.name!r} cannot be opened: {wrong}. It is fetched where the graph is "
            f"built, never where it is computed: open the model there, and let both use one "
            f"XRESDIFF_CACHE; here it is {cache_dir()}"
        )
    return entry.target


def state(entry: Entry) -> str:
    """Say in a few words whether a model can be opened at once."""
    if not entry.url:
        return "with xresdiff"
    if entry.status != "ready":
        return entry.status
    there = entry.target.exists()
    if entry.address.local is not None:
        return "on this machine" if there else "missing"
    return "cached" if there else "to be fetched"


def _refuse_status(entry: Entry) -> None:
    if entry.status == "not supported":
        raise ModelError(f"the model {entry.name!r} cannot be run by xresdiff: {entry.reason}")
    if entry.status == "by hand":
        raise ModelError(
            f"the model {entry.name!r} is not fetched for you: it {entry.reason}. Download it from "
            f"{entry.address.page} and open it by its path: open_model('path/to/{entry.name}')"
        )


def _local(entry: Entry) -> Path:
    path = entry.target
    if not path.exists():
        raise ModelError(f"the model {entry.name!r} is not at {path}, where it was registered")
    if entry.sha256 is not None and (found := sha256_of(path)) != entry.sha256:
        raise ModelError(f"the sha256 of {path} is {found}; it should be {entry.sha256}")
    return path


def _wrong(entry: Entry) -> str:
    """Say why a model cannot be taken from the cache; nothing, if it can."""
    if not entry.target.exists():
        return "it is not in the cache"
    return records.problem(entry)


def _by_hand(entry: Entry) -> str:
    if entry.address.file:
        return f"To bring it by hand, copy {entry.address.page} to {entry.target}"
    what = f"the files {', '.join(entry.files)}" if entry.files else "all files"
    return (
        f"To bring it by hand, copy {what} of {entry.address.page} into the folder {entry.target}"
    )


def _bring(entry: Entry) -> None:
    """Fetch the files beside their place, then rename them into it."""
    target, folder = entry.target, stage(entry.target)
    before = records.read(entry)
    shown = _show_licence(entry, before)
    if target.is_dir() and not folder.exists():
        shutil.copytree(target, folder)  # what is whole of it need not be fetched again
    folder.mkdir(exist_ok=True)
    kept = {
        source.name: _bring_file(source, folder, before.files.get(source.name))
        for source in sources(entry)
    }
    records.write(entry, Record(entry.url, entry.revision, entry.licence, shown, kept))
    if entry.address.file:
        os.replace(folder / target.name, target)
        shutil.rmtree(folder)
    else:
        shutil.rmtree(target, ignore_errors=True)  # damaged, or it would not be fetched
        os.replace(folder, target)
    _tell(entry, kept)


def _at_first_use(entry: Entry) -> None:
    """Show the terms of a model that was copied by hand, too."""
    record = records.read(entry)
    shown = _show_licence(entry, record)
    if shown != record.licence_shown:
        with contextlib.suppress(OSError):  # a cache that is read only is told every time
            records.write(entry, replace(record, licence=entry.licence, licence_shown=shown))


def _show_licence(entry: Entry, before: Record) -> str:
    """Show the terms of a model before it is used first; return the date of that."""
    if before.licence_shown and before.licence == entry.licence:
        return before.licence_shown
    size = f" ({entry.size_bytes / 1e6:.1f} MB)" if entry.size_bytes else ""
    log.warning(
        "first use of the model %s%s from %s; its licence: %s",
        entry.name,
        size,
        entry.address.page,
        entry.licence or "none is told, ask its publisher",
    )
    return today()


def _bring_file(source: Source, folder: Path, before: Kept | None) -> Kept:
    path = folder / source.name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = _check(path, source, before)  # left by a fetch that was killed later on
    except (ModelError, FileNotFoundError):
        found = _download(path, source, before)
    known = source.known if source.sha256 else before.known if before else FIRST
    date = before.date if before and before.sha256 == found else today()
    now = path.stat()
    return Kept(found, now.st_size, now.st_mtime_ns, known, date)


def _download(path: Path, source: Source, before: Kept | None) -> str:
    """Download a file; return its sha256. One that was pieced together has a second chance."""
    part = path.with_name(f"{path.name}.part")
    for last in (False, True):
        pieced = download(source.url, part, size_bytes=source.size_bytes)
        try:
            found = _check(part, source, before)
            break
        except ModelError as error:
            part.unlink()
            if last or not pieced:
                raise ModelError(
                    f"what {source.url} sends is not the model, or was damaged on the way; it was "
                    f"thrown away: {error}"
                ) from error
    os.replace(part, path)
    return found


def _check(path: Path, source: Source, before: Kept | None) -> str:
    """Return the sha256 of a file that was fetched; refuse it if it is not what it should be."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<") and Path(source.name).suffix not in TEXTS:
        raise ModelError(f"it is a web page: {start.decode('utf-8', 'replace')!r}")
    if size != source.size_bytes if source.size_bytes else not size:
        needed = f"{source.size_bytes} are needed" if source.size_bytes else "some are needed"
        raise ModelError(f"it has {size} bytes, {needed}")
    found = sha256_of(path)
    if source.sha256 not in (None, found):
        raise ModelError(f"its sha256 is {found}; {source.known} tells {source.sha256}")
    if source.sha256 is None and before and before.sha256 != found:
        raise ModelError(
            f"its sha256 is {found}; on {before.date} it was {before.sha256}. If you trust the "
            "new one, remove the .sha256.json of this model from the cache"
        )
    return found


def _tell(entry: Entry, kept: dict[str, Kept]) -> None:
    """Say which files nobody told the sha256 of."""
    first = {name: file for name, file in kept.items() if file.known == FIRST}
    if not first:
        return
    what = f"nobody tells the sha256 of {', '.join(first)} of the model {entry.name!r}"
    now = "those of this download were recorded, and are required from now on"
    if entry.address.pinned:
        log.warning("%s; its address is pinned to a revision, and %s", what, now)
    elif entry.address.file:
        (file,) = first.values()
        warn(
            f"{what}, and what {entry.url} sends may change; {now}. To hold every machine to it, "
            f"type xresdiff.register({entry.name!r}, {entry.url!r}, sha256={file.sha256!r})"
        )
    else:
        warn(
            f"{what}, and {entry.revision!r} may change; {now}. To hold every machine to it, name "
            f"the commit, 40 digits of 0-9 and a-f, in place of {entry.revision!r}"
        )
