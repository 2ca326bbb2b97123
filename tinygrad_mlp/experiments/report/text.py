"""Text as each format needs it, so that no name or sentence is taken for markup."""

from __future__ import annotations

import re

__all__ = ["escape_latex", "escape_markdown"]

_SPACES = re.compile(r"[^\S\u00a0\u202f]+")  # any but those that keep words together
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")


def escape_markdown(words: str) -> str:
    """Text inside a line of GitHub's Markdown, also of a table."""
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    words = _MARKDOWN.sub(r"\\\1", words).replace("$", "<span>$</span>")  # as GitHub has it, lest it be a formula
    return " ".join(words.split())


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "\u00a0": "~",
    "\u202f": r"\,",
}
_GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi "
    "psi omega Delta Sigma Omega"
)
# pdfLaTeX knows Latin letters with accents, but none of these.
_FORMULAE = {
    "−": "-",
    "×": r"\times",
    "±": r"\pm",
    "·": r"\cdot",
    "≤": r"\leq",
    "≥": r"\geq",
    "≈": r"\approx",
    "≠": r"\neq",
    "√": r"\surd",
    "→": r"\to",
    "←": r"\leftarrow",
    "∞": r"\infty",
    "∂": r"\partial",
    "²": "^2",
    "³": "^3",
    "°": r"^\circ",
    "′": r"^\prime",
    "″": r"^{\prime\prime}",
    "≪": r"\ll",
    "≫": r"\gg",
    "∈": r"\in",
    **{letter: f"^{digit}" for letter, digit in zip("⁰¹⁴⁵⁶⁷⁸⁹⁺⁻", "01456789+-", strict=True)},
    **{letter: f"_{digit}" for letter, digit in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)},
    **{letter: rf"\{name}" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψωΔΣΩ", _GREEK.split(), strict=True)},
}


def escape_latex(words: str) -> str:
    """Text outside formulae, for pdfLaTeX with nothing but what tables.tex asks for."""
    plain = _SPACES.sub(" ", "".join(letter for letter in words if letter.isprintable() or letter.isspace()))
    return "".join(
        _LATEX.get(letter) or (f"${_FORMULAE[letter]}$" if letter in _FORMULAE else letter) for letter in plain
    )
