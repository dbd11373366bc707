import asyncio

import pytest

from sglite.config import RouterConfig
from sglite.errors import ConfigError, RequestError
from sglite.router_server.front import RouterFront, worker_url, worker_urls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://a:1/", "http://a:1"),
        ("a:1", "http://a:1"),
        ("https://a", "https://a:443"),
        ("http://A.b:1/v1", "http://a.b:1"),
        ("http://[::1]:5/x/", "http://[::1]:5/x"),
    ],
)
def test_urls_have_one_spelling(given, expected):
    assert worker_url(given) == expected


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "http://", "http://a:x", "http://u:p@a", "http://a?b", "http://ä", "file:///a"],
)
def test_what_is_no_address_of_a_server_is_refused(url):
    with pytest.raises(ConfigError):
        worker_url(url)


def test_workers_are_given_with_blanks_or_commas_and_count_once():
    config = RouterConfig(workers="http://a:1 http://b:2,http://a:1/  ")
    assert worker_urls(config) == ["http://a:1", "http://b:2"]
    assert worker_urls(RouterConfig()) == []


def test_a_worker_that_is_added_is_looked_at():
    async def main():
        front = RouterFront(RouterConfig(workers="http://127.0.0.1:9", health_interval_s=0.01))
        worker = front.add_worker("127.0.0.1:10")
        assert [each.url[-2:] for each in front.workers.all] == [":9", "10"]
        while not worker.num_failures:
            await asyncio.sleep(0.01)
        await front.close()

    asyncio.run(main())


def test_a_bad_worker_is_not_added():
    async def main():
        front = RouterFront(RouterConfig())
        with pytest.raises((ConfigError, RequestError)):
            front.add_worker("ftp://a")
        assert front.workers.all == []
        await front.close()

    asyncio.run(main())
