"""What the coordinates and variables of a Dataset are, whatever they are called."""

from xresdiff.grids.coords.criteria import MEMBER_NAMES, RoleName, role_candidates
from xresdiff.grids.coords.finding import ChannelLike, find_coordinate, find_variable, other_dims
from xresdiff.grids.coords.horizontal import Horizontal, find_horizontal, listing
from xresdiff.grids.coords.spacing import (
    EARTH_RADIUS_KM,
    KM_PER_UNIT,
    check_order,
    check_uniform,
    spacing_km,
    step_of,
)

__all__ = [
    "EARTH_RADIUS_KM",
    "KM_PER_UNIT",
    "MEMBER_NAMES",
    "ChannelLike",
    "Horizontal",
    "RoleName",
    "check_order",
    "check_uniform",
    "find_coordinate",
    "find_horizontal",
    "find_variable",
    "listing",
    "other_dims",
    "role_candidates",
    "spacing_km",
    "step_of",
]
