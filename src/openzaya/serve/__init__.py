"""An OpenAI-compatible server of one model, or before any endpoint.

`frame` is what all routes have, `app` the routes of a model in this process, `schema` what clients
may send, `reply` turns tokens into what they get, `tools` reads tool calls, `control` swaps weights
under running requests, `server` runs and drains. `rsa` answers by Markovian RSA (`rsa_fields`: how
it is asked for, `rsa_run`: one run, `rsa_text`: how it is told), `page` shows it live, and
`upstream` is the same server before any OpenAI-compatible endpoint.
"""
