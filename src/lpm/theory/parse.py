"""Arithmetic from text, without evaluating text: numbers, names, + - * / ^, brackets, and functions of one argument.

A parsed expression is evaluated with whatever arithmetic the values of its names bring along: whole numbers modulo a
prime, fractions, complex numbers, vectors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Expression", "parse"]

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\*\*|[-+*/^()]))")
_DEEPEST = 200
"""Brackets and signs within one another: beyond this, text is no formula but an accident or an attack."""


@dataclass(frozen=True)
class Expression:
    """A node of a parsed expression.

    Args:
        kind: `number`, `name`, `call`, `negative`, or one of `+ - * / ^`.
        value: The number, the name, or the function's name.
        parts: What it is made of.
    """

    kind: str
    value: int | str = 0
    parts: tuple[Expression, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Names that need a value."""
        own = {self.value} if self.kind == "name" else set()
        return frozenset(str(n) for n in own).union(*(p.names for p in self.parts))

    def evaluate(
        self,
        names: Mapping[str, Any],
        number: Callable[[int], Any] = int,
        functions: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> Any:
        """The value.

        Args:
            names: Value of each name.
            number: Makes a value of a whole number.
            functions: What the functions do.

        Raises:
            ValueError: If a name or function is unknown.
            ZeroDivisionError: If the arithmetic of the values says so.

        Example:
            >>> from fractions import Fraction
            >>> parse("(m1 + m3 - m2)/2").evaluate({"m1": 1, "m2": 31, "m3": 47}, Fraction)
            Fraction(17, 2)
        """
        if self.kind == "number":
            return number(int(self.value))
        if self.kind == "name":
            if self.value not in names:
                raise ValueError(f"no value for {self.value}; known are {', '.join(sorted(names)) or 'none'}")
            return names[str(self.value)]
        if self.kind == "call":
            if not functions or self.value not in functions:
                known = ", ".join(sorted(functions or ())) or "none"
                raise ValueError(f"unknown function {self.value}; known are {known}")
            return functions[str(self.value)](self.parts[0].evaluate(names, number, functions))
        if self.kind == "^":
            return self.parts[0].evaluate(names, number, functions) ** int(self.value)
        found = [p.evaluate(names, number, functions) for p in self.parts]
        if self.kind == "negative":
            return -found[0]
        a, b = found
        if self.kind == "+":
            return a + b
        if self.kind == "-":
            return a - b
        return a * b if self.kind == "*" else a / b


def parse(text: str) -> Expression:
    """An expression from text. `2x` is not a product; `x^-2`, `x^(-2)` and `x**2` are powers.

    Raises:
        ValueError: If the text is malformed: it names the column, from 1, and the reason.

    Example:
        >>> parse("1 - x^2").evaluate({"x": 3})
        -8
        >>> parse("a + * b")
        Traceback (most recent call last):
        ValueError: column 5: expected a number, a name or a bracket, got '*'
    """
    return _Parser(text).whole()


class _Parser:
    """Recursive descent: sums of products of powers."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                column = at + len(text[at:]) - len(text[at:].lstrip())
                raise ValueError(f"column {column + 1}: unexpected character {text[column]!r}")
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind].replace("**", "^"), found.start(kind) + 1))
            at = found.end()
        self.end = len(text.rstrip()) + 1
        self.place = self.depth = 0

    def whole(self) -> Expression:
        out = self.sum()
        if self.place < len(self.tokens):
            _, word, column = self.tokens[self.place]
            raise ValueError(f"column {column}: expected an operator or the end, got {word!r}")
        return out

    def next(self, *wanted: str) -> str:
        """The next token if it is one of these, else nothing."""
        if self.place < len(self.tokens) and self.tokens[self.place][1] in wanted:
            self.place += 1
            return self.tokens[self.place - 1][1]
        return ""

    def sum(self) -> Expression:
        out = self.product()
        while sign := self.next("+", "-"):
            out = Expression(sign, parts=(out, self.product()))
        return out

    def product(self) -> Expression:
        out = self.signed()
        while sign := self.next("*", "/"):
            out = Expression(sign, parts=(out, self.signed()))
        return out

    def signed(self) -> Expression:
        self._deeper()
        if self.next("-"):
            out = Expression("negative", parts=(self.signed(),))
        else:
            out = self.signed() if self.next("+") else self.power()
        self.depth -= 1
        return out

    def power(self) -> Expression:
        base = self.atom()
        if not self.next("^"):
            return base
        bracket = self.next("(")
        sign = -1 if self.next("-") else 1
        kind, word, column = self._take("a whole number as exponent")
        if kind != "number":
            raise ValueError(f"column {column}: expected a whole number as exponent, got {word!r}")
        if bracket:
            self._close()
        return Expression("^", sign * int(word), (base,))

    def atom(self) -> Expression:
        kind, word, column = self._take("a number, a name or a bracket")
        if kind == "number":
            return Expression("number", int(word))
        if kind == "name":
            if not self.next("("):
                return Expression("name", word)
            return Expression("call", word, (self._closed(),))
        if word != "(":
            raise ValueError(f"column {column}: expected a number, a name or a bracket, got {word!r}")
        return self._closed()

    def _closed(self) -> Expression:
        """What stands up to the closing bracket."""
        self._deeper()
        out = self.sum()
        self._close()
        self.depth -= 1
        return out

    def _close(self) -> None:
        _, word, column = self._take("a closing bracket")
        if word != ")":
            raise ValueError(f"column {column}: expected a closing bracket, got {word!r}")

    def _take(self, wanted: str) -> tuple[str, str, int]:
        if self.place == len(self.tokens):
            raise ValueError(f"column {self.end}: expected {wanted}, got the end")
        self.place += 1
        return self.tokens[self.place - 1]

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} brackets and signs within one another")
