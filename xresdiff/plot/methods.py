"""The figures as methods: ``.resdiff.plot``, one line each."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from xresdiff.plot import curves, fields, histories
from xresdiff.verify.kernels import Window
from xresdiff.verify.pairs import Data
from xresdiff.verify.spectra import Sides, Spacing

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
        return fields.map(self._obj, variable=variable, time=time, ax=ax, figsize=figsize)

    def spectrum(
        self,
        obs: Data | None = None,
        *,
        reference: Mapping[str, Data] | None = None,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        dim: Sides | None = None,
        spacing_km: Spacing | None = None,
        window: Window = "dct",
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show the spectra of the members, the truth and other fields against wavelength.

        See :func:`xresdiff.plot.spectrum`.
        """
        return curves.spectrum(
            self._obj,
            obs,
            reference=reference,
            variable=variable,
            member_dim=member_dim,
            dim=dim,
            spacing_km=spacing_km,
            window=window,
            ax=ax,
            figsize=figsize,
        )

    def rank_histogram(
        self,
        obs: Data,
        *,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "BarContainer":
        """Show how often the truth takes each place among the sorted members.

        See :func:`xresdiff.plot.rank_histogram`.
        """
        return curves.rank_histogram(
            self._obj, obs, variable=variable, member_dim=member_dim, ax=ax, figsize=figsize
        )

    def spread_skill(
        self,
        obs: Data,
        *,
        variable: Hashable | None = None,
        member_dim: Hashable | None = None,
        classes: int = 12,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "list[Line2D]":
        """Show how large the errors are where the spread is small, and where it is large.

        See :func:`xresdiff.plot.spread_skill`.
        """
        return curves.spread_skill(
            self._obj,
            obs,
            variable=variable,
            member_dim=member_dim,
            classes=classes,
            ax=ax,
            figsize=figsize,
        )

    def history(self, *, figsize: tuple[float, float] | None = None) -> "Figure":
        """Show how a training goes: ``xresdiff.history("run").resdiff.plot.history()``.

        See :func:`xresdiff.plot.history`.
        """
        return histories.history(self._obj, figsize=figsize)
