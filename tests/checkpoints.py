"""Checkpoints made here, to be taken apart and put together wrongly."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.toys import toy_net
from xresdiff.errors import ModelError
from xresdiff.models.physicsnemo import read_checkpoint, write_mdlus
from xresdiff.nets.stage_net import StageNet

SHAPE = (16, 24)
SMALL: dict[str, Any] = {
    "in_channels": 5,
    "out_channels": 2,
    "model_channels": 8,
    "channel_mult": (1, 2),
    "num_blocks": 1,
    "dropout": 0.0,
    "shape": SHAPE,
    "unbiased_norm": True,
}

Members = dict[str, bytes]


def stage_net(
    sigma_data: float | None = 0.5,
    *,
    latent: bool = False,
    scale_condition: bool = False,
    **changes: Any,
) -> StageNet:
    """Return a small network of either stage, whose weights do something."""
    net = toy_net(SMALL | changes)
    stage = StageNet(net, sigma_data=sigma_data, latent=latent, scale_condition=scale_condition)
    return stage.eval().requires_grad_(False)


def members_of(path: Path) -> Members:
    """Return what a zip holds."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def true_members(folder: Path) -> Members:
    """Return the three members of a true checkpoint."""
    path = folder / "true.mdlus"
    write_mdlus(path, stage_net())
    found = members_of(path)
    path.unlink()
    return found


def refused(path: Path, message: str) -> None:
    """Check that a checkpoint is not read, and why."""
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)


def as_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def as_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def saved(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def changed(
    path: Path,
    net: StageNet | None = None,
    *,
    release: str = "",
    arguments: Callable[[dict[str, Any]], None] = lambda told: None,
    weights: Callable[[dict[str, Tensor]], None] = lambda state: None,
) -> Path:
    """Write a checkpoint in which the release, the arguments or the weights are others."""
    write_mdlus(path, net or stage_net())
    members = members_of(path)
    told = json.loads(members["args.json"])
    arguments(told)
    state = torch.load(io.BytesIO(members["model.pt"]), weights_only=True)
    weights(state)
    metadata = json.loads(members["metadata.json"])
    if release:
        metadata["physicsnemo_version"] = release
    return as_zip(
        path,
        {
            "model.pt": saved(state),
            "args.json": json.dumps(told).encode(),
            "metadata.json": json.dumps(metadata).encode(),
        },
    )


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fields(net, seed=0):
    """Return a noisy field and a condition."""
    x = normal(2, net.net.config.out_channels, *SHAPE, seed=seed)
    return x, normal(2, net.condition_channels, *SHAPE, seed=seed + 1)


def called(net, **told):
    x, condition = fields(net)
    if net.sigma_data is None:
        return net(None, condition, **told)
    return net(x, condition, torch.tensor([0.3, 7.0]), **told)


def given(**values: Any) -> Callable[[dict[str, Any]], None]:
    """Return what gives arguments other values."""

    def change(told: dict[str, Any]) -> None:
        told["__args__"].update(values)

    return change
