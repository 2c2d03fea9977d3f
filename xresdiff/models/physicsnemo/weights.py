"""The weights of a checkpoint: loaded without trust, renamed, checked against the network."""

import io
import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import pi
from typing import TYPE_CHECKING, Any

from xresdiff.errors import ModelError, raise_problems
from xresdiff.models.physicsnemo.arguments import Description
from xresdiff.models.physicsnemo.naming import their_name

if TYPE_CHECKING:
    from torch import Tensor

    from xresdiff.nets.unet import UNet

__all__ = ["fit", "load"]

State = dict[str, "Tensor"]

# All that the pickle of a state dict of tensors names.
GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
}
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
    if not problems:
        problems = [
            f"{name!r} is not finite"
            for name, value in state.items()
            if not bool(value.isfinite().all())
        ]
    raise_problems(_some(problems), what="trust the weights of the checkpoint", error=ModelError)
    return dict(state)


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
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
            total = sum(member.file_size for member in members)
            pickles = [m for m in members if m.filename.endswith("/data.pkl")]
            folders = {member.filename.partition("/")[0] for member in members}
            whole = data[-22:-18] == b"PK\5\6"  # or torch may see another list of members
            if not stored or total > len(data) or not whole or len(folders) > 1:
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
    state = _plain_names(state, description.prefix)
    if description.half:
        state = {name: value.half() for name, value in state.items()}
    state = _labels_folded(state, description)
    state, description = _embedding(state, description)
    state, description = _positions(state, description)
    if description.moved:
        for name in list(state):
            if "_aux_conv." in name:
                state[name] = state[name][list(description.moved)]
    for name in ("spatial_emb", "scalar"):
        if name in state and state[name].ndim == 4 and len(state[name]) == 1:
            state[name] = state[name][0] if name == "spatial_emb" else state[name].flatten()
    wanted = empty_net(description).state_dict()
    height, adm = description.shape[0], description.config.get("style") == "adm"
    names = {their_name(name, height=height, adm=adm): name for name in wanted}
    if len(names) < len(wanted):
        raise ModelError(f"its {len(description.config['channel_mult'])} levels share names")
    _check(state, {theirs: wanted[ours] for theirs, ours in names.items()})
    _check_filters(state, description.config.get("resample_filter", (1, 1)))
    fitted = {ours: state[name].detach().float().contiguous() for name, ours in names.items()}
    return fitted, description


def empty_net(description: Description) -> "UNet":
    """Return the network without the memory for its weights.

    Raises
    ------
    ModelError
        If there is no network of such arguments.
    """
    import torch

    from xresdiff.nets.unet import UNet, UNetConfig

    try:
        with torch.device("meta"):
            return UNet(UNetConfig(**description.config))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"its arguments make no network: {error}") from error


def _plain_names(state: State, prefix: str) -> State:
    """Strip prefixes and what releases added to names; leave out what is not read."""
    plain: State = {}
    unknown = []
    for name, value in state.items():
        if name.endswith("device_buffer") or (prefix and name == "sigma_data"):
            continue
        if not name.startswith(prefix):
            unknown.append(name)
            continue
        inner = name.removeprefix(prefix)
        if inner == "zero_emb" or inner.startswith("map_augment."):
            continue
        parts = inner.split(".")
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
        if constant.shape != weight.shape[1:]:
            raise ModelError("its weight map_label.bias does not fit map_layer0.weight")
        state["map_layer0.bias"] = (bias.double() + weight.double() @ constant.double()).float()
    return state


def _embedding(state: State, description: Description) -> tuple[State, Description]:
    """Leave out frequencies that are computed, unless 16 bits have made others of them."""
    import torch

    if description.config.get("embedding") == "fourier":
        return state, description
    freqs = state.pop("map_noise.freqs", None)
    if freqs is None or not description.half or description.config.get("embedding") == "zero":
        return state, description
    state["map_noise.freqs"] = (freqs.double() / (2 * pi)).to(torch.float32)
    return state, replace(description, config=description.config | {"embedding": "fourier"})


def _positions(state: State, description: Description) -> tuple[State, Description]:
    """Take the maps in the file, where there are any, rather than compute them."""
    import torch

    from xresdiff.nets.positions import position_maps

    config = description.config
    kind = config.get("positions", "none")
    if kind in ("none", "learned"):
        return state, description
    if "pos_embd" not in state:
        if not description.half:
            return state, description
        maps = position_maps(kind, config["position_channels"], description.shape)
        state["pos_embd"] = torch.from_numpy(maps).half()
    return state, replace(description, config=config | {"positions": "stored"})


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
