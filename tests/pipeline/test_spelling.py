"""In which spelling is a partner's id shown?"""

from __future__ import annotations

from typing import Any

from tests.pipeline.events import step
from tests.pipeline.inside import Inside

GIVEN = "Contoso-KK"


def named(told: list[Any]) -> set[str | None]:
    return {one["partner"] for one in told}


async def test_a_partners_id_is_shown_as_it_was_first_given(world: Inside) -> None:
    member = await world.api.register(GIVEN, world.hooks)
    await world.api.register("Fabrikam", path="/f")
    await world.api.ask(
        "PUT", f"/v1/partners/{GIVEN.upper()}", {"name": "Contoso", "admin_agents": [{"email": "no-one@contoso.example", "name": "N"}]}
    )
    await world.api.post(step("tr-1", "created", 1, source="CONTOSO-kk", target="FABRIKAM"))
    await world.sweep()

    for caller in (world.api, member.caller):
        transfer = await caller.ask("GET", "/v1/transfers/tr-1")
        (entry,) = transfer["timeline"]
        everybody = named(entry["told"]) | named(entry["skipped"])
        assert everybody - {None} == ({GIVEN, "Fabrikam"} if caller is world.api else {GIVEN})
        for path in ("/v1/transfers/tr-1/deliveries", f"/v1/partners/{GIVEN}/endpoints/{member.endpoint}/deliveries"):
            listed = await caller.all(path)
            assert GIVEN in named(listed) and GIVEN.lower() not in named(listed)
        one = await caller.ask("GET", f"/v1/deliveries/{listed[0]['id']}")
        assert one["partner"] == GIVEN
        activity = await caller.all(f"/v1/partners/{GIVEN}/activity")
        assert {name for record in activity for name in named(record["told"])} == {GIVEN}
    assert named(await world.api.all("/v1/deliveries?channel=webhook")) == {GIVEN}
