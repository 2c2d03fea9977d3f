"""What a model is: its channels, grid, networks, sampler, scores and licence.

A card is a tree of frozen dataclasses that is written as ``card.json`` beside the weights and read
back strictly: unknown keys, wrong types and broken rules are refused, all in one message. No card
that breaks a rule can be made, from a file or otherwise.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models import card_repr
from xresdiff.models.container import PLAIN_NAME
from xresdiff.models.parts import (
    CONDITIONING,
    Channel,
    DataSource,
    NetworkCard,
    Problems,
    SamplerCard,
    StageCard,
    Transform,
    must_be_positive,
    must_not_be_empty,
)
from xresdiff.models.strict_json import Part, broken_rules, parse, read
from xresdiff.models.targets import Extra, FixedTarget, Padding, Patching, RefineTarget

__all__ = [
    "CARD",
    "Channel",
    "DataSource",
    "Extra",
    "FixedTarget",
    "ModelCard",
    "NetworkCard",
    "Padding",
    "Patching",
    "RefineTarget",
    "SamplerCard",
    "StageCard",
    "Transform",
]

CARD = "card.json"
SCHEMA = 1  # the layout of card.json; a file of another schema is refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelCard(Part):
    """Everything about a model but its weights.

    Parameters
    ----------
    name, version, title, description, licence : str
        `title` is one line, `description` a paragraph, `licence` that of the weights.
    data : tuple of DataSource
        What the model was trained on.
    references : tuple of str, default ()
        Papers and reports.
    inputs, outputs : tuple of Channel
        What it needs and gives, in the order of the networks' channels.
    target : RefineTarget or FixedTarget
        The grid it gives.
    conditioning : tuple of str
        How the coarse fields enter the networks: any of "bilinear", "constant", "phase".
    conserve : tuple of str, default ()
        Outputs, never negative, whose block means equal the input of the same name.
    global_residual : bool, default True
        Whether the mean stage predicts the difference from the interpolated input, for outputs
        that are among the inputs; all of the others.
    extras : tuple of Extra, default ()
        What the networks are told behind the inputs, in this order.
    sea_ice_cover : bool, default False
        Whether the input "siconc" is given its sum with "snc", within 0 and 100 %, averaged over
        3 x 3 cells, as CMIP6 fields were for CorrDiff CMIP6-ERA5.
    hours : tuple of float, default (0,)
        Hours from the time of an input to the times that it gives fields for.
    lead_hours : tuple of float, default ()
        Hours of a forecast that the networks tell apart, for those that are told the lead time.
    mean_conditioning : bool, default True
        Whether the residual stage is told the mean, in front of the inputs.
    mean, residual : StageCard
        The two stages.
    sampler : SamplerCard
        Default settings.
    patch : int
        Side of the fields in training, in fine pixels.
    patching : Patching, optional
        How large fields of a fixed target are covered; by default they enter whole.
    precision : {"auto", "float32"}
        What precision "auto" stands for: the fastest, or always that of float32.
    scores : dict of float, default {}
        How well it does, on data it has not seen.
    files : dict of str, default {}
        sha256 of every file of the package; :func:`~xresdiff.models.package.write_package` fills
        it.

    Raises
    ------
    ModelError
        If a rule is broken; every broken rule is named with its place.
    """

    plot: ClassVar[Any]  # figures, from xresdiff.accessor: card.plot.domain()

    name: str
    version: str
    title: str
    description: str
    licence: str
    data: tuple[DataSource, ...]
    references: tuple[str, ...] = ()
    inputs: tuple[Channel, ...]
    outputs: tuple[Channel, ...]
    target: RefineTarget | FixedTarget
    conditioning: tuple[str, ...]
    conserve: tuple[str, ...] = ()
    global_residual: bool = True
    extras: tuple[Extra, ...] = ()
    sea_ice_cover: bool = False
    hours: tuple[float, ...] = (0.0,)
    lead_hours: tuple[float, ...] = ()
    mean_conditioning: bool = True
    mean: StageCard
    residual: StageCard
    sampler: SamplerCard = field(default_factory=SamplerCard)
    patch: int
    patching: Patching | None = None
    precision: Literal["auto", "float32"] = "auto"
    scores: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(broken_rules(self))
        raise_problems(problems, what=f"make the model card {self.name!r}", error=ModelError)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelCard":
        """Read a card.

        Parameters
        ----------
        text : str or bytes
            The contents of a ``card.json``.

        Returns
        -------
        ModelCard
            The card.

        Raises
        ------
        ModelError
            If it is not the JSON of a card; the message names every problem and its place.

        Examples
        --------
        >>> ModelCard.from_json('{"schema": 7}')
        Traceback (most recent call last):
        xresdiff.errors.ModelError: the card's schema is 7; this xresdiff reads 1. ...
        """
        data = parse(text)
        schema = data.pop("schema", None)
        if schema != SCHEMA or schema is True:
            raise ModelError(
                f"the card's schema is {schema!r}; this xresdiff reads {SCHEMA}. If a newer "
                "xresdiff wrote it, type: pip install --upgrade xresdiff"
            )
        return read(cls, data, what="model card")

    def to_json(self) -> str:
        """Write the card, every field of it, as JSON that :meth:`from_json` reads back equal."""
        data = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "version", "title", "licence", "inputs", "outputs")
        yield from must_not_be_empty(self, "conditioning")
        yield from must_be_positive(self, "patch")
        if not _NAME.fullmatch(self.name):
            yield "name", f"{self.name!r} must be letters, digits, '.', '_' and '-'"
        for i, how in enumerate(self.conditioning):
            if how not in CONDITIONING:
                yield f"conditioning[{i}]", f"{how!r} must be one of {', '.join(CONDITIONING)}"
        yield from self._channel_rules()
        yield from self._target_rules()
        yield from self._file_rules()

    def _channel_rules(self) -> Problems:
        yield from _names_must_differ("inputs", self.inputs)
        yield from _names_must_differ("outputs", self.outputs)
        inputs, outputs = ({c.key for c in cs} for cs in (self.inputs, self.outputs))
        for i, name in enumerate(self.conserve):
            named = [c for c in self.outputs if c.name == name]
            if not named or not inputs.issuperset(c.key for c in named):
                yield f"conserve[{i}]", f"{name!r} must be an input and an output"
            elif any(c.minimum is None or c.minimum < 0 for c in named):
                yield f"conserve[{i}]", f"the output {name!r} needs a minimum of 0 or more"
        if self.global_residual and not outputs & inputs:
            yield "global_residual", "true needs at least one output that is an input, too"
        if self.mean.scale:
            yield "mean.scale", "is for the residual stage"
        given, needed = len(self.residual.scale), len(self.outputs)
        if given not in (0, needed):
            yield "residual.scale", f"has {given} numbers; needed are {needed}, one per output"

    def _target_rules(self) -> Problems:
        yield from must_not_be_empty(self, "hours")
        if self.target.kind == "fixed":
            if self.conserve:
                yield "conserve", "is for models that refine the grid of their input"
            if self.conditioning != ("bilinear",):
                yield "conditioning", "('bilinear',) is all that a fixed target knows"
            return
        for name in ("extras", "lead_hours", "patching"):
            if getattr(self, name):
                yield name, "is for models with a fixed target"
        if self.hours != (0.0,) or any(channel.offset_h for channel in self.inputs):
            yield "hours", "other times than that of the input are for models with a fixed target"

    def _file_rules(self) -> Problems:
        if len(set(self.parts)) < len(self.parts):
            yield "residual.file", f"{self.residual.file!r} must differ from the other files"
        for name in self.parts:
            if not PLAIN_NAME.fullmatch(name) or name == CARD:
                yield "files", f"{name!r} must be a plain lower-case file name like 'x.safetensors'"
        for name, sha256 in self.files.items():
            if name not in self.parts:
                yield f"files[{name!r}]", f"must be one of {', '.join(self.parts)}"
            if not _SHA256.fullmatch(sha256):
                yield f"files[{name!r}]", f"{sha256!r} must be 64 hexadecimal digits (sha256)"

    @property
    def timed(self) -> bool:
        """Whether the networks are told the time or the lead time of a field."""
        return bool(self.lead_hours) or any(extra.timed for extra in self.extras)

    @property
    def parts(self) -> tuple[str, ...]:
        """The files of a package beside its card."""
        grid = (self.target.grid,) if self.target.kind == "fixed" else ()
        return (self.mean.file, self.residual.file, *grid)

    def __repr__(self) -> str:
        return card_repr.text(self)

    def _repr_html_(self) -> str:
        return card_repr.html(self)


def _names_must_differ(where: str, channels: Sequence[Channel]) -> Problems:
    """Refuse two channels of one name, or that the same variable and level would be found for."""
    taken: dict[object, int] = {}
    for i, channel in enumerate(channels):
        for name in dict.fromkeys(channel.names):
            first = taken.setdefault((name, channel.level_Pa, channel.offset_h), i)
            if first != i:
                yield f"{where}[{i}]", f"{name!r} is {where}[{first}] already"
                break
