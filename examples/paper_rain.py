"""
The figures and the table of a paper: rain
==========================================

What a paper about downscaling shows of its ensembles, for ``rain-16x`` on radar rain that it has
never seen: the table of scores, maps, spectra, the distribution of intensities, ranks, and where
the forecast of an event is skilful. Every figure is one line.

The data (`NOAA MRMS <https://doi.org/10.1175/BAMS-D-14-00174.1>`_, rain rate on 0.01 degrees, in
the public domain) do not come with the package. To run this page, point the variable
``XRESDIFF_DATA`` to a folder that has them, as ``radar/mrms_test.zarr.zip`` with the crops of
``radar/crops_test.json``.
"""

# %%
# Fields to downscale
# -------------------
# Crops of 256 x 256 pixels, every fifth one, as times of one Dataset. Each is a place and a moment
# of its own; what is coarse are means of 16 x 16 pixels. A pixel of the crops is taken as 1 km.

import json
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
import zarr

import xresdiff

xresdiff.set_options(progress=False)

data = Path(os.environ["XRESDIFF_DATA"]) / "radar"
store = zarr.storage.ZipStore(data / "mrms_test.zarr.zip", mode="r")
radar = xr.open_zarr(store, consolidated=False).precip_rate
crops = json.loads((data / "crops_test.json").read_text())["mrms_test"]
size, corners = crops["size"], crops["crops"][::5]


def crop(time_index, y0, x0, **more):
    """Cut one crop out of the radar picture."""
    where = {"latitude": slice(y0, y0 + size), "longitude": slice(x0, x0 + size)}
    return radar.isel(time=time_index, **where).values.astype(np.float32)


km = {
    dim: (
        dim,
        np.arange(size) + 0.5,
        {"standard_name": f"projection_{dim}_coordinate", "units": "km"},
    )
    for dim in ("y", "x")
}
attrs = {"units": "mm h-1", "standard_name": "lwe_precipitation_rate", "long_name": "rain rate"}
fields = np.stack([crop(**corner) for corner in corners])
obs = xr.Dataset({"precip_rate": (("time", "y", "x"), fields, attrs)}, coords=km)
coarse = obs.resdiff.coarsen(16)

# %%
# Downscale, and what to beat
# ---------------------------
# Sixteen members in one line. Beside them two fields without members: a bilinear interpolation, and
# the mean of the regression alone, which is the best guess of every pixel and too smooth.

ens = coarse.resdiff.downscale(members=16).load()
reference = {
    "bilinear": coarse.interp(y=obs.y, x=obs.x, kwargs={"fill_value": "extrapolate"}),
    "mean stage": coarse.resdiff.downscale(stage="mean").load(),
}

# %%
# The table
# ---------
# Fair CRPS, errors of the ensemble mean and of single members, and whether the spread is as large
# as the error. The crops are of one afternoon: the intervals, from blocks of crops drawn again,
# tell how much the scores vary from crop to crop, not from day to day.

table = ens.resdiff.scores(obs, reference=reference)
table.precip_rate.transpose("score", "forecast").to_pandas().round(3)

# %%
skill = ens.resdiff.crps(obs, reference=reference["bilinear"], ci=0.95)
skill.precip_rate.to_pandas().round(3)

# %%
# Maps
# ----
# The input, the truth, the mean, the spread and four members, in one scale.

moment = {"time": [4]}
ens.isel(moment).resdiff.plot.stamps(obs.isel(moment), coarse=coarse.isel(moment))
plt.show()

# %%
# The sheet of curves
# -------------------
# Every figure takes ``ax=``, so that six of them make one of a paper: variance at every wavelength,
# how often it rains how hard, ranks, skill within windows that grow, whether it rains as often as
# was said, and whether the mean is wrong by as much as the members differ. The values of the radar
# come in steps of 0.1 mm/h, which its distribution shows where bins are as narrow.

thresholds = [1.0, 5.0]
plt.rcParams["font.size"] = 8
sheet, axes = plt.subplots(2, 3, figsize=(9.6, 5.4), layout="constrained")
ens.resdiff.plot.spectrum(obs, reference=reference, ax=axes[0, 0])
ens.resdiff.plot.pdf(obs, reference=reference, ax=axes[0, 1])
ens.resdiff.plot.rank_histogram(obs, ax=axes[0, 2])
ens.resdiff.plot.fss(obs, threshold=thresholds, scale_km=[1, 5, 9, 17, 33, 65], ax=axes[1, 0])
ens.resdiff.plot.reliability(obs, threshold=thresholds[0], ax=axes[1, 1])
ens.resdiff.plot.spread_skill(obs, ax=axes[1, 2])
plt.show()

# %%
# In numbers
# ----------
# How far the spectrum of the members is from that of the truth, and down to which wavelength the
# mean has half of the observed variance.

distance = ens.resdiff.log_spectral_distance(obs).precip_rate
resolved = reference["mean stage"].resdiff.effective_resolution(obs).precip_rate
print(f"members: off by {float(distance):.1f} dB; the mean resolves {float(resolved):.0f} km")

# %%
# The upper percentiles of single pixels:

shares = (0.5, 0.9, 0.99, 0.999)
xr.concat(
    [data.resdiff.quantiles(shares) for data in (ens, reference["mean stage"], obs)],
    xr.Variable("of", ["members", "mean stage", "radar"]),
).precip_rate.to_pandas().round(2)

# %%
# Events, said to happen where half of the members have them:

events = ens.resdiff.events(obs, threshold=thresholds, probability=0.5).precip_rate
events.transpose("score", "threshold").to_pandas().round(2)
