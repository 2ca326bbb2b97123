"""A figure's SVG as part of a page: transparent, in the page's colours, its ids apart from those of other figures."""

from __future__ import annotations

import re

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.plot.canvas import EDGE, GRID, INK, MUTED, PALETTE

__all__ = ["inline_svg"]

# Colours of the figures' style, and the custom property of the page that takes the place of each: the page gives it one
# value for light and one for dark. Ink is the page's own.
_COLORS = {
    INK: "currentColor",
    "#000000": "currentColor",
    MUTED: "var(--muted)",
    EDGE: "var(--axis)",
    GRID: "var(--grid)",
    **{color: f"var(--plot-{place})" for place, color in enumerate(PALETTE[:-1], start=1)},
}
_BACKGROUND = re.compile(r'(<g id="patch_\d+">\s*<path d="[^"]*"[^>]*?style="fill: )#ffffff')
_SIZE = re.compile(r'<svg [^>]*?viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')


def inline_svg(text: str, prefix: str, label: str) -> str:
    """The `<svg>` element of a file that `plot.save` wrote, as wide as its place allows up to its own size.

    `prefix` goes in front of each id, since all figures of a page share one space of names; `label` says in words what
    is to be seen. Raises `ArgumentError` for another kind of file.
    """
    found = _SIZE.search(text)
    if found is None:
        raise ArgumentError(f"inline_svg: {prefix}: no <svg> element with a viewBox, as matplotlib writes it")
    width, height = found.groups()
    body = text[found.end() : text.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _BACKGROUND.sub(r"\1none", body)
    for color, own in _COLORS.items():
        body = body.replace(color.lower(), own)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = body.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'href="#{prefix}-')
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r"\n\s*", "\n", body).strip()
    words = label.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    style = f"width:{float(width) * 4 / 3:.0f}px"  # a point is 4/3 pixel
    start = f'<svg role="img" aria-label="{words}" viewBox="0 0 {width} {height}" style="{style}">'
    return f"{start}\n{body}\n</svg>"
