from __future__ import annotations

from sglite.bench.gpu_suite.parts import host


def test_calls_of_a_step_are_timed_and_the_engine_is_as_before(make_suite):
    suite = make_suite("host")
    host.run(suite)
    figures = {figure.name: figure for figure in suite.recorder.result.figures}
    for batch in (1, 2, 4):
        assert all(f"{name}, batch {batch}" in figures for name in (*host.CALLS, "step"))
        parts = sum(figures[f"{name}, batch {batch}"].value for name in host.CALLS)
        assert parts < 3 * figures[f"step, batch {batch}"].value
    for batch in (1, 4):
        assert figures[f"host alone, total, batch {batch}"].value > 0
        assert f"idle between steps of 4 ms, mean, batch {batch}" in figures
    engine = suite.runner.engine
    assert not isinstance(engine.scheduler, host.Timed)
    assert not isinstance(engine.executor, host.Timed)


def test_timed_methods_do_what_they_did():
    class Inner:
        answer = 41

        def ask(self, more: int) -> int:
            return self.answer + more

    seconds: list[float] = []
    timed = host.Timed(Inner(), {"ask": seconds})
    assert (timed.ask(more=1), timed.answer) == (42, 41)
    assert len(seconds) == 1 and seconds[0] >= 0


def test_what_was_never_called_has_no_figure(make_suite):
    suite = make_suite("host")
    host.note(suite, 1, {"plan": [], "commit": [2e-6]}, 1e-3, 5e-4)
    assert [figure.name for figure in suite.recorder.result.figures] == [
        "commit, batch 1",
        "step, batch 1",
    ]
