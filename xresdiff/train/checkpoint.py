"""Checkpoints that are whole or not there: written anew, then renamed; the one before stays."""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xresdiff.errors import InputError

__all__ = ["check_network", "load", "save"]

FORMAT = 1

log = logging.getLogger(__name__)


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all, even if the machine goes down meanwhile.

    Parameters
    ----------
    path : pathlib.Path
        Its file. What was there stays beside it, as ``<stem>.before``.
    state : mapping
        Tensors, numbers, texts, and lists and dicts of them.
    """
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        os.replace(path, path.with_suffix(".before"))
    os.replace(new, path)
    with suppress(OSError):  # not every system lets a folder be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load(path: Path) -> dict[str, Any] | None:
    """Read the last good checkpoint.

    Parameters
    ----------
    path : pathlib.Path
        Its file. If it is damaged or missing, the one before is read, or the one that was to come.

    Returns
    -------
    dict or None
        What was saved, tensors on the CPU; None if there is none that is whole.

    Raises
    ------
    InputError
        If it was written by another version.
    PermissionError
        If it cannot be read.
    """
    # the new one is there where a process was killed between the two renames
    for candidate in (path, path.with_suffix(".before"), path.with_suffix(".new")):
        try:
            state = torch.load(candidate, weights_only=True, map_location="cpu")
        except FileNotFoundError:
            continue
        except (PermissionError, MemoryError):
            raise
        except Exception as error:  # torch raises all kinds at a damaged file
            reason = str(error).partition("\n")[0]
            log.warning("checkpoint %s is damaged (%s); trying another one", candidate, reason)
            continue
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{candidate} is not a checkpoint of this version of xresdiff (format {found}, "
                f"needed: {FORMAT}); train in another folder: out={_another(path)!r}"
            )
        return state
    return None


def check_network(path: Path, saved: Mapping[str, Tensor], net: Mapping[str, Tensor]) -> None:
    """Make sure that saved weights are those of a network.

    Parameters
    ----------
    path : pathlib.Path
        Where they were read.
    saved, net : mapping of str to torch.Tensor
        Weights by name, as saved and of the network.

    Raises
    ------
    InputError
        If names or shapes differ.
    """
    have = {name: tuple(value.shape) for name, value in saved.items()}
    want = {name: tuple(value.shape) for name, value in net.items()}
    if have == want:
        return
    name = next(name for name in [*want, *have] if have.get(name) != want.get(name))
    raise InputError(
        f"{path} is a checkpoint of another network: its {name} is of shape {have.get(name)}, that "
        f"of this network of shape {want.get(name)}; train this one in another folder: "
        f"out={_another(path)!r}"
    )


def _another(path: Path) -> str:
    return f"{path.parent}-2"
