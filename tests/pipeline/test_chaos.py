"""Does what was acknowledged arrive, whoever is killed, again and again? The short version of `make chaos`."""

from __future__ import annotations

from pathlib import Path

from chaos.outage import Outage, sit_out
from chaos.storm import PROCESSES, SETTINGS, Storm, unleash
from chaos.tally import Arrival, Tally


async def test_nothing_is_lost_or_out_of_order_in_a_short_storm(tmp_path: Path) -> None:
    storm = Storm("short", rounds=8, rate=30, within_s=60, settle_s=100, longest_calm_s=1.5)
    result = await unleash(storm, tmp_path, lambda so_far: None)
    assert result.lost == {} and result.lost_count == 0
    assert result.tally.problems == []
    assert result.unsettled == 0
    assert result.ended == [], "these were not killed"
    assert result.rounds and result.tally.acknowledged
    assert sum(result.kills.values()) >= result.rounds and set(result.kills) == set(PROCESSES)


async def test_a_database_that_is_away_for_longer_than_anybody_waits_costs_nothing_and_nobody_a_restart(
    tmp_path: Path,
) -> None:
    """Away for longer than every time-out and lease on the way, frozen first and then dead. `--away 60` of `make
    chaos` does it with the settings of production."""
    outage = Outage("away", away_s=5, rate=60, settle_s=60, settings={**SETTINGS, "RELAY_STORE__TIMEOUT_SECONDS": "3"})
    seen = await sit_out(outage, tmp_path, print)
    assert seen.lost == {} and seen.lost_count == 0
    assert seen.tally.problems == [], "an answer that says not when to come back, or something out of order"
    assert seen.unsettled == 0
    assert seen.ended == [], "these ended by themselves"
    assert seen.refused >= 2 and seen.rounds == 2


def arrival(sequence: int, message_id: str = "", body: bytes = b"{}") -> Arrival:
    return Arrival("contoso", "tr-1", sequence, message_id or f"evt-{sequence}", body)


def test_the_accounts_of_a_storm_notice_what_is_wrong() -> None:
    tally = Tally()
    for sequence in (1, 2, 3):
        tally.acknowledge(f"evt-{sequence}", ["contoso"], 0)
        tally.arrive(arrival(sequence))
    tally.accept(arrival(1))
    tally.accept(arrival(2))
    assert tally.lost() == {"contoso": {"evt-3"}}
    tally.arrive(arrival(3))
    assert (tally.duplicates, tally.out_of_order, tally.problems) == (0, 0, [])
    tally.arrive(arrival(2))
    assert (tally.duplicates, tally.out_of_order) == (1, 1)
    tally.arrive(arrival(3, "another"))
    tally.arrive(arrival(3, body=b"[]"))
    assert [problem.rpartition("another ")[2] for problem in tally.problems[1:]] == ["webhook-id", "body"]
