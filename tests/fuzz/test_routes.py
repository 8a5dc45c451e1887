"""Is every answer of every route one that the document describes, whatever is asked and whoever asks?

Cases come from the relay's own `/openapi.json`, sound ones and broken ones. The document names each status
that a route can answer with; a status that it does not name, a body that is not what it says, or a 5xx
fails the test. URLs in bodies stay on this machine.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from relay.api.paging import cursor
from relay.api.route import Route
from relay.api.routes import ALL
from tests import listings
from tests.fuzz.conftest import EXAMPLES, SEGMENT, Furniture, Target
from tests.pipeline.caller import OPERATOR

CHECKS = [content_type_conformance, response_schema_conformance]
UPSTREAM = {502, 504}
"""What a façade may answer when the system behind it is away, as it is here: not the relay's own fault."""
FRAMING = {"transfer-encoding", "content-length", "connection", "upgrade", "expect", "host"}
POSITIONS = ["abc", "9" * 900, "-1", "\x00", "\u0663", "1|2", "1|2|3|4", "+inf"]
CALM = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]


@st.composite
def asked(draw: Any, operation: Any, target: Target, there: Furniture) -> Case:
    """A case of this operation, mostly about something that is there."""
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case: Case = draw(operation.as_strategy(generation_mode=mode))
    for name in list(case.path_parameters or ()):
        if draw(st.integers(0, 5)):
            case.path_parameters[name] = there.known.get(name, SEGMENT if name == "segment" else "absent")
    for name in [name for name in case.headers or () if name.lower() in FRAMING]:
        del case.headers[name]  # that is no request any more, and nobody's to answer: see test_events
    _stay_here(case.body, target)
    return case


def _stay_here(body: Any, target: Target) -> None:
    if isinstance(body, dict) and isinstance(body.get("url"), str):
        body["url"] = target.rig.hooks.url(f"/fuzz-{abs(hash(body['url'])) % 10}")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [route.name for route in ALL])
def test_no_answer_but_those_the_document_describes(
    name: str, schema: Any, target: Target, there: Furniture
) -> None:
    operation = schema.find_operation_by_id(name)
    described = set(operation.definition.raw["responses"])

    if operation.method == "delete":
        there = target.furnish()
    seen: Counter[int] = Counter()

    @given(asked(operation, target, there), st.sampled_from(["operator", "operator", "partner", "producer", "nobody"]))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=CALM,
        database=None,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES > 50 else [Phase.generate],
    )
    def go(case: Case, who: str) -> None:
        headers = {"Authorization": f"Bearer {there.tokens.get(who, 'x' * 40)}"}
        response = case.call(base_url=target.base, headers=headers, session=target.http, timeout=60)
        seen[response.status_code] += 1
        shown = f"{who}: {case.as_curl_command()}\n{response.status_code} {response.text[:2000]}"
        assert response.status_code < 500 or response.status_code in UPSTREAM, shown
        assert str(response.status_code) in described, shown
        case.validate_response(response, checks=CHECKS)

    go()
    print(dict(seen))
    target.lives()


@pytest.mark.parametrize("route", [one for one in ALL if "after" in {param.name for param in one.query}], ids=lambda one: one.name)
def test_a_cursor_that_somebody_made_is_no_error_of_the_relays(route: Route, target: Target, there: Furniture) -> None:
    parts = re.split(r"\{(\w+)\}", route.path)
    parts[1::2] = [there.known.get(name, "absent") for name in parts[1::2]]
    for listing in listings.every():
        for position in POSITIONS:
            asked_for = {"after": cursor(listing, position)}
            answer = target.http.get(
                target.base + "".join(parts), params=asked_for, headers={"Authorization": f"Bearer {OPERATOR}"}, timeout=60
            )
            assert answer.status_code in {200, 404, 410, 422}, (listing.name, position, answer.text)
