"""Does each command say what it should, and end with the code it should?"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
from click.testing import CliRunner, Result

from relay.cli import relay
from relay.commands.nearby import Place, found
from relay.commands.partner import _agent

TOKEN = "the-operators-token-of-these-tests-0123456789"


class Answering(ThreadingHTTPServer):
    """A server that answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.answers: list[tuple[int, Any]] = []
        self.leads_to = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(raw) if raw else None
        self.server.asked.append((self.command, self.path, self.headers["Authorization"], body))
        status, said = self.server.answers.pop(0)
        sent = b"" if said is None else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(sent)))
        if self.server.leads_to:
            self.send_header("Location", self.server.leads_to)
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def say(server: Answering | None, *words: str, input: str | None = None, **environ: str) -> Result:
    where = [] if server is None else ["--url", server.url, "--token", TOKEN]
    return CliRunner().invoke(relay, [*words, *where], input=input, env=environ)


def test_every_command_of_the_contract_is_there_with_its_help() -> None:
    for name in ("up", "serve", "work", "check", "send", "preview", "partner", "endpoint", "token"):
        assert CliRunner().invoke(relay, [name, "--help"]).exit_code == 0, name
        assert name in CliRunner().invoke(relay, ["--help"]).output


def test_an_accepted_event_is_said_and_ends_well(server: Answering, tmp_path: Path) -> None:
    server.answers = [(202, {"id": "evt-1", "status": "accepted"})]
    file = tmp_path / "event.json"
    file.write_text('{"id": "evt-1"}')
    result = say(server, "send", str(file))
    assert (result.exit_code, result.output) == (0, "202 accepted evt-1\n")
    assert server.asked == [("POST", "/v1/events", f"Bearer {TOKEN}", {"id": "evt-1"})]


def test_one_refusal_in_an_array_is_a_failure(server: Answering) -> None:
    server.answers = [
        (207, [{"code": 202, "id": "a", "status": "accepted"}, {"code": 409, "id": "b", "title": "Conflict"}])
    ]
    result = say(server, "send", "-", input="[{}, {}]")
    assert result.exit_code == 1
    assert result.output.splitlines() == ["202 accepted a", "409 Conflict b"]


def test_every_problem_of_an_event_is_said(server: Answering) -> None:
    errors = [{"pointer": "/type", "detail": "required"}, {"pointer": "", "detail": "odd"}]
    server.answers = [(422, {"title": "Unprocessable", "status": 422, "errors": errors})]
    result = say(server, "send", "-", input="{}")
    assert result.exit_code == 1
    assert "/type: required" in result.output
    assert "(the whole body): odd" in result.output


def test_a_relay_that_does_not_run_is_said_in_a_sentence(server: Answering) -> None:
    result = CliRunner().invoke(relay, ["partner", "list", "--url", "http://127.0.0.1:1", "--token", "t"])
    assert result.exit_code == 1
    assert "is the relay running?" in result.output


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_goes_nowhere_but_to_the_relay(server: Answering, status: int) -> None:
    with Answering() as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        elsewhere.answers = [(200, {"data": [], "next": None})]
        server.leads_to = f"{elsewhere.url}/v1/partners"
        server.answers = [(status, None)]
        result = say(server, "partner", "list")
        elsewhere.shutdown()
    assert result.exit_code == 1 and "--url" in result.output
    assert elsewhere.asked == []


def test_without_a_token_it_says_which_to_give() -> None:
    result = CliRunner().invoke(relay, ["partner", "list"])
    assert result.exit_code == 2
    assert "RELAY_OPERATOR_TOKEN" in result.output


@pytest.fixture
def folder(tmp_path: Path, server: Answering) -> Path:
    """The data folder of a `relay up`, which is `server`."""
    (tmp_path / "url").write_text(server.url + "\n")
    (tmp_path / "operator-token").write_text("of-the-folder\n")
    return tmp_path


def test_a_relay_that_runs_in_this_folder_is_found(server: Answering, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [(200, {"data": [], "next": None})] * 2
    assert say(None, "partner", "list", "--data", str(folder)).exit_code == 0
    folder.rename(folder.parent / ".relay")
    monkeypatch.chdir(folder.parent)
    assert say(None, "partner", "list").exit_code == 0
    assert [token for _, _, token, _ in server.asked] == ["Bearer of-the-folder"] * 2


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ({"RELAY_TOKEN": "theirs"}, "theirs"),
        ({"RELAY_OPERATOR_TOKEN": "the-operators"}, "the-operators"),
        ({"RELAY_URL": "here/"}, "of-the-folder"),
    ],
)
def test_what_is_given_goes_before_what_the_folder_has(
    server: Answering, folder: Path, given: dict[str, str], token: str
) -> None:
    server.answers = [(200, {"data": [], "next": None})]
    given = {name: server.url + "/" if value == "here/" else value for name, value in given.items()}
    assert say(None, "partner", "list", "--data", str(folder), **given).exit_code == 0
    assert server.asked[0][2] == f"Bearer {token}"


def test_a_folders_token_goes_nowhere_else_and_a_token_of_elsewhere_to_no_folders_address(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://elsewhere.example")
    (tmp_path / "operator-token").write_text("of-the-folder")
    assert found(tmp_path, "https://relay.example", None) == Place("https://relay.example", "")
    assert found(tmp_path, None, "theirs") == Place("", "theirs")
    assert found(tmp_path, None, None) == Place("https://elsewhere.example", "of-the-folder", kept=True)


def test_a_folder_that_is_of_no_use_is_said_plainly(server: Answering, folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    assert f"none that runs is known in {empty}" in say(None, "partner", "list", "--data", str(empty)).output
    server.answers = [(401, {"detail": "The token is not known."})]
    said = say(None, "partner", "list", "--data", str(folder)).output
    assert "The token is not known." in said and "set it here too" in said
    (folder / "url").write_text("http://127.0.0.1:1")
    assert "start it again" in say(None, "partner", "list", "--data", str(folder)).output


def test_a_list_is_read_page_by_page(server: Answering) -> None:
    server.answers = [
        (200, {"data": [{"id": "a"}], "next": "n e x t"}),
        (200, {"data": [{"id": "b"}], "next": None}),
    ]
    result = say(server, "partner", "list", "--json")
    assert [entry["id"] for entry in json.loads(result.output)] == ["a", "b"]
    assert [path for _, path, _, _ in server.asked] == [
        "/v1/partners?limit=500",
        "/v1/partners?limit=500&after=n+e+x+t",
    ]


def test_a_table_shows_what_is_there(server: Answering) -> None:
    server.answers = [(200, {"data": [{"id": "contoso", "name": "Contoso", "locale": None}], "next": None})]
    result = say(server, "partner", "list")
    assert "contoso" in result.output
    assert "–" in result.output


EVIL = "\x1b]0;evil\x07\x9b2J\u202egpj\x00東京"


def test_nothing_that_a_stranger_wrote_is_obeyed_by_the_terminal(server: Answering) -> None:
    endpoint = {"id": EVIL, "url": EVIL, "state": EVIL, "breaker": {"state": EVIL}}
    asked: list[tuple[list[str], int, Any]] = [
        (["endpoint", "list", "contoso"], 200, {"data": [endpoint], "next": None}),
        (["endpoint", "list", "contoso", "--json"], 200, {"data": [endpoint], "next": None}),
        (["partner", "show", "contoso"], 200, {"id": EVIL, "name": EVIL, "admin_agents": [{"email": EVIL, "name": EVIL}]}),
        (["delivery", "show", "d"], 200, {"id": EVIL, "attempts": [{"number": 1, "at": EVIL, "outcome": EVIL, "status": 1, "explanation": EVIL}]}),
        (["endpoint", "check", "contoso", "e"], 200, {"ok": True, "findings": [{"level": "ok", "check": EVIL, "detail": EVIL}]}),
        (["partner", "show", "contoso"], 404, {"detail": EVIL, "errors": [{"pointer": EVIL, "detail": EVIL}]}),
    ]  # fmt: skip
    for words, status, body in asked:
        server.answers.append((status, body))
        result = say(server, *words)
        output = result.output
        assert "東京" in output, (words, result.exception)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", output), (words, output)
        if "--json" in words:
            assert json.loads(output)[0]["url"] == EVIL


def test_a_row_is_one_line_where_nobody_looks_and_says_nothing_to_the_terminal(server: Answering) -> None:
    people = [{"email": f"person{n}@contoso.example", "name": f"[bold]Person {n}", "locale": None} for n in range(9)]
    server.answers = [(200, {"data": [{"id": "contoso", "admin_agents": people}], "next": None})]
    (_, row) = say(server, "partner", "list").output.splitlines()
    assert all(f"[bold]Person {n} <person{n}@contoso.example>" in row for n in range(9))


@pytest.mark.parametrize(
    ("words", "method", "path", "body"),
    [
        (["token", "create", "a b"], "POST", "/v1/partners/a%20b/tokens", {}),
        (["token", "revoke", "p", "t"], "DELETE", "/v1/partners/p/tokens/t", None),
        (
            ["producer", "create", "billing"],
            "POST",
            "/v1/producers",
            {"name": "billing", "all_transfers": False},
        ),
        (
            ["token", "create", "p", "--read-only", "--name", "BI"],
            "POST",
            "/v1/partners/p/tokens",
            {"name": "BI", "scope": "read"},
        ),
        (["producer", "add-token", "pr", "--name", "2027"], "POST", "/v1/producers/pr/tokens", {"name": "2027"}),
        (["producer", "revoke-token", "pr", "t"], "DELETE", "/v1/producers/pr/tokens/t", None),
        (
            ["producer", "rotate-secret", "pr", "--overlap-seconds", "60"],
            "POST",
            "/v1/producers/pr/secrets",
            {"previous_expires_in_seconds": 60},
        ),
        (["endpoint", "enable", "p", "e"], "POST", "/v1/partners/p/endpoints/e/enable", {}),
        (["endpoint", "pause", "p", "e"], "PATCH", "/v1/partners/p/endpoints/e", {"state": "disabled"}),
        (
            ["endpoint", "rotate", "p", "e", "--overlap-seconds", "0"],
            "POST",
            "/v1/partners/p/endpoints/e/secret/rotate",
            {"overlap_seconds": 0},
        ),
        (
            [
                "endpoint",
                "add",
                "p",
                "https://x.example",
                "--type",
                "transfer.created",
                "--header",
                "X-A: b:c",
            ],
            "POST",
            "/v1/partners/p/endpoints",
            {"url": "https://x.example", "event_types": ["transfer.created"], "headers": {"X-A": "b:c"}},
        ),
        (
            ["partner", "put", "p", "--name", "P", "--agent", "Aoi <a@x.example> ja"],
            "PUT",
            "/v1/partners/p",
            {"name": "P", "admin_agents": [{"email": "a@x.example", "name": "Aoi", "locale": "ja"}]},
        ),
    ],
)
def test_a_command_asks_what_the_contract_says(
    server: Answering, words: list[str], method: str, path: str, body: object
) -> None:
    server.answers = [(200, None)]
    result = say(server, *words)
    assert (result.exit_code, result.output) == (0, "Done.\n")
    assert server.asked == [(method, path, f"Bearer {TOKEN}", body)]


def test_a_list_of_endpoints_says_which_are_held_back(server: Answering) -> None:
    since, probe = "2026-11-21T01:00:00.000Z", "2026-11-21T01:05:00.000Z"
    breakers = [
        ("closed", "enabled", "all"), ("open", "enabled", f"held since {since}, probe at {probe}"),
        ("ramping", "enabled", "ramping up, 4 at once"), ("open", "disabled", "held"),
    ]  # fmt: skip
    data = [
        {"id": f"ep_{n}", "state": endpoint, "breaker": {"state": state, "since": since, "next_probe_at": probe, "window": 4}}
        for n, (state, endpoint, _) in enumerate(breakers)
    ]
    server.answers = [(200, {"data": data, "next": None})]
    rows = say(server, "endpoint", "list", "contoso").output.splitlines()[1:]
    for row, (_, _, wanted) in zip(rows, breakers, strict=True):
        assert wanted in row


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["transfer", "list", "--status", "failed", "--customer", "c"], "/v1/transfers?limit=50&status=failed&customer=c"),
        (["transfer", "deliveries", "t", "--channel", "email"], "/v1/transfers/t/deliveries?limit=500&channel=email"),
        (["delivery", "list", "--status", "exhausted", "--limit", "9"], "/v1/deliveries?limit=9&status=exhausted"),
        (["endpoint", "deliveries", "p", "e"], "/v1/partners/p/endpoints/e/deliveries?limit=50"),
    ],
)
def test_a_list_with_nothing_in_it_says_so(server: Answering, words: list[str], path: str) -> None:
    server.answers = [(200, {"data": [], "next": None})]
    result = say(server, *words)
    assert (result.exit_code, result.output) == (0, "There are none.\n")
    assert server.asked[0][:2] == ("GET", path)


def test_a_transfer_says_who_was_told_and_why_somebody_was_not(server: Answering) -> None:
    who = {"partner": "contoso", "endpoint": "ep_1", "email": None, "audience": "source", "channel": "webhook"}
    entry = {
        "sequence": 1, "event_id": "evt-1", "type": "transfer.created", "occurred_at": "2026-11-21T01:00:00Z", "late": False,
        "repeat": False, "derived": True, "gap": False, "told": [
            {**who, "delivery": "dlv_1", "status": "delivered", "reason": None},
            {**who, "endpoint": "ep_2", "delivery": "dlv_2", "status": "canceled", "reason": "endpoint_removed"},
            {**who, "endpoint": "ep_3", "delivery": "dlv_3", "status": None, "reason": None},
        ],
        "skipped": [{**who, "endpoint": None, "email": "a@b.example", "channel": "email", "reason": "muted"}],
    }  # fmt: skip
    refusal = {"event_id": "evt-2", "type": "transfer.canceled", "refused_at": "2026-11-21T02:00:00Z", "reason": "it is over"}
    server.answers = [(200, {"id": "t", "status": "pending", "timeline": [entry], "refusals": [refusal]})]
    lines = [line.strip() for line in say(server, "transfer", "show", "t").output.splitlines() if line]
    assert lines[-6:] == [
        "1. transfer.created at 2026-11-21T01:00:00Z (evt-1, derived)",
        "webhook  source ep_1: delivered, dlv_1",
        "webhook  source ep_2: canceled: endpoint_removed, dlv_2",
        "webhook  source ep_3: dlv_3",
        "–        source a@b.example: no email, muted",
        "refused: transfer.canceled at 2026-11-21T02:00:00Z (evt-2): it is over",
    ]


def test_a_delivery_says_what_came_of_each_attempt_and_is_sent_again(server: Answering) -> None:
    attempt = {"number": 2, "at": "2026-11-21T01:00:00Z", "outcome": "rejected", "status": 401, "explanation": "It does not believe us."}
    server.answers = [(200, {"id": "d", "status": "pending", "attempts": [attempt]}), (202, {}), (202, {})]
    said = say(server, "delivery", "show", "d").output
    assert "2. 2026-11-21T01:00:00Z rejected 401\n   It does not believe us." in said
    assert say(server, "delivery", "resend", "d", "e").exit_code == 0
    assert [path for _, path, _, _ in server.asked[1:]] == ["/v1/deliveries/d/resend", "/v1/deliveries/e/resend"]


def test_a_ping_that_was_not_taken_is_a_failure(server: Answering) -> None:
    server.answers = [(200, {"outcome": "timed_out"}), (200, {"outcome": "accepted"})]
    assert [say(server, "endpoint", "test", "p", "e").exit_code for _ in range(2)] == [1, 0]


def test_the_token_comes_from_the_environment_too(server: Answering) -> None:
    server.answers = [(200, {"id": "p"})]
    words = ["partner", "show", "p", "--url", server.url]
    assert CliRunner().invoke(relay, words, env={"RELAY_OPERATOR_TOKEN": TOKEN}).exit_code == 0
    assert server.asked[0][2] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        ("a@x.example", {"email": "a@x.example", "name": "a"}),
        ("Aoi Tanaka <a@x.example>", {"email": "a@x.example", "name": "Aoi Tanaka"}),
        ('"Tanaka, Aoi" <a@x.example> en', {"email": "a@x.example", "name": "Tanaka, Aoi", "locale": "en"}),
    ],
)
def test_a_person_is_given_as_mail_programs_do(text: str, agent: dict[str, str]) -> None:
    assert _agent(text) == agent


def test_who_is_no_person_is_refused() -> None:
    with pytest.raises(click.UsageError):
        _agent("nobody")


def test_check_says_all_that_is_wrong_at_once() -> None:
    result = CliRunner().invoke(
        relay,
        ["check"],
        env={
            "RELAY_STORE__URL": "redis://relay:hush-1@127.0.0.1:1/0?protocol=3",
            "RELAY_STORE__ARQ_URL": "redis://:hush-2@127.0.0.1:1/7",
            "RELAY_MAIL__URL": "smtp://127.0.0.1:1",
        },
    )
    assert result.exit_code == 1
    for said in ("RELAY_OPERATOR_TOKEN", "RELAY_SECRETS__KEYS", "database:", "arq's database", "mail.url:"):
        assert said in result.output
    for where in ("at redis://127.0.0.1:1/0; check RELAY_STORE__URL", "at redis://127.0.0.1:1/7; check RELAY_STORE__ARQ_URL"):
        assert where in result.output
    assert "hush" not in result.output
    assert result.output.count("✗") == 5
    assert result.output.endswith("5 problems.\n")
    one = CliRunner().invoke(relay, ["check"], env={"RELAY_SERVER__PORT": "many"})
    assert one.output.endswith("1 problem.\n")


def test_check_says_every_wrong_setting() -> None:
    wrong = {"RELAY_SERVER__PORT": "many", "RELAY_SERVER__PROT": "1", "RELAY_LOG__LEVEL": "loud"}
    result = CliRunner().invoke(relay, ["check"], env=wrong)
    assert result.exit_code == 1
    for said in ("server.port", "RELAY_SERVER__PORT?", "log.level"):
        assert said in result.output


def test_preview_writes_every_mail_in_every_language(tmp_path: Path) -> None:
    result = CliRunner().invoke(relay, ["preview", str(tmp_path)])
    assert result.exit_code == 0
    assert (tmp_path / "index.html").exists()
    for locale in ("de", "en", "es", "fr", "ja", "ko", "zh-Hans"):
        kinds = [file.name.partition(".")[2] for file in (tmp_path / locale).iterdir()]
        every = {kinds.count(kind) for kind in ("html", "light.html", "dark.html", "txt", "eml", "eml.txt")}
        assert len(every) == 1 and every.pop() > 0


def test_check_reads_the_relays_own_certificate(tmp_path: Path) -> None:
    def said(certificate: str, key: str) -> str:
        wrong = {"RELAY_EGRESS__CLIENT_CERTIFICATE": certificate, "RELAY_EGRESS__CLIENT_KEY": key}
        return CliRunner().invoke(relay, ["check"], env={**wrong, "RELAY_STORE__URL": "redis://127.0.0.1:1/0"}).output

    authority, places = trustme.CA(), {}
    ends = {"old": datetime(2020, 1, 1, tzinfo=UTC), "soon": datetime.now(UTC) + timedelta(days=3, hours=1), "new": None}
    for name, end in ends.items():
        made = authority.issue_cert("relay.contoso.com", not_after=end)
        places[name] = (str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(places[name][0])
        made.private_key_pem.write_to_path(places[name][1])
    assert "egress.client_certificate: it expired on 2020-01-01" in said(*places["old"])
    assert "? egress.client_certificate: it expires in 3 days" in said(*places["soon"])
    assert "egress.client_certificate" not in said(*places["new"])
    assert "the key does not belong to it" in said(places["new"][0], places["old"][1])
    assert "No such file" in said(str(tmp_path / "none.pem"), "")


def test_what_is_found_out_about_an_endpoint_is_a_line_a_finding(server: Answering) -> None:
    found = [
        {"check": "dns", "level": "ok", "detail": "One address."},
        {"check": "certificate", "level": "warning", "detail": "It expires."},
        {"check": "ping", "level": "problem", "detail": "It answered 401."},
    ]
    server.answers += [(200, {"ok": False, "findings": found, "attempt": None})] * 2
    server.answers.append((200, {"ok": True, "findings": found[:2], "attempt": None}))
    result = say(server, "endpoint", "check", "contoso", "ep_1", "--forgery")
    assert result.output.splitlines() == [
        "✓ dns: One address.",
        "! certificate: It expires.",
        "✗ ping: It answered 401.",
    ]
    assert result.exit_code == 1
    assert server.asked[0][1:] == (
        "/v1/partners/contoso/endpoints/ep_1/preflight", f"Bearer {TOKEN}", {"forgery": True},
    )  # fmt: skip
    assert json.loads(say(server, "endpoint", "check", "contoso", "ep_1", "--json").output)["ok"] is False
    assert say(server, "endpoint", "check", "contoso", "ep_1").exit_code == 0


def test_the_mistake_behind_a_signature_is_said(server: Answering, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"\xff{}\n")
    mistakes = [{"mistake": "prefix_kept", "explanation": "Take it off."}]
    server.answers += [(200, {"found": True, "mistakes": mistakes}), (200, {"found": False, "mistakes": []})]
    words = ("endpoint", "verify-help", "contoso", "ep_1", "v1,AAAA", "--id", "evt-1")
    known = say(server, *words, "--body", str(tmp_path / "body"), "--timestamp", "1", "--clock", "2")
    assert (known.exit_code, known.output) == (0, "prefix_kept: Take it off.\n")
    assert server.asked[0][3] == {
        "signature": "v1,AAAA", "id": "evt-1", "timestamp": "1", "body_base64": "/3t9Cg==", "clock": 2,
    }  # fmt: skip
    unknown = say(server, *words)
    assert unknown.exit_code == 1
    assert "No usual mistake" in unknown.output
