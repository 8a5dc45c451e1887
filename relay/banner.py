"""Where does one look, and what can one try, once `relay up` runs?"""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def banner(url: str, token: str, mailbox_link: str, *, own_mail: bool, sandbox_link: str, play: str) -> str:
    """The addresses, the way in and three `curl` lines that work when pasted. `play` is the command that plays
    in the sandbox."""
    mailbox = f"{url}/mailbox?key={mailbox_link}   (signs you in, once; later with the token)"
    if own_mail:
        mailbox = "e-mail goes to the server that RELAY_MAIL__URL names"
    event = sample_event()
    lines = [
        "",
        f"  The relay runs at   {url}",
        f"  The API to read     {url}/docs",
        f"  The mailbox         {mailbox}",
        f"  The sandbox         {url}/sandbox?key={sandbox_link}   (play a whole transfer of either kind)",
        f"    at a terminal     {play}   (--list says what else)",
        f"  Operator token      {token}",
        "",
        "  Register a partner:",
        _curl("PUT", f"{url}/v1/partners/contoso", token, _PARTNER),
        "",
        "  Tell of a transfer in which it gives up subscriptions:",
        _curl("POST", f"{url}/v1/events", token, event),
        "",
        "  A moment later, see where that transfer stands, who was told, and why somebody was not:",
        _curl("GET", f"{url}/v1/transfers/{event['transfer']['id']}", token),
        "",
        "  Ctrl-C stops everything; the next start carries on.",
        "",
    ]
    return "\n".join(lines)


def play_command(started_as: str, data: Path) -> str:
    """The command that plays in the sandbox over the folder `data`, for another terminal in this directory:
    of the program that was `started_as`, which a virtual environment that is not activated keeps off the PATH."""
    relay = [started_as]
    if Path(started_as).name == "__main__.py":
        relay = [sys.executable, "-m", "relay"]
    elif (found := shutil.which("relay")) and Path(found).absolute() == Path(started_as).absolute():
        relay = ["relay"]
    folder = [] if data == Path(".relay").absolute() else ["--data", str(data)]
    return shlex.join([*relay, "sandbox", "play", *folder, "subscription-completed"])


_PARTNER: dict[str, Any] = {
    "name": "Contoso",
    "locale": "en",
    "admin_agents": [{"email": "kim@contoso.example", "name": "Kim"}],
}


def sample_event() -> dict[str, Any]:
    """The creation of a subscription transfer away from `contoso`, with ids of its own."""
    now = datetime.now(UTC).replace(microsecond=0)
    created = _text(now)
    return {
        "id": f"evt-{secrets.token_hex(4)}",
        "type": "transfer.created",
        "occurred_at": created,
        "transfer": {
            "id": f"transfer-{secrets.token_hex(4)}",
            "kind": "subscription",
            "status": "pending",
            "created_at": created,
            "expires_at": _text(now + timedelta(days=30)),
            "source": {"id": "contoso", "name": "Contoso"},
            "target": {"id": "fabrikam", "name": "Fabrikam"},
            "customer": {
                "id": "relecloud",
                "name": "Relecloud",
                "contacts": [{"email": "it@relecloud.example", "name": "Mori", "locale": "ja"}],
            },
            "product_types": ["online_services_nce"],
        },
    }


def _curl(method: str, url: str, token: str, body: dict[str, Any] | None = None) -> str:
    words = ["curl", "-sS", "-X", method, url, "-H", f"Authorization: Bearer {token}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return " ".join(shlex.quote(word) for word in words) + "; echo"


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
