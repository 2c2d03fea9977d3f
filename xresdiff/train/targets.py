"""Where a model is to work: the refined grid of its input, or the target's own with what is told.

The grid of a target goes into a file of the package together with its static fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import xarray as xr

from xresdiff.engine.placement import spacing_of, spelled
from xresdiff.errors import InputError
from xresdiff.grids.cells import Box, footprint
from xresdiff.grids.cells.projection import geographic
from xresdiff.grids.coords import Horizontal, check_order, check_uniform, find_horizontal
from xresdiff.grids.regrid.seams import goes_round
from xresdiff.models.card import Extra, FixedTarget, ModelCard, Padding, RefineTarget
from xresdiff.models.grid_file import read_grid, write_grid
from xresdiff.models.package import Model
from xresdiff.train.statics import Static, statics_on

__all__ = [
    "Grids",
    "Place",
    "find_grids",
    "fixed_place",
    "is_fixed",
    "padded_to",
    "refined",
    "whole_because",
]

RANGE = (0.75, 1.35)  # times the coarse spacing of the pairs, that a model takes
MARGIN = 0.1  # around every spacing that there is
SAME_FACTOR = 0.2  # relative difference of the ratio of the spacings from a model's factor
SAME_PLACE = 0.1  # of a cell, between two grids that are one

TIMED = {
    "day_of_year": ("sin_year", "cos_year"),
    "hour": ("sin_day", "cos_day"),
    "solar_zenith": ("cos_zenith",),
    "latitude": ("latitude",),
}
MAPS_THAT_MOVE = ("none", "sinusoidal", "octave", "linear", "test", "learned")


@dataclass(frozen=True)
class Grids:
    """The grids of the pairs, with the spacing of their rows and columns (km)."""

    coarse: Horizontal
    fine: Horizontal
    coarse_km: tuple[float, float]
    fine_km: tuple[float, float]

    @property
    def ratio(self) -> float:
        """How much longer the side of a coarse cell is than that of a fine one."""
        return float(np.sqrt(prod(self.coarse_km) / prod(self.fine_km)))


@dataclass(frozen=True)
class Place:
    """The grid of a model to be, with all that its networks are told of it.

    Parameters
    ----------
    target : RefineTarget or FixedTarget
        For the card; without padding.
    shape : tuple of int
        Rows and columns of the target, in pixels.
    extras : tuple of Extra, default ()
        For the card.
    grid : bytes, optional
        Contents of the grid file of a fixed target.
    around : bool, default False
        Whether its columns continue around the Earth.
    same : bool, default False
        Whether it is the grid of the model to begin with.
    notes : tuple of str, default ()
        What the user should know.
    """

    target: RefineTarget | FixedTarget
    shape: tuple[int, int]
    extras: tuple[Extra, ...] = ()
    grid: bytes | None = None
    around: bool = False
    same: bool = False
    notes: tuple[str, ...] = ()


def find_grids(coarse: xr.Dataset, target: xr.Dataset) -> tuple[Grids | None, list[str]]:
    """Find both grids and measure them, or say what is wrong with them."""
    found: list[tuple[Horizontal, tuple[float, float]]] = []
    problems: list[str] = []
    for what, ds in (("coarse", coarse), ("target", target)):
        try:
            grid = find_horizontal(ds)
            disorder = check_order(grid)
            problems += [f"{what}: {told}" for told in disorder]
            if not disorder:
                found.append((grid, spacing_of(ds, grid)))
        except InputError as error:
            problems.append(f"{what}: {error}")
    if problems:
        return None, problems
    (here, coarse_km), (there, fine_km) = found
    return Grids(here, there, coarse_km, fine_km), []


def is_fixed(grids: Grids, card: ModelCard | None, *, told: bool) -> tuple[bool, str]:
    """Tell whether a model is to have a fixed target, and why if nobody asked for it.

    Parameters
    ----------
    grids : Grids
        Of the pairs.
    card : ModelCard, optional
        Of the model to begin with.
    told : bool
        Whether there are static fields or other extras.
    """
    if card is not None and card.target.kind == "fixed":
        return True, ""
    if told:
        why = "static fields and extras belong to one region"
        return True, f"{why}: the model is made for the grid of the target" if card else ""
    uneven = [] if grids.fine.kind == "curvilinear" else check_uniform(grids.fine)
    if uneven and card is None:
        return True, f"the model is made for the grid of the target: {uneven[0].partition(';')[0]}"
    return False, ""


def refined(grids: Grids, shape: tuple[int, int], card: ModelCard | None) -> Place:
    """Return the refined grid of the input, by the model's factor or that of the spacings.

    Raises
    ------
    InputError
        If the target is hardly finer than the input.
    """
    notes: list[str] = []
    factor = round(grids.ratio)
    own = card.target if card is not None and isinstance(card.target, RefineTarget) else None
    if own is not None and abs(grids.ratio / own.factor - 1) <= SAME_FACTOR:
        factor = own.factor
    if factor < 2:
        raise InputError(
            f"the spacing of coarse is {spelled(grids.coarse_km)} km, that of the target "
            f"{spelled(grids.fine_km)} km; a target at least twice as fine is needed, or, for a "
            "model of this one region, something to tell its networks: static=..., or "
            "extras=('latitude',)"
        )
    uneven = [] if grids.fine.kind == "curvilinear" else check_uniform(grids.fine)
    if uneven:
        raise InputError(f"target: {uneven[0]}")
    if own is not None and factor != own.factor:
        notes.append(
            f"factor: {factor}, as the grids have it; the model was trained for {own.factor}"
        )
    mean = float(np.mean(grids.coarse_km))
    every = [*grids.coarse_km, *(step * factor for step in grids.fine_km)]
    low = min(RANGE[0] * mean, (1 - MARGIN) * min(every))
    high = max(RANGE[1] * mean, (1 + MARGIN) * max(every))
    if own is not None:
        low, high = min(low, own.spacing_range_km[0]), max(high, own.spacing_range_km[1])
    target = RefineTarget(
        factor=factor, spacing_km=_short(mean), spacing_range_km=(_short(low), _short(high))
    )
    return Place(target, shape, notes=tuple(notes))


def fixed_place(
    target: xr.Dataset,
    grids: Grids,
    start: Model | None,
    *,
    static: xr.Dataset | xr.DataArray | None = None,
    extras: Sequence[str] = (),
) -> tuple[Place | None, list[str]]:
    """Return the target's own grid, and what the networks are told of it.

    Parameters
    ----------
    target : xarray.Dataset
        On the grid.
    grids : Grids
        Of the pairs.
    start : Model, optional
        Whose grid and extras are kept if the grids are the same.
    static : xarray.Dataset or xarray.DataArray, optional
        Fields without time, on any grid.
    extras : sequence of str
        What else the networks are told.

    Returns
    -------
    tuple
        The place, None if there are problems; and these.
    """
    try:
        lat, lon = _latlon(target, grids.fine)
        statics, problems, notes = statics_on(static, target, grids.fine)
    except InputError as error:
        return None, [f"target: {error}"]
    before = _before(start)
    same, trouble = _same_grid(before, lat, lon, start)
    problems += trouble
    if problems:
        return None, problems
    every: dict[str, np.ndarray] = {}
    if same and start is not None and before is not None:
        kept = [extra.name for extra in start.card.extras if extra.kind == "static"]
        every = {name: before[name].values for name in kept if name not in statics}
    told, more = _extras(start, same, statics, extras, lat)
    every |= {name: one.values for name, one in statics.items()}
    file = _file(before if same else None, lat, lon, every, start)
    goal = _goal(target, grids, start if same else None)
    around = goes_round(lon)
    shape = (lat.shape[0], lon.shape[-1])
    return Place(goal, shape, told, file, around, same, (*notes, *more)), []


def padded_to(place: Place, multiple: int) -> Padding | None:
    """Return what makes the sizes of a target multiples of what the networks take.

    Examples
    --------
    >>> from xresdiff.models.card import FixedTarget
    >>> bay = FixedTarget(region="a bay", spacing_km=4.0, coarse_spacing_km=28.0)
    >>> padded_to(Place(bay, (30, 32)), 8)
    Padding(rows=(1, 1), columns=(0, 0), around=False)
    """
    rows, columns = (-size % multiple for size in place.shape)
    if not rows and not columns:
        return None
    halves = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return Padding(*halves, around=place.around)


def whole_because(card: ModelCard) -> list[str]:
    """Say why a model learns from whole fields alone, nothing if it learns from patches, too.

    Examples
    --------
    >>> from xresdiff.models.opening import open_model
    >>> whole_because(open_model("rain-16x").card)
    []
    """
    target, patching = card.target, card.patching
    reasons = {
        "stretches its inputs to the target by row and column": (
            isinstance(target, FixedTarget) and target.stretched
        ),
        "smooths the sea ice around the whole Earth": card.sea_ice_cover,
        "tells every patch of the whole domain": patching is not None and patching.whole,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _short(km: float) -> float:
    return float(f"{km:.3g}")


def _latlon(target: xr.Dataset, grid: Horizontal) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes of a target, (y,) and (x,), or (y, x) both."""
    lat, lon = geographic(target, grid)
    values = [np.asarray(one.values, dtype=np.float64) for one in (lat, lon)]
    if not all(np.isfinite(one).all() for one in values):
        raise InputError(
            "some latitudes or longitudes are missing; cut the target to where it has them"
        )
    return values[0], values[1]


def _before(start: Model | None) -> xr.Dataset | None:
    """Return the grid file of the model to begin with, if it has one."""
    if start is None or not isinstance(start.card.target, FixedTarget):
        return None
    return read_grid(start.read(start.card.target.grid), start.card)


def _same_grid(
    before: xr.Dataset | None, lat: np.ndarray, lon: np.ndarray, start: Model | None
) -> tuple[bool, list[str]]:
    """Tell whether a target is that of a model; say why the model cannot go elsewhere."""
    if before is None or start is None:
        return False, []
    if _near(before["lat"].values, before["lon"].values, lat, lon):
        return True, []
    for rows, columns, words in ((-1, 1, "rows"), (1, -1, "columns"), (-1, -1, "rows and columns")):
        turned = lat[::rows, ...] if lat.ndim == 1 else lat[::rows, ::columns]
        turned_lon = lon[::columns] if lon.ndim == 1 else lon[::rows, ::columns]
        if _near(before["lat"].values, before["lon"].values, turned, turned_lon):
            return False, [
                f"target: the {words} are those of {start.name} in the opposite order; turn them: "
                "target.isel({dim: slice(None, None, -1)})"
            ]
    stuck = [
        name
        for name in ("mean", "residual")
        if getattr(start.card, name).network.config.get("positions", "none") not in MAPS_THAT_MOVE
    ]
    if stuck:
        return False, [
            f"the target has another grid than {start.name} ({start.card.target.domain}), whose "
            f"networks ({', '.join(stuck)}) hold maps of theirs that none can be made like; begin "
            "from nothing: xresdiff.train(coarse, target)"
        ]
    return False, []


def _near(lat: np.ndarray, lon: np.ndarray, lat_b: np.ndarray, lon_b: np.ndarray) -> bool:
    """Tell whether two grids are one, but for the rounding of their coordinates."""
    one, other = _mesh(lat, lon), _mesh(lat_b, lon_b)
    if one[0].shape != other[0].shape:
        return False
    steps = [np.abs(np.diff(one[0], axis=0)), np.abs(np.diff(one[0], axis=1))]
    cell = max(float(np.median(step)) for step in steps if step.size)
    apart = np.abs((one[1] - other[1] + 180) % 360 - 180) * np.cos(np.deg2rad(one[0]))
    return bool(max(np.abs(one[0] - other[0]).max(), apart.max()) < SAME_PLACE * cell)


def _mesh(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if lat.ndim == 2:
        return lat, lon
    y, x = np.meshgrid(lat, lon, indexing="ij")
    return y, x


def _extras(
    start: Model | None,
    same: bool,
    statics: dict[str, Static],
    asked: Sequence[str],
    lat: np.ndarray,
) -> tuple[tuple[Extra, ...], list[str]]:
    """Return what the networks are told, what a model was told before first."""
    told: list[Extra] = []
    notes: list[str] = []
    for extra in start.card.extras if start is not None else ():
        if extra.kind == "static" and not same and extra.name not in statics:
            notes.append(f"dropped: the static field {extra.name!r}, which this grid does not have")
        else:
            told.append(extra)
    there = {(extra.kind, extra.name) for extra in told}
    for name, one in statics.items():
        if ("static", name) not in there:
            told.append(Extra("static", name, mean=one.mean, std=one.std))
    for word in asked:
        for kind in TIMED[word]:
            if any(extra.kind == kind for extra in told):
                continue
            where = {}
            if kind == "latitude":
                where = {"mean": float(lat.mean()), "std": float(lat.std()) or 1.0}
            told.append(Extra(kind, **where))  # type: ignore[arg-type]
    return tuple(told), notes


def _file(
    before: xr.Dataset | None,
    lat: np.ndarray,
    lon: np.ndarray,
    statics: dict[str, np.ndarray],
    start: Model | None,
) -> bytes:
    """Return the grid file: that of the model if nothing new is in it."""
    if before is None:
        return write_grid(lat, lon, statics=statics)
    assert start is not None  # whose file it is
    assert isinstance(start.card.target, FixedTarget)
    if all(n in before and np.array_equal(before[n].values, v) for n, v in statics.items()):
        return start.read(start.card.target.grid)
    coarse = None
    if "coarse_lat" in before.variables:
        coarse = (before["coarse_lat"].values, before["coarse_lon"].values)
    return write_grid(before["lat"].values, before["lon"].values, statics=statics, coarse=coarse)


def _goal(target: xr.Dataset, grids: Grids, same: Model | None) -> FixedTarget:
    """Return the target for the card."""
    coarse_km = _short(float(np.sqrt(prod(grids.coarse_km))))
    if same is not None:
        assert isinstance(same.card.target, FixedTarget)
        if same.card.target.stretched:  # inputs are brought to the coarse grid of the file
            return same.card.target
        return replace(same.card.target, coarse_spacing_km=coarse_km)
    box = footprint(target, grids.fine)
    digits = 1 if min(box.north - box.south, box.east - box.west) > 1 else 3
    around = Box(*(round(side, digits) for side in (box.south, box.north, box.west, box.east)))
    return FixedTarget(
        region=str(around).replace(".0 ", " "),
        spacing_km=_short(float(np.sqrt(prod(grids.fine_km)))),
        coarse_spacing_km=coarse_km,
    )
