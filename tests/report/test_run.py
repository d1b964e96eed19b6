"""The figure and the summary of one run."""

from pathlib import Path

import numpy as np
import pytest
from walks import FRAME_PS, brownian, hopping

from halmd.config import DiffusionSettings
from halmd.report.run import run_figure, summary_lines, write_run_figure
from halmd.transport.diffusion import diffusion
from halmd.transport.motion import motion_of


def record_of(lithium: np.ndarray, *, breathing: float = 0.0, verdict: str = "ok") -> dict:
    rng = np.random.default_rng(0)
    frames, ions, _ = lithium.shape
    chloride = rng.normal(0, 0.1, (frames, ions, 3)) + rng.random((ions, 3)) * 11
    cells = 11.0 * np.eye(3) * (1 + rng.normal(0, breathing, (frames, 1, 1)))
    motion = motion_of(
        np.concatenate([lithium, chloride], axis=1),
        cells,
        ("Li",) * ions + ("Cl",) * ions,
        np.arange(frames) * FRAME_PS,
        fewest_frames=1,
    )
    return diffusion(motion, DiffusionSettings(), temperature_K=600, run_verdict=verdict)


def test_the_summary_says_what_a_user_asks() -> None:
    record = record_of(brownian(np.random.default_rng(1), 8000, 18, 0.5))
    text = "\n".join(summary_lines(record))
    assert text.startswith("converged")
    assert f"D = {record['D_tracer_cm2_per_s']:.3g} cm²/s" in text
    assert "18 Li over 399.95 ps" in text
    assert f"sigma_NE = {1000 * record['sigma_NE_S_per_cm']:.3g} mS/cm" in text
    assert "Haven ratio" in text
    assert "effective jumps;" in text
    assert "fluctuates" not in text


def test_a_breathing_cell_is_mentioned() -> None:
    record = record_of(brownian(np.random.default_rng(2), 2000, 18, 0.5) * 0, breathing=0.003)
    text = "\n".join(summary_lines(record))
    assert "volume fluctuates by 0.9" in text
    assert "too_few_jumps" in text
    assert "not resolved" in text


def test_a_run_beyond_its_potential_is_said_in_words() -> None:
    record = record_of(brownian(np.random.default_rng(1), 2000, 18, 0.5), verdict="extrapolating")
    assert record["D_tracer_cm2_per_s"] > 0
    assert "committee disagrees" in summary_lines(record)[0]


def test_a_run_without_a_number_has_a_summary_and_a_figure() -> None:
    record = record_of(brownian(np.random.default_rng(3), 20, 18, 0.5))
    assert summary_lines(record) == ["too_short (too few frames for a diffusivity)"]
    figure = run_figure(record)
    assert sum(axes.get_visible() for axes in figure.axes) == 1


def test_a_run_of_one_frame_has_a_figure(tmp_path: Path) -> None:
    """A guard may stop a run where it starts: the rest of the campaign goes on."""
    lithium = brownian(np.random.default_rng(3), 20, 18, 0.5)[:1]
    record = record_of(lithium, verdict="cell_unstable")
    write_run_figure(record, tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 1000


def test_the_figure_shows_every_element_the_window_and_the_result(tmp_path: Path) -> None:
    record = record_of(hopping(np.random.default_rng(4), 3000, 18, 0.3))
    figure = run_figure(record)
    msd, windows, blocks, directions = figure.axes
    labels = [text.get_text() for text in msd.get_legend().get_texts()]
    assert labels == ["Li", "Cl", "fit"]
    level = windows.lines[1].get_ydata()
    assert level[0] == pytest.approx(record["D_tracer_cm2_per_s"])
    assert [tick.get_text() for tick in directions.get_xticklabels()][:3] == [
        "along a",
        "along b",
        "along c",
    ]
    assert len(blocks.containers[0].lines[0].get_xdata()) == len(
        record["checks"]["blocks"]["start_ps"]
    )
    for suffix in ("png", "svg"):
        path = tmp_path / f"run.{suffix}"
        write_run_figure(record, path)
        assert path.stat().st_size > 10_000
