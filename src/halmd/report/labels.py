"""Words beside points, where they cover neither one another nor other points."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox

_SIZE_PT = 7.5
_POINT_PX = 5.0
_DIRECTIONS = 16
_DISTANCES_PT = (9.0, 16.0, 26.0, 38.0, 52.0)


def place_labels(figure: Figure, axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Annotate points (x, y, words), each label in the nearest free place about its point.

    Axes must be drawn and their limits final. Labels that stand away from their point are joined to
    it by a thin line; where nothing is free, the place that covers least is taken.
    """
    # Sizes in pixels are known only when the layout has been made.
    figure.draw_without_rendering()
    frame = axes.get_window_extent()
    pixels = axes.transData.transform(np.array([point[:2] for point in points]))
    taken = [Bbox([p - _POINT_PX, p + _POINT_PX]) for p in pixels]
    per_pt = figure.dpi / 72
    for x, y, words in points:
        text = axes.annotate(
            words,
            xy=(x, y),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_SIZE_PT,
            zorder=5,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "#777777", "shrinkB": 3},
        )
        text.set_path_effects([Stroke(linewidth=2.0, foreground="white"), Normal()])
        # Out of the layout, which would move the axes.
        text.set_in_layout(False)
        size = text.get_window_extent()
        best: tuple[float, Bbox, tuple[float, float]] | None = None
        for dx, dy in _offsets_pt(size.width / per_pt, size.height / per_pt):
            box = size.translated(dx * per_pt, dy * per_pt)
            covered = sum(_overlap(box, other) for other in taken)
            outside = box.width * box.height - _overlap(box, frame)
            cost = covered + 4 * outside
            if best is None or cost < best[0] - 1e-6:
                best = cost, box, (dx, dy)
        assert best is not None
        text.set_position(best[2])
        taken.append(best[1])


def _offsets_pt(width: float, height: float) -> list[tuple[float, float]]:
    """Places of a label's middle about its point, the nearest first, upper right first."""
    angles = np.pi / 4 + 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    return [
        (
            float(np.cos(angle) * (distance + width / 2)),
            float(np.sin(angle) * (distance + height / 2)),
        )
        for distance in _DISTANCES_PT
        for angle in angles
    ]


def _overlap(first: Bbox, second: Bbox) -> float:
    """Area that two boxes share."""
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return float(max(width, 0.0) * max(height, 0.0))
