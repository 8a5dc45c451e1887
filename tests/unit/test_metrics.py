"""Is what is counted told as Prometheus reads it?"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from relay.api.health import prometheus

COUNTED = {
    "relay_events_total|status=accepted": 3,
    "relay_deliveries_settled_total|channel=webhook|status=delivered": 2,
    'relay_odd_total|name=a"b\\c': 1,
    "relay_accept_seconds:le:0": 1,
    "relay_accept_seconds:le:14": 2,
    "relay_accept_seconds:count": 3,
    "relay_accept_seconds:us": 2_500_000,
    "relay_attempt_seconds|channel=email:le:3": 4,
    "relay_attempt_seconds|channel=email:us": 1,
}


def test_a_client_library_reads_what_was_counted() -> None:
    families = {family.name: family for family in text_string_to_metric_families(prometheus(COUNTED))}
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["relay_events_total", (("status", "accepted"),)] == 3
    assert samples["relay_odd_total", (("name", 'a"b\\c'),)] == 1
    assert samples["relay_accept_seconds_bucket", (("le", "0.005"),)] == 1
    assert samples["relay_accept_seconds_bucket", (("le", "300.0"),)] == 1
    assert samples["relay_accept_seconds_bucket", (("le", "+Inf"),)] == 3
    assert samples["relay_accept_seconds_count", ()] == 3
    assert samples["relay_accept_seconds_sum", ()] == 2.5
    assert samples["relay_attempt_seconds_bucket", (("channel", "email"), ("le", "0.05"))] == 4


def test_the_names_of_the_contract_are_there_before_anything_is_counted() -> None:
    text = prometheus({})
    for name in (
        "relay_events_total",
        "relay_deliveries_settled_total",
        "relay_attempts_total",
        "relay_deliveries_pending",
    ):
        assert f"# TYPE {name} " in text
    assert 'relay_deliveries_pending{channel="webhook"} 0' in text
    assert text.count(" histogram\n") == 3
