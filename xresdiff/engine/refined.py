"""Fields on the refined grid of their input: padded on the coarse grid, run in windows."""

from collections.abc import Callable, Sequence
from math import gcd

from torch import Tensor

from xresdiff.engine.domain import Denoise, DenoiseParts, Part
from xresdiff.engine.fields import Fields
from xresdiff.engine.tiles import pad_to, windowed
from xresdiff.engine.tiling import Tiling, Window
from xresdiff.models.card import ModelCard
from xresdiff.models.package import Stage

__all__ = ["Refined"]


class Refined:
    """A :class:`~xresdiff.engine.domain.Domain` wherever the input is.

    Parameters
    ----------
    card : ModelCard
        Of a model that refines the grid of its input.
    size_multiple : int
        Fine pixels that the height and width of what the networks take are a multiple of.
    """

    def __init__(self, card: ModelCard, size_multiple: int) -> None:
        self.fields = Fields(card)
        self.factor = self.fields.factor
        self._multiple = size_multiple // gcd(size_multiple, self.factor)  # of coarse cells
        self._least = -(-card.patch // self.factor)  # of them too

    def shape(self, coarse_shape: tuple[int, int]) -> tuple[int, int]:
        """Return the padded height and width, in fine pixels."""
        multiple = self._multiple
        height, width = (-(-max(n, self._least) // multiple) * multiple for n in coarse_shape)
        return height * self.factor, width * self.factor

    def crop(self, coarse_shape: tuple[int, int]) -> Window:
        """Return the rows and columns that are the result: the first."""
        rows, columns = coarse_shape
        return slice(0, rows * self.factor), slice(0, columns * self.factor)

    def enter(self, coarse: Tensor) -> Tensor:
        """Extend inputs by their mirror image."""
        return pad_to(coarse, self._multiple, self._least)[0]

    def condition(self, given: Tensor, moments: Tensor) -> Tensor:
        """Return what the networks are told, which does not depend on the time."""
        return self.fields.condition(given)

    def base(self, given: Tensor) -> Tensor:
        """Return the interpolated input with the global residual connection, else zero."""
        return self.fields.base(given)

    def keep(self, mean: Tensor, coarse_shape: tuple[int, int]) -> Tensor:
        """Hand on the mean without its padding, which is its own mirror image."""
        return mean[..., *self.crop(coarse_shape)]

    def restore(self, mean: Tensor) -> Tensor:
        """Pad the mean again."""
        return pad_to(mean, self.factor * self._multiple, self.factor * self._least)[0]

    def result(self, mean: Tensor) -> Tensor:
        """Return the mean as it was handed on."""
        return mean

    def decode(self, fine: Tensor, coarse: Callable[[], Tensor]) -> Tensor:
        """Return results in physical units, bounded and conserving."""
        return self.fields.decode(fine, coarse())

    def cover(
        self, network: DenoiseParts, stage: Stage, tiles: Tiling | None, pixels: int = 0
    ) -> Denoise:
        """Cover large fields with windows that overlap."""
        assert tiles is not None  # there are no patches here
        return windowed(network, tiles, pixels)

    def whole(self, condition: Tensor) -> None:
        """Tell windows nothing of the whole field."""

    def cut(self, known: Tensor, whole: Tensor | None, part: Part) -> Tensor:
        """Return what is known within a window."""
        assert isinstance(part, tuple)  # there are no patches here
        return known[..., *part]

    def position(self, parts: Sequence[Part]) -> None:
        """Tell networks nothing of the place: they work anywhere."""
