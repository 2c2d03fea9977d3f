"""Train rain-16x, the model that comes with xresdiff: rain at 16 km to rain at 1 km.

Two hours on two CPU cores:

    python examples/train_rain_16x.py --data radar --out runs/rain-16x

The data are radar composites of the United States (MRMS) and of Finland (FMI), fields of 1 km;
the coarse partner of a patch is its own mean over blocks of 16 x 16 pixels. A killed run continues
with the same command. The finished model is in ``runs/rain-16x/model``; with ``--install`` it is
also copied into the package.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import zarr

import xresdiff
from xresdiff.engine.runtime import build
from xresdiff.models.card import (
    Channel,
    DataSource,
    ModelCard,
    NetworkCard,
    RefineTarget,
    SamplerCard,
    StageCard,
    Transform,
)
from xresdiff.models.package import Stage, write_package
from xresdiff.train.fit import Recipes, fit_model
from xresdiff.train.grown import initial_weights
from xresdiff.train.patches import SelfCoarsened
from xresdiff.train.recipe import Recipe
from xresdiff.train.stages import NoiseLevels

FACTOR, PATCH = 16, 128

RAIN = Channel(
    name="precip_rate",
    standard_name="lwe_precipitation_rate",
    units="mm h-1",
    long_name="precipitation rate",
    aliases=(
        *("rain_rate", "rainfall_rate", "rr", "prate", "pr", "tprate", "mtpr", "avg_tprate"),
        *("tp", "total_precipitation", "precipitation", "precipitationCal"),
    ),
    # cube roots: heavy rain still counts, and zero stays zero
    transform=Transform("power", exponent=1 / 3),
    std=0.5767,
    minimum=0.0,
    dry_below=0.05,
    cell_methods="area: mean",
)

CONDITIONING = ("bilinear", "constant", "phase")  # 1 + 1 + 2 channels

# All sizes are of the 4 x 4 folded field; without attention, so that any size runs alike.
MEAN_NET = {
    "in_channels": 4, "out_channels": 1, "model_channels": 16, "channel_mult": (2, 3, 4),
    "num_blocks": 1, "bottleneck_attention": False, "embedding": "zero", "dropout": 0.0, "stem": 4,
}  # fmt: skip
RESIDUAL_NET = {
    "in_channels": 6, "out_channels": 1, "model_channels": 16, "channel_mult": (4, 5, 6),
    "num_blocks": 1, "bottleneck_attention": False, "dropout": 0.0, "stem": 4,
}  # fmt: skip

RECIPES = Recipes(
    mean=Recipe(steps=3000, batch_size=8, patch=PATCH, validate_every=250),
    residual=Recipe(steps=10_500, batch_size=8, patch=PATCH, validate_every=500),
    noise=NoiseLevels(mean=-1.0, std=1.4),
)


def mrms(path: Path) -> list[np.ndarray]:
    """Read MRMS frames from a zipped zarr store, mm/h, NaN where there is no radar."""
    with zarr.storage.ZipStore(path, mode="r") as store:
        ds = xr.open_zarr(store, consolidated=False, mask_and_scale=False)
        frames = []
        for counts in ds.precip_rate.values:  # tenths of mm/h, 65535 is missing
            rain = counts.astype(np.float32) * np.float32(0.1)
            rain[counts == 65535] = np.nan
            frames.append(rain)
    return frames


def fmi(path: Path) -> list[np.ndarray]:
    """Read the Finnish frames, mm/h."""
    with xr.open_dataset(path) as ds:
        return list(ds.precip_rate.values.astype(np.float32))


def network(config: dict) -> NetworkCard:
    """Describe a network, its parameters counted."""
    net = build(NetworkCard(config, 1))
    return NetworkCard(config, sum(p.numel() for p in net.parameters()))


def rain_card() -> ModelCard:
    """Describe the model; training fills in the rest."""
    return ModelCard(
        name="rain-16x",
        version="1",
        title="Rain rate at 1 km from rain rate at 16 km",
        description=(
            "Refines instantaneous rain rate sixteen times, anywhere on a grid of about 16 km. "
            "Learned from radar composites of few days: a squall line and subtropical convection "
            "in the United States in June 2019, one frame of April 2023, and frontal rain in "
            "Finland in September 2016. Texture is that of these radars."
        ),
        licence="Apache-2.0",
        data=(
            DataSource(
                "MRMS PrecipRate and ReflectivityAtLowestAltitude", "public domain",
                "NOAA National Severe Storms Laboratory", "https://doi.org/10.1175/BAMS-D-14-00174.1",
            ),
            DataSource(
                "Finnish radar composite", "CC-BY-4.0", "Finnish Meteorological Institute",
                "https://en.ilmatieteenlaitos.fi/open-data",
            ),
        ),
        references=(
            "Mardani et al. (2025), Residual corrective diffusion modeling for km-scale "
            "atmospheric downscaling, doi:10.1038/s43247-025-02042-5",
            "Karras et al. (2022), Elucidating the design space of diffusion-based generative "
            "models, arXiv 2206.00364",
        ),
        inputs=(RAIN,),
        outputs=(RAIN,),
        target=RefineTarget(factor=FACTOR, spacing_km=16.0, spacing_range_km=(10.0, 22.0)),
        conditioning=CONDITIONING,
        conserve=("precip_rate",),
        global_residual=True,
        mean=StageCard("mean.safetensors", network(MEAN_NET)),
        residual=StageCard("residual.safetensors", network(RESIDUAL_NET)),
        sampler=SamplerCard(name="heun", steps=5, sigma_min=0.03, sigma_max=20.0, rho=7.0),
        patch=PATCH,
    )  # fmt: skip


def main() -> None:
    """Train, or continue to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the radar data")
    parser.add_argument("--out", type=Path, default=Path("runs/rain-16x"))
    parser.add_argument("--device", default="auto", help="such as cpu or cuda; auto takes the best")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--install", action="store_true", help="copy the model into the package")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)

    training = mrms(arguments.data / "mrms_train.zarr.zip")
    training += mrms(arguments.data / "mrms_extra_train.zarr.zip")
    training += fmi(arguments.data / "fmi_2016-09-28_train.nc")
    validation = mrms(arguments.data / "mrms_validation.zarr.zip")
    card = rain_card()
    weights = initial_weights(card, seed=RECIPES.mean.seed, start=None)
    model = fit_model(
        write_package(arguments.out / "start", card, weights),
        SelfCoarsened.of(training, FACTOR, PATCH),
        SelfCoarsened.of(validation, FACTOR, PATCH).without_scaling(),
        recipes=RECIPES,
        out=arguments.out,
        device=arguments.device,
    )
    print(model)
    if arguments.install:
        half: dict[Stage, dict[str, np.ndarray]] = {
            stage: {name: w.astype("f2") for name, w in model.weights(stage).items()}
            for stage in ("mean", "residual")
        }
        write_package(Path(xresdiff.__file__).parent / "models/embedded/rain-16x", model.card, half)


if __name__ == "__main__":
    main()
