"""The methods of regridding: from two places to the weights between them."""

from dataclasses import dataclass

import numpy as np

from xresdiff.errors import InputError
from xresdiff.grids.esmf import conservative
from xresdiff.grids.esmf.bilinear import bilinear
from xresdiff.grids.esmf.degenerate import describe
from xresdiff.grids.esmf.names import ExtrapMethod, NormType, RegridMethod
from xresdiff.grids.esmf.nearest import inverse_distances, nearest
from xresdiff.grids.esmf.places import Grid, LocStream, Mesh, Place, corners_of, masked, points_of
from xresdiff.grids.esmf.weights import Weights

__all__ = ["Request", "make_weights"]

# ESMF's defaults of the extrapolation by inverse distances.
NEIGHBOURS = 8
EXPONENT = 2.0


@dataclass(frozen=True)
class Request:
    """What to compute.

    Attributes
    ----------
    method : RegridMethod
        How the weights are made.
    norm : NormType
        What conservative weights are divided by.
    source_mask, target_mask : list of int or None
        Values of the masks that mask a cell; none are masked if None.
    extrapolation : ExtrapMethod or None
        How targets are served that the method left without weights.
    neighbours, exponent
        Options of the extrapolation by inverse distances.
    ignore_degenerate : bool
        Leave cells with fewer than three distinct corners out, rather than refuse them.
    """

    method: RegridMethod
    norm: NormType = NormType.DSTAREA
    source_mask: list[int] | None = None
    target_mask: list[int] | None = None
    extrapolation: ExtrapMethod | None = None
    neighbours: int = NEIGHBOURS
    exponent: float = EXPONENT
    ignore_degenerate: bool = False


def make_weights(source: Place, target: Place, request: Request) -> Weights:
    """Return the weights by which sources make targets.

    Parameters
    ----------
    source, target : Grid, LocStream or Mesh
        Where the values are, and where they shall be.
    request : Request
        How.

    Returns
    -------
    Weights
        Sorted by target, then source.

    Raises
    ------
    InputError
        If the method is ESMPy's alone, or does not fit the places.
    """
    if request.method == RegridMethod.PATCH:
        raise InputError(needs_esmpy("the method 'patch'", "use method='bilinear'"))
    if request.method == RegridMethod.CONSERVE:
        return _conserve(source, target, request)
    points, places = points_of(source), points_of(target).reshape(-1, 3)
    used, wanted = ~masked(source, request.source_mask), ~masked(target, request.target_mask)
    wanted &= np.isfinite(places).all(axis=1)
    if request.method == RegridMethod.BILINEAR:
        weights = _bilinear(source, points, used, places, wanted, request.ignore_degenerate)
    points = points.reshape(-1, 3)
    used &= np.isfinite(points).all(axis=1)
    if request.method == RegridMethod.NEAREST_STOD:
        weights = _one_to_one(places, wanted, points, used)
    elif request.method == RegridMethod.NEAREST_DTOS:
        source_first = _one_to_one(points, used, places, wanted)
        weights = Weights(source_first.source, source_first.target, source_first.value).in_order()
    if request.extrapolation is None:
        return weights
    wanted[weights.target] = False
    more = _extrapolate(points, used, places, wanted, request)
    return Weights.together([weights, more]).in_order()


def needs_esmpy(what: str, instead: str) -> str:
    """Say that only ESMPy can do something, how to get it and what to do without it."""
    return (
        f"{what} needs ESMPy, which does not import here; it comes from conda alone: "
        f"conda install -c conda-forge esmpy. Without it, {instead}"
    )


def _bilinear(
    source: Place,
    points: np.ndarray,
    used: np.ndarray,
    places: np.ndarray,
    wanted: np.ndarray,
    ignore_degenerate: bool,
) -> Weights:
    """Interpolate between the points of a grid."""
    if not isinstance(source, Grid):
        raise InputError(
            "bilinear interpolation goes between the points of a grid, and the source is "
            f"a {type(source).__name__}; use method='nearest_s2d'"
        )
    weights = bilinear(
        points,
        used.reshape(points.shape[:2]),
        places if wanted.all() else places[wanted],
        periodic=source.periodic_dim is not None,
        ignore_degenerate=ignore_degenerate,
    )
    if wanted.all():
        return weights
    return weights._replace(target=np.flatnonzero(wanted)[weights.target])


def _one_to_one(
    places: np.ndarray, wanted: np.ndarray, points: np.ndarray, used: np.ndarray
) -> Weights:
    """Give every place wanted the nearest of the points used, with weight one."""
    some, candidates = np.flatnonzero(wanted), np.flatnonzero(used)
    if not some.size or not candidates.size:
        return Weights.none()
    index, _ = nearest(points[candidates], places[some])
    return Weights(some, candidates[index[:, 0]], np.ones(some.size))


def _extrapolate(
    points: np.ndarray, used: np.ndarray, places: np.ndarray, left: np.ndarray, request: Request
) -> Weights:
    """Serve the places that are left from their nearest points."""
    if request.extrapolation == ExtrapMethod.NEAREST_STOD:
        return _one_to_one(places, left, points, used)
    some, candidates = np.flatnonzero(left), np.flatnonzero(used)
    count = min(request.neighbours, candidates.size)
    if not some.size or not count:
        return Weights.none()
    index, square = nearest(points[candidates], places[some], count)
    value = inverse_distances(square, request.exponent)
    return Weights(np.repeat(some, count), candidates[index].ravel(), value.ravel())


def _conserve(source: Place, target: Place, request: Request) -> Weights:
    """Share the areas of sources out among the targets they overlap."""
    if request.extrapolation is not None:
        raise InputError(
            "extrapolation goes from point to point, and conservative regridding from area to "
            "area; leave extrap_method out, or use method='bilinear'"
        )
    for place, role in ((source, "source"), (target, "target")):
        if isinstance(place, Grid):
            _check_cells(place, role, request.ignore_degenerate)
    target_cell, source_cell, area = _overlaps(source, target)
    used, wanted = ~masked(source, request.source_mask), ~masked(target, request.target_mask)
    overlaps = Weights(target_cell, source_cell, area)
    overlaps = overlaps.chosen(used[source_cell] & wanted[target_cell])
    if request.norm == NormType.FRACAREA:
        whole = np.bincount(overlaps.target, overlaps.value, minlength=wanted.size)
    elif isinstance(target, Mesh):
        whole = conservative.polygon_areas(target.polygons)
    else:
        whole = conservative.cell_areas(corners_of(_as_grid(target))).ravel()
    return overlaps._replace(value=overlaps.value / whole[overlaps.target]).in_order()


def _overlaps(source: Place, target: Place) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which targets and sources overlap, and by how much."""
    if isinstance(source, Mesh) and isinstance(target, Mesh):
        raise InputError(
            needs_esmpy("regridding from polygons to polygons", "let a grid be the source")
        )
    if isinstance(target, Mesh):
        return conservative.polygon_overlaps(corners_of(_as_grid(source)), target.polygons)
    if isinstance(source, Mesh):
        polygon, cell, area = conservative.polygon_overlaps(
            corners_of(_as_grid(target)), source.polygons
        )
        return cell, polygon, area
    return conservative.overlaps(corners_of(_as_grid(source)), corners_of(_as_grid(target)))


def _as_grid(place: Place) -> Grid:
    """Return a grid, refuse what has no cells."""
    if isinstance(place, LocStream):
        raise InputError(
            "conservative regridding goes from area to area, and locations have none; use "
            "method='bilinear'"
        )
    assert isinstance(place, Grid)
    return place


def _check_cells(grid: Grid, role: str, ignore_degenerate: bool) -> None:
    """Refuse cells with fewer than three distinct corners."""
    lon, lat = corners_of(grid)
    bad = conservative.degenerate_cells((lon, lat))
    if ignore_degenerate or not bad.any():
        return
    cells = np.argwhere(bad)
    found = describe(cells, lon[:-1, :-1][bad], lat[:-1, :-1][bad], role)
    raise InputError(f"{found}. Leave cells without an area out, or pass ignore_degenerate=True")
