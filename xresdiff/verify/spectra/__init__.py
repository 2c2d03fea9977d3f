"""Power spectra on limited areas: how much variance there is at every wavelength.

`power` has the spectrum of a field and the distance of two, `winds` that of kinetic energy, `cross`
what two variables have in common, `resolution` down to which scale a forecast has what is observed;
`sides` finds the plane that the waves lie in. The transforms are in `xresdiff.verify.kernels`.
"""

from xresdiff.verify.spectra.cross import coherence, cross_spectrum
from xresdiff.verify.spectra.power import log_spectral_distance, spectrum
from xresdiff.verify.spectra.resolution import effective_resolution
from xresdiff.verify.spectra.sides import Sides, Spacing
from xresdiff.verify.spectra.winds import kinetic_energy_spectrum

__all__ = [
    "Sides",
    "Spacing",
    "coherence",
    "cross_spectrum",
    "effective_resolution",
    "kinetic_energy_spectrum",
    "log_spectral_distance",
    "spectrum",
]
