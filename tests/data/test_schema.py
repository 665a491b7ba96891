"""Schemas: round trip, look-up, and refusal of what makes no sense."""

import pytest

from lpm.data.fields import JETCLASS, jets_schema
from lpm.data.schema import Collection, Field, Schema


def test_json_round_trip_keeps_everything() -> None:
    schema = jets_schema(["pt", "deta", "type", "d0_err"], ["pt", "mass", "parton"], JETCLASS)
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format":1}',
        '{"format":1,"name":"x","collections":[{"name":"a","fields":[{"nom":"x"}]}]}',
        '{"format":1,"collections":[{"name":"a","fields":[{"name":"x"}]}]}',
    ],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        Schema.from_json(text)


def test_a_later_format_is_refused() -> None:
    text = jets_schema(["pt"], ["pt"]).to_json().replace('"format":1', '"format":99')
    with pytest.raises(ValueError, match="newer"):
        Schema.from_json(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "p t"}, "field name"),
        ({"name": "pt", "unit": "MeV"}, "unit"),
        ({"name": "pt", "kind": "float"}, "kind"),
        ({"name": "label", "kind": "category"}, "labels"),
        ({"name": "pt", "labels": ("a",)}, "labels"),
    ],
)
def test_bad_fields_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Field(**arguments)


def test_bad_collections_are_refused() -> None:
    pt = Field(name="pt")
    with pytest.raises(ValueError, match="two fields"):
        Collection(name="particle", fields=(pt, pt))
    with pytest.raises(ValueError, match="underscore"):
        Collection(name="my_particle", fields=(pt,))
    one = Collection(name="particle", fields=(pt,))
    with pytest.raises(ValueError, match="different names"):
        Schema(name="x", collections=(one, one))


def test_missing_field_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no field particle\.mass; there are: pt, deta"):
        jets_schema(["pt", "deta"], ["pt"]).field("particle.mass")
