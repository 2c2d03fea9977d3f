"""The variables of one Dataset that a model takes or gives, as channels."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TypeAlias

import numpy as np
import xarray as xr

from xresdiff.errors import InputError
from xresdiff.grids import coords
from xresdiff.grids.coords import levels
from xresdiff.grids.coords.criteria import PRESSURE_UNITS, bounds_names
from xresdiff.grids.units.packing import packed_problem
from xresdiff.models.card import Channel
from xresdiff.train.lines import in_training
from xresdiff.train.quantities import bounded, units_of

__all__ = ["Key", "Variables", "is_open", "name_problems", "narrowed"]

Key: TypeAlias = tuple[str, float | None, float]  # name, level, offset


def is_open(channel: Channel) -> bool:
    """Tell whether mean and standard deviation of a channel are yet to be measured."""
    return (channel.mean, channel.std) == (0.0, 1.0)


def name_problems(what: str, ds: xr.Dataset) -> Iterator[str]:
    """Say which names and standard names are no texts, so that nothing can be found by them."""
    for name, da in ds.variables.items():
        if not isinstance(name, str) and name in ds.data_vars:
            yield (
                f"{what} has a variable {name!r}, whose name is no text; rename it: "
                f"{what}.rename({{{name!r}: 'v{name}'}})"
            )
        told = da.attrs.get("standard_name", "")
        if not isinstance(told, str):
            yield (
                f"the standard name of {what}[{name!r}] is {told!r}, which is no text: "
                f"del {what}[{name!r}].attrs['standard_name']"
            )


def narrowed(ds: xr.Dataset, asked: Sequence[str | Channel] | None) -> xr.Dataset:
    """Leave out what is on other grids than the variables that are asked for.

    Parameters
    ----------
    ds : xarray.Dataset
        With fields on several grids, perhaps.
    asked : sequence of str or Channel, optional
        Variables; with none, or any that is not there by its name, all stay.

    Returns
    -------
    xarray.Dataset
        The variables asked for with their coordinates, and all fields on the same dimensions.
    """
    if not isinstance(asked, list | tuple) or not asked:
        return ds
    names = [next((name for name in _names_of(one) if name in ds.data_vars), None) for one in asked]
    if None in names:
        return ds
    dims = {dim for name in names for dim in ds[name].dims}
    beside = bounds_names(ds)
    keep = [
        name
        for name, da in ds.data_vars.items()
        if set(da.dims) <= dims or (name in beside and set(da.dims) & dims)
    ]
    return ds[keep]


def _names_of(one: object) -> tuple[str, ...]:
    return one.names if isinstance(one, Channel) else (str(one),)


class Variables:
    """One of the two Datasets, and what is found in it.

    Parameters
    ----------
    what : {"coarse", "target"}
        What the user calls it.
    ds : xarray.Dataset
        It.
    known : tuple of Channel
        Channels of the model.
    asked : sequence of str or Channel, optional
        What the user named.
    """

    def __init__(
        self,
        what: str,
        ds: xr.Dataset,
        known: tuple[Channel, ...],
        asked: Sequence[str | Channel] | None,
    ) -> None:
        self.what, self.ds, self.known, self.asked = what, ds, known, asked
        self.kept: list[Channel] = []
        self.new: list[Channel] = []
        self.users: set[Key] = set()  # of channels that the user described
        self.own: dict[Key, levels.Found] = {}  # where every channel is
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.unitless: list[str] = []

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels, those of the model first."""
        return (*self.kept, *self.new)

    def read(self) -> "Variables":
        """Find the channels."""
        try:
            self.grid = coords.find_horizontal(narrowed(self.ds, self.asked))
        except InputError as error:
            self.problems.append(f"{self.what}: {error}")
            return self
        _refuse_a_single_row(self.what, self.ds, self.grid)
        named = self._asked_variables()
        self._keep(named)
        for channel in (one for one in self.asked or () if isinstance(one, Channel)):
            self._add_given(channel)
        for name in named if named is not None else self._running():
            self._add(name)
        if self.unitless:
            self.problems.append(_no_units(self.what, self.unitless))
        return self

    def told(self, which: str) -> Iterator[str]:
        """Say what is kept, new and left out."""
        dropped = [c for c in self.known if c.key not in {k.key for k in self.kept}]
        if self.known:
            groups = {"kept": self.kept, "new": self.new, "dropped": dropped}
            for word, some in groups.items():
                if some:
                    yield f"{which} {word}: {', '.join(c.label for c in some)}"
            if not self.kept:
                yield f"none of the model's {which} is in {self.what}: all of them are new"
        yield from self.notes

    def _asked_variables(self) -> list[str] | None:
        """Return the names that were asked for, as they are in the Dataset; None if all are."""
        if self.asked is None:
            return None
        names = []
        for name in (one for one in self.asked if isinstance(one, str)):
            if name in self.ds.data_vars:
                names.append(name)
                continue
            found = [
                one
                for channel in self.known
                if name in channel.names and (one := self._find(channel)) is not None
            ]
            names += [str(one.name) for one in found]
            if not found:
                self.problems.append(_unknown(self.what, name, self.ds))
        return list(dict.fromkeys(names))

    def _find(self, channel: Channel) -> levels.Found | None:
        """Find a channel whose field runs along the grid and in time."""
        try:
            found = levels.find_channel(self.ds, channel)
        except InputError as error:
            self.problems.append(f"{self.what}: {error}")
            return None
        if found is None or self._standing(found):
            return None
        return found

    def _standing(self, found: levels.Found) -> str:
        """Say why a variable is no field that changes with time, nothing if it is one."""
        dims = set(self.ds[found.name].dims) - {found.level[0] if found.level else None}
        if not set(self.grid.dims) <= dims:
            return f"does not run along {self.grid.dims}"
        return "" if dims - set(self.grid.dims) else "has no time"

    def _running(self) -> list[str]:
        """Return the variables that run along the grid."""
        along = set(self.grid.dims)
        beside = bounds_names(self.ds) | {self.grid.grid_mapping}
        return [
            str(name)
            for name, da in self.ds.data_vars.items()
            if name not in beside and along <= set(da.dims) and da.dtype.kind in "iuf"
        ]

    def _keep(self, named: list[str] | None) -> None:
        """Keep the channels of the model that the Dataset has, and that were asked for."""
        given = {one.key for one in self.asked or () if isinstance(one, Channel)}
        for channel in self.known:
            found = None if channel.key in given else self._find(channel)
            if found is not None and (named is None or str(found.name) in named):
                self.kept.append(channel)
                self.own[channel.key] = found

    def _add_given(self, channel: Channel) -> None:
        """Take a channel that the user described."""
        found = self._find(channel)
        if found is None:
            self.problems += [
                f"{self.what}: {told}" for told in levels.missing_levels(self.ds, [channel])
            ] or [_unknown(self.what, channel.label, self.ds)]
            return
        self.new.append(channel)
        self.users.add(channel.key)
        self.own[channel.key] = found

    def _add(self, name: str) -> None:
        """Make channels of a variable, one for each of its levels that has none yet."""
        da = self.ds[name]
        packed = packed_problem(da)
        places, trouble = self._places(name)
        if packed or trouble:
            self._leave(name, packed or trouble, fatal=bool(packed))
            return
        taken = {found: key for key, found in self.own.items()}
        missing = [(found, level) for found, level in places if found not in taken]
        if missing and not units_of(da):
            self.unitless.append(name)
            return
        for found, level_Pa in missing:
            channel = _described(da, name, level_Pa)
            self.new.append(channel)
            self.own[channel.key] = found

    def _places(self, name: str) -> tuple[list[tuple[levels.Found, float | None]], str]:
        """Return where the fields of a variable are, with their pressures, or what is wrong."""
        da = self.ds[name]
        try:
            coord = coords.find_coordinate(da, "pressure")
            pressures = [] if coord is None else _pressures(self.ds, name, coord)
            if not pressures:
                probe = Channel(name, "", "1")
                alone = levels.find_channel(self.ds, probe)
                if alone is None:
                    return [], "runs along levels that are no pressures; take one with ds.isel()"
                return [(alone, None)], self._standing(alone)
            return pressures, self._standing(pressures[0][0])
        except InputError as error:
            return [], str(error)

    def _leave(self, name: str, why: str, *, fatal: bool = False) -> None:
        """Leave a variable out, which is a problem if it was asked for."""
        line = f"; give it as static={self.what}[[{name!r}]]" if why == "has no time" else ""
        if fatal:
            self.problems.append(f"{self.what}: {in_training(why, self.what, 'train')}")
        elif self.asked is None:
            self.notes.append(f"left out of {self.what}: {name!r} {why}{line}")
        else:
            self.problems.append(f"{self.what}: {name!r} {why}{line}")

    def strip_aliases(self) -> None:
        """Take from channels the aliases that are names, or earlier aliases, of others."""
        taken = {(c.name, c.level_Pa, c.offset_h) for c in self.channels}
        for some in (self.kept, self.new):
            for i, c in enumerate(some):
                free = tuple(a for a in c.aliases if (a, c.level_Pa, c.offset_h) not in taken)
                taken |= {(alias, c.level_Pa, c.offset_h) for alias in free}
                if free != c.aliases:
                    some[i] = replace(c, aliases=free)


def _pressures(
    ds: xr.Dataset, name: str, coord: Hashable
) -> list[tuple[levels.Found, float | None]]:
    """Return the levels of a variable, as they will be found again, with their pressures (Pa)."""
    if ds[coord].chunks is not None:
        levels.find_channel(ds, Channel(name, "", "1", level_Pa=1.0))  # says what is wrong
    told = str(ds[coord].attrs.get("units", "")).strip()
    scales = (PRESSURE_UNITS[told],) if told in PRESSURE_UNITS else (100.0, 1.0)
    for scale in scales:
        every = [float(f"{scale * value:.7g}") for value in np.atleast_1d(ds[coord].values)]
        found = [
            (levels.find_channel(ds, Channel(name, "", "1", level_Pa=level)), level)
            for level in every
            if level > 0
        ]
        there = [(one, level) for one, level in found if one is not None and one.name == name]
        if len(there) == len(every):
            return list(there)
    return []


def _described(da: xr.DataArray, name: str, level_Pa: float | None) -> Channel:
    """Return a new channel as the attributes of its variable describe it."""

    def text(attribute: str) -> str:
        value = da.attrs.get(attribute, "")
        return value if isinstance(value, str) else ""

    channel = Channel(
        name=name,
        standard_name=text("standard_name"),
        units=units_of(da),
        long_name=text("long_name"),
        level_Pa=level_Pa,
        cell_methods=text("cell_methods"),
    )
    return bounded(channel, da)


def _refuse_a_single_row(what: str, ds: xr.Dataset, grid: coords.Horizontal) -> None:
    """Refuse a grid whose spacing cannot be told."""
    rows, columns = (ds.sizes[dim] for dim in grid.dims)
    if min(rows, columns) < 2:
        raise InputError(
            f"cannot train on these pairs: the grid of {what} has {rows} x {columns} cells; at "
            "least 2 x 2 are needed to tell how large they are"
        )


def _no_units(what: str, names: Sequence[str]) -> str:
    lines = "; ".join(f"{what}[{name!r}].attrs['units'] = '...'" for name in names)
    have = "have" if len(names) > 1 else "has"
    return f"{coords.listing(names)} of {what} {have} no units; say which, such as 'K': {lines}"


def _unknown(what: str, name: str, ds: xr.Dataset) -> str:
    near = get_close_matches(name, [str(one) for one in ds.data_vars], n=1)
    hint = f"; is {near[0]!r} meant?" if near else ""
    return f"there is no {name!r} in {what}; it has {coords.listing(ds.data_vars)}{hint}"
