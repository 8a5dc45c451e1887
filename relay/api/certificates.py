"""Where is the certificate that a callback is signed with?

For endpoints that are told as Partner Center tells (`relay.formats`): the certificate that each callback names, and
the authority that issued it, which a receiver is given to trust beforehand. Open to anybody.
"""

from __future__ import annotations

from aiohttp import web

from relay.api.problems import not_found
from relay.api.shapes import CallbacksShape
from relay.callback_key import AUTHORITY, FOLDER
from relay.config import Config
from relay.services import SERVICES

PATH = FOLDER + "{certificate}"
MEDIA = "application/pkix-cert"
_PEM = "application/pem-certificate-chain"
_KEPT_S = 300


def named(config: Config) -> CallbacksShape:
    """What a receiver has to trust."""
    folder = config.server.base_url + FOLDER
    return CallbacksShape(
        certificates=folder, authority=folder + AUTHORITY, organisation=config.formats.partner_center.organisation
    )


async def get(request: web.Request) -> web.Response:
    """One of them by its name; 404 for any other."""
    services, name = request.app[SERVICES], request.match_info["certificate"]
    found = await services.callback_key.published(name, services.clock())
    if found is None:
        raise not_found("certificate")
    headers = {"Cache-Control": f"public, max-age={_KEPT_S}", "X-Content-Type-Options": "nosniff"}
    media = _PEM if name == AUTHORITY else MEDIA
    return web.Response(body=found, content_type=media, headers=headers)
