"""Model files: a folder or a ``.resdiff`` zip with a card and the weights of the two stages.

::

    card.json               what the model is, and the sha256 of every file below
    mean.safetensors        weights of the regression
    residual.safetensors    weights of the diffusion
    grid.nc                 target grid and static fields, where the card says "fixed"

The sha256 of ``card.json`` thus stands for the whole model. A file is read once, checked, and only
then parsed, from the very bytes that were checked. Nothing in a model file is ever executed.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import safetensors
import safetensors.numpy

from xresdiff.errors import InputError, ModelError, StoreError, raise_problems
from xresdiff.models import container
from xresdiff.models.card import CARD, FixedTarget, ModelCard, RefineTarget, StageCard
from xresdiff.models.grid_file import outline, read_grid

if TYPE_CHECKING:
    from xresdiff.nets.stage_net import StageNet

__all__ = ["Model", "Stage", "open_package", "write_package"]

Stage = Literal["mean", "residual"]

CARD_LIMIT = 2**20  # bytes that a card may have
FILE_LIMIT = 2**32  # bytes that any other file of a package may have

_STAGES: tuple[Stage, ...] = ("mean", "residual")


@dataclass(frozen=True, repr=False)
class Model:
    """A model on disk: its card is read, its weights wait. Made by `open_model`.

    Parameters
    ----------
    card : ModelCard
        What it is.
    path : Path
        Its folder or ``.resdiff`` file.
    sha256 : str
        Of its ``card.json``, which holds that of every other file.
    source : str
        Its name in the zoo, or else its absolute path: how another process finds it.
    """

    card: ModelCard = field(compare=False)
    path: Path
    sha256: str
    source: str

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    @property
    def key(self) -> str:
        """``source@sha256``: what graphs carry instead of weights."""
        return f"{self.source}@{self.sha256}"

    def weights(self, stage: Stage) -> dict[str, np.ndarray]:
        """Read the weights of a stage.

        Parameters
        ----------
        stage : {"mean", "residual"}
            Which of the two.

        Returns
        -------
        dict of numpy.ndarray
            By the names of the network's parameters.

        Raises
        ------
        InputError
            If there is no such stage.
        ModelError
            If the file is damaged.
        """
        if stage not in _STAGES:
            raise InputError(f"a model has no stage {stage!r}; it has 'mean' and 'residual'")
        name = getattr(self.card, stage).file
        try:
            return safetensors.numpy.load(self.read(name))
        except (safetensors.SafetensorError, KeyError) as error:
            raise ModelError(f"{self.path}: {name} holds no weights for NumPy: {error}") from error

    def network(self, stage: Stage) -> "StageNet":
        """Return the network of a stage, on the CPU, ready to run or to be written elsewhere.

        Parameters
        ----------
        stage : {"mean", "residual"}
            Which of the two.

        Returns
        -------
        torch.nn.Module
            A :class:`~xresdiff.nets.stage_net.StageNet` in eval mode and float32, called
            ``net(x, condition, sigma)``, all in the units of the networks.

        Raises
        ------
        InputError
            If there is no such stage.
        ModelError
            If its file is damaged, or the weights do not fit the card.

        Examples
        --------
        >>> import xresdiff
        >>> net = xresdiff.open_model("rain-16x").network("mean")
        >>> sum(parameter.numel() for parameter in net.parameters())
        957520
        """
        import torch

        from xresdiff.nets.stage_net import StageNet
        from xresdiff.nets.unet import UNet, UNetConfig

        weights = {
            name: torch.from_numpy(w.astype("f4")) for name, w in self.weights(stage).items()
        }
        card: StageCard = getattr(self.card, stage)
        with torch.device("meta"):
            net = UNet(UNetConfig(**card.network.config))
        try:
            net.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise ModelError(f"{self.path}: {card.file} does not fit the card: {error}") from error
        whole = StageNet(
            net,
            sigma_data=card.sigma_data if stage == "residual" else None,
            latent=card.latent,
            scale_condition=card.scale_condition,
        )
        return whole.eval().requires_grad_(False)

    def read(self, name: str) -> bytes:
        """Return a file of the package, checked against the sha256 on the card.

        Parameters
        ----------
        name : str
            "card.json", or one of the card's `parts`.

        Returns
        -------
        bytes
            Its contents.

        Raises
        ------
        ModelError
            If it is missing or damaged.
        """
        data = container.read(self.path, name, limit=CARD_LIMIT if name == CARD else FILE_LIMIT)
        found = hashlib.sha256(data).hexdigest()
        needed = self.sha256 if name == CARD else self.card.files[name]
        if found != needed:
            raise ModelError(
                f"{name} of the model {self.path} is damaged or was changed: its sha256 is {found}"
                f", it should be {needed}. Copy or fetch the whole model again"
            )
        return data

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Save a copy, whole or not at all; a model that is there already is replaced.

        Parameters
        ----------
        path : str or PathLike
            A new folder, or a file if it ends with ``.resdiff``.

        Returns
        -------
        Path
            The same path.

        Raises
        ------
        ModelError
            If a file of this model is damaged.
        StoreError
            If something that is not a model is there, or the place cannot be written.
        """
        _refuse_to_overwrite(Path(path))
        contents = {name: self.read(name) for name in (CARD, *self.card.parts)}
        return container.write(Path(path), contents)

    def __repr__(self) -> str:
        return repr(self.card)

    def _repr_html_(self) -> str:
        return self.card._repr_html_()


def open_package(path: Path, source: str) -> Model:
    """Read the card of a package, and see that the rest is there.

    Parameters
    ----------
    path : Path
        A folder or ``.resdiff`` file.
    source : str
        How another process finds it.

    Returns
    -------
    Model
        With its card read; its files are checked when they are read.

    Raises
    ------
    ModelError
        If it is no model, or incomplete.
    """
    sizes = container.listing(path)
    if CARD not in sizes:
        raise ModelError(f"{path} is not a model: there is no {CARD} in it")
    data = container.read(path, CARD, limit=CARD_LIMIT)
    try:
        card = ModelCard.from_json(data)
    except ModelError as error:
        raise ModelError(f"{path / CARD}: {error}") from error
    problems = [f"{CARD} has no sha256 of {name}" for name in card.parts if name not in card.files]
    problems += [f"{name} is missing" for name in card.parts if name not in sizes]
    problems += [
        f"{name} has {sizes[name]} bytes, more than the {FILE_LIMIT} that a file may have"
        for name in card.parts
        if sizes.get(name, 0) > FILE_LIMIT
    ]
    if path.is_file():
        strays = sorted(set(sizes) - {CARD, *card.parts})
        problems += [f"{name} is not on its card" for name in strays]
    raise_problems(problems, what=f"open the model {path}", error=ModelError)
    return Model(card, path, hashlib.sha256(data).hexdigest(), source)


def write_package(
    path: str | os.PathLike[str],
    card: ModelCard,
    weights: Mapping[Stage, Mapping[str, np.ndarray]],
    *,
    grid: bytes | None = None,
) -> Model:
    """Write a new model, whole or not at all; a model that is there already is replaced.

    Parameters
    ----------
    path : str or PathLike
        A folder, or a file if it ends with ``.resdiff``.
    card : ModelCard
        What the model is. Its `files` are filled in.
    weights : dict of dict of numpy.ndarray
        For the stages "mean" and "residual", by the names of the network's parameters.
    grid : bytes, optional
        Contents of the netCDF file of a fixed target.

    Returns
    -------
    Model
        The model, opened.

    Raises
    ------
    ModelError
        If weights or grid do not go with the card, or the grid is no grid file.
    StoreError
        If something that is not a model is there, or the place cannot be written.
    """
    problems = [f"weights for {stage!r} are missing" for stage in _STAGES if stage not in weights]
    if (grid is None) != isinstance(card.target, RefineTarget):
        problems.append(f"a {card.target.kind} target needs {'a' if grid is None else 'no'} grid")
    raise_problems(problems, what=f"write the model {card.name!r}", error=ModelError)
    _refuse_to_overwrite(Path(path))
    parts = {getattr(card, stage).file: _pack(weights[stage]) for stage in _STAGES}
    if isinstance(card.target, FixedTarget) and grid is not None:
        parts[card.target.grid] = grid
        around = outline(read_grid(grid, card))
        card = dataclasses.replace(card, target=dataclasses.replace(card.target, outline=around))
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    text = dataclasses.replace(card, files=sha256).to_json()
    written = container.write(Path(path), {CARD: text.encode(), **parts}).expanduser().absolute()
    return open_package(written, source=str(written))


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    try:
        return safetensors.numpy.save({k: np.asarray(a, order="C") for k, a in arrays.items()})
    except safetensors.SafetensorError as error:
        raise ModelError(f"these weights cannot be kept as safetensors: {error}") from error


def _refuse_to_overwrite(path: Path) -> None:
    """Let pass only a path with nothing there, or with a model and nothing else."""
    path = path.expanduser()
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        known = {CARD, *open_package(path, source="").card.parts}
    except ModelError as error:
        raise StoreError(
            f"{path} is there and is not a whole model, so it is not replaced ({error}). Remove it "
            "or save elsewhere"
        ) from error
    strays = sorted({file.name for file in path.iterdir()} - known) if path.is_dir() else []
    if strays:
        raise StoreError(
            f"{path} holds more than a model, so it is not replaced: {', '.join(strays)}. Remove "
            "these or save elsewhere"
        )
