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

__all__ = ["glance", "open_key", "open_model"]

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
    opened = _opened(path, name, source)
    for part in opened.card.parts:
        opened.read(part)
    return opened


def _located(model: str | os.PathLike[str]) -> tuple[Path, str, str]:
    """Return where a model is, its name, and how another process finds it."""
    path = Path(model).expanduser()
    if isinstance(model, str) and zoo.is_address(model):
        path = zoo.locate_address(model)
    elif isinstance(model, str) and _is_name(model, path):
        path = zoo.locate(model)
        return path, model, model if zoo.portable(model) else str(path.absolute())
    else:
        return path.absolute(), _plain(path), str(path.absolute())
    return path, _plain(path), model if zoo.portable(model) else str(path.absolute())


def _plain(path: Path) -> str:
    """Return a name for the model of a path."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "model"


def _opened(path: Path, name: str, source: str) -> Model:
    """Open one of our packages, or the translation of another."""
    if not published.recognised(path):
        return open_package(path, source)
    return open_package(published.translated(path, name), source)


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
    translation = published.latest(name)
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
