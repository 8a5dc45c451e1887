"""On what is the fuzzing done?

The relay as it runs in production: its own processes over a durable database, one set a test process. The
tests here are synchronous, as the tools that drive them are; the receivers live on a thread of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import schemathesis
from requests import Session

from relay.embedded import EmbeddedValkey
from tests.pipeline.caller import OPERATOR
from tests.pipeline.events import step
from tests.pipeline.rig import Rig

schemathesis.serializer.alias("message/rfc822", "text/plain")

T = TypeVar("T")

SEGMENT = "jp-" + "k" * 32
"""Of a façade for SORACOM, which is never reached."""
SORACOM = {
    "RELAY_SOURCES__SORACOM__OPERATORS": json.dumps([{"coverage": "jp", "operator_id": "OP0012345678", "name": "Kaiyo", "key": "k" * 32}]),
    "RELAY_SOURCES__SORACOM__JP_URL": "http://127.0.0.1:1/v1",
    "RELAY_SOURCES__SORACOM__REQUESTS_PER_MINUTE": "300",
}

EXAMPLES = int(os.environ.get("FUZZ", "4"))
"""How many cases each test tries of each thing; `make fuzz` tries many more."""


@dataclass
class Target:
    """The running relay."""

    rig: Rig
    loop: asyncio.AbstractEventLoop
    http: Session
    producer: str
    """A producer's token."""

    @property
    def base(self) -> str:
        """Where it answers."""
        return self.rig.api.base

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs on the thread of the receivers."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(120)

    def ask(self, method: str, path: str, body: object = None, token: str = OPERATOR) -> Any:
        """The JSON of an answer that must be a good one."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.http.request(method, self.base + path, json=body, headers=headers, timeout=60)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def furnish(self) -> Furniture:
        """One of everything there is, so that cases find something; nobody else's."""
        name = f"fuzz-{secrets.token_hex(6)}"
        at, producers = f"/v1/partners/{name}", "/v1/producers"
        self.ask("PUT", at, {"name": name, "admin_agents": [{"email": "a@b.example", "name": "A"}]})
        made = [self.ask("POST", f"{at}/tokens", {}) for _ in range(2)]
        endpoint = self.ask("POST", f"{at}/endpoints", {"url": self.rig.hooks.url("/fuzz")})["id"]
        self.ask("POST", "/v1/events", step(name, "created", 1, source=name))
        delivery = self.run(self.rig.api.settled(name))[0]["id"]
        producer = self.ask("POST", producers, {"name": "Spare"})["id"]
        known = {
            "partner": name,
            "endpoint": endpoint,
            "token": made[0]["id"],
            "producer": producer,
            "secret": self.ask("GET", f"{producers}/{producer}/secrets")["data"][0]["id"],
            "replay": self.ask("POST", f"{at}/endpoints/{endpoint}/replay", {"since": "2026-01-01T00:00:00Z"})["id"],
            "transfer": name,
            "delivery": delivery,
        }
        replay = f"{at}/endpoints/{endpoint}/replays/{known['replay']}"
        while not self.ask("GET", replay)["done"]:
            time.sleep(0.05)
        self.run(self.rig.api.settled(name))
        return Furniture(known, {"operator": OPERATOR, "partner": made[1]["token"], "producer": self.producer})

    def lives(self) -> None:
        """Fails the test when a process has ended, or nobody answers."""
        for name, process in self.rig.processes.items():
            assert process.poll() is None, f"{name} has ended\n{self.rig.logs()[-6000:]}"
        assert self.http.get(f"{self.base}/readyz", timeout=60).status_code == 200
        assert "Traceback" not in self.rig.logs(), self.rig.logs()[-6000:]


@dataclass(frozen=True)
class Furniture:
    """What is there: `known`, a path variable's name -> an id; `tokens`, who asks -> the token."""

    known: dict[str, str]
    tokens: dict[str, str]


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The relay, running, over a database of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(120)

    folder = tmp_path_factory.mktemp("fuzz")
    with EmbeddedValkey.start(folder / "valkey") as valkey, Session() as http:
        http.trust_env = False
        rig = Rig(valkey, folder, RELAY_MAILBOX__ENABLED="true", **SORACOM)
        run(rig.__aenter__())
        try:
            producer = run(rig.api.ask("POST", "/v1/producers", {"name": "Centre"}, expect=201))
            run(rig.api.register("fabrikam", rig.hooks))
            yield Target(rig, loop, http, producer["token"])
        finally:
            run(rig.__aexit__(None, None, None))
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


@pytest.fixture(scope="session")
def there(target: Target) -> Furniture:
    """What is there for every test that takes nothing away."""
    return target.furnish()


@pytest.fixture(scope="session")
def theirs(target: Target) -> Furniture:
    """What is another partner's."""
    return target.furnish()


@pytest.fixture(scope="session")
def schema(target: Target) -> Any:
    """The document as the running relay serves it; who asks is for the tests to say."""
    document = target.http.get(f"{target.base}/openapi.json", timeout=60).json()
    del document["servers"], document["webhooks"]
    made = schemathesis.openapi.from_dict(document)
    made.config.generation.update(with_security_parameters=False)
    return made
