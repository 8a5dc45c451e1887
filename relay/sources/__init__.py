"""Where do events come from, besides the producers that post them?

Each source takes what a transfer system says (`callback`, `sims`), asks for what it leaves out, and posts
events through `relay.door`, as a producer's request does. What was heard is kept in `relay.store.sources`
until it is told; what is wrong with a system is told by `trouble`.

Partner Center: `partner_center` takes a callback, proven by `signature` over a certificate from
`certificates`; `worker` takes it up, asks `partner_api`, reads the answer with `entity` and `steps`, and
`registration` watches over the callback URL. SORACOM: `soracom` is the façade, `sims` what follows from it.
"""
