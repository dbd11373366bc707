"""Children of ours: one socket, no Ctrl-C, and they end when we do."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from sglite.ipc.spawning import Child, read_frames, spawn

ECHO = """
import sys
from sglite.ipc.frames import encode
from sglite.ipc.spawning import parents_socket, read_frames
import msgspec
with parents_socket() as sock, sock.makefile("rb") as stream:
    for frame in read_frames(stream):
        sock.sendall(encode(msgspec.msgpack.decode(frame)))
sys.exit(7)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "echoing_child.py").write_text(ECHO)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return "echoing_child"


def run(work):
    return asyncio.run(asyncio.wait_for(work, 30))


def test_messages_go_there_and_back(module):
    async def main():
        child = await Child.start(module)
        child.send({"a": [1, "x"]})
        child.send("y" * 500_000)
        first, second = await child.receive(), await child.receive()
        assert first == b"\x81\xa1a\x92\x01\xa1x"
        assert len(second) > 500_000
        assert child.exit_code is None
        assert await child.kill() == -signal.SIGKILL
        assert child.exit_code == -signal.SIGKILL

    run(main())


def test_ctrl_c_does_not_reach_it(module):
    async def main():
        child = await Child.start(module)
        os.kill(child.pid, signal.SIGINT)
        os.kill(child.pid, signal.SIGTERM)
        child.send("still there")
        assert b"still there" in await child.receive()
        await child.kill()

    run(main())


def test_the_end_of_one_is_seen(module):
    async def main():
        child = await Child.start(module)
        child.send(1)
        await child.receive()
        assert await child.wait(0.05) is None
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(EOFError):
            await child.receive()
        child.send("nobody reads this")
        assert await child.kill() == -signal.SIGKILL

    run(main())


def test_it_ends_when_its_parent_is_killed(module):
    parent = textwrap.dedent(f"""
        import asyncio
        from sglite.ipc.spawning import Child
        async def main():
            child = await Child.start({module!r})
            child.send(1)
            await child.receive()
            print(child.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def test_a_module_that_is_not_there_ends_with_an_error():
    process = spawn("sglite.there_is_no_such_module", stdin=subprocess.DEVNULL)
    assert process.wait() == 1


def test_a_cut_frame_is_the_end(tmp_path):
    file = tmp_path / "frames"
    file.write_bytes(b"\0\0\0\2ab\0\0")
    with file.open("rb") as stream:
        assert list(read_frames(stream)) == [b"ab"]


class Drip:
    """A raw stream that gives one byte at a time."""

    def __init__(self, data):
        self.data = data

    def read(self, num_bytes):
        part, self.data = self.data[:1], self.data[1:]
        return part


def test_frames_come_whole_however_they_arrive():
    assert list(read_frames(Drip(b"\0\0\0\2ab\0\0\0\0\0\0\0\1c"))) == [b"ab", b"", b"c"]


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
