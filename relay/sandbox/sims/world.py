"""Who and what is there in the world of SIMs?

Operators, their SIMs, the batches that were offered by a token, Event Handlers, and applications for the
assisted transfer. No token is kept: a batch is kept under the digest by which the relay calls the transfer.
Times are Unix milliseconds of the sandbox. Pure.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from relay.model import Record

V = TypeVar("V")
MOST_BATCHES: Final = 300
MOST_SIMS: Final = 300
COVERAGES: Final = ("jp", "g")


class Status(StrEnum):
    """A SIM's status, as the API has it. That it is in transfer is none of them."""

    READY = "ready"
    ACTIVE = "active"
    INACTIVE = "inactive"
    STANDBY = "standby"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


class Operator(Record, frozen=True, kw_only=True):
    """An account. `email` is its primary address; without a payment method it accepts nothing."""

    id: str
    name: str
    email: str
    has_payment: bool = True


class Owned(Record, frozen=True, kw_only=True):
    """From this moment on it was this operator's."""

    from_ms: int
    operator: str


class Sim(Record, frozen=True, kw_only=True):
    """`batch` is the transfer that it is offered in, "" where it is in none; `owners` are in order of time."""

    imsi: str
    iccid: str
    sim_id: str
    owners: tuple[Owned, ...]
    coverage: str = "jp"
    status: Status = Status.READY
    name: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    group: str = ""
    expires_ms: int = 0
    is_protected: bool = False
    imei_lock: str = ""
    containers: tuple[str, ...] = ()
    speed_class: str = "s1.standard"
    has_session: bool = False
    batch: str = ""
    changed_ms: int = 0

    @property
    def owner(self) -> str:
        """Whose it is now."""
        return self.owners[-1].operator


class BatchState(StrEnum):
    """What has become of an offer."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    CANCELED = "canceled"
    VOID = "void"


class Batch(Record, frozen=True, kw_only=True):
    """One token's SIMs. `void` has the new status of each SIM that has left the procedure, `moved` what came
    over."""

    id: str
    source: str
    target: str
    imsis: tuple[str, ...]
    issued_ms: int
    coverage: str = "jp"
    state: BatchState = BatchState.OFFERED
    void: dict[str, Status] = msgspec.field(default_factory=dict)
    moved: tuple[str, ...] = ()
    ended_ms: int = 0


class Handler(Record, frozen=True, kw_only=True):
    """An Event Handler for changes of a SIM's status with a web request. `target` is what it watches, by
    `target_of`: operator, sim, imsi or group. `fired` are the SIMs that a rule that fires once has fired for."""

    id: str
    operator: str
    target_of: str
    target: str
    name: str
    url: str
    body: str
    headers: dict[str, str]
    source_status: str = ""
    target_status: str = ""
    is_active: bool = True
    fires_once: bool = True
    fired: tuple[str, ...] = ()


class Phase(StrEnum):
    """Where an application for an assisted transfer stands."""

    APPLIED = "applied"
    ACCEPTED = "accepted"
    DONE = "done"


class Application(Record, frozen=True, kw_only=True):
    """An assisted transfer: a form, a fee, an acceptance, and the beginning of a month. `group` is one of the
    destination's, if the form names it."""

    id: str
    source: str
    target: str
    imsis: tuple[str, ...]
    applied_ms: int
    group: str = ""
    phase: Phase = Phase.APPLIED
    accepted_ms: int = 0
    starts_ms: int = 0
    fee: str = "a fee for each SIM, billed to the source"


class World(Record, frozen=True, kw_only=True):
    """All of it. `made` counts the ids that were given; `left_out` are the places (from 1) that the next
    acceptances leave out."""

    seed: str
    made: int = 0
    operators: dict[str, Operator] = msgspec.field(default_factory=dict)
    sims: dict[str, Sim] = msgspec.field(default_factory=dict)
    batches: dict[str, Batch] = msgspec.field(default_factory=dict)
    handlers: dict[str, Handler] = msgspec.field(default_factory=dict)
    applications: dict[str, Application] = msgspec.field(default_factory=dict)
    left_out: tuple[int, ...] = ()


def new_id(world: World, kind: str) -> tuple[World, str]:
    """An id that nothing else has: it follows from the world."""
    made = world.made + 1
    text = hashlib.blake2b(f"{world.seed}:{kind}:{made}".encode(), digest_size=16).hexdigest()
    return msgspec.structs.replace(world, made=made), text


def put(mapping: dict[str, V], key: str, value: V) -> dict[str, V]:
    """The mapping with this in it."""
    return {**mapping, key: value}


def with_sims(world: World, *sims: Sim) -> World:
    """The world in which these SIMs are so."""
    return msgspec.structs.replace(world, sims={**world.sims, **{one.imsi: one for one in sims}})


def with_batch(world: World, batch: Batch) -> World:
    """The world in which a batch is so. Of very many, the oldest that have ended go."""
    batches = put(world.batches, batch.id, batch)
    if len(batches) > MOST_BATCHES:
        over = (one.id for one in batches.values() if one.state is not BatchState.OFFERED)
        batches.pop(next(over, next(iter(batches))))
    return msgspec.structs.replace(world, batches=batches)


def with_new_sims(world: World, owner: str, count: int, now_ms: int, coverage: str = "jp") -> tuple[World, list[Sim]]:
    """The world with SIMs that nobody has used. Of very many, the oldest that are in no transfer go."""
    made = []
    for _ in range(count):
        world, id_ = new_id(world, "sim")
        number = world.made % 10**8
        digits = int(hashlib.blake2b(world.seed.encode(), digest_size=4).hexdigest(), 16) % 10**2
        imsi = f"{'44010' if coverage == 'jp' else '29505'}{digits:02d}{number:08d}"
        made.append(
            Sim(
                imsi=imsi, iccid=f"8981{imsi}", sim_id=f"8981{imsi}", coverage=coverage, name=f"SIM {world.made}",
                owners=(Owned(from_ms=now_ms, operator=owner),), changed_ms=now_ms,
                tags={"site": "Sakai plant"}, group=f"group-{id_[:6]}", is_protected=True,
            )
        )  # fmt: skip
    world = with_sims(world, *made)
    idle = [one.imsi for one in world.sims.values() if not one.batch]
    over = set(idle[: max(0, len(world.sims) - MOST_SIMS)])
    return msgspec.structs.replace(world, sims={k: v for k, v in world.sims.items() if k not in over}), made


SOURCE: Final = "OP0012345678"
TARGET: Final = "OP0099999999"
UNPAID: Final = "OP0077777777"
OTHER_PLAN: Final = "OP2012345678"
_OPERATORS: Final = (
    Operator(id=SOURCE, name="つばめIoT", email="unyo@tsubame.example"),
    Operator(id=TARGET, name="Northwind Sensors KK", email="root@northwind.example"),
    Operator(id=UNPAID, name="Lamna Meters (no payment method)", email="it@lamna.example", has_payment=False),
    Operator(id=OTHER_PLAN, name="Proseware (plan-K only)", email="net@proseware.example"),
)
_FIRST_SIMS: Final = 12


def first(seed: str, now_ms: int) -> World:
    """The first world: four operators, and SIMs of the first one's that nobody has used."""
    world = World(seed=seed, operators={one.id: one for one in _OPERATORS})
    world, _ = with_new_sims(world, SOURCE, _FIRST_SIMS, now_ms)
    return world
