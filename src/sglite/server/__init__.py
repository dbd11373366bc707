"""Step 1 of 8 · the HTTP border: SGLang's and OpenAI's APIs.

Receives HTTP requests · hands on checked requests to the engine, events to clients · does not know
about the scheduler, pages or tensors (it never imports torch).

Read ``routes`` and ``app`` (what is where), ``front`` (what all protocols share), then a protocol.
"""
