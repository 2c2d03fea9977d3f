"""The JSON files of Earth2Studio's packages, read strictly."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models import container
from xresdiff.models.card import Channel
from xresdiff.models.parts import Problems, must_be_positive, must_not_be_empty
from xresdiff.models.published import variables
from xresdiff.models.strict_json import Part, broken_rules, parse, read

__all__ = [
    "METADATA",
    "Metadata",
    "Scale",
    "Stats",
    "channels_of",
    "read_json",
    "read_metadata",
    "read_stats",
]

METADATA = "metadata.json"
JSON_LIMIT = 2**22  # bytes


@dataclass(frozen=True)
class Metadata(Part):
    """What ``metadata.json`` of a generic package may say; all but `units` is Earth2Studio's.

    Parameters
    ----------
    input_variables, output_variables : tuple of str
        Names of Earth2Studio, in the order of the networks' channels.
    invariant_variables : tuple of str, optional
        Of ``invariants.nc``; by default all that are in it.
    number_of_samples, seed : int
        Defaults of a call there; here of ``members=`` and ``seed=``.
    number_of_steps, solver, sampler_type, sigma_min, sigma_max
        Of the sampler.
    inference_mode : {"both", "regression", "diffusion"}
        Which networks make the result.
    hr_mean_conditioning : bool, default True
        Whether the diffusion is told the mean.
    grid_spacing_tolerance, grid_bounds_margin : float
        What Earth2Studio lets pass of the coarse grid.
    latlon_res : float, optional
        Step of the coarse grid (degrees), where no file tells it.
    units : dict of str, default {}
        Of variables that have no name of Earth2Studio.
    """

    input_variables: tuple[str, ...]
    output_variables: tuple[str, ...]
    invariant_variables: tuple[str, ...] | None = None
    number_of_samples: int = 1
    number_of_steps: int = 18
    solver: Literal["euler", "heun"] = "euler"
    sampler_type: Literal["stochastic", "deterministic"] = "stochastic"
    inference_mode: Literal["both", "regression", "diffusion"] = "both"
    hr_mean_conditioning: bool = True
    seed: int | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    grid_spacing_tolerance: float = 1e-5
    grid_bounds_margin: float = 0.0
    latlon_res: float | None = None
    units: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = list(broken_rules(self))
        raise_problems(problems, what="read the metadata.json", error=ModelError)

    def rules(self) -> Problems:
        """Yield what is wrong, as (field, problem)."""
        yield from must_not_be_empty(self, "input_variables", "output_variables")
        yield from must_be_positive(self, "number_of_samples", "number_of_steps", "latlon_res")
        yield from must_be_positive(self, "sigma_min", "sigma_max")
        for group in ("input_variables", "output_variables", "invariant_variables"):
            for name, times in Counter(getattr(self, group) or ()).items():
                if times > 1:
                    yield group, f"{name!r} is there {times} times"


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a variable in training."""

    mean: float
    std: float


Stats = Mapping[str, Mapping[str, Scale]]
M = TypeVar("M", bound=Metadata)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a folder.

    Raises
    ------
    ModelError
        If it is absent, too large, or not one object of strict JSON.
    """
    try:
        return parse(container.read(folder, name, limit=JSON_LIMIT))
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def read_metadata(folder: Path, kind: type[M]) -> tuple[M, list[str]]:
    """Read ``metadata.json``.

    Parameters
    ----------
    folder : Path
        Of the package.
    kind : type
        :class:`Metadata`, or a class of it with more keys.

    Returns
    -------
    tuple
        What it says, and the keys that mean nothing.

    Raises
    ------
    ModelError
        If it is absent, or anything in it is wrong; every problem is named.
    """
    if not (folder / METADATA).exists():
        raise ModelError(f"{METADATA} is missing: the names of the variables, and the sampler")
    data = read_json(folder, METADATA)
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = [key for key in data if key not in known]
    told = {key: value for key, value in data.items() if key in known}
    return read(kind, told, what=METADATA), unknown


def read_stats(folder: Path, needed: Mapping[str, Sequence[str]], problems: list[str]) -> Stats:
    """Read the scales of variables from ``stats.json``.

    Parameters
    ----------
    folder : Path
        Of the package.
    needed : mapping of sequence of str
        Variables by group, such as "input"; others in the file are of no interest.
    problems : list of str
        To which one sentence is added for every scale that is missing or wrong.

    Returns
    -------
    mapping of mapping of Scale
        By group and variable, those that are right.
    """
    try:
        data = read_json(folder, "stats.json")
    except ModelError as error:
        problems.append(str(error))
        return {group: {} for group in needed}
    found: dict[str, dict[str, Scale]] = {group: {} for group in needed}
    for group, names in needed.items():
        entries = data.get(group)
        for name in names:
            entry = entries.get(name) if isinstance(entries, dict) else None
            if entry is None:
                problems.append(f"stats.json has no {group!r} scale of {name!r}")
                continue
            scale = _scale(entry)
            if scale is None:
                text = json.dumps(entry)[:60]
                problems.append(
                    f"stats.json: {group}.{name} is {text}; it needs a finite mean and a std above "
                    'zero, {"mean": 281.5, "std": 9.0}'
                )
            else:
                found[group][name] = scale
    return found


def _scale(entry: Any) -> Scale | None:
    """Return a scale, None if it is none."""
    if not isinstance(entry, dict):
        return None
    mean, std = (entry.get(name) for name in ("mean", "std"))
    if isinstance(mean, bool) or isinstance(std, bool):
        return None
    if not (isinstance(mean, int | float) and isinstance(std, int | float)):
        return None
    if not (isfinite(mean) and isfinite(std) and std > 0):
        return None
    return Scale(float(mean), float(std))


def channels_of(
    names: Sequence[str],
    scales: Mapping[str, Scale],
    problems: list[str],
    *,
    units: Mapping[str, str],
    is_input: bool,
) -> tuple[Channel, ...]:
    """Return the channels of variables of Earth2Studio.

    Parameters
    ----------
    names : sequence of str
        In the order of the networks' channels.
    scales : mapping of Scale
        By name; a variable without one is left out.
    problems : list of str
        To which one sentence is added for every variable of unknown units.
    units : mapping of str
        Of variables that a user has named.
    is_input : bool
        Whether they are looked for in files.
    """
    channels = []
    for name in names:
        scale = scales.get(name)
        if scale is None:
            continue
        one = variables.channel(
            name, mean=scale.mean, std=scale.std, units=units.get(name), is_input=is_input
        )
        if one is None:
            problems.append(
                f"{name!r} is no variable of Earth2Studio, so that its units are not known; add "
                f'to metadata.json: "units": {{"{name}": "K"}}, or whichever they are'
            )
        else:
            channels.append(one)
    return tuple(channels)
