r"""Expressions as people and programs hand them over: plain text, LaTeX, or the JSON that `lpm unscramble` prints.

LaTeX is read as far as sums of integrals, dilogarithms and brackets need it: fractions, powers, products without a
sign, `\langle 1 2 \rangle`, `\mathrm{Li}_2`, `I_{1,0,2}`. Nothing is executed; what is left over is refused by whoever
reads the text.
"""

from __future__ import annotations

import json
import re

__all__ = ["plain"]

_LATEX = re.compile(r"\\|I_\{|\^\s*\{")
_SIZES = re.compile(r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|displaystyle)(?![A-Za-z])")
_SPACES = re.compile(r"\\(?:quad|!|;|:|,| )|\$|~")
_DILOG = re.compile(r"(?:(?:\\(?:mathrm|operatorname|text|textrm)\{Li\}|\\Li|\bLi)_(?:\{2\}|2)|\bLi2)\s*")
_INTEGRAL = re.compile(r"\bI_\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*")
_POWER = re.compile(r"\^\s*\{\s*(-?)\s*(\w+)\s*\}(\s*(?=\d))?")
_PRODUCT = re.compile(r"(?<=[\w)\]>])(?<!\x01)\s*(?=[A-Za-z(\x01])|(?<=[)\]>])\s*(?=\d)")
"""Between what stands side by side and is multiplied; \x01 stands for Li2 meanwhile."""


def plain(text: str) -> str:
    r"""The expression as plain text.

    Args:
        text: Plain text, LaTeX (anything with a backslash, `I_{…}` or `^{…}`), or JSON with the key `expression`,
            `result` or `terms`.

    Raises:
        ValueError: If JSON holds no expression, or braces do not match.

    Example:
        >>> plain(r"2\,\mathrm{Li}_2\left(\frac{x^{2}}{x-1}\right)")
        '2*Li2(((x^2)/(x-1)))'
        >>> plain(r"\frac{\langle 1 2 \rangle^{2}}{3[2 3]}"), plain(r"[1 2]^{-1}")
        ('((<1 2>^2)/(3[2 3]))', '[1 2]^-1')
        >>> plain(r"303\,I_{1,0,1} - I_{0,1,1}"), plain('{"terms": {"1,0,1": 303}}'), plain("Li2(x)")
        ('303*I[1,0,1] - I[0,1,1]', '303*I[1,0,1]', 'Li2(x)')
    """
    if text.lstrip().startswith("{"):
        text = _of_json(text)
    if not _LATEX.search(text):
        return text
    text = _SPACES.sub(" ", _SIZES.sub("", text))
    text = re.sub(r"\\(?:cdot|times)(?![A-Za-z])", "*", text)
    text = re.sub(r"\\langle\s*", "<", text)
    text = re.sub(r"\s*\\rangle", ">", text)
    text = _INTEGRAL.sub(r"I[\1]", _DILOG.sub("\x01", text))
    text = _fractions(text)
    # A digit behind an exponent is a factor, not its last digit.
    text = _POWER.sub(lambda m: f"^{m[1]}{m[2]}" + ("" if m[3] is None else "*"), text)
    text = text.replace("{", "(").replace("}", ")")
    return _PRODUCT.sub("*", text).replace("\x01", "Li2").strip()


def _of_json(text: str) -> str:
    try:
        read = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"JSON: {error}") from None
    for key in ("expression", "result"):
        if isinstance(read.get(key), str):
            return str(read[key])
    terms = read.get("terms")
    if isinstance(terms, dict) and terms:
        return " + ".join(f"{c}*I[{i}]" for i, c in terms.items()).replace("+ -", "- ")
    raise ValueError('JSON: expected {"expression": "…"}, {"result": "…"} or {"terms": {"1,0,2": 3, …}}')


def _fractions(text: str) -> str:
    """With each fraction as a quotient in brackets."""
    while found := _FRACTION.search(text):
        high, at = _group(text, found.end())
        low, end = _group(text, at)
        text = f"{text[: found.start()]}(({high})/({low})){text[end:]}"
    return text


def _group(text: str, at: int) -> tuple[str, int]:
    """What stands in braces, or the one sign that does, from a place on; and where it ends."""
    at += len(text[at:]) - len(text[at:].lstrip())
    if at < len(text) and text[at] != "{":
        return text[at], at + 1
    depth = 0
    for end in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if not depth:
            return text[at + 1 : end], end + 1
    raise ValueError(rf"column {at + 1}: expected a group in braces after \frac, got {text[at : at + 20]!r}")
