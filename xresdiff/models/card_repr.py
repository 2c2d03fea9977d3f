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
    yield "Needs", [_quantity(same, aliases=True) for same in _quantities(card.inputs)]
    gives = [_quantity(same) + _promises(same[0], card) for same in _quantities(card.outputs)]
    if card.hours != (0.0,):
        gives.append(f"at {', '.join(f'{hour:+g}' for hour in card.hours)} hours from the input's")
    if target.kind == "refine":
        fine_km = target.spacing_km / target.factor
        gives.append(f"on the grid of the input refined by {target.factor} ({fine_km:g} km)")
    yield "Gives", gives
    yield "Where", [target.domain]
    if card.extras:
        yield "Told", [", ".join(dict.fromkeys(extra.name or extra.kind for extra in card.extras))]
    if card.lead_hours:
        yield "Lead times", [", ".join(f"{hour:g}" for hour in card.lead_hours) + " h"]
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


def _quantities(channels: "tuple[Channel, ...]") -> "list[list[Channel]]":
    """Put the channels together that are one quantity, on several levels or at several times."""
    quantities: dict[tuple[str, str], list[Channel]] = {}
    for channel in channels:
        quantities.setdefault((channel.name, channel.units), []).append(channel)
    return list(quantities.values())


def _quantity(same: "list[Channel]", *, aliases: bool = False) -> str:
    first = same[0]
    levels = list(dict.fromkeys(f"{c.level_Pa / 100:g}" for c in same if c.level_Pa is not None))
    offsets = list(dict.fromkeys(f"{c.offset_h:+g}" for c in same))
    at = f" at {', '.join(levels)} hPa" if levels else ""
    when = f", {', '.join(offsets)} h" if offsets != ["+0"] else ""
    other = f" (also {', '.join(first.aliases)})" if aliases and first.aliases else ""
    meaning = first.standard_name or first.long_name
    return f"{first.name}{at} [{first.units}] {meaning}{when}{other}".rstrip()


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
