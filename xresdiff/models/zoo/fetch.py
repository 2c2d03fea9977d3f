"""Models into the cache: whole, checked, and once for all processes that share it."""

import contextlib
import logging
import os
import shlex
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

from xresdiff.errors import ModelError, StoreError, XresdiffError, warn
from xresdiff.models.zoo import records
from xresdiff.models.zoo.addresses import masked
from xresdiff.models.zoo.download import TEXTS, download
from xresdiff.models.zoo.entries import Entry
from xresdiff.models.zoo.locks import locked, stage
from xresdiff.models.zoo.records import Kept, Record, sha256_of, today
from xresdiff.models.zoo.sources import Source, sources
from xresdiff.options import cache_dir, offline

__all__ = ["fetch", "find", "forget_hint", "state"]

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
    _refuse_yours(entry, wrong)
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
            raise ModelError(masked(f"{what}: {error}. {_by_hand(entry)}")) from None
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
        _refuse_yours(entry, wrong)
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
    if not there:
        return "to be fetched"
    try:
        known = entry.sha256 or records.read(entry).files
        return "damaged" if known and _wrong(entry) else "cached"
    except (ModelError, OSError):
        return "damaged"


def _refuse_status(entry: Entry) -> None:
    if entry.status == "not supported":
        raise ModelError(f"the model {entry.name!r} cannot be run by xresdiff: {entry.reason}")
    if entry.status == "by hand":
        raise ModelError(
            f"the model {entry.name!r} is not fetched for you: it {entry.reason}. Download it from "
            f"{entry.address.page} and open it by its path: open_model('path/to/{entry.name}'), "
            "as a folder that docs/published-models.rst describes"
        )


def _local(entry: Entry) -> Path:
    path = entry.target
    if not path.exists():
        raise ModelError(f"the model {entry.name!r} is not at {path}, where it was registered")
    if entry.sha256 is not None and path.is_dir():
        raise ModelError(
            f"{path} is a folder, of which there is no sha256; register the model "
            f"{entry.name!r} without one"
        )
    if entry.sha256 is not None and (found := sha256_of(path)) != entry.sha256:
        raise ModelError(f"the sha256 of {path} is {found}; it should be {entry.sha256}")
    return path


def _wrong(entry: Entry) -> str:
    """Say why a model cannot be taken from the cache; nothing, if it can."""
    if not entry.target.exists():
        return "it is not in the cache"
    if entry.target.is_dir() and entry.address.scheme != "hf":
        return f"{entry.target} is a folder, and a file belongs there"
    return records.problem(entry)


def _refuse_yours(entry: Entry, wrong: str) -> None:
    """Leave what a person put into the cache, and what is wrong there, to that person."""
    target = entry.target
    completed = entry.address.scheme == "hf" and target.is_dir()  # by a fetch
    recorded = target.is_file() and records.read(entry).files
    if wrong and target.exists() and not completed and not recorded:
        raise ModelError(
            f"the model {entry.name!r} cannot be opened: {wrong}. You put it there, as nothing is "
            f"recorded of it: {forget_hint(entry)}, and open the model again"
        )


def forget_hint(entry: Entry) -> str:
    """Return the line that removes a model, and what is recorded of it, from the cache."""
    target = entry.target
    return f"type rm -r {shlex.quote(str(target))} {shlex.quote(str(records.place(target)))}"


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
    try:
        listed = sources(entry)
        kept = {
            source.name: _bring_file(source, folder, before.files.get(source.name))
            for source in listed
        }
    except BaseException:
        _clear(folder)
        raise
    record = Record(masked(entry.url), entry.revision, entry.licence, shown, kept)
    records.write(entry, record)  # before the files, which are believed by it alone
    if target.is_dir():
        shutil.rmtree(target)  # damaged, or it would not be fetched
    if list(kept) == [target.name]:
        os.replace(folder / target.name, target)
        shutil.rmtree(folder)
    else:
        target.unlink(missing_ok=True)
        os.replace(folder, target)
    moved = {name: file.at(records.path_of(entry, name)) for name, file in kept.items()}
    records.write(entry, replace(record, files=moved))  # a move changes the times
    _tell(entry, kept)


def _clear(folder: Path) -> None:
    """Leave nothing of a fetch that failed but what it can go on with."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # it holds something
                path.rmdir()
        elif path.suffix == ".etag" and not path.with_suffix("").exists():
            path.unlink()
        elif path.suffix == ".part" and not path.stat().st_size:
            path.unlink()
            path.with_name(f"{path.name}.etag").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


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
    return Kept(found, 0, 0, known, date).at(path)


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
                    f"what {masked(source.url)} sends is not the model, or was damaged on the "
                    f"way; it was thrown away: {error}"
                ) from error
    os.replace(part, path)
    return found


def _check(path: Path, source: Source, before: Kept | None) -> str:
    """Return the sha256 of a file that was fetched; refuse it if it is not what it should be."""
    size = path.stat().st_size
    _refuse_page(path, source.suffix)
    if size != source.size_bytes if source.size_bytes is not None else not size:
        needed = "some" if source.size_bytes is None else str(source.size_bytes)
        raise ModelError(f"it has {size} bytes, {needed} are needed")
    if source.sha256 is None:
        _refuse_strange(path, source.suffix)
    found = sha256_of(path)
    if source.sha256 not in (None, found):
        raise ModelError(
            f"its sha256 is {found}; {source.known} tells {source.sha256}. If you trust it, open "
            "it by its own path"
        )
    if source.sha256 is None and before and before.sha256 != found:
        raise ModelError(
            f"its sha256 is {found}; on {before.date} it was {before.sha256}. If you trust the "
            "new one, remove the .sha256.json of this model from the cache"
        )
    return found


def _refuse_page(path: Path, suffix: str) -> None:
    with path.open("rb") as file:
        start = file.read(2**16)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # text of two bytes each
        start = start[2:].replace(b"\0", b"")
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:64]
    if start.startswith(b"<") and suffix not in TEXTS:
        raise ModelError(f"it is a web page: {start.decode('utf-8', 'replace')!r}")


def _refuse_strange(path: Path, suffix: str) -> None:
    """Refuse what is no whole archive, of a name that promises one."""
    with path.open("rb") as file:
        start = file.read(64)
    whole = start.startswith(b"PK") and zipfile.is_zipfile(path)
    if suffix == ".mdlus" and (whole or tarfile.is_tarfile(path)):
        return
    if suffix in (".zip", ".resdiff", ".mdlus") and not whole:
        raise ModelError(
            f"it is no {suffix} file, or not the whole of one: it begins with {start[:32]!r}"
        )


def _tell(entry: Entry, kept: dict[str, Kept]) -> None:
    """Say which files nobody told the sha256 of."""
    first = {name: file for name, file in kept.items() if file.known == FIRST}
    if not first:
        return
    what = f"nobody tells the sha256 of {', '.join(first)} of the model {entry.name!r}"
    now = "those of this download were recorded, and are required from now on"
    if entry.address.pinned:
        log.warning("%s; its address is pinned to a revision, and %s", what, now)
    elif not entry.revision:
        (file,) = first.values()
        warn(
            f"{what}, and what {entry.address.page} sends may change; {now}. To hold every "
            f"machine to it, type xresdiff.register({entry.name!r}, {entry.address.page!r}, "
            f"sha256={file.sha256!r})"
        )
    else:
        warn(
            f"{what}, and {entry.revision!r} may change; {now}. To hold every machine to it, name "
            f"the commit, 40 digits of 0-9 and a-f, in place of {entry.revision!r}"
        )
