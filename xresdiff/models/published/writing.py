"""A model of ours written as the generic package that Earth2Studio's CorrDiff loads."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xresdiff.errors import InputError, ModelError, StoreError, raise_problems, warn
from xresdiff.grids.coords.spacing import KM_PER_DEGREE
from xresdiff.grids.units.spellings import plain
from xresdiff.models import container
from xresdiff.models.card import Channel, FixedTarget, ModelCard, SamplerCard
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model, Stage
from xresdiff.models.published import variables

__all__ = ["write_earth2studio"]

RHO = 7.0  # of its schedule of noise levels, which no file can change
EVEN = 1e-5  # relative deviation of steps that it lets pass

_LOST = ("minimum", "maximum", "dry_below")
_NOT_THERE: dict[str, Any] = {  # fields of a card, and the values that a package stands for
    "hours": (0.0,),
    "lead_hours": (),
    "sea_ice_cover": False,
    "patching": None,
}
_INTERPOLATED = ("bilinear", "latlon_bilinear")


def write_earth2studio(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write a model with a fixed target as a package for Earth2Studio, whole or not at all.

    Where the model samples as Earth2Studio cannot, Heun's method between the same noise levels
    takes its place, with a warning.

    Parameters
    ----------
    model : Model
        Opened.
    path : str or PathLike
        A new folder.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    InputError
        If `model` is none, but the path of one.
    ModelError
        If such a package cannot say what the model is, or Earth2Studio 0.19 cannot run it; every
        reason is named.
    StoreError
        If something is there already, or the place cannot be written.

    Examples
    --------
    >>> from xresdiff.models.opening import open_model
    >>> write_earth2studio(open_model("rain-16x"), "package")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: cannot write the model 'rain-16x' for Earth2Studio: it refines ...
    """
    if not isinstance(model, Model):
        raise InputError(
            f"{model!r} is no model that was opened; type write_earth2studio("
            f"xresdiff.open_model({str(model)!r}), {str(path)!r})"
        )
    path = Path(path)
    if path.expanduser().exists() and not _is_empty(path.expanduser()):
        raise StoreError(f"{path} is there already. Remove it or write elsewhere")
    card = model.card
    what = f"write the model {card.name!r} for Earth2Studio"
    if not isinstance(card.target, FixedTarget):
        raise ModelError(f"cannot {what}: it refines any grid, a package has one of its own")
    grid = read_grid(model.read(card.target.grid), card)
    problems = [*_card_problems(card, card.target), *_grid_problems(grid)]
    nets = {}
    for stage, file in (("mean", "regression.mdlus"), ("residual", "diffusion.mdlus")):
        try:
            nets[file] = _checkpoint(model, stage, grid["lat"].shape)  # type: ignore[arg-type]
        except ModelError as error:
            problems.append(f"{file}: {error}")
    raise_problems(problems, what=what, error=ModelError)
    _tell_of_sampler(card)
    contents = nets | {
        "metadata.json": _json(_metadata(card, grid)),
        "stats.json": _json(_stats(card)),
        "output_latlon_grid.nc": _netcdf({"lat": grid["lat"], "lon": grid["lon"]}),
    }
    if "coarse_lat" in grid:
        axes = {name: np.sort(grid[f"coarse_{name}"]) for name in ("lat", "lon")}
        contents["input_latlon_grid.nc"] = _netcdf(
            {name: xr.DataArray(values, dims=name) for name, values in axes.items()}
        )
    if card.extras:
        contents["invariants.nc"] = _netcdf({extra.name: grid[extra.name] for extra in card.extras})
    return container.write(path, contents)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


# --- what stands against it


def _card_problems(card: ModelCard, target: FixedTarget) -> Iterator[str]:
    """Yield what a package cannot say of a model."""
    for name, value in _NOT_THERE.items():
        if getattr(card, name) != value:
            yield f"its card says {name} = {getattr(card, name)}"
    if target.stretched or target.padding:
        yield "its inputs are stretched by row and column, or padded"
    if card.sampler.steps < 2:
        yield (
            f"it samples in {card.sampler.steps} step, of which Earth2Studio makes no numbers; "
            "give its card two or more"
        )
    kinds = {extra.kind for extra in card.extras} - {"static"}
    yield from (f"its networks are told {kind}" for kind in sorted(kinds))
    yield from _channels_problems(card)


def _channels_problems(card: ModelCard) -> Iterator[str]:
    for channel in (*card.inputs, *card.outputs):
        yield from _channel_problems(channel)
    for channel in card.inputs:
        if channel.method not in _INTERPOLATED:
            yield f"its input {channel.label} is regridded by the method {channel.method!r}"
        if channel.missing is not None or channel.offset_h:
            yield f"its input {channel.label} may be missing, or is of another time"
    for channel in card.outputs:
        lost = [name for name in _LOST if getattr(channel, name) is not None]
        if lost:
            yield f"its output {channel.label} is kept to bounds: {', '.join(lost)}"


def _channel_problems(channel: Channel) -> Iterator[str]:
    if channel.transform.name != "identity":
        yield f"{channel.label} is transformed by {channel.transform.name}"
    if channel.level_Pa is not None and channel.level_Pa % 100:
        yield f"{channel.label} is on no whole number of hPa"
    found = variables.known(_name(channel))
    if found is None and channel.level_Pa is not None:
        yield f"{channel.label} has no name of Earth2Studio, which knows no {_name(channel)!r}"
    if found is not None and plain(found[1].units) != plain(channel.units):
        yield (
            f"{channel.label} is in {channel.units!r}, Earth2Studio's {_name(channel)!r} in "
            f"{found[1].units!r}"
        )


def _grid_problems(grid: xr.Dataset) -> Iterator[str]:
    """Yield what of the grids Earth2Studio refuses."""
    lat, lon = grid["lat"].values, grid["lon"].values
    if lat.ndim == 1 or (np.allclose(lat, lat[:, :1]) and np.allclose(lon, lon[:1])):
        yield "its target is rectilinear, and Earth2Studio 0.19 runs curvilinear ones alone"
    if lat.shape[0] != lon.shape[-1]:
        yield (
            f"its target has {lat.shape[0]} rows and {lon.shape[-1]} columns, and Earth2Studio "
            "0.19 runs squares alone"
        )
    for name in ("coarse_lat", "coarse_lon"):
        if name not in grid:
            continue
        steps = np.diff(np.sort(grid[name].values))
        if np.abs(steps / steps.mean() - 1).max() > EVEN:
            yield f"{name} of its coarse grid is not of equal steps"


def _checkpoint(model: Model, stage: Stage, shape: tuple[int, int]) -> bytes:
    """Return a stage as PhysicsNeMo keeps it."""
    from xresdiff.models.physicsnemo import write_mdlus

    with tempfile.TemporaryDirectory(prefix="xresdiff-") as folder:
        path = Path(folder) / "net.mdlus"
        write_mdlus(path, model.network(stage), shape=shape)
        return path.read_bytes()


def _tell_of_sampler(card: ModelCard) -> None:
    own = card.sampler
    if _sampler(card)["solver"] == own.name and own.rho == RHO and not own.churn:
        return
    warn(
        f"the model {card.name!r} samples with {own.name!r}, rho {own.rho:g} and churn "
        f"{own.churn:g}. Earth2Studio is told to take {_sampler(card)['solver']!r} with "
        f"{own.steps} steps between the same noise levels, and has rho {RHO:g} and no churn"
    )


# --- the files


def _name(channel: Channel) -> str:
    """Return the name of Earth2Studio's kind: "z500"."""
    level = channel.level_Pa
    return channel.name if level is None else f"{channel.name}{level / 100:.0f}"


def _sampler(card: ModelCard) -> dict[str, str]:
    """Return the sampler nearest to the model's that runs beside a mean, or without."""
    if card.sampler.name == "euler" and not card.mean_conditioning:
        return {"sampler_type": "deterministic", "solver": "euler"}
    return {"sampler_type": "stochastic", "solver": "heun"}  # without churn: Heun's method


def _metadata(card: ModelCard, grid: xr.Dataset) -> dict[str, Any]:
    own: SamplerCard = card.sampler
    told: dict[str, Any] = {
        "input_variables": [_name(channel) for channel in card.inputs],
        "output_variables": [_name(channel) for channel in card.outputs],
        "invariant_variables": [extra.name for extra in card.extras],
        "number_of_steps": own.steps,
        **_sampler(card),
        "sigma_min": own.sigma_min,
        "sigma_max": own.sigma_max,
        "hr_mean_conditioning": card.mean_conditioning,
    }
    if "coarse_lat" not in grid:
        assert isinstance(card.target, FixedTarget)  # the only kind with a grid
        told["latlon_res"] = float(f"{card.target.coarse_spacing_km / KM_PER_DEGREE:.3g}")
    units = {_name(c): c.units for c in (*card.inputs, *card.outputs) if not _is_known(c)}
    return told | ({"units": units} if units else {})


def _is_known(channel: Channel) -> bool:
    return variables.known(_name(channel)) is not None


def _stats(card: ModelCard) -> dict[str, dict[str, dict[str, float]]]:
    def scales(parts: Sequence[Any], names: Sequence[str]) -> dict[str, dict[str, float]]:
        return {
            name: {"mean": part.mean, "std": part.std}
            for name, part in zip(names, parts, strict=True)
        }

    return {
        "input": scales(card.inputs, [_name(c) for c in card.inputs]),
        "output": scales(card.outputs, [_name(c) for c in card.outputs]),
        "invariants": scales(card.extras, [extra.name for extra in card.extras]),
    }


def _json(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def _netcdf(fields: dict[str, xr.DataArray]) -> bytes:
    """Return a netCDF file of variables without coordinates."""
    plain_fields = {name: (da.dims, da.values) for name, da in fields.items()}
    with tempfile.TemporaryDirectory(prefix="xresdiff-") as folder:
        path = Path(folder) / "fields.nc"
        xr.Dataset(plain_fields).to_netcdf(path, engine="netcdf4")
        return path.read_bytes()
