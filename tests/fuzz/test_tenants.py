"""Can a partner tell what is another's from what never was?

Every route that names a thing is asked by one partner for another's, with whatever body and query, and then
for things that were never there, with the same body and query. The two answers must be one, byte for byte
but for the ids that were asked for; and nothing of the other's may have changed.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from relay.api.route import Route
from relay.api.routes import ALL
from tests.fuzz.conftest import EXAMPLES, Furniture, Target

NAMED = [route for route in ALL if "{" in route.path]
ABSENT = {
    "partner": "fuzz-000000000000", "endpoint": "ep_00000000000000000000", "token": "Nobodys0Tokn", "replay": "rpl_" + "0" * 20,
    "producer": "pr_" + "0" * 16, "secret": "sec_" + "0" * 12, "transfer": "fuzz-111111111111", "delivery": "dlv_ep_00000000000000000000_" + "0" * 20,
}  # fmt: skip


def of(target: Target, there: Furniture) -> list[Any]:
    """Everything of a partner, as the operator sees it."""
    at = f"/v1/partners/{there.known['partner']}"
    endpoint = f"{at}/endpoints/{there.known['endpoint']}"
    return [
        target.ask("GET", path)
        for path in (at, f"{at}/endpoints", f"{at}/tokens", f"{at}/activity", f"{endpoint}/secret",
                     f"{endpoint}/deliveries", f"/v1/deliveries/{there.known['delivery']}")
    ]  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("route", NAMED, ids=lambda route: route.name)
def test_what_is_anothers_is_what_never_was(
    route: Route, schema: Any, target: Target, there: Furniture, theirs: Furniture
) -> None:
    operation = schema.find_operation_by_id(route.name)
    before = of(target, theirs)
    ways = [theirs.known]
    if route.path.startswith("/v1/partners/{partner}/") and route.path.count("{") > 1:
        ways.append(theirs.known | {"partner": there.known["partner"]})  # its thing, asked for under my name

    @given(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        st.sampled_from(ways),
    )
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    def go(case: Any, way: dict[str, str]) -> None:
        answers = []
        for ids in (way, ABSENT | ({"partner": way["partner"]} if way["partner"] == there.known["partner"] else {})):
            for name in list(case.path_parameters):
                case.path_parameters[name] = ids.get(name, "absent")
            headers = {"Authorization": f"Bearer {there.tokens['partner']}"}
            answer = case.call(base_url=target.base, headers=headers, session=target.http, timeout=60)
            told = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
            answers.append((answer.status_code, told, answer.text))
            for name, id_ in ids.items():
                assert id_ not in answer.text or name == "partner", (name, answer.text)
        assert answers[0] == answers[1], case.as_curl_command()
        assert answers[0][0] in (403, 404, 413, 415, 422), answers

    go()
    assert of(target, theirs) == before
