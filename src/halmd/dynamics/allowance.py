"""How long a process may go on: until a signal, or until its time is up."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """When to stop: at a signal, or where another interval would last too long."""

    def __init__(self, allowed_s: float, signals: list[int]):
        self._deadline, self._signals = time.monotonic() + allowed_s, signals
        self._longest_s = 0.0

    @property
    def over(self) -> bool:
        """Whether the next interval is not to be begun."""
        late = self._longest_s and time.monotonic() + self._longest_s > self._deadline
        return bool(self._signals or late)

    @property
    def left_s(self) -> float:
        """Time left; infinite without a limit."""
        return self._deadline - time.monotonic()

    def spent(self, interval_s: float) -> None:
        """Tell how long an interval lasted."""
        self._longest_s = max(self._longest_s, interval_s)


@contextmanager
def allowance(max_minutes: float) -> Iterator[Allowance]:
    """An allowance that SIGTERM and SIGUSR1 end too, instead of the process.

    In another thread than the main one signals are left alone: Python lets only that one have them.
    """
    caught: list[int] = []
    until = Allowance(60 * max_minutes, caught)
    if threading.current_thread() is not threading.main_thread():
        yield until
        return
    signals = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        signal.signal(number, lambda received, _: caught.append(received))
    try:
        yield until
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
