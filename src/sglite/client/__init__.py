"""Talks to a server: sglite's own, SGLang, or any that speaks OpenAI's API.

Receives prompts and messages · hands on generations, as ``LLM`` does · does not know about engines,
tokens' meaning or checkpoints (it never imports torch).

``http`` sends and reads, ``fields`` writes what is asked, ``answers`` reads what comes back,
``remote_llm`` is the face of it all.
"""
