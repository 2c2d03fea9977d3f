"""Networks and sampler runs that NVIDIA's PhysicsNeMo wrote, to hold ours against.

They lie beside the repository and not in it; where they are absent, the tests that need them skip.
"""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xresdiff.nets.unet import UNet, UNetConfig

FOLDER = Path(__file__).parents[2] / "shared" / "physicsnemo-reference"

needs_peers = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there are no PhysicsNeMo checkpoints in {FOLDER}"
)

RENAMED = {
    "embedding_type": "embedding",
    "encoder_type": "encoder",
    "decoder_type": "decoder",
}
SAME = ("model_channels", "num_blocks", "dropout", "channel_mult_noise")


def peer_net(name: str) -> UNet:
    """Return our network with the weights of their checkpoint, in eval mode."""
    with zipfile.ZipFile(FOLDER / f"{name}.mdlus") as file:
        args = json.loads(file.read("args.json"))["__args__"]
        state = torch.load(io.BytesIO(file.read("model.pt")), weights_only=True)
    if args.get("embedding_type") != "fourier":  # computed, not learned
        state.pop("model.map_noise.freqs", None)
    height = args["img_resolution"][0]
    weights = {our_name(key, height): value for key, value in state.items()}
    net = UNet(our_config(args, in_channels=weights["enc.level0_conv.weight"].shape[1]))
    net.load_state_dict(weights)
    return net.eval()


def our_config(args: dict[str, Any], in_channels: int) -> UNetConfig:
    """Translate the arguments in a checkpoint."""
    heights = [args["img_resolution"][0] >> level for level in range(len(args["channel_mult"]))]
    fields = {name: args[name] for name in SAME if name in args}
    fields |= {ours: args[theirs] for theirs, ours in RENAMED.items() if theirs in args}
    return UNetConfig(
        in_channels=in_channels,
        out_channels=args["img_out_channels"],
        channel_mult=tuple(args["channel_mult"]),
        attention_levels=tuple(i for i, n in enumerate(heights) if n in args["attn_resolutions"]),
        resample_filter=tuple(args.get("resample_filter", (1, 1))),
        unbiased_norm=True,
        **fields,
    )


def our_name(key: str, height: int) -> str:
    """Translate ``model.enc.16x16_block0.norm0.weight`` into ``enc.level1_block0.norm0.weight``."""

    def level(match: re.Match[str]) -> str:
        return f"{match[1]}.level{(height // int(match[2])).bit_length() - 1}_"

    name = re.sub(r"^(enc|dec)\.(\d+)x\d+_", level, key.removeprefix("model."))
    return re.sub(r"^map_", "embed.map_", name)


def peer_checkpoints() -> list[str]:
    """Return the names of all checkpoints, those of old releases with their folder."""
    return [str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.mdlus")]


def peer_path(name: str) -> Path:
    """Return the file of a checkpoint."""
    return FOLDER / f"{name}.mdlus"


def peer_arrays(name: str) -> dict[str, Tensor]:
    """Return their inputs and outputs."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest error, in units of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
