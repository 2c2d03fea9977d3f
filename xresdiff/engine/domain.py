"""How fields reach the networks and come back: what the two kinds of target have in common."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from torch import Tensor

from xresdiff.engine.patching import Patch
from xresdiff.engine.tiling import Tiling, Window
from xresdiff.models.package import Stage

__all__ = ["Denoise", "DenoiseParts", "Domain", "Part"]

Part: TypeAlias = Window | Patch  # of a field, as a network is given it
Denoise: TypeAlias = Callable[[Tensor, Tensor], Tensor]
DenoiseParts: TypeAlias = Callable[[Tensor, Tensor, Sequence[Part]], Tensor]


class Domain(Protocol):
    """The way of the fields of a model to its networks and back.

    The networks work on ``(b, k, h, w)``, which may be larger than the result, ``(b, k, y, x)``.
    """

    def shape(self, coarse_shape: tuple[int, int]) -> tuple[int, int]:
        """Return h and w for inputs of Y and X cells."""
        ...

    def crop(self, coarse_shape: tuple[int, int]) -> Window:
        """Return the rows and columns of h and w that are the result."""
        ...

    def enter(self, coarse: Tensor) -> Tensor:
        """Return inputs ``(b, c, Y, X)``, extended if the networks need more."""
        ...

    def condition(self, given: Tensor, moments: Tensor) -> Tensor:
        """Return what the networks are told of entered inputs, ``(b, k, h, w)``.

        `moments` tells the time of each in seconds since 1970 and its lead label, ``(b, 2)``.
        """
        ...

    def base(self, given: Tensor) -> Tensor:
        """Return what the output of the mean network is added to, ``(b, k, h, w)``."""
        ...

    def keep(self, mean: Tensor, coarse_shape: tuple[int, int]) -> Tensor:
        """Return what of a mean ``(b, k, h, w)`` is handed on between the stages."""
        ...

    def restore(self, mean: Tensor) -> Tensor:
        """Return a mean that was handed on as ``(b, k, h, w)`` again."""
        ...

    def result(self, mean: Tensor) -> Tensor:
        """Return a mean that was handed on as ``(b, k, y, x)``."""
        ...

    def decode(self, fine: Tensor, coarse: Callable[[], Tensor]) -> Tensor:
        """Return encoded results ``(b, k, y, x)`` in physical units.

        `coarse` gives their inputs, ``(b, c, Y, X)``.
        """
        ...

    def cover(
        self, network: DenoiseParts, stage: Stage, tiles: Tiling | None, pixels: int = 0
    ) -> Denoise:
        """Make a network of whole fields from one of their parts.

        It is given parts of up to so many `pixels` at once, or one of all fields. Without `tiles`,
        the parts are those of the model's own patching, if it has one.
        """
        ...

    def whole(self, condition: Tensor) -> Tensor | None:
        """Return what every part is told of the whole field, ``(b, d, ...)``, if anything."""
        ...

    def cut(self, known: Tensor, whole: Tensor | None, part: Part) -> Tensor:
        """Return what a part is told, ``(b, k + d, ...)``: its cut of `known`, then `whole`."""
        ...

    def position(self, parts: Sequence[Part]) -> Tensor | None:
        """Return where parts lie, for networks with maps of their grid; None of whole fields."""
        ...
