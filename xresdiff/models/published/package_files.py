"""The files of Earth2Studio's packages beside the checkpoints: JSON and netCDF, read strictly."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from xresdiff.errors import ModelError, raise_problems
from xresdiff.grids.cells.sphere import typical_spacing_km
from xresdiff.models import container
from xresdiff.models.card import Channel
from xresdiff.models.parts import Problems, must_be_positive, must_not_be_empty
from xresdiff.models.published import variables
from xresdiff.models.strict_json import Part, broken_rules, parse, read

__all__ = [
    "Metadata",
    "Scale",
    "Stats",
    "Target",
    "channels_of",
    "read_axes",
    "read_fields",
    "read_json",
    "read_metadata",
    "read_stats",
    "read_target",
    "static_name",
]

JSON_LIMIT = 2**22  # bytes
NETCDF_LIMIT = 2**30
MOST_DEGREES = 720.0  # of a longitude

_NO_FIELD = ("lat", "lon", "y", "x", "coarse_lat", "coarse_lon")  # of the grid file, taken


@dataclass(frozen=True)
class Metadata(Part):
    """What ``metadata.json`` of a generic package may say; all but `units` is Earth2Studio's.

    Parameters
    ----------
    input_variables, output_variables : tuple of str
        Names of Earth2Studio, in the order of the networks' channels.
    invariant_variables : tuple of str, optional
        Of ``invariants.nc``; by default all that are in it.
    number_of_samples, seed : int
        Defaults of a call there; here of ``members=`` and ``seed=``.
    number_of_steps, solver, sampler_type, sigma_min, sigma_max
        Of the sampler.
    inference_mode : {"both", "regression", "diffusion"}
        Which networks make the result.
    hr_mean_conditioning : bool, default True
        Whether the diffusion is told the mean.
    grid_spacing_tolerance, grid_bounds_margin : float
        What Earth2Studio lets pass of the coarse grid.
    latlon_res : float, optional
        Step of the coarse grid (degrees), where no file tells it.
    units : dict of str, default {}
        Of variables that have no name of Earth2Studio.
    """

    input_variables: tuple[str, ...]
    output_variables: tuple[str, ...]
    invariant_variables: tuple[str, ...] | None = None
    number_of_samples: int = 1
    number_of_steps: int = 18
    solver: Literal["euler", "heun"] = "euler"
    sampler_type: Literal["stochastic", "deterministic"] = "stochastic"
    inference_mode: Literal["both", "regression", "diffusion"] = "both"
    hr_mean_conditioning: bool = True
    seed: int | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    grid_spacing_tolerance: float = 1e-5
    grid_bounds_margin: float = 0.0
    latlon_res: float | None = None
    units: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(broken_rules(self))
        raise_problems(problems, what="read the metadata.json", error=ModelError)

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "input_variables", "output_variables")
        yield from must_be_positive(self, "number_of_samples", "number_of_steps", "latlon_res")
        yield from must_be_positive(self, "sigma_min", "sigma_max")
        for group in ("input_variables", "output_variables", "invariant_variables"):
            for name, times in Counter(getattr(self, group) or ()).items():
                if times > 1:
                    yield group, f"{name!r} is there {times} times"


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a variable in training."""

    mean: float
    std: float


Stats = Mapping[str, Mapping[str, Scale]]


@dataclass(frozen=True)
class Target:
    """A grid and what is known of it.

    Parameters
    ----------
    lat, lon : numpy.ndarray, (y, x) each, or (y,) and (x,)
        In degrees, in the order of the file.
    """

    lat: np.ndarray
    lon: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return (self.lat.shape[0], self.lon.shape[-1])

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude of every point, (y, x) each."""
        if self.lat.ndim == 2:
            return self.lat, self.lon
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat, lon

    @property
    def spacing_km(self) -> float:
        """Typical distance of neighbours, of three digits."""
        dy, dx = typical_spacing_km(*self.points)
        return float(f"{(dy * dx) ** 0.5:.3g}")

    @property
    def region(self) -> str:
        """Where it is, in words: "19.5 to 27.9 °N, 116 to 126 °E"."""
        lat, lon = self.points
        lon = np.rad2deg(np.unwrap(np.deg2rad(lon), axis=1))
        sides = [f"{v:.3g}" for v in (lat.min(), lat.max(), lon.min(), lon.max())]
        return f"{sides[0]} to {sides[1]} °N, {sides[2]} to {sides[3]} °E"


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a folder.

    Raises
    ------
    ModelError
        If it is absent, too large, or not one object of strict JSON.
    """
    try:
        return parse(container.read(folder, name, limit=JSON_LIMIT))
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def read_metadata(folder: Path) -> tuple[Metadata, list[str]]:
    """Read ``metadata.json``.

    Parameters
    ----------
    folder : Path
        Of the package.

    Returns
    -------
    tuple
        What it says, and the keys that mean nothing to Earth2Studio either.

    Raises
    ------
    ModelError
        If it is absent, or anything in it is wrong; every problem is named.
    """
    data = read_json(folder, "metadata.json")
    known = {field.name for field in dataclasses.fields(Metadata)}
    unknown = [key for key in data if key not in known]
    told = {key: value for key, value in data.items() if key in known}
    return read(Metadata, told, what="metadata.json"), unknown


def read_stats(folder: Path, needed: Mapping[str, Sequence[str]], problems: list[str]) -> Stats:
    """Read the scales of variables from ``stats.json``.

    Parameters
    ----------
    folder : Path
        Of the package.
    needed : mapping of sequence of str
        Variables by group, such as "input"; others in the file are of no interest.
    problems : list of str
        To which one sentence is added for every scale that is missing or wrong.

    Returns
    -------
    mapping of mapping of Scale
        By group and variable, those that are right.
    """
    try:
        data = read_json(folder, "stats.json")
    except ModelError as error:
        problems.append(str(error))
        return {group: {} for group in needed}
    found: dict[str, dict[str, Scale]] = {group: {} for group in needed}
    for group, names in needed.items():
        entries = data.get(group)
        for name in names:
            entry = entries.get(name) if isinstance(entries, dict) else None
            if entry is None:
                problems.append(f"stats.json has no {group!r} scale of {name!r}")
                continue
            scale = _scale(entry)
            if scale is None:
                text = json.dumps(entry)[:60]
                problems.append(
                    f"stats.json: {group}.{name} is {text}; it needs a finite mean and a std above "
                    'zero, {"mean": 281.5, "std": 9.0}'
                )
            else:
                found[group][name] = scale
    return found


def _scale(entry: Any) -> Scale | None:
    """Return a scale, None if it is none."""
    if not isinstance(entry, dict):
        return None
    mean, std = (entry.get(name) for name in ("mean", "std"))
    if isinstance(mean, bool) or isinstance(std, bool):
        return None
    if not (isinstance(mean, int | float) and isinstance(std, int | float)):
        return None
    if not (isfinite(mean) and isfinite(std) and std > 0):
        return None
    return Scale(float(mean), float(std))


def channels_of(
    names: Sequence[str],
    scales: Mapping[str, Scale],
    problems: list[str],
    *,
    units: Mapping[str, str],
    is_input: bool,
) -> tuple[Channel, ...]:
    """Return the channels of variables of Earth2Studio.

    Parameters
    ----------
    names : sequence of str
        In the order of the networks' channels.
    scales : mapping of Scale
        By name; a variable without one is left out.
    problems : list of str
        To which one sentence is added for every variable of unknown units.
    units : mapping of str
        Of variables that a user has named.
    is_input : bool
        Whether they are looked for in files.
    """
    channels = []
    for name in names:
        scale = scales.get(name)
        if scale is None:
            continue
        one = variables.channel(
            name, mean=scale.mean, std=scale.std, units=units.get(name), is_input=is_input
        )
        if one is None:
            problems.append(
                f"{name!r} is no variable of Earth2Studio, so that its units are not known; add "
                f'to metadata.json: "units": {{"{name}": "K"}}, or whichever they are'
            )
        else:
            channels.append(one)
    return tuple(channels)


def read_target(folder: Path, problems: list[str], name: str = "output_latlon_grid.nc") -> Target:
    """Read a grid from a netCDF file with ``lat`` and ``lon``.

    Grids may be of any shape and order; rectilinear ones come back with one dimension each.

    Parameters
    ----------
    folder : Path
        Of the package.
    problems : list of str
        To which every problem is added; the grid that comes back then is of one point.
    name : str
        Of the file.
    """
    lat, lon = read_axes(folder / name, ("lat", "lon"), problems)
    if lat is None or lon is None:
        return Target(np.zeros(1), np.zeros(1))
    wrong = _wrong_grid(name, lat, lon)
    if wrong:
        problems.append(wrong)
        return Target(np.zeros(1), np.zeros(1))
    if lat.ndim == 2 and (lat == lat[:, :1]).all() and (lon == lon[:1]).all():
        lat, lon = lat[:, 0], lon[0]
    return Target(lat, lon)


def _wrong_grid(name: str, lat: np.ndarray, lon: np.ndarray) -> str:
    """Say what keeps two arrays from being a grid; nothing if they are one."""
    shapes = f"lat of shape {lat.shape} and lon of shape {lon.shape}"
    if lat.ndim != lon.ndim or lat.ndim not in (1, 2) or (lat.ndim == 2 and lat.shape != lon.shape):
        return f"{name} has {shapes}; needed are (y,) and (x,), or (y, x) twice"
    if min(lat.shape + lon.shape) < 2:
        return f"{name} has {shapes}; needed are two rows and columns at least"
    if not (np.isfinite(lat).all() and np.isfinite(lon).all()):
        return f"{name} has latitudes or longitudes that are no numbers"
    if np.abs(lat).max() > 90 or np.abs(lon).max() > MOST_DEGREES:
        return f"{name} has latitudes or longitudes that are no degrees"
    return ""


def read_axes(
    path: Path, names: Sequence[str], problems: list[str]
) -> tuple[np.ndarray | None, ...]:
    """Return arrays of a netCDF file in float64, None in place of those that it lacks."""
    if not path.is_file():
        problems.append(f"there is no {path.name}")
        return (None,) * len(names)
    arrays = read_fields(path, names, problems)
    return tuple(arrays.get(name) for name in names)


def read_fields(
    path: Path, names: Sequence[str] | None, problems: list[str]
) -> dict[str, np.ndarray]:
    """Return arrays of a netCDF file, by name, in float64.

    Parameters
    ----------
    path : Path
        Of the file.
    names : sequence of str, optional
        Of the arrays; all that are no coordinates by default.
    problems : list of str
        To which every problem is added.
    """
    size = path.stat().st_size
    if size > NETCDF_LIMIT:
        problems.append(f"{path.name} has {size} bytes, more than the {NETCDF_LIMIT} it may have")
        return {}
    try:
        with xr.open_dataset(path, decode_times=False, decode_timedelta=False) as ds:
            wanted = [str(name) for name in ds.data_vars] if names is None else names
            missing = [name for name in wanted if name not in ds.variables]
            problems += [f"{path.name} has no variable {name!r}" for name in missing]
            total = sum(8 * ds[name].size for name in wanted if name not in missing)
            if total > NETCDF_LIMIT:
                problems.append(f"{path.name} unpacks to {total} bytes, more than it may have")
                return {}
            return {
                name: np.asarray(ds[name].values, np.float64)
                for name in wanted
                if name not in missing
            }
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        problems.append(f"cannot read {path.name} as netCDF: {error}")
        return {}


def static_name(name: str) -> str:
    """Return the name of a field of the target as the grid file can keep it.

    Examples
    --------
    >>> static_name("land/sea"), static_name("lat")
    ('land_sea', 'lat_field')
    """
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    plain = plain if plain[:1].isalpha() else f"field_{plain}"
    return f"{plain}_field" if plain in _NO_FIELD else plain
