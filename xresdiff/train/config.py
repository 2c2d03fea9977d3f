"""A training in a file, for ``xresdiff train config.yaml`` and for several GPUs."""

import inspect
import re
from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from xresdiff.errors import InputError, raise_problems
from xresdiff.models.card import Channel
from xresdiff.models.package import Model
from xresdiff.models.strict_json import read
from xresdiff.train.verbs import finetune, train

__all__ = ["DATASETS", "NOTHING", "read_config", "train_from"]

DATASETS = ("coarse", "target", "static")  # told as paths
LISTS = ("stages", "inputs", "outputs", "extras", "conserve", "freeze")
NOTHING = "none"  # the model to begin with, for a training from nothing


class _Loader(yaml.SafeLoader):
    """YAML whose numbers may be written as 1e-3, which YAML 1.1 takes for a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file of the arguments of :func:`~xresdiff.finetune` or :func:`~xresdiff.train`.

    ``coarse``, ``target`` and ``static`` are paths, seen from the folder of the file. ``model:
    none`` trains from nothing. Inputs and outputs are names, or mappings of the fields of a
    :class:`~xresdiff.Channel`.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Keyword arguments; the Datasets as absolute paths.

    Raises
    ------
    InputError
        If it cannot be read, or holds what is no argument; all of it in one message.
    """
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read {path} ({error}); a YAML file is needed") from error
    if not isinstance(told, dict):
        raise InputError(
            f"{path} holds a {type(told).__name__}; lines such as 'coarse: coarse.zarr' are needed"
        )
    known = _arguments(told)
    problems = [
        f"{name} is {told[name]!r}; the path of a file is needed"
        if name in told
        else f"{name} is missing"
        for name in DATASETS[:2]
        if not isinstance(told.get(name), str)
    ]
    problems += [
        f"{name!r} is no argument; they are {', '.join(known)}"
        for name in told
        if name not in known
    ]
    raise_problems(problems, what=f"train from {path}")
    for name in DATASETS:
        if told.get(name) is not None:
            told[name] = (path.parent / str(told[name])).absolute()
    for name in LISTS:
        if isinstance(told.get(name), str | dict):
            told[name] = [told[name]]  # one alone
    for name in ("inputs", "outputs"):
        if isinstance(told.get(name), list):
            told[name] = [_channel(one, f"{name} of {path}") for one in told[name]]
    return told


def train_from(config: dict[str, Any], datasets: dict[str, xr.Dataset]) -> Model:
    """Train as a file says.

    Parameters
    ----------
    config : dict
        From :func:`read_config`.
    datasets : dict of xarray.Dataset
        What its paths lead to, by the names of the arguments.
    """
    arguments = config | datasets
    if arguments.get("model") == NOTHING:
        return train(**{name: value for name, value in arguments.items() if name != "model"})
    return finetune(**arguments)


def _arguments(told: dict[str, Any]) -> list[str]:
    """Return the names of the arguments of the function that will be called."""
    function = train if told.get("model") == NOTHING else finetune
    names = list(inspect.signature(function).parameters)
    return [*names, "model"] if function is train else names


def _channel(told: Any, where: str) -> str | Channel:
    if isinstance(told, dict):
        return read(Channel, told, what=where)
    return str(told)
