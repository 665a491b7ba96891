"""Every event once an epoch, the same order for the same seed, disjoint shares, resumable anywhere."""

import itertools
import json

import pytest
import torch

from lpm.data.batch import Batch
from lpm.data.fields import jets_schema
from lpm.data.io import write_batches
from lpm.data.source import Source, event_cost

SCHEMA = jets_schema(["pt", "deta"], ["pt", "eta"], ("a", "b"))


def jets(n: int, first: int = 0) -> Batch:
    """Jets numbered by their pt."""
    g = torch.Generator().manual_seed(first)
    lengths = torch.randint(1, 9, (n,), generator=g)
    rows = int(lengths.sum())
    columns = {"particle.pt": torch.rand(rows, generator=g) + 1, "particle.deta": torch.randn(rows, generator=g)}
    columns |= {"jet.pt": torch.arange(first, first + n), "jet.eta": torch.zeros(n)}
    columns |= {"jet.label": torch.arange(n) % 2}
    return Batch.build(SCHEMA, columns, {"particle": lengths})


@pytest.fixture
def shards(tmp_path):
    first = 0
    for i, n in enumerate((57, 120, 3, 40)):
        write_batches(tmp_path / f"{i}.parquet", [jets(n, first)], schema=SCHEMA, row_group=25)
        first += n
    return tmp_path


def numbers(batches) -> list[list[int]]:
    return [b.field("jet.pt").values.long().tolist() for b in batches]


def flat(lists) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def test_each_event_once_an_epoch_within_the_budget(shards):
    source = Source(shards, budget=40, seed=1, epochs=2, buffer_groups=3)
    assert source.events == 220
    batches = list(source)
    assert sorted(flat(numbers(batches))) == sorted(2 * list(range(220)))
    assert all(int(event_cost(b).sum()) <= 40 for b in batches)
    assert source.schema == SCHEMA
    seen = flat(numbers(batches))
    assert seen[:220] != seen[220:]
    assert seen[:220] != list(range(220))


def test_seed_decides_the_order(shards):
    def order(seed):
        return flat(numbers(Source(shards, budget=40, seed=seed, epochs=1)))

    assert order(3) == order(3)
    assert order(3) != order(4)


def test_without_shuffle_the_order_is_that_of_the_files(shards):
    source = Source(shards, budget=40, seed=1, epochs=1, shuffle=False, buffer_groups=2)
    assert flat(numbers(source)) == list(range(220))
    assert flat(numbers(source)) == list(range(220))  # exhausted, it starts over


@pytest.mark.parametrize(("world", "workers"), [(1, 3), (3, 1), (2, 2)])
def test_shares_are_disjoint_equal_and_complete(shards, world, workers):
    shares = [
        flat(numbers(Source(shards, budget=30, seed=5, epochs=1, rank=r, world=world, worker=w, workers=workers)))
        for r in range(world)
        for w in range(workers)
    ]
    assert sorted(flat(shares)) == list(range(220))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("ahead", [0, 3])
def test_resumes_at_the_exact_next_event_from_anywhere(shards, ahead):
    options = {"budget": 25, "seed": 7, "epochs": 2, "buffer_groups": 2, "rank": 1, "world": 2}
    everything = numbers(Source(shards, **options))
    for stop in (0, 1, 5, len(everything) // 2, len(everything) - 1, len(everything)):
        source = Source(shards, **options, ahead=ahead)
        iterator = iter(source)
        head = numbers(itertools.islice(iterator, stop))
        state = json.loads(json.dumps(source.state()))
        iterator.close()
        again = Source(shards, **options, ahead=ahead)
        again.restore(state)
        assert head + numbers(again) == everything


def test_state_of_other_streams_is_refused(shards):
    state = Source(shards, budget=25, seed=7).state()
    for other in ({"seed": 8}, {"world": 2}, {"buffer_groups": 3}, {"shuffle": False}):
        with pytest.raises(ValueError, match="cannot resume: "):
            Source(shards, **{"budget": 25, "seed": 7, **other}).restore(state)
    (shards / "3.parquet").unlink()
    with pytest.raises(ValueError, match="cannot resume: events was 220, is 180"):
        Source(shards, budget=25, seed=7).restore(state)


def test_endless_by_default(shards):
    some = flat(numbers(itertools.islice(Source(shards, budget=1000, seed=1), 30)))
    assert len(some) > 660


def test_in_memory_has_the_same_guarantees():
    batch = jets(100)
    options = {"budget": 30, "seed": 2, "epochs": 1}
    everything = numbers(Source.from_batch(batch, **options))
    assert sorted(flat(everything)) == list(range(100))
    source = Source.from_batch(batch, **options)
    head = numbers(itertools.islice(iter(source), 4))
    again = Source.from_batch(batch, **options)
    again.restore(source.state())
    assert head + numbers(again) == everything
    shares = [flat(numbers(Source.from_batch(batch, **options, rank=r, world=3))) for r in range(3)]
    assert sorted(flat(shares)) == list(range(100))


def test_columns_where_rows_and_events(shards):
    source = Source(
        shards, budget=40, seed=1, epochs=1, columns=["particle.pt", "jet"], max_rows=2, max_events=3,
        where=lambda b: b.field("jet.label").values == 1,
    )  # fmt: skip
    batches = list(source)
    assert sum(map(len, batches)) == 109
    assert all(b.schema == source.schema and (b.field("jet.label").values == 1).all() for b in batches)
    assert source.schema.paths == ("particle.pt", "jet.pt", "jet.eta", "jet.label")
    assert max(int(b.collections["particle"].lengths.max()) for b in batches) == 2
    assert max(map(len, batches)) == 3
    # The first rows are kept, and jets stay with their particles.
    want = {int(b.field("jet.pt").values[0]): b for b in (jets(57)[i : i + 1] for i in range(57))}
    for b in batches:
        for i in range(len(b)):
            one = b[i : i + 1]
            if (other := want.get(int(one.field("jet.pt").values[0]))) is not None:
                n = len(one.field("particle.pt").values)
                assert torch.equal(one.field("particle.pt").values, other.field("particle.pt").values[:n])


def test_an_event_larger_than_the_budget_goes_alone(shards):
    sizes = [len(b) for b in Source(shards, budget=1, seed=1, epochs=1)]
    assert sizes == [1] * 220


def test_bad_events_stop_or_are_left_out(tmp_path):
    batch = jets(30)
    batch.field("particle.pt").values[:5] = -1.0  # of the first jets only
    write_batches(tmp_path / "x.parquet", [batch], schema=SCHEMA, row_group=1)
    with pytest.raises(ValueError, match=r"x\.parquet: entry \d+: particle\.pt\[0\] is -1 GeV"):
        list(Source(tmp_path, budget=100, seed=0, epochs=1))
    seen = flat(numbers(Source(tmp_path, budget=100, seed=0, epochs=1, on_bad="skip")))
    bad = int(torch.searchsorted(batch.collections["particle"].offsets, 5))
    assert sorted(seen) == list(range(bad, 30))


def test_other_formats_feed_it_too(write):
    source = Source(write("top-tagging"), budget=100, seed=1, epochs=1)
    assert sum(map(len, source)) == 7


def test_what_makes_no_sense_is_refused(shards, tmp_path):
    for option in ({"budget": 0}, {"rank": 1}, {"worker": -1}, {"epochs": 0}, {"max_rows": 0}, {"world": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(option))}: expected"):
            Source(shards, **{"budget": 10, "seed": 0, **option})
    with pytest.raises(ValueError, match="no event of the source passes"):
        list(Source(shards, budget=10, seed=0, where=lambda b: torch.zeros(len(b), dtype=torch.bool)))
    with pytest.raises(ValueError, match="2 events cannot be dealt out to 3 workers"):
        list(Source.from_batch(jets(2), budget=10, seed=0, rank=0, world=3, epochs=1))
    with pytest.raises(ValueError, match="no events"):
        Source.from_batch(jets(0), budget=10, seed=0)
    other = jets(4).select(["particle", "jet.pt"])
    write_batches(shards / "other.parquet", [other], schema=other.schema)
    with pytest.raises(ValueError, match=r"other\.parquet: other fields or labels than .*0\.parquet"):
        Source(shards, budget=10, seed=0)
    assert Source(shards, budget=10, seed=0, columns=["particle", "jet.pt"]).events == 224


def dealt(shards, worlds, stops, ahead=0):
    """What ranks see if their number changes: stops[i][r] batches by rank r of worlds[i], then one epoch to its end."""
    options = {"budget": 25, "seed": 7, "buffer_groups": 2, "epochs": 1}
    states, seen = [], []
    for world, counts in zip(worlds, [*stops, None], strict=True):
        sources = [Source(shards, **options, rank=r, world=world, ahead=ahead) for r in range(world)]
        before, states = states, []
        for r, source in enumerate(sources):
            if before:
                source.redeal(before)
            iterator = iter(source)
            seen.append(numbers(itertools.islice(iterator, counts[r] if counts else None)))
            states.append(json.loads(json.dumps(source.state())))
            iterator.close()
    return seen


@pytest.mark.parametrize(
    ("worlds", "stops"),
    [
        ((2, 1), [(7, 5)]),
        ((1, 2), [(9,)]),
        ((2, 3), [(0, 20)]),
        ((2, 3, 2), [(4, 6), (2, 3, 1)]),
        ((3, 1, 4), [(2, 2, 2), (5,)]),
    ],
)
@pytest.mark.parametrize("ahead", [0, 2])
def test_another_number_of_ranks_loses_and_doubles_no_event(shards, worlds, stops, ahead):
    seen = dealt(shards, worlds, stops, ahead)
    assert sorted(flat(flat(seen))) == list(range(220))
    lengths = [len(s) for s in seen[-worlds[-1] :]]
    assert max(lengths) - min(lengths) <= 1


def test_ranks_in_different_epochs_are_dealt_out_too(shards):
    """The second old rank has begun the second epoch; and the number changes once more before the new one ends."""
    options = {"budget": 25, "seed": 7, "epochs": 2}
    old = [Source(shards, **options, rank=r, world=2) for r in range(2)]
    ends = (5, len(list(Source(shards, **{**options, "epochs": 1}, rank=1, world=2))) + 3)
    seen = [numbers(itertools.islice(iter(s), n)) for s, n in zip(old, ends, strict=True)]
    new = Source(shards, **options)
    new.redeal([s.state() for s in old])
    seen.append(numbers(itertools.islice(iter(new), 6)))
    for rank in range(3):
        last = Source(shards, **options, rank=rank, world=3)
        last.redeal([new.state()])
        seen.append(numbers(last))
    assert sorted(flat(flat(seen))) == sorted([*range(220), *range(220)])


def test_what_was_dealt_out_anew_resumes_at_the_exact_next_event(shards):
    options = {"budget": 25, "seed": 7, "epochs": 2}
    old = Source(shards, **options)
    next(iter(old))
    first, second = (Source(shards, **options, rank=1, world=2) for _ in range(2))
    first.redeal([old.state()])
    everything = numbers(first)
    first.redeal([old.state()])
    head = numbers(itertools.islice(iter(first), 3))
    second.restore(json.loads(json.dumps(first.state())))
    assert head + numbers(second) == everything


def test_other_streams_are_not_dealt_out(shards):
    state = Source(shards, budget=25, seed=7).state()
    with pytest.raises(ValueError, match="cannot resume: seed"):
        Source(shards, budget=25, seed=8, world=2).redeal([state])
    with pytest.raises(ValueError, match="several workers"):
        Source(shards, budget=25, seed=7, workers=2).redeal([state])


@pytest.mark.parametrize("where", [None, lambda b: b.field("jet.pt").values % 3 != 1])
def test_events_are_named_by_file_and_entry(shards, where):
    """The number of a jet, its pt, follows from its name."""
    first = {"0.parquet": 0, "1.parquet": 57, "2.parquet": 177, "3.parquet": 180}

    def numbered(name):
        file, _, entry = name.partition(":")
        return first[file] + int(entry)

    options = {"budget": 25, "seed": 3, "where": where, "epochs": 1}
    source = Source(shards, **options)
    for batch in source:
        rows = range(len(batch))
        assert [numbered(n) for n in source.names(source.state(), rows)] == numbers([batch])[0]
        state = source.state()
        if state["block"] == 1:
            break
    again = Source(shards, **options, rank=1, world=2)
    again.redeal([state])
    batch = next(itertools.islice(iter(again), 1, None))
    assert [numbered(n) for n in again.names(again.state(), [0, len(batch) - 1])] == [
        numbers([batch])[0][0],
        numbers([batch])[0][-1],
    ]


def test_events_in_memory_have_numbers_or_the_names_of_where_they_came_from(shards):
    source = Source.from_batch(jets(20), budget=30, seed=2)
    batch = next(iter(source))
    assert source.names(source.state(), [1]) == [f"{numbers([batch])[0][1]} of those in memory"]
    files = Source(shards, budget=40, seed=1, epochs=1, shuffle=False, where=lambda b: b.field("jet.pt").values > 3)
    named = Source.from_batch(
        Batch.cat(list(files)), origin=lambda n: files.entries([n])[0], budget=40, seed=1, shuffle=False
    )
    iterator = iter(named)
    next(iterator)
    batch = next(iterator)
    number = numbers([batch])[0][2]
    assert named.names(named.state(), [2]) == [f"0.parquet:{number}"]
    assert files.entries([215, 52]) == ["3.parquet:39", "0.parquet:56"]
