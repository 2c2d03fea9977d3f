"""A package like CorrDiff CMIP6-ERA5, with small random networks, and a climate to feed it.

Everything but the networks is made from formulas, so that the environment in which Earth2Studio
ran made the very same files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tests.imitations import checkpoint, smooth, write_axes

INPUTS = ("siconc", "tas", "snc", "zg500", "pr")
OUTPUTS = ("u10m", "t2m", "z1000", "q850", "tcwv")
INVARIANTS = ("orography", "lsm", "coslat")
CLIMATE = {
    "siconc": (60.0, 35.0),
    "tas": (280.0, 12.0),
    "snc": (40.0, 30.0),
    "zg500": (5550.0, 200.0),
    "pr": (3e-5, 1e-5),
    "u10m": (0.0, 6.0),
    "t2m": (282.0, 14.0),
    "z1000": (300.0, 800.0),
    "q850": (0.004, 0.003),
    "tcwv": (18.0, 14.0),
    "orography": (400.0, 600.0),
    "lsm": (0.4, 0.5),
    "coslat": (0.6, 0.3),
    "sza": (0.05, 0.45),
    "hod": (11.5, 6.9),
}
UNITS = {"siconc": "%", "tas": "K", "snc": "%", "zg": "m", "pr": "kg m-2 s-1"}
LAT = np.linspace(-90, 90, 49)  # rising, as Earth2Studio has it
LON = np.linspace(0, 360, 96, endpoint=False)
# Earth2Studio takes it for equally spaced, but nothing depends on where the rows are.
COARSE_LAT = np.rad2deg(np.arcsin(np.linspace(-0.98, 0.98, 16)))
COARSE_LON = np.linspace(0, 360, 32, endpoint=False)
DAYS = pd.date_range("2015-02-27T12", periods=4, freq="D")


def metadata(**changes: Any) -> dict[str, Any]:
    """Return a metadata.json with the given keys changed; those changed to None are left out."""
    told = {
        "input_variables": list(INPUTS),
        "output_variables": list(OUTPUTS),
        "invariant_variables": list(INVARIANTS),
        "number_of_steps": 3,
        "sampler_type": "stochastic",
    }
    return {key: value for key, value in (told | changes).items() if value is not None}


def stats(told: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return a stats.json for a metadata.json."""
    names = {
        "input": [*told["input_variables"], "sza", "hod"],
        "output": told["output_variables"],
        "invariants": told.get("invariant_variables", INVARIANTS),
    }
    return {
        group: {
            name: dict(zip(("mean", "std"), CLIMATE[name], strict=True))
            for name in members
            if name in CLIMATE
        }
        for group, members in names.items()
    }


def write_cmip6(folder: Path, **changes: Any) -> Path:
    """Write a package, with the given keys of metadata.json changed."""
    folder.mkdir(parents=True)
    told = metadata(**changes)
    (folder / "metadata.json").write_text(json.dumps(told))
    (folder / "stats.json").write_text(json.dumps(stats(told)))
    (folder / "config.json").write_text("{}")
    write_axes(folder / "output_latlon_grid.nc", LAT, LON)
    write_axes(folder / "input_latlon_grid.nc", COARSE_LAT, COARSE_LON)
    lat, lon = np.meshgrid(LAT[::-1], LON, indexing="ij")  # ERA5's rows run from the north
    fields = {name: (("y", "x"), field(name, lat, lon)) for name in INVARIANTS}
    xr.Dataset(fields).to_netcdf(folder / "invariants.nc")
    for stage in ("regression", "diffusion"):
        (folder / f"{stage}.mdlus").write_bytes(checkpoint(f"cmip6_{stage}"))
    return folder


def field(name: str, lat: np.ndarray, lon: np.ndarray, day: int = 0) -> np.ndarray:
    """Return a field of a variable at points on a day, float32."""
    mean, std = CLIMATE[name]
    values = mean + std * smooth(f"{name}{day}", np.deg2rad(lat), np.deg2rad(lon))
    if name in ("siconc", "snc"):
        values = np.clip(values, 0, 100)
        values[(lon + 17 * (name == "snc")) % 90 < 8] = np.nan  # no ice on land, no snow at sea
    return values.astype(np.float32)


def days() -> np.ndarray:
    """Return the inputs of `DAYS` on the coarse grid, (day, variable, lat, lon), float32."""
    points = np.meshgrid(COARSE_LAT, COARSE_LON, indexing="ij")
    return np.stack([[field(name, *points, day) for name in INPUTS] for day in range(len(DAYS))])


def cmip6(calendar: str = "standard") -> xr.Dataset:
    """Return the same as from CMIP6: levels have a dimension, latitudes rise."""
    fields = days()
    time = xr.date_range(str(DAYS[0]), periods=len(DAYS), calendar=calendar)
    ds = xr.Dataset(
        coords={
            "time": time,
            "lat": ("lat", COARSE_LAT, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", COARSE_LON, {"units": "degrees_east", "standard_name": "longitude"}),
            "plev": ("plev", [50000.0], {"units": "Pa", "standard_name": "air_pressure"}),
        }
    )
    for i, name in enumerate(INPUTS):
        if name == "zg500":
            ds["zg"] = (("time", "plev", "lat", "lon"), fields[:, i, None])
        else:
            ds[name] = (("time", "lat", "lon"), fields[:, i])
    for name in ds.data_vars:
        ds[name].attrs["units"] = UNITS[str(name)]
    return ds
