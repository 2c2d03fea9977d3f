"""Packages like those that others publish, with small random networks, and weather to feed them.

Everything but the networks is made from formulas, so that the environment in which Earth2Studio
ran made the very same files. The networks lie in ``tests/data/earth2studio``.
"""

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

DATA = Path(__file__).parent / "data" / "earth2studio"

# Mean and standard deviation, in ERA5's units.
CLIMATE = {
    "tcwv": (40.0, 15.0),
    "t2m": (296.0, 5.0),
    "u10m": (-2.0, 4.0),
    "v10m": (-1.0, 5.0),
    "mrr": (14.0, 12.0),
    "z500": (57000.0, 700.0),
    "t500": (267.0, 3.0),
    "u500": (4.0, 9.0),
    "v500": (1.0, 6.0),
    "z700": (30800.0, 450.0),
    "t700": (282.0, 3.0),
    "u700": (2.0, 8.0),
    "v700": (1.0, 6.0),
    "z850": (14700.0, 350.0),
    "t850": (290.0, 4.0),
    "u850": (0.0, 7.0),
    "v850": (1.0, 7.0),
    "z925": (7700.0, 300.0),
    "t925": (294.0, 4.0),
    "u925": (-1.0, 7.0),
    "v925": (0.5, 7.0),
    "orography": (400.0, 600.0),
    "lsm": (0.5, 0.5),
}
ERA5_NAMES = {"u10m": "u10", "v10m": "v10"}  # the other names are the same
ERA5_ATTRS = {
    "tcwv": ("kg m**-2", "Total column vertically-integrated water vapour"),
    "t2m": ("K", "2 metre temperature"),
    "u10": ("m s**-1", "10 metre U wind component"),
    "v10": ("m s**-1", "10 metre V wind component"),
    "z": ("m**2 s**-2", "Geopotential"),
    "t": ("K", "Temperature"),
    "u": ("m s**-1", "U component of wind"),
    "v": ("m s**-1", "V component of wind"),
}

LEVELS = tuple(f"{name}{level}" for level in (500, 700, 850, 925) for name in "ztuv")
TAIWAN_CHANNELS = ("tcwv", *LEVELS, "t2m", "u10m", "v10m")  # of the zarr, both its data sets
TAIWAN_INPUTS = tuple(TAIWAN_CHANNELS[i] for i in (0, 1, 2, 3, 4, 9, 10, 11, 12, 17, 18, 19))
TAIWAN_LAT = np.linspace(19.25, 28, 36)
TAIWAN_LON = np.linspace(116, 126, 40, endpoint=False)
TAIWAN_ROOT = "corrdiff_inference_package"
TAIWAN_ZARR = f"{TAIWAN_ROOT}/dataset/2023-01-24-cwb-4years_5times.zarr"
TIME = np.datetime64("2021-09-12T00", "ns")


def smooth(name: str, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return waves that differ from name to name, of about mean 0 and deviation 1, in float64."""
    phase = zlib.crc32(name.encode()) % 1000 / 160
    waves = [
        np.sin((1.1 + 0.7 * k) * lat + 2.3 * k + phase) * np.cos((0.9 + 0.5 * k) * lon - phase * k)
        for k in range(4)
    ]
    return np.sum(waves, axis=0)


def weather(name: str, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return a field of a variable of Earth2Studio at points, float32."""
    mean, std = CLIMATE[name]
    return (mean + std * smooth(name, lat, lon)).astype(np.float32)


def coarse_fields(names: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return fields on a rectilinear grid, ``(names, lat, lon)``, float32."""
    points = np.meshgrid(lat, lon, indexing="ij")
    return np.stack([weather(name, *points) for name in names])


def era5(names: Sequence[str], lat: np.ndarray, lon: np.ndarray, *, margin: int = 3) -> xr.Dataset:
    """Return ERA5 as from the CDS: latitudes fall, levels share a variable.

    Parameters
    ----------
    names : sequence of str
        Variables of Earth2Studio.
    lat, lon : numpy.ndarray
        Of a grid, equally spaced; the result reaches `margin` rows and columns beyond it.
    """
    lat, lon = (np.linspace(*_widened(axis, margin)) for axis in (lat, lon))
    lat = lat[::-1]
    coords = {
        "time": [TIME],
        "latitude": ("latitude", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": ("longitude", lon, {"units": "degrees_east", "standard_name": "longitude"}),
    }
    fields = dict(zip(names, coarse_fields(names, lat, lon)[:, None], strict=True))
    ds = xr.Dataset(coords=coords)
    levels = sorted({int(name[1:]) for name in names if name[1:].isdigit()})
    for name in names:
        if not name[1:].isdigit():
            theirs = ERA5_NAMES.get(name, name)
            ds[theirs] = (("time", "latitude", "longitude"), fields[name])
        elif name[0] not in ds:
            whole = [
                fields.get(f"{name[0]}{n}", np.full_like(fields[name], np.nan)) for n in levels
            ]
            ds[name[0]] = (("time", "level", "latitude", "longitude"), np.stack(whole, axis=1))
    if levels:
        ds = ds.assign_coords(level=("level", levels, {"units": "hPa"}))
    for name in ds.data_vars:
        units, long_name = ERA5_ATTRS[name]
        ds[name].attrs = {"units": units, "long_name": long_name}
    return ds


def _widened(axis: np.ndarray, margin: int) -> tuple[float, float, int]:
    step = (axis[-1] - axis[0]) / (axis.size - 1)
    return axis[0] - margin * step, axis[-1] + margin * step, axis.size + 2 * margin


# --- the generic package


GENERIC_INPUTS = ("t2m", "u10m", "v10m", "tcwv", "z500", "t850")
GENERIC_OUTPUTS = ("mrr", "t2m", "u10m")
INVARIANTS = ("orography", "lsm")


def curved(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes of a curvilinear grid, (y, x) each, float64."""
    y, x = np.mgrid[:height, :width]
    x = x - width / 2
    lat = 44 + 0.05 * y - 2e-4 * x**2 + 4e-4 * x
    return lat, 8 + 0.07 * x * (1 + 0.002 * y)


def coarse_axes(step: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Return rising latitudes and longitudes around every `curved` grid of 48 x 64 or less."""
    return 43 + step * np.arange(round(4 / step) + 1), 5 + step * np.arange(round(6 / step) + 1)


def generic_metadata(**changes: Any) -> dict[str, Any]:
    """Return a metadata.json with the given keys changed; those changed to None are left out."""
    metadata = {
        "input_variables": list(GENERIC_INPUTS),
        "output_variables": list(GENERIC_OUTPUTS),
        "invariant_variables": list(INVARIANTS),
        "number_of_samples": 2,
        "number_of_steps": 4,
        "sampler_type": "stochastic",
        "seed": 7,
    }
    return {key: value for key, value in (metadata | changes).items() if value is not None}


def generic_stats(metadata: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return a stats.json for a metadata.json."""
    groups = {"input": "input", "output": "output", "invariants": "invariant"}
    return {
        group: {
            name: {"mean": CLIMATE[name][0] + 0.25, "std": CLIMATE[name][1] * 1.25}
            for name in metadata.get(f"{key}_variables") or ()
        }
        for group, key in groups.items()
    }


def write_generic(
    folder: Path,
    networks: str,
    target: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    coarse: tuple[np.ndarray, np.ndarray] | None = None,
    **changes: Any,
) -> Path:
    """Write a package as Earth2Studio's CorrDiff loads it.

    Parameters
    ----------
    folder : Path
        A new folder.
    networks : str
        Start of the names of two checkpoints in ``tests/data/earth2studio``.
    target : tuple of numpy.ndarray, optional
        Latitudes and longitudes; by default `curved`, 48 x 48.
    coarse : tuple of numpy.ndarray, optional
        Of the input; without it there is no file of it if `changes` have a ``latlon_res``.
    **changes
        To `generic_metadata`.
    """
    folder.mkdir(parents=True)
    target = curved(48, 48) if target is None else target
    metadata = generic_metadata(**changes)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "stats.json").write_text(json.dumps(generic_stats(metadata)))
    write_axes(folder / "output_latlon_grid.nc", *target)
    if coarse is not None or "latlon_res" not in metadata:
        write_axes(folder / "input_latlon_grid.nc", *(coarse or coarse_axes()))
    if "invariant_variables" in metadata:
        write_invariants(folder / "invariants.nc", metadata["invariant_variables"], *target)
    for stage in ("regression", "diffusion"):
        (folder / f"{stage}.mdlus").write_bytes(checkpoint(f"{networks}_{stage}"))
    return folder


def write_axes(path: Path, lat: np.ndarray, lon: np.ndarray) -> None:
    """Write a grid as Earth2Studio reads it: two variables."""
    dims = (("y", "x"), ("y", "x")) if lat.ndim == 2 else ("lat", "lon")
    xr.Dataset({"lat": (dims[0], lat), "lon": (dims[1], lon)}).to_netcdf(path)


def write_invariants(path: Path, names: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> None:
    """Write fields of the target, float32."""
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    fields = {name: (("y", "x"), weather(name, lat, lon)) for name in names}
    xr.Dataset(fields).to_netcdf(path)


def checkpoint(name: str) -> bytes:
    """Return an ``.mdlus`` file that PhysicsNeMo wrote."""
    return lzma.decompress((DATA / f"{name}.mdlus.xz").read_bytes())


# --- the package of Taiwan


def lambert() -> tuple[np.ndarray, np.ndarray]:
    """Return XLAT and XLONG, (450, 450) float32: a Lambert cone of 2.07 km about Taiwan."""
    radius, lat0, lon0 = 6370.0, np.deg2rad(23.7), 120.85
    one, two = np.deg2rad([20, 27])  # standard parallels
    n = np.log(np.cos(one) / np.cos(two))
    n /= np.log(np.tan(np.pi / 4 + two / 2) / np.tan(np.pi / 4 + one / 2))
    f = np.cos(one) * np.tan(np.pi / 4 + one / 2) ** n / n
    rho0 = radius * f / np.tan(np.pi / 4 + lat0 / 2) ** n
    x, y = np.meshgrid(*(2.07 * (np.arange(450) - 224.5),) * 2)
    rho = np.hypot(x, rho0 - y)
    lat = 2 * np.arctan((radius * f / rho) ** (1 / n)) - np.pi / 2
    lon = lon0 + np.rad2deg(np.arctan2(x, rho0 - y) / n)
    return np.rad2deg(lat).astype(np.float32), lon.astype(np.float32)


def write_taiwan(path: Path, *, heights: bool = False, networks: str = "taiwan") -> Path:
    """Write the zip that NVIDIA publishes, with every member of it.

    Parameters
    ----------
    path : Path
        Of the zip.
    heights : bool, default False
        Whether the centre of z is that of geopotential height, in metres.
    networks : str, default "taiwan"
        As of `write_generic`.
    """
    members = {f"{TAIWAN_ROOT}/{name}": data for name, data in _taiwan_files(networks).items()}
    members |= {f"{TAIWAN_ZARR}/{name}": data for name, data in _taiwan_zarr(heights).items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        folders = {f"{parent}/" for name in members for parent in Path(name).parents}
        for folder in sorted(folders - {"./"}):
            archive.writestr(folder, b"")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def _taiwan_files(networks: str) -> dict[str, bytes]:
    return {
        "checkpoints/diffusion.mdlus": checkpoint(f"{networks}_diffusion"),
        "checkpoints/regression.mdlus": checkpoint(f"{networks}_regression"),
        "checkpoints/LICENSE.txt": b"Apache License, Version 2.0\n",
        "dataset/LICENSE.txt": b"CC BY-NC-ND 4.0\n",
    }


def taiwan_scales(*, heights: bool = False) -> dict[str, np.ndarray]:
    """Return the centres and scales of both data sets, (20,) float32 each."""
    names = {"era5": TAIWAN_CHANNELS, "cwb": ("mrr", *TAIWAN_CHANNELS[1:])}
    scales = {}
    for group, channels in names.items():
        g = np.array([9.80665 if heights and name[0] == "z" else 1.0 for name in channels])
        scales[f"{group}_center"] = [CLIMATE[name][0] + 0.25 for name in channels] / g
        scales[f"{group}_scale"] = [CLIMATE[name][1] * 1.25 for name in channels] / g
    return {name: np.asarray(values, np.float32) for name, values in scales.items()}


def _taiwan_zarr(heights: bool) -> dict[str, bytes]:
    """Return the files of the zarr; of the samples, only what describes them."""
    store = zarr.storage.MemoryStore()
    root = zarr.create_group(store, zarr_format=2)
    arrays = dict(zip(("XLAT", "XLONG"), lambert(), strict=True)) | taiwan_scales(heights=heights)
    for group in ("era5", "cwb"):
        arrays[f"{group}_pressure"] = np.full(20, np.nan, np.float32)
        arrays[f"{group}_valid"] = np.ones(5, bool)
        root.create_array(
            group, shape=(5, 20, 450, 450), chunks=(1, 1, 450, 450), dtype="f4", fill_value=np.nan
        )
    arrays["time"] = np.arange(5, dtype=np.int64)
    for name, values in arrays.items():
        root.create_array(name, data=values)
    return {name: part.to_bytes() for name, part in sorted(store._store_dict.items())}
