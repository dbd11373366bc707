"""Step 1 of 8 · the HTTP border: SGLang's and OpenAI's APIs.

Receives HTTP requests · hands on checked requests to the engine, events to clients · does not know
about the scheduler, pages or tensors (it never imports torch).

Read ``app`` (what is where) and ``front`` (what all protocols share), then a protocol: ``native``
or ``openai``. ``http`` lies below them, ``telemetry`` watches. ``launch`` and ``lifecycle`` start
and end the server, whose further processes are ``api_worker`` and ``render_process``.
"""
