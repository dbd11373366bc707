"""Reads the ``decoder`` section of a ``tokenizer.json`` and makes its streaming twin."""

from __future__ import annotations

import json
from typing import Any

from sglite.errors import ModelLoadError
from sglite.tokenizer.decoders import (
    ByteLevelDecoder,
    PieceDecoder,
    PieceMap,
    SentencePieceDecoder,
    byte_fallback_value,
    byte_level_bytes,
)


def _replace_map(pattern: str, content: str) -> PieceMap:
    return lambda piece, is_first: piece.replace(pattern, content)


def _metaspace_map(replacement: str, prepend_scheme: str) -> PieceMap:
    def restore_spaces(piece: str, is_first: bool) -> str:
        drops = is_first and prepend_scheme != "never"
        return piece.replace(replacement, "" if drops else " ")

    return restore_spaces


def _space_map(piece: str, is_first: bool) -> str:
    """Without a decoder, pieces are words, with a space between them."""
    return piece if is_first else f" {piece}"


class DecoderFactory:
    """Makes decoders of the kind that a ``tokenizer.json`` declares.

    ``spec`` is the ``decoder`` section as JSON, None where there is none. Raises ModelLoadError
    naming a kind that is not supported.
    """

    def __init__(self, spec: str | None) -> None:
        self._maps_before: list[PieceMap] = []
        self._maps_after: list[PieceMap] = []
        self._has_byte_fallback = False
        self._is_fused = False
        self._strip = ("", 0)
        self.is_byte_level = False
        parsed = json.loads(spec) if spec is not None else None
        self._read(parsed)

    def make(self) -> PieceDecoder:
        """A decoder for one text."""
        if self.is_byte_level:
            return ByteLevelDecoder()
        return SentencePieceDecoder(
            tuple(self._maps_before),
            tuple(self._maps_after),
            byte_fallback=self._has_byte_fallback,
            strip=self._strip,
        )

    def piece_bytes(self, piece: str) -> bytes:
        """Bytes that a piece stands for in the middle of a text."""
        if self.is_byte_level:
            return byte_level_bytes(piece)
        for piece_map in self._maps_before:
            piece = piece_map(piece, False)
        byte = byte_fallback_value(piece) if self._has_byte_fallback else None
        if byte is not None:
            return bytes([byte])
        for piece_map in self._maps_after:
            piece = piece_map(piece, False)
        return piece.encode("utf-8")

    def _read(self, spec: Any) -> None:
        if spec is None:
            self._maps_before.append(_space_map)
            return
        stages = spec["decoders"] if spec["type"] == "Sequence" else [spec]
        if [stage["type"] for stage in stages] == ["ByteLevel"]:
            self.is_byte_level = True
            return
        for stage in stages:
            if not self._try_read_stage(stage):
                raise ModelLoadError(
                    f"tokenizer.json: decoder {json.dumps(stage, ensure_ascii=False)[:120]} is not "
                    "supported at its place; supported are ByteLevel alone, and Replace (of a "
                    "string), Metaspace, ByteFallback, Fuse, Strip (of the start)"
                )

    def _try_read_stage(self, stage: dict[str, Any]) -> bool:
        """Add one stage of the chain; False where the chain cannot be streamed with it."""
        kind = stage["type"]
        if kind == "Fuse":
            self._is_fused = True
        elif kind == "Strip":
            self._strip = (stage["content"], stage["start"])
            return self._is_fused and stage["stop"] == 0
        elif self._is_fused:
            return False
        elif kind == "ByteFallback" and not self._has_byte_fallback:
            self._has_byte_fallback = True
        else:
            return self._try_read_map(stage)
        return True

    def _try_read_map(self, stage: dict[str, Any]) -> bool:
        maps = self._maps_after if self._has_byte_fallback else self._maps_before
        if stage["type"] == "Replace" and stage["pattern"].get("String"):
            maps.append(_replace_map(stage["pattern"]["String"], stage["content"]))
            return True
        if stage["type"] == "Metaspace":
            maps.append(_metaspace_map(stage["replacement"], stage["prepend_scheme"]))
            return True
        return False
