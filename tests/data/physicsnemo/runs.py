"""Complete sampler runs, and the patches of GridPatching2D, as PhysicsNeMo makes them."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

CHURN = {"S_churn": 12, "S_min": 0.05, "S_max": 50.0, "S_noise": 1.01}
PATCHING = {"patch_shape": (8, 16), "overlap_pix": 2, "boundary_pix": 1}
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {  # network, sampler, its arguments
    "det_heun18": ("edm_sin4", "deterministic", {"num_steps": 18}),
    "det_euler9": ("edm_sin4", "deterministic", {"num_steps": 9, "solver": "euler"}),
    "det_heun6_churn": ("edm_sin4", "deterministic", {"num_steps": 6, **CHURN}),
    "det_euler6_churn": (
        "edm_sin4",
        "deterministic",
        {"num_steps": 6, "solver": "euler", **CHURN, "S_churn": 2},
    ),
    "det_heun7_range": (
        "edm_sin4",
        "deterministic",
        {"num_steps": 7, "sigma_min": 0.1, "sigma_max": 400.0, "rho": 5.0},
    ),
    "det_heun8_clipped": ("edm_sigma_range", "deterministic", {"num_steps": 8}),
    "det_heun4_patched": ("edm_patched", "deterministic", {"num_steps": 4}),
    "sto18": ("edm_sin4", "stochastic", {"num_steps": 18}),
    "sto6_churn": ("edm_sin4", "stochastic", {"num_steps": 6, **CHURN}),
    "sto7_range": (
        "edm_sin4",
        "stochastic",
        {"num_steps": 7, "sigma_min": 1.0, "sigma_max": 400.0, "rho": 5.0},
    ),
    "sto6_patched": ("edm_patched", "stochastic", {"num_steps": 6, **CHURN}),
}
SHAPES = [  # image, patch, overlap, boundary
    ((16, 24), (8, 8), 0, 0),
    ((16, 24), (8, 16), 2, 1),
    ((13, 20), (8, 8), 4, 1),
    ((11, 17), (6, 9), 0, 2),
    ((15, 12), (10, 7), 3, 1),
    ((10, 14), (10, 8), 2, 2),
]


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Return standard normal values, rounded so that they pack well."""
    return (torch.randn(shape, generator=generator) * 8).round() / 8


def sampler_runs(
    networks: dict[str, nn.Module], code: SimpleNamespace
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return inputs and results of every run, and how each was called.

    The noise before step n is ``noise[n]``.
    """
    torch._dynamo.config.disable = True  # patches are compiled, for which a compiler is needed
    generator = torch.Generator().manual_seed(3)
    size = (16, 24)
    arrays = {
        "latents": normal(generator, 2, 2, *size),
        "img_lr": normal(generator, 2, 1, *size),
        "mean_hr": normal(generator, 1, 2, *size),
        "noise": normal(generator, 6, 2, 2, *size),
    }
    told = {}
    for name, (network, sampler, arguments) in RUNS.items():
        patching = code.GridPatching2D(size, **PATCHING) if network == "edm_patched" else None
        draws = iter(arrays["noise"])

        def randn_like(x: Tensor, draws: Any = draws) -> Tensor:
            return next(draws, torch.zeros_like(x)).to(x.dtype)

        with torch.inference_mode():
            result = getattr(code, f"{sampler}_sampler")(
                networks[network],
                arrays["latents"],
                arrays["img_lr"],
                mean_hr=arrays["mean_hr"],
                randn_like=randn_like,
                patching=patching,
                **arguments,
            )
        told[name] = {"network": network, "sampler": sampler, "arguments": arguments}
        told[name]["dtype"] = str(result.dtype)
        if patching is not None:
            told[name]["patching"] = PATCHING
        arrays[name] = result.float()
    return arrays, told


def patches(code: SimpleNamespace) -> dict[str, Tensor]:
    """Return fields, their patches and what becomes of them when they are fused.

    ``N_settings`` holds the sizes of image and patch, overlap and boundary; ``N_fused`` is made
    of ``N_patches * N_factor``, other factors for every patch, so that overlaps count.
    """
    generator = torch.Generator().manual_seed(4)
    arrays = {}
    for number, (image, patch, overlap, boundary) in enumerate(SHAPES):
        made = code.GridPatching2D(image, patch, overlap_pix=overlap, boundary_pix=boundary)
        field, coarse = normal(generator, 2, 2, *image), normal(generator, 2, 1, *image)
        cut = made.apply(field)
        factor = 1 + torch.arange(len(cut), dtype=torch.float32).reshape(-1, 1, 1, 1) / 4
        arrays |= {
            f"{number}_settings": torch.tensor([*image, *patch, overlap, boundary]),
            f"{number}_index": made.global_index().to(torch.int16),
            f"{number}_field": field,
            f"{number}_coarse": coarse,
            f"{number}_patches": cut,
            f"{number}_with_coarse": made.apply(field, additional_input=coarse),
            f"{number}_factor": factor,
            f"{number}_fused": made.fuse(cut * factor, batch_size=2),
        }
    return arrays
