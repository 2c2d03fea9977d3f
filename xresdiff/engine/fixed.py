"""Fields on the grid of one region: whole, or in the patches that the networks were trained on."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xresdiff.engine.domain import Denoise, DenoiseParts, Part
from xresdiff.engine.fields import decoded, encoded
from xresdiff.engine.padding import padded
from xresdiff.engine.patching import conditions, patched, shrunk
from xresdiff.engine.sun import cos_zenith, hour_of_day
from xresdiff.engine.tiles import Window, windowed
from xresdiff.models.card import Extra, FixedTarget, ModelCard
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model, Stage

__all__ = ["Fixed", "sea_ice_covered"]

ICE, SNOW = "siconc", "snc"  # of CMIP6, in percent


class Fixed:
    """A :class:`~xresdiff.engine.domain.Domain` on the grid that a model brings.

    Parameters
    ----------
    model : Model
        With a fixed target.
    """

    def __init__(self, model: Model) -> None:
        card = model.card
        assert isinstance(card.target, FixedTarget)  # the caller's to check
        self.card, self.target = card, card.target
        grid = read_grid(model.read(card.target.grid), card)
        self._lat, self._lon = _points(grid["lat"].values, grid["lon"].values)
        self._statics = {
            extra.name: grid[extra.name].values.astype(np.float32)
            for extra in card.extras
            if extra.kind == "static"
        }

    def shape(self, coarse_shape: tuple[int, int]) -> tuple[int, int]:
        """Return height and width of the target with its padding."""
        height, width = self._lat.shape
        padding = self.target.padding
        return padding.padded(height, width) if padding else (height, width)

    def crop(self, coarse_shape: tuple[int, int]) -> Window:
        """Return the rows and columns inside of the padding."""
        height, width = self._lat.shape
        padding = self.target.padding
        top, left = (padding.rows[0], padding.columns[0]) if padding else (0, 0)
        return slice(top, top + height), slice(left, left + width)

    def enter(self, coarse: Tensor) -> Tensor:
        """Return inputs with the ice that the networks expect."""
        return sea_ice_covered(coarse, self.card) if self.card.sea_ice_cover else coarse

    def condition(self, given: Tensor, moments: Tensor) -> Tensor:
        """Return inputs and extras on the target, padded."""
        inputs = encoded(given, self.card.inputs)
        if inputs.shape[-2:] != self._lat.shape:  # stretched by row and column
            inputs = F.interpolate(inputs, self._lat.shape, mode="bilinear", align_corners=False)
        extras = [self._extra(extra, moments).to(inputs) for extra in self.card.extras]
        whole = torch.cat([inputs, *extras], dim=1)
        return padded(whole, self.target.padding) if self.target.padding else whole

    def _extra(self, extra: Extra, moments: Tensor) -> Tensor:
        """Return a normalised extra, ``(b, 1, y, x)``."""
        seconds = moments[:, 0].cpu().numpy()
        if extra.kind == "static":
            values = self._statics[extra.name][None]
        elif extra.kind == "cos_zenith":
            values = cos_zenith(seconds, self._lat, self._lon)
        else:
            values = hour_of_day(seconds)[:, None, None]
        normalised = (torch.from_numpy(np.asarray(values, np.float32)) - extra.mean) / extra.std
        return normalised[:, None].expand(len(seconds), 1, *self._lat.shape)

    def base(self, given: Tensor) -> Tensor:
        """Return zeros: the mean network gives the whole mean."""
        height, width = self.shape((0, 0))
        return given.new_zeros(len(given), len(self.card.outputs), height, width)

    def keep(self, mean: Tensor, coarse_shape: tuple[int, int]) -> Tensor:
        """Hand on all of the mean, as the residual network is told its padding too."""
        return mean

    def restore(self, mean: Tensor) -> Tensor:
        """Return the mean as it was handed on."""
        return mean

    def result(self, mean: Tensor) -> Tensor:
        """Return the mean without its padding."""
        return mean[..., *self.crop((0, 0))]

    def decode(self, fine: Tensor, coarse: Callable[[], Tensor]) -> Tensor:
        """Return results in physical units, bounded."""
        return decoded(fine, self.card.outputs)

    def cover(self, network: DenoiseParts, stage: Stage) -> Denoise:
        """Cover fields with patches if the residual was trained on them, else run them whole."""
        if self.card.patching is not None and stage == "residual":
            return patched(network, self.card.patching, self.shape((0, 0)))
        return windowed(network, max(self.shape((0, 0))), overlap=0)

    def whole(self, condition: Tensor) -> Tensor | None:
        """Return the condition shrunk to a patch, if patches are told of it."""
        patching = self.card.patching
        return shrunk(condition, patching) if patching and patching.whole else None

    def cut(self, known: Tensor, whole: Tensor | None, part: Part) -> Tensor:
        """Return what a patch is told, or all that is known."""
        return known if isinstance(part, tuple) else conditions(known, whole, [part])


def _points(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes of all points, (y, x)."""
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    return lat.astype(np.float64), lon.astype(np.float64)


def sea_ice_covered(coarse: Tensor, card: ModelCard) -> Tensor:
    """Return inputs ``(b, c, Y, X)`` with snow added to the sea ice, smoothed.

    The sum is kept within 0 and 100 % and averaged over 3 x 3 cells, around the Earth and with the
    first and last rows repeated: what CorrDiff CMIP6-ERA5 was trained with.
    """
    covered = coarse.clone()
    place = {(channel.name, channel.offset_h): i for i, channel in enumerate(card.inputs)}
    for (name, offset_h), i in place.items():
        if name == ICE and (SNOW, offset_h) in place:
            j = place[SNOW, offset_h]
            cover = (coarse[:, [i]] + coarse[:, [j]]).clamp(0.0, 100.0)
            cover = F.pad(F.pad(cover, (1, 1, 0, 0), "circular"), (0, 0, 1, 1), "replicate")
            covered[:, [i]] = F.avg_pool2d(cover, 3, stride=1)
    return covered
