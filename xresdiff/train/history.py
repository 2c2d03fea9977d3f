"""How a training goes, readable while it does: a file that is rewritten at every validation."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError

__all__ = ["read", "write"]

FILE = "history.json"
BY_NOISE = "loss_at_"  # keys of a row: the loss at one noise level

Row = Mapping[str, float]

RELATIVE = "in standard deviations of the target"

# long_name and units
KNOWN = {
    "learning_rate": ("learning rate", "1"),
    "training_loss": ("mean training loss since the validation before", "1"),
    "validation_loss": ("loss of the averaged weights on the validation pairs", "1"),
    "gradient_norm": ("mean norm of the gradient since the validation before, unclipped", "1"),
    "seconds": ("time since the start", "s"),
    "mae": (f"mean absolute error of the mean stage, {RELATIVE}", "1"),
    "crps": (f"fair CRPS of members, {RELATIVE}", "1"),
    "crps_of_means": (
        "fair CRPS of members and of their means over 2 x 2, 4 x 4 and 8 x 8 pixels, " + RELATIVE,
        "1",
    ),
    "mae_mean": (f"mean absolute error of the mean without a residual, {RELATIVE}", "1"),
    "spread_skill": ("spread of members over the error of their mean, 1 if reliable", "1"),
    "spectral_distance": (
        "root mean square difference of the power spectra of members and target",
        "dB",
    ),
    "loss": ("validation loss at a noise level", "1"),
    "step": ("steps of the optimiser", "1"),
    "noise_level": ("standard deviation of the noise, relative to that of the residual", "1"),
    "stage": ("stage of the training", None),
}


def write(out: str | PathLike[str], stages: Mapping[str, Sequence[Row]]) -> None:
    """Write how stages went, beside what is there of others; whole or not at all.

    Parameters
    ----------
    out : str or PathLike
        Folder of the run.
    stages : mapping of str to sequence of mapping
        Of each stage, a row of numbers for each validation.
    """
    path = Path(out) / FILE
    whole = _stored(path) | {
        name: [{key: _written(value) for key, value in row.items()} for row in rows]
        for name, rows in stages.items()
    }
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(whole, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def read(out: str | PathLike[str] = "run") -> xr.Dataset:
    """Read how a training went, or how far it is.

    Parameters
    ----------
    out : str or PathLike, default "run"
        Folder of the run.

    Returns
    -------
    xarray.Dataset, (stage, step)
        Learning rate, losses, norm of the gradient, seconds and scores at each validation; step 0
        is before training. NaN where a stage has no such value. `loss` has a third dimension,
        `noise_level`.

    Raises
    ------
    InputError
        If there is no run.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as out:
    ...     write(out, {"mean": [{"step": 10, "validation_loss": 0.5}]})
    ...     read(out).validation_loss.sel(stage="mean", step=10).item()
    0.5
    """
    path = Path(out) / FILE
    stages = {name: rows for name, rows in _stored(path).items() if rows}
    if not stages:
        raise InputError(
            f"there is no run in {str(out)!r}: {path} is missing or empty; name the folder of a "
            "run: xresdiff.history('run')"
        )
    steps = sorted({int(row["step"]) for rows in stages.values() for row in rows})
    keys = dict.fromkeys(key for rows in stages.values() for row in rows for key in row)
    columns = {key: _column(stages, key, steps) for key in keys if key != "step"}
    levels = {float(key.removeprefix(BY_NOISE)): key for key in columns if _by_noise(key)}
    data: dict[str, Any] = {
        key: (("stage", "step"), values) for key, values in columns.items() if not _by_noise(key)
    }
    coords: dict[str, Any] = {"stage": list(stages), "step": steps}
    if levels:
        coords["noise_level"] = sorted(levels)
        parts = [columns[levels[level]] for level in sorted(levels)]
        data["loss"] = (("stage", "step", "noise_level"), np.stack(parts, axis=-1))
    return _described(xr.Dataset(data, coords))


def _by_noise(key: str) -> bool:
    return key.startswith(BY_NOISE)


def _column(stages: Mapping[str, Sequence[Row]], key: str, steps: Sequence[int]) -> np.ndarray:
    """Return the values of a key, ``(stage, step)``, NaN where there are none."""
    values = np.full((len(stages), len(steps)), np.nan)
    places = {step: place for place, step in enumerate(steps)}
    for number, rows in enumerate(stages.values()):
        for row in rows:
            value = row.get(key)
            values[number, places[int(row["step"])]] = math.nan if value is None else value
    return values


def _described(ds: xr.Dataset) -> xr.Dataset:
    """Tell what the variables are, and in which units."""
    for name, variable in ds.variables.items():
        text, units = KNOWN.get(str(name), (str(name).replace("_", " "), None))
        variable.attrs["long_name"] = text
        if units is not None:
            variable.attrs["units"] = units
    return ds


def _written(value: float) -> float | str | None:
    """Return a number as JSON knows it: no NaN, which is null there, and no infinity."""
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


def _stored(path: Path) -> dict[str, list[dict[str, float]]]:
    """Return the rows in a file, none if it is missing or somebody damaged it."""
    try:
        stages = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return {
        name: [
            {key: math.nan if value is None else float(value) for key, value in row.items()}
            for row in rows
        ]
        for name, rows in stages.items()
    }
