"""
The figures and the table of a paper: several variables
=======================================================

A model of several variables draws them together: its members must be right one by one, and in what
they have to do with one another. Here geopotential and temperature on two levels are brought from
12 to 3 degrees by a model that is trained on this page, in some minutes on a CPU.

The data (ERA5, ten members, four times; contains modified Copernicus Climate Change Service
information 2017, CC BY 4.0) do not come with the package. To run this page, point the variable
``XRESDIFF_DATA`` to a folder that has ``era5-levels/era5_levels_members_2017-01.nc``.
"""

# %%
# Pairs
# -----
# What is coarse are means of 4 x 4 cells. Three times are learned, the fourth is for the test, and
# every one of the ten members of ERA5 is a case of its own. That is little to learn from: this page
# is about how a model is judged, not about a good one.

import os
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import xresdiff

path = Path(os.environ["XRESDIFF_DATA"]) / "era5-levels" / "era5_levels_members_2017-01.nc"
with xr.open_dataset(path) as ds:
    fine = ds[["z", "t"]].isel(latitude=slice(60)).rename(number="case").astype(np.float32).load()
fine = fine.drop_vars("case")
coarse = fine.resdiff.coarsen(4)
learned, tested = {"time": slice(3)}, {"time": slice(3, 4)}

# %%
# Train
# -----
# Levels become channels and come back as levels. The mean learns from the first two times, and the
# residual from the third: of few fields a mean remembers more than it learns, and what it leaves of
# those is too little.

small = {"stem": 2, "model_channels": 16, "channel_mult": (3, 4), "num_blocks": 1, "dropout": 0.2}
small |= {"positions": "learned", "position_channels": 8}
first, then = {"time": slice(2)}, {"time": slice(2, 3)}
mean = coarse.isel(first).resdiff.train(
    fine.isel(first),
    network=small,
    steps={"mean": 200, "residual": 1},
    batch_size=4,
    extras=["latitude"],
    patience=None,
    out=mkdtemp(),
)
model = coarse.isel(then).resdiff.finetune(
    fine.isel(then),
    model=mean,
    stages=["residual"],
    steps=400,
    batch_size=4,
    learning_rate=1e-3,
    patience=None,
    out=mkdtemp(),
)

# %%
# Downscale
# ---------
# The names of the result are those of the model; the levels are a dimension again.

ens = coarse.isel(tested).resdiff.downscale(members=16, model=model).load()
ens = ens.rename(pressure="pressure_level")
obs = fine.isel(tested)
ens

# %%
# The table
# ---------
# For every variable and level, over the globe, each cell with its area, beside three fields without
# members: a bilinear interpolation, the mean of the regression, and the mean of all that was
# learned, which knows nothing of the day.

around = coarse.isel(tested).pad(longitude=1, mode="wrap")
around["longitude"] = np.unwrap(around.longitude, period=360) - 360
reference = {
    "bilinear": around.interp(
        latitude=obs.latitude, longitude=obs.longitude, kwargs={"fill_value": "extrapolate"}
    ),
    "mean stage": coarse.isel(tested)
    .resdiff.downscale(model=model, stage="mean")
    .rename(pressure="pressure_level"),
    "mean of the past": fine.isel(learned).mean(("time", "case")),
}
over = {"dim": ["case", "time", "lat", "lon"], "weights": xresdiff.cell_area(ens)}
table = ens.resdiff.scores(obs, reference=reference, **over)
table.to_dataframe().unstack("score")["t"].round(3)

# %%
table.to_dataframe().unstack("score")["z"].round(1)

# %%
# Maps
# ----

level, one = {"pressure_level": 850}, {"case": 0}
shown = ens.t.sel(level).isel(one)
shown.resdiff.plot.stamps(obs.t.sel(level).isel(one), coarse=coarse.t.sel(level).isel(tested | one))
plt.show()

# %%
# What the table does not tell
# ----------------------------
# In a band of middle latitudes: variance by wavelength, and the coherence of temperature with
# geopotential, which is one where each follows from the other. Over the globe: the distribution of
# values, ranks, and spread against error.
#
# The table alone looks fine: errors are a third smaller than those of the mean stage. The other
# figures tell what thirty fields could not teach. The truth is outermost too often, where the
# members differ more the error is not larger, and at the smallest scales temperature and
# geopotential of a member have less to do with one another than those of the truth.

band = {"lat": slice(60, 24)}
ens_band, obs_band = ens.sel(band), obs.rename(latitude="lat", longitude="lon").sel(band)
everywhere, truth = ens.t.sel(level), obs.t.sel(level)

plt.rcParams["font.size"] = 8
sheet, axes = plt.subplots(2, 3, figsize=(9.6, 5.4), layout="constrained")
ens_band.t.sel(level).resdiff.plot.spectrum(obs_band.t.sel(level), ax=axes[0, 0])
for row, height in enumerate((850, 500)):
    for name, data in (("members", ens_band), ("truth", obs_band)):
        one_level = data.sel(pressure_level=height)
        together = xresdiff.coherence(one_level.t, one_level.z)
        colour = "black" if name == "truth" else "#0072b2"
        axes[row, 1].plot(1000 * together.wavenumber, together, color=colour, label=name)
    axes[row, 1].set(xlabel="waves per 1000 km", ylabel="coherence of t and z", ylim=(0, 1))
    axes[row, 1].set_title(f"{height} hPa", loc="left", size="medium")
    axes[row, 1].legend(frameon=False)
everywhere.resdiff.plot.pdf(truth, ax=axes[0, 2])
everywhere.resdiff.plot.rank_histogram(truth, ax=axes[1, 0])
everywhere.resdiff.plot.spread_skill(truth, ax=axes[1, 2])
plt.show()

# %%
# Whole fields
# ------------
# The energy score takes a field as one vector: it is the CRPS for more than one dimension.

whole = ens.resdiff.energy_score(
    obs, over=("lat", "lon"), dim=("case", "time"), reference=reference["mean stage"]
)
whole.sel(value="skill", drop=True).to_dataframe().round(3)
