"""What the operator set, and is all that is wrong with it said at once?"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from redis import ConnectionPool

from relay.config import Config, load, missing_secrets
from relay.data import defaults_path
from relay.errors import ConfigError
from relay.model import Audience, EventType, Kind

TOKEN = "x" * 32
KEY = base64.b64encode(bytes(32)).decode()


def _problems(path: Path | None, environ: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return caught.value.problems


def _file(folder: Path, text: str) -> Path:
    path = folder / "relay.toml"
    path.write_text(text)
    return path


def test_the_example_file_is_the_defaults_and_is_sound() -> None:
    config = load(None, {})
    assert (config.server.port, config.retry.jitter, config.limits.endpoints_per_partner) == (8080, 0.2, 1000)


def test_secrets_have_no_default() -> None:
    config = load(None, {})
    assert (config.secrets.operator_token, config.secrets.keys) == ("", ())
    missing = " ".join(missing_secrets(config))
    assert "RELAY_OPERATOR_TOKEN" in missing
    assert "RELAY_SECRETS__KEYS" in missing
    assert not missing_secrets(load(None, {"RELAY_OPERATOR_TOKEN": TOKEN, "RELAY_SECRETS__KEYS": f'["{KEY}"]'}))


def test_a_file_lies_over_the_defaults_and_the_environment_over_both(tmp_path: Path) -> None:
    path = _file(tmp_path, '[server]\nport = 1\nhost = "a"\n[notify.sim.created]\nemail = []\n')
    config = load(path, {"RELAY_SERVER__PORT": "2"})
    assert (config.server.host, config.server.port, config.server.max_event_bytes) == ("a", 2, 262_144)
    assert config.notify.row(Kind.SIM, EventType.CREATED).email == ()
    assert config.notify.row(Kind.SIM, EventType.CREATED).webhook == (Audience.SOURCE, Audience.TARGET)


def test_relay_config_names_the_file_unless_one_is_given(tmp_path: Path) -> None:
    one, other = _file(tmp_path, "[server]\nport = 1\n"), tmp_path / "other.toml"
    other.write_text("[server]\nport = 2\n")
    assert load(None, {"RELAY_CONFIG": str(one)}).server.port == 1
    assert load(other, {"RELAY_CONFIG": str(one)}).server.port == 2


def test_lists_in_the_environment_are_json() -> None:
    environ = {
        "RELAY_EGRESS__ALLOW_NETWORKS": '["10.0.0.0/8", "::1/128"]',
        "RELAY_NOTIFY__SIM__FAILED__EMAIL": '["source"]',
        "RELAY_RETRY__WAITS_SECONDS": "[0, 1.5]",
        "RELAY_EGRESS__ALLOW_HTTP": "true",
    }
    config = load(None, environ)
    assert config.egress.allow_networks == ("10.0.0.0/8", "::1/128")
    assert config.egress.allow_http
    assert config.notify.sim.failed.email == (Audience.SOURCE,)
    assert config.retry.waits_seconds == (0, 1.5)
    assert "JSON" in _problems(None, {"RELAY_EGRESS__ALLOW_NETWORKS": "10.0.0.0/8"})[0]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "[server]\nprot = 1\n[retry]\njitter = 2\n[surprise]\nx = 1\n")
    environ = {
        "RELAY_SERVER__HOTS": "x",
        "RELAY_WORKER__IN_FLIGHT": "many",
        "RELAY_EGRESS__ALLOW_NETWORKS": '["10.0.0.1/8"]',
        "RELAY_LOG__LEVEL": "loud",
        "RELAY_OPERATOR_TOKEN": "short",
        "RELAY_SECRETS__KEYS": f'["{KEY}", "AAAA", 7]',
    }
    said = "\n".join(_problems(path, environ))
    for part in (
        "did you mean server.port?", "did you mean RELAY_SERVER__HOST?", "surprise.x", "retry.jitter", "worker.in_flight",
        "egress.allow_networks.0", "10.0.0.1/8", "log.level", "RELAY_OPERATOR_TOKEN", "number 2", "number 3",
    ):  # fmt: skip
        assert part in said
    assert "short" not in said
    assert "number 1" not in said


@pytest.mark.parametrize(
    "text",
    [
        "server = 5", "[server.port]\nx = 1", "secrets = 5", '[secrets]\nkeys = "abc"', "[secrets]\nkeys = [1]",
        "[secrets]\noperator_token = 5", "[secrets]\nkeys_file = 5", "[[server]]\nport = 1", "notify = []",
    ],
)  # fmt: skip
def test_a_setting_of_the_wrong_shape_is_a_problem_and_not_a_crash(text: str, tmp_path: Path) -> None:
    assert _problems(_file(tmp_path, text), {"RELAY_SERVER__PORT": "1"})


@pytest.mark.parametrize(
    "url",
    ["", "foo", "http://x", "redis:/x", "redis://h:port/0", "redis://:hush@h:65536", "redis://h/x", "unix://"],
)
def test_an_address_that_is_none_of_a_database_is_said_without_showing_it(url: str) -> None:
    problems = _problems(None, {"RELAY_STORE__URL": url})
    assert [problem.partition(":")[0] for problem in problems] == ["store.url"]
    assert "hush" not in problems[0]
    if url:
        assert _problems(None, {"RELAY_STORE__ARQ_URL": url})[0].startswith("store.arq_url")


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0", "redis://", "rediss://user:p%40ss@cache.example:6380/2?ssl_cert_reqs=required",
        "redis://[::1]:6379", "redis://:pass@localhost", "unix:///run/valkey.sock?db=1",
    ],
)  # fmt: skip
def test_an_address_of_a_database_is_taken_by_the_client_too(url: str) -> None:
    ConnectionPool.from_url(load(None, {"RELAY_STORE__URL": url, "RELAY_STORE__ARQ_URL": url}).store.url)


@pytest.mark.parametrize("url", ["relay.example", "ftp://relay.example", "https://relay.example/?x=1", "https://"])
def test_an_address_that_people_could_not_follow_is_said(url: str) -> None:
    assert _problems(None, {"RELAY_SERVER__PUBLIC_URL": url})[0].startswith("server.public_url")


def test_the_public_address_has_no_slash_at_its_end() -> None:
    config = load(None, {"RELAY_SERVER__PUBLIC_URL": "https://relay.example:8443/told/"})
    assert config.server.base_url == "https://relay.example:8443/told"


def test_a_file_that_cannot_be_read_is_said_with_its_name(tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'[server]\nhost = "\xe9"\n')
    for path in (absent, tmp_path, latin, _file(tmp_path, "[server\n")):
        (problem,) = _problems(path, {})
        assert str(path) in problem


def test_secrets_come_from_files(tmp_path: Path) -> None:
    token, keys = tmp_path / "token", tmp_path / "keys"
    token.write_text(f"{TOKEN}\n")
    keys.write_text(f"{KEY}\n{KEY}\n")
    environ = {
        "RELAY_SECRETS__OPERATOR_TOKEN_FILE": str(token),
        "RELAY_SECRETS__KEYS_FILE": str(keys),
    }
    config = load(None, environ)
    assert config.secrets.operator_token == TOKEN
    assert config.secrets.key_bytes == [bytes(32)] * 2
    assert load(None, {**environ, "RELAY_OPERATOR_TOKEN": "y" * 32}).secrets.operator_token == "y" * 32


def test_a_secret_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    environ = {
        "RELAY_SECRETS__OPERATOR_TOKEN_FILE": str(tmp_path / "absent"),
        "RELAY_SECRETS__KEYS_FILE": str(binary),
    }
    assert len(_problems(None, environ)) == 2


def test_other_programs_variables_are_left_alone() -> None:
    environ = {"RELAY_CONFIG": "", "PATH": "/", "RELAYED__X": "1", "RELAY_SOMETHING": "1"}
    assert load(None, environ) == load(None, {})


def test_the_settings_are_frozen() -> None:
    with pytest.raises(ValueError):
        load(None, {}).server.port = 1


# --- the example file as a document --------------------------------------------------------------------


def _settings() -> list[tuple[str, str, bool]]:
    """(table, key, whether it is explained on its line)."""
    found, table = [], ""
    for line in defaults_path().read_text("utf-8").splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        elif match := re.match(r"(?:# )?(\w+)(?: =|\s{8,}#)", line):
            found.append((table, match[1], "#" in line.partition("=")[2] or line.startswith("# ")))
    return found


def test_every_setting_is_explained() -> None:
    bare = {(table, key) for table, key, explained in _settings() if not explained}
    rows = {(table, key) for table, key in bare if table.startswith("notify.")}
    assert bare == rows
    text = defaults_path().read_text("utf-8")
    above = text[: text.index("[notify]")].rpartition("\n\n")[2]
    for key in {key for _, key in rows}:
        assert f"`{key}`" in above


def test_the_example_file_states_every_setting() -> None:
    def keys(model: type, above: str = "") -> set[str]:
        found: set[str] = set()
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                found |= keys(inner, f"{above}{name}.")
            else:
                found.add(f"{above}{name}")
        return found

    values = tomllib.loads(defaults_path().read_text("utf-8"))
    kinds = {name: sorted(kept) for name, kept in values["retention"].items() if isinstance(kept, dict)}
    stated = {(f"{table}.{key}", tuple(kinds.get(key, ())) if table == "retention" else ()) for table, key, _ in _settings()}
    assert keys(Config) == {f"{name}.{part}" if part else name for name, parts in stated for part in parts or ("",)}
    assert values.keys() == Config.model_fields.keys()


def test_how_long_something_is_kept_is_a_span_and_a_number() -> None:
    kept = load(None, {"RELAY_RETENTION__BODIES__AGE": "36h", "RELAY_RETENTION__FEED__AGE": "", "RELAY_RETENTION__FEED__MOST": "7"}).retention
    assert (kept.bodies.age_ms, kept.feed.age_ms, kept.feed.most, kept.bodies.most) == (36 * 3_600_000, None, 7, 0)
    wrong = {"RELAY_RETENTION__BODIES__AGE": "a month", "RELAY_RETENTION__FEED__MOST": "-1", "RELAY_RETENTION__EVENT_IDS__MOST": "1"}
    told = _problems(None, wrong)
    assert len(told) == 3 and any("retention.bodies.age: give a span of time" in one for one in told)


@pytest.mark.parametrize(
    "url", ["http://proxy:3128", "https://relay:p%40ss@proxy.contoso.com", "http://[fd00::1]:3128/", ""]
)
def test_a_forward_proxy_is_named_by_its_url(url: str) -> None:
    assert load(None, {"RELAY_EGRESS__PROXY": url}).egress.proxy == url


@pytest.mark.parametrize("url", ["proxy:3128", "socks5://proxy:1080", "http://relay:planted@proxy:99999", "http://"])
def test_a_proxy_that_is_none_is_refused_without_repeating_its_password(url: str) -> None:
    (problem,) = _problems(None, {"RELAY_EGRESS__PROXY": url})
    assert problem.startswith("egress.proxy:")
    assert "planted" not in problem


def test_beside_a_cluster_arq_needs_a_server_of_its_own() -> None:
    cluster = {"RELAY_STORE__URL": "redis+cluster://h1:7000,h2:7001"}
    (problem,) = _problems(None, cluster)
    assert problem.startswith("store.arq_url") and "cannot use a cluster" in problem
    load(None, {**cluster, "RELAY_STORE__ARQ_URL": "redis+sentinel://s1,s2/wakes"})
    assert _problems(None, {"RELAY_STORE__ARQ_URL": "redis+cluster://h1"})[0].startswith("store.arq_url")
