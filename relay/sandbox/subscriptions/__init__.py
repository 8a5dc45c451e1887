"""How do subscriptions change hands between two partners?

As the documentation of Partner Center has it (docs/sources.md): the target asks, the source chooses items and
submits, the system moves them or fails, and each side sees its own half. Pure: `world` has the nouns and the
first world, `refusals` the documented errors, `requests` what partners ask for, `moving` what happens by
itself, `views` what each partner reads, `hooks` the one registration of each tenant, `telling` the callbacks
and audit records, `model` all of it as one system. With hands: `tokens` (OAuth), `signer`, `api`, `control`,
and `mounting`, which opens the system at its place.
"""
