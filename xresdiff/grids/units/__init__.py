"""Units converted or refused; amounts made rates."""

from xresdiff.grids.units.conversion import (
    QuantityLike,
    check,
    convert,
    factor_offset,
    geopotential_problem,
    is_difference,
)

__all__ = [
    "QuantityLike",
    "check",
    "convert",
    "factor_offset",
    "geopotential_problem",
    "is_difference",
]
