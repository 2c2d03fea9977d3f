"""The published models of the CorrDiff family, as their publishers describe them.

No publisher lists hashes. Files on Hugging Face are pinned to a commit, whose listing tells the
sha256 of the large ones; the one of CorrDiff-Taiwan is from others who fetched it.
"""

from xresdiff.models.zoo.entries import Entry

__all__ = ["KNOWN"]

CORRDIFF = (
    "Mardani et al. (2025), Residual corrective diffusion modeling for km-scale atmospheric "
    "downscaling, doi:10.1038/s43247-025-02042-5"
)
CARD = "its model card on Hugging Face"

KNOWN: tuple[Entry, ...] = (
    Entry(
        name="corrdiff-taiwan",
        url="ngc://models/nvidia/modulus/corrdiff_inference_package@1",
        title="CorrDiff over Taiwan, from ERA5",
        sha256="0718f1e60e97fc16efa0928d3eecc70a86825f3704ddd699804ce45ffd391747",
        hash_source="Kira-Ryan/latent-sky, who fetched it by 31 July 2026; NVIDIA tells none",
        size_bytes=717_116_287,
        licence="Apache-2.0 (weights); CC BY-NC-ND 4.0 (sample data)",
        domain="Taiwan",
        resolution="0.25° -> 2.07 km",
        inputs=(
            "12 variables of ERA5 at any hour, 19.25-28° N, 116-125.75° E, every 0.25°",
            "total column water vapour (tcwv)",
            "geopotential, temperature, u and v of the wind at 500 and 850 hPa (z, t, u, v)",
            "temperature at 2 m (t2m)",
            "u and v of the wind at 10 m (u10m, v10m)",
        ),
        outputs=("maximum radar reflectivity", "t2m", "u10m", "v10m"),
        citation=CORRDIFF,
    ),
    Entry(
        name="corrdiff-cmip6-era5",
        url="hf://nvidia/corrdiff-cmip6-era5@f756fad5b85efec64df4868aead14dda698b8aea",
        title="CorrDiff over the globe, from daily CMIP6 to hourly ERA5",
        files=(
            "metadata.json",
            "stats.json",
            "regression.mdlus",
            "diffusion.mdlus",
            "input_latlon_grid.nc",
            "output_latlon_grid.nc",
            "invariants.nc",
        ),
        licence="not verified: NVIDIA Open Model License or Apache-2.0",
        domain="the globe",
        resolution="2.8° -> 0.25°",
        inputs=(
            "74 daily variables of CMIP6, as CanESM5 has them, of the day before, the day and the "
            "day after",
            "the whole globe on 64 x 128 points; the package's metadata.json names the variables",
        ),
        outputs=(
            "75 hourly variables",
            "u, v, z, t, q at 13 levels",
            "u10m, v10m, u100m, v100m, t2m, d2m, sp, msl, tcwv, sst",
        ),
        citation=CORRDIFF,
    ),
    Entry(
        name="corrdiff-gefs-hrrr",
        url="https://catalog.ngc.nvidia.com/orgs/nim/teams/nvidia/models/"
        "earth2-corrdiff-us-gefs-hrrr",
        title="CorrDiff over the contiguous United States, from GEFS",
        size_bytes=3_890_000_000,
        licence="NVIDIA AI Foundation Models Community License",
        domain="contiguous United States",
        resolution="0.25° -> 3 km",
        inputs=(
            "37 variables of GEFS, 21-53° N, 225-300° E, every 0.25°",
            "u10m, v10m, t2m, q2m, sp, msl, precipitable water",
            "u and v at 250, 500, 700, 850, 925 and 1000 hPa",
            "z at 200, 500, 700, 850, 925 and 1000 hPa",
            "t and r at 100, 500, 700, 850, 925 and 1000 hPa",
            "lead time",
        ),
        outputs=("u10m", "v10m", "t2m", "tp", "csnow", "cicep", "cfrzr", "crain"),
        citation=CORRDIFF,
        status="by hand",
        reason="needs a login at NVIDIA and consent to its licence",
    ),
    Entry(
        name="stormcast",
        url="hf://nvidia/stormcast-v1-era5-hrrr@6c89a0877a0d6b231033d3b0d8b9828a6f833ed8",
        title="StormCast v1, a forecaster of HRRR",
        size_bytes=763_920_000,
        licence="Apache-2.0",
        domain="part of the United States",
        resolution="3 km, 1 h ahead",
        inputs=("99 variables of HRRR", "26 of ERA5"),
        outputs=("99 variables of HRRR, 1 h later",),
        citation="Pathak et al. (2024), Kilometer-scale convection allowing model emulation using "
        "generative diffusion modeling, arXiv 2408.10958",
        status="not supported",
        reason="it forecasts: it needs the fine fields of an hour before",
    ),
    Entry(
        name="corrdiff-cosmo-era5",
        url="hf://nvidia/corrdiff-cosmo-era5@44064f304158f863f6ae02948b1b8e08d523458e",
        title="CorrDiff over Europe, from ERA5 to COSMO reanalyses",
        size_bytes=2_330_000_000,
        licence="OpenMDW-1.1; CC BY 4.0 (static fields)",
        domain="Europe",
        resolution="ERA5 -> 6 km or 2.2 km",
        inputs=("47 variables of ERA5",),
        outputs=("45 variables of COSMO-REA6, or 22 of COSMO-REA2",),
        citation=CARD,
        status="not supported",
        reason="another architecture: two diffusion transformers with neighbourhood attention, of "
        "which the second draws whole fields, not residuals",
    ),
    Entry(
        name="corrdiff-era5-hrrr",
        url="hf://nvidia/corrdiff-era5-hrrr@c95089642d19985714eebebdbd5b0b72c86ed1a3",
        title="CorrDiff over the United States, from ERA5 to HRRR",
        licence="not verified",
        domain="United States",
        resolution="0.25° -> 3 km",
        inputs=("26 variables of ERA5",),
        outputs=("99 variables of HRRR",),
        citation=CARD,
        status="not supported",
        reason="another architecture: one diffusion transformer with rectified flow, and no "
        "residual; access to it is reported to need an agreement",
    ),
    Entry(
        name="cbottle-sr",
        url="hf://nvidia/cbottle@eebd93c85b3cd3a5a8f79c546ed917b0b80438f4",
        title="Climate in a Bottle, its super-resolution",
        licence="not verified: Apache-2.0 or NVIDIA's evaluation licence",
        domain="the globe",
        resolution="100 -> 5 km",
        inputs=("12 variables of the atmosphere and the sea surface",),
        outputs=("the same 12",),
        citation="Brenowitz et al. (2025), Climate in a Bottle, arXiv 2505.06474",
        status="not supported",
        reason="another architecture: one stage of diffusion in patches of a HEALPix grid",
    ),
    Entry(
        name="orbit2-precip",
        url="hf://jychoi-hpc/ORBIT-2@718625a11bc908633efc0ed2b6e5aac05af26a66",
        title="ORBIT-2, daily precipitation",
        licence="not verified",
        domain="the globe",
        resolution="0.25° -> 0.0625°",
        inputs=("20 variables of ERA5", "4 static fields"),
        outputs=("precipitation of 24 h",),
        citation="Wang et al. (2025), ORBIT-2: Scaling exascale vision foundation models for "
        "weather and climate downscaling, arXiv 2505.04802",
        status="not supported",
        reason="another architecture: a vision transformer that gives one answer, no ensemble",
    ),
)
