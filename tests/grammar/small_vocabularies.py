"""Vocabularies for tests of grammars: small enough to try every token."""

from __future__ import annotations

from sglite.grammar.vocabulary import Vocabulary

WORDS = (
    'true false null ab abc abcd aa bb "} }} ", ": {" [] {} ]] "a" "b" 12 00 1. 0. <f <f= =a> '
    "</f> yes no yesno (( )) ){ 🙂é"
).split(" ")


def byte_vocabulary(*, size: int | None = None) -> Vocabulary:
    """An end token, all single bytes, and some words; ids without text up to ``size``."""
    words = [word.encode("utf-8") for word in (*WORDS, ", ", ": ", ' "', '{"a": ', "  ")]
    pieces = [b"", *(bytes([byte]) for byte in range(256)), *words, b""]
    pieces += [b""] * ((size or len(pieces)) - len(pieces))
    return Vocabulary(pieces=tuple(pieces), end_token_ids=(0,))
