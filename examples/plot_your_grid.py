"""
Quarter-degree rain on a national grid
======================================

Few files are on the grid that a model was trained on. This page takes one that is not: hourly rain
as a reanalysis has it, on a quarter of a degree, as an amount in metres. It asks what xresdiff
makes of it, says the two things that the file leaves open, and draws rain on a national grid. Then
it moves other fields onto that grid, with :func:`xresdiff.regrid`.
"""

# %%
# The file
# --------
# It is made here, so that the page needs no data: rain at 1 km on the British National Grid, and
# its means over cells of 0.25 degrees. That is a regridding too, from fine to coarse.

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import xresdiff
from xresdiff.tutorial import rain_field

britain = xresdiff.target_grid(crs="EPSG:27700", center=(52.2, 0.3), spacing_km=1, shape=(448, 448))
rain = rain_field(shape=(448, 448), seed=12).precip_rate
truth = britain.assign(precip_rate=(rain.dims, rain.values, {"units": "mm h-1"}))

quarter = xresdiff.target_grid(lat=(50.375, 54.125), lon=(-2.125, 2.875), spacing_deg=0.25)
means = xresdiff.regrid(truth, quarter, method="conservative").precip_rate

# %%
# The rest is dress: what such files look like. Latitudes fall, longitudes run from 0 to 360, so
# that the meridian of Greenwich is a seam; times are called ``valid_time``; rain is an amount in
# metres, and no attribute that a program could trust says over how long it fell.

latitude = ("latitude", means.lat.values[::-1], {"standard_name": "latitude"})
longitude = ("longitude", means.lon.values % 360, {"standard_name": "longitude"})
level = ("pressure_level", [850.0, 500.0], {"units": "hPa", "standard_name": "air_pressure"})
tp = {"long_name": "Total precipitation", "units": "m", "GRIB_stepType": "accum"}
t = {"standard_name": "air_temperature", "units": "K"}
north, east = latitude[1][:, None], means.lon.values
wave = 4 * np.sin(np.radians(60 * east)) * np.cos(np.radians(45 * north)) - 0.8 * (north - 52)

era5 = xr.Dataset(
    {
        "tp": (("valid_time", "latitude", "longitude"), means.values[:, ::-1] / 1000, tp),
        "t": (
            ("valid_time", "pressure_level", "latitude", "longitude"),
            np.stack([[280 + wave, 255 + wave]]).astype("f4"),
            t,
        ),
    },
    coords={
        "valid_time": ("valid_time", rain.time.values, {"standard_name": "time"}),
        "pressure_level": level,
        "latitude": latitude,
        "longitude": longitude,
    },
)
era5

# %%
# What is in it
# -------------
# ``.resdiff`` says which coordinates were found, and what keeps a model from taking the Dataset.
# Nothing is computed for it, so it is quick on files of any size.

print(era5.resdiff)

# %%
# ``downscale`` says the same, all of it in one message, before it computes anything:

try:
    era5.resdiff.downscale()
except xresdiff.errors.InputError as error:
    print(error)

# %%
# Two things to say
# -----------------
# Over how long the rain fell: in an hourly reanalysis it is an hour. And on which grid it is
# wanted: this one has 192 x 192 cells of 1 km. The model works on blocks of 16 x 16 of them, onto
# which the rain is moved so that its sum is kept.

grid = xresdiff.target_grid(crs="EPSG:27700", center=(52.2, 0.3), spacing_km=1, shape=(192, 192))
ens = era5.resdiff.downscale(members=4, accumulation="1h", grid=grid)
ens

# %%
# The warning is worth reading: cells of 28 km are coarser than the 10 to 22 km that the model
# takes. It works, but expect the heaviest rain to be too weak.
#
# The result is on the grid that was asked for. It has the coordinates of that grid, and its
# latitudes and longitudes as well, so that it can be drawn beside the input:

here = dict(vmin=0, vmax=8, cmap="Blues")
known = truth.sel(y=ens.y, x=ens.x).precip_rate[0]
turned = (era5.longitude + 180) % 360 - 180

figure, axes = plt.subplots(2, 2, figsize=(8, 8), sharex=True, sharey=True, layout="constrained")
axes[0, 0].pcolormesh(turned, era5.latitude, era5.tp[0] * 1000, **here)
axes[0, 1].pcolormesh(ens.lon, ens.lat, known, **here)
for ax, member in zip(axes[1], ens.precip_rate[:2, 0], strict=True):
    drawn = ax.pcolormesh(ens.lon, ens.lat, member, **here)
titles = ("input, 0.25 degrees", "truth, 1 km", "member 0", "member 1")
for ax, title in zip(axes.flat, titles, strict=True):
    ax.set(title=title, aspect=1.6)
    ax.set(xlim=(float(ens.lon.min()), float(ens.lon.max())))
    ax.set(ylim=(float(ens.lat.min()), float(ens.lat.max())))
figure.colorbar(drawn, ax=axes, label="mm/h", extend="max", shrink=0.6)
plt.show()

# %%
# That the sum is kept is no figure of speech. The means of the blocks are those of the input,
# moved onto the blocks by conservative weights:

blocks = grid.resdiff.coarsen(16)
given = xresdiff.regrid(era5[["tp"]] * 1000, blocks, method="conservative").tp
error = abs(ens.resdiff.coarsen(16).precip_rate.values - given.values).max()
print(f"largest difference of a block mean: {error:.1e} mm/h")

# %%
# Other fields on the same grid
# -----------------------------
# :func:`xresdiff.regrid` moves any field onto any grid, whatever the model. Temperature is a
# state: it is interpolated. The levels come along.

warm = era5[["t"]].resdiff.regrid(grid, method="bilinear")
warm

# %%

figure, axes = plt.subplots(1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
scale = dict(vmin=float(warm.t[0, 0].min()), vmax=float(warm.t[0, 0].max()), cmap="RdYlBu_r")
axes[0].pcolormesh(turned, era5.latitude, era5.t[0, 0], **scale)
drawn = axes[1].pcolormesh(warm.lon, warm.lat, warm.t[0, 0], **scale)
for ax, title in zip(axes, ("input, 0.25 degrees", "bilinear, 1 km"), strict=True):
    ax.set(title=f"850 hPa, {title}", aspect=1.6)
    ax.set(xlim=(float(warm.lon.min()), float(warm.lon.max())))
    ax.set(ylim=(float(warm.lat.min()), float(warm.lat.max())))
figure.colorbar(drawn, ax=axes, label="K")
plt.show()

# %%
# Why rain is moved by other weights
# ----------------------------------
# How much water is there? Of the rain at 1 km it is known: the sum over its cells, times their
# areas (on the sphere, where the weights are made, hence without y and x). A quarter of a degree
# holds hundreds of these cells. Conservative weights are the shares of area that they have in
# it, so nothing is lost. Bilinear ones look at the four cells around its middle, and at no other.

around = xresdiff.target_grid(lat=(49.5, 55), lon=(-3.5, 4.5), spacing_deg=0.25)
sphere = truth.drop_vars(["y", "x", "crs"]).precip_rate


def water(field):
    """Return the mass of an hour of rain, in millions of tonnes."""
    return float((field * xresdiff.cell_area(field)).sum()) / 1e9


moved = {
    method: xresdiff.regrid(sphere, around, method=method)
    for method in ("conservative", "bilinear")
}
print(f"at 1 km      {water(sphere):8.3f}")
for method, field in moved.items():
    print(f"{method:13}{water(field):8.3f}")

# %%
# Bilinear weights find an eighth less. In such a sum the errors of many cells cancel; in a single
# cell they do not:

apart = abs(moved["bilinear"] - moved["conservative"])
print(f"mean rain of a cell: {float(moved['conservative'].mean()):.2f} mm/h")
print(f"mean difference:     {float(apart.mean()):.2f} mm/h")
print(f"largest difference:  {float(apart.max()):.2f} mm/h")
