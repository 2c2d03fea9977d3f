"""Checkpoints read: as numbers for a model card, as a network to call."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xresdiff.errors import ModelError
from xresdiff.models.physicsnemo.archive import read_archive
from xresdiff.models.physicsnemo.arguments import SigmaData, describe
from xresdiff.models.physicsnemo.weights import empty_net, fit, load

if TYPE_CHECKING:
    import numpy as np

    from xresdiff.nets.stage_net import StageNet

__all__ = ["Checkpoint", "read_checkpoint", "read_mdlus"]


@dataclass(frozen=True)
class Checkpoint:
    """One stage of CorrDiff as PhysicsNeMo keeps it, in our terms.

    Parameters
    ----------
    config : dict
        Fields of `nets.unet.UNetConfig`.
    weights : dict of numpy.ndarray
        By the names of that network, in float32.
    stage : {"mean", "residual"}
        What it gives.
    latent : bool
        Whether a mean stage is given a field of zeros in front of its condition.
    scale_condition : bool
        Whether a residual stage scales its condition with the noisy field.
    sigma_data : float or tuple of float
        Standard deviation of the residual as the network sees it, of each channel if they differ.
    sigma_min, sigma_max : float
        Noise levels between which it is meant to be used; `sigma_max` may be infinite.
    condition_channels : int
        Channels of the condition, without maps of place and lead time.
    shape : tuple of int
        Height and width of the grid.
    parameters : int
        Number of trained numbers.
    release : str
        Of PhysicsNeMo, that wrote it.
    """

    config: dict[str, Any]
    weights: "dict[str, np.ndarray]"
    stage: Literal["mean", "residual"]
    latent: bool
    scale_condition: bool
    sigma_data: SigmaData
    sigma_min: float
    sigma_max: float
    condition_channels: int
    shape: tuple[int, int]
    parameters: int
    release: str

    def __repr__(self) -> str:
        height, width = self.shape
        return (
            f"Checkpoint({self.stage} network of PhysicsNeMo {self.release}, "
            f"{self.condition_channels} -> {self.config['out_channels']} channels of "
            f"{height} x {width} pixels, {self.parameters} parameters)"
        )


@contextlib.contextmanager
def _within_memory(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ModelError(f"cannot read {path}: too little memory is free for it") from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint of any release from 0.5 to 2.2.

    Parameters
    ----------
    path : str or path
        A file ``.mdlus``, zip or tar. Nothing in it is executed.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ModelError
        If it is absent, damaged, not to be trusted, or has a class, an argument or weights that
        are not known.
    """
    path = Path(path)
    with _within_memory(path):
        return _read(path)


def _read(path: Path) -> Checkpoint:
    contents = read_archive(path)
    try:
        description = describe(contents.arguments, contents.metadata)
        tensors, description = fit(load(contents.weights), description)
        net = empty_net(description)
    except ModelError as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    with_field = description.latent or description.stage == "residual"
    given = net.config.in_channels - (net.config.out_channels if with_field else 0)
    if given < 0:
        raise ModelError(f"cannot read {path}: it has {given} channels for its condition")
    return Checkpoint(
        config=asdict(net.config) | {"positions": description.config.get("positions", "none")},
        weights={name: value.numpy() for name, value in tensors.items()},
        stage=description.stage,
        latent=description.latent,
        scale_condition=description.scale_condition,
        sigma_data=description.sigma_data,
        sigma_min=description.sigma_min,
        sigma_max=description.sigma_max,
        condition_channels=given,
        shape=description.shape,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        release=description.release,
    )


def read_mdlus(path: str | os.PathLike[str]) -> "StageNet":
    """Read a checkpoint as a network, in eval mode, in float32, on the CPU.

    Parameters
    ----------
    path : str or path
        A file ``.mdlus`` of any release from 0.5 to 2.2. Nothing in it is executed.

    Returns
    -------
    xresdiff.nets.stage_net.StageNet
        Called ``net(x, condition, sigma=None, lead_time=None, position=None)``.

    Raises
    ------
    ModelError
        As :func:`read_checkpoint`.
    """
    import torch

    from xresdiff.nets.stage_net import StageNet
    from xresdiff.nets.unet import UNet, UNetConfig

    checkpoint = read_checkpoint(path)
    with torch.device("meta"), _within_memory(Path(path)):
        net = UNet(UNetConfig(**checkpoint.config))
    weights = {name: torch.from_numpy(value) for name, value in checkpoint.weights.items()}
    net.load_state_dict(weights, assign=True)
    stage = StageNet(
        net,
        sigma_data=checkpoint.sigma_data if checkpoint.stage == "residual" else None,
        latent=checkpoint.latent,
        scale_condition=checkpoint.scale_condition,
    )
    return stage.eval().requires_grad_(False)
