"""The search for a shorter sum of brackets.

What is a single product needs no search, it is read off from its zeros and poles. Else steps are followed that leave
the fewest terms, which is known before they are taken (`priced`), or those that a policy ranks highest.
"""

from __future__ import annotations

from lpm.theory.engine import Found, Rank, search
from lpm.theory.spinor.brackets import Brackets
from lpm.theory.spinor.effects import priced
from lpm.theory.spinor.points import single
from lpm.theory.spinor.steps import Sums, fold, tidy

__all__ = ["TRIED", "simplify"]

TRIED = 4
"""Steps of a sum that are taken unless another number is given: more of them find no shorter sums, and take longer."""


def simplify(
    e: Brackets,
    *,
    beam: int = 20,
    patience: int = 4,
    seconds: float = 60.0,
    policy: Rank | None = None,
    tried: int = TRIED,
) -> Found:
    """A sum of as few products as are found.

    A single product is read off (`single`). Else steps are searched, first those that bring in one term at most, then
    two, then three.

    Args:
        e: The sum.
        beam: Sums that are followed at a time; 1 is greedy.
        patience: Rounds without a simpler one after which to stop.
        seconds: Time after which to stop.
        policy: Ranks the steps, in place of what they leave.
        tried: Steps of a sum that are taken, those that rank highest.

    Returns:
        The sum; the steps are text.

    Example:
        >>> from lpm.theory.spinor.brackets import read
        >>> found = simplify(read("<12><34> + <14><23>", 5))
        >>> print(found.expression)
        <13><24>
    """
    if len(e) > 1 and (one := single(e)) is not None:
        return Found(one, (f"zeros and poles, for all {len(e)} terms",), 1, True)
    out = Found(fold(e), (), 1, True)
    for new in (1, 2, 3):
        if len(out.expression) > 1:
            more = search(
                Sums(e.n, new), out.expression, beam=beam, patience=patience, seconds=seconds / 3, fewest=1,
                rank=policy or priced, tried=tried,
            )  # fmt: skip
            out = Found(
                more.expression, (*out.steps, *more.steps), out.seen + more.seen, out.complete and more.complete
            )
    return Found(tidy(out.expression), tuple(s.text(e.n) for s in out.steps), out.seen, out.complete)
