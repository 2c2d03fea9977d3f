"""How a model card shows itself: what it needs, gives, where, on which terms."""

import textwrap
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xresdiff.models.card import Channel, DataSource, ModelCard

__all__ = ["html", "text"]

WIDTH = 88


def text(card: "ModelCard") -> str:
    """Return the card as lines of text."""
    rows = [(label, list(lines)) for label, lines in _rows(card)]
    indent = max(len(label) for label, _ in rows) + 4
    out = [f"<ModelCard {card.name} {card.version}> {card.title}", ""]
    for label, lines in rows:
        for i, line in enumerate(lines):
            first = f"{label}: ".rjust(indent) if i == 0 else " " * indent
            follow = " " * (indent + 2)
            out += textwrap.wrap(line, WIDTH, initial_indent=first, subsequent_indent=follow)
    return "\n".join(out)


def html(card: "ModelCard") -> str:
    """Return the card as HTML, everything in it escaped."""
    rows = "".join(
        f"<tr><th style='text-align:right;vertical-align:top'>{escape(label)}</th>"
        f"<td style='text-align:left'>{'<br>'.join(map(escape, lines))}</td></tr>"
        for label, lines in _rows(card)
    )
    return (
        f"<div><strong>{escape(card.name)}</strong> {escape(card.version)}: {escape(card.title)}"
        f"<p style='max-width:50em'>{escape(card.description)}</p><table>{rows}</table></div>"
    )


def _rows(card: "ModelCard") -> Iterator[tuple[str, list[str]]]:
    """Yield every label and its lines, for both forms."""
    target = card.target
    yield "Needs", [_channel(channel, aliases=True) for channel in card.inputs]
    gives = [_channel(channel) + _promises(channel, card) for channel in card.outputs]
    if target.kind == "refine":
        fine_km = target.spacing_km / target.factor
        gives.append(f"on the grid of the input refined by {target.factor} ({fine_km:g} km)")
    yield "Gives", gives
    yield "Where", [target.domain]
    yield "Licence", [card.licence]
    yield "Trained on", [_source(source) for source in card.data]
    sampler = card.sampler
    yield "Sampler", [f"{sampler.name}, {sampler.steps} steps"]
    sizes = card.mean.network.parameters, card.residual.network.parameters
    yield "Parameters", ["mean {}, residual {}".format(*map(_count, sizes))]
    if card.scores:
        yield "Scores", [", ".join(f"{name} {score:.3g}" for name, score in card.scores.items())]
    if card.references:
        yield "References", list(card.references)


def _channel(channel: "Channel", *, aliases: bool = False) -> str:
    level = "" if channel.level_Pa is None else f" at {channel.level_Pa / 100:g} hPa"
    other = f" (also {', '.join(channel.aliases)})" if aliases and channel.aliases else ""
    meaning = channel.standard_name or channel.long_name
    return f"{channel.name}{level} [{channel.units}] {meaning}{other}".rstrip()


def _promises(channel: "Channel", card: "ModelCard") -> str:
    promises = []
    if channel.minimum is not None:
        promises.append(f"at least {channel.minimum:g}")
    if channel.maximum is not None:
        promises.append(f"at most {channel.maximum:g}")
    if channel.name in card.conserve:
        promises.append("block means kept")
    return "".join(f", {promise}" for promise in promises)


def _source(source: "DataSource") -> str:
    attribution = f": {source.attribution}" if source.attribution else ""
    return f"{source.name} ({source.licence}){attribution}"


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e5 else f"{number}"
