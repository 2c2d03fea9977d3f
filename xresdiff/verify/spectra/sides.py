"""The plane that waves lie in: its two sides, the distances along them, and what is made of it."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xresdiff.errors import InputError, raise_problems
from xresdiff.grids import coords
from xresdiff.grids.cells.sphere import unit_vectors
from xresdiff.verify.arguments import with_dims
from xresdiff.verify.kernels.spectral import Window, power_spectrum, wavenumbers
from xresdiff.verify.measures import Measure, measure
from xresdiff.verify.pairs import Pair
from xresdiff.verify.types import Data, Dims, Labelled

__all__ = [
    "Comparison",
    "Plane",
    "Sides",
    "Spacing",
    "compare_spectra",
    "plane_of",
    "product_units",
]

Sides: TypeAlias = tuple[Hashable, Hashable]
Spacing: TypeAlias = float | tuple[float, float]

WINDOWS = ("dct", "hann", None)
MIN_POINTS = 4
MIN_BINS = 2

#: Largest spacing over the smallest along a side. With one mean spacing for all, the wavelengths of
#: a grid at this limit are off by a third at one end and a half at the other: about half an octave.
LARGEST_CHANGE = 2.0


@dataclass(frozen=True)
class Plane:
    """Where and how spectra are taken.

    Attributes
    ----------
    dims : tuple of Hashable
        The two sides; y first, where coordinates tell.
    spacing : tuple of float
        Distance of neighbours along each, in km.
    window : {"dct", "hann", None}
        As for :func:`xresdiff.spectrum`.
    """

    dims: Sides
    spacing: tuple[float, float]
    window: Window

    def has(self, da: xr.DataArray) -> bool:
        """Tell whether a variable is numeric and on the plane."""
        return da.dtype.kind in "fiu" and set(self.dims) <= set(da.dims)

    def others(self, da: xr.DataArray) -> tuple[Hashable, ...]:
        """Name the other dimensions of a variable."""
        return tuple(d for d in da.dims if d not in self.dims)

    def apply(
        self,
        kernel: Callable[..., Any],
        *fields: xr.DataArray,
        parts: int | None = None,
        **options: Any,
    ) -> xr.DataArray:
        """Apply a kernel ``(..., y, x) each -> (..., [_part,] k)``, lazily if a field is lazy."""
        centres = self.wavenumbers_of(fields[0])
        sizes = ({} if parts is None else {"_part": parts}) | {"wavenumber": centres.size}
        _refuse_taken(fields)
        whole = dict.fromkeys(self.dims, -1)
        result = xr.apply_ufunc(
            kernel,
            *(da if da.chunks is None else da.chunk(whole) for da in fields),
            kwargs={"spacing": self.spacing, "window": self.window, **options},
            input_core_dims=[list(self.dims)] * len(fields),
            output_core_dims=[list(sizes)],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": sizes},
            keep_attrs=True,  # of the coordinates
        )
        result.attrs = {}
        return result.assign_coords(
            wavenumber=("wavenumber", centres, {"long_name": "wavenumber", "units": "km-1"}),
            wavelength=("wavenumber", 1 / centres, {"long_name": "wavelength", "units": "km"}),
        )

    def wavenumbers_of(self, da: Data) -> NDArray[Any]:
        """Centres of the bins, refusing a plane that is too small."""
        shape = (da.sizes[self.dims[0]], da.sizes[self.dims[1]])
        if min(shape) < MIN_POINTS:
            raise InputError(
                f"a spectrum needs {MIN_POINTS} points a side, {self.dims} have {shape}"
            )
        centres = wavenumbers(shape, self.spacing, self.window)
        if centres.size < MIN_BINS:
            raise InputError(
                f"{shape} points of {_listed(self.spacing)} km along {self.dims} have no waves in "
                "common: the shorter side is shorter than twice the wider spacing. Select more "
                f"points along {self.dims[int(np.argmin(np.multiply(shape, self.spacing)))]!r}"
            )
        return centres


def plane_of(data: Data, sides: Sides | None, spacing_km: Spacing | None, window: Window) -> Plane:
    """Find the horizontal sides of data and the spacing along each, as far as they are not given.

    Parameters
    ----------
    data, sides, spacing_km, window
        As for :func:`xresdiff.spectrum`.

    Returns
    -------
    Plane
        With the mean spacing along each side, where coordinates tell it.

    Raises
    ------
    InputError
        If there is no grid, or none whose spacing is even enough.

    Examples
    --------
    >>> da = xr.DataArray(np.zeros((4, 4)), {"lat": range(60, 64), "lon": range(4)}, ("lat", "lon"))
    >>> plane_of(da, None, None, "dct")
    Plane(dims=('lat', 'lon'), spacing=(111.1..., 53.0...), window='dct')
    """
    if window not in WINDOWS:
        raise InputError(f"type window='dct', 'hann' or None, not {window!r}")
    if sides is not None:
        sides = _checked(data, sides)
    if sides is not None and spacing_km is not None:
        return Plane(sides, _two(spacing_km), window)
    grid = coords.find_horizontal(data)
    if spacing_km is not None:
        return Plane(grid.dims, _two(spacing_km), window)
    if sides is not None and set(sides) != set(grid.dims):
        raise InputError(
            f"the horizontal dimensions are {grid.dims}, not {sides}; "
            "give the spacing along yours too: spacing_km=(1.0, 1.0)"
        )
    return Plane(grid.dims, _spacing_of(grid), window)


@dataclass(frozen=True)
class Comparison:
    """A score of spectra that are averaged first.

    Attributes
    ----------
    title : str
        What it is called, to begin the `long_name` of the result with.
    finish : callable, numpy ``(..., k), (..., k) -> (...)``
        The score of the spectrum of the forecast and that of the truth, without the open last bin.
    units : str
        Units of the score.
    """

    title: str
    finish: Callable[[Any, Any], Any]
    units: str


def compare_spectra(
    plane: Plane,
    what: Comparison,
    ens: Labelled,
    obs: Data,
    *,
    dim: Dims,
    member_dim: Hashable | None,
    weights: xr.DataArray | None,
    skipna: bool,
    reference: Data | None,
    ci: float | None,
) -> Labelled:
    """Score the spectrum of every variable of a forecast, averaged over members and fields.

    Parameters
    ----------
    plane : Plane
        Where the spectra are taken.
    what : Comparison
        The score.
    ens, obs, dim, member_dim, weights, skipna, reference, ci
        As for :func:`xresdiff.log_spectral_distance`.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        As :func:`xresdiff.verify.measures.measure`.

    Raises
    ------
    InputError
        As :func:`xresdiff.log_spectral_distance`.
    """
    if weights is not None and set(plane.dims) & set(weights.dims):
        raise InputError(
            f"spectra are of whole fields: weights along {weights.dims} cannot count in them. "
            "Give weights of fields, such as along time, or none: weights=None"
        )
    if isinstance(ens, xr.Dataset):
        ens = ens[[name for name, variable in ens.data_vars.items() if plane.has(variable)]]
    measured = Measure(
        what.title,
        partial(_both_spectra, plane),
        partial(_finish, what.finish),
        what.units,
        whole=plane.dims,
    )
    return measure(
        measured,
        ens,
        obs,
        dim=with_dims(dim, plane.dims),
        member_dim=member_dim,
        weights=weights,
        skipna=skipna,
        reference=reference,
        ci=ci,
    )


def _both_spectra(plane: Plane, pair: Pair) -> xr.DataArray:
    """Spectra of the forecast, a mean over members, and of the truth, one behind the other."""
    for what, da in (("the forecast", pair.ens), ("obs", pair.obs)):
        if not plane.has(da):
            raise InputError(
                f"spectra need fields along {plane.dims}, {what} is along {da.dims}: give fields "
                "on the grid of the forecast, not values at stations"
            )
    if "part" in pair.obs.dims:
        raise InputError(
            "spectra are averaged as parts of a dimension 'part', which the data have, too; call "
            "theirs otherwise: rename(part='other')"
        )
    forecast = plane.apply(power_spectrum, pair.ens).mean([pair.member], skipna=False)
    truth = plane.apply(power_spectrum, pair.obs)
    both = xr.broadcast(forecast, truth)  # a spectrum is missing as a whole
    known = [one.where(other.notnull()) for one, other in zip(both, both[::-1], strict=True)]
    parts = xr.concat(known, "wavenumber").drop_vars(["wavenumber", "wavelength"])
    # Each side is one place, which averages over places leave as it is.
    return parts.rename(wavenumber="part").expand_dims(plane.dims)


def _finish(finish: Callable[[Any, Any], Any], both: Any) -> Any:
    """Score both spectra, ``(..., 2 k) -> (...)``, without their last bins."""
    forecast, truth = np.moveaxis(both.reshape(*both.shape[:-1], 2, -1), -2, 0)
    return finish(forecast[..., :-1], truth[..., :-1])


def _refuse_taken(fields: Iterable[xr.DataArray]) -> None:
    """Refuse fields with dimensions or coordinates of names that a spectrum has for its own."""
    taken = [
        n for n in ("wavenumber", "wavelength") for da in fields if n in (*da.dims, *da.coords)
    ]
    if taken:
        raise InputError(
            f"a spectrum has a coordinate {taken[0]!r} of its own, which the data have, too; call "
            f"theirs otherwise: rename({taken[0]}='other')"
        )


def product_units(*fields: xr.DataArray) -> dict[str, str]:
    """Units of the product of two fields, or of the square of one: nothing if one has none."""
    told = [str(da.attrs.get("units", "")).strip() for da in fields]
    if "" in told:
        return {}
    units = [u for u in told if u != "1"]
    each = [u if u.isalpha() or u == "%" else f"({u})" for u in units]
    if len(fields) == 1 or (len(each) == 2 and len(set(each)) == 1):
        return {"units": f"{each[0]}2" if each else "1"}
    return {"units": " ".join(units if len(units) == 1 else each) or "1"}


def _checked(data: Data, sides: Any) -> Sides:
    """Refuse what does not name two dimensions."""
    if isinstance(sides, str) or len(set(sides)) != 2:
        raise InputError(f"sides are two dimensions, such as ('y', 'x'), not {sides!r}")
    absent = [d for d in sides if d not in data.dims]
    if absent:
        raise InputError(f"there are no dimensions {absent}; name two of sides={tuple(data.dims)}")
    return tuple(sides)


def _two(spacing_km: Spacing) -> tuple[float, float]:
    """Give each side its spacing."""
    two = np.ravel(spacing_km).tolist() * (2 if np.ndim(spacing_km) == 0 else 1)
    if len(two) != 2 or not all(0 < d < np.inf for d in two):
        raise InputError(
            f"spacing_km is one distance over 0, or one for each side, not {spacing_km!r}"
        )
    return two[0], two[1]


def _spacing_of(grid: coords.Horizontal) -> tuple[float, float]:
    """Measure the mean spacing along both sides, refusing one that changes too much."""
    if grid.kind == "curvilinear":
        steps = _distances(grid)
        spacing = float(steps[0].mean()), float(steps[1].mean())
    else:
        raise_problems(coords.check_uniform(grid), what="tell wavelengths without spacing_km=")
        spacing = coords.spacing_km(grid)
        if grid.units != "degrees":
            return spacing
        along = np.cos(np.deg2rad(grid.y_values))
        steps = (
            np.array([spacing[0]]),
            spacing[1] * along / np.cos(np.deg2rad(grid.y_values.mean())),
        )
    for dim, distances in zip(grid.dims, steps, strict=True):
        least, most = float(distances.min()), float(distances.max())
        if not most <= LARGEST_CHANGE * least:
            raise InputError(
                f"the spacing along {dim!r} goes from {max(least, 0):.3g} to {most:.3g} km, too "
                f"much for one wavelength of a wave: select a part of the grid where it changes "
                f"by less than {LARGEST_CHANGE:g} times, such as a belt of latitudes, regrid to "
                f"a projected grid, or count with the mean all the same: "
                f"spacing_km={_listed(spacing)}"
            )
    return spacing


def _distances(grid: coords.Horizontal) -> tuple[NDArray[Any], NDArray[Any]]:
    """Great-circle distances of neighbours along y and along x, in km, those that are known."""
    points = unit_vectors(grid.y_values, grid.x_values)
    steps = []
    for axis, dim in enumerate(grid.dims):
        chords = np.linalg.norm(np.diff(points, axis=axis), axis=-1)
        known = chords[np.isfinite(chords)]
        if not known.size:
            raise InputError(
                f"no two neighbours along {dim!r} have latitudes and longitudes in {grid.y!r} and "
                f"{grid.x!r}; say how far apart they are: spacing_km=(1.0, 1.0)"
            )
        steps.append(2 * coords.EARTH_RADIUS_KM * np.arcsin(np.minimum(known / 2, 1)))
    return steps[0], steps[1]


def _listed(values: tuple[float, float]) -> str:
    return "({:.4g}, {:.4g})".format(*values)
