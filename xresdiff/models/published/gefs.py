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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from xresdiff.models.card import Channel, Patching
from xresdiff.models.parts import Problems
from xresdiff.models.published.earth2studio import check_mode
from xresdiff.models.published.package_files import Metadata, Scale, channels_of
from xresdiff.models.published.package_parts import Parts, base_card, extras_of, read_parts
from xresdiff.models.published.translation import Translation

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = ["GefsMetadata", "translate"]

CATEGORIES = ("csnow", "cicep", "cfrzr", "crain")  # which the networks give as probabilities


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
    parts = read_parts(folder, GefsMetadata, what="GEFS-HRRR package")
    metadata, stats = parts.metadata, parts.stats
    inputs = parts.channels("input")
    outputs = _outputs(metadata, stats["output"], parts.stages["mean"], parts.problems)
    _check_networks(parts)
    check_mode(parts)
    parts.check_sigmas()
    parts.finish()
    target, coarse = parts.grids
    card = replace(
        base_card(name, parts, (inputs, outputs), extras_of(parts.statics, stats)),
        description="A package like CorrDiff US GEFS-HRRR, translated.",
        lead_hours=metadata.lead_hours,
        patch=max(metadata.patch_shape or target.shape),
        patching=metadata.patching,
    )
    return parts.translation(card, target, coarse)


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


def _check_networks(parts: Parts[GefsMetadata]) -> None:
    """See that the networks, lead times and patches go together."""
    metadata = parts.metadata
    known = {"inputs": len(metadata.input_variables), "invariants": len(parts.statics.names)}
    more = {}
    if metadata.patching and metadata.patch_whole:
        more = {"inputs and invariants of the whole domain": sum(known.values())}
    parts.check_networks(known, more, lead_hours=len(metadata.lead_hours))
    found = [each for each in parts.stages.values() if each is not None]
    if metadata.lead_hours and not any(each.config["lead_time_channels"] for each in found):
        parts.problems.append(
            "metadata.json has lead_hours, but no network is told the lead time; leave them out"
        )
    _check_patches(parts)


def _check_patches(parts: Parts[GefsMetadata]) -> None:
    residual, shape = parts.stages["residual"], parts.metadata.patch_shape
    if residual is None or shape is None or parts.target is None:
        return
    multiple = 2 ** (len(residual.config["channel_mult"]) - 1)
    sizes = [min(pair) for pair in zip(shape, parts.target.shape, strict=True)]
    if any(size % multiple for size in sizes):
        parts.problems.append(
            f"patches of {sizes[0]} x {sizes[1]} cannot be halved to {multiple} pixels at once, as "
            "the network in diffusion.mdlus does; give patch_shape multiples of that"
        )
