"""What the arguments in a checkpoint, and the release that wrote it, say of its network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from xresdiff.errors import ModelError, raise_problems, warn
from xresdiff.models.physicsnemo.fields import Fields
from xresdiff.models.physicsnemo.networks import NETWORKS, Release, describe_network

__all__ = ["Description", "SigmaData", "describe"]

SigmaData = float | tuple[float, ...]

# The first and the last release whose numerics are known.
OLDEST: Release = (0, 5)
NEWEST: Release = (2, 2)
FILE_VERSIONS = ("0.1.0", "0.2.0")
MEAN = ("UNet", "CorrDiffRegressionUNet", "StormCastUNet")
RESIDUAL = ("EDMPrecondSR", "EDMPrecondSRV2", "EDMPrecondSuperResolution", "EDMPrecond")
NESTED = "__physicsnemo.Module__"
KEYS = ("__name__", "__module__", "__args__")
METADATA = ("physicsnemo_version", "modulus_version", "mdlus_file_version", "git_hash")
VERSION = r"(\d{1,4})\.(\d{1,4})(\.\d{1,4})*((a|b|rc)\d+)?(\.(post|dev)\d+)*(\+[\w.]+)?"
SHOWN = 8  # names in one message
BUFFERS_UNTIL: Release = (2, 0)  # from here on no device_buffer is stored
HALVED_SINCE: Release = (1, 2)  # from here on use_fp16 rounds the weights, on every device


@dataclass(frozen=True)
class Description:
    """All that must be known of a checkpoint beside its weights.

    Parameters
    ----------
    config : dict
        Fields of `nets.unet.UNetConfig`.
    stage : {"mean", "residual"}
        What the network gives.
    latent, scale_condition, sigma_data
        As of `nets.stage_net.StageNet`.
    sigma_min, sigma_max : float
        Noise levels between which it is meant to be used.
    shape : tuple of int
        Height and width of the grid.
    release : str
        Of PhysicsNeMo.
    prefix : str
        Of the names of the network's weights.
    half : bool
        Whether the peer rounds the weights to 16 bits.
    labels : bool
        Whether the network has class labels; they are zeros.
    augmented : bool
        Whether the network has weights for labels of augmentation, which are never given.
    unread : tuple of str
        Names of weights that say nothing that the arguments do not.
    moved : tuple of int
        Where each output is found in the weights, if the peer moves its outputs.
    """

    config: dict[str, Any]
    stage: Literal["mean", "residual"]
    latent: bool
    scale_condition: bool
    sigma_data: SigmaData
    sigma_min: float
    sigma_max: float
    shape: tuple[int, int]
    release: str
    prefix: str
    half: bool
    labels: bool
    augmented: bool
    unread: tuple[str, ...]
    moved: tuple[int, ...]


def describe(arguments: Mapping[str, Any], metadata: Mapping[str, Any]) -> Description:
    """Read arguments and metadata; refuse what is not known.

    Raises
    ------
    ModelError
        If a class or an argument is not known, or a value not possible.
    """
    text, release = _release(metadata)
    name, given = _module(arguments)
    used: list[str] = []
    if name == "EDMPreconditioner":
        description = _describe_wrapped(arguments, given, text, release, used)
    else:
        description = _describe_one(name, given, text, release)
    versions = [f"{each}.mdlus_file_version" for each in used]
    problems = [
        f"its args.json holds {each!r}, which nothing asks for"
        for each in set(arguments) - {*KEYS, *used}
    ]
    problems += [
        f"its metadata tells {each!r}, which is not known"
        for each in set(metadata) - {*METADATA, *versions}
    ]
    raise_problems(sorted(problems)[:SHOWN], what="trust the checkpoint", error=ModelError)
    return description


def _describe_one(name: str, given: dict[str, Any], text: str, release: Release) -> Description:
    """Describe a class that holds no other module as an argument."""
    known = (*MEAN, *RESIDUAL, *NETWORKS)
    if name not in known:
        raise ModelError(
            f"its class {name} is not known; the known are EDMPreconditioner, {', '.join(known)}"
        )
    keywords = _nested_keywords(given)
    fields = Fields(given | keywords, name)
    if name in NETWORKS:
        return _describe_bare(fields, name, text, release)
    description = _describe_wrapper(fields, name, text, release)
    fields.finish()
    return description


def _nested_keywords(given: dict[str, Any]) -> dict[str, Any]:
    """Take out the arguments of the network, which release 0.5 kept apart."""
    keywords = given.pop("model_kwargs", {})
    if not isinstance(keywords, dict) or set(keywords) & set(given):
        raise ModelError("its argument model_kwargs is no object of further arguments")
    return keywords


def _release(metadata: Mapping[str, Any]) -> tuple[str, Release]:
    told = [metadata[key] for key in ("physicsnemo_version", "modulus_version") if key in metadata]
    text = told[0] if len(told) == 1 else None
    found = re.fullmatch(VERSION, text) if isinstance(text, str) else None
    if not found or not isinstance(text, str):
        raise ModelError("its metadata does not tell the release of PhysicsNeMo that wrote it")
    versions = [value for key, value in metadata.items() if key.endswith("mdlus_file_version")]
    unknown = [value for value in versions if value not in FILE_VERSIONS]
    if unknown:
        raise ModelError(f"its file version {unknown[0]!r} is none of {', '.join(FILE_VERSIONS)}")
    release = int(found[1]), int(found[2])
    if release < OLDEST:
        raise ModelError(f"it is of release {text}; the first that is known is 0.5")
    if release > NEWEST:
        warn(
            f"the checkpoint is of PhysicsNeMo {text}; numerics are known up to "
            f"{NEWEST[0]}.{NEWEST[1]}, and it is run as that release runs it"
        )
    return text, release


def _module(entry: Any) -> tuple[str, dict[str, Any]]:
    """Return the class and the arguments of a module."""
    entry = entry if isinstance(entry, dict) else {}
    name, module, given = (entry.get(key) for key in ("__name__", "__module__", "__args__"))
    if not (isinstance(name, str) and isinstance(module, str) and isinstance(given, dict)):
        raise ModelError("its args.json does not tell a class and its arguments")
    if not re.match(r"(modulus|physicsnemo)\.(models\.)?diffusion(_unets)?\.", f"{module}."):
        raise ModelError(f"its class {module}.{name} is not one of PhysicsNeMo's diffusion models")
    return name, dict(given)


# --- the classes about a network


def _describe_wrapper(fields: Fields, name: str, text: str, release: Release) -> Description:
    """Describe a network within a class that holds its type as an argument."""
    stage: Literal["mean", "residual"] = "mean" if name in MEAN else "residual"
    before = fields.count("img_channels", 0)
    into = fields.optional_count("img_in_channels", before)
    out = fields.optional_count("img_out_channels", before)
    sigma = _sigma_data(fields)
    low, high = _sigma_range(fields)
    half = fields.flag("use_fp16", False)
    kind = fields.word("model_type", _default_network(name, release), NETWORKS)
    scaled = _scales_condition(fields, name, release)
    labelled = name == "EDMPrecond" or release < (0, 8)
    if name not in ("EDMPrecond", "StormCastUNet"):
        into += out
    network = describe_network(fields, kind, release, into=into, out=out, labelled=labelled)
    return Description(
        stage=stage,
        latent=stage == "mean" and name != "StormCastUNet",
        scale_condition=scaled,
        sigma_data=sigma,
        sigma_min=low,
        sigma_max=high,
        release=text,
        unread=_device_buffers(release, 2) + (("sigma_data",) if name == "EDMPrecond" else ()),
        prefix="model.",
        half=half and release >= HALVED_SINCE and name not in ("StormCastUNet", "EDMPrecond"),
        **network,
    )


def _device_buffers(release: Release, depth: int) -> tuple[str, ...]:
    """Return the empty weights by which modules within each other told where they are."""
    if release >= BUFFERS_UNTIL:
        return ()
    return tuple("model." * level + "device_buffer" for level in range(depth))


def _sigma_range(fields: Fields) -> tuple[float, float]:
    """Return the noise levels between which a network is meant to be used."""
    low, high = fields.number("sigma_min", 0.0), fields.number("sigma_max", float("inf"))
    if not (low <= high and high > 0 and isfinite(low)):
        fields.problems.append(
            f"its arguments sigma_min and sigma_max are {low} and {high}, no range of noise levels"
        )
    return low, high


def _sigma_data(fields: Fields) -> float:
    """Return the standard deviation of the data."""
    sigma = fields.number("sigma_data", 0.5)
    if not 0 < sigma < float("inf"):
        fields.problems.append(f"its argument sigma_data is {sigma} and must be positive")
    return sigma


def _sigmas_data(fields: Fields) -> SigmaData:
    """Return the standard deviation of the data, or of every channel of the data."""
    if not isinstance(fields.given.get("sigma_data"), list):
        return _sigma_data(fields)
    sigmas = fields.numbers("sigma_data", ())
    if not sigmas or min(sigmas) <= 0:
        fields.problems.append(f"its argument sigma_data is {sigmas} and must be positive")
    return float(sigmas[0]) if len(set(sigmas)) == 1 else tuple(map(float, sigmas))


def _default_network(name: str, release: Release) -> str:
    if name == "StormCastUNet":
        return "SongUNet"
    return "DhariwalUNet" if name == "EDMPrecond" or release < (0, 8) else "SongUNetPosEmbd"


def _scales_condition(fields: Fields, name: str, release: Release) -> bool:
    """Tell whether the condition is scaled; 1.1 took no notice of the flag."""
    flag = fields.flag("scale_cond_input", True) if name == "EDMPrecondSR" else False
    return flag and release != (1, 1)


def _describe_bare(fields: Fields, name: str, text: str, release: Release) -> Description:
    """Describe a network saved by itself: a mean stage without a latent."""
    into, out = fields.count("in_channels"), fields.count("out_channels")
    network = describe_network(fields, name, release, into=into, out=out, labelled=False)
    fields.finish()
    return Description(
        stage="mean",
        latent=False,
        scale_condition=False,
        sigma_data=0.5,
        sigma_min=0.0,
        sigma_max=float("inf"),
        release=text,
        unread=_device_buffers(release, 1),
        prefix="",
        half=False,
        **network,
    )


def _describe_wrapped(
    arguments: Mapping[str, Any],
    given: dict[str, Any],
    text: str,
    release: Release,
    used: list[str],
) -> Description:
    """Describe a network within modules within modules: the classes of the newer recipes.

    The names of the modules are added to `used`.
    """
    fields = Fields(given, "EDMPreconditioner")
    sigma = _sigmas_data(fields)
    name, inner = _nested(arguments, fields.take("model"), used)
    fields.finish()
    if name != "ConcatConditionWrapper":
        raise ModelError(
            f"its class EDMPreconditioner holds a {name}; a ConcatConditionWrapper is known"
        )
    wrapper = Fields(inner, name)
    for key in ("image_cond_key", "vector_cond_key"):
        wrapper.take(key)  # names in a dictionary of conditions
    name, inner = _nested(arguments, wrapper.take("model"), used)
    wrapper.finish()
    if name not in NETWORKS:
        raise ModelError(f"its class {name} is not known; the known are {', '.join(NETWORKS)}")
    network = Fields(inner, name)
    into, out = network.count("in_channels"), network.count("out_channels")
    if isinstance(sigma, tuple) and len(sigma) != out:
        network.problems.append(f"it has {len(sigma)} values of sigma_data for {out} outputs")
    found = describe_network(network, name, release, into=into, out=out, labelled=False)
    network.finish()
    return Description(
        stage="residual",
        latent=False,
        scale_condition=False,
        sigma_data=sigma,
        sigma_min=0.0,
        sigma_max=float("inf"),
        release=text,
        unread=(*_device_buffers(release, 3), "sigma_data"),
        prefix="model.model.",
        half=False,
        **found,
    )


def _nested(arguments: Mapping[str, Any], name: Any, used: list[str]) -> tuple[str, dict[str, Any]]:
    if not isinstance(name, str) or not name.startswith(NESTED) or name not in arguments:
        raise ModelError(f"its args.json does not hold the module {name!r}")
    used.append(name)
    found = _module(arguments[name])
    if set(arguments[name]) != set(KEYS):
        raise ModelError(f"its args.json tells more of {name!r} than a class and its arguments")
    return found
