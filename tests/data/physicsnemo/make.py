"""Write small checkpoints of PhysicsNeMo's networks, with inputs and the outputs it computes.

Not a test, and not run by one. In an environment with nvidia-physicsnemo 2.2.2::

    python make.py                     # the cases of that release, sampler runs, patches
    python make.py --release FOLDER    # those of an old one

where FOLDER holds an unpacked wheel of nvidia-modulus 0.5.0 to 0.9.0 or nvidia-physicsnemo
1.0.1 to 1.3.0 (``pip download --no-deps``, ``unzip``). They run in the same environment, under
the torch of today; only marks for NVIDIA's profiler, absent from torch for CPU, are left out.
Every output is that of the release's own code, in eval mode and float32, on CPU.

All weights are redrawn, those that start at zero too, from few values: so that a checkpoint packs
into kilobytes. Beside each lie its inputs under the names of the arguments of PhysicsNeMo's
``forward``, and `y`. ``manifest.json`` tells how each was called.
"""

import argparse
import importlib
import json
import lzma
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import replace
from math import log2, sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from cases import LEAD, NOW, OLD, OURS, SQUARE, Case
from runs import normal, patches, sampler_runs
from torch import Tensor, nn

HERE = Path(__file__).parent
PATCH = [8, 16]


def releases_code(folder: str | None) -> tuple[str, SimpleNamespace]:
    """Return the version and the classes of the release installed, or of that in a folder."""
    if folder is not None:
        sys.path.insert(0, folder)
        package = "modulus" if (Path(folder) / "modulus").is_dir() else "physicsnemo"
        names = [f"{package}.models.diffusion.{n}" for n in ("preconditioning", "unet")]
    else:
        without_torchvision_kernels()
        package, room = "physicsnemo", "physicsnemo.diffusion"
        names = ["physicsnemo.models.diffusion_unets", f"{room}.utils"]
        names += [f"{room}.{n}" for n in ("preconditioners", "samplers", "multi_diffusion")]
        names.append("physicsnemo.models.diffusion_unets.unet")
    torch.cuda.nvtx.range_push = torch.cuda.nvtx.range_pop = lambda *_: 0  # absent without CUDA
    found: dict[str, Any] = {}
    for name in names:
        found |= vars(importlib.import_module(name))
    return str(importlib.import_module(package).__version__), SimpleNamespace(**found)


def without_torchvision_kernels() -> None:
    """Declare what torchvision's build for CUDA lacks beside torch's for CPU."""
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


# --- networks


def built(case: Case, code: SimpleNamespace) -> nn.Module:
    """Return the network of a case."""
    own = {k: v for k, v in case.own.items() if k not in OURS}
    out, known, net = case.out, case.known + case.extra, case.settings
    whole = {"img_resolution": case.size, "in_channels": known + out, "out_channels": out}
    if case.wrapper == "EDMPreconditioner":
        inner = getattr(code, case.model_type)(**whole, **net)
        return code.EDMPreconditioner(code.ConcatConditionWrapper(inner), **own)
    if case.wrapper == case.model_type:
        return getattr(code, case.wrapper)(**whole, **net)
    kind = getattr(code, case.wrapper)
    arguments = {"img_in_channels": known, "img_out_channels": out, "model_type": case.model_type}
    if case.wrapper == "EDMPrecond":
        arguments["img_in_channels"] = known + out
    if "img_channels" in kind.__init__.__code__.co_varnames:
        arguments["img_channels"] = out
    return kind(img_resolution=case.size, **arguments, **net, **own)


def redraw(module: nn.Module, seed: int) -> None:
    """Replace every parameter by multiples of a power of two, none of them near zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        shape = parameter.shape
        sign = torch.randint(0, 2, shape, generator=generator) * 2 - 1
        size = torch.randint(1, 4, shape, generator=generator)
        if name.endswith("scalar") or (parameter.ndim == 1 and name.endswith("weight")):
            value = 0.5 + size / 4
        elif parameter.ndim == 1 or name.endswith("_embd") or name.endswith("spatial_emb"):
            value = sign * size / (8 if parameter.ndim == 1 else 2)
        else:  # about one over the root of the inputs, twice that where attention looks
            gain = 2 if "qkv" in name else 1
            value = sign * size * 2.0 ** round(log2(gain / (2 * sqrt(parameter[0].numel()))))
        parameter.data = value.to(parameter.dtype)


def inputs_of(case: Case, code: SimpleNamespace, seed: int) -> dict[str, Tensor]:
    """Return what the network is called with, under the names of its arguments."""
    generator = torch.Generator().manual_seed(seed)
    height, width = case.size if isinstance(case.size, list) else [case.size] * 2
    rows, out = case.batch, case.out
    arrays: dict[str, Tensor] = {}
    if case.patched:
        arrays["global_index"] = code.RandomPatching2D([height, width], PATCH, 3).global_index()
        rows, (height, width) = rows * 3, PATCH
    x = normal(generator, rows, out, height, width)
    known = normal(generator, rows, case.known, height, width)
    sigma = torch.tensor([0.3, 7.0]).repeat(3)[:rows]
    arrays |= {"x": x, "img_lr": known}
    if case.wrapper in ("UNet", "CorrDiffRegressionUNet"):
        arrays["x"] = torch.zeros_like(x)
    elif case.wrapper == "StormCastUNet":
        arrays = {"x": known}
    elif case.wrapper == case.model_type:
        arrays = {"x": torch.cat([x, known], dim=1), "noise_labels": torch.zeros(rows)}
    else:
        scaled = (8 * x * (0.25 + sigma.reshape(-1, 1, 1, 1) ** 2).sqrt()).round() / 8
        arrays |= {"x": scaled, "sigma": sigma}
    if case.model_type == LEAD:
        arrays["lead_time_label"] = torch.tensor([2, 1])[: case.batch]
    if case.settings.get("label_dim"):  # none: CorrDiff gives its networks no classes
        arrays["class_labels"] = torch.zeros(rows, case.settings["label_dim"])
    return arrays


def called(
    module: nn.Module, arrays: dict[str, Tensor], case: Case, code: SimpleNamespace
) -> Tensor:
    """Return what the network makes of its inputs."""
    given: dict[str, Any] = dict(arrays)
    if case.patched == "selector":
        corners = given.pop("global_index")[:, :, 0, 0].tolist()
        given["embedding_selector"] = lambda field: patches_at(field, corners, case.batch)
    if case.wrapper == "EDMPreconditioner":
        given = {"x": given["x"], "t": given["sigma"], "condition": given["img_lr"]}
    elif case.wrapper in ("EDMPrecond", "EDMPrecondSRV2"):
        given["condition"] = given.pop("img_lr")
    elif case.wrapper == "UNet" and "sigma" in type(module).forward.__code__.co_varnames:
        given["sigma"] = torch.ones(len(given["x"]))  # which it takes and does not use
    with torch.inference_mode():
        return module(**given)


def patches_at(field: Tensor, corners: list[list[int]], batch: int) -> Tensor:
    """Cut patches from ``(c, y, x)`` or ``(b, c, y, x)``: the first of all fields come first."""
    fields = field if field.ndim == 4 else field.expand(batch, -1, -1, -1)
    height, width = PATCH
    return torch.cat([fields[..., i : i + height, j : j + width] for i, j in corners])


def network(name: str, case: Case, code: SimpleNamespace) -> nn.Module:
    """Return the network of a case, in eval mode, with its own weights."""
    seed = zlib.crc32(name.encode())
    torch.manual_seed(seed)
    module = built(case, code).eval()
    redraw(module, seed)
    return module


def write_case(name: str, case: Case, code: SimpleNamespace) -> dict[str, Any]:
    """Write a checkpoint, its inputs and its output; return its entry in the manifest."""
    seed, module = zlib.crc32(name.encode()), network(name, case, code)
    arrays = inputs_of(case, code, seed)
    y = called(module, arrays, case, code)
    with tempfile.TemporaryDirectory() as folder:
        path = saved(module, Path(folder) / f"{name}.mdlus", case.own.get("legacy_format"))
        told = json.loads(member(path, "args.json"))
        (HERE / f"{name}.mdlus.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
    save(name, arrays | {"y": y})
    return {
        "class": told["__name__"],
        "module": told["__module__"],
        "inputs": [*arrays],
        "patched": case.patched,
        "extra_channels": case.extra,
        "y_absmax": float(y.abs().max()),
    }


def saved(module: nn.Module, path: Path, legacy: bool | None) -> Path:
    """Let the network write its checkpoint; return where it lies."""
    if "legacy_format" in type(module).save.__code__.co_varnames and not legacy:
        module.save(str(path))
        return path
    path.mkdir()  # with the fsspec of today, tars are put into a folder of the name given
    module.save(str(path), **({"legacy_format": True} if legacy else {}))
    return next(path.iterdir())


def member(path: Path, name: str) -> bytes:
    """Return a file in a checkpoint: a tar in old releases, a zip in new ones."""
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            found = next(m for m in tar.getmembers() if m.name.endswith(name))
            return tar.extractfile(found).read()
    with zipfile.ZipFile(path) as file:
        return file.read(name)


def save(name: str, arrays: dict[str, Tensor]) -> None:
    """Write arrays, compressed."""
    np.savez_compressed(HERE / f"{name}.npz", **{k: v.numpy() for k, v in arrays.items()})


def main() -> None:
    """Write what one release has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", help="folder of an unpacked wheel")
    folder = parser.parse_args().release
    warnings.simplefilter("ignore")
    version, code = releases_code(folder)
    cases = NOW
    if folder is not None:
        own = tuple(int(part) for part in version.split("."))
        cases = {f"v{version}_{n}": c for n, c in OLD.items() if c.first <= own <= c.last}
        if own < (0, 8):  # knows square fields alone
            cases = {n: replace(c, size=SQUARE) for n, c in cases.items()}
    told = {name: {"release": version} | write_case(name, c, code) for name, c in cases.items()}
    note("manifest.json", told)
    if folder is None:
        runs, told = sampler_runs({name: network(name, c, code) for name, c in NOW.items()}, code)
        save("samplers", runs)
        note("samplers.json", told)
        save("patching", patches(code))


def note(name: str, entries: dict[str, Any]) -> None:
    """Add entries to a file of JSON, sorted by name."""
    path = HERE / name
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(dict(sorted((known | entries).items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
