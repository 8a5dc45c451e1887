"""Does the document say what the API does?"""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from relay import view
from relay.api import message
from relay.api.openapi import document
from relay.api.route import Access
from relay.api.routes import ALL
from relay.model import PING, Audience, Event, EventType

SAMPLES = sorted((Path(__file__).parents[2] / "relay" / "_samples").glob("*.json"))


def test_the_document_is_valid_openapi() -> None:
    made = document(ALL, server="https://relay.example.com")
    validate(made)
    assert made["openapi"].startswith("3.1")
    assert set(made["webhooks"]) == {*EventType, PING}


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [route.name for route in ALL]
    assert len(set(names)) == len(names)


def test_what_is_not_public_says_how_to_prove_oneself() -> None:
    made = document(ALL)
    for route in ALL:
        said = made["paths"][route.path][route.method.lower()]
        assert bool(said["security"]) == (route.access is not Access.PUBLIC)


def test_every_schema_that_is_named_is_there() -> None:
    made = document(ALL)
    text = orjson.dumps(made).decode()
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(made["components"]["schemas"])


@pytest.mark.parametrize("type_", list(EventType))
def test_an_example_is_what_its_schema_says(type_: EventType) -> None:
    schema = message.schema(type_)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(message.example(type_))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("audience", [Audience.SOURCE, Audience.TARGET])
def test_what_is_sent_is_what_the_schema_says(path: Path, audience: Audience) -> None:
    for posted in orjson.loads(path.read_bytes()):
        event = Event.model_validate(posted)
        body = view.message(audience, event, sequence=1, late=False, derived=False, gap=True)
        Draft202012Validator(message.schema(event.type)).validate(orjson.loads(body))


def test_a_body_with_another_type_is_not_what_the_schema_says() -> None:
    schema = Draft202012Validator(message.schema(EventType.CREATED))
    assert not schema.is_valid(message.example(EventType.FAILED))
