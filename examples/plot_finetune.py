"""
Fine-tune a model with your own pairs
=====================================

A model that learned from one radar draws the texture of that radar. Another network of radars
averages over more time and space, and its rain is smoother. This page takes ``rain-16x`` there with
four hours of pairs, which takes some minutes on a CPU, and asks what was gained.
"""

# %%
# The pairs
# ---------
# Rain is made here, so that the page needs no data, and smoothed over 5 km, as by a coarser radar.
# The coarse partner of a field is its block mean. The first times are for training, the last for
# the test.

from tempfile import mkdtemp

import matplotlib.pyplot as plt

import xresdiff
from xresdiff.tutorial import rain_pair

_, sharp = rain_pair(times=24, shape=(256, 256))
target = sharp.rolling(y=5, x=5, center=True, min_periods=1).mean()
coarse = target.resdiff.coarsen(16)

train, test = slice(None, 14), slice(16, None)

# %%
# One call
# --------
# What will be done is told first; ``log.txt`` in the folder of the run has it as well. With a
# folder of your own, ``out="run"``, the same line goes on if it is killed.

out = mkdtemp()
model = coarse.isel(time=train).resdiff.finetune(
    target.isel(time=train), steps={"mean": 60, "residual": 240}, batch_size=4, out=out
)

# %%
# How it went
# -----------
# Losses and scores are those of pairs that are kept aside, the last tenth. The grey line marks the
# weights that were kept.

xresdiff.history(out).resdiff.plot.history()
plt.show()

# %%
# What was gained
# ---------------
# Both models on times that neither has seen. The first one puts too much power into small scales;
# the tuned one has learned what this radar does not show.

unseen = coarse.isel(time=test)
before = unseen.resdiff.downscale(members=8)
after = unseen.resdiff.downscale(members=8, model=model)
truth = target.isel(time=test)

for name, ens in (("rain-16x", before), ("tuned", after)):
    crps = float(ens.resdiff.crps(truth).precip_rate)
    distance = float(ens.resdiff.log_spectral_distance(truth).precip_rate)
    print(f"{name:9} CRPS {crps:.4f} mm/h, spectrum off by {distance:.1f} dB")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
for ax, (name, ens) in zip(axes, (("rain-16x", before), ("tuned", after)), strict=True):
    ens.resdiff.plot.spectrum(truth, ax=ax)
    ax.set_title(name, loc="left")
plt.show()

# %%
after.isel(time=[0]).resdiff.plot.stamps(truth.isel(time=[0]), coarse=unseen.isel(time=[0]))
plt.show()

# %%
# The model is a file: ``model.save("mine.resdiff")`` keeps it, ``model="mine.resdiff"`` opens it.

print(model)
