"""An OpenAI-compatible server of one model.

`app` wires the routes, `schema` is what clients may send, `reply` turns tokens into what they get,
`tools` reads tool calls, `control` swaps weights under running requests, `server` runs and drains.
"""
