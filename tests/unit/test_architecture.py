"""Does every module know only what it should, say what it answers, and stay short?"""

from __future__ import annotations

import ast
import re
from enum import StrEnum
from pathlib import Path

import pytest

import relay
from relay.model import CancelReason, Outcome, SkipReason

ROOT = Path(relay.__file__).parent
MODULES = {
    ".".join(("relay", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if "_data" not in path.parts
}
NOUNS = {"relay.closed", "relay.config", "relay.config_mail", "relay.config_retention", "relay.config_sources", "relay.data", "relay.errors", "relay.fields", "relay.places", "relay.forms", "relay.model", "relay.times"}
DECISIONS = {
    "relay.accounts", "relay.retention", "relay.bounces", "relay.breaker", "relay.chain", "relay.cloud_events", "relay.deadlines", "relay.egress", "relay.formats", "relay.intake", "relay.lifecycle",
    "relay.limits", "relay.bundles", "relay.people", "relay.plan", "relay.preferences", "relay.readers",
    "relay.retry", "relay.signing", "relay.view",
    "relay.mail.pace", "relay.mail.sns", "relay.mail.standing", "relay.mail.verdict",
    "relay.advice", "relay.findings", "relay.misread", "relay.mistakes",
    "relay.sources.callback", "relay.sources.entity", "relay.sources.signature", "relay.sources.sims", "relay.sources.steps",
    "relay.sandbox.clock", "relay.sandbox.desk", "relay.sandbox.faults", "relay.sandbox.system",
    "relay.sandbox.subscriptions.customers", "relay.sandbox.subscriptions.hooks", "relay.sandbox.subscriptions.model",
    "relay.sandbox.subscriptions.moving", "relay.sandbox.subscriptions.refusals", "relay.sandbox.subscriptions.requests",
    "relay.sandbox.subscriptions.telling", "relay.sandbox.subscriptions.views", "relay.sandbox.subscriptions.world",
    "relay.sandbox.sims.assisted", "relay.sandbox.sims.billing", "relay.sandbox.sims.handlers", "relay.sandbox.sims.model",
    "relay.sandbox.sims.refusals", "relay.sandbox.sims.requests", "relay.sandbox.sims.sign_in", "relay.sandbox.sims.views",
    "relay.sandbox.sims.world",
}  # fmt: skip
ACTIONS = ("relay.store", "relay.mail", "relay.webhook", "relay.posting", "relay.time_limit", "relay.gate", "relay.outcomes", "relay.dialer", "relay.vault", "relay.chain_key", "relay.callback_key", "relay.address_book",
           "relay.record", "relay.archive", "relay.clock", "relay.logs", "relay.own",
           "relay.consent", "relay.survey")  # fmt: skip
OUTSIDE = {"aiohttp", "aiosmtplib", "arq", "asyncio", "redis", "socket", "ssl", "structlog", "subprocess",
           "threading", "urllib"}  # fmt: skip
MOST_LINES = 400


def _imports(path: Path) -> set[str]:
    """The modules that a file imports, of this package by their whole name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner or {node.module}
    return found


def _own(name: str) -> set[str]:
    return {found for found in _imports(MODULES[name]) if found.split(".")[0] == "relay"} - {"relay"}


def _calls(path: Path) -> set[str]:
    """What is called as `module.function`."""
    return {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
    }


def _is_action(name: str) -> bool:
    return name.startswith(ACTIONS)


def test_the_rings_are_there() -> None:
    assert NOUNS | DECISIONS <= MODULES.keys()
    assert len([name for name in MODULES if _is_action(name)]) > len(ACTIONS)


@pytest.mark.parametrize("name", sorted(NOUNS))
def test_nouns_know_only_nouns(name: str) -> None:
    assert _own(name) <= NOUNS


@pytest.mark.parametrize("name", sorted(DECISIONS))
def test_decisions_know_only_nouns_and_each_other(name: str) -> None:
    assert _own(name) <= NOUNS | DECISIONS


@pytest.mark.parametrize("name", sorted(NOUNS | DECISIONS))
def test_what_is_pure_reaches_nothing_outside_and_reads_no_clock(name: str) -> None:
    path = MODULES[name]
    assert not {found.split(".")[0] for found in _imports(path)} & (OUTSIDE | {"time", "random"})
    assert not _calls(path) & {"datetime.now", "datetime.utcnow", "date.today", "time.time"}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if _is_action(name)))
def test_actions_know_no_entry_point(name: str) -> None:
    for found in _own(name):
        assert found in NOUNS | DECISIONS or _is_action(found), f"{name} imports {found}"


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith("relay.store")))
def test_only_the_store_writes_to_the_database(name: str) -> None:
    text = MODULES[name].read_text("utf-8")
    assert not re.search(r"\bevalsha\b|\bEVALSHA\b|\.hset\(|\.zadd\(|\.lpush\(", text)


DIALS = re.compile(r"ClientSession\(|open_connection\(|create_connection\(|urlopen|urllib\.request|http\.client|\.connect\(")
MAY_DIAL = {
    "relay.dialer": "the guarded session itself",
    "relay.posting": "the guarded session's own connector",
    "relay.survey": "sockets of the guarded session",
    "relay.store.client": "the operator's database",
    "relay.store.cluster": "the operator's databases",
    "relay.services": "the operator's database",
    "relay.embedded": "the database that it started",
    "relay.mail.server": "the operator's mail server",
    "relay.commands.api": "the relay that a person names at a terminal",
    "relay.up": "the processes that it started",
    "relay.demo": "the relay that it plays for",
}


@pytest.mark.parametrize("name", sorted(MODULES.keys() - MAY_DIAL))
def test_whatever_a_tenant_can_influence_goes_through_the_guarded_session(name: str) -> None:
    assert not DIALS.findall(MODULES[name].read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_begins_with_the_question_it_answers(name: str) -> None:
    doc = ast.get_docstring(ast.parse(MODULES[name].read_text("utf-8"))) or ""
    if name in ("relay", "relay.__main__"):
        assert doc
    else:
        assert doc.split("\n")[0].endswith("?")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_is_longer_than_a_reader_can_hold(name: str) -> None:
    assert len(MODULES[name].read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("closed", [Outcome, SkipReason, CancelReason])
def test_every_word_of_a_closed_list_is_explained(closed: type[StrEnum]) -> None:
    lines = MODULES["relay.closed"].read_text("utf-8").splitlines()
    explained = {match[1] for line in lines if (match := re.match(r'    (\w+) = "\w+"  # .{3,}', line))}
    assert {member.name for member in closed} - explained == set()


def test_scripts_name_their_keys_through_the_frame_only() -> None:
    for path in sorted((ROOT / "store" / "lua").glob("*.lua")):
        text = re.sub(r"--.*", "", path.read_text("utf-8"))
        if path.name not in ("frame.lua", "chain.lua"):
            assert "ARGV" not in text, path.name
        if path.name != "frame.lua":
            assert "prefix" not in text, path.name
            assert "redis.call" not in text, path.name
