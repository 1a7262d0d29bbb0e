import signal

import pytest

from sat_preencode.signals import stop_signals


def test_first_signal_asks_to_stop_and_the_second_stops_at_once(capfd):
    before = signal.getsignal(signal.SIGTERM)
    with stop_signals() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGTERM)
        assert stop()
        assert stop.number == signal.SIGTERM
        with pytest.raises(SystemExit) as caught:
            signal.raise_signal(signal.SIGINT)
    assert caught.value.code == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert "stopping after this batch" in capfd.readouterr().err
