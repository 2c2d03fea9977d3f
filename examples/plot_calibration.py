r"""
Does it draw from the right distribution?
=========================================

Of real weather nobody knows the distribution of the fine fields that go with a coarse one. Of a
Gaussian random field it is known exactly. So here a model is trained on draws of one, and what it
then draws is held against the truth: not against a score, but against the formula.
"""

# %%
# A problem with an answer
# ------------------------
# The field has an energy spectrum of :math:`k^{-3}`, that of weather at large scales, flat beyond a
# longest wavelength. It is cut from a torus that is larger, so that nothing in it is periodic. What
# is seen of it are the means over blocks of 4 x 4 pixels, plus noise: :math:`o = H x + e`.

from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import xresdiff
from xresdiff.verify.kernels import power_spectrum

SIZE, FACTOR, TORUS, LONGEST, NOISE = 32, 4, 128, 32.0, 0.2

k = np.fft.fftfreq(TORUS)
density = (k[:, None] ** 2 + k**2 + LONGEST**-2) ** -2  # in two dimensions, one power steeper
density /= density.sum()
covariance_at = np.fft.fft2(density).real  # of two pixels, by their distance

row, column = np.divmod(np.arange(SIZE**2), SIZE)
prior = covariance_at[row[:, None] - row, column[:, None] - column]
block = row // FACTOR * (SIZE // FACTOR) + column // FACTOR
observe = (block == np.arange((SIZE // FACTOR) ** 2)[:, None]) / FACTOR**2  # H
seen = observe @ prior @ observe.T + NOISE**2 * np.eye(len(observe))

# %%
# Given the observations, the field is Gaussian again. Its mean is linear in what was seen, and its
# covariance is the same whatever was seen:
#
# .. math:: E[x|o] = C H^T (H C H^T + R)^{-1} o, \qquad
#           \mathrm{cov}[x|o] = C - C H^T (H C H^T + R)^{-1} H C

gain = prior @ observe.T @ np.linalg.inv(seen)
posterior = prior - gain @ observe @ prior

rng = np.random.default_rng(0)
root = np.linalg.cholesky(prior + 1e-9 * np.eye(SIZE**2))


def pairs(n):
    """Draw fields and their observations."""
    fine = rng.standard_normal((n, SIZE**2)) @ root.T
    coarse = fine @ observe.T + NOISE * rng.standard_normal((n, len(observe)))
    km = {"y": np.arange(SIZE) + 0.5, "x": np.arange(SIZE) + 0.5}
    attrs = {"units": "km"}
    target = xr.Dataset(
        {"field": (("time", "y", "x"), fine.reshape(n, SIZE, SIZE), {"units": "1"})},
        {"time": np.arange(n), **{dim: (dim, v, attrs) for dim, v in km.items()}},
    )
    given = target.resdiff.coarsen(FACTOR)
    given.field[:] = coarse.reshape(given.field.shape)
    return given, target


# %%
# Train
# -----
# Three thousand pairs, a tenth of them to validate with, networks of 0.2 million numbers, some
# minutes on a CPU. Nothing here knows that the field is Gaussian.

coarse, target = pairs(3000)
out = mkdtemp()
model = coarse.resdiff.train(
    target,
    network={"model_channels": 16, "channel_mult": (1, 2), "num_blocks": 1, "dropout": 0.0},
    steps={"mean": 800, "residual": 1500},
    batch_size=16,
    learning_rate=3e-3,
    out=out,
    name="gaussian",
)
xresdiff.history(out).resdiff.plot.history()
plt.show()

# %%
# The mean
# --------
# On fresh draws, the error of the mean stage is close to the smallest one that is possible.

unseen, truth = pairs(200)
regression = unseen.resdiff.downscale(model=model, stage="mean").field.values
best = (unseen.field.values.reshape(200, -1) @ gain.T).reshape(regression.shape)
error = np.sqrt(np.mean((regression - truth.field.values) ** 2))
least = np.sqrt(np.mean((best - truth.field.values) ** 2))
print(f"error of the mean: {error:.4f}, of the exact mean {least:.4f}: {error / least - 1:+.1%}")

# %%
# The spread, scale by scale
# --------------------------
# The variance of the members about their mean, by wavenumber, against that of the exact
# distribution. An ensemble may have the right spread at every pixel and be wrong here: white noise
# is. At the scale of a block and above, the observations leave little to be drawn; below, all of
# it.

ens = unseen.resdiff.downscale(members=16, model=model)
members = ens.field.transpose("member", "time", "y", "x").values.astype("f8")
spread = power_spectrum(members - members.mean(0)).mean((0, 1)) * 16 / 15
draws = (
    rng.standard_normal((2000, SIZE**2)) @ np.linalg.cholesky(posterior + 1e-9 * np.eye(SIZE**2)).T
)
exact = power_spectrum(draws.reshape(-1, SIZE, SIZE)).mean(0)
off = 10 * np.log10(spread / exact)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
wavenumber = np.arange(1, len(exact))  # the last bin is open
left.loglog(wavenumber, exact[:-1], color="black", label="exact")
left.loglog(wavenumber, spread[:-1], "--", label="members")
left.set(xlabel="wavenumber (half waves per window)", ylabel="variance about the mean")
left.legend(frameon=False)
right.plot(wavenumber, off[:-1])
right.axhspan(-0.5, 0.5, color="0.92")
right.set(xscale="log", xlabel="wavenumber (half waves per window)", ylabel="members / exact (dB)")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
print(f"largest difference: {abs(off[:-1]).max():.2f} dB")

# %%
# The ranks and the scores
# ------------------------
# The truth should take every place among the sorted members equally often, the spread should be as
# large as the error, and the CRPS as small as that of draws of the exact distribution, which for a
# standard deviation s is :math:`s / \sqrt{\pi}`.

ens.resdiff.plot.rank_histogram(truth)
plt.show()

crps = float(ens.resdiff.crps(truth).field)
smallest = float(np.sqrt(np.diag(posterior)).mean() / np.sqrt(np.pi))
ratio = float(ens.resdiff.spread_skill(truth).field)
print(f"CRPS {crps:.4f}, smallest possible {smallest:.4f}: {crps / smallest - 1:+.1%}")
print(f"spread/skill {ratio:.3f}")

# %%
# ``benchmarks/gaussian.py`` does the same at full strength, with two variables that are correlated,
# and asks how many pairs it takes; its tables are on the page about training.
