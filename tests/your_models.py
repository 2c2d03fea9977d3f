"""Models of any channels for the tests: rain that is drawn, states that are interpolated."""

import dataclasses
from typing import Any

from tests.toys import PRECIP_RATE, write_toy_model
from xresdiff.models.card import Channel, RefineTarget

RAIN = "rain"
CHANNELS = {
    RAIN: dataclasses.replace(
        PRECIP_RATE,
        aliases=("rain_rate", "rr", "prate", "pr", "tp", "precipitation", "rainfall_rate"),
    ),
    "t2m": Channel("t2m", "air_temperature", "K", mean=285.0, std=5.0, aliases=("tas", "T2")),
    "u10": Channel("u10", "eastward_wind", "m s-1", mean=3.0, std=2.0, aliases=("uas",)),
    "msl": Channel("msl", "air_pressure_at_mean_sea_level", "Pa", "", mean=1e5, aliases=("psl",)),
    "sst": Channel("sst", "sea_surface_temperature", "K", mean=290.0, std=3.0, aliases=("tos",)),
    "r850": Channel("r", "relative_humidity", "1", level_Pa=85000.0, aliases=("hur",)),
    "q850": Channel("q", "specific_humidity", "kg kg-1", level_Pa=85000.0, aliases=("hus",)),
}
for hPa in (850, 500):
    CHANNELS[f"t{hPa}"] = Channel(
        "t", "air_temperature", "K", level_Pa=100.0 * hPa, mean=260.0, aliases=("ta", "temperature")
    )
    CHANNELS[f"z{hPa}"] = Channel(
        "z", "geopotential", "m2 s-2", level_Pa=100.0 * hPa, aliases=("geopotential", "zg")
    )
T, Z = ("t850", "t500"), ("z850", "z500")
FACTORS = {True: 4, False: 2}  # of the model of rain, of those of states


def models_in(folder):
    """Return what makes models of channels: of rain from 12 to 20 km, or of states.

    Those of states interpolate.
    """
    models = {}

    def find(*keys):
        if keys not in models:
            channels = tuple(CHANNELS[key] for key in keys)
            changes: dict[str, Any] = {"inputs": channels, "outputs": channels}
            if keys != (RAIN,):
                goal = RefineTarget(factor=2, spacing_km=20.0, spacing_range_km=(2.0, 700.0))
                changes |= {"name": "states", "target": goal, "conserve": (), "quiet": True}
            models[keys] = write_toy_model(folder / "-".join(keys), **changes)
        return models[keys]

    return find
