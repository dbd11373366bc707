import resource
import socket

import pytest

from sglite.config import ServerConfig
from sglite.errors import ConfigError
from sglite.server.http.auth import Keys
from sglite.server.listen import (
    allow_open_files,
    bind,
    bind_beside,
    check_exposure,
    check_tls,
    url_of,
)


def test_port_zero_takes_a_free_one_and_the_url_names_it():
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        assert url_of(sock, is_tls=False) == f"http://127.0.0.1:{port}"
        assert url_of(sock, is_tls=True) == f"https://127.0.0.1:{port}"


def test_port_in_use_is_refused_in_one_line():
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^port: {port} is in use on 127.0.0.1; choose"):
            bind("127.0.0.1", port)


def test_port_can_be_used_again_at_once():
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            accepted, _ = _accept(sock)
            accepted.close()
            connection.recv(1)
    bind("127.0.0.1", port).close()


def _accept(sock):
    sock.setblocking(True)
    return sock.accept()


def test_foreign_and_impossible_hosts_are_refused():
    with pytest.raises(ConfigError, match="is no address of this machine"):
        bind("192.0.2.1", 0)
    with pytest.raises(ConfigError, match="is no address of this machine"):
        bind("not a host", 0)


def test_privileged_port_is_refused_in_one_line(monkeypatch):
    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigError, match="^port: 80 is for the system's administrator"):
        bind("127.0.0.1", 80)


def expose(**options):
    config = ServerConfig(**options)
    check_exposure(config, Keys.from_options(config))


def test_other_addresses_need_a_key_or_the_word():
    expose()
    expose(host="localhost")
    expose(host="::1")
    expose(host="192.0.2.1", api_key="k")
    expose(host="192.0.2.1", allow_unauthenticated=True)
    for host in ("192.0.2.1", "::", "example.com"):
        with pytest.raises(ConfigError, match="there is no key"):
            expose(host=host)
    with pytest.raises(ConfigError, match="there is no key"):
        expose(host="192.0.2.1", admin_api_key="k")


def test_https_needs_both_files_and_they_must_be_there(tmp_path):
    check_tls(ServerConfig())
    with pytest.raises(ConfigError, match="belong together"):
        check_tls(ServerConfig(ssl_certfile="a"))
    with pytest.raises(ConfigError, match="No such file"):
        check_tls(ServerConfig(ssl_certfile=str(tmp_path / "a"), ssl_keyfile=str(tmp_path / "b")))


def test_files_that_are_no_certificate_are_refused(tmp_path):
    path = tmp_path / "a.pem"
    path.write_text("nonsense")
    with pytest.raises(ConfigError, match="no certificate"):
        check_tls(ServerConfig(ssl_certfile=str(path), ssl_keyfile=str(path)))


def test_limit_of_open_files_is_raised_and_never_lowered(monkeypatch):
    found = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 2048))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: found.append(limits))
    allow_open_files(100)
    assert found == []
    allow_open_files(1000)
    allow_open_files(100_000)
    assert found == [(1256, 2048), (2048, 2048)]


def test_sockets_beside_each_other_share_the_connections():
    with bind("127.0.0.1", 0, is_shared=True) as first, bind_beside(first) as second:
        address = first.getsockname()
        assert second.getsockname() == address
        silent = socket.create_connection(address)  # the second does not listen yet
        silent.close()
        first.accept()[0].close()
        second.listen()
        callers = [socket.create_connection(address) for _ in range(64)]
        counts = [_num_waiting(each) for each in (first, second)]
        for caller in callers:
            caller.close()
        assert sum(counts) == 64 and min(counts) > 8


def test_a_port_that_another_server_shares_is_not_free():
    with bind("127.0.0.1", 0, is_shared=True) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError):
            bind("127.0.0.1", port, is_shared=True)


def _num_waiting(listener):
    """Accept what waits."""
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
