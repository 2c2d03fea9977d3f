"""The grids that are wanted: made from words, taken from Datasets, refined."""

from xresdiff.grids.target.making import refine, target_grid, whole_factor

__all__ = [
    "refine",
    "target_grid",
    "whole_factor",
]
