"""Where a model works: on the refined grid of its input, or on the grid of one region."""

from dataclasses import dataclass, field
from typing import Literal

from xresdiff.models.parts import Problems, must_be_positive, must_not_be_empty
from xresdiff.models.strict_json import Part

__all__ = ["Extra", "FixedTarget", "Padding", "Patching", "RefineTarget"]


@dataclass(frozen=True)
class Padding(Part):
    """What a network is given beyond the edges of its target, because it was trained so.

    Parameters
    ----------
    rows, columns : tuple of int
        Rows before the first and behind the last, columns likewise.
    around : bool, default False
        Whether the columns continue around the Earth. Else they are mirrored at the edge, as the
        rows are; the edge itself does not come twice.

    Examples
    --------
    >>> Padding(rows=(23, 24), columns=(48, 48), around=True).padded(721, 1440)
    (768, 1536)
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    around: bool = False

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        for name in ("rows", "columns"):
            if min(getattr(self, name)) < 0:
                yield name, f"{getattr(self, name)} must not be negative"

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of fields with their padding."""
        return height + sum(self.rows), width + sum(self.columns)


@dataclass(frozen=True)
class Patching(Part):
    """How a network that was trained on patches covers a large field.

    Parameters
    ----------
    shape : tuple of int
        Height and width of a patch, in fine pixels.
    overlap : int
        Pixels that neighbours share.
    boundary : int
        Pixels at the edges of a patch that reach beyond its stride, on top of the overlap.
    whole : bool, default True
        Whether a patch is also told of the whole domain, shrunk to the shape of the patch.
    """

    shape: tuple[int, int]
    overlap: int = 4
    boundary: int = 2
    whole: bool = True

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        if self.overlap < 0 or self.boundary < 0:
            yield "overlap", "overlap and boundary must not be negative"
        if min(self.shape) <= self.overlap + 2 * self.boundary:
            yield "shape", f"{self.shape} must exceed overlap + 2 boundary"


@dataclass(frozen=True)
class Extra(Part):
    """A channel that the networks are told behind the inputs: of the place, or of the time.

    Parameters
    ----------
    kind : str
        "static": a field of the grid file. "latitude": in degrees. "cos_zenith": the cosine of the
        sun's zenith angle. "hour_of_day": the whole hours since midnight (UTC). "sin_day",
        "cos_day", "sin_year", "cos_year": sine and cosine of a turn a day (UTC) or a year.
    name : str, default ""
        Of the field in the grid file.
    mean, std : float, default 0 and 1
        The networks see (value - mean) / std.

    Examples
    --------
    >>> Extra("sin_day").timed, Extra("latitude", std=45.0).timed
    (True, False)
    """

    kind: Literal[
        "static",
        "latitude",
        "cos_zenith",
        "hour_of_day",
        "sin_day",
        "cos_day",
        "sin_year",
        "cos_year",
    ]
    name: str = ""
    mean: float = 0.0
    std: float = 1.0

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_be_positive(self, "std")
        if self.kind == "static":
            yield from must_not_be_empty(self, "name")

    @property
    def timed(self) -> bool:
        """Whether its values depend on the time."""
        return self.kind not in ("static", "latitude")


@dataclass(frozen=True)
class FixedTarget(Part):
    """The grid of one region, kept in a file of the package.

    The file holds ``lat`` and ``lon``, (y, x) each or (lat,) and (lon,), and fields of the target
    that the networks are told; a coarse grid, as ``coarse_lat`` and ``coarse_lon``, (Y,) and (X,).

    Parameters
    ----------
    grid : str, default "grid.nc"
        That file.
    region : str
        The domain in a few words, such as "Taiwan".
    spacing_km : float
        Of the target.
    coarse_spacing_km : float
        Of the fields that the model learned from.
    stretched : bool, default False
        Whether inputs are brought onto the coarse grid of the file and then stretched to the
        target by row and column; else they are regridded to the target.
    padding : Padding, optional
        What the networks are given beyond the target.
    outline : tuple of tuple of float, default ()
        Longitudes and latitudes (degrees) around the target;
        :func:`~xresdiff.models.package.write_package` fills it.
    kind : "fixed"
        Tells the kinds of target apart in a file.

    Examples
    --------
    >>> FixedTarget(region="Taiwan", spacing_km=2.07, coarse_spacing_km=27.0).domain
    'Taiwan, on a grid of 2.07 km'
    """

    kind: Literal["fixed"] = field(default="fixed", kw_only=True)
    grid: str = field(default="grid.nc", kw_only=True)
    region: str
    spacing_km: float
    coarse_spacing_km: float
    stretched: bool = False
    padding: Padding | None = None
    outline: tuple[tuple[float, float], ...] = ()

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "region")
        yield from must_be_positive(self, "spacing_km", "coarse_spacing_km")

    @property
    def domain(self) -> str:
        """Where the model works, in words."""
        return f"{self.region}, on a grid of {self.spacing_km:g} km"


@dataclass(frozen=True)
class RefineTarget(Part):
    """The grid of the input, refined by a whole factor: the model works anywhere.

    Parameters
    ----------
    factor : int
        Fine cells along one side of a coarse cell.
    spacing_km : float
        Nominal spacing of the coarse grid (km).
    spacing_range_km : tuple of float
        Smallest and largest coarse spacing (km) that the model takes.
    kind : "refine"
        Tells the kinds of target apart in a file.

    Examples
    --------
    >>> RefineTarget(factor=16, spacing_km=16.0, spacing_range_km=(12.0, 20.0)).domain
    'anywhere, from a grid of 12 to 20 km'
    """

    kind: Literal["refine"] = field(default="refine", kw_only=True)
    factor: int
    spacing_km: float
    spacing_range_km: tuple[float, float]

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_be_positive(self, "spacing_km")
        if self.factor < 2:
            yield "factor", f"{self.factor} must be at least 2"
        low, high = self.spacing_range_km
        if not 0 < low <= self.spacing_km <= high:
            yield (
                "spacing_range_km",
                f"({low:g}, {high:g}) must be positive, rise and hold spacing_km, "
                f"{self.spacing_km:g}",
            )

    @property
    def domain(self) -> str:
        """Where the model works, in words."""
        low, high = self.spacing_range_km
        return f"anywhere, from a grid of {low:g} to {high:g} km"
