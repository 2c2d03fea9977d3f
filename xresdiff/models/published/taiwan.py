"""CorrDiff-Taiwan, as NVIDIA publishes it: one zip of two checkpoints and a small data set."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xresdiff.errors import ModelError, raise_problems
from xresdiff.grids.units.geopotential import looks_like
from xresdiff.models.card import Channel, DataSource, FixedTarget, ModelCard, SamplerCard
from xresdiff.models.grid_file import write_grid
from xresdiff.models.published import variables
from xresdiff.models.published.package_grids import Target
from xresdiff.models.published.package_networks import (
    checkpoint_of,
    network_problems,
    stage_cards,
)
from xresdiff.models.published.translation import REFERENCE, Translation
from xresdiff.models.published.tree import Tree, open_tree
from xresdiff.models.published.zarr_arrays import read_array

if TYPE_CHECKING:
    from xresdiff.models.physicsnemo import Checkpoint

__all__ = ["FILES", "FOLDER", "PATTERNS", "translate"]

FILES = {
    "mean": "checkpoints/regression.mdlus",
    "residual": "checkpoints/diffusion.mdlus",
}
STORE = "dataset/2023-01-24-cwb-4years_5times.zarr"
FOLDER = "corrdiff_inference_package"  # around them, in the zip
CHECKPOINT_LIMIT = 2**31  # bytes; the published ones have 320 MB

GROUPS, SCALES = ("era5", "cwb"), ("center", "scale")
CHUNKS = (".zarray", "[0-9]*")  # files of an array

# Channels of the zarr, by their places in its arrays.
CHANNELS = 20
INPUTS = {
    **{0: "tcwv", 1: "z500", 2: "t500", 3: "u500", 4: "v500"},
    **{9: "z850", 10: "t850", 11: "u850", 12: "v850"},
    **{17: "t2m", 18: "u10m", 19: "v10m"},
}
OUTPUTS = {0: "mrr", 17: "t2m", 18: "u10m", 19: "v10m"}

ARRAYS = ("XLAT", "XLONG", *(f"{group}_{what}" for group in GROUPS for what in SCALES))
_READ = (*FILES.values(), *(f"{STORE}/{array}/{file}" for array in ARRAYS for file in CHUNKS))
PATTERNS = (*_READ, *(f"*/{name}" for name in _READ))  # of all that is read

SIDE = 450  # of the grid in the zarr; the networks see all but the outermost cells
GRID_CHANNELS = 4  # sinusoids, which the mean's network is given behind the inputs
COARSE = Target(np.linspace(19.25, 28, 36), np.linspace(116, 126, 40, endpoint=False))  # ERA5's


def translate(path: Path, name: str) -> Translation:
    """Translate the package of Taiwan.

    Parameters
    ----------
    path : Path
        ``corrdiff_inference_package.zip``, the zip of the whole release around it, or the folder
        that either was unpacked to.
    name : str
        Of the model, for its card.

    Returns
    -------
    Translation
        Ready to be written.

    Raises
    ------
    ModelError
        If the zip is not to be trusted, or anything in it is missing or is not what it is in the
        published one; every problem is named.

    Notes
    -----
    The mean's network takes four sinusoids of the place as inputs, which the publisher's code
    makes. Here the network makes them itself. That code rounds the weights to 16 bits; here they
    are as published.

    Examples
    --------
    >>> translate(Path("nowhere.zip"), "corrdiff-taiwan")
    Traceback (most recent call last):
    xresdiff.errors.ModelError: cannot read its list of files in nowhere.zip: ...
    """
    what = f"read the CorrDiff package of Taiwan in {path}"
    with open_tree(path, FILES["residual"]) as tree:
        problems: list[str] = []
        stages = _stages(tree, problems)
        target = _target(tree, problems)
        inputs = _channels(tree, "era5", INPUTS, problems)
        outputs = _channels(tree, "cwb", OUTPUTS, problems)
    raise_problems(problems, what=what, error=ModelError)
    card = ModelCard(
        name=name,
        version="1",
        title="Radar reflectivity, 2 m temperature and 10 m wind of Taiwan on a grid of 2 km",
        description=(
            "CorrDiff-Taiwan of NVIDIA, from ERA5 to the analyses of Taiwan's Central Weather "
            "Administration, 2018 to 2021. Scores on these years are not on unseen data."
        ),
        licence="Apache-2.0",
        data=_sources(),
        references=(REFERENCE,),
        inputs=inputs,
        outputs=outputs,
        target=FixedTarget(
            region="Taiwan", spacing_km=target.spacing_km, coarse_spacing_km=COARSE.spacing_km
        ),
        conditioning=("bilinear",),
        global_residual=False,
        **stage_cards(stages),
        sampler=SamplerCard(name="euler", steps=8, sigma_min=0.002, sigma_max=80.0),
        patch=max(target.shape),
        precision="float32",
    )
    weights = {stage: found.weights for stage, found in stages.items() if found is not None}
    grid = write_grid(target.lat, target.lon, coarse=(COARSE.lat, COARSE.lon))
    return Translation(card, weights, grid)


def _stages(tree: Tree, problems: list[str]) -> "dict[str, Checkpoint | None]":
    """Read the two checkpoints, one after the other."""
    stages: dict[str, Checkpoint | None] = {}
    shape = (SIDE - 2, SIDE - 2)
    for stage, file in FILES.items():
        found = stages[stage] = _checkpoint(tree, file, problems)
        if found is None:
            continue
        behind = {"sinusoids": GRID_CHANNELS} if stage == "mean" else {"outputs": len(OUTPUTS)}
        wrong = network_problems(
            found,
            file=file,
            stage=stage,
            condition={"inputs": len(INPUTS)} | behind,
            outputs=len(OUTPUTS),
            shape=shape,
        )
        problems += wrong
        if stage == "mean" and not wrong:
            stages[stage] = _with_positions(found, shape, problems)
    return stages


def _checkpoint(tree: Tree, file: str, problems: list[str]) -> "Checkpoint | None":
    """Read a checkpoint; None, and a problem more, if that fails."""
    with tempfile.TemporaryDirectory(prefix="xresdiff-") as folder:
        try:
            copy = tree.copy(file, Path(folder) / Path(file).name, limit=CHECKPOINT_LIMIT)
        except ModelError as error:
            problems.append(str(error))
            return None
        return checkpoint_of(copy, problems)


def _with_positions(
    found: "Checkpoint", shape: tuple[int, int], problems: list[str]
) -> "Checkpoint":
    """Let the network make the four last of its inputs."""
    if found.config["positions"] != "none":
        problems.append(f"the network in {FILES['mean']} has position maps of its own")
    own = {
        "in_channels": found.config["in_channels"] - GRID_CHANNELS,
        "positions": "sinusoidal",
        "position_channels": GRID_CHANNELS,
        "shape": shape,
    }
    return replace(
        found,
        config={**found.config, **own},
        condition_channels=found.condition_channels - GRID_CHANNELS,
        shape=shape,
    )


def _target(tree: Tree, problems: list[str]) -> Target:
    """Read the grid, without its outermost cells."""
    sides = []
    for name in ("XLAT", "XLONG"):
        values = _array(tree, name, (SIDE, SIDE), problems)
        sides.append(values[1:-1, 1:-1])
    lat, lon = sides
    if np.abs(lat).max() > 90 or np.abs(lon).max() > 360:
        problems.append("XLAT and XLONG of the zarr are no degrees")
    return Target(lat, lon)


def _channels(
    tree: Tree, group: str, names: dict[int, str], problems: list[str]
) -> tuple[Channel, ...]:
    """Return the channels of one of the data sets, "era5" or "cwb"."""
    places = list(names)
    center, scale = (
        _array(tree, f"{group}_{what}", (CHANNELS,), problems)[places] for what in SCALES
    )
    if not (scale > 0).all():
        problems.append(f"{group}_scale of the zarr must be above zero, and is {scale}")
        scale = np.ones_like(scale)
    channels = []
    for name, mean, std in zip(names.values(), center.tolist(), scale.tolist(), strict=True):
        one = variables.channel(name, mean=mean, std=std, is_input=group == "era5")
        assert one is not None  # all of them are known
        channels.append(_geopotential(one, problems) if one.name == "z" else one)
    return tuple(channels)


def _geopotential(channel: Channel, problems: list[str]) -> Channel:
    """Tell by the mean whether a channel is geopotential or its height."""
    assert channel.level_Pa is not None  # it is on one
    found = looks_like(np.array([channel.mean]), channel.level_Pa)
    if found is None:
        problems.append(
            f"era5_center of the zarr is {channel.mean:.4g} for {channel.label}: neither "
            "geopotential (m2 s-2) nor its height (m)"
        )
    if found != "height":
        return channel
    return replace(
        channel,
        name="gh",
        standard_name="geopotential_height",
        units="m",
        long_name="geopotential height",
        aliases=("zg", "hgt", "HGT", "geopotential_height"),
    )


def _array(tree: Tree, name: str, shape: tuple[int, ...], problems: list[str]) -> np.ndarray:
    """Read an array of the zarr in float64; ones, and a problem more, if that fails."""
    try:
        values = read_array(tree, STORE, name).astype(np.float64)
    except ModelError as error:
        problems.append(str(error))
        return np.ones(shape)
    if values.shape != shape or not np.isfinite(values).all():
        problems.append(
            f"{name} of the zarr has the shape {values.shape}, {np.isfinite(values).sum()} of "
            f"its {values.size} values are numbers; {shape} of numbers is needed"
        )
        return np.ones(shape)
    return values


def _sources() -> tuple[DataSource, ...]:
    return (
        DataSource(
            "CWA analyses of Taiwan, 2018-2021, and the sample in the package",
            "CC-BY-NC-ND-4.0",
            "Central Weather Administration, Taiwan",
            "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/modulus/models/corrdiff_inference_package",
        ),
        DataSource(
            "ERA5",
            "CC-BY-4.0",
            "Contains modified Copernicus Climate Change Service information",
            "https://cds.climate.copernicus.eu",
        ),
    )
