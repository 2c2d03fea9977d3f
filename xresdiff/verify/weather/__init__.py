"""Case studies: a cyclone and the rings around it, a section through a front.

`cyclones` finds centres, `rings` averages around them, `sections` cuts along a line; where the
points of a grid are is in `geography`, which variables are its wind and which way that blows in
`winds`.
"""

from xresdiff.verify.weather.cyclones import find_cyclone
from xresdiff.verify.weather.rings import azimuthal_mean, maximum_wind
from xresdiff.verify.weather.sections import cross_section

__all__ = ["azimuthal_mean", "cross_section", "find_cyclone", "maximum_wind"]
