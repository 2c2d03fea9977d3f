"""Arguments taken one by one, with their types and bounds, so that none is overlooked."""

import math
import reprlib
from collections.abc import Iterable
from typing import Any

from xresdiff.errors import ModelError, raise_problems

__all__ = ["Fields"]

MOST = 1 << 16  # of anything that is counted: a network of more would not be true


class Fields:
    """The arguments of one class; what is wrong with them is collected until the end.

    Parameters
    ----------
    given : dict
        Arguments by name.
    owner : str
        The class, to begin the message with.
    """

    def __init__(self, given: dict[str, Any], owner: str) -> None:
        self.given, self.owner = dict(given), owner
        self.problems: list[str] = []

    def take(self, name: str, default: Any = None) -> Any:
        """Return an argument as it is, and strike it off."""
        return self.given.pop(name, default)

    def count(
        self, name: str, default: int | None = None, *, least: int = 0, most: int = MOST
    ) -> int:
        """Return a whole number; the least where it is wrong."""
        value = self.given.pop(name, default)
        if type(value) is int and least <= value <= most:
            return value
        return self._wrong(name, value, f"a whole number from {least} to {most}", least)

    def optional_count(self, name: str, default: int) -> int:
        """Return a whole number, or the default where it is missing or null."""
        if self.given.get(name) is None:
            self.given[name] = default
        return self.count(name)

    def counts(self, name: str, default: Iterable[int] | None = None) -> tuple[int, ...]:
        """Return a list of whole numbers; an empty one where it is wrong."""
        value = self.given.pop(name, default)
        listed = isinstance(value, list | tuple) and len(value) <= MOST
        if listed and all(type(each) is int and 0 <= each <= MOST for each in value):
            return tuple(value)
        return self._wrong(name, value, "a list of whole numbers", ())

    def number(self, name: str, default: float) -> float:
        """Return a number, infinity included; the default where it is wrong."""
        value = self.given.pop(name, default)
        if type(value) in (int, float) and not math.isnan(value) and value >= 0:
            return float(value)
        return self._wrong(name, value, "a number that is not negative", default)

    def share(self, name: str, default: float) -> float:
        """Return a number from 0 to below 1; the default where it is wrong."""
        value = self.given.pop(name, default)
        if type(value) in (int, float) and 0 <= value < 1:
            return float(value)
        return self._wrong(name, value, "a number from 0 to below 1", default)

    def numbers(
        self, name: str, default: Iterable[float], *, most: int = MOST
    ) -> tuple[float, ...]:
        """Return a list of finite numbers; the default where it is wrong."""
        value = self.given.pop(name, default)
        listed = isinstance(value, list | tuple) and 0 < len(value) <= most
        if listed and all(type(each) in (int, float) and math.isfinite(each) for each in value):
            return tuple(value)
        return self._wrong(name, value, f"a list of 1 to {most} numbers", tuple(default))

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false; the default where it is wrong."""
        value = self.given.pop(name, default)
        if type(value) is bool:
            return value
        return self._wrong(name, value, "true or false", default)

    def word(self, name: str, default: str, known: Iterable[str]) -> str:
        """Return one of the known words; the default where it is wrong."""
        value = self.given.pop(name, default)
        if isinstance(value, str) and value in known:
            return value
        return self._wrong(name, value, f"one of {', '.join(known)}", default)

    def _wrong(self, name: str, value: Any, needed: str, instead: Any) -> Any:
        found = "missing" if value is None else reprlib.repr(value)
        self.problems.append(f"its argument {name} is {found} and must be {needed}")
        return instead

    def finish(self) -> None:
        """Refuse what was wrong, and what nobody took.

        Raises
        ------
        ModelError
            If anything is.
        """
        problems = [
            *self.problems,
            *(f"its argument {name} is not known" for name in sorted(self.given)),
        ]
        raise_problems(problems, what=f"read the {self.owner} of a checkpoint", error=ModelError)
