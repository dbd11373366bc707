"""The process that renders chat templates: ``python -m sglite.server.render_process``.

It answers one message after the other until its parent is gone. It may be ended at any moment: it
has nothing that anybody would miss.
"""

from __future__ import annotations

import resource
from contextlib import suppress

import msgspec

from sglite.errors import RequestError
from sglite.ipc.frames import MAX_FRAME_BYTES, encode
from sglite.ipc.spawning import parents_socket, read_frames
from sglite.server.render_messages import Rendered, Sources
from sglite.tokenizer.chat_template import ChatTemplate, PlannedChat


def main() -> None:
    """Answer until the parent is gone, which may be at any moment."""
    with suppress(BrokenPipeError, ConnectionResetError):
        _serve()


def _serve() -> None:
    with parents_socket() as sock, sock.makefile("rb") as stream:
        frames = read_frames(stream)
        first = next(frames, None)
        if first is None:
            return
        sources = msgspec.msgpack.decode(first, type=Sources)
        resource.setrlimit(resource.RLIMIT_AS, (sources.max_memory_bytes,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        templates = {name: ChatTemplate(source) for name, source in sources.templates.items()}
        sock.sendall(encode(Rendered()))
        decoder = msgspec.msgpack.Decoder(PlannedChat)
        for frame in frames:
            answer = render(templates, decoder.decode(frame))
            sock.sendall(encode(answer, limit=2 * MAX_FRAME_BYTES))


def render(templates: dict[str, ChatTemplate], chat: PlannedChat) -> Rendered:
    """The prompt of one chat, or why there is none."""
    try:
        return Rendered(templates[chat.template].render(chat))
    except RequestError as error:
        return Rendered(error=str(error), param=error.param)
    except MemoryError:
        error_text = "the chat template needs too much memory for these messages; shorten them"
        return Rendered(error=error_text, param="messages")


if __name__ == "__main__":
    main()
