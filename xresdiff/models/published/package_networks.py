"""The two checkpoints of a package: read, held against what the package does with them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xresdiff.errors import ModelError
from xresdiff.models.card import NetworkCard, StageCard

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = ["STAGES", "checkpoint_of", "network_problems", "stage_cards"]

STAGES = {"regression.mdlus": "mean", "diffusion.mdlus": "residual"}


def checkpoint_of(path: Path, problems: list[str]) -> "Checkpoint | None":
    """Read a checkpoint; None, and a problem more, if that fails."""
    from xresdiff.models.physicsnemo import read_checkpoint

    try:
        return read_checkpoint(path)
    except ModelError as error:
        problems.append(f"{path.name}: {error}")
        return None


def network_problems(
    found: "Checkpoint",
    *,
    file: str,
    stage: str,
    condition: Mapping[str, int],
    outputs: int,
    shape: tuple[int, int] | None,
    lead_hours: int = 0,
) -> list[str]:
    """Say what keeps a network from what a package does with it.

    Parameters
    ----------
    found : Checkpoint
        The network.
    file : str
        Its file, for the messages.
    stage : {"mean", "residual"}
        What it is used for.
    condition : mapping of int
        Numbers of channels that it is told, by what they are.
    outputs : int
        Number of channels that it gives.
    shape : tuple of int, optional
        Height and width of the target; None where they are not known.
    lead_hours : int, default 0
        Number of lead times that the package names.
    """
    if found.stage != stage:
        return [f"{file} is a network of the {found.stage}, one of the {stage} is needed"]
    problems = []
    if isinstance(found.sigma_data, tuple):
        problems.append(f"the network in {file} has a sigma_data for every channel; one is needed")
    if found.condition_channels != sum(condition.values()):
        parts = " + ".join(f"{n} {what}" for what, n in condition.items())
        problems.append(
            f"the network in {file} takes {found.condition_channels} channels as condition; the "
            f"package tells it {sum(condition.values())}: {parts}"
            f"{_patch_hint(found, stage, condition)}"
        )
    if found.config["out_channels"] != outputs:
        problems.append(
            f"the network in {file} gives {found.config['out_channels']} channels; the package "
            f"names {outputs} outputs"
        )
    steps = int(found.config["lead_time_steps"]) if found.config["lead_time_channels"] else 0
    if steps and steps != lead_hours:
        example = ", ".join(str(3 * step) for step in range(steps))
        problems.append(
            f"the network in {file} tells {steps} lead times apart, metadata.json has {lead_hours};"
            f' add their hours to it, of GEFS-HRRR: "lead_hours": [{example}]'
        )
    return problems if shape is None else [*problems, *_size_problems(found, file, shape)]


def _patch_hint(found: "Checkpoint", stage: str, condition: Mapping[str, int]) -> str:
    """Say that the channels which are too many may be those of the whole domain."""
    known = sum(n for what, n in condition.items() if what in ("inputs", "invariants"))
    if stage == "mean" or found.condition_channels - sum(condition.values()) != known:
        return ""
    return (
        f". The {known} more fit a network of patches that is told the whole domain, too: add the "
        'height and width of the patches to metadata.json, "patch_shape": [448, 448]'
    )


def _size_problems(found: "Checkpoint", file: str, shape: tuple[int, int]) -> Iterator[str]:
    """Say on which target a network does not run."""
    if _knows_its_place(found) and tuple(found.shape) != shape:
        what = "has lead times for" if found.config["lead_time_channels"] else "knows its place on"
        yield (
            f"the network in {file} {what} a grid of {found.shape[0]} x {found.shape[1]}; the "
            f"target has {shape[0]} x {shape[1]}"
        )
    multiple = 2 ** (len(found.config["channel_mult"]) - 1)
    if any(size % multiple for size in shape):
        yield (
            f"the network in {file} halves its fields to {multiple} pixels at once; the target's "
            f"height and width, {shape[0]} and {shape[1]}, must be multiples of that"
        )


def _knows_its_place(found: "Checkpoint") -> bool:
    """Tell whether a network has maps of its grid, so that it runs on no other."""
    config = found.config
    return config["positions"] != "none" or bool(
        config["lead_time_channels"] or config["additive_position"]
    )


def stage_cards(stages: Mapping[str, "Checkpoint | None"]) -> dict[str, Any]:
    """Return the cards of the two stages, by the names of a model card."""
    return {
        stage: StageCard(
            f"{stage}.safetensors",
            NetworkCard(dict(found.config), found.parameters),
            sigma_data=_sigma_data(found),
            latent=found.latent,
            scale_condition=found.scale_condition,
        )
        for stage, found in stages.items()
        if found is not None
    }


def _sigma_data(found: "Checkpoint") -> float:
    """Return the one number that a card keeps; 0.5 stands with a mean, which has no use for it."""
    sigma_data = found.sigma_data
    return 0.5 if isinstance(sigma_data, tuple) else sigma_data or 0.5
