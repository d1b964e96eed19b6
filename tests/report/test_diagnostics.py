"""Figures of jumps, density and distances."""

from pathlib import Path

import numpy as np
import pytest
from walks import FRAME_PS, hopping

from halmd.report.diagnostics import (
    density_figure,
    jumps_figure,
    van_hove_figure,
    write_figure,
)
from halmd.transport.density import density
from halmd.transport.jumps import jump_record, visits
from halmd.transport.sites import Sites
from halmd.transport.vanhove import van_hove

CELL = np.diag([7.5, 7.5, 7.5])
SITES = Sites(
    np.stack(np.meshgrid(*[np.arange(3) / 3] * 3, indexing="ij"), axis=-1).reshape(-1, 3),
    ("octahedron",) * 14 + ("tetrahedron",) * 13,
    CELL,
)


@pytest.fixture(scope="module")
def ions() -> np.ndarray:
    return hopping(np.random.default_rng(0), 2000, 12, 0.2).transpose(1, 0, 2)


def record_of(ions: np.ndarray) -> dict:
    return jump_record(visits([ions], SITES, FRAME_PS), SITES, FRAME_PS, (0.2, 0.1, 0.3))


def test_jumps_are_drawn_with_what_they_say(ions: np.ndarray, tmp_path: Path) -> None:
    record = record_of(ions)
    figure = jumps_figure(record)
    lengths, rates, kinds = figure.axes
    assert sum(bar.get_height() for bar in lengths.patches) == record["n_jumps"]
    assert [bar.get_width() for bar in rates.patches][-1] == record["pairs"][0]["rate_per_ps"]
    assert [tick.get_text().split(" ")[0] for tick in kinds.get_yticklabels()] == [
        "tetrahedron",
        "octahedron",
    ]
    assert "correlation factor" in figure.get_suptitle()
    write_figure(figure, tmp_path / "jumps.png")
    assert (tmp_path / "jumps.png").stat().st_size > 10_000


def test_no_jumps_can_be_drawn() -> None:
    still = np.tile(SITES.fractional[:3, None] @ CELL, (1, 100, 1))
    figure = jumps_figure(record_of(still))
    assert "paths percolate in 0 dimensions" in figure.get_suptitle()
    assert "never left" in figure.axes[2].get_yticklabels()[-1].get_text()


def test_projections_hold_all_ions(ions: np.ndarray, tmp_path: Path) -> None:
    cell = np.array([[7.5, 0, 0], [-3.75, 6.495, 0], [1.0, 1.0, 7.5]])
    figure = density_figure(density([ions], cell, spacing_A=0.5), "Li")
    areas = [np.linalg.norm(np.cross(cell[k - 2], cell[k - 1])) for k in range(3)]
    for axes, area in zip(figure.axes[:3], areas, strict=True):
        columns = axes.collections[0].get_array()
        assert float(np.mean(columns)) * area == pytest.approx(12.0)
    write_figure(figure, tmp_path / "density.png")


def test_distances_are_drawn_one_curve_a_time(ions: np.ndarray) -> None:
    figure = van_hove_figure(van_hove([ions], FRAME_PS, [1.0, 10.0]), "Li")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [label.split(",")[0] for label in labels] == ["1 ps", "10 ps"]
