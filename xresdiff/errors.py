"""What can go wrong, as types: every message says what was found, what is needed, what to type."""

import sys
import warnings
from collections.abc import Iterable, Sequence
from types import FrameType

__all__ = [
    "InputError",
    "MissingDependencyError",
    "ModelError",
    "StoreError",
    "UnitsError",
    "XresdiffError",
    "raise_problems",
    "warn",
]


PACKAGE = __name__.partition(".")[0]


class XresdiffError(Exception):
    """Anything that xresdiff refuses to do."""


class InputError(XresdiffError, ValueError):
    """The data or the arguments do not fit what was asked for."""


class UnitsError(InputError):
    """Units that do not convert into the ones needed."""


class ModelError(XresdiffError, ValueError):
    """A model that is unknown, damaged or not to be trusted."""


class StoreError(XresdiffError, OSError):
    """A store that cannot be written, or that holds something else."""


class MissingDependencyError(XresdiffError, ImportError):
    """An optional package that this call needs is not installed."""


def raise_problems(
    problems: Sequence[str], *, what: str, error: type[XresdiffError] = InputError
) -> None:
    """Raise one error that lists every problem; do nothing if there is none.

    Parameters
    ----------
    problems : sequence of str
        One sentence each: what was found, what is needed, the line to type.
    what : str
        What was being attempted, to begin the message with.
    error : type, default InputError
        Class of the error raised.

    Raises
    ------
    XresdiffError
        Of class `error`, if there are problems.

    Examples
    --------
    >>> raise_problems([], what="downscale")
    >>> raise_problems(["members is 0; type members=1"], what="downscale")
    Traceback (most recent call last):
    xresdiff.errors.InputError: cannot downscale: members is 0; type members=1
    """
    if not problems:
        return
    if len(problems) == 1:
        raise error(f"cannot {what}: {problems[0]}")
    raise error(f"cannot {what}, for {len(problems)} reasons:\n{_bullets(problems)}")


def warn(message: str) -> None:
    """Warn of something at the user's own line, however deep in this package it was found.

    Parameters
    ----------
    message : str
        What was found and what to do.
    """
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith(f"{PACKAGE}."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"  - {line}" for line in lines)
