"""How is one message made, and how does it leave?

Read in this order: `settings` (what the operator chose), `notice` (what a partner is told of an
endpoint), `words` (a language), `facts` (a stored view as a reader's facts), `skins` (one message file
rendered three times), `ics` (a calendar entry), `mime` (the bytes), `dkim` (who vouches for them),
`compose` (all of that in one call), `preview` (every message on disk, to look at). How it leaves: `verdict` (what an answer means),
`standing` (whether a server is to be tried), `pace` (how much may go), `server` (one SMTP transaction),
`send` (which server gets it, and when).
"""
