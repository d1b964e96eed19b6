"""One line of progress: picoseconds done, speed, temperature, time left."""

import sys
import time


class Progress:
    """Prints a line that renews itself on a terminal, or a line every tenth elsewhere."""

    def __init__(self, label: str, total_ps: float, done_ps: float = 0.0, *, shown: bool = True):
        self.label, self.total_ps, self.begun_ps = label, total_ps, done_ps
        self.start_s = time.perf_counter()
        self.shown = shown
        self.renewing = sys.stderr.isatty()
        self.printed_tenth = int(10 * done_ps / total_ps)

    def ns_per_day(self, done_ps: float) -> float:
        """Speed since this process began."""
        elapsed_s = time.perf_counter() - self.start_s
        return (done_ps - self.begun_ps) / 1000 / max(elapsed_s, 1e-9) * 86400

    def update(self, done_ps: float, temperature_K: float) -> None:
        """Show where the run stands."""
        tenth = int(10 * done_ps / self.total_ps + 1e-9)
        if not self.shown or (not self.renewing and tenth == self.printed_tenth):
            return
        self.printed_tenth = tenth
        speed = self.ns_per_day(done_ps)
        left_s = (self.total_ps - done_ps) / 1000 / max(speed, 1e-9) * 86400
        text = (
            f"{self.label}: {done_ps:.1f} of {self.total_ps:g} ps, {speed:.1f} ns/day, "
            f"{temperature_K:.0f} K, {left_s / 60:.0f} min {left_s % 60:02.0f} s left"
        )
        end = "" if self.renewing and done_ps < self.total_ps else "\n"
        lead = "\r\033[K" if self.renewing else ""
        print(f"{lead}{text}", end=end, file=sys.stderr, flush=True)
