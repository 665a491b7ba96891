"""Times of generators: an event's share of a call, the first call left out."""

import pytest

from lpm.metrics.timing import milliseconds


def test_the_first_call_does_not_count():
    now, calls = [0.0], []

    def generate(n: int) -> None:
        now[0] += 9.0 if n not in calls else 0.002 * n
        calls.append(n)

    found = milliseconds(generate, batches=(1, 100), repeats=4, clock=lambda: now[0])
    assert calls == [1] * 5 + [100] * 5
    assert found[1].value == pytest.approx(2.0)
    assert found[100].value == pytest.approx(2.0)
    assert found[100].error == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("wrong", [{"batches": ()}, {"batches": (0,)}, {"repeats": 1}])
def test_bad_input(wrong):
    with pytest.raises(ValueError, match="expected batches"):
        milliseconds(lambda n: None, **wrong)
