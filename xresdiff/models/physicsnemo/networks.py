"""What the arguments of PhysicsNeMo's networks mean in fields of ours."""

from math import inf
from typing import Any

from xresdiff.models.physicsnemo.fields import Fields

__all__ = ["NETWORKS", "Release", "describe_network"]

Release = tuple[int, int]

PLACED = ("SongUNetPosEmbd", "SongUNetPosLtEmbd")  # know the place of their pixels
NETWORKS = ("SongUNet", *PLACED, "DhariwalUNet")
POSITIONS = {
    "sinusoidal": "sinusoidal",
    "sinusoidal_octave": "octave",
    "learnable": "learned",
    "linear": "linear",
    "test": "test",
}
LEVELS, BLOCKS, TAPS = 12, 64, 16  # more than any network has
PIXELS, NUMBERS = 1 << 26, 1 << 27  # of a grid, and of all its maps: 512 MiB


def describe_network(
    fields: Fields, kind: str, release: Release, *, into: int, out: int, labelled: bool
) -> dict[str, Any]:
    """Read the arguments of a network.

    Parameters
    ----------
    fields : Fields
        Its arguments.
    kind : str
        Its class, one of `NETWORKS`.
    release : tuple of int
        Of PhysicsNeMo.
    into, out : int
        Channels of its input, with all maps, and of its output.
    labelled : bool
        Whether the class about it gives it class labels, which are zeros then.

    Returns
    -------
    dict
        The fields `config`, `shape`, `labels`, `augmented` and `moved` of a description.
    """
    shape = _shape(fields)
    augmented = _without_effect(fields)
    moved: tuple[int, ...] = ()
    if kind == "DhariwalUNet":
        config = _adm(fields)
    else:
        config, moved = _song(fields, kind, release, shape, out)
    maps = config.get("position_channels", 0) + config.get("lead_time_channels", 0)
    if min(out, config["model_channels"], into - maps) < 1 or not config["channel_mult"]:
        fields.problems.append(
            f"its channels do not add up: {into} enter, {maps} of them maps, and {out} leave"
        )
    labels = fields.count("label_dim", 0)
    if labels and not labelled and config.get("embedding") != "zero":
        fields.problems.append(f"it asks for {labels} class labels, which nobody gives it")
    resolutions = config.pop("attn_resolutions")
    levels = range(len(config["channel_mult"]))
    config |= {
        "in_channels": into - maps,
        "out_channels": out,
        "attention_levels": tuple(i for i in levels if shape[0] >> i in resolutions),
        "narrow_entrance": kind != "DhariwalUNet" and config["channel_mult"][:1] != (1,),
        "attention_over": _attention_over(kind, release),
        "unbiased_norm": release >= (0, 6),
        "whole_groups": release <= (1, 1),
        "shape": shape,
    }
    return {
        "config": config,
        "shape": shape,
        "labels": bool(labels),
        "augmented": augmented,
        "moved": moved,
    }


def _without_effect(fields: Fields) -> bool:
    """Strike off what changes nothing in float32; tell whether labels of augmentation are known.

    These are memory, profiling, and the training of the network.
    """
    for name in ("amp_mode", "profile_mode", "use_apex_gn"):
        fields.flag(name, False)
    fields.count("checkpoint_level", 0)
    fields.number("label_dropout", 0.0)
    return fields.count("augment_dim", 0) > 0


def _attention_over(kind: str, release: Release) -> str:
    """Tell what attends to what; two releases were alone with theirs."""
    if release == (1, 1):
        return "channels"
    return "segments" if release == (1, 2) and kind == "DhariwalUNet" else "pixels"


def _shape(fields: Fields) -> tuple[int, int]:
    value = fields.take("img_resolution")
    sides = [value, value] if type(value) is int else value
    pair = isinstance(sides, list) and len(sides) == 2 and all(type(n) is int for n in sides)
    if pair and min(sides) > 0 and sides[0] * sides[1] <= PIXELS:
        return sides[0], sides[1]
    fields.problems.append("its argument img_resolution must be a height and a width")
    return 1, 1


def _common(fields: Fields, *, width: int, mult: tuple[int, ...], blocks: int) -> dict[str, Any]:
    """Read what both kinds of networks have."""
    mults = fields.counts("channel_mult", mult)
    if len(mults) > LEVELS or 0 in mults:
        fields.problems.append(f"its argument channel_mult must be 1 to {LEVELS} widths")
        mults = (1,)
    return {
        "model_channels": fields.count("model_channels", width),
        "channel_mult": mults,
        "channel_mult_emb": fields.count("channel_mult_emb", 4),
        "num_blocks": fields.count("num_blocks", blocks, least=1, most=BLOCKS),
    }


def _adm(fields: Fields) -> dict[str, Any]:
    return _common(fields, width=192, mult=(1, 2, 3, 4), blocks=3) | {
        "style": "adm",
        "attn_resolutions": fields.counts("attn_resolutions", (32, 16, 8)),
        "dropout": fields.share("dropout", 0.1),
    }


def _song(
    fields: Fields, kind: str, release: Release, shape: tuple[int, int], out: int
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Read what the DDPM++ family has; the networks with maps have defaults of their own."""
    wide = kind in PLACED and release >= (0, 8)
    config = _common(
        fields, width=128, mult=(1, 2, 2, 2, 2) if wide else (1, 2, 2, 2), blocks=4
    ) | {
        "attn_resolutions": fields.counts("attn_resolutions", (28,) if wide else (16,)),
        "dropout": fields.share("dropout", 0.13 if wide else 0.1),
        "embedding": fields.word("embedding_type", "positional", ("positional", "fourier", "zero")),
        "channel_mult_noise": fields.count("channel_mult_noise", 1),
        "encoder": fields.word("encoder_type", "standard", ("standard", "skip", "residual")),
        "decoder": fields.word("decoder_type", "standard", ("standard", "skip")),
        "resample_filter": _filter(fields),
        "additive_position": fields.flag("additive_pos_embed", False),
        "bottleneck_attention": fields.flag("bottleneck_attention", True),
    }
    activation = fields.take("act", "silu")
    if not isinstance(activation, str) or activation.lower() != "silu":
        fields.problems.append(f"its argument act is {activation!r}; only 'silu' is known")
    if kind not in PLACED:
        return config, ()
    config |= _positions(fields, shape)
    lead_times, moved = _lead_times(fields, kind, release, out)
    return config | lead_times, moved


def _filter(fields: Fields) -> tuple[float, ...]:
    """Return the filter of up- and downsampling, which is divided by its sum."""
    taps = fields.numbers("resample_filter", (1, 1), most=TAPS)
    total = float(sum(taps))
    if 0 < total * total < inf:
        return taps
    fields.problems.append(f"its argument resample_filter is {taps}, which has the sum {total}")
    return (1, 1)


def _positions(fields: Fields, shape: tuple[int, int]) -> dict[str, Any]:
    kind = POSITIONS[fields.word("gridtype", "sinusoidal", POSITIONS)]
    channels = fields.count("N_grid_channels", 4)
    if not channels:
        return {}
    fits = channels % 4 == 0 if kind in ("sinusoidal", "octave") else channels == 2
    if kind != "learned" and not fits:
        fields.problems.append(f"its argument N_grid_channels is {channels}, not of a {kind} grid")
        return {}
    if channels * shape[0] * shape[1] > NUMBERS:
        fields.problems.append(f"its {channels} maps of {shape[0]} x {shape[1]} are too large")
        return {}
    return {"positions": kind, "position_channels": channels}


def _lead_times(
    fields: Fields, kind: str, release: Release, out: int
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Read what a network knows of lead times, and where its outputs are moved to."""
    on = fields.flag("lead_time_mode", False) or kind == "SongUNetPosLtEmbd"
    channels = fields.optional_count("lead_time_channels", 0)
    steps = fields.optional_count("lead_time_steps", 9)
    picked = fields.counts("prob_channels", ())
    if not on:
        return {}, ()
    config: dict[str, Any] = {}
    if channels and steps:
        config = {"lead_time_channels": channels, "lead_time_steps": steps}
    if len(set(picked)) < len(picked) or any(each >= out for each in picked):
        fields.problems.append(f"its argument prob_channels must name some of {out} outputs")
        picked = ()
    if not picked:
        return config, ()
    if release > (1, 1):
        return config | {"softmax_channels": picked}, ()
    # up to release 1.1 the probabilities were moved behind the other outputs
    rest = tuple(sorted(set(range(out)) - set(picked)))
    return config | {"softmax_channels": tuple(range(len(rest), out))}, (*rest, *picked)
