"""Strict JSON for frozen dataclasses: every field, every type, every rule, all problems at once.

The annotations of a dataclass are its schema. They may be ``str``, ``bool``, ``int``, ``float``,
``Literal``, ``tuple``, ``dict[str, ...]``, ``Any`` (any JSON, lists as tuples), another dataclass,
one of these or ``None``, or several dataclasses told apart by a field ``kind``.
"""

import contextlib
import dataclasses
import json
import math
import re
import reprlib
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xresdiff.errors import ModelError, raise_problems

__all__ = ["Part", "broken_rules", "parse", "read", "tuples"]

T = TypeVar("T")

_BROKEN: Any = object()  # stands for what could not be read
_SCALARS = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but the newline


class Part:
    """A dataclass with rules beyond the types of its fields."""

    def rules(self) -> Iterator[tuple[str, str]]:
        """Yield the field and the problem of every rule that is broken here, not in its parts."""
        return iter(())


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text; refuse repeated keys, NaN and infinity.

    Raises
    ------
    ModelError
        If it is not one object of JSON.

    Examples
    --------
    >>> parse('{"factor": 16, "factor": 4}')
    Traceback (most recent call last):
    xresdiff.errors.ModelError: not valid JSON: the key 'factor' comes twice
    """
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ModelError(f"not a JSON object {{...}} but {reprlib.repr(data)}")
    return data


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"the key {key!r} comes twice")
        data[key] = value
    return data


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")


def read(kind: type[T], data: dict[str, Any], *, what: str) -> T:
    """Return a parsed object as an instance of a dataclass.

    Parameters
    ----------
    kind : type
        A dataclass that refuses to be made if its :func:`broken_rules` are any.
    data : dict
        Parsed JSON.
    what : str
        What is being read, to begin the message with.

    Raises
    ------
    ModelError
        If anything in it is wrong; every problem is named with its place.

    Examples
    --------
    >>> @dataclasses.dataclass(frozen=True)
    ... class Grid:
    ...     factor: int
    ...     spacing_km: tuple[float, float] = (12.0, 20.0)
    >>> read(Grid, {"factor": 16}, what="grid")
    Grid(factor=16, spacing_km=(12.0, 20.0))
    >>> read(Grid, {"factor": 16, "spacing_km": [12, "wide"]}, what="grid")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: cannot read the grid: spacing_km[1]: 'wide' must be a number
    """
    reader = _Reader()
    try:
        fields = reader.read_fields(kind, data, "")
        if reader.problems:
            reader.give_up(fields)
        raise_problems(reader.problems, what=f"read the {what}", error=ModelError)
        return kind(**fields)
    except RecursionError as error:
        raise ModelError(f"cannot read the {what}: it is nested too deeply") from error


class _Reader:
    """Turns parsed JSON into instances, and collects what is wrong with it.

    Every method takes the type to read, the parsed value and its place, such as
    ``outputs[0].std``, and returns the instance or ``_BROKEN``. Rules are judged on the way up: by
    the whole, where all its parts could be read, or else part by part.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def read_value(self, kind: Any, value: Any, where: str) -> Any:
        origin = get_origin(kind)
        if kind is Any:
            return tuples(value)
        if dataclasses.is_dataclass(kind):
            return self.read_object(kind, value, where)
        if origin in (Union, UnionType):
            return self.read_union(get_args(kind), value, where)
        if origin is Literal:
            return self.read_choice(get_args(kind), value, where)
        if origin is tuple:
            return self.read_tuple(get_args(kind), value, where)
        if origin is dict:
            return self.read_dict(get_args(kind)[1], value, where)
        return self.read_scalar(kind, value, where)

    def read_object(self, kind: Any, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return self.wrong(value, where, "an object {...}")
        fields = self.read_fields(kind, value, where)
        if _BROKEN in fields.values():
            return self.give_up({_join(where, name): field for name, field in fields.items()})
        return kind(**fields)

    def read_fields(self, kind: Any, value: dict[str, Any], where: str) -> dict[str, Any]:
        hints = get_type_hints(kind)
        known = {field.name: field for field in dataclasses.fields(kind)}
        self.problems += [
            f"{_join(where, key)}: unknown key; the known are {', '.join(known)}"
            for key in value
            if key not in known
        ]
        fields = {}
        for name, field in known.items():
            if name in value:
                fields[name] = self.read_value(hints[name], value[name], _join(where, name))
            elif field.default is field.default_factory is dataclasses.MISSING:
                self.problems.append(f"{_join(where, name)}: missing")
                fields[name] = _BROKEN
        return fields

    def read_union(self, kinds: tuple[Any, ...], value: Any, where: str) -> Any:
        if value is None and NoneType in kinds:
            return None
        kinds = tuple(kind for kind in kinds if kind is not NoneType)
        if len(kinds) == 1:
            return self.read_value(kinds[0], value, where)
        if not isinstance(value, dict):
            return self.wrong(value, where, "an object {...}")
        tags = [get_args(get_type_hints(kind)["kind"])[0] for kind in kinds]
        tag = self.read_choice(tuple(tags), value.get("kind"), _join(where, "kind"))
        return tag if tag is _BROKEN else self.read_object(kinds[tags.index(tag)], value, where)

    def read_choice(self, choices: tuple[Any, ...], value: Any, where: str) -> Any:
        if value in choices:
            return value
        return self.wrong(value, where, " or ".join(map(repr, choices)))

    def read_tuple(self, kinds: tuple[Any, ...], value: Any, where: str) -> Any:
        if not isinstance(value, list):
            return self.wrong(value, where, "a list [...]")
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(value)
        if len(kinds) != len(value):
            return self.wrong(value, where, f"a list of {len(kinds)}")
        places = [f"{where}[{i}]" for i in range(len(value))]
        items = [self.read_value(*each) for each in zip(kinds, value, places, strict=True)]
        if _BROKEN in items:
            return self.give_up(dict(zip(places, items, strict=True)))
        return tuple(items)

    def read_dict(self, kind: Any, value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            return self.wrong(value, where, "an object {...}")
        places = {key: f"{where}[{key!r}]" for key in value}
        items = {key: self.read_value(kind, value[key], places[key]) for key in value}
        if _BROKEN in items.values():
            return self.give_up({places[key]: item for key, item in items.items()})
        return items

    def read_scalar(self, kind: Any, value: Any, where: str) -> Any:
        if kind is float and type(value) is int:
            with contextlib.suppress(OverflowError):
                value = float(value)
        return value if type(value) is kind else self.wrong(value, where, _SCALARS[kind])

    def wrong(self, value: Any, where: str, needed: str) -> Any:
        self.problems.append(f"{where}: {reprlib.repr(value)} must be {needed}")
        return _BROKEN

    def give_up(self, parts: dict[str, Any]) -> Any:
        """Judge the parts, by place, of what cannot be made as some of them are broken."""
        for where, part in parts.items():
            if part is not _BROKEN:
                self.problems.extend(broken_rules(part, where))
        return _BROKEN


def broken_rules(value: Any, where: str = "") -> Iterator[str]:
    """Yield one sentence for every rule broken by a value or, at any depth, by its parts.

    Beside the rules that the parts bring, numbers are finite, texts hold no control characters but
    newlines (so that printing a stranger's card is safe), and all of it can be written as JSON.
    """
    if isinstance(value, Part):
        yield from (f"{_join(where, place)}: {problem}" for place, problem in value.rules())
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from broken_rules(getattr(value, field.name), _join(where, field.name))
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from broken_rules(item, f"{where}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _broken_scalar(key, f"{where}[{key!r}]", (str,))
            yield from broken_rules(item, f"{where}[{key!r}]")
    else:
        yield from _broken_scalar(value, where, (str, bool, int, float, NoneType))


def _broken_scalar(value: Any, where: str, kinds: tuple[type, ...]) -> Iterator[str]:
    if not isinstance(value, kinds):
        yield f"{where}: {reprlib.repr(value)} is a {type(value).__name__}, which JSON cannot keep"
    elif isinstance(value, str) and _CONTROL.search(value):
        yield f"{where}: {reprlib.repr(value)} must hold no control characters"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} must be finite"


def tuples(value: Any) -> Any:
    """Return parsed JSON with its lists as tuples, at any depth."""
    if isinstance(value, list | tuple):
        return tuple(map(tuples, value))
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
