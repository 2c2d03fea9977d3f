"""What a user of `finetune` and `train` asks for: checked one by one, before anything is read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import xarray as xr

from xresdiff.errors import UnitsError
from xresdiff.grids.regrid.make_weights import Method
from xresdiff.grids.units.accumulations import START, hours_of
from xresdiff.models.card import Channel
from xresdiff.models.package import Stage
from xresdiff.models.parts import NETWORK_FIELDS

__all__ = ["EXTRAS", "NETWORKS", "STAGES", "Arguments"]

STAGES: tuple[Stage, ...] = ("mean", "residual")
EXTRAS = ("day_of_year", "hour", "solar_zenith", "latitude")
NETWORKS = ("auto", "small", "medium", "large")

LARGEST_SEED = 2**63 - 1
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OWN = frozenset({"in_channels", "out_channels", "shape"})  # follow from the data


@dataclass(frozen=True)
class Arguments:
    """What a user asks for, as given.

    Parameters
    ----------
    stages : sequence of {"mean", "residual"}
        What is trained, in this order.
    steps : int or mapping of stage to int, optional
        Optimiser steps of a stage.
    batch_size, patch : int, optional
        Patches of a step; the side of a patch in fine pixels.
    learning_rate : float, optional
        Peak of the learning rate.
    validation : float, default 0.1
        Share of the times, the last ones, that are kept to choose the best weights.
    residual_pairs : float, default 0
        Share of the other pairs that the residual stage alone learns from.
    device, precision, seed
        As of :func:`xresdiff.downscale`.
    inputs, outputs : sequence of str or Channel, optional
        Variables of the coarse Dataset and of the target; by default all that run along the grid.
    static : xarray.Dataset or xarray.DataArray, optional
        Fields without time that the networks are told, such as orography.
    extras : sequence of {"day_of_year", "hour", "solar_zenith", "latitude"}
        What else the networks are told.
    normalisation : {"model", "data"}, optional
        Whose means and standard deviations normalise variables that the model knows.
    global_residual : bool, optional
        Whether the mean stage predicts the difference from the interpolated input.
    conserve : sequence of str, optional
        Outputs whose block means are made equal to the input.
    freeze : sequence of str
        Parts of the networks that are left as they are.
    weights : mapping of str to float, optional
        Weight of each output in the losses.
    network : str or mapping
        "auto", "small", "medium", "large", or fields of `nets.config.UNetConfig`.
    augment : bool, optional
        Whether patches are turned and mirrored.
    regridding, accumulation
        As of :func:`xresdiff.downscale`.
    name : str, optional
        Of the model.
    patience : int, optional
        Validations without a better score after which a stage ends.
    cache : bool, default True
        Whether the pairs are kept on disk where that pays.
    """

    stages: tuple[Stage, ...] = STAGES
    steps: int | Mapping[str, int] | None = None
    batch_size: int | None = None
    patch: int | None = None
    learning_rate: float | None = None
    validation: float = 0.1
    residual_pairs: float = 0.0
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    inputs: Sequence[str | Channel] | None = None
    outputs: Sequence[str | Channel] | None = None
    static: xr.Dataset | xr.DataArray | None = None
    extras: Sequence[str] = ()
    normalisation: str | None = None
    global_residual: bool | None = None
    conserve: Sequence[str] | None = None
    freeze: tuple[str, ...] = ()
    weights: Mapping[str, float] | None = None
    network: str | Mapping[str, Any] = field(default="auto")
    augment: bool | None = None
    regridding: str | None = None
    accumulation: str | None = None
    name: str | None = None
    patience: int | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        """Make tuples of lists; anything else stays as it was given, to be told."""
        for name in ("stages", "extras", "conserve", "freeze"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    def problems(self) -> list[str]:
        """Say what is out of bounds, whatever the data: what it is, and what is needed.

        Examples
        --------
        >>> Arguments(batch_size=0).problems()
        ['batch_size is 0; it is a whole number of at least 1']
        """
        return [
            *self._stage_problems(),
            *self._number_problems(),
            *self._choice_problems(),
            *self._sequence_problems(),
            *self._field_problems(),
            *self._network_problems(),
        ]

    def usable(self) -> "Arguments":
        """Return a copy that has the defaults in place of what is out of bounds.

        So that the data can be checked, too, before all problems are told at once.

        Examples
        --------
        >>> Arguments(batch_size=0, seed=3).usable() == Arguments(seed=3)
        True
        """
        wrong = {re.split(r"[ .\[]", told)[0] for told in self.problems()}
        usual = Arguments()
        return replace(self, **{name: getattr(usual, name) for name in wrong})

    def facts(self) -> dict[str, Any]:
        """Return what tells a run from others beside its data, card and effort, for JSON.

        Examples
        --------
        >>> Arguments(seed=3, freeze=("encoder",)).facts()["freeze"]
        ['encoder']
        """
        return {
            "stages": list(self.stages),
            "freeze": list(self.freeze),
            "weights": {name: float(w) for name, w in (self.weights or {}).items()},
            "validation": float(self.validation),
            "residual_pairs": float(self.residual_pairs),
            "augment": self.augment,
            "patience": self.patience,
            "seed": int(self.seed),
            "precision": self.precision,
        }

    def _stage_problems(self) -> Iterator[str]:
        stages: object = self.stages
        known = isinstance(stages, tuple) and len(stages) > 0
        if not known or any(stage not in STAGES for stage in self.stages):
            yield (
                f"stages is {self.stages!r}; it is ('mean', 'residual'), or one of them: "
                "stages=('residual',)"
            )
        elif len(set(self.stages)) < len(self.stages):
            yield f"stages is {self.stages!r}, which names a stage twice"
        given = self.steps if isinstance(self.steps, Mapping) else {}
        for stage in given:
            if stage not in STAGES:
                yield f"steps has {stage!r}; its keys are 'mean' and 'residual'"

    def _number_problems(self) -> Iterator[str]:
        whole: dict[str, tuple[object, int]] = {
            "batch_size": (self.batch_size, 1),
            "patch": (self.patch, 1),
            "patience": (self.patience, 1),
        }
        if isinstance(self.steps, Mapping):
            whole |= {f"steps[{stage!r}]": (n, 1) for stage, n in self.steps.items()}
        else:
            whole["steps"] = (self.steps, 1)
        for name, (value, least) in whole.items():
            if value is not None and not _is_whole(value, least):
                yield f"{name} is {value!r}; it is a whole number of at least {least}"
        if not _is_whole(self.seed, 0) or self.seed > LARGEST_SEED:
            yield f"seed is {self.seed!r}; it is a whole number from 0 to 2**63 - 1"
        if self.learning_rate is not None and not _is_between(self.learning_rate, 0, np.inf):
            yield f"learning_rate is {self.learning_rate!r}; it is positive"
        yield from self._share_problems()
        weights = {} if self.weights is None else self.weights
        if not isinstance(weights, Mapping):
            yield f"weights is {weights!r}; it is a mapping of outputs, such as {{'t2m': 1.0}}"
            return
        for name, weight in weights.items():
            if not _is_between(weight, 0, np.inf):
                yield f"weights[{name!r}] is {weight!r}; it is positive"

    def _share_problems(self) -> Iterator[str]:
        if not _is_between(self.validation, 0, 1):
            yield f"validation is {self.validation!r}; it is a share between 0 and 1"
        if self.residual_pairs != 0 and not _is_between(self.residual_pairs, 0, 1):
            yield f"residual_pairs is {self.residual_pairs!r}; it is 0, or a share below 1"

    def _choice_problems(self) -> Iterator[str]:
        choices: dict[str, tuple[object, ...]] = {
            "precision": ("auto", "float32", "bfloat16"),
            "normalisation": (None, "model", "data"),
            "global_residual": (None, True, False),
            "augment": (None, True, False),
            "cache": (True, False),
            "regridding": (None, *get_args(Method)),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if not any(
                value is one or (isinstance(value, str) and value == one) for one in allowed
            ):
                yield f"{name} is {value!r}; it is one of {', '.join(map(repr, allowed))}"
        if not _DEVICE.fullmatch(str(self.device)):
            yield f"device is {self.device!r}; it is 'auto', 'cpu', 'mps', 'cuda' or 'cuda:1'"
        if self.name is not None and not _NAME.fullmatch(str(self.name)):
            yield f"name is {self.name!r}; it is of letters, digits, '.', '_' and '-'"
        if self.accumulation not in (None, START):
            try:
                hours_of(self.accumulation)
            except UnitsError as error:
                yield str(error)

    def _sequence_problems(self) -> Iterator[str]:
        for name in ("inputs", "outputs", "extras", "conserve", "freeze"):
            value = getattr(self, name)
            if value is None and name not in ("extras", "freeze"):
                continue
            channels = name in ("inputs", "outputs")
            types = (str, Channel) if channels else (str,)
            ok = isinstance(value, list | tuple) and all(isinstance(one, types) for one in value)
            if not ok:
                told = f"[{value!r}]" if isinstance(value, str | Channel) else "[...]"
                what = "names or Channels" if channels else "names"
                yield f"{name} is {value!r}; it is a list of {what}: {name}={told}"
            elif channels and not value:
                yield f"{name} is empty; name a variable, or leave {name}= out for all"
            elif name == "extras":
                yield from (
                    f"extras has {one!r}; it knows {', '.join(map(repr, EXTRAS))}"
                    for one in value
                    if one not in EXTRAS
                )

    def _field_problems(self) -> Iterator[str]:
        if self.static is None or isinstance(self.static, xr.Dataset):
            return
        if not isinstance(self.static, xr.DataArray):
            yield (
                f"static is a {type(self.static).__name__}; it is a Dataset of fields without "
                "time, such as static=ds[['orog']]"
            )
        elif self.static.name is None:
            yield "static has no name; give it one: static=static.rename('orog')"

    def _network_problems(self) -> Iterator[str]:
        if not isinstance(self.network, Mapping):
            if self.network not in NETWORKS:
                yield (
                    f"network is {self.network!r}; it is one of {', '.join(map(repr, NETWORKS))}, "
                    "or a mapping such as {'model_channels': 64}"
                )
            return
        for key in self.network:
            if key in _OWN:
                yield f"network has {key!r}, which follows from the data; leave it out"
            elif key not in NETWORK_FIELDS:
                known = ", ".join(name for name in NETWORK_FIELDS if name not in _OWN)
                yield f"network has {key!r}; it knows {known}"


def _is_whole(value: object, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and int(value) >= least  # type: ignore[call-overload]


def _is_between(value: object, low: float, high: float) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and low < float(value) < high  # type: ignore[arg-type]
