"""`halmd show`: a material's results in a terminal: table, the lines that matter, a small plot."""

import math
from collections.abc import Iterable

from halmd.reference import measured
from halmd.report.results import MaterialResults

_WIDTH, _HEIGHT = 68, 18
COMPUTED, MEASURED, FITTED, REACH = "●", "m", "·", "|"


def text_plot(results: MaterialResults, *, width: int = _WIDTH, height: int = _HEIGHT) -> list[str]:
    """log10 of sigma_NE T against 1000/T, as lines of text.

    Means of all runs at a temperature with their 95 % intervals, the fit where there is one, and
    what was measured (not what its source is in doubt of).
    """
    record = results.arrhenius
    points = [
        (
            1000 / p["temperature_K"],
            *(
                # An interval down to nothing is cut two decades below its value.
                math.log10(max(s, p["sigma_NE_S_per_cm"] / 100, 1e-12) * p["temperature_K"])
                for s in (p["sigma_NE_S_per_cm"], *p["sigma_NE_interval95_S_per_cm"])
            ),
        )
        for p in record["pooled"]
    ]
    known = [
        (1000 / m.temperature_K, math.log10(m.sigma_S_per_cm * m.temperature_K))
        for m in measured(results.formula, results.family)
        if not m.suspect
    ]
    line = _fit(results)
    if not points:
        return ["no temperature has a usable run: nothing to draw"]
    xs = [p[0] for p in points] + [x for x, _ in known + line]
    ys = [y for p in points for y in p[1:]] + [y for _, y in known + line]
    canvas = _Canvas(xs, ys, width, height)
    for x, y in line:
        canvas.put(x, y, FITTED)
    for x, _, low, high in points:
        canvas.span(x, low, high, REACH)
    for x, y in known:
        canvas.put(x, y, MEASURED)
    for x, y, *_ in points:
        canvas.put(x, y, COMPUTED)
    legend = f"{COMPUTED} computed, {REACH} 95 %"
    legend += f", {FITTED} fit" if line else ""
    legend += f", {MEASURED} measured" if known else ""
    return [*canvas.lines("log10(sigma T / S K/cm)"), f"{'':8}1000 K / T      {legend}"]


def _fit(results: MaterialResults) -> list[tuple[float, float]]:
    """Points of the fitted curve, in the axes of the plot."""
    band = results.arrhenius.get("band")
    if results.arrhenius["verdict"] != "ok" or not band:
        return []
    pairs = zip(band["per_1000_K"], band["ln_sigma_T_S_K_per_cm"], strict=True)
    return [(x, ln / math.log(10)) for x, ln in pairs]


class _Canvas:
    """Characters at places between the least and the largest of both coordinates."""

    def __init__(self, xs: Iterable[float], ys: Iterable[float], width: int, height: int):
        xs, ys = list(xs), list(ys)
        self.x, self.y = (min(xs), max(xs)), (min(ys), max(ys))
        self.rows = [[" "] * width for _ in range(height)]

    def _place(self, x: float, y: float) -> tuple[int, int]:
        across = (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1.0)
        up = (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        return round((1 - up) * (len(self.rows) - 1)), round(across * (len(self.rows[0]) - 1))

    def put(self, x: float, y: float, mark: str) -> None:
        """A mark at a place."""
        row, column = self._place(x, y)
        self.rows[row][column] = mark

    def span(self, x: float, low: float, high: float, mark: str) -> None:
        """Marks from one height to another."""
        top, column = self._place(x, high)
        bottom, _ = self._place(x, low)
        for row in range(top, bottom + 1):
            self.rows[row][column] = mark

    def lines(self, title: str) -> list[str]:
        """The whole with its axes."""
        last = len(self.rows) - 1
        labels = {0: f"{self.y[1]:6.2f}", last: f"{self.y[0]:6.2f}"}
        drawn = [f"{labels.get(k, ''):>6} │{''.join(row)}" for k, row in enumerate(self.rows)]
        ends = f"{self.x[0]:.2f}", f"{self.x[1]:.2f}"
        gap = " " * (len(self.rows[0]) - len(ends[0]) - len(ends[1]))
        return [
            title,
            *drawn,
            f"{'':6} └{'─' * len(self.rows[0])}",
            f"{'':8}{ends[0]}{gap}{ends[1]}",
        ]
