"""The shapes of both networks: of a model's, for other channels; or fresh, for the fields."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import lcm
from typing import TYPE_CHECKING, Any

from xresdiff.errors import InputError
from xresdiff.models.card import ModelCard, NetworkCard, StageCard

if TYPE_CHECKING:
    from xresdiff.nets.config import UNetConfig

__all__ = ["Fields", "adapted", "config_of", "counted", "fresh", "maps_of", "size_multiple", "told"]

# Widths in units of the stem's entrance; without attention, so that any size runs alike.
PRESETS: dict[str, dict[str, Any]] = {
    "small": {
        "model_channels": 16,
        "channel_mult": (4, 5, 6),
        "num_blocks": 1,
        "dropout": 0.0,
    },
    "medium": {
        "model_channels": 64,
        "channel_mult": (2, 3, 3),
        "num_blocks": 2,
        "dropout": 0.0,
    },
    "large": {  # that of CorrDiff (arXiv 2309.15214)
        "model_channels": 128,
        "channel_mult": (1, 2, 2, 2, 2),
        "num_blocks": 4,
        "dropout": 0.1,
    },
}
STEMS = ((128, 4), (64, 2), (0, 1))  # by the shorter side of what the networks see, in pixels


@dataclass(frozen=True)
class Fields:
    """What the networks see.

    Parameters
    ----------
    height, width : int
        Of the fields, in fine pixels.
    patch : int
        Side of the patches in training, before it is fitted to the networks.
    factor : int
        Fine pixels that the side of a patch is a multiple of.
    whole : bool
        Whether all fields are of this size, and trained whole.
    """

    height: int
    width: int
    patch: int
    factor: int = 1
    whole: bool = False

    @property
    def side(self) -> int:
        """The shorter side of what the networks see."""
        return min(self.height, self.width, self.patch)


def config_of(card: StageCard) -> "UNetConfig":
    """Return the shape of the network of a stage, of one channel where they are open."""
    from xresdiff.nets.config import UNetConfig

    return UNetConfig(**({"in_channels": 1, "out_channels": 1} | card.network.config))


def size_multiple(card: ModelCard) -> int:
    """Return what height and width of the fields of both networks are multiples of."""
    return lcm(*(config_of(stage).size_multiple for stage in (card.mean, card.residual)))


def told(card: ModelCard, stage: str) -> int:
    """Return how many channels a network is given, all in all.

    Parameters
    ----------
    card : ModelCard
        With its channels, extras, conditioning and patching.
    stage : {"mean", "residual"}
        Which network.

    Returns
    -------
    int
        Noisy field, mean, inputs and extras; not the maps of place.
    """
    n, k = len(card.inputs), len(card.outputs)
    known = sum(2 if how == "phase" else n for how in card.conditioning) + len(card.extras)
    if stage == "mean":
        return known + (k if card.mean.latent else 0)
    again = known if card.patching is not None and card.patching.whole else 0
    return k + (k if card.mean_conditioning else 0) + known + again


def _has_maps(config: Mapping[str, Any]) -> bool:
    """Tell whether a network has maps of its grid."""
    maps = ("lead_time_channels", "additive_position")
    return config.get("positions", "none") != "none" or any(config.get(name) for name in maps)


def maps_of(card: ModelCard) -> list[str]:
    """Return the stages whose networks have maps of their grid."""
    return [name for name in ("mean", "residual") if _has_maps(getattr(card, name).network.config)]


def adapted(card: ModelCard, shape: tuple[int, int] | None) -> ModelCard:
    """Return a card whose networks take and give its channels.

    Parameters
    ----------
    card : ModelCard
        With new channels and the networks of a model before.
    shape : tuple of int, optional
        Height and width of the fields, for networks with maps of place.
    """
    stages = {}
    for name in ("mean", "residual"):
        stage: StageCard = getattr(card, name)
        config = stage.network.config | {
            "in_channels": told(card, name),
            "out_channels": len(card.outputs),
        }
        if shape is not None and (config.get("shape") is not None or _has_maps(config)):
            config["shape"] = shape
        network = stage.network if config == stage.network.config else counted(config)
        stages[name] = replace(stage, network=network)
    return replace(card, mean=stages["mean"], residual=stages["residual"])


def fresh(asked: str | Mapping[str, Any], fields: Fields, device: str) -> dict[str, dict[str, Any]]:
    """Return the shapes of both networks but for their channels.

    Parameters
    ----------
    asked : str or mapping
        "auto", "small", "medium", "large", or fields of `nets.config.UNetConfig` that differ from
        "auto".
    fields : Fields
        What they see.
    device : str
        Where they are trained: "auto" networks are small on a CPU and medium elsewhere.

    Returns
    -------
    dict of dict
        For the stages "mean" and "residual".

    Raises
    ------
    InputError
        If the mapping makes no network.
    """
    try:
        return _fresh(asked, fields, device)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"network={asked!r} makes no network: {error}") from error


def _fresh(
    asked: str | Mapping[str, Any], fields: Fields, device: str
) -> dict[str, dict[str, Any]]:
    """Return the shapes of both networks but for their channels."""
    changes = {} if isinstance(asked, str) else dict(asked)
    name = asked if isinstance(asked, str) else "auto"
    config = PRESETS[_size(device) if name == "auto" else name]
    config = config | _folds(config, changes, fields)
    attends = config["model_channels"] == PRESETS["large"]["model_channels"] and fields.whole
    config = config | {"bottleneck_attention": attends} | changes
    return {"mean": {"embedding": "zero"} | config, "residual": config}


def counted(config: Mapping[str, Any]) -> NetworkCard:
    """Return the card of a network, its parameters counted."""
    import torch

    from xresdiff.engine.runtime import build

    try:
        with torch.device("meta"):
            net = build(NetworkCard(dict(config), 1))
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise InputError(f"network={dict(config)!r} makes no network: {error}") from error
    return NetworkCard(dict(config), sum(one.numel() for one in net.parameters()))


def _size(device: str) -> str:
    """Return the preset that suits a device."""
    if device == "cpu":
        return "small"
    if device != "auto":
        return "medium"
    from xresdiff.engine.runtime import pick_device

    return "small" if pick_device(device).type == "cpu" else "medium"


def _folds(config: dict[str, Any], changes: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """Return stem and levels that whole patches of the fields are multiples of."""
    mults = tuple(changes.get("channel_mult", config["channel_mult"]))
    stems = [stem for least, stem in STEMS if fields.side >= least]
    if config["num_blocks"] == PRESETS["large"]["num_blocks"]:
        stems = [1]
    for stem in [changes["stem"]] if "stem" in changes else stems:
        for depth in range(len(mults), 0 if "channel_mult" not in changes else len(mults) - 1, -1):
            multiple = lcm(stem * 2 ** (depth - 1), fields.factor)
            if multiple <= fields.side or (depth, stem) == (1, 1):
                return {"stem": stem, "channel_mult": mults[:depth]}
    return {"stem": changes.get("stem", 1), "channel_mult": mults}
