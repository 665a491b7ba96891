"""The part of `lpm unscramble ibp` that reduces integrals and prints what was found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from lpm.theory.ibp.family import Family, Index
    from lpm.theory.ibp.reduce import Reduction

__all__ = ["METHODS", "Form", "How", "reduce_integrals"]

METHODS = ("laporta", "learned")


@dataclass(frozen=True)
class How:
    """How to reduce.

    Args:
        family: Name or file of the family.
        point: Values, as text.
        prime: The modulus.
        keep: Symbol of which coefficients are functions, or two by a comma, or nothing.
        method: One of `METHODS`.
        memory: GiB for elimination.
        policy: What ranks the steps of a learned reduction.
        memo: File of its findings.
        workers: Its processes.
        symmetric: Whether sectors that carry into each other are one.
    """

    family: str
    point: str
    prime: int
    keep: str
    method: str
    memory: float
    policy: str
    memo: Path | None
    workers: int
    symmetric: bool


@dataclass(frozen=True)
class Form:
    """How to print.

    Args:
        json: For machines.
        latex: As LaTeX.
        judge: With the identities that add up to the result.
    """

    json: bool
    latex: bool
    judge: bool


def reduce_integrals(text: str, how: How, form: Form) -> None:
    """Reduce a sum of integrals and print it.

    Raises:
        ValueError: If the text is malformed, a value is missing, or memory runs out.
    """
    if how.method not in METHODS:
        raise ValueError(f"unknown method {how.method!r}; there are: {', '.join(METHODS)}")
    from lpm.theory.ibp.family import read_family
    from lpm.theory.ibp.reduce import read_terms, reduce_at, reduce_over, reduce_over_two

    family = read_family(how.family)
    terms = read_terms(text, family)
    values, room = _point(how.point, family, how.keep), int(how.memory * 2**30)
    if how.method == "learned":
        _print_learned(*_learned(family, terms, values, how), family, how.prime, form)
        return
    try:
        if how.keep:
            kept = tuple(_kept(how.keep))
            if len(kept) == 2:
                two = reduce_over_two(family, terms, values, kept, memory=room, symmetric=how.symmetric)
                texts = {i: f.text(*kept) for i, f in two.items()}
            else:
                one = reduce_over(family, terms, values, kept[0], memory=room, symmetric=how.symmetric)
                texts = {i: f.text(kept[0]) for i, f in one.items()}
            _print_functions({",".join(map(str, i)): text for i, text in texts.items()}, how.keep, form.json)
        else:
            done = reduce_at(family, terms, values, how.prime, memory=room, symmetric=how.symmetric)
            _print(done, family, how.prime, form)
    except MemoryError as error:
        raise ValueError(str(error)) from None


def _learned(
    family: Family, terms: Mapping[Index, Fraction], point: dict[str, int], how: How
) -> tuple[dict[Index, int], dict[str, Any]]:
    """Terms, and numbers that say how they were found."""
    from lpm.cli.progress import counting
    from lpm.model.checkpoint import resolve
    from lpm.theory.ibp.driver import Memo, Work, reduce
    from lpm.theory.modular import check_prime, residue

    if how.keep:
        raise ValueError("--keep: goes with the method laporta; the learned one works at one point")
    if how.symmetric:
        raise ValueError("--symmetries: goes with the method laporta; the learned one ends at masters of each sector")
    if how.workers < 1:
        raise ValueError(f"expected --workers of at least 1, got {how.workers}")
    check_prime(how.prime)
    work = Work(family, tuple(point.items()), how.prime, resolve(how.policy))
    memo, peak = Memo(work, how.memo), 0
    before = len(memo.known)
    with counting("integrals lowered") as more:

        def tell(index: Index, answer: Any) -> None:
            nonlocal peak
            peak = max(peak, answer.peak)
            more()

        values = {i: residue(c, how.prime) for i, c in terms.items()}
        found = reduce(work, values, workers=how.workers, memo=memo, tell=tell)
    told = {
        "lowered": len(memo.known) - before,
        "known": before,
        "trusted": len(memo.trusted),
        "peak_mb": round(peak / 2**20),
    }
    return found, told


def _print_learned(found: dict[Index, int], told: dict[str, Any], family: Family, prime: int, form: Form) -> None:
    # What was read from a memo, nobody has added up again.
    if form.json:
        content = {"terms": _keyed(found), "certified": not told["trusted"], "method": "learned", "prime": prime}
        typer.echo(json.dumps({**content, "family": family.name, **told}))
        return
    typer.echo(_sum(found, form.latex))
    if told["trusted"]:
        said = f"not certified: {told['trusted']:,} taken from the --memo as they stand; without it all are checked"
    else:
        said = "certified: identities add up to each"
    typer.echo(
        f"modulo {prime}; {told['lowered']:,} integrals lowered, {told['known']:,} known before; {said}; at most "
        f"{told['peak_mb']:,} MiB in a process"
    )


def _kept(text: str) -> list[str]:
    """Symbols of which coefficients are functions.

    Raises:
        ValueError: If there are more than two.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > 2:
        raise ValueError(f"--keep {text}: expected one symbol or two, got {len(names)}; give values of the others")
    return names


def _point(text: str, family: Family, keep: str) -> dict[str, int]:
    """Values of all symbols but the one that is kept."""
    values: dict[str, int] = {}
    for part in text.split(",") if text else []:
        name, _, value = part.partition("=")
        try:
            values[name.strip()] = int(value)
        except ValueError:
            raise ValueError(f"--point {part!r}: expected NAME=WHOLE NUMBER, as in d=41,m1=1") from None
    if unknown := [n for n in values if n not in family.symbols]:
        raise ValueError(f"--point: family {family.name} has no {', '.join(unknown)}; its symbols are "
                         f"{', '.join(family.symbols)}")  # fmt: skip
    if missing := [s for s in family.symbols if s not in values and s not in _kept(keep)]:
        raise ValueError(f"--point: no value for {', '.join(missing)}; give {','.join(f'{m}=…' for m in missing)}")
    return values


def _print(found: Reduction, family: Family, prime: int, form: Form) -> None:
    proof = [{"identity": name, "seed": seed, "factor": f} for name, seed, f in found.proof] if form.judge else None
    if form.json:
        content = {
            "terms": _keyed(found.terms), "certified": True, "settled": found.settled, "identities": len(found.proof),
            "prime": prime, "family": family.name, "equations": found.equations, "dots": found.seeds.dots,
            "rank": found.seeds.rank,
        }  # fmt: skip
        typer.echo(json.dumps({**content, **({"certificate": proof} if proof else {})}))
        return
    typer.echo(_sum(found.terms, form.latex))
    typer.echo(
        f"modulo {prime}; certified: {len(found.proof):,} of {found.equations:,} identities add up to it"
        + ("" if found.settled else "; more identities may reduce it further")
    )
    for one in proof or ():
        typer.echo(f"  {one['factor']} times {one['identity']} at {one['seed']}")


def _keyed(terms: dict[Index, int]) -> dict[str, int]:
    return {",".join(map(str, i)): v for i, v in terms.items()}


def _sum(terms: dict[Index, int], latex: bool) -> str:
    """A sum of integrals as text or LaTeX."""
    from lpm.theory.ibp.laporta import text_of

    if latex:
        return " + ".join(rf"{v}\, I_{{{','.join(map(str, i))}}}" for i, v in terms.items()) or "0"
    return text_of(terms)


def _print_functions(terms: dict[str, str], keep: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"terms": terms, "certified": True, "variable": keep}))
        return
    for index, text in terms.items():
        typer.echo(f"I[{index}] * ({text})")
    typer.echo("exact fractions, found modulo 63-bit primes and checked at another point and prime")
