"""Kilometre-scale ensembles from coarse weather and climate data.

Importing xresdiff registers ``.resdiff`` on xarray's Datasets and DataArrays. Every method is also
a function here.
"""

from importlib.metadata import version

from xresdiff.accessor import ResdiffDataArrayAccessor, ResdiffDatasetAccessor
from xresdiff.downscale import downscale
from xresdiff.grids.coarsen import coarsen
from xresdiff.grids.regrid import regrid
from xresdiff.grids.target import refine, target_grid
from xresdiff.models import room as models
from xresdiff.models.card import Channel, ModelCard, SamplerCard, Transform
from xresdiff.models.opening import open_model
from xresdiff.models.package import Model
from xresdiff.models.zoo import register
from xresdiff.options import set_options
from xresdiff.store import to_zarr
from xresdiff.train import finetune, history, train
from xresdiff.verify.scores import (
    bias,
    crps,
    mae,
    rank_histogram,
    rmse,
    scores,
    spread,
    spread_skill,
)
from xresdiff.verify.spectra import log_spectral_distance, spectrum
from xresdiff.verify.weights import cell_area
from xresdiff.versions import show_versions

__version__ = version("xresdiff")

__all__ = [
    "Channel",
    "Model",
    "ModelCard",
    "ResdiffDataArrayAccessor",
    "ResdiffDatasetAccessor",
    "SamplerCard",
    "Transform",
    "bias",
    "cell_area",
    "coarsen",
    "crps",
    "downscale",
    "finetune",
    "history",
    "log_spectral_distance",
    "mae",
    "models",
    "open_model",
    "rank_histogram",
    "refine",
    "register",
    "regrid",
    "rmse",
    "scores",
    "set_options",
    "show_versions",
    "spectrum",
    "spread",
    "spread_skill",
    "target_grid",
    "to_zarr",
    "train",
]
