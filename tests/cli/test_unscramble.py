"""`lpm unscramble`: what it prints, to people and to scripts, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

POINT = ("--point", "d=41,m1=1,m2=31,m3=47", "--prime", "1009")


def lpm(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lpm.cli", "unscramble", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_form_that_scripts_use() -> None:
    out = lpm("ibp", "I[2,0,2,0,1,1,0]", "--family", "trianglebox", *POINT, "--method", "laporta", "--json")
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert found["terms"] == {
        "1,-1,1,0,1,1,0": 107, "1,0,1,0,1,1,0": 303, "1,0,1,0,0,1,0": 915, "1,0,1,0,1,0,0": 752,
    }  # fmt: skip
    assert found["certified"] is True
    assert found["settled"] is True


def test_a_file_and_exact_functions(tmp_path: Path) -> None:
    (tmp_path / "sum.txt").write_text("I[2,1,1,1]\n")
    out = lpm("ibp", str(tmp_path / "sum.txt"), "--family", "box", "--point", "s=1,t=3", "--keep", "d")
    assert out.stdout.splitlines()[:2] == [
        "I[1,1,1,1] * (-d + 5)", "I[0,1,0,1] * ((4/9*d^2 - 32/9*d + 20/3)/(d - 6))"
    ]  # fmt: skip
    two = lpm("ibp", "I[2,1,1,1]", "--family", "box", "--point", "s=1", "--keep", "d,t", "--json")
    found = json.loads(two.stdout)
    assert found["variable"] == "d,t"
    assert found["terms"]["1,1,1,1"] == "-d + 5"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("ibp", "I[2,0,2"), "column 1: expected an integral such as 3*I[1,0,2], got 'I[2,0,2'"),
        (("ibp", "I[1,0,0,0,0,0,0] I[1,0,0,0,0,0,0]"), "column 18: expected a sign and an integral"),
        (
            ("ibp", "I[1,1,1,1]", "--family", "box", "--keep", "d,s,t"),
            "--keep d,s,t: expected one symbol or two, got 3",
        ),
        (("ibp", "I[1,2]"), "column 3: I[1,2]: family trianglebox has 7 indices, got 2"),
        (("ibp", "I[1,x,2]"), "column 3: expected whole numbers, got '1,x,2'"),
        (("ibp", "I[1,1,1,1,1,1,1]"), "numerators: never positive"),
        (("ibp", "I[1,1,1,1,1,1,0]", "--point", "d=41"), "--point: no value for m1, m2, m3; give m1=…,m2=…,m3=…"),
        (("ibp", "I[1,1,1,1,1,1,0]", "--point", "q=1"), "--point: family trianglebox has no q"),
        (("ibp", "I[1,1,1,1,1,1,0]", "--point", "d=x"), "expected NAME=WHOLE NUMBER"),
        (("ibp", "I[1,1,1,1,1,1,0]", "--point", "d=41,m1=1,m2=31,m3=47", "--prime", "1001"), "odd prime below 2^63"),
        (("ibp", "I[1,1,1,1]", "--family", "pentagon"), "expected one of banana, box, sunrise, trianglebox"),
        (("ibp", "I[1,1,1,1,1,1,0]", "--method", "guess"), "unknown method 'guess'"),
        (("algebra", "x"), "unknown domain 'algebra'"),
        (("spinor", "<12>[23", "--points", "5"), "column 5: unexpected character '['"),
        (("spinor", "<16>"), "bracket of 1 and 6: there are 5 particles; give the number with --points"),
        (("spinor", "<12> + [12]"), "terms of different little-group weights"),
        (("spinor", "1/(<12> + <13>[34]/[24])"), "a sum in a denominator"),
        (("spinor", "<12>", "--points", "3"), "expected 4 to 12 particles"),
        (("spinor", "x"), "expected brackets such as <12> or [12], got x"),
        (("dilog", "Li2(x"), "column 6: expected a closing bracket, got the end"),
        (("dilog", "x + 1"), "expected a sum of Li2"),
        (("dilog", "Li2(x)", "--beam", "0"), "a beam of at least 1"),
        (("dilog", "Li2(x)", "--policy", "mine", "--logs"), "--policy: leave it out with --logs"),
        (("spinor", "<12>", "--policy", "jets-top"), "expected a policy that was trained on brackets"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], message: str) -> None:
    out = lpm(*words)
    assert out.returncode == 1
    assert len(out.stderr.splitlines()) == 1
    assert message in out.stderr


def test_dilogarithms() -> None:
    out = lpm("dilog", "Li2(x) + Li2(1-x)", "--json")
    found = json.loads(out.stdout)
    assert (found["result"], found["terms"], found["certified"]) == ("0", 0, True)
    assert found["steps"] == ["reflection of Li2(-x + 1)"]
    out = lpm("dilog", "Li2(x^2) - 2*Li2(-x)")
    assert out.stdout.splitlines()[0] == "2*Li2(x)"
    assert "2 to 1 terms" in out.stdout
    assert "certified: the symbols are equal" in out.stdout
    assert lpm("dilog", "Li2(1/(1+x))", "--latex").stdout.splitlines()[0] == r"\mathrm{Li}_2(-x)"


def test_dilogarithms_with_what_they_drop() -> None:
    found = json.loads(lpm("dilog", "Li2(x) + Li2(1-x)", "--logs", "--json").stdout)
    assert (found["result"], found["rest"]) == ("0", "-ln(x)*ln(-x + 1) + 1/6*pi^2")


def test_spinor_brackets() -> None:
    found = json.loads(lpm("spinor", "<12>[23]/[13] + <14>[43]/[13]", "--points", "5", "--json").stdout)
    assert (found["result"], found["terms"], found["certified"]) == ("<15>[35]/[13]", 1, True)
    out = lpm("spinor", "<12><34> + <14><23>", "--points", "6")
    assert out.stdout.splitlines()[0] == "<13><24>"
    assert "2 to 1 terms; certified: equal at random points of a finite field" in out.stdout


def test_time_that_is_up_is_told_with_what_was_found() -> None:
    out = lpm("dilog", "Li2(x^2) - 2*Li2(-x) + Li2(x+3)", "--seconds", "0.000001", "--json")
    found = json.loads(out.stdout)
    assert (found["certified"], found["complete"], out.returncode) == (True, False, 1)


def test_too_little_memory_is_said() -> None:
    out = lpm("ibp", "I[1,1,1,1,1,1,0]", *POINT, "--memory", "0.00001")
    assert out.returncode == 1
    assert "choose fewer seeds" in out.stderr


def test_the_certificate_of_a_reduction_adds_up() -> None:
    """As somebody would check it who has nothing but the identities: in plain numbers."""
    from lpm.theory.ibp.family import read_family
    from lpm.theory.ibp.identities import identities
    from lpm.theory.ibp.sectors import live_sectors, sector_of

    out = lpm("ibp", "I[2,0,2,0,1,1,0]", *POINT, "--judge", "--json")
    found = json.loads(out.stdout)
    family, prime = read_family("trianglebox"), found["prime"]
    by_name = {i.name: i for i in identities(family, {"d": 41, "m1": 1, "m2": 31, "m3": 47}, prime)}
    total: dict[tuple[int, ...], int] = {}
    for one in found["certificate"]:
        identity = by_name[one["identity"]]
        for shift, c, slopes in zip(identity.shifts, identity.constants, identity.slopes, strict=True):
            index = tuple(int(a + b) for a, b in zip(one["seed"], shift, strict=True))
            value = int(c) + sum(int(w) * a for w, a in zip(slopes, one["seed"], strict=True))
            if sector_of(index) in live_sectors(family):
                total[index] = (total.get(index, 0) + one["factor"] * value) % prime
    wanted = {tuple(map(int, k.split(","))): -v % prime for k, v in found["terms"].items()}
    assert {i: v for i, v in total.items() if v} == {(2, 0, 2, 0, 1, 1, 0): 1, **wanted}


def test_certificates_of_sums() -> None:
    found = json.loads(lpm("spinor", "<12>[23]/[13] + <14>[43]/[13]", "--judge", "--json").stdout)
    for point in found["certificate"]:
        assert point["values"][0] == point["values"][1]
        assert len(point["brackets"]) == 20
    found = json.loads(lpm("dilog", r"\mathrm{Li}_2(x) - 2\,\mathrm{Li}_2(1/x)", "--judge", "--json").stdout)
    assert found["certificate"]["given"] == found["certificate"]["result"] == ["3 * (x - 1) ^ (x)"]


def test_a_learned_reduction(tmp_path: Path) -> None:
    words = ("ibp", "I[1,1,0,1,-1,2,0]", *POINT, "--json")
    exact = json.loads(lpm(*words).stdout)["terms"]
    for known in (0, 1):
        found = json.loads(lpm(*words, "--method", "learned", "--memo", str(tmp_path / "memo")).stdout)
        assert found["terms"] == exact
        assert bool(found["known"]) == bool(known)
        assert bool(found["lowered"]) != bool(known)
        assert found["certified"] == (not known)
        assert bool(found["trusted"]) == bool(known)
    said = lpm(*words[:-1], "--method", "learned", "--memo", str(tmp_path / "memo")).stdout
    assert "not certified:" in said
