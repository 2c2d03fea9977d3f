"""Sparse weights between the cells of two grids."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Weights"]


class Weights(NamedTuple):
    """Which source cell counts how much for which target cell.

    Attributes
    ----------
    target, source : numpy.ndarray, (n,)
        Numbers of cells in C order, from 0 on.
    value : numpy.ndarray, (n,)
        Weights; zeros are kept, since they tell that a target is mapped.
    """

    target: np.ndarray
    source: np.ndarray
    value: np.ndarray

    @classmethod
    def none(cls) -> "Weights":
        """Return no weights."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))

    @classmethod
    def together(cls, parts: Sequence["Weights"]) -> "Weights":
        """Return the weights of several parts."""
        parts = [part for part in parts if part.value.size] or [cls.none()]
        return parts[0] if len(parts) == 1 else cls(*map(np.concatenate, zip(*parts, strict=True)))

    def in_order(self) -> "Weights":
        """Sort by target, then by source."""
        if not self.value.size:
            return self
        place = self.target * (int(self.source.max()) + 1) + self.source
        if (np.diff(place) >= 0).all():
            return self
        order = np.argsort(place, kind="stable")
        return Weights(self.target[order], self.source[order], self.value[order])

    def chosen(self, keep: np.ndarray) -> "Weights":
        """Return the weights where `keep`, one flag each, is true."""
        return Weights(self.target[keep], self.source[keep], self.value[keep])
