"""A model with a grid of its own, on a bay, and fields like ERA5's around it."""

from pathlib import Path

import numpy as np
import xarray as xr

from tests.toys import write_fixed_model
from xresdiff.models.card import Extra
from xresdiff.models.grid_file import write_grid
from xresdiff.models.package import Model

__all__ = ["CURVED", "EXTRAS", "LAT", "LAT_2D", "LON", "LON_2D", "OROGRAPHY", "era5", "write_bay"]

LAT, LON = np.linspace(24.0, 26.0, 24), np.linspace(119.0, 122.0, 36)
LAT_2D, LON_2D = (a + 0.1 * b for a, b in zip(
    np.meshgrid(LAT, LON, indexing="ij"), np.meshgrid(LON - 119, LAT - 24)[::-1], strict=True
))  # fmt: skip
OROGRAPHY = np.random.default_rng(7).normal(size=(24, 36)).astype(np.float32)
CURVED = write_grid(LAT_2D, LON_2D, statics={"orography": OROGRAPHY})
EXTRAS = (
    Extra("static", "orography", mean=0.5, std=2.0),
    Extra("cos_zenith", mean=0.25, std=0.5),
    Extra("hour_of_day", mean=12.0, std=7.0),
)


def write_bay(path: Path) -> Model:
    """Write the model, which is told the orography, the sun and the hour."""
    return write_fixed_model(path, CURVED, told=3, extras=EXTRAS)


def era5() -> xr.Dataset:
    """Three times of fields as ERA5 has them: a grid of 0.25 degrees, north first."""
    lat, lon = np.arange(28.0, 21.9, -0.25), np.arange(117.0, 124.1, 0.25)
    axes = {
        "time": np.datetime64("2021-09-12T06:00", "ns") + np.arange(3) * np.timedelta64(5, "h"),
        "latitude": ("latitude", lat, {"units": "degrees_north"}),
        "longitude": ("longitude", lon, {"units": "degrees_east"}),
    }
    noise = np.random.default_rng(0).normal(size=(2, 3, lat.size, lon.size)).astype("f4")
    dims = ("time", "latitude", "longitude")
    fields = {
        "t2m": (dims, 285 + 3 * noise[0], {"units": "K"}),
        "u10": (dims, 5 * noise[1], {"units": "m s-1"}),
    }
    return xr.Dataset(fields, axes)
