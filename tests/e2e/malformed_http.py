"""HTTP that no sound client speaks, around bodies that are sound."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

from tests.e2e.http_calls import Call, Headers, head, request

BODY = json.dumps({"text": "Hello", "sampling_params": {"max_new_tokens": 2}}).encode()
LENGTH = (b"Content-Length", str(len(BODY)).encode())
CHUNKED = (b"Transfer-Encoding", b"chunked")
JSON = (b"Content-Type", b"application/json")

METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
    "QUERY", "BREW", "get", "G\tET", "", "X" * 1000,
)  # fmt: skip
PATHS = (
    "/", "/nope", "//", "/generate/", "//generate", "/generate/..", "/%00", "/%ff%fe", "/%",
    "/generate%3Fa=b", "/generate;x=y", "/generate?a=%00&a=" + "b" * 1000, "*", "http://a/generate",
    "http://a", "a:1", "/v1/models/" + "a/" * 1000, "/v1/models/%ed%a0%80", "/v1/models/../../etc",
    "/prefix/..%2f..%2fetc", "/prefix/" + "n" * 2000, "/prefix/%0d%0aX:%20y", "/prefix?name=%00",
    "/flush_cache?timeout=nan", "/flush_cache?timeout=inf", "/flush_cache?timeout=-1",
    "/flush_cache?timeout=1e400", "/flush_cache?timeout=601", "/flush_cache?timeout=0x1",
    "/flush_cache?timeout=" + "9" * 5000, "/flush_cache?timeout=%ff", "/health?" + "a" * 8000,
    "/metrics?a", "/openapi.json/", "/v1/loads/x", "/\xff", "/a b", "/" + "a" * 20_000,
)  # fmt: skip
CONTENT_TYPES = (
    b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16", b"application/json; charset=", b"application/json;;;=",
    b"application/" + b"j" * 5000, b"APPLICATION/JSON", b"application/json\xff", b"image/png",
)  # fmt: skip
LENGTHS = (
    b"-1", b"", b"abc", b"1e3", b"0x10", b"+5", b"5, 5", b"99999999999999999999999", b"0", b"1",
)  # fmt: skip
HEADERS: dict[str, Headers] = {
    "gzip": [(b"Content-Encoding", b"gzip")],
    "an unknown encoding": [(b"Content-Encoding", b"br, gzip, \xff")],
    "expect": [(b"Expect", b"100-continue")],
    "expect nonsense": [(b"Expect", b"500")],
    "an upgrade": [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")],
    "an upgrade to h2c": [(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c")],
    "a request id with CRLF": [(b"X-Request-Id", b"a\x0bb")],
    "a long request id": [(b"X-Request-Id", b"a" * 10_000)],
    "ranges": [(b"Range", b"bytes=" + b"0-1," * 2000 + b"0-1")],
    "strict": [(b"X-Strict", b"1")],
    "accept nonsense": [(b"Accept", b"\xff/\xff;q=nan")],
    "cookies": [(b"Cookie", b"a=b; " * 2000)],
    "forwarded": [(b"X-Forwarded-For", b"10.0.0.1"), (b"Forwarded", b"for=x")],
    "an origin": [(b"Origin", b"null")],
    "two hosts": [(b"Host", b"b")],
    "64 KB": [(b"X", b"a" * 65_536)],
    "10,000 headers": [(b"X", b"a")] * 10_000,
    "1,000 different headers": [(b"X%d" % number, b"a") for number in range(1000)],
    "a name with a blank": [(b"X Y", b"a")],
    "a blank before the colon": [(b"X ", b"a")],
    "no name": [(b"", b"a")],
    "a NUL": [(b"X", b"a\0b")],
    "a bare CR": [(b"X", b"a\rb")],
    "a folded line": [(b"X", b"a\r\n b")],
}


def raw(name: str, data: bytes, **settings: object) -> Call:
    """Bytes as they are; the server may also just close the connection."""
    return Call(name=name, path="/generate", data=data, may_close=True, **settings)  # type: ignore[arg-type]


def chunks(body: bytes, size: int) -> bytes:
    """``body`` in chunks of ``size`` bytes, with the last one."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def http_calls() -> Iterator[Call]:
    """All of it."""
    yield from _methods_and_paths()
    yield from _headers()
    yield from _framings()
    yield from _garbage()


def _methods_and_paths() -> Iterator[Call]:
    for path in ("/generate", "/v1/models", "/health", "/prefix", "/nope"):
        for method in METHODS:
            yield request(path, method=method, may_close=True)
    for path in PATHS:
        for method in ("GET", "POST", "DELETE"):
            body = BODY if method == "POST" else None
            yield request(path, body, method=method, may_close=True)


def _headers() -> Iterator[Call]:
    for name, headers in HEADERS.items():
        yield request("/generate", BODY, headers=headers, name=name, may_close=True)
        yield request("/health", method="GET", headers=headers, name=name, may_close=True)
    for kind in CONTENT_TYPES:
        for path in ("/generate", "/v1/chat/completions", "/tokenize", "/abort_request"):
            data = head("POST", path, [(b"Content-Type", kind), LENGTH]) + BODY
            yield raw(f"type {kind[:50]!r}", data)
    for length in LENGTHS:
        data = head("POST", "/generate", [JSON, (b"Content-Length", length)]) + BODY
        yield raw(f"length {length!r}", data)
    compressed = gzip.compress(BODY)
    encoding = (b"Content-Encoding", b"gzip")
    yield request("/generate", compressed, headers=[encoding], name="really gzip")


def _framings() -> Iterator[Call]:
    chunked = head("POST", "/generate", [JSON, CHUNKED])
    plain = head("POST", "/generate", [JSON, LENGTH])
    one_byte = chunks(BODY, 1)
    yield raw("chunks of one byte", chunked + one_byte)
    yield raw("chunks of one byte, sent byte by byte", chunked + one_byte, piece_bytes=1)
    yield raw("everything byte by byte", plain + BODY, piece_bytes=1)
    yield raw("100,000 chunks", chunked + chunks(b" " * 100_000 + BODY, 1))
    yield raw("both framings", head("POST", "/generate", [JSON, LENGTH, CHUNKED]) + one_byte)
    yield raw("two lengths", head("POST", "/generate", [LENGTH, (b"Content-Length", b"5")]) + BODY)
    encodings = (b"Transfer-Encoding", b"gzip, chunked")
    yield raw("gzip, chunked", head("POST", "/generate", [JSON, encodings]) + one_byte)
    yield raw("chunked twice", head("POST", "/generate", [JSON, CHUNKED, CHUNKED]) + one_byte)
    yield raw("a chunk that lies", chunked + b"5\r\nabc\r\n0\r\n\r\n")
    yield raw("a chunk of no size", chunked + b"\r\nabc\r\n0\r\n\r\n")
    yield raw("a chunk of a bad size", chunked + b"ZZ\r\nabc\r\n0\r\n\r\n")
    yield raw("a chunk of 2^72", chunked + b"f" * 18 + b"\r\nabc")
    extension = b"1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n"
    yield raw("a long chunk extension", chunked + extension)
    trailers = one_byte[:-2] + b"X: a\r\n" * 20_000 + b"\r\n"
    yield raw("20,000 trailers", chunked + trailers)
    yield raw(
        "a trailer that is a header", chunked + one_byte[:-2] + b"Content-Encoding: br\r\n\r\n"
    )
    yield raw("half a body", plain + BODY[:10], ends_early=True)
    yield raw("half a body, then silence", plain + BODY[:10])
    yield raw("half a chunk", chunked + one_byte[:9], ends_early=True)
    yield raw("half a head", plain[:40], ends_early=True)
    yield raw("half a head, then silence", plain[:40])
    yield raw("17 MiB", head("POST", "/generate", [JSON, (b"Content-Length", b"17825792")])
              + b" " * 17_825_792)  # fmt: skip
    yield raw("requests in a row", (plain + BODY) * 50)
    keep = plain.replace(b"Connection: close\r\n", b"")
    yield raw("requests in a row that stay", (keep + BODY) * 50 + plain + BODY)


def _garbage() -> Iterator[Call]:
    yield raw("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))
    yield raw("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    yield raw("HTTP/0.9", b"GET /health\r\n\r\n")
    yield raw("HTTP/9.9", b"GET /health HTTP/9.9\r\n\r\n")
    yield raw("HTTP/1.0", b"GET /health HTTP/1.0\r\n\r\n")
    yield raw("no host", b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
    yield raw("newlines alone", b"GET /health HTTP/1.1\nHost: a\nConnection: close\n\n")
    yield raw("blank lines", b"\r\n" * 100 + head("GET", "/health"))
    yield raw("zeros", b"\0" * 20_000)
    yield raw("one long line", b"A" * 1_000_000)
    yield raw("every byte", bytes(range(256)) * 100)
    yield raw("nothing", b"", ends_early=True)
