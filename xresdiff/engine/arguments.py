"""What a user asks for beside the input: checked one by one, then turned into settings."""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import xarray as xr

from xresdiff.engine.tiling import is_whole, own_tile_problems, tile_problems
from xresdiff.errors import UnitsError
from xresdiff.grids.esmf import weights_by
from xresdiff.grids.regrid.fields import share_problems
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.grids.units.accumulations import START, hours_of
from xresdiff.models.card import ModelCard, SamplerCard
from xresdiff.models.parts import SAMPLER_NAMES

__all__ = ["Arguments", "Settings"]

LARGEST_SEED = 2**63 - 1  # what an attribute of a netCDF file holds
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Settings:
    """What an ensemble depends on beside its model and its input.

    Parameters
    ----------
    seed : int, default 0
        Of the noise.
    sampler : SamplerCard
        How the residual is drawn.
    device : str, default "auto"
        "cpu", "cuda", "cuda:1", "mps" or "auto".
    precision : {"auto", "float32", "bfloat16"}
        Of the networks; everything around them is in float32.
    tile : int or "independent", optional
        Side of the windows of large fields, as of :func:`xresdiff.downscale`.
    overlap : int, optional
        Fine pixels that windows share.
    """

    sampler: SamplerCard
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    tile: int | str | None = None
    overlap: int | None = None


@dataclass(frozen=True)
class Arguments:
    """What a user asks for, as given; `training` names the Dataset that a model learns from."""

    members: int = 16
    stage: str = "both"
    sampler: str | SamplerCard | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    tile: int | str | None = None
    overlap: int | None = None
    chunks: Mapping[Hashable, int] | None = None
    grid: xr.Dataset | xr.DataArray | None = None
    regridding: str | None = None
    accumulation: str | None = None
    skipna: bool = False
    na_thres: float = 1.0
    training: str = ""

    def doing(self, name: str) -> str:
        """Say what is being done with the model of a name, to begin errors with."""
        return f"train {name} on these pairs" if self.training else f"downscale with {name}"

    def problems(self, card: ModelCard) -> Iterable[str]:
        """Say what is out of bounds, or does not go with a model."""
        yield from self.own_problems()
        yield from self._sampler_problems(card)
        yield from tile_problems(card, self.tile, self.overlap)
        yield from self._grid_problems(card)

    def own_problems(self) -> Iterable[str]:
        """Say what is out of bounds, whatever the model."""
        if not is_whole(self.members, 1):
            yield f"members is {self.members!r}; it is a whole number of at least 1"
        if self.steps is not None and not is_whole(self.steps, 1):
            yield f"steps is {self.steps!r}; it is a whole number of at least 1"
        if not is_whole(self.seed, 0) or self.seed > LARGEST_SEED:
            yield f"seed is {self.seed!r}; it is a whole number from 0 to 2**63 - 1"
        choices: dict[str, tuple[str | None, ...]] = {
            "stage": ("both", "mean"),
            "precision": ("auto", "float32", "bfloat16"),
            "regridding": (None, *get_args(Method)),
        }
        if not isinstance(self.sampler, SamplerCard):
            choices["sampler"] = (None, *SAMPLER_NAMES)
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                known = ", ".join(repr(choice) for choice in allowed if choice)
                yield f"{name} is {value!r}; it is one of {known}"
        yield from own_tile_problems(self.tile, self.overlap)
        if not _DEVICE.fullmatch(str(self.device)):
            yield f"device is {self.device!r}; it is 'auto', 'cpu', 'mps', 'cuda' or 'cuda:1'"

    def _sampler_problems(self, card: ModelCard) -> Iterable[str]:
        if isinstance(self.sampler, SamplerCard):
            yield from (f"sampler.{name}: {told}" for name, told in self.sampler.rules())
        elif self.sampler == "stochastic" and not card.sampler.churn:
            yield (
                f"'stochastic' needs a churn, {card.name} has none; type "
                "sampler=dataclasses.replace(xresdiff.open_model(...).card.sampler, "
                "name='stochastic', churn=10.0)"
            )

    def _grid_problems(self, card: ModelCard) -> Iterable[str]:
        if not (self.grid is None or isinstance(self.grid, xr.Dataset | xr.DataArray)):
            yield (
                f"grid is a {type(self.grid).__name__}; it is a Dataset on the grid wanted, such "
                "as xresdiff.target_grid(ds, spacing_km=1)"
            )
        if self.grid is None and self.regridding is not None and card.target.kind == "refine":
            yield f"regridding is {self.regridding!r}, but there is no grid to go to: give grid=..."
        if self.accumulation not in (None, START):
            try:
                hours_of(self.accumulation)
            except UnitsError as error:
                yield str(error)
        if self.regridding == "patch" and "stand-in" in weights_by():
            yield (
                "regridding is 'patch', which needs ESMPy: conda install -c conda-forge esmpy; or "
                "type regridding='bilinear'"
            )
        yield from share_problems(self.na_thres)

    def chunk_problems(self, dims: tuple[Hashable, ...]) -> Iterable[str]:
        """Say what chunks the result, which has `dims` beside y and x, cannot have."""
        if self.chunks is None:
            return
        if not isinstance(self.chunks, Mapping):
            yield f"chunks is {self.chunks!r}; it is a mapping, such as {{{dims[0]!r}: 4}}"
            return
        for dim, size in self.chunks.items():
            if dim not in dims:
                known = ", ".join(map(repr, dims))
                yield f"there are no chunks along {dim!r}, but along {known}; fields stay whole"
            elif size != -1 and not is_whole(size, 1):
                yield f"the chunks along {dim!r} are {size!r}; they are whole numbers, or -1: all"

    def settings(self, card: ModelCard) -> Settings:
        """Return the settings that these arguments and a card make."""
        given = self.sampler
        sampler = given if isinstance(given, SamplerCard) else card.sampler
        changes: dict[str, Any] = {"name": given} if isinstance(given, str) else {}
        if isinstance(given, str) and given != "stochastic":
            changes["churn"] = 0.0
        sampler = replace(sampler, steps=int(self.steps or sampler.steps), **changes)
        precision = card.precision if self.precision == "auto" else self.precision
        tile = self.tile if self.tile is None or isinstance(self.tile, str) else int(self.tile)
        overlap = None if self.overlap is None else int(self.overlap)
        return Settings(sampler, int(self.seed), self.device, precision, tile, overlap)
