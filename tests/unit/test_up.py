"""What do the processes of `relay up` get, and what does a person see?"""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.banner import banner, play_command, sample_event
from relay.config import load, missing_secrets
from relay.config_sources import PartnerCenter
from relay.data import defaults_path
from relay.demo import Play, lives
from relay.intake import parse
from relay.stream import shown
from relay.up import Options, child_environ, stated, with_sandbox

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
STORE, CATCHER = "redis://:p@127.0.0.1:7000/0", "smtp://127.0.0.1:2500"


def environ_of(tmp_path: Path, own: dict[str, str] | None = None, host: str = "127.0.0.1") -> dict[str, str]:
    return child_environ(Options(host, 8080, tmp_path, False), 8080, STORE, CATCHER, own or {})


def test_the_processes_can_run_with_what_they_get(tmp_path: Path) -> None:
    config = load(None, environ_of(tmp_path))
    assert missing_secrets(config) == []
    assert (config.store.url, config.mail.url, config.mail.start_tls) == (STORE, CATCHER, "never")
    assert config.egress.allow_networks == ("127.0.0.0/8", "::1/128")
    assert config.egress.allow_http
    assert config.mailbox.enabled
    # A page under a name of its own cannot reach what runs on this machine.
    assert set(config.server.allowed_hosts) == {"localhost", "127.0.0.1"}


def test_token_and_key_are_made_once_and_are_their_owners_only(tmp_path: Path) -> None:
    first, second = environ_of(tmp_path), environ_of(tmp_path)
    assert first == second
    assert {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {
        "key": 0o600,
        "operator-token": 0o600,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAY_OPERATOR_TOKEN", "a-token-of-my-own-with-40-characters-0000"),
        ("RELAY_EGRESS__ALLOW_NETWORKS", '["10.0.0.0/8"]'),
        ("RELAY_MAIL__URL", "smtp://mail.example:25"),
        ("RELAY_LOG__LEVEL", "debug"),
        ("RELAY_SERVER__ALLOWED_HOSTS", '["relay.lan"]'),
    ],
)
def test_what_the_person_set_stays(tmp_path: Path, name: str, value: str) -> None:
    assert environ_of(tmp_path, {name: value})[name] == value


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("RELAY_OPERATOR_TOKEN", "key"),
        ("RELAY_SECRETS__OPERATOR_TOKEN", "key"),
        ("RELAY_SECRETS__OPERATOR_TOKEN_FILE", "key"),
        ("RELAY_SECRETS__KEYS", "operator-token"),
        ("RELAY_SECRETS__KEYS_FILE", "operator-token"),
    ],
)
def test_no_secret_is_made_where_one_is_given(tmp_path: Path, name: str, kept: str) -> None:
    environ_of(tmp_path, {name: "a-secret-of-my-own-with-40-characters-000"})
    assert [one.name for one in tmp_path.iterdir()] == [kept]


def test_what_the_persons_file_says_stays_too(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('[egress]\nallow_networks = ["10.0.0.0/8"]\n[mail]\nurl = "smtp://mail.example:25"\n')
    config = load(None, environ_of(tmp_path, {"RELAY_CONFIG": str(file)}))
    assert config.egress.allow_networks == ("10.0.0.0/8",)
    assert config.egress.allow_http
    assert (config.mail.url, config.mail.start_tls) == ("smtp://mail.example:25", "required")


def test_a_copy_of_the_example_as_ones_own_file_changes_nothing(tmp_path: Path) -> None:
    with_copy = environ_of(tmp_path, {"RELAY_CONFIG": str(defaults_path())})
    assert load(None, with_copy) == load(None, environ_of(tmp_path))


@pytest.mark.parametrize("text", ["[egress", "egress = 1"])
def test_a_file_that_is_wrong_states_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    assert stated({"RELAY_CONFIG": str(file), "PATH": "/"}) == {"RELAY_CONFIG"}
    assert stated({"RELAY_CONFIG": str(tmp_path / "absent")}) == {"RELAY_CONFIG"}


def test_a_mail_server_of_their_own_keeps_its_encryption(tmp_path: Path) -> None:
    config = load(None, environ_of(tmp_path, {"RELAY_MAIL__URL": "smtp://mail.example:25"}))
    assert config.mail.start_tls == "required"


def test_the_database_is_the_folders_whatever_is_set(tmp_path: Path) -> None:
    assert environ_of(tmp_path, {"RELAY_STORE__URL": "redis://elsewhere"})["RELAY_STORE__URL"] == STORE


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080")]
)
def test_links_can_be_followed_wherever_it_listens(tmp_path: Path, host: str, url: str) -> None:
    assert load(None, environ_of(tmp_path, host=host)).server.base_url == url


def test_the_three_lines_of_curl_are_whole() -> None:
    token = "it's a token with a quote, and 40 characters"
    text = banner("http://127.0.0.1:8080", token, "link", own_mail=False, sandbox_link="other", play="relay sandbox play")
    lines = [line for line in text.splitlines() if line.startswith("curl")]
    words = [shlex.split(line.removesuffix("; echo")) for line in lines]
    assert len(words) == 3
    assert all(f"Authorization: Bearer {token}" in line for line in words)
    assert json.loads(words[0][-1])["name"] == "Contoso"
    posted = json.loads(words[1][-1])["transfer"]
    assert posted["source"]["id"] == "contoso"
    assert words[2][4] == f"http://127.0.0.1:8080/v1/transfers/{posted['id']}"


def test_the_command_that_plays_works_where_it_is_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "bin" / "relay"
    installed.parent.mkdir()
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    here = Path(".relay").absolute()
    monkeypatch.setenv("PATH", "")
    assert play_command(".venv/bin/relay", here) == ".venv/bin/relay sandbox play subscription-completed"
    assert play_command("/x/relay/__main__.py", here).startswith(f"{shlex.quote(sys.executable)} -m relay sandbox play ")
    monkeypatch.setenv("PATH", str(installed.parent))
    assert play_command(str(installed), here) == "relay sandbox play subscription-completed"
    assert play_command(".venv/bin/relay", here).startswith(".venv/bin/relay ")  # another one than that of the PATH
    elsewhere = play_command(str(installed), tmp_path / "my data")
    assert shlex.split(elsewhere)[3:] == ["--data", str(tmp_path / "my data"), "subscription-completed"]


def test_the_event_of_the_banner_and_every_life_are_valid_events() -> None:
    events = [sample_event()]
    for life in lives().values():
        play = Play.begin(life, NOW, "abc123")
        events += [play.now(event, NOW) for event in life]
    assert len(events) == 21
    for event in events:
        parse(event)


def test_a_life_has_its_own_ids_and_one_transfer() -> None:
    life = lives()["subscription-expired"]
    played = [Play.begin(life, NOW, mark).now(event, NOW) for mark in ("aaa", "bbb") for event in life]
    assert len({event["id"] for event in played}) == 4
    assert len({event["transfer"]["id"] for event in played}) == 2
    assert played[0]["transfer"]["expires_at"] == "2026-11-21T12:00:05.000Z"


def test_a_log_line_says_when_who_and_what_first() -> None:
    line = json.dumps(
        {
            "transfer": "t-1", "event": "event.accepted", "event_id": "evt-1", "type": "transfer.created",
            "level": "info", "timestamp": "…", "next_in_ms": None, "gap": True,
        }
    )  # fmt: skip
    assert (
        shown("web", line, NOW, colour=False)
        == "12:00:00 web     event.accepted     evt-1 transfer.created gap=yes transfer=t-1"
    )


def test_what_is_only_kept_as_evidence_is_not_shown() -> None:
    assert shown("worker", json.dumps({"event": "activity.chained", "partner": "contoso"}), NOW, colour=False) == ""


def test_a_stack_trace_keeps_its_lines() -> None:
    line = json.dumps({"event": "broke", "exception": "Traceback\n  File"})
    assert shown("web", line, NOW, colour=False).splitlines()[1:] == ["    Traceback", "      File"]


@pytest.mark.parametrize(
    "line", ["plain \x1b[2J text", '{"event": "a", "detail": "\\u001b[2J"}', "[1]", '{"a']
)
def test_nothing_in_a_line_steers_the_terminal(line: str) -> None:
    assert "\x1b" not in shown("web", line, NOW, colour=False)


def test_the_relay_listens_to_the_sandbox_unless_it_is_told_whom_to_listen_to(tmp_path: Path) -> None:
    def listens(own: dict[str, str]) -> PartnerCenter:
        options = Options("127.0.0.1", 8080, tmp_path, False)
        return load(None, with_sandbox(options, environ_of(tmp_path, own), own)).sources.partner_center

    found = listens({})
    assert {one.name for one in found.tenants} == {"kaiyo-cloud", "fabrikam"}
    assert found.api_url.startswith("http://127.0.0.1:")
    own = '[{"name": "mine", "tenant_id": "t", "client_id": "c", "client_secret": "s"}]'
    theirs = listens({"RELAY_SOURCES__PARTNER_CENTER__TENANTS": own})
    assert [one.name for one in theirs.tenants] == ["mine"]
    assert theirs.api_url == "https://api.partnercenter.microsoft.com"
