"""What may be asked, by whom, and who answers?

The one table of the API's routes. The router, the door and `/openapi.json` are all made from it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from relay.api import (
    accounts,
    activity,
    certificates,
    check_shapes,
    deliveries,
    docs,
    endpoint_actions,
    endpoint_secrets,
    endpoints,
    event_types,
    feed,
    heads,
    health,
    key_sets,
    mailbox,
    partners,
    portal,
    preferences,
    preferences_page,
    producer_secrets,
    producers,
    sandbox,
    shapes,
    sources,
    tokens,
    transfer_shapes,
    transfers,
    verify_help,
)
from relay.api.browsers import add_host_check
from relay.api.limiting import add_limits
from relay.api.mail_routes import MAIL, PROVIDERS
from relay.api.ownership import CHECKS, limit_of
from relay.api.problems import problems
from relay.api.route import GONE, PAGE, Access, Answer, Param, Route, guarded, one_of
from relay.auth import AUTH, Authenticator
from relay.model import Audience, Channel, DeliveryStatus, EventType, Kind, Status
from relay.services import SERVICES

_VARIABLE = re.compile(r"{(\w+)}")
_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}


_STATUS = Param("status", one_of(DeliveryStatus), "Only deliveries in this status.")
_CHANNEL = Param("channel", one_of(Channel), "Only deliveries by this channel.")
_O, _P, _M = Access.OPERATOR, Access.PARTNER, Access.MEMBER

_PRODUCER = "/v1/producers/{producer}"
_PARTNER = "/v1/partners/{partner}"
_ENDPOINT = _PARTNER + "/endpoints/{endpoint}"
_TENANT = "/v1/sources/partner-center/{tenant}"
_FACADE = "/v1/sources/soracom/{segment}"

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/producers", "createProducer", "Producers", _O,
          "Let a system post events", producers.create,
          (Answer(201, "The producer; its token and secret are shown this once.", shapes.NewProducerShape),),
          body=producers.ProducerBody),
    Route("GET", "/v1/producers", "listProducers", "Producers", _O,
          "List producers", producers.list_,
          (Answer(200, "A page of producers.", shapes.ProducerShape, many=True),), query=PAGE),
    Route("DELETE", "/v1/producers/{producer}", "revokeProducer", "Producers", _O,
          "Revoke a producer with its tokens and secrets", producers.revoke, (GONE,)),
    Route("POST", _PRODUCER + "/tokens", "createProducerToken", "Producers", _O,
          "Make one more token for a producer", tokens.create_for_producer,
          (Answer(201, "The token, shown this once.", shapes.NewTokenShape),), body=tokens.ProducerTokenBody),
    Route("GET", _PRODUCER + "/tokens", "listProducerTokens", "Producers", _O,
          "List a producer's tokens, without their texts", tokens.list_of_producer,
          (Answer(200, "A page of tokens.", shapes.TokenShape, many=True),), query=PAGE),
    Route("DELETE", _PRODUCER + "/tokens/{token}", "revokeProducerToken", "Producers", _O,
          "Revoke one of a producer's tokens", tokens.revoke_of_producer, (GONE,)),
    Route("POST", _PRODUCER + "/secrets", "createProducerSecret", "Producers", _O,
          "Make one more signing secret for a producer", producer_secrets.create,
          (Answer(201, "The secret, shown this once.", shapes.NewProducerSecretShape),),
          body=producer_secrets.SecretBody, refuses=(409,)),
    Route("GET", _PRODUCER + "/secrets", "listProducerSecrets", "Producers", _O,
          "List a producer's signing secrets, without their texts", producer_secrets.list_,
          (Answer(200, "A page of secrets.", shapes.ProducerSecretShape, many=True),), query=PAGE),
    Route("DELETE", _PRODUCER + "/secrets/{secret}", "removeProducerSecret", "Producers", _O,
          "Remove one of a producer's signing secrets", producer_secrets.remove, (GONE,)),

    Route("POST", "/v1/tokens", "createOperatorToken", "Operation", _O,
          "Make one more token for the operator, or one that is good for less", tokens.create_for_operator,
          (Answer(201, "The token, shown this once.", shapes.NewTokenShape),), body=tokens.OperatorTokenBody),
    Route("GET", "/v1/tokens", "listOperatorTokens", "Operation", _O,
          "List the operator's tokens, without their texts", tokens.list_of_operator,
          (Answer(200, "A page of tokens.", shapes.TokenShape, many=True),), query=PAGE),
    Route("DELETE", "/v1/tokens/{token}", "revokeOperatorToken", "Operation", _O,
          "Revoke one of the operator's tokens", tokens.revoke_of_operator, (GONE,)),

    Route("GET", "/v1/partners", "listPartners", "Partners", _O,
          "List partners", partners.list_,
          (Answer(200, "A page of partners.", shapes.PartnerShape, many=True),), query=PAGE),
    Route("PUT", _PARTNER, "putPartner", "Partners", _O,
          "Register a partner, or replace what is registered", partners.put,
          (Answer(200, "Replaced.", shapes.PartnerShape), Answer(201, "Registered.", shapes.PartnerShape)),
          body=partners.PartnerBody),
    Route("GET", _PARTNER, "getPartner", "Partners", _P,
          "Show a partner", partners.get, (Answer(200, "The partner.", shapes.PartnerShape),)),
    Route("DELETE", _PARTNER, "removePartner", "Partners", _O,
          "Remove a partner with its endpoints and tokens", partners.remove, (GONE,)),
    Route("PUT", _PARTNER + "/admin-agents", "putAdminAgents", "Partners", _P,
          "Replace the list of people who are told by e-mail", partners.put_agents,
          (Answer(200, "The partner.", shapes.PartnerShape),), body=partners.AgentsBody),
    Route("GET", _PARTNER + "/admin-agents/{email}/preferences", "getPreferences", "Partners", _P,
          "Show when an admin agent is told by e-mail", preferences.get,
          (Answer(200, "What they chose.", shapes.PreferencesShape),)),
    Route("PUT", _PARTNER + "/admin-agents/{email}/preferences", "putPreferences", "Partners", _P,
          "Choose when an admin agent is told by e-mail", preferences.put,
          (Answer(200, "What was chosen.", shapes.PreferencesShape),), body=preferences.PreferencesBody,
          about="For each type of event: at once, once a day with all else of that day, or never."),
    Route("GET", "/v1/customer-contacts/{email}/preferences", "getContactPreferences", "Partners", _O,
          "Show when a contact of customers is told by e-mail", preferences.get_of_contact,
          (Answer(200, "What they chose.", shapes.PreferencesShape),)),
    Route("PUT", "/v1/customer-contacts/{email}/preferences", "putContactPreferences", "Partners", _O,
          "Choose when a contact of customers is told by e-mail", preferences.put_of_contact,
          (Answer(200, "What was chosen.", shapes.PreferencesShape),), body=preferences.PreferencesBody),
    Route("POST", _PARTNER + "/tokens", "createToken", "Partners", _O,
          "Make a bearer token for a partner", tokens.create,
          (Answer(201, "The token, shown this once.", shapes.NewTokenShape),), body=tokens.TokenBody),
    Route("GET", _PARTNER + "/tokens", "listTokens", "Partners", _O,
          "List a partner's tokens, without their texts", tokens.list_,
          (Answer(200, "A page of tokens.", shapes.TokenShape, many=True),), query=PAGE),
    Route("DELETE", _PARTNER + "/tokens/{token}", "revokeToken", "Partners", _O,
          "Revoke a partner's token", tokens.revoke, (GONE,)),
    Route("POST", _PARTNER + "/portal-links", "createPortalLink", "Partners", _O,
          "Make a link that signs one person in to the portal, once", portal.create_link,
          (Answer(201, "The link.", shapes.PortalLinkShape),), body=portal.LinkBody),

    Route("POST", _PARTNER + "/endpoints", "createEndpoint", "Endpoints", _P,
          "Register an endpoint", endpoints.create,
          (Answer(201, "The endpoint, with its secret.", shapes.NewEndpointShape),),
          body=endpoints.EndpointBody, refuses=(409,),
          about="Checks the URL. Sends nothing, unless `verify` is true: then name, connection and certificate "
                "are looked at and a signed ping must be answered 2xx, or nothing is stored; or `handshake` is: "
                "then the endpoint is asked for its consent (CloudEvents, `OPTIONS`), or nothing is stored."),
    Route("GET", _PARTNER + "/endpoints", "listEndpoints", "Endpoints", _P,
          "List endpoints", endpoints.list_,
          (Answer(200, "A page of endpoints.", shapes.EndpointShape, many=True),), query=PAGE),
    Route("GET", _ENDPOINT, "getEndpoint", "Endpoints", _P,
          "Show an endpoint", endpoints.get, (Answer(200, "The endpoint.", shapes.EndpointShape),)),
    Route("PATCH", _ENDPOINT, "changeEndpoint", "Endpoints", _P,
          "Change what is named", endpoints.change,
          (Answer(200, "The endpoint.", shapes.EndpointShape),), body=endpoints.EndpointChange),
    Route("DELETE", _ENDPOINT, "deleteEndpoint", "Endpoints", _P,
          "Remove an endpoint; what is owed to it is canceled", endpoints.delete, (GONE,)),
    Route("GET", _ENDPOINT + "/secret", "getSecret", "Endpoints", _P,
          "Show the signing secret", endpoint_secrets.get,
          (Answer(200, "The secret.", shapes.SecretShape),), reveals=True),
    Route("POST", _ENDPOINT + "/secret/rotate", "rotateSecret", "Endpoints", _P,
          "Replace the signing secret; both sign for the overlap", endpoint_secrets.rotate,
          (Answer(200, "The new secret.", shapes.RotatedShape),), body=endpoint_secrets.RotateBody, refuses=(409,)),
    Route("POST", _ENDPOINT + "/test", "testEndpoint", "Endpoints", _P,
          "Send `relay.ping` now", endpoint_actions.test,
          (Answer(200, "The attempt, whatever came of it.", shapes.AttemptShape),),
          body=endpoint_actions.NoBody),
    Route("POST", _ENDPOINT + "/preflight", "checkEndpoint", "Endpoints", _P,
          "Look at name, connection and certificate, and send a signed ping", endpoint_actions.preflight,
          (Answer(200, "What is good, doubtful or wrong, a sentence each.", check_shapes.PreflightShape),),
          body=endpoint_actions.PreflightBody),
    Route("POST", _ENDPOINT + "/verify-help", "helpVerify", "Endpoints", _P,
          "Say why a signature does not verify", verify_help.help_,
          (Answer(200, "The mistake and its cure, where one is known.", check_shapes.VerifyHelpShape),),
          body=verify_help.VerifyHelpBody,
          about="Give what your receiver computed and the `webhook-id` of the message. Which usual mistake "
                "gives this signature is found by trying them."),
    Route("POST", _ENDPOINT + "/enable", "enableEndpoint", "Endpoints", _P,
          "Enable an endpoint and release what was held", endpoint_actions.enable,
          (Answer(200, "The endpoint.", shapes.EndpointShape),), body=endpoint_actions.NoBody),
    Route("POST", _ENDPOINT + "/replay", "replayEndpoint", "Endpoints", _P,
          "Open the deliveries of a span of time again", endpoint_actions.replay,
          (Answer(202, "The replay.", shapes.ReplayShape),), body=endpoint_actions.ReplayBody),
    Route("GET", _ENDPOINT + "/replays/{replay}", "getReplay", "Endpoints", _P,
          "Show how far a replay has come", endpoint_actions.get_replay,
          (Answer(200, "The replay.", shapes.ReplayShape),)),
    Route("GET", _ENDPOINT + "/deliveries", "listEndpointDeliveries", "Deliveries", _P,
          "List an endpoint's deliveries", deliveries.of_endpoint,
          (Answer(200, "A page of deliveries.", shapes.DeliveryShape, many=True),),
          query=(_STATUS, Param("type", one_of(EventType), "Only of this type."), *PAGE)),

    Route("GET", "/v1/deliveries", "listDeliveries", "Deliveries", _O,
          "List deliveries of the whole installation", deliveries.everywhere,
          (Answer(200, "A page of deliveries.", shapes.DeliveryShape, many=True),),
          query=(_STATUS, _CHANNEL, *PAGE)),
    Route("GET", "/v1/deliveries/{delivery}", "getDelivery", "Deliveries", _M,
          "Show a delivery with every attempt", deliveries.get,
          (Answer(200, "The delivery.", shapes.DeliveryDetailShape),)),
    Route("POST", "/v1/deliveries/{delivery}/resend", "resendDelivery", "Deliveries", _M,
          "Send a delivery again, with all its tries", deliveries.resend,
          (Answer(202, "The delivery.", shapes.DeliveryShape),
           Answer(410, "What it carried is no longer kept.", shapes.ProblemShape, media="application/problem+json")), body=endpoint_actions.NoBody),

    Route("GET", "/v1/transfers", "listTransfers", "Transfers", _M,
          "List transfers", transfers.list_,
          (Answer(200, "A page of transfers.", transfer_shapes.TransferShape, many=True),),
          query=(Param("role", one_of(Audience), "Only those in which the caller has this role."),
                 Param("status", one_of(Status), "Only those in this status."),
                 Param("kind", one_of(Kind), "Only of this kind."),
                 Param("customer", _TEXT, "Only this customer's, by id."), *PAGE)),
    Route("GET", "/v1/transfers/{transfer}", "getTransfer", "Transfers", _M,
          "Show a transfer with its timeline", transfers.get,
          (Answer(200, "The transfer.", transfer_shapes.TransferDetailShape),)),
    Route("GET", "/v1/transfers/{transfer}/deliveries", "listTransferDeliveries", "Transfers", _M,
          "List a transfer's deliveries", transfers.deliveries,
          (Answer(200, "A page of deliveries.", shapes.DeliveryShape, many=True),),
          query=(_CHANNEL, *PAGE)),

    Route("GET", _PARTNER + "/events", "pollEvents", "Events", _P,
          "Poll the bodies that the webhooks carry, oldest first", feed.list_,
          (Answer(200, "What came after the cursor.", transfer_shapes.FeedItemShape, many=True),
           Answer(410, "Entries behind the cursor are no longer kept; start again without it.", shapes.ProblemShape,
                  media="application/problem+json")),
          query=PAGE),
    Route("GET", _PARTNER + "/activity", "listActivity", "Events", _P,
          "List a partner's activity log", activity.list_,
          (Answer(200, "A page; with `Accept: text/csv` a table.", transfer_shapes.ActivityShape, many=True,
                  table=True),),
          query=(Param("type", _TEXT, "Only of this type."),
                 Param("transfer", _TEXT, "Only of this transfer."),
                 Param("customer", _TEXT, "Only this customer's, by id."),
                 Param("since", _TIME, "From this time."), Param("until", _TIME, "Before this time."),
                 Param("format", {"type": "string", "enum": ["json", "csv"]}, "Instead of `Accept`."),
                 *PAGE)),
    Route("GET", _PARTNER + "/activity/heads", "listActivityHeads", "Events", _P,
          "List the signed heads of the chain over a partner's activity log", heads.list_,
          (Answer(200, "A page of heads, the first first.", heads.HeadShape, many=True),), query=PAGE),
    Route("GET", "/v1/event-types", "listEventTypes", "Events", _M,
          "List the types of event, each with its JSON Schema and an example", event_types.list_,
          (Answer(200, "The types.", shapes.EventTypeShape, many=True),), query=PAGE),

    Route("GET", "/v1/accounts", "getAccounts", "Operation", _O,
          "Show whether every accepted event is accounted for", accounts.get,
          (Answer(200, "What the last lap of the reconciler found.", accounts.AccountsShape),)),
    Route("GET", "/v1/sources", "listSources", "Sources", _O,
          "List the transfer systems that the relay listens to, and what is wrong with them", sources.list_,
          (Answer(200, "The sources.", sources.SourceShape, many=True),), query=PAGE),
    Route("GET", _TENANT, "getPartnerCenterSource", "Sources", _O,
          "Show a Partner Center tenant's source, and whom Partner Center calls now", sources.get,
          (Answer(200, "The source.", sources.SourceDetailShape),)),
    Route("POST", _TENANT + "/registration", "registerPartnerCenter", "Sources", _O,
          "Have Partner Center call this relay", sources.register,
          (Answer(200, "The registration.", sources.RegistrationShape),), body=sources.RegisterBody,
          about="A tenant has one registration: replacing somebody else's cuts them off, and needs `replace`."),
    Route("POST", _TENANT + "/test", "testPartnerCenter", "Sources", _O,
          "Ask Partner Center for a validation event and wait for it", sources.test,
          (Answer(200, "How it fared.", sources.TestedShape),), body=sources.TestBody),

    Route("GET", "/metrics", "getMetrics", "Operation", _O,
          "Prometheus metrics of the whole installation", health.metrics,
          (Answer(200, "Prometheus text.", media="text/plain"),)),
    *MAIL,
)  # fmt: skip
"""What needs a bearer token."""

EVENTS = Route(
    "POST", "/v1/events", "postEvents", "Events", Access.PRODUCER,
    "Post one event, or an array of at most 500", None,
    (
        Answer(202, "Accepted: on disk, and will be told.", shapes.EventAnswerShape),
        Answer(200, "The same event was accepted before.", shapes.EventAnswerShape),
        Answer(207, "One answer an event of an array, in order.", shapes.EventOutcomeShape),
        Answer(409, "The id is taken by another body, or the lifecycle does not allow it.",
               shapes.ProblemShape, media="application/problem+json"),
    ),
    about="Proven by a producer's token, by the operator's, or by the three Standard Webhooks headers made "
          "with a producer's secret. CloudEvents are taken too: structured, in a batch, or, with a token, in the binary "
          "mode (`ce-` headers; the body is the data).",
)  # fmt: skip
"""The receiver's route, which relay.receive adds to the router; here for the document."""

_BUSY = Answer(429, "Too many calls by this operator.", sources.SoracomFaultShape)
_FACADE_SAYS = (
    Answer(404, "There is nothing by this path, or no such token; or as SORACOM answers.", sources.SoracomFaultShape),
    _BUSY,
    Answer(502, "SORACOM does not answer.", sources.SoracomFaultShape),
    Answer(504, "SORACOM does not answer in time.", sources.SoracomFaultShape),
)

HEARD: tuple[Route, ...] = (
    Route("POST", _TENANT, "heardPartnerCenter", "Sources", Access.PUBLIC,
          "A callback of Microsoft Partner Center", None,
          (Answer(200, "It is kept: it will be worked on, or was.", sources.KeptShape),
           Answer(401, "It is not signed by Partner Center.", shapes.ProblemShape,
                  media="application/problem+json"),
           Answer(503, "Its certificate cannot be fetched just now.", shapes.ProblemShape,
                  media="application/problem+json")),
          about="Proven by the signature over the raw body, whose certificate comes from a pinned folder."),
    Route("POST", _FACADE + "/v1/subscribers/transfer_token/issue", "issueSubscriberTransferToken", "Sources",
          Access.PUBLIC, "SORACOM's call of this name, passed on with the caller's own credentials", None,
          (Answer(200, "As SORACOM answers."), *_FACADE_SAYS), refuses=(404, 408, 413)),
    Route("POST", _FACADE + "/v1/subscribers/transfer_token/verify", "verifySubscriberTransferToken", "Sources",
          Access.PUBLIC, "SORACOM's call of this name, passed on with the caller's own credentials", None,
          (Answer(200, "As SORACOM answers."), *_FACADE_SAYS), refuses=(404, 408, 413)),
    Route("DELETE", _FACADE + "/v1/subscribers/transfer_token/{token}", "deleteSubscriberTransferToken", "Sources",
          Access.PUBLIC, "SORACOM's call of this name, passed on with the caller's own credentials", None,
          (Answer(204, "As SORACOM answers."), *_FACADE_SAYS), refuses=(404, 408, 413)),
    Route("POST", _FACADE + "/sim-status", "heardSimStatus", "Sources", Access.PUBLIC,
          "A web request of SORACOM's Event Handler: the status of a SIM has changed", None,
          (Answer(200, "It is noted.", sources.KeptShape), _BUSY), refuses=(404, 408, 413)),
)  # fmt: skip
"""What transfer systems call; relay.sources adds these to the router, here they are for the document."""

OPEN: tuple[tuple[Route, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...] = (
    (Route("GET", "/healthz", "getHealth", "Operation", Access.PUBLIC, "Whether the process answers", None,
           (Answer(200, "It does.", shapes.HealthShape),)), health.live),
    (Route("GET", "/readyz", "getReadiness", "Operation", Access.PUBLIC,
           "Whether the process and its database answer", None,
           (Answer(200, "They do; and how the mail servers are.", shapes.ReadyShape),), refuses=(503,)), health.ready),
    (Route("GET", "/openapi.json", "getOpenApi", "Operation", Access.PUBLIC, "This document", None,
           (Answer(200, "OpenAPI 3.1.", media="application/json"),)), docs.document),
    (Route("GET", "/docs", "getDocs", "Operation", Access.PUBLIC, "This document, to read", None,
           (Answer(200, "A page.", media="text/html"),)), docs.page),
    (Route("GET", key_sets.PATH, "getKeySet", "Endpoints", Access.PUBLIC,
           "The public keys that an endpoint's messages are signed with", None,
           (Answer(200, "A JSON Web Key Set.", key_sets.KeySetShape, media=key_sets.MEDIA),), refuses=(404, 429, 503)),
     key_sets.get),
    (Route("GET", key_sets.OWN_PATH, "getOwnKeySet", "Operation", Access.PUBLIC,
           "The public key that the heads of activity logs are signed with", None,
           (Answer(200, "A JSON Web Key Set.", key_sets.KeySetShape, media=key_sets.MEDIA),), refuses=(429, 503)),
     key_sets.get_own),
    (Route("GET", certificates.PATH, "getCertificate", "Endpoints", Access.PUBLIC,
           "A certificate that callbacks of the format `partner_center` are signed with (DER), or its authority (PEM)",
           None, (Answer(200, "The certificate.", media=certificates.MEDIA),), refuses=(404, 429, 503)), certificates.get),
)  # fmt: skip
"""What anybody may ask."""

ALL: tuple[Route, ...] = (EVENTS, *HEARD, *ROUTES, *(route for route, _ in OPEN), *(route for route, _ in PROVIDERS))
"""Everything the document speaks of. The portal's pages are for people and not in it."""


def add_routes(app: web.Application) -> None:
    """Put the API, the documentation and the portal into `app`, whose SERVICES must be set.

    Adds the middleware that answers problems, and `app[AUTH]` unless it is there already.
    """
    services = app[SERVICES]
    if AUTH not in app:
        token = services.config.secrets.operator_token
        app[AUTH] = Authenticator(services.store.registry, services.vault, token, clock=services.clock)
    if problems not in app.middlewares:
        app.middlewares.append(problems)
    add_host_check(app, services.config.server)
    add_limits(app, services.config)
    app[CHECKS] = limit_of(services.config)
    for route in ROUTES:
        # Left alone, the router takes no braces in a variable part, which an id may have.
        path = _VARIABLE.sub(r"{\1:[^/]+}", route.path)
        app.router.add_route(route.method, path, guarded(route))
    for route, page in OPEN:
        app.router.add_get(_VARIABLE.sub(r"{\1:[^/]+}", route.path), page)  # answers HEAD too, which load balancers ask
    for route, page in PROVIDERS:
        app.router.add_post(route.path, page)
    app.router.add_get("/", docs.home)
    portal.add_pages(app)
    preferences_page.add_page(app)
    mailbox.add_pages(app)
    sandbox.add_pages(app)
