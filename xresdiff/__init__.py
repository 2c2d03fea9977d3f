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
from xresdiff.store import to_netcdf, to_zarr
from xresdiff.train import finetune, history, train
from xresdiff.verify.calibration import brier, pit, rank_histogram, reliability
from xresdiff.verify.distributions import pdf, quantiles
from xresdiff.verify.events import contingency, events
from xresdiff.verify.multivariate import energy_score, variogram_score
from xresdiff.verify.neighbourhoods import fss, probability
from xresdiff.verify.scores import bias, correlation, crps, mae, member_mae, rmse
from xresdiff.verify.spectra.cross import coherence, cross_spectrum
from xresdiff.verify.spectra.power import log_spectral_distance, spectrum
from xresdiff.verify.spectra.resolution import effective_resolution
from xresdiff.verify.spectra.winds import kinetic_energy_spectrum
from xresdiff.verify.spreads import spread, spread_skill
from xresdiff.verify.stations import at_stations
from xresdiff.verify.tables import scores
from xresdiff.verify.weather.cyclones import find_cyclone
from xresdiff.verify.weather.rings import azimuthal_mean, maximum_wind
from xresdiff.verify.weather.sections import cross_section
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
    "at_stations",
    "azimuthal_mean",
    "bias",
    "brier",
    "cell_area",
    "coarsen",
    "coherence",
    "contingency",
    "correlation",
    "cross_section",
    "cross_spectrum",
    "crps",
    "downscale",
    "effective_resolution",
    "energy_score",
    "events",
    "find_cyclone",
    "finetune",
    "fss",
    "history",
    "kinetic_energy_spectrum",
    "log_spectral_distance",
    "mae",
    "maximum_wind",
    "member_mae",
    "models",
    "open_model",
    "pdf",
    "pit",
    "probability",
    "quantiles",
    "rank_histogram",
    "refine",
    "register",
    "regrid",
    "reliability",
    "rmse",
    "scores",
    "set_options",
    "show_versions",
    "spectrum",
    "spread",
    "spread_skill",
    "target_grid",
    "to_netcdf",
    "to_zarr",
    "train",
    "variogram_score",
]
