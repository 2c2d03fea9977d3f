"""A directive, ``.. model-cards::``, that shows the cards of the models that come along."""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

import xresdiff


class ModelCards(Directive):
    """One section per model, from its own card."""

    has_content: ClassVar[bool] = False

    def run(self) -> list[nodes.Node]:
        sections: list[nodes.Node] = []
        for entry in xresdiff.models():
            if entry.url:  # it is elsewhere
                continue
            card = xresdiff.open_model(entry.name).card
            section = nodes.section(ids=[nodes.make_id(entry.name)], names=[entry.name])
            section += nodes.title(text=entry.name)
            section += nodes.raw(text=card._repr_html_(), format="html")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("model-cards", ModelCards)
    return {"parallel_read_safe": True}
