"""Fields on the grid of one region: whole, or in the patches that the networks were trained on."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xresdiff.engine.domain import Denoise, DenoiseParts, Part
from xresdiff.engine.fields import based, decoded, encoded
from xresdiff.engine.padding import padded
from xresdiff.engine.patching import Patch, conditions, patched, shrunk
from xresdiff.engine.seasons import share_of_day, share_of_year
from xresdiff.engine.sun import cos_zenith, hour_of_day
from xresdiff.engine.tiles import windowed
from xresdiff.engine.tiling import Tiling, Window
from xresdiff.models.card import Extra, FixedTarget, ModelCard
from xresdiff.models.grid_file import read_grid
from xresdiff.models.package import Model, Stage

__all__ = ["Fixed", "sea_ice_covered"]

ICE, SNOW = "siconc", "snc"  # of CMIP6, in percent
TURN = 2 * np.pi
OF_TIME: dict[str, Callable[[NDArray[np.float64]], NDArray[Any]]] = {
    "hour_of_day": hour_of_day,
    "sin_day": lambda seconds: np.sin(TURN * share_of_day(seconds)),
    "cos_day": lambda seconds: np.cos(TURN * share_of_day(seconds)),
    "sin_year": lambda seconds: np.sin(TURN * share_of_year(seconds)),
    "cos_year": lambda seconds: np.cos(TURN * share_of_year(seconds)),
}


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

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the target."""
        return self._lat.shape[0], self._lat.shape[1]

    def is_whole(self, shape: tuple[int, ...]) -> bool:
        """Tell whether fields of some height and width hold the whole target, or more than that."""
        return all(n >= own for n, own in zip(shape, self.size, strict=True))

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

    def condition(
        self, given: Tensor, moments: Tensor, corners: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Return inputs and extras on the target, padded.

        With `corners`, the first row and column on the target of each field, ``(b, 2)``, `given`
        are patches of the target: they are told the extras of their own pixels, and not padded.
        """
        shape = self._lat.shape if corners is None else (given.shape[-2], given.shape[-1])
        inputs = self._onto(encoded(given, self.card.inputs), shape)
        extras = [
            self._extra(extra, moments, corners, shape).to(inputs) for extra in self.card.extras
        ]
        whole = torch.cat([inputs, *extras], dim=1) if extras else inputs
        return whole if corners is not None else self.pad(whole)

    def pad(self, x: Tensor) -> Tensor:
        """Return fields of the target with the padding that networks are given."""
        return padded(x, self.target.padding) if self.target.padding else x

    def _onto(self, inputs: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Stretch inputs to the target by row and column, unless they are on it."""
        if tuple(inputs.shape[-2:]) == tuple(shape):
            return inputs
        return F.interpolate(inputs, tuple(shape), mode="bilinear", align_corners=False)

    def _extra(
        self,
        extra: Extra,
        moments: Tensor,
        corners: NDArray[np.int64] | None,
        shape: tuple[int, ...],
    ) -> Tensor:
        """Return a normalised extra, ``(b, 1, y, x)``."""
        seconds = moments[:, 0].cpu().numpy()
        if corners is None:
            values = self._values(extra, seconds, (slice(None), slice(None)))
        else:
            places = [self.place(corner, shape) for corner in corners]
            each = (
                np.broadcast_to(self._values(extra, seconds[[i]], np.ix_(*place)), (1, *shape))
                for i, place in enumerate(places)
            )
            values = np.concatenate(list(each))
        normalised = (torch.from_numpy(np.asarray(values, np.float32)) - extra.mean) / extra.std
        return normalised[:, None].expand(len(seconds), 1, *shape)

    def _values(self, extra: Extra, seconds: NDArray[np.float64], where: Any) -> np.ndarray:
        """Return an extra at some rows and columns, (t or 1, y or 1, x or 1)."""
        if extra.kind == "static":
            return self._statics[extra.name][where][None]
        if extra.kind == "latitude":
            return self._lat[where][None]
        if extra.kind == "cos_zenith":
            return cos_zenith(seconds, self._lat[where], self._lon[where])
        return OF_TIME[extra.kind](seconds)[:, None, None]

    def place(
        self, corner: NDArray[np.int64], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which rows and columns of the target a patch shows, mirrored beyond its edges."""
        rows, columns = (
            _mirrored(np.arange(start, start + size), n)
            for start, size, n in zip(corner, shape, self._lat.shape, strict=True)
        )
        return rows, columns

    def base(self, given: Tensor, *, patches: bool = False) -> Tensor:
        """Return the input on the target with the global residual connection, else zero.

        It is padded, unless `given` are patches of the target.
        """
        size = (given.shape[-2], given.shape[-1]) if patches else self._lat.shape
        base = based(given, self.card, lambda x: self._onto(x, size), (size[0], size[1]))
        return base if patches else self.pad(base)

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

    def cover(
        self, network: DenoiseParts, stage: Stage, tiles: Tiling | None, pixels: int = 0
    ) -> Denoise:
        """Cover large fields with windows, or with the patches that the residual was trained on.

        The mean of a model that has patches was trained on whole fields, and runs on them.
        """
        shape, patching = self.shape((0, 0)), self.card.patching
        if patching is not None and stage == "mean":
            return windowed(network, Tiling(max(shape), 0))
        if tiles is not None:
            return windowed(network, tiles, pixels)
        assert patching is not None  # there are windows or patches
        return patched(network, patching, shape, pixels)

    def whole(self, condition: Tensor) -> Tensor | None:
        """Return the condition shrunk to a patch, if patches are told of it."""
        patching = self.card.patching
        return shrunk(condition, patching) if patching and patching.whole else None

    def cut(self, known: Tensor, whole: Tensor | None, part: Part) -> Tensor:
        """Return what a window or a patch is told."""
        if not isinstance(part, tuple):
            return conditions(known, whole, [part])
        own = known[..., *part]
        return own if whole is None else torch.cat([own, whole], dim=1)

    def position(self, parts: Sequence[Part]) -> Tensor | None:
        """Return rows and columns of patches, or corners of windows; None of whole fields."""
        patches = [part.index() for part in parts if isinstance(part, Patch)]
        if patches:
            return torch.stack(patches)
        corners = [(rows.start, columns.start) for rows, columns in cast(Sequence[Window], parts)]
        rows, columns = cast(Window, parts[0])
        whole = (rows.stop - rows.start, columns.stop - columns.start) == self.shape((0, 0))
        return None if whole else torch.tensor(corners)


def _points(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes of all points, (y, x)."""
    if lat.ndim == 1:
        lat, lon = np.meshgrid(lat, lon, indexing="ij")
    return lat.astype(np.float64), lon.astype(np.float64)


def _mirrored(place: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return which of `n` pixels stand at places; the mirror stands on the edge, as of `pad_to`."""
    place = place % (2 * n)
    return np.minimum(place, 2 * n - 1 - place)


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
