"""The demo: rain made here, or your own, downscaled, drawn and scored beside an interpolation."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import xarray as xr

from xresdiff.downscale import downscale
from xresdiff.errors import InputError
from xresdiff.grids.coarsen import coarsen
from xresdiff.grids.coords import find_horizontal, find_variable, other_dims, spacing_km
from xresdiff.grids.units import convert
from xresdiff.models.opening import open_model
from xresdiff.plot import spectrum, stamps
from xresdiff.store import to_zarr
from xresdiff.tutorial import WET, rain_pair
from xresdiff.verify.spectra.power import log_spectral_distance
from xresdiff.verify.tables import scores

__all__ = ["Case", "Result", "bilinear", "downscaled", "made_here", "of_dataset", "save", "table"]

MODEL = "rain-16x"
FACTOR = 16
TIMES = 4  # at most, of a longer file
SIDE = 16  # coarse cells at most along a side, of a wider file

SCORES = {
    "crps": "CRPS, fair",
    "mae": "MAE of the mean",
    "rmse": "RMSE of the mean",
    "bias": "bias of the mean",
    "spread_skill": "spread / error of the mean",
}


@dataclass(frozen=True)
class Case:
    """A coarse field to downscale, and the fine field that it was made from, where there is one.

    Attributes
    ----------
    coarse : xarray.DataArray, (..., Y, X)
        Rain rate on a grid of about 16 km.
    truth : xarray.DataArray, (..., y, x), or None
        Rain rate on a grid of about 1 km.
    """

    coarse: xr.DataArray
    truth: xr.DataArray | None


@dataclass(frozen=True)
class Result:
    """What became of a case, and how long it took.

    Attributes
    ----------
    case : Case
        What was downscaled.
    ensemble : xarray.Dataset, (member, ..., y, x)
        By the model.
    bilinear : xarray.DataArray, (..., y, x)
        By interpolation.
    seconds : dict of str to float
        For one member at one time, by "ensemble" and "bilinear".
    """

    case: Case
    ensemble: xr.Dataset
    bilinear: xr.DataArray
    seconds: dict[str, float]

    @property
    def rain(self) -> xr.DataArray:
        """The ensemble's rain rate."""
        return self.ensemble[self.case.coarse.name]


def made_here() -> Case:
    """Return four times of the rain of :mod:`xresdiff.tutorial`, with the truth."""
    coarse, truth = rain_pair(factor=FACTOR, times=TIMES)
    return Case(coarse.precip_rate, truth.precip_rate)


def of_dataset(ds: xr.Dataset) -> Case:
    """Choose a case from a Dataset: its wettest 16 x 16 coarse cells at four times, at most.

    Parameters
    ----------
    ds : xarray.Dataset, (..., y, x)
        With a rain rate. On a grid of about 1 km it is the truth, and its block means are
        downscaled; on one of 10 to 22 km there is no truth.

    Returns
    -------
    Case
        In memory, in the units of the model.

    Raises
    ------
    InputError
        If there is no rain rate, no uniform grid of such a spacing, or no unit that converts.
    """
    rain = _rain_rate(ds)
    grid = find_horizontal(rain)
    factor = _block(spacing_km(grid))
    others = other_dims(rain, grid)
    rain = rain.isel({dim: slice(TIMES if dim == others[0] else 1) for dim in others})
    if factor == 1:
        return Case(rain.isel(_wettest(rain, grid.dims)).compute(), None)
    rain = rain.isel({dim: slice(rain.sizes[dim] // factor * factor) for dim in grid.dims})
    coarse = coarsen(rain, factor).compute()
    window = _wettest(coarse, grid.dims)
    fine = {dim: slice(factor * cut.start, factor * cut.stop) for dim, cut in window.items()}
    return Case(coarse.isel(window), rain.isel(fine).compute())


def downscaled(case: Case, *, members: int = 16, steps: int | None = None, seed: int = 0) -> Result:
    """Downscale a case with the default model, and by interpolation.

    Parameters
    ----------
    case : Case
        What to downscale.
    members, steps, seed
        As for :func:`xresdiff.downscale.downscale`.

    Returns
    -------
    Result
        In memory.

    Raises
    ------
    InputError
        If the model cannot take the field.
    """
    start = perf_counter()
    coarse = case.coarse.to_dataset()
    ensemble = downscale(coarse, members=members, model=MODEL, steps=steps, seed=seed).compute()
    between = perf_counter()
    interpolated = bilinear(case.coarse, ensemble)
    end = perf_counter()
    fields = case.coarse.size // math.prod(case.coarse.sizes[d] for d in _dims(case.coarse))
    seconds = {
        "ensemble": (between - start) / fields / members,
        "bilinear": (end - between) / fields,
    }
    return Result(case, ensemble, interpolated, seconds)


def bilinear(coarse: xr.DataArray, fine: xr.Dataset) -> xr.DataArray:
    """Interpolate to a grid that splits the cells of a field.

    Parameters
    ----------
    coarse : xarray.DataArray, (..., Y, X)
        Field.
    fine : xarray.Dataset, (..., y, x)
        Anything on the finer grid, with dimensions of the same names.

    Returns
    -------
    xarray.DataArray, (..., y, x)
        Bilinear between the centres of the coarse cells, constant beyond the outer ones.

    Examples
    --------
    >>> coarse = xr.DataArray([[0.0, 4.0]] * 2, {"y": [1.0, 3.0], "x": [1.0, 3.0]}, ("y", "x"))
    >>> fine = xr.Dataset(coords={"y": [0.5, 1.5, 2.5, 3.5], "x": [0.5, 1.5, 2.5, 3.5]})
    >>> bilinear(coarse, fine).isel(y=0).values
    array([0., 1., 3., 4.])
    """
    dims = _dims(coarse)
    ours = [name for name, coord in coarse.coords.items() if set(coord.dims) & set(dims)]
    theirs = {name: coord for name, coord in fine.coords.items() if set(coord.dims) & set(dims)}
    places = {}
    for dim in dims:
        cells, points = coarse.sizes[dim], fine.sizes[dim]
        places[dim] = ((np.arange(points) + 0.5) * cells / points - 0.5).clip(0, cells - 1)
    by_place = coarse.drop_vars(ours).assign_coords({d: np.arange(coarse.sizes[d]) for d in dims})
    return by_place.interp(places).drop_vars(dims).assign_coords(theirs).astype(coarse.dtype)


def save(result: Result, out: Path) -> list[Path]:
    """Write ``ensemble.zarr``, ``members.png`` and ``spectrum.png`` to a folder.

    Parameters
    ----------
    result : Result
        What to write and draw.
    out : Path
        The folder, made if it is not there.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    StoreError
        If the folder cannot be written, or holds the ensemble of another run.
    """
    import matplotlib.pyplot as plt

    paths = [out / name for name in ("ensemble.zarr", "members.png", "spectrum.png")]
    to_zarr(result.ensemble, paths[0])
    truth, reference = result.case.truth, {"bilinear": result.bilinear}
    members = stamps(result.rain, truth, coarse=result.case.coarse)
    spectra, ax = plt.subplots(layout="constrained")
    spectrum(result.rain, truth, reference=reference, ax=ax)
    for figure, path in ((members, paths[1]), (spectra, paths[2])):
        figure.savefig(path, dpi=120)
        plt.close(figure)
    return paths


def table(result: Result) -> str:
    """Tabulate what was measured: scores against the truth, statistics, mass, seconds.

    Parameters
    ----------
    result : Result
        What to measure.

    Returns
    -------
    str
        A line per measure, a column each for the truth, the ensemble and the interpolation.
    """
    truth, unit = result.case.truth, result.case.coarse.attrs["units"]
    columns = {"truth": truth, "ensemble": result.rain, "bilinear": result.bilinear}
    fields = {name: field for name, field in columns.items() if field is not None}
    rows = {} if truth is None else _scores(result.rain, truth, result.bilinear, unit)
    rows[f"mean ({unit})"] = {name: float(field.mean()) for name, field in fields.items()}
    rows[f"wet area, over {WET} {unit} (%)"] = {
        name: 100 * float((field > WET).mean()) for name, field in fields.items()
    }
    rows[f"99.9th percentile ({unit})"] = {
        name: float(field.quantile(0.999)) for name, field in fields.items()
    }
    rows["error of the block means (%)"] = {
        name: _mass_error(field, result.case.coarse)
        for name, field in fields.items()
        if name != "truth"
    }
    rows["seconds per member"] = result.seconds
    return _layout(rows, list(fields))


def _scores(
    rain: xr.DataArray, truth: xr.DataArray, other: xr.DataArray, unit: str
) -> dict[str, dict[str, float]]:
    """Return the rows that need the truth."""
    found = scores(rain, truth, reference={"bilinear": other})[rain.name]
    rows = {
        f"{title} ({unit})" if name != "spread_skill" else title: {
            column: float(found.sel(score=name, forecast=column))
            for column in ("ensemble", "bilinear")
        }
        for name, title in SCORES.items()
    }
    rows["log spectral distance (dB)"] = {
        "ensemble": float(log_spectral_distance(rain, truth)),
        "bilinear": float(log_spectral_distance(other, truth)),
    }
    return rows


def _mass_error(fine: xr.DataArray, coarse: xr.DataArray) -> float:
    """Return the mean absolute error of the block means, in per cent of their mean."""
    means = coarsen(fine.astype("f8"), FACTOR)
    error = abs(means - coarse.drop_vars(coarse.coords)).mean()
    return 100 * float(error / coarse.mean())


def _layout(rows: dict[str, dict[str, float]], columns: list[str]) -> str:
    """Set rows of numbers in columns, a dash where there is none."""
    width = max(map(len, rows))
    lines = [" " * width + "".join(f"{column:>12}" for column in columns)]
    for title, row in rows.items():
        values = [row.get(column, math.nan) for column in columns]
        cells = [f"{value:z12.3f}" if math.isfinite(value) else f"{'-':>12}" for value in values]
        lines.append(title.ljust(width) + "".join(cells))
    return "\n".join(lines)


def _rain_rate(ds: xr.Dataset) -> xr.DataArray:
    """Return the variable that the model wants, in its units and by its name."""
    channel = open_model(MODEL).card.inputs[0]
    name = find_variable(ds, channel)
    if name is None:
        raise InputError(
            f"the data have no rain rate: found {list(ds.data_vars)}, needed one called "
            f"{' or '.join(map(repr, channel.names))}, or of the standard name "
            f"{channel.standard_name!r}. Rename it: ds.rename({{'found': {channel.name!r}}})"
        )
    return convert(ds[name], channel.units).rename(channel.name).astype("f4")


def _block(spacing: tuple[float, float]) -> int:
    """Return how many cells a side make one of the input, by their spacing (km)."""
    target = open_model(MODEL).card.target
    assert target.kind == "refine"  # of the model that is built in
    low, high = target.spacing_range_km
    for factor in (1, FACTOR):
        if all(low <= factor * step <= high for step in spacing):
            return factor
    found = " x ".join(f"{step:.3g}" for step in spacing)
    raise InputError(
        f"the demo needs rain on a grid of {low / FACTOR:.1f} to {high / FACTOR:.1f} km (the "
        f"truth) or of {low:g} to {high:g} km (the input); this one is of {found} km. "
        "Change the grid: ds.resdiff.regrid(target, method='conservative')"
    )


def _dims(field: xr.DataArray) -> tuple[Hashable, Hashable]:
    return find_horizontal(field).dims


def _wettest(rain: xr.DataArray, dims: tuple[Hashable, Hashable]) -> dict[Hashable, slice]:
    """Return the window of `SIDE` cells with most rain, among those without missing values."""
    mean = rain.mean([dim for dim in rain.dims if dim not in dims], skipna=False).compute()
    sides = {dim: min(SIDE, rain.sizes[dim]) for dim in dims}
    for dim, side in sides.items():
        mean = mean.rolling({dim: side}).mean()  # of the cells up to each; NaN if one is
    if mean.isnull().all():
        return {dim: slice(0, side) for dim, side in sides.items()}
    last = mean.argmax(dims)
    return {
        dim: slice(int(last[dim]) + 1 - side, int(last[dim]) + 1) for dim, side in sides.items()
    }
