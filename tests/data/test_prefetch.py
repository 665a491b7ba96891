import itertools
import threading

import pytest

from lpm.data.prefetch import prefetch


def test_same_items_in_order():
    assert list(prefetch(range(50), depth=3)) == list(range(50))


def test_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    iterator = prefetch(items())
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="broken"):
        next(iterator)


def test_closing_early_stops_the_thread():
    iterator = prefetch(itertools.count(), depth=1)
    assert list(itertools.islice(iterator, 3)) == [0, 1, 2]
    iterator.close()
    assert not any(t.name == "prefetch" for t in threading.enumerate())


def test_depth():
    with pytest.raises(ValueError, match="depth: expected at least 1"):
        prefetch([], depth=0)
