"""Equations as MathML, made when the site is built.

Browsers draw MathML themselves: no script, no fonts, no network, neither to build nor to read.
"""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

_MARKED = re.compile(
    r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>',
    re.DOTALL,
)


def on_page_content(page_html: str, /, *, page: object, **_: object) -> str:
    """Replace what arithmatex marked; an unknown command stops the build."""

    def mathml(found: re.Match[str]) -> str:
        latex = html.unescape(found[3]).strip()
        made = convert(latex, display="inline" if found[2] == "(" else "block")
        # What the converter does not know, it leaves as text.
        if "\\" in made:
            raise PluginError(f"{page}: not understood in an equation: {latex}")
        return made if found[2] == "(" else f'<div class="equation">{made}</div>'

    return _MARKED.sub(mathml, page_html)
