"""Checkpoints made here, to be taken apart and put together wrongly."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.toys import toy_net
from xresdiff.models.physicsnemo import write_mdlus
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
