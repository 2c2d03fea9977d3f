"""Write small checkpoints, and what Earth2Studio makes of packages with them.

Not a test, and not run by one. In an environment with earth2studio 0.19.0 and nvidia-physicsnemo
2.2.2, from the folder of the repository::

    python tests/data/earth2studio/record.py

The packages are those of ``tests/imitations.py``; their networks are drawn here, by PhysicsNeMo.
"""

import json
import lzma
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))
warnings.simplefilter("ignore")

for name in ("nms", "qnms"):  # what torchvision's build for CUDA lacks beside torch's for CPU
    if not hasattr(torch.ops.torchvision, name):
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", schema)

from earth2studio.lexicon.base import E2STUDIO_VOCAB  # noqa: E402
from earth2studio.models.auto import Package  # noqa: E402
from earth2studio.models.dx import CorrDiff, CorrDiffTaiwan  # noqa: E402
from physicsnemo.diffusion.preconditioners.legacy import (  # noqa: E402
    EDMPrecondSR,
    EDMPrecondSuperResolution,
)
from physicsnemo.diffusion.samplers.legacy_deterministic_sampler import (  # noqa: E402
    deterministic_sampler,
)
from physicsnemo.models.diffusion_unets import CorrDiffRegressionUNet, UNet  # noqa: E402

from tests import imitations as im  # noqa: E402

NET = {
    "model_channels": 4,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}
POSITIONS = {"model_type": "SongUNetPosEmbd", "gridtype": "sinusoidal", "N_grid_channels": 4}
PLAIN = {"model_type": "SongUNet", "bottleneck_attention": False}


def drawn(net: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Redraw all weights, from few values, so that the file packs well; none stays at zero.

    They are numbers of 16 bits: Earth2Studio rounds those of Taiwan to such.
    """
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            values = torch.randint(-8, 9, weight.shape, generator=gen) / 8
            if weight.ndim > 1:
                weight.copy_((values * 1.5 / weight[0].numel() ** 0.5).half())
            else:
                weight.copy_(values * 0.25 + ("norm" in name and name.endswith("weight")))
    return net.eval()


def save(net: torch.nn.Module, name: str, *, tar: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.mdlus"
        if tar:
            path.mkdir()  # with the fsspec of today, tars are put into a folder of the name given
        net.save(str(path), legacy_format=tar)
        path = next(path.iterdir()) if tar else path
        packed = lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    (HERE / f"{name}.mdlus.xz").write_bytes(packed)


def write_networks() -> None:
    """Write the checkpoints: three pairs of the generic package, and the pair of Taiwan."""
    n_in, n_out, n_inv = len(im.GENERIC_INPUTS), len(im.GENERIC_OUTPUTS), len(im.INVARIANTS)
    shapes = {
        "square": ([48, 48], n_in + n_inv, n_out),
        "oblong": ([48, 64], n_in + n_inv, n_out),
        "alone": ([48, 48], n_in, 0),  # with no invariants, and the mean not told
    }
    for i, (name, (size, known, told)) in enumerate(shapes.items()):
        common = {"img_resolution": size, "img_out_channels": n_out, **NET, **POSITIONS}
        regression = CorrDiffRegressionUNet(img_in_channels=known + 4, **common)
        diffusion = EDMPrecondSuperResolution(img_in_channels=known + told + 4, **common)
        save(drawn(regression, 10 + i), f"{name}_regression")
        save(drawn(diffusion, 20 + i), f"{name}_diffusion")
    common = {"img_resolution": [448, 448], "img_in_channels": 16, "img_out_channels": 4}
    common |= NET | PLAIN
    save(drawn(UNet(**common), 30), "taiwan_regression", tar=True)
    scaled = EDMPrecondSR(img_channels=4, **common, scale_cond_input=True)
    save(drawn(scaled, 31), "taiwan_diffusion", tar=True)


def called(model: CorrDiff, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return what a wrapper gives for the weather on its coarse grid, ``(member, c, y, x)``."""
    fields = im.coarse_fields(model.input_variables, lat, lon)
    return model._forward(torch.from_numpy(fields)).float().numpy()


def public(model: Any, names: tuple[str, ...]) -> np.ndarray:
    """Return the same through the wrapper's public call."""
    coords = model.input_coords()
    fields = im.coarse_fields(names, coords["lat"], coords["lon"])
    coords["batch"] = np.zeros(1)
    result, _ = model(torch.from_numpy(fields)[None], coords)
    return result[0].numpy()


def head(seeds: list[int], shape: tuple[int, ...]) -> np.ndarray:
    """Return the first numbers of the latents, to see that another torch draws the same."""
    gens = [torch.Generator().manual_seed(seed % 2**32) for seed in seeds]
    return np.stack([torch.randn(shape, generator=gen)[0, 0, :8].numpy() for gen in gens])


def record(name: str, members: np.ndarray, mean: np.ndarray, seeds: list[int], every: int) -> None:
    thin = (..., slice(None, None, every), slice(None, None, every))
    latents = head(seeds, members.shape[1:])
    np.savez_compressed(
        HERE / f"{name}.npz",
        members=members[thin].astype(np.float32),
        mean=mean[thin].astype(np.float32),
        seeds=np.array(seeds),
        latents=latents,
        every=every,
    )
    print(name, members.shape, float(members.std()), float(np.abs(members - mean).max()))


def run_generic(
    name: str, adapt: Callable[[CorrDiff], None], scratch: Path, **package: Any
) -> None:
    folder = im.write_generic(scratch / name, name, **package)
    model = CorrDiff.load_model(Package(str(folder)))
    adapt(model)
    lat, lon = (model.input_coords()[key] for key in ("lat", "lon"))
    members = called(model, lat, lon)
    if members.shape[-1] == members.shape[-2]:
        np.testing.assert_array_equal(public(model, model.input_variables), members)
    model.inference_mode = "regression"
    mean = called(model, lat, lon)[:1]
    record(name, members, mean, [model.seed + i for i in range(model.number_of_samples)], 1)


def with_mean_told(model: CorrDiff) -> None:
    """Give it the sampler that its constructor refuses beside the mean."""
    model.hr_mean_conditioning = True
    own = {"num_steps": 5, "solver": "heun", "sigma_min": 0.01, "sigma_max": 50.0}
    model.sampler = partial(deterministic_sampler, **own)


def run_taiwan(scratch: Path) -> None:
    im.write_taiwan(scratch / "corrdiff_inference_package.zip")
    model = CorrDiffTaiwan.load_model(Package(str(scratch)))
    model.number_of_samples, model.seed = 2, 11
    members = public(model, im.TAIWAN_INPUTS)
    gen = torch.Generator().manual_seed(11)
    seeds = torch.randint(0, 2**32, (2,), generator=gen).tolist()
    told: list[torch.Tensor] = []
    model.unet_regression = lambda *a, **k: (
        told.append(CorrDiffTaiwan.unet_regression(*a, **k)) or (told[-1])
    )
    model.number_of_steps = 1
    model.number_of_samples = 1
    model._forward(
        torch.from_numpy(im.coarse_fields(im.TAIWAN_INPUTS, im.TAIWAN_LAT, im.TAIWAN_LON))
    )
    mean = (model.out_scale * told[0] + model.out_center).numpy()
    record("taiwan", members, mean, seeds, 8)


def write_units() -> None:
    """Write the units of Earth2Studio's variables, where it tells them."""
    told = {
        name: match[1].replace("**", "")
        for name, text in E2STUDIO_VOCAB.items()
        if (match := re.search(r"\(([^()]*)\)$", text))
    }
    (HERE / "units.json").write_text(json.dumps(told, indent=1) + "\n")


def main() -> None:
    """Write everything."""
    write_units()
    write_networks()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        run_generic("square", lambda model: None, scratch)
        oblong = {"target": im.curved(48, 64), "number_of_steps": 5}
        run_generic("oblong", with_mean_told, scratch, **oblong)
        own = {"hr_mean_conditioning": False, "invariant_variables": None, "latlon_res": 0.25}
        own |= {"sampler_type": "deterministic", "solver": "euler", "sigma_max": 60.0}
        run_generic("alone", lambda model: None, scratch, **own)
        run_taiwan(scratch)


if __name__ == "__main__":
    main()
