"""Open a model, whatever it is: a name, an address, a folder, a file, a package of somebody else.

Packages that others publish are translated once into one of ours, which is kept in the cache folder
and is what runs.
"""

import os
import re
from pathlib import Path

from xresdiff.errors import ModelError
from xresdiff.models import container, published, zoo
from xresdiff.models.card import CARD
from xresdiff.models.package import Model, open_package

__all__ = ["at_hand", "glance", "open_key", "open_model"]

_KEY = re.compile(r"(?P<source>.+)@(?P<sha256>[0-9a-f]{64})", re.DOTALL)


def open_model(model: str | os.PathLike[str] | Model) -> Model:
    """Open a model and check every file of it.

    Parameters
    ----------
    model : str, PathLike or Model
        A name that :func:`~xresdiff.models.zoo.models` lists; the path of a folder or
        ``.resdiff`` file, which comes first where both exist, or of a CorrDiff package of
        Earth2Studio or NVIDIA; or an address such as ``hf://owner/repo@revision``,
        ``https://...`` or ``doi:...``.

    Returns
    -------
    Model
        With its card read; weights are read when asked for.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged, or cannot be fetched or translated.
    StoreError
        If it cannot be kept in the cache folder (``XRESDIFF_CACHE``).

    Examples
    --------
    >>> open_model("atlantis")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: no model is called 'atlantis', and no file or folder either. ...
    """
    if isinstance(model, Model):
        return model
    path, name, source = _located(model)
    try:
        return _mended(path, name, source)
    except ModelError as error:
        named = isinstance(model, str) and (zoo.is_address(model) or _is_name(model, _path(model)))
        hint = zoo.forget_hint(str(model)) if named else ""
        if not hint:
            raise
        raise ModelError(f"{error}. To fetch it anew, {hint}") from error


def _mended(path: Path, name: str, source: str) -> Model:
    """Open a model and check every file of it; a damaged translation is made again."""
    try:
        return _whole(_opened(path, name, source))
    except ModelError:
        if not published.recognised(path):
            raise
    published.forget(path, name)
    return _whole(_opened(path, name, source))


def _whole(model: Model) -> Model:
    """Check every file of a model."""
    for part in model.card.parts:
        model.read(part)
    return model


def at_hand(model: str | os.PathLike[str] | Model) -> bool:
    """Tell whether a model can be opened without fetching anything.

    Parameters
    ----------
    model : str, PathLike or Model
        As of :func:`open_model`.

    Returns
    -------
    bool

    Examples
    --------
    >>> at_hand("rain-16x"), at_hand("https://example.org/alps.resdiff")
    (True, False)
    """
    if not isinstance(model, str):
        return True
    if zoo.is_address(model):
        return False
    return not _is_name(model, _path(model)) or zoo.at_hand(model)


def _path(model: str | os.PathLike[str]) -> Path:
    return Path(model).expanduser().absolute()


def _located(model: str | os.PathLike[str]) -> tuple[Path, str, str]:
    """Return where a model is, its name, and how another process finds it.

    By nothing but the path of what runs, if it has a name that only this process knows.
    """
    path = _path(model)
    if isinstance(model, str) and zoo.is_address(model):
        path = zoo.locate_address(model)
    elif isinstance(model, str) and _is_name(model, path):
        return zoo.locate(model), model, model if zoo.portable(model) else ""
    else:
        return path, _plain(path), str(path)
    return path, _plain(path), model if zoo.portable(model) else str(path.absolute())


def _plain(path: Path) -> str:
    """Return a name for the model of a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "model"


def _opened(path: Path, name: str, source: str) -> Model:
    """Open one of our packages, or the translation of another."""
    path = published.translated(path, name) if published.recognised(path) else path.absolute()
    return open_package(path, source or str(path))


def glance(name: str) -> Model | None:
    """Open a model that is at hand without reading its weights.

    Parameters
    ----------
    name : str
        That :func:`~xresdiff.models.zoo.names` has.

    Returns
    -------
    Model or None
        None if it would have to be fetched or translated first.

    Raises
    ------
    ModelError
        If it is damaged.

    Examples
    --------
    >>> glance("rain-16x").name
    'rain-16x'
    """
    if not zoo.at_hand(name):
        return None
    path = zoo.find(name)
    if not published.recognised(path):
        return open_package(path, name)
    translation = published.latest(name, path)
    return None if translation is None else open_package(translation, name)


def _is_name(text: str, path: Path) -> bool:
    """Tell whether a text means a model of the zoo, rather than a path."""
    if path.is_file() or (path / CARD).is_file() or container.previous(path).exists():
        return False
    if published.recognised(path):
        return False
    return text in zoo.names() or not path.exists()


def open_key(key: str) -> Model:
    """Open the model that a key stands for, and no other; nothing is ever fetched for it.

    Parameters
    ----------
    key : str
        From :attr:`Model.key`.

    Returns
    -------
    Model
        With its card read and checked; weights are checked when they are read.

    Raises
    ------
    ModelError
        If the model is not there any more, or has changed since the key was made.

    Examples
    --------
    >>> open_key("rain-16x")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: 'rain-16x' is not the key of a model: it needs to be source@sha256
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise ModelError(f"{key!r} is not the key of a model: it needs to be source@sha256")
    source, sha256 = match["source"], match["sha256"]
    kept = published.kept(sha256)
    if kept is not None:
        return open_package(kept, source)
    if os.path.isabs(source):
        path, name = Path(source), _plain(Path(source))
    elif zoo.is_address(source):
        path = zoo.find_address(source)
        name = _plain(path)
    else:
        path, name = zoo.find(source), source
    model = _opened(path, name, source)
    if model.sha256 != sha256:
        raise ModelError(
            f"the model {source} is not the one that this graph was built with: its sha256 is "
            f"{model.sha256}, needed is {sha256}. Build the graph again"
        )
    return model
