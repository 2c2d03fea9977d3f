"""A network of ours written as PhysicsNeMo 2.2 reads it."""

import io
import json
import os
import re
from collections.abc import Iterator
from math import inf, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.physicsnemo.archive import write_archive
from xresdiff.models.physicsnemo.naming import their_name
from xresdiff.models.physicsnemo.weights import frequencies

if TYPE_CHECKING:
    from torch import Tensor

    from xresdiff.nets.config import UNetConfig
    from xresdiff.nets.stage_net import StageNet
    from xresdiff.nets.unet import UNet

__all__ = ["write_mdlus"]

RELEASE = "2.2.2"  # what the files are written for
GRIDS = {
    "sinusoidal": "sinusoidal",
    "octave": "sinusoidal_octave",
    "linear": "linear",
    "test": "test",
    "learned": "learnable",
    "stored": "learnable",  # the same to a network that is not trained further
}
# Fields that an ADM network of theirs has no argument for, and the values that it has.
ADM_ONLY: dict[str, Any] = {
    "embedding": "positional",
    "channel_mult_noise": 1,
    "encoder": "standard",
    "decoder": "standard",
    "resample_filter": (1, 1),
    "positions": "none",
    "lead_time_channels": 0,
    "softmax_channels": (),
    "additive_position": False,
}


def write_mdlus(
    path: str | os.PathLike[str],
    net: "StageNet",
    *,
    legacy: bool = False,
    shape: tuple[int, int] | None = None,
) -> None:
    r"""Write a network as a checkpoint that PhysicsNeMo 2.2 loads and runs to the same output.

    PhysicsNeMo divides the variances in its norms by n - 1. A network that divides by n is
    written with weights larger by :math:`\sqrt{n/(n-1)}`, which is right for fields of one shape.

    Parameters
    ----------
    path : str or path
        Where to; replaced in one step, if it is there.
    net : xresdiff.nets.stage_net.StageNet
        Either stage.
    legacy : bool, default False
        Write a tar, as up to release 1.3, rather than a zip.
    shape : tuple of int, optional
        Height and width of the fields, of a network that has no grid of its own.

    Raises
    ------
    ModelError
        If PhysicsNeMo has no such network; every reason is named.
    StoreError
        If the place cannot be written.
    """
    config = net.net.config
    shape = config.shape or shape
    problems = [*_obstacles(net, shape), *_bad_weights(net.net)]
    raise_problems(problems, what="write the network for PhysicsNeMo", error=ModelError)
    assert shape is not None  # it would be an obstacle
    name, module, arguments = _arguments(net, shape)
    members = {
        "model.pt": _saved(_weights(net, shape)),
        "args.json": json.dumps(
            {"__name__": name, "__module__": module, "__args__": arguments}
        ).encode(),
        "metadata.json": json.dumps(
            {
                "physicsnemo_version": RELEASE,
                "mdlus_file_version": "0.1.0" if name.startswith("EDM") else "0.2.0",
            }
        ).encode(),
    }
    write_archive(Path(path), members, legacy=legacy)


# --- what stands against it


def _obstacles(net: "StageNet", shape: tuple[int, int] | None) -> Iterator[str]:
    """Yield what PhysicsNeMo has not."""
    config = net.net.config
    if config.stem != 1:
        yield f"it folds blocks of {config.stem} x {config.stem} pixels into channels (stem)"
    attends = config.attention_levels or config.bottleneck_attention or config.style == "adm"
    if config.attention_over != "pixels" and attends:
        yield f"its attention is over {config.attention_over}, as of release 1.1 or 1.2 alone"
    if config.softmax_channels and not config.lead_time_channels:
        yield "it has probabilities (softmax_channels) and no lead times"
    if isinstance(net.sigma_data, tuple | list):
        yield "it has its own sigma_data for every channel"
    width = config.widths[0] if config.style == "adm" else config.model_channels
    if config.first_width != width:
        yield f"its first convolution has {config.first_width} channels, not {width}"
    if config.style == "adm":
        yield from _adm_obstacles(config, shape)
    for name, channels, groups in _norms(net.net):
        if groups != min(32, -(-channels // 4)):
            yield f"its norm {name} has {channels} channels in {groups} groups"
    yield from _shape_obstacles(net.net, shape)


def _shape_obstacles(net: "UNet", shape: tuple[int, int] | None) -> Iterator[str]:
    config = net.config
    if shape is None:
        yield "it runs at any size and PhysicsNeMo at one: type shape=(height, width)"
        return
    if any(side % config.size_multiple for side in shape):
        yield f"height and width of {shape} must be multiples of {config.size_multiple}"
    elif not config.unbiased_norm and min(_elements(net, shape).values()) < 2:
        yield f"a norm has one number alone in a group of fields of {shape}"


def _adm_obstacles(config: "UNetConfig", shape: tuple[int, int] | None) -> Iterator[str]:
    for field, value in ADM_ONLY.items():
        if getattr(config, field) != value:
            yield f"it is of the style 'adm' and its {field} is not {value!r}"
    if shape is not None and shape[0] != shape[1]:
        yield f"it is of the style 'adm' and {shape} is no square"
    if any(config.widths[i] < 64 for i in (*config.attention_levels, len(config.widths) - 1)):
        yield "it is of the style 'adm' and attends with fewer than 64 channels"


def _bad_weights(net: "UNet") -> Iterator[str]:
    for name, value in net.state_dict().items():
        if not bool(value.isfinite().all()):
            yield f"its weight {name} is not finite"


def _norms(net: "UNet") -> Iterator[tuple[str, int, int]]:
    """Yield name, channels and groups of every norm."""
    from xresdiff.nets.layers import GroupNorm

    for name, module in net.named_modules():
        if isinstance(module, GroupNorm):
            yield name, len(module.weight), module.groups


# --- arguments


def _arguments(net: "StageNet", shape: tuple[int, int]) -> tuple[str, str, dict[str, Any]]:
    """Return class, module and arguments."""
    config = net.net.config
    maps = config.position_channels + config.lead_time_channels
    given: dict[str, Any] = {
        "img_resolution": shape[0] if config.style == "adm" else list(shape),
        "img_in_channels": net.condition_channels + maps,
        "img_out_channels": config.out_channels,
        "use_fp16": False,
    }
    kind, network = _network(config, shape)
    given["model_type"] = kind
    if net.sigma_data is None:
        module = "physicsnemo.models.diffusion_unets.unet"
        return "CorrDiffRegressionUNet", module, given | network
    given |= {"sigma_data": net.sigma_data, "sigma_min": 0.0, "sigma_max": inf}
    name = "EDMPrecondSuperResolution"
    if net.scale_condition:
        name = "EDMPrecondSR"
        given |= {"img_channels": config.out_channels, "scale_cond_input": True}
    return name, "physicsnemo.diffusion.preconditioners.legacy", given | network


def _network(config: "UNetConfig", shape: tuple[int, int]) -> tuple[str, dict[str, Any]]:
    """Return class and arguments of the network within."""
    network: dict[str, Any] = {
        "model_channels": config.model_channels,
        "channel_mult": list(config.channel_mult),
        "channel_mult_emb": config.channel_mult_emb,
        "num_blocks": config.num_blocks,
        "attn_resolutions": [shape[0] >> level for level in config.attention_levels],
        "dropout": config.dropout,
    }
    if config.style == "adm":
        return "DhariwalUNet", network
    network |= {
        "embedding_type": config.embedding,
        "channel_mult_noise": config.channel_mult_noise,
        "encoder_type": config.encoder,
        "decoder_type": config.decoder,
        "resample_filter": list(config.resample_filter),
        "additive_pos_embed": config.additive_position,
        "bottleneck_attention": config.bottleneck_attention,
    }
    if config.positions == "none" and not config.lead_time_channels:
        return "SongUNet", network
    network["N_grid_channels"] = config.position_channels
    if config.positions != "none":
        network["gridtype"] = GRIDS[config.positions]
    if not config.lead_time_channels:
        return "SongUNetPosEmbd", network
    return "SongUNetPosLtEmbd", network | {
        "lead_time_channels": config.lead_time_channels,
        "lead_time_steps": config.lead_time_steps,
        "prob_channels": list(config.softmax_channels),
    }


# --- weights


def _weights(net: "StageNet", shape: tuple[int, int]) -> dict[str, "Tensor"]:
    """Return the weights by PhysicsNeMo's names."""
    config = net.net.config
    adm = config.style == "adm"
    state = {name: value.detach().cpu().float() for name, value in net.net.state_dict().items()}
    if not config.unbiased_norm:
        for name, n in _elements(net.net, shape).items():
            state[f"{name}.weight"] = state[f"{name}.weight"] * sqrt(n / (n - 1))
    if net.sigma_data is None and not net.latent:
        _add_latent(state, config.out_channels)
    if config.additive_position:
        state["added"] = state["added"][None]
    if config.softmax_channels:
        state["softmax_scale"] = state["softmax_scale"][None, :, None, None]
    if config.embedding == "positional":
        width = config.model_channels * config.channel_mult_noise
        state["embed.map_noise.freqs"] = frequencies(width, adm=adm)
    return {
        f"model.{their_name(name, height=shape[0], adm=adm)}": value.clone().contiguous()
        for name, value in state.items()
    }


def _elements(net: "UNet", shape: tuple[int, int]) -> dict[str, int]:
    """Return how many numbers a group of each norm has, by the norm's name."""
    elements = {}
    for name, channels, groups in _norms(net):
        found = re.match(r"(?:enc|dec)\.level(\d+)_(\w+)", name)
        assert found is not None  # all norms are in a level
        level = int(found[1])
        if name.endswith("norm0"):  # before the block changes the size
            level += {"down": -1, "up": 1}.get(found[2], 0)
        elements[name] = channels // groups * (shape[0] >> level) * (shape[1] >> level)
    return elements


def _add_latent(state: dict[str, "Tensor"], channels: int) -> None:
    """Put channels in front of the input that have no effect: their weights are zero."""
    import torch

    entrance = r"enc\.(level0_conv|level\d+_aux_skip|level1_aux_residual)\.weight"
    for name in state:
        if re.fullmatch(entrance, name):
            weight = state[name]
            zeros = weight.new_zeros(len(weight), channels, *weight.shape[2:])
            state[name] = torch.cat([zeros, weight], dim=1)


def _saved(weights: dict[str, "Tensor"]) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()
