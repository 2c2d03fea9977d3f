"""The weights of a checkpoint: loaded without trust, renamed, checked against the network."""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import pi
from typing import TYPE_CHECKING, Any

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.physicsnemo.archive import fills
from xresdiff.models.physicsnemo.arguments import Description
from xresdiff.models.physicsnemo.naming import their_name

if TYPE_CHECKING:
    from torch import Tensor

    from xresdiff.nets.unet import UNet

__all__ = ["empty_net", "fit", "frequencies", "load"]

State = dict[str, "Tensor"]

# All that the pickle of a state dict of tensors names.
GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
}
# All that torch writes beside it, in one folder of any name.
MEMBER = (
    r"(?!\.\.?/)[^/\\\0]+/"
    r"(data\.pkl|data/\d+|byteorder|version|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id)"
)
OTHER_WAYS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
SHOWN = 8  # names in one message


def load(data: bytes) -> State:
    """Return the tensors that torch saved, of which none is larger than the file.

    Raises
    ------
    ModelError
        If the file is anything but a dictionary of dense, finite tensors of real numbers.
    """
    import torch

    _check_pickle(_checked_zip(data))
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's file makes torch say
        raise ModelError(f"its weights cannot be loaded: {str(error).splitlines()[0]}") from error
    if not isinstance(state, Mapping):
        raise ModelError(f"its weights are no state dict but a {type(state).__name__}")
    problems = [
        f"{name!r} is {problem}" for name, value in state.items() if (problem := _oddity(value))
    ]
    problems += [f"the name {name!r} is no text" for name in state if not isinstance(name, str)]
    if not problems:
        total = sum(value.numel() * value.element_size() for value in state.values())
        if total > len(data):
            problems.append(f"they have {total} bytes in a file of {len(data)}")
    raise_problems(_some(problems), what="trust the weights of the checkpoint", error=ModelError)
    _check_finite(state)
    return dict(state)


def _check_finite(state: Mapping[str, "Tensor"]) -> None:
    problems = [
        f"{name!r} is not finite"
        for name, value in state.items()
        if not bool(value.isfinite().all())
    ]
    raise_problems(_some(problems), what="trust the weights of the checkpoint", error=ModelError)


def _oddity(value: Any) -> str:
    """Say why something is no plain tensor."""
    import torch

    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return f"a {type(value).__name__}, not a tensor"
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        return "not a dense tensor"
    if not value.is_floating_point():
        return f"of {value.dtype}, not of real numbers"
    return ""


def _checked_zip(data: bytes) -> bytes:
    """Return the pickle in what torch saved: a zip without compression, and with nothing behind."""
    file = io.BytesIO(data)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            total = sum(member.file_size for member in members)
            known = all(re.fullmatch(MEMBER, member.orig_filename) for member in members)
            pickles = [m for m in members if m.filename.endswith("/data.pkl")]
            folders = {member.filename.partition("/")[0] for member in members}
            whole = fills(archive, file)  # or torch may see another list of members
            if not (stored and known and whole and total <= len(data) and len(folders) == 1):
                raise ModelError("its weights are packed as torch does not pack them")
            if len(pickles) != 1 or len({m.filename for m in members}) < len(members):
                raise ModelError("its weights are not one pickle and its tensors")
            return archive.read(pickles[0])
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"its weights are damaged: {error}") from error


def _check_pickle(data: bytes) -> None:
    """Refuse a pickle that names anything but what makes up a state dict."""
    try:
        found = {
            str(argument) if opcode.name == "GLOBAL" else opcode.name
            for opcode, argument, _ in pickletools.genops(data)
            if opcode.name == "GLOBAL" or opcode.name in OTHER_WAYS
        }
    except Exception as error:  # whatever a stranger's file makes pickletools say
        raise ModelError(f"its weights are damaged: {error}") from error
    strange = sorted(found - GLOBALS)
    if strange:
        raise ModelError(f"its weights are not to be trusted: they call {', '.join(strange)}")


def fit(state: State, description: Description) -> tuple[State, Description]:
    """Return weights by our names, and the description that they complete.

    Raises
    ------
    ModelError
        If weights are missing, unknown or of another shape than the arguments say.
    """
    state = _plain_names(_without_unread(state, description), description.prefix)
    if description.half:
        state = {name: value.half() for name, value in state.items()}
    state = _labels_folded(state, description)
    state, description = _embedding(state, description)
    if "pos_embd" in state and _computed(description):
        description = _stored(description)
    state = _ordered(state, description)
    wanted = empty_net(description).state_dict()
    if _computed(description):
        del wanted["places.maps"]
    height, adm = description.shape[0], description.config.get("style") == "adm"
    names = {their_name(name, height=height, adm=adm): name for name in wanted}
    if len(names) < len(wanted):
        raise ModelError(f"its {len(description.config['channel_mult'])} levels share names")
    _check(state, {theirs: wanted[ours] for theirs, ours in names.items()})
    _check_filters(state, description.config.get("resample_filter", (1, 1)))
    fitted = {ours: state[name].detach().float().contiguous() for name, ours in names.items()}
    _check_finite(fitted)  # once more: 64 bits hold what 32 do not
    if description.half and _computed(description):
        fitted["places.maps"] = _halved_maps(description)
        description = _stored(description)
    return fitted, description


def empty_net(description: Description) -> "UNet":
    """Return the network without the memory for its weights, nor for maps of its grid.

    Raises
    ------
    ModelError
        If there is no network of such arguments.
    """
    import torch

    from xresdiff.nets.unet import UNet, UNetConfig

    config = (_stored(description) if _computed(description) else description).config
    try:
        with torch.device("meta"):
            return UNet(UNetConfig(**config))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"its arguments make no network: {error}") from error


def frequencies(width: int, *, adm: bool) -> "Tensor":
    """Return the frequencies of the noise embedding, which newer releases store."""
    import torch

    half = width // 2
    steps = torch.arange(half, dtype=torch.float32)
    return (1 / 10_000) ** (steps / (half if adm else half - 1))


def _ordered(state: State, description: Description) -> State:
    """Return outputs in the order in which the peer gives them, and maps without a batch."""
    if description.moved:
        for name in list(state):
            if "_aux_conv." in name and state[name].shape[:1] == (len(description.moved),):
                state[name] = state[name][list(description.moved)]
    for name in ("spatial_emb", "scalar"):
        if name in state and state[name].ndim == 4 and len(state[name]) == 1:
            state[name] = state[name][0] if name == "spatial_emb" else state[name].flatten()
    return state


def _computed(description: Description) -> bool:
    """Tell whether the maps of the grid are computed rather than weights."""
    return description.config.get("positions", "none") not in ("none", "learned", "stored")


def _stored(description: Description) -> Description:
    return replace(description, config=description.config | {"positions": "stored"})


def _halved_maps(description: Description) -> "Tensor":
    """Return the maps of the grid as 16 bits hold them."""
    import torch

    from xresdiff.nets.positions import position_maps

    config = description.config
    maps = position_maps(config["positions"], config["position_channels"], description.shape)
    return torch.from_numpy(maps).half().float()


def _without_unread(state: State, description: Description) -> State:
    """Leave out what says nothing that the arguments do not, unless it contradicts them."""
    import torch

    state = dict(state)
    if description.augmented:
        state.pop(f"{description.prefix}map_augment.weight", None)
    problems = []
    if description.config.get("embedding") == "zero":
        name = f"{description.prefix}zero_emb"
        if bool(state.pop(name, torch.empty(0)).any()):
            problems.append(f"{name} is not zero")
    for name in description.unread:
        if name not in state:
            continue
        value = state.pop(name)
        if name != "sigma_data" and value.numel():
            problems.append(f"{name} is not empty")
        if name == "sigma_data" and not _same(value, description):
            problems.append(f"sigma_data is not {description.sigma_data}, as the arguments say")
    raise_problems(problems, what="fit the weights to the arguments", error=ModelError)
    return state


def _same(value: "Tensor", description: Description) -> bool:
    """Tell whether the deviation among the weights is that of the arguments."""
    import torch

    told = torch.tensor(description.sigma_data, dtype=torch.float32)
    fits = value.numel() in (1, description.config["out_channels"])
    return fits and bool((value.float().flatten() == told).all())


def _plain_names(state: State, prefix: str) -> State:
    """Strip prefixes and what releases added to names; leave out what is not read."""
    plain: State = {}
    unknown = []
    for name, value in state.items():
        if not name.startswith(prefix):
            unknown.append(name)
            continue
        parts = name.removeprefix(prefix).split(".")
        if parts[0] in ("enc", "dec") and len(parts) == 4:  # of a block: enc.16x16_in0.qkv.weight
            old = {"norm2": "attn.norm", "qkv": "attn.qkv", "proj": "attn.proj"}
            parts[2] = old.get(parts[2], parts[2])
        plain[".".join(parts)] = value
    if unknown:
        raise ModelError(f"its weights {', '.join(_some(unknown))} belong to no network")
    for name in [name for name in plain if ".gn." in name]:  # Apex' norm; ours of the name is dead
        plain[name.replace(".gn.", ".")] = plain.pop(name)
    return plain


def _labels_folded(state: State, description: Description) -> State:
    """Put what labels of zeros add to the noise embedding into the layer behind it."""
    if not description.labels:
        return state
    state.pop("map_label.weight", None)
    constant = state.pop("map_label.bias", None)
    weight, bias = state.get("map_layer0.weight"), state.get("map_layer0.bias")
    if constant is not None and weight is not None and bias is not None:
        if (*bias.shape, *constant.shape) != tuple(weight.shape) or constant.ndim != 1:
            raise ModelError("its weight map_label.bias does not fit map_layer0")
        state["map_layer0.bias"] = (bias.double() + weight.double() @ constant.double()).float()
    return state


def _embedding(state: State, description: Description) -> tuple[State, Description]:
    """Leave out frequencies that are computed, unless 16 bits have made others of them."""
    import torch

    config = description.config
    if config.get("embedding") in ("fourier", "zero") or "map_noise.freqs" not in state:
        return state, description
    freqs = state["map_noise.freqs"]
    width = config["model_channels"] * config.get("channel_mult_noise", 1)
    wanted = frequencies(width, adm=config.get("style") == "adm")
    if freqs.shape != wanted.shape or not torch.allclose(freqs.float(), wanted, rtol=2e-3, atol=0):
        return state, description  # of another network, as will be told
    del state["map_noise.freqs"]
    if not description.half:
        return state, description
    state["map_noise.freqs"] = (freqs.double() / (2 * pi)).to(torch.float32)
    return state, replace(description, config=description.config | {"embedding": "fourier"})


def _check(state: Mapping[str, "Tensor"], wanted: Mapping[str, "Tensor"]) -> None:
    missing = [f"{name} is missing" for name in wanted if name not in state]
    unknown = [f"{name} is not of this network" for name in state if name not in wanted]
    wrong = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    problems = [*_some(missing), *_some(unknown), *_some(wrong)]
    raise_problems(problems, what="fit the weights to the arguments", error=ModelError)


def _check_filters(state: State, kernel: tuple[float, ...]) -> None:
    """Refuse filters that are others than the arguments say."""
    import torch

    taps = torch.tensor(kernel, dtype=torch.float64)
    filters = taps.outer(taps) / taps.sum() ** 2
    for name, value in state.items():
        # rounded to 16 bits, perhaps
        if name.endswith("resample_filter") and not torch.allclose(
            value[0, 0].double(), filters, rtol=1e-3, atol=0
        ):
            raise ModelError(f"its weight {name} is not the filter {kernel} of its arguments")


def _some(problems: Iterable[str]) -> list[str]:
    """Return the first few, and how many more there are."""
    problems = list(problems)
    more = len(problems) - SHOWN
    return problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
