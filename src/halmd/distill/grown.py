"""A student with vectors that begins as a student of scalars: the same function, with more room.

Whatever both have is copied. Paths of messages that only the larger student has get matrices of
zeros behind them, so that they add nothing until they have learnt something.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from halmd.distill.plain_mace import Constants, Convolution, blocks

_MIXING = "interactions.1.linear.weight"


def grown(
    parameters: Mapping[str, Tensor],
    small: Constants,
    large: Constants,
    fresh: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Parameters of the larger student (N x 0e + N x 1o) from those of the smaller (N x 0e).

    fresh are its own random ones, which stay where the smaller student has nothing. Raises
    ValueError where the two differ in more than vectors.
    """
    n = large.channels
    radial = f"interactions.1.conv_tp_weights.layer{large.n_radial_layers}.weight"
    found = dict(fresh)
    for name, value in parameters.items():
        if name not in fresh or not _alike(small, large):
            raise ValueError(f"a student cannot grow from one of another shape ({name})")
        if fresh[name].shape == value.shape:
            found[name] = value
        elif name in ("interactions.1.linear_up.weight", "products.0.linear.weight"):
            # Scalars first, then vectors.
            found[name] = torch.cat([value, fresh[name][len(value) :]])
        elif name == radial:
            columns = fresh[name].reshape(-1, len(large.convolutions[1]), n).clone()
            for old, new in _shared_paths(small, large):
                columns[:, new] = value.reshape(len(columns), -1, n)[:, old]
            found[name] = columns.reshape(fresh[name].shape)
        elif name == _MIXING:
            found[name] = _mixing(blocks(value, n), small, large).reshape(-1)
        else:
            raise ValueError(f"a student cannot grow from one of another shape ({name})")
    return found


def _alike(small: Constants, large: Constants) -> bool:
    one, other = (
        (c.channels, c.n_elements, c.n_radial_layers, c.r_max_A, c.mean_neighbours)
        for c in (small, large)
    )
    return one == other


def _shared_paths(small: Constants, large: Constants) -> list[tuple[int, int]]:
    """Places, in both, of the paths from scalars of the neighbours."""

    def of_scalars(paths: tuple[Convolution, ...]) -> dict[int, int]:
        return {path.order: k for k, path in enumerate(paths) if not path.of_vectors}

    before, after = (of_scalars(c.convolutions[1]) for c in (small, large))
    return [(place, after[order]) for order, place in before.items()]


def _mixing(of_small: Tensor, small: Constants, large: Constants) -> Tensor:
    """Matrices behind every path: scaled to what e3nn divides by, and zeros for new paths."""
    paths = large.convolutions[1]
    found = of_small.new_zeros(len(paths), large.channels, large.channels)
    for old, new in _shared_paths(small, large):
        before, after = small.convolutions[1][old], paths[new]
        together = sum(path.order == after.order for path in paths)
        coupling = float(before.coupling[0, 0, 0] / after.coupling[0, 0, 0])
        found[new] = of_small[old] * together**0.5 * coupling
    return found
