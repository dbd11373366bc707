from __future__ import annotations

import pytest

from sglite.bench.suite.jobs import all_jobs, read_jobs
from sglite.errors import ConfigError

ALL = tuple(all_jobs())


def test_w5_is_two_workloads_on_the_tiny_model():
    jobs = read_jobs("w1, W5", ALL)
    assert [job.name for job in jobs] == ["W1", "W5/W1", "W5/W2"]
    assert [job.is_tiny for job in jobs] == [False, True, True]
    assert jobs[1].workload is jobs[0].workload
    assert jobs[1].title == "W5/W1 single stream, tiny model"


def test_of_w5_comes_what_is_allowed_and_nothing_twice():
    assert [job.name for job in read_jobs("W5,W2,W2,W5/W2", ("W2", "W5/W2"))] == ["W5/W2", "W2"]


def test_only_cold_starts_are_cold():
    assert [job.name for job in read_jobs("W0,W1", ALL) if job.is_cold] == ["W0"]


@pytest.mark.parametrize(("text", "message"), [("W9", "'W9'"), ("W1", "'W1'"), (",", "at least")])
def test_others_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        read_jobs(text, ("W2", "W3"))
