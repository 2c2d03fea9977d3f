"""The scores as methods of ``.resdiff``, one line each."""

from xresdiff.verify.methods.distributions import DistributionMethods
from xresdiff.verify.methods.events import EventMethods
from xresdiff.verify.methods.scores import ScoreMethods
from xresdiff.verify.methods.spectra import SpectrumMethods
from xresdiff.verify.methods.weather import WeatherMethods

__all__ = ["VerifyMethods"]


class VerifyMethods(
    ScoreMethods, DistributionMethods, EventMethods, SpectrumMethods, WeatherMethods
):
    """All of :mod:`xresdiff.verify`."""
