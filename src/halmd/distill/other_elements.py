"""A student for other elements than an earlier one: the same function of what both know.

An element that is new begins as the copy of one that is known, of the same charge and much the same
size, so that the student is near the truth before it has seen any.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_EMBEDDING = "node_embedding.linear.weight"


def with_elements(
    parameters: Mapping[str, Tensor],
    before: Sequence[str],
    elements: Sequence[str],
    like: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Parameters of a student of some `elements` from those of a student of others, `before`.

    Both are in the order of the models; `like` names the known element that each new one begins as.
    Raises ValueError for a new element of which it says nothing.
    """
    known = {**(like or {}), **{element: element for element in before}}
    nameless = [element for element in elements if known.get(element) not in before]
    if nameless:
        raise ValueError(f"nothing is said of what {', '.join(nameless)} begin as")
    rows = torch.tensor([list(before).index(known[element]) for element in elements])
    n_channels = parameters[_EMBEDDING].numel() // len(before)
    # e3nn divides sums over elements by the square root of their number.
    scale = (len(elements) / len(before)) ** 0.5

    def of_elements(name: str, value: Tensor) -> Tensor:
        if name == _EMBEDDING:
            return (value.reshape(len(before), n_channels)[rows] * scale).reshape(-1)
        if name.endswith("skip_tp.weight"):
            # A block for every order: channels in, elements, channels out.
            blocks = value.reshape(-1, n_channels, len(before), n_channels)
            return (blocks[:, :, rows] * scale).reshape(-1)
        return value[rows] if "symmetric_contractions" in name else value

    return {name: of_elements(name, value) for name, value in parameters.items()}
