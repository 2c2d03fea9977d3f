"""The figures as methods: ``.resdiff.plot``, one line each."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from xresdiff.plot import (
    calibrations,
    distributions,
    events,
    fields,
    histories,
    profiles,
    spectra,
)
from xresdiff.plot.paper import References
from xresdiff.verify.events import Levels
from xresdiff.verify.kernels.spectral import Window
from xresdiff.verify.spectra.power import Sides, Spacing
from xresdiff.verify.types import Data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["PlotMethods"]


class PlotMethods:
    """Figures, as ``.resdiff.plot``; see :mod:`xresdiff.plot`."""

    def __init__(self, obj: Data) -> None:
        self._obj = obj

    def stamps(
        self,
        obs: Data | None = None,
        *,
        coarse: Data | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        members: int = 4,
        time: Any = None,
        figsize: tuple[float, float] | None = None,
    ) -> "Figure":
        """Show the input, the truth, the mean, the spread and some members side by side.

        See :func:`xresdiff.plot.stamps`.
        """
        return fields.stamps(
            self._obj,
            obs,
            coarse=coarse,
            variable=variable,
            member_dim=member_dim,
            members=members,
            time=time,
            figsize=figsize,
        )

    def map(
        self,
        *,
        variable: Hashable | None = None,
        time: Any = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "QuadMesh":
        """Show one field.

        See :func:`xresdiff.plot.map`.
        """
        return fields.map(
            self._obj,
            variable=variable,
            time=time,
            ax=ax,
            figsize=figsize,
        )

    def spectrum(
        self,
        obs: Data | None = None,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
        band: float = 0.9,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show the spectra of the ensemble, the truth and other fields against wavelength.

        See :func:`xresdiff.plot.spectrum`.
        """
        return spectra.spectrum(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            sides=sides,
            spacing_km=spacing_km,
            window=window,
            band=band,
            ax=ax,
            figsize=figsize,
        )

    def pdf(
        self,
        obs: Data | None = None,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        bins: int | Sequence[float] | None = None,
        band: float = 0.9,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show the probability density of the ensemble, the truth and other fields.

        See :func:`xresdiff.plot.pdf`.
        """
        return distributions.pdf(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            bins=bins,
            band=band,
            ax=ax,
            figsize=figsize,
        )

    def rank_histogram(
        self,
        obs: Data,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        cases: int | None = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "BarContainer":
        """Show how often the truth takes each place among the sorted members.

        See :func:`xresdiff.plot.rank_histogram`.
        """
        return calibrations.rank_histogram(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            cases=cases,
            ax=ax,
            figsize=figsize,
        )

    def spread_skill(
        self,
        obs: Data,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        classes: int = 12,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show how large the errors are where the spread is small, and where it is large.

        See :func:`xresdiff.plot.spread_skill`.
        """
        return calibrations.spread_skill(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            classes=classes,
            ax=ax,
            figsize=figsize,
        )

    def reliability(
        self,
        obs: Data,
        *,
        threshold: Levels,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        classes: int | None = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show how often an event happens where the members say that it does with a probability.

        See :func:`xresdiff.plot.reliability`.
        """
        return events.reliability(
            self._obj,
            obs,
            threshold=threshold,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            classes=classes,
            ax=ax,
            figsize=figsize,
        )

    def fss(
        self,
        obs: Data,
        *,
        threshold: Levels,
        scale_km: Levels | None = None,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        sides: Sides | None = None,
        spacing_km: Spacing | None = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show the fractions skill score (FSS) of events against the width of neighbourhoods.

        See :func:`xresdiff.plot.fss`.
        """
        return events.fss(
            self._obj,
            obs,
            threshold=threshold,
            scale_km=scale_km,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            sides=sides,
            spacing_km=spacing_km,
            ax=ax,
            figsize=figsize,
        )

    def radial_profile(
        self,
        obs: Data | None = None,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        time: Any = None,
        band: float = 0.9,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show the wind, or another variable, against the distance from the centre of a cyclone.

        See :func:`xresdiff.plot.radial_profile`.
        """
        return profiles.radial_profile(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            time=time,
            band=band,
            ax=ax,
            figsize=figsize,
        )

    def cross_section(
        self,
        obs: Data | None = None,
        *,
        reference: References | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        time: Any = None,
        band: float = 0.9,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show a variable along a line, across a front say, against the distance from its start.

        See :func:`xresdiff.plot.cross_section`.
        """
        return profiles.cross_section(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            time=time,
            band=band,
            ax=ax,
            figsize=figsize,
        )

    def history(self, *, figsize: tuple[float, float] | None = None) -> "Figure":
        """Show how a training goes: ``xresdiff.history("run").resdiff.plot.history()``.

        See :func:`xresdiff.plot.history`.
        """
        return histories.history(self._obj, figsize=figsize)
