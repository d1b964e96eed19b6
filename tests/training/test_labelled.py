"""The archive of labels: back to the last bit, what could not be computed too."""

import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from labelled import expanded, squeezed


@given(seed=st.integers(0, 1000), snapshots=st.integers(1, 9), failed=st.booleans())
def test_what_is_rounded_comes_back_to_the_last_bit(
    seed: int, snapshots: int, failed: bool
) -> None:
    rng = np.random.default_rng(seed)
    arrays = {
        "energies_eV": rng.normal(-200, 50, snapshots),
        "forces_eV_per_A": rng.normal(0, 3, (5 * snapshots, 3)).round(4).astype(np.float32),
        "stresses_eV_per_A3": rng.normal(0, 0.05, (snapshots, 6)).round(8),
    }
    if failed:
        arrays["energies_eV"][0] = np.nan
        arrays["forces_eV_per_A"][:5] = np.nan
        arrays["stresses_eV_per_A3"][0] = np.nan
    back = expanded(squeezed(arrays))
    assert set(back) == set(arrays)
    for name, values in arrays.items():
        assert back[name].dtype == values.dtype
        assert np.array_equal(back[name], values, equal_nan=True)
