"""
Published models
================

Models that others have published run here by their names, addresses or paths. This page lists
those that are known, shows where one works, and downscales with it. It fetches nothing: where
none of them is in the cache, it makes **an imitation**, a package with a grid of the kind that
CorrDiff-Taiwan has and small networks that were never trained. What those draw means nothing, and
the titles of the figures say so.
"""

# %%
# Which there are
# ---------------
# :func:`xresdiff.models` asks no network. It tells from which grid to which a model goes, where,
# what it takes and gives, its licence, and whether it is here already.

import json
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr

import xresdiff
from xresdiff.models.physicsnemo import read_checkpoint, write_mdlus
from xresdiff.models.published import write_earth2studio
from xresdiff.nets.stage_net import StageNet
from xresdiff.nets.unet import UNet, UNetConfig

os.environ["XRESDIFF_OFFLINE"] = "1"  # so that this page fetches nothing, come what may
table = xresdiff.models()
table

# %%
# An imitation
# ------------
# A package of Earth2Studio is a folder: two checkpoints of PhysicsNeMo, two JSON files and a
# grid. This one takes the twelve variables of CorrDiff-Taiwan and gives its four, on a quarter as
# many rows and columns. The weights are drawn anew, since those of fresh networks give next to
# nothing.

SCALES = {
    "tcwv": (40, 15),
    "z500": (57000, 700),
    "t500": (267, 3),
    "u500": (4, 9),
    "v500": (1, 6),
    "z850": (14700, 350),
    "t850": (290, 4),
    "u850": (0, 7),
    "v850": (1, 7),
    "t2m": (296, 5),
    "u10m": (-2, 4),
    "v10m": (-1, 5),
}
INPUTS, OUTPUTS = list(SCALES), ["mrr", "t2m", "u10m", "v10m"]
LAMBERT = "+proj=lcc +lat_1=20 +lat_2=27 +lat_0=23.7 +lon_0=120.85"


def write_network(path, *, told, shape, **kind):
    """Write a small network with random weights as a checkpoint of PhysicsNeMo."""
    config = UNetConfig(
        in_channels=told + len(OUTPUTS),
        out_channels=len(OUTPUTS),
        model_channels=8,
        channel_mult=(1, 2, 2),
        num_blocks=1,
        bottleneck_attention=False,
    )
    net = UNet(config)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    write_mdlus(path, StageNet(net, **kind), shape=shape)


def write_imitation(folder):
    """Write a package as Earth2Studio loads it."""
    folder.mkdir()
    grid = xresdiff.target_grid(
        crs=LAMBERT, center=(23.7, 120.85), spacing_km=8.28, shape=(112, 112)
    )
    points = {name: (("y", "x"), grid[name].values) for name in ("lat", "lon")}
    xr.Dataset(points).to_netcdf(folder / "output_latlon_grid.nc")
    metadata = {
        "input_variables": INPUTS,
        "output_variables": OUTPUTS,
        "latlon_res": 0.25,
        "number_of_steps": 6,
    }
    scales = {name: {"mean": mean, "std": std} for name, (mean, std) in SCALES.items()}
    given = {name: scales.get(name, {"mean": 14, "std": 12}) for name in OUTPUTS}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "stats.json").write_text(json.dumps({"input": scales, "output": given}))
    torch.manual_seed(0)
    shape, told = (112, 112), len(INPUTS)
    write_network(folder / "regression.mdlus", told=told, shape=shape, sigma_data=None, latent=True)
    told += len(OUTPUTS)  # the diffusion is told the mean
    write_network(folder / "diffusion.mdlus", told=told, shape=shape, sigma_data=0.5, latent=False)
    return folder


# %%
# A model
# -------
# One of the published models, if it is in the cache and gives the times of its input on a region;
# or else the imitation. Either way it is opened by :func:`xresdiff.open_model`. The first time,
# it is translated into a package of xresdiff's, which is kept in the cache.


def usable(name):
    """Tell whether a cached model runs on the weather of this page."""
    card = xresdiff.open_model(name).card
    return card.target.kind == "fixed" and card.hours == (0.0,) and not card.lead_hours


states = dict(zip(table["name"], table["state"], strict=True))
cached = [name for name, state in states.items() if state == "cached" and usable(name)]
scratch = Path(tempfile.mkdtemp())
if cached:
    model, note = xresdiff.open_model(cached[0]), cached[0]
else:
    model = xresdiff.open_model(write_imitation(scratch / "imitation-of-taiwan"))
    note = "an imitation: untrained networks, the fields mean nothing"
model.card

# %%
# Where it works:

figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
model.card.plot.domain(ax=ax)
figure.suptitle(note, fontsize=10)
plt.show()

# %%
# The weather
# -----------
# Any Dataset with the variables of the card will do. Here it is made up from the card itself:
# waves about the mean of every channel, on a quarter of a degree, dressed as ERA5: latitudes
# fall, and levels share a variable.


def waves(lat, lon, number):
    """Return a smooth field, different for every number."""
    y, x = np.radians(12 * lat)[:, None], np.radians(12 * lon)
    return np.sin(1.3 * y + number) * np.cos(x - 2 * number) + 0.5 * np.sin(x + 2 * y + number)


def weather(card, margin=1.0):
    """Return fields of all channels of a card, around its region."""
    lon, lat = np.array(card.target.outline).T
    lat = np.arange(lat.max() + margin, lat.min() - margin, -0.25)
    lon = np.arange(lon.min() - margin, lon.max() + margin, 0.25)
    dims, fields = ("time", "latitude", "longitude"), {}
    for number, channel in enumerate(card.inputs):
        values = channel.mean + channel.std * waves(lat, lon, number)
        field = xr.DataArray(values.astype("f4")[None], dims=dims, attrs={"units": channel.units})
        if channel.level_Pa is not None:
            field = field.expand_dims(level=[channel.level_Pa / 100])
        fields.setdefault(channel.name, []).append(field)
    ds = xr.Dataset(
        {
            name: xr.concat(some, "level", combine_attrs="identical") if len(some) > 1 else some[0]
            for name, some in fields.items()
        }
    )
    time = np.array(["2021-09-12T00"], "M8[ns]")
    ds = ds.assign_coords(time=time, latitude=lat, longitude=lon)
    return ds.assign_coords(level=("level", ds.level.values, {"units": "hPa"}))


ds = weather(model.card)
ds

# %%
# An ensemble
# -----------
# Members have the coordinates of the model's grid, units and CF names, and tell in their
# attributes which model drew them, with its sha256.

ens = ds.resdiff.downscale(members=2, model=model)
ens

# %%

name = next(name for name in ens if name in ds)  # what it takes and gives, too
mean = ds.resdiff.downscale(model=model, stage="mean")
panels = {
    "input": ds[name].isel(time=0),
    "mean": mean[name].isel(time=0),
    "member 0": ens[name].isel(time=0, member=0),
    "member 1": ens[name].isel(time=0, member=1),
}
low, high = ens[name].quantile([0.01, 0.99]).values

figure, axes = plt.subplots(2, 2, figsize=(8, 8), sharex=True, sharey=True, layout="constrained")
for ax, (title, field) in zip(axes.flat, panels.items(), strict=True):
    x, y = (field.longitude, field.latitude) if title == "input" else (field.lon, field.lat)
    drawn = ax.pcolormesh(x, y, field, vmin=low, vmax=high, cmap="RdYlBu_r")
    ax.set(title=title, aspect=1.1)
figure.colorbar(drawn, ax=axes, label=f"{name} ({ens[name].attrs['units']})", shrink=0.6)
figure.suptitle(note, fontsize=10)
plt.show()

# %%
# The way back
# ------------
# A model with a grid of its own is written as a package that Earth2Studio loads, and its networks
# as checkpoints that PhysicsNeMo loads. This is the model of above, written and read once more:

try:
    written = write_earth2studio(model, scratch / "for-earth2studio")
    print(sorted(file.name for file in written.iterdir()))
    print("written for PhysicsNeMo", read_checkpoint(written / "diffusion.mdlus").release)
except xresdiff.errors.ModelError as error:
    print(error)
