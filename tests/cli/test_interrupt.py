import signal
import threading

import pytest

from sglite.cli.interrupt import catch_interrupt


def test_first_ctrl_c_sets_the_flag_and_the_second_raises():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), catch_interrupt() as interrupt:
        assert not interrupt.is_set
        signal.raise_signal(signal.SIGINT)
        assert interrupt.is_set
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_signals_alone():
    seen = []

    def work():
        with catch_interrupt() as interrupt:
            seen.append(interrupt.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
