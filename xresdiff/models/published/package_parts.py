"""What all of Earth2Studio's packages have in common: the same files, and most of a card."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models.card import Channel, Extra, FixedTarget, ModelCard, SamplerCard
from xresdiff.models.grid_file import write_grid
from xresdiff.models.published.package_files import (
    METADATA,
    M,
    Metadata,
    Stats,
    channels_of,
    read_metadata,
    read_stats,
)
from xresdiff.models.published.package_grids import (
    COARSE_GRID,
    INVARIANTS,
    TARGET_GRID,
    Statics,
    Target,
    coarse_of,
    read_statics,
    read_target,
    static_name,
)
from xresdiff.models.published.package_networks import (
    STAGES,
    checkpoint_of,
    network_problems,
    stage_cards,
)
from xresdiff.models.published.translation import NOT_TOLD, REFERENCE, Translation

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = ["FILES", "LICENCES", "Parts", "base_card", "extras_of", "read_parts", "sampler_of"]

LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt")
FILES = (METADATA, "stats.json", TARGET_GRID, COARSE_GRID, INVARIANTS, *STAGES, *LICENCES)

# What PhysicsNeMo's samplers take where a package says nothing.
SIGMA_MIN = 0.002
SIGMA_MAX = {"stochastic": 800.0, "deterministic": 80.0}

Channels = tuple[tuple[Channel, ...], tuple[Channel, ...]]
Method = Literal["bilinear", "latlon_bilinear"]


@dataclass(frozen=True)
class Parts(Generic[M]):
    """A package as it was read; what is wrong with it is in `problems`, until they are raised.

    Parameters
    ----------
    folder : Path
        Of the package.
    what : str
        What is being attempted, for the messages.
    metadata : Metadata
        Of ``metadata.json``.
    unknown : list of str
        Keys of it that mean nothing.
    target, coarse : Target, optional
        The grids.
    statics : Statics
        Of ``invariants.nc``.
    stats : Stats
        Of ``stats.json``.
    stages : mapping of Checkpoint
        "mean" and "residual".
    problems : list of str
        One sentence each.
    """

    folder: Path
    what: str
    metadata: M
    unknown: list[str]
    target: Target | None
    coarse: Target | None
    statics: Statics
    stats: Stats
    stages: "Mapping[str, Checkpoint | None]"
    problems: list[str]

    @property
    def grids(self) -> tuple[Target, Target]:
        """The target and the coarse grid, once it is sure that they are there."""
        assert self.target is not None  # `finish` was before
        assert self.coarse is not None
        return self.target, self.coarse

    def channels(self, group: Literal["input", "output"]) -> tuple[Channel, ...]:
        """Return the inputs or the outputs by what is known of their names."""
        names = getattr(self.metadata, f"{group}_variables")
        units, is_input = self.metadata.units, group == "input"
        scales = self.stats[group]
        return channels_of(names, scales, self.problems, units=units, is_input=is_input)

    def check_networks(
        self, known: Mapping[str, int], more: Mapping[str, int], **own: object
    ) -> None:
        """Hold the networks against what they are told: `known`, and `more` in the residual's turn.

        The mean is told to the residual besides, where the metadata says so; `own` is handed to
        :func:`~xresdiff.models.published.package_networks.network_problems`.
        """
        outputs = len(self.metadata.output_variables)
        mean = {"outputs (the mean)": outputs} if self.metadata.hr_mean_conditioning else {}
        told = {"mean": known, "residual": {**known, **mean, **more}}
        shape = None if self.target is None else self.target.shape
        given = {"shape": shape, "outputs": outputs} | own
        for file, stage in STAGES.items():
            if (found := self.stages[stage]) is not None:
                self.problems.extend(
                    network_problems(found, file=file, stage=stage, condition=told[stage], **given)  # type: ignore[arg-type]
                )

    def check_sigmas(self) -> None:
        """See that the noise levels fall."""
        low, high = _sigmas(self.metadata)
        if low >= high:
            self.problems.append(
                f"metadata.json: sigma_min, {low:g}, must be below sigma_max, {high:g}"
            )

    def finish(self) -> None:
        """Raise all problems at once, and warn of keys that mean nothing.

        Raises
        ------
        ModelError
            If there is a problem.
        """
        raise_problems(self.problems, what=self.what, error=ModelError)
        if self.unknown:
            warn(
                f"metadata.json of {self.folder.name} has keys that mean nothing to xresdiff: "
                f"{', '.join(map(repr, self.unknown))}. They have no effect"
            )

    def translation(self, card: ModelCard, target: Target, coarse: Target) -> Translation:
        """Return what becomes of a package, with the grids as the networks see them."""
        told = {extra.name for extra in card.extras if extra.kind == "static"}
        fields = {static_name(name): field for name, field in self.statics.fields.items()}
        grid = write_grid(
            target.lat,
            target.lon,
            statics={name: field for name, field in fields.items() if name in told},
            coarse=(coarse.lat, coarse.lon) if coarse.lat.ndim == 1 else None,
        )
        weights = {stage: found.weights for stage, found in self.stages.items() if found}
        return Translation(card, weights, grid)


def read_parts(
    folder: Path,
    kind: type[M],
    *,
    what: str,
    more_inputs: tuple[str, ...] = (),
    within: bool = True,
) -> Parts[M]:
    """Read the files of a package, as far as they can be read.

    Parameters
    ----------
    folder : Path
        Of the package.
    kind : type
        Of its metadata.
    what : str
        What it is, such as "Earth2Studio package", for the messages.
    more_inputs : tuple of str
        Whose scales are needed beside those of the inputs.
    within : bool, default True
        Whether the target must lie within the coarse grid, of which the step may do.

    Raises
    ------
    ModelError
        If the metadata cannot be read, without which nothing can.
    """
    what = f"read the {what} {folder}"
    try:
        metadata, unknown = read_metadata(folder, kind)
    except ModelError as error:
        raise ModelError(f"cannot {what}: {error}") from error
    problems: list[str] = []
    target = read_target(folder, problems)
    if within:
        coarse = coarse_of(folder, metadata, target, problems)
    else:
        coarse = read_target(folder, problems, COARSE_GRID)
    statics = read_statics(folder, metadata.invariant_variables, target, problems)
    needed = {
        "input": (*metadata.input_variables, *more_inputs),
        "output": metadata.output_variables,
        "invariants": statics.names,
    }
    return Parts(
        folder=folder,
        what=what,
        metadata=metadata,
        unknown=unknown,
        target=target,
        coarse=coarse,
        statics=statics,
        stats=read_stats(folder, needed, problems),
        stages={stage: checkpoint_of(folder / file, problems) for file, stage in STAGES.items()},
        problems=problems,
    )


def base_card(
    name: str, parts: Parts[M], channels: Channels, extras: tuple[Extra, ...]
) -> ModelCard:
    """Return the card of a generic package, of which the others are variations.

    Parameters
    ----------
    name : str
        Of the model.
    parts : Parts
        Finished.
    channels : tuple of tuple of Channel
        Inputs and outputs.
    extras : tuple of Extra
        What the networks are told behind the inputs.
    """
    metadata, (target, coarse) = parts.metadata, parts.grids
    inputs, outputs = channels
    return ModelCard(
        name=name,
        version="1",
        title=f"{', '.join(metadata.output_variables)} on a grid of {target.spacing_km:g} km",
        licence=_licence_of(parts.folder),
        description="A package of Earth2Studio's CorrDiff, translated.",
        data=(),
        references=(REFERENCE,),
        inputs=tuple(_regridded(channel, coarse) for channel in inputs),
        outputs=outputs,
        target=FixedTarget(
            region=target.region,
            spacing_km=target.spacing_km,
            coarse_spacing_km=coarse.spacing_km,
        ),
        conditioning=("bilinear",),
        global_residual=False,
        extras=extras,
        mean_conditioning=metadata.hr_mean_conditioning,
        **stage_cards(parts.stages),
        sampler=sampler_of(metadata, parts.stages["residual"]),
        patch=max(target.shape),
        precision="float32",
    )


def _licence_of(folder: Path) -> str:
    """Say where the licence is told."""
    found = next((name for name in LICENCES if (folder / name).is_file()), None)
    return f"that of {found} in the package" if found else NOT_TOLD


def _regridded(channel: Channel, coarse: Target) -> Channel:
    """Return an input that comes from a grid like the coarse one, by row and column or not."""
    method: Method = "latlon_bilinear" if coarse.lat.ndim == 1 else "bilinear"
    return replace(channel, regridding=method)


def extras_of(statics: Statics, stats: Stats) -> tuple[Extra, ...]:
    """Return the fields of the target as the networks see them."""
    scales = stats["invariants"]
    return tuple(
        Extra("static", static_name(name), scales[name].mean, scales[name].std)
        for name in statics.names
    )


def sampler_of(metadata: Metadata, residual: "Checkpoint | None") -> SamplerCard:
    """Return the sampler as PhysicsNeMo runs it: "stochastic" is Heun's method without churn.

    Parameters
    ----------
    metadata : Metadata
        What the package says; of what it does not say, PhysicsNeMo's defaults.
    residual : Checkpoint
        Whose own noise levels bound those of the sampler.
    """
    low, high = _sigmas(metadata)
    if residual is not None:
        low = max(low, residual.sigma_min)
        high = min(high, residual.sigma_max)
    stochastic = metadata.sampler_type == "stochastic"
    return SamplerCard(
        name="heun" if stochastic else metadata.solver,
        steps=metadata.number_of_steps,
        sigma_min=low,
        sigma_max=high,
    )


def _sigmas(metadata: Metadata) -> tuple[float, float]:
    """Return the least and the greatest noise level."""
    low, high = metadata.sigma_min, metadata.sigma_max
    return (
        SIGMA_MIN if low is None else low,
        SIGMA_MAX[metadata.sampler_type] if high is None else high,
    )
