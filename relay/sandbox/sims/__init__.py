"""How do SIMs change hands between two operators?

As SORACOM's documents have it (docs/sources.md): the source issues a token for a batch, the destination
accepts it, or the source deletes it; and SIMs that have left `ready` move by a form and an acceptance, at the
beginning of a month. Pure: `world` has the nouns and the first world, `refusals` the errors, `requests` what
operators ask for, `handlers` the Event Handler, `assisted` the transfer by a form, `billing` who is billed,
`views` the shapes of the API, `sign_in` keys and tokens, `model` all of it as one system. With hands: `api`,
and `mounting`, which opens the system at its place.
"""
