"""`lpm unscramble DOMAIN EXPR`: simplify or reduce an expression, with a proof of what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lpm.cli.integrals import Form, How, reduce_integrals

if TYPE_CHECKING:
    from lpm.theory.dilog import Dilogs
    from lpm.theory.engine import Found, Rank
    from lpm.theory.spinor import Brackets

__all__ = ["unscramble"]


def unscramble(
    domain: Annotated[
        str, typer.Argument(help="ibp: Feynman integrals; dilog: sums of Li2; spinor: brackets <12>, [12].")
    ],
    expr: Annotated[str, typer.Argument(help="The expression, or a file with it: I[2,1,1,1]; Li2(x) + Li2(1-x).")],
    family: Annotated[str, typer.Option(help="Family of integrals: a name, or a JSON file.")] = "trianglebox",
    point: Annotated[str, typer.Option(help="Values: d=41,m1=1,m2=31,m3=47.")] = "",
    prime: Annotated[int, typer.Option(help="Reduce modulo this prime; below 2^63.")] = 2**31 - 1,
    keep: Annotated[
        str, typer.Option(help="Find coefficients as exact functions of this symbol, or of two: d,s.")
    ] = "",
    symmetries: Annotated[
        bool, typer.Option("--symmetries", help="Take integrals that a change of momenta makes equal for one.")
    ] = False,
    method: Annotated[
        str, typer.Option(help="How to reduce: laporta, or learned, whose memory does not grow.")
    ] = "laporta",
    policy: Annotated[
        str,
        typer.Option(help="Run folder or shipped model that ranks steps; for learned, ibp-trianglebox if not said."),
    ] = "",
    memo: Annotated[Path | None, typer.Option(help="File of what learned finds; it goes on from there.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, for learned.")] = 1,
    memory: Annotated[float, typer.Option(help="Most memory for what elimination finds, GiB.")] = 16.0,
    points: Annotated[int, typer.Option(help="Number of particles in spinor brackets.")] = 5,
    beam: Annotated[int, typer.Option(help="Sums that are followed at a time, for dilog and spinor.")] = 20,
    seconds: Annotated[float, typer.Option(help="Time for the search of a simpler sum.")] = 60.0,
    logs: Annotated[bool, typer.Option("--logs", help="Also what sums of Li2 drop: logarithms and constants.")] = False,
    judge: Annotated[bool, typer.Option("--judge", help="Also print what certifies the result.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print LaTeX.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Reduce Feynman integrals to masters, simplify dilogarithms and spinor brackets; each result is certified.

    Integrals: the identities that a result follows from are added up. Dilogarithms, modulo products of logarithms and
    constants: the symbols of both sums are compared. Brackets: both sums are evaluated at points of a finite field that
    conserve momentum. Exit code 1 if time or memory runs out.

    Raises:
        ValueError: If the expression is malformed, a value is missing, or memory runs out.
    """
    if domain in ("dilog", "spinor"):
        if beam < 1 or seconds <= 0:
            raise ValueError(f"expected a beam of at least 1 and some time, got {beam} and {seconds:g} s")
        text = _text(expr)
        if policy and logs:
            raise ValueError("--policy: leave it out with --logs")
        if domain == "dilog":
            done = _dilog(text, beam, seconds, logs, policy)
        else:
            done = _spinor(text, points, beam, seconds, policy)
        _print_sum(done, latex, as_json, _certificate(done) if judge else None)
        return
    if domain != "ibp":
        raise ValueError(f"unknown domain {domain!r}; there are: ibp, dilog, spinor")
    how = How(family, point, prime, keep, method, memory, policy or "ibp-trianglebox", memo, workers, symmetries)
    reduce_integrals(_text(expr), how, Form(as_json, latex, judge))


_Done = tuple["Dilogs | Brackets", "Found", str, str]
"""What was given, what was found, how it was judged, and what it lacks."""


def _rank(domain: str, run: str) -> Rank | None:
    """The policy of a run or shipped model; None if none is named."""
    if not run:
        return None
    from lpm.model.checkpoint import load

    if domain == "dilog":
        from lpm.theory.dilog.policy import policy
    else:
        from lpm.theory.spinor.policy import policy
    return policy(load(run))


def _dilog(text: str, beam: int, seconds: float, logs: bool, policy: str) -> _Done:
    from lpm.theory.dilog import equal, equation, read, simplify

    e, rest = read(text), ""
    if logs:
        found, dropped = equation(e, beam=beam, seconds=seconds)
        rest = str(dropped)
    else:
        found = simplify(e, beam=beam, seconds=seconds, policy=_rank("dilog", policy))
    if not equal(e, found.expression):
        raise ValueError(f"{found.expression} is not equal to what was given: please report this")
    kept = "with principal values, for x not real" if logs else "modulo products of logarithms and constants"
    return e, found, f"{kept}; certified: the symbols are equal", rest


def _spinor(text: str, points: int, beam: int, seconds: float, policy: str) -> _Done:
    from lpm.theory.spinor import equal, read, simplify

    if not 4 <= points <= 12:
        raise ValueError(f"--points: expected 4 to 12 particles, got {points}")
    e = read(text, points)
    found = simplify(e, beam=beam, seconds=seconds, policy=_rank("spinor", policy))
    if not equal(e, found.expression):
        raise ValueError(f"{found.expression} is not equal to what was given: please report this")
    return e, found, "certified: equal at random points of a finite field", ""


def _certificate(done: _Done) -> Any:
    """What certifies that both sums are equal."""
    from lpm.theory import dilog, spinor

    given, found = done[0], done[1].expression
    if isinstance(given, spinor.Brackets):
        return spinor.certificate(given, found)
    return {"given": dilog.certificate(given), "result": dilog.certificate(found)}


def _print_sum(done: _Done, latex: bool, as_json: bool, certificate: Any) -> None:
    e, found, judged, rest = done
    result: Dilogs | Brackets = found.expression
    text = result.latex() if latex else str(result)
    if as_json:
        content = {"result": text, "terms": len(result), "certified": True, "steps": list(found.steps)}
        more = {"rest": rest or None, "certificate": certificate}
        typer.echo(json.dumps({**content, "complete": found.complete, **{k: v for k, v in more.items() if v}}))
    else:
        typer.echo(f"{text}  +  {rest}" if rest else text)
        for step in found.steps:
            typer.echo(f"  by {step}")
        ended = "" if found.complete else "; time was up, there may be a simpler sum"
        typer.echo(f"{len(e)} to {len(result)} terms; {judged}{ended}")
        if certificate:
            typer.echo(json.dumps(certificate, indent=1))
    if not found.complete:
        raise typer.Exit(1)


def _text(expr: str) -> str:
    """The expression itself, or what a file holds: text, LaTeX or JSON."""
    from lpm.theory.notation import plain

    try:
        is_file = Path(expr).is_file()
    except OSError:  # too long for a name
        is_file = False
    return plain(Path(expr).read_text(encoding="utf-8") if is_file else expr)
