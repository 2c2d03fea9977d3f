"""CorrDiff packages told the lead time, or trained on patches, as US GEFS-HRRR is.

The layout in which NVIDIA's microservice keeps that model is not public. Read is a folder with the
files of Earth2Studio's generic package (see :mod:`~xresdiff.models.published.earth2studio`), put
together by the user, with further keys in ``metadata.json``, which are this package's own::

    "lead_hours": [0, 3, 6, 9, 12, 15, 18, 21, 24]   of the networks' lead times, in their order
    "patch_shape": [448, 448]                        in which the residual is drawn
    "patch_overlap": 4                               that neighbours share
    "patch_boundary": 2                              beyond the edges of the stride
    "patch_whole": true                              each is told of the whole domain, too

The hours above are those of PhysicsNeMo's GEFS-HRRR data set, which tells the networks the hour of
the forecast divided by three.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.card import Channel, Extra, FixedTarget, ModelCard, Patching
from xresdiff.models.grid_file import write_grid
from xresdiff.models.parts import Problems
from xresdiff.models.published import earth2studio as generic
from xresdiff.models.published.package_files import (
    Metadata,
    Scale,
    Target,
    channels_of,
    read_json,
    read_stats,
    read_target,
    static_name,
)
from xresdiff.models.published.package_networks import (
    checkpoint_of,
    network_problems,
    stage_cards,
)
from xresdiff.models.published.translation import Translation
from xresdiff.models.strict_json import read

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = ["GefsMetadata", "translate"]

CATEGORIES = ("csnow", "cicep", "cfrzr", "crain")  # which the networks give as probabilities

_STAGES = {"regression.mdlus": "mean", "diffusion.mdlus": "residual"}


@dataclass(frozen=True)
class GefsMetadata(Metadata):
    """What ``metadata.json`` of such a package may say, beside what the generic one may.

    Parameters
    ----------
    lead_hours : tuple of float, default ()
        Hours of the forecast that the networks tell apart, in the order of their lead times.
    patch_shape : tuple of int, optional
        Height and width of the patches of the residual; by default it is drawn whole.
    patch_overlap, patch_boundary, patch_whole
        As of :class:`~xresdiff.models.targets.Patching`.
    """

    lead_hours: tuple[float, ...] = ()
    patch_shape: tuple[int, int] | None = None
    patch_overlap: int = 4
    patch_boundary: int = 2
    patch_whole: bool = True

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from super().rules()
        hours = list(self.lead_hours)
        if hours != sorted(set(hours)) or min(hours, default=0) < 0:
            yield "lead_hours", f"{hours} must rise from 0 or more"
        if self.patching:
            yield from ((f"patch_{name}", problem) for name, problem in self.patching.rules())

    @property
    def patching(self) -> Patching | None:
        """How the residual covers the target; None for whole."""
        if self.patch_shape is None:
            return None
        return Patching(self.patch_shape, self.patch_overlap, self.patch_boundary, self.patch_whole)


def translate(folder: Path, name: str) -> Translation:
    """Translate a package.

    Parameters
    ----------
    folder : Path
        Of the package.
    name : str
        Of the model, for its card.

    Returns
    -------
    Translation
        Ready to be written.

    Raises
    ------
    ModelError
        If anything is missing, does not go together or cannot be expressed; every problem is
        named.
    """
    what = f"read the GEFS-HRRR package {folder}"
    try:
        metadata, unknown = _metadata(folder)
    except ModelError as error:
        raise ModelError(f"cannot {what}: {error}") from error
    problems: list[str] = []
    target = read_target(folder, problems)
    statics = generic.read_statics(folder, metadata.invariant_variables, target, problems)
    groups = {"input": metadata.input_variables, "output": metadata.output_variables}
    stats = read_stats(folder, groups | {"invariants": statics.names}, problems)
    coarse = generic.coarse_of(folder, metadata, target, problems)
    units = metadata.units
    inputs = channels_of(
        metadata.input_variables, stats["input"], problems, units=units, is_input=True
    )
    stages = {stage: checkpoint_of(folder / file, problems) for file, stage in _STAGES.items()}
    outputs = _outputs(metadata, stats["output"], stages["mean"], problems)
    problems += _network_problems(stages, metadata, len(statics.names), target)
    problems += generic.mode_problems(metadata)
    raise_problems(problems, what=what, error=ModelError)
    generic.tell_unknown(folder, unknown)
    inputs = tuple(generic.regridded(channel, coarse) for channel in inputs)
    extras = generic.extras_of(statics, stats)
    licence = generic.licence_of(folder)
    card = _card(name, licence, metadata, (target, coarse), (inputs, outputs), extras, stages)
    weights = {stage: found.weights for stage, found in stages.items() if found is not None}
    fields = {static_name(name): field for name, field in statics.fields.items()}
    axes = (coarse.lat, coarse.lon) if coarse.lat.ndim == 1 else None
    grid = write_grid(target.lat, target.lon, statics=fields, coarse=axes)
    return Translation(card, weights, grid)


def _card(
    name: str,
    licence: str,
    metadata: GefsMetadata,
    grids: tuple[Target, Target],
    channels: tuple[tuple[Channel, ...], tuple[Channel, ...]],
    extras: tuple[Extra, ...],
    stages: Mapping[str, "Checkpoint | None"],
) -> ModelCard:
    """Return the card, of the target and the coarse grid, of inputs and outputs."""
    (target, coarse), (inputs, outputs) = grids, channels
    return ModelCard(
        name=name,
        version="1",
        title=f"{', '.join(metadata.output_variables)} on a grid of {target.spacing_km:g} km",
        description="A package like CorrDiff US GEFS-HRRR, translated.",
        licence=licence,
        data=(),
        references=(generic.REFERENCE,),
        inputs=inputs,
        outputs=outputs,
        target=FixedTarget(
            region=target.region,
            spacing_km=target.spacing_km,
            coarse_spacing_km=coarse.spacing_km,
        ),
        conditioning=("bilinear",),
        global_residual=False,
        extras=extras,
        lead_hours=metadata.lead_hours,
        mean_conditioning=metadata.hr_mean_conditioning,
        **stage_cards(stages),
        sampler=generic.sampler_of(metadata, stages["residual"]),
        patch=max(metadata.patch_shape or target.shape),
        patching=metadata.patching,
        precision="float32",
    )


def _metadata(folder: Path) -> tuple[GefsMetadata, list[str]]:
    """Read ``metadata.json``; return the keys that mean nothing, too."""
    data = read_json(folder, "metadata.json")
    known = {field.name for field in dataclasses.fields(GefsMetadata)}
    told = {key: value for key, value in data.items() if key in known}
    metadata = read(GefsMetadata, told, what="metadata.json")
    return metadata, [key for key in data if key not in known]


def _outputs(
    metadata: GefsMetadata,
    scales: Mapping[str, Scale],
    mean: "Checkpoint | None",
    problems: list[str],
) -> tuple[Channel, ...]:
    """Return the channels of the outputs; probabilities are kept from 0 to 1."""
    names = metadata.output_variables
    places = () if mean is None else mean.config["softmax_channels"]
    likely = {*CATEGORIES, *(names[i] for i in places if i < len(names))}
    units = dict.fromkeys(likely, "1") | metadata.units
    channels = channels_of(names, scales, problems, units=units, is_input=False)
    return tuple(
        replace(channel, minimum=0.0, maximum=1.0) if channel.name in likely else channel
        for channel in channels
    )


def _network_problems(
    stages: Mapping[str, "Checkpoint | None"],
    metadata: GefsMetadata,
    invariants: int,
    target: Target,
) -> Iterator[str]:
    """Say what does not go together."""
    inputs, outputs = len(metadata.input_variables), len(metadata.output_variables)
    known = {"inputs": inputs, "invariants": invariants}
    told = known | ({"outputs (the mean)": outputs} if metadata.hr_mean_conditioning else {})
    if metadata.patching and metadata.patch_whole:
        told |= {"inputs and invariants of the whole domain": inputs + invariants}
    for file, stage in _STAGES.items():
        found = stages[stage]
        if found is None:
            continue
        yield from _lead_problems(found, file, metadata, target)
        yield from network_problems(
            replace(found, config=found.config | {"lead_time_channels": 0}),  # they are told it
            file=file,
            stage=stage,
            condition=told if stage == "residual" else known,
            outputs=outputs,
            shape=target.shape,
        )
    if metadata.lead_hours and not any(found and _steps(found) for found in stages.values()):
        yield "metadata.json has lead_hours, but no network is told the lead time; leave them out"
    yield from _patch_problems(stages["residual"], metadata, target)


def _lead_problems(
    found: "Checkpoint", file: str, metadata: GefsMetadata, target: Target
) -> Iterator[str]:
    steps, hours = _steps(found), len(metadata.lead_hours)
    if steps and steps != hours:
        example = ", ".join(str(3 * step) for step in range(steps))
        yield (
            f"the network in {file} tells {steps} lead times apart, metadata.json has {hours}; add "
            f'their hours, of GEFS-HRRR: "lead_hours": [{example}]'
        )
    if steps and tuple(found.shape) != target.shape:
        yield (
            f"the network in {file} has lead times for a grid of {found.shape[0]} x "
            f"{found.shape[1]}; the target has {target.shape[0]} x {target.shape[1]}"
        )


def _steps(found: "Checkpoint") -> int:
    """Return how many lead times a network tells apart, 0 if it is not told."""
    return int(found.config["lead_time_steps"]) if found.config["lead_time_channels"] else 0


def _patch_problems(
    residual: "Checkpoint | None", metadata: GefsMetadata, target: Target
) -> Iterator[str]:
    if residual is None or metadata.patch_shape is None:
        return
    multiple = 2 ** (len(residual.config["channel_mult"]) - 1)
    sizes = [min(pair) for pair in zip(metadata.patch_shape, target.shape, strict=True)]
    if any(size % multiple for size in sizes):
        yield (
            f"patches of {sizes[0]} x {sizes[1]} cannot be halved to {multiple} pixels at once, as "
            "the network in diffusion.mdlus does; give patch_shape multiples of that"
        )
