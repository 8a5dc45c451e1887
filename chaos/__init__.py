"""Does every acknowledged event arrive, whoever is killed? Run by `make chaos`.

`tally` keeps the accounts, `partners` receives and misbehaves, `load` posts, `storm` kills and mends (one of
`databases`), `outage` takes the database away for a whole while. The processes are those of the Procfile over the embedded database, put together
as the pipeline's tests do.
"""
