import pytest

from sglite.config import RouterConfig
from sglite.errors import ConfigError
from sglite.router_server.keys import WorkerKeys


def keys(*, has_own_keys=False, **options):
    return WorkerKeys.from_options(RouterConfig(**options), has_own_keys=has_own_keys)


def test_a_worker_key_takes_the_place_of_the_clients():
    assert keys(worker_api_key="w").for_call(b"Bearer client") == b"Bearer w"
    assert keys(worker_api_key="w").admin == b"Bearer w"


def test_a_clients_key_goes_on_only_where_it_is_not_the_routers_own():
    assert keys().for_call(b"Bearer client") == b"Bearer client"
    assert keys(has_own_keys=True).for_call(b"Bearer client") is None


def test_keys_are_read_from_files(tmp_path):
    user, admin = tmp_path / "user", tmp_path / "admin"
    user.write_text("\nu\nother\n")
    admin.write_text("a\n")
    found = keys(worker_api_key_file=str(user), worker_admin_api_key_file=str(admin))
    assert (found.user, found.admin) == (b"Bearer u", b"Bearer a")
    assert "Bearer" not in repr(found)


@pytest.mark.parametrize("key", ["", "a b", "é", "a\nb"])
def test_bad_keys_are_refused(key):
    with pytest.raises(ConfigError, match="printable ASCII"):
        keys(worker_api_key=key)


def test_files_that_are_missing_or_empty_are_refused(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        keys(worker_api_key_file=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="not empty"):
        keys(worker_api_key_file=str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match="give one of them"):
        keys(worker_api_key="a", worker_api_key_file="b")
