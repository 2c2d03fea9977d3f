"""Our reading of PhysicsNeMo's checkpoints, our networks and samplers, held to what it computes.

The data were written by PhysicsNeMo's releases 0.5 to 2.2; their README tells how.
"""

import json
import lzma
from collections.abc import Sequence
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.peers import relative_error
from xresdiff.engine.patching import Patch, conditions, patched, patches, shrunk
from xresdiff.models.physicsnemo import read_checkpoint, read_mdlus
from xresdiff.models.targets import Patching
from xresdiff.nets.edm import edm_sigmas
from xresdiff.nets.samplers import Churn, Denoise, euler, heun

FOLDER = Path(__file__).parent / "data" / "physicsnemo"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
RUNS = json.loads((FOLDER / "samplers.json").read_text())


@cache
def arrays_of(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture
def unpacked(tmp_path):
    def unpack(name: str) -> Path:
        path = tmp_path / f"{name}.mdlus"
        path.write_bytes(lzma.decompress((FOLDER / f"{name}.mdlus.xz").read_bytes()))
        return path

    return unpack


# --- networks


def by_patch(rows: Tensor, patches: int) -> Tensor:
    """Reorder the rows of samples times patches, patches last, to patches times samples."""
    return rows.unflatten(0, (-1, patches)).transpose(0, 1).flatten(0, 1)


def called_as_theirs(net: Any, name: str) -> tuple[Tensor, Tensor]:
    """Return what a network of ours makes of their inputs, and what theirs made of them."""
    told, given = MANIFEST[name], arrays_of(name)
    position = given.get("global_index")
    if told["patched"] == "index":  # theirs picks the places of such rows sample by sample
        rows = ("x", "img_lr", "sigma", "y")
        given = given | {k: by_patch(given[k], len(position)) for k in rows if k in given}
    x, condition = (given["x"], given["img_lr"]) if "img_lr" in given else (None, given["x"])
    ours = net(x, condition, given.get("sigma"), given.get("lead_time_label"), position)
    return ours, given["y"]


@pytest.mark.parametrize("name", MANIFEST)
def test_a_network_computes_what_theirs_does(unpacked, name):
    net = read_mdlus(unpacked(name))
    with torch.inference_mode():
        ours, theirs = called_as_theirs(net, name)
    assert ours.shape == theirs.shape
    assert relative_error(ours, theirs) < 1e-5


# --- complete sampler runs


def conditioned(net: Any, patching: Patching | None) -> Denoise:
    """Return their run's denoiser: the network, told of the mean and of the input."""
    runs = arrays_of("samplers")
    mean, given = runs["mean_hr"].expand(2, -1, -1, -1), runs["img_lr"]
    known = torch.cat([mean, given], dim=1)
    if patching is None:
        return lambda x, sigma: net(x.float(), known, sigma)
    whole = shrunk(given, patching)

    def of_patches(x: Tensor, sigma: Tensor, some: Sequence[Patch]) -> Tensor:
        position = torch.stack([patch.index() for patch in some])
        return net(x.float(), conditions(known, whole, some), sigma, position=position)

    return patched(of_patches, patching, (given.shape[-2], given.shape[-1]))


def sampled_as_theirs(path: Path, name: str) -> Tensor:
    """Run our sampler with the settings of theirs."""
    told, runs, checkpoint = RUNS[name], arrays_of("samplers"), read_checkpoint(path)
    theirs = {"sigma_max": 800.0 if told["sampler"] == "stochastic" else 80.0} | told["arguments"]
    sigmas = edm_sigmas(
        theirs["num_steps"],
        sigma_min=max(theirs.get("sigma_min", 0.002), checkpoint.sigma_min),
        sigma_max=min(theirs["sigma_max"], checkpoint.sigma_max),
        rho=theirs.get("rho", 7.0),
    )
    churn = Churn(
        amount=theirs.get("S_churn", 0.0),
        sigma_min=theirs.get("S_min", 0.0),
        sigma_max=theirs.get("S_max", inf),
        noise=theirs.get("S_noise", 1.0),
        capped=told["sampler"] == "deterministic",
    )
    patching = told.get("patching")
    denoise = conditioned(
        read_mdlus(path),
        patching
        and Patching(
            tuple(patching["patch_shape"]), patching["overlap_pix"], patching["boundary_pix"]
        ),
    )
    sampler = euler if theirs.get("solver") == "euler" else heun
    latents = runs["latents"].to(getattr(torch, told["dtype"].removeprefix("torch.")))
    return sampler(denoise, latents, sigmas, noise=lambda n: runs["noise"][n - 1], churn=churn)


@pytest.mark.parametrize("name", RUNS)
def test_a_sampler_draws_what_theirs_does(unpacked, name):
    with torch.inference_mode():
        ours = sampled_as_theirs(unpacked(RUNS[name]["network"]), name)
    assert str(ours.dtype) == RUNS[name]["dtype"]
    assert relative_error(ours, arrays_of("samplers")[name]) < 1e-5


# --- patches


@pytest.mark.parametrize("number", range(6))
class TestPatches:
    def case(self, number: int) -> tuple[dict[str, Tensor], Patching, tuple[int, int]]:
        found = {
            key.removeprefix(f"{number}_"): value
            for key, value in arrays_of("patching").items()
            if key.startswith(f"{number}_")
        }
        height, width, *patch, overlap, boundary = found["settings"].tolist()
        return found, Patching(tuple(patch), overlap, boundary), (height, width)

    def test_they_show_the_same_pixels(self, number):
        theirs, patching, shape = self.case(number)
        ours = torch.stack([patch.index() for patch in patches(patching, shape)])
        assert torch.equal(ours, theirs["index"].long())

    def test_they_are_told_of_the_whole_alike(self, number):
        theirs, patching, shape = self.case(number)
        whole = shrunk(theirs["coarse"], patching)
        ours = conditions(theirs["field"], whole, patches(patching, shape))
        torch.testing.assert_close(ours, theirs["with_coarse"])

    def test_they_are_fused_alike(self, number):
        theirs, patching, shape = self.case(number)
        count = len(patches(patching, shape))
        factors = iter(
            theirs["factor"].expand(count * len(theirs["field"]), -1, -1, -1).chunk(count)
        )
        fuse = patched(lambda x, sigma, some: x * next(factors), patching, shape)
        ours = fuse(theirs["field"], torch.tensor(1.0))
        torch.testing.assert_close(ours, theirs["fused"])
