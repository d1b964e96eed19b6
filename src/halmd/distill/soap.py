"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners (Vyas et al., arXiv 2409.11321).

The gradient of a matrix G is turned into the bases in which the running means of G Gᵀ and Gᵀ G are
diagonal; there each entry has a step of its own, as in Adam. Bases follow slowly, by one step of
orthogonal iteration now and then. Of a student, every weight is a stack of small matrices, one for
each species, order or path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_MEAN, _SQUARES, _BASES = 0.95, 0.99, 0.95
"""What is kept of the running means in a step: of gradients, of their squares, of G Gᵀ and Gᵀ G."""
_TURN_EVERY = 10
_LARGEST = 160
"""Sides longer than this keep their own basis."""
_LARGEST_MOVE = 2.0
"""In units of the rate, of one entry."""
_SMALL = 1e-12


@dataclass(frozen=True)
class Layout:
    """How a parameter is a stack of matrices."""

    shape: tuple[int, ...]
    """The parameter's numbers in this shape ..."""
    order: tuple[int, ...]
    """... with its axes in this order ..."""
    stack: tuple[int, int, int]
    """... are (n_matrices, n_rows, n_columns)."""

    def matrices(self, flat: Tensor) -> Tensor:
        """The parameter, or its gradient, as matrices."""
        return flat.reshape(self.shape).permute(self.order).reshape(self.stack)

    def parameter(self, matrices: Tensor, shape: Sequence[int]) -> Tensor:
        """The inverse of `matrices`."""
        turned = [self.shape[axis] for axis in self.order]
        back = sorted(range(len(self.order)), key=lambda axis: self.order[axis])
        return matrices.reshape(turned).permute(back).reshape(tuple(shape))


def layout_of(name: str, shape: Sequence[int], channels: int, n_elements: int) -> Layout:
    """How a parameter of a student, by its name in mace-torch, is a stack of matrices."""
    n = channels
    size = 1
    for length in shape:
        size *= length
    if ".skip_tp." in name:
        orders = size // (n * n_elements * n)
        return Layout((orders, n, n_elements, n), (0, 2, 1, 3), (orders * n_elements, n, n))
    if ".contractions." in name:
        return Layout(tuple(shape), (0, 1, 2), (shape[0], shape[1], shape[2]))
    if name.startswith("node_embedding."):
        return Layout((n_elements, n), (0, 1), (1, n_elements, n))
    if ".conv_tp_weights." in name:
        return Layout(tuple(shape), (0, 1), (1, shape[0], shape[1]))
    if name.startswith("readouts.1.linear_1."):
        return Layout((n, size // n), (0, 1), (1, n, size // n))
    if size % (n * n) == 0:
        blocks = size // (n * n)
        return Layout((blocks, n, n), (0, 1, 2), (blocks, n, n))
    return Layout((1, 1, size), (0, 1, 2), (1, 1, size))


class Soap:
    """The optimiser; `parameters` are changed in place by `step`, from their `grad`."""

    def __init__(self, parameters: Sequence[Tensor], layouts: Sequence[Layout]):
        self.parameters, self.layouts = list(parameters), list(layouts)
        self.steps = 0
        # Matrices of one size are moved together, whichever parameters they belong to.
        self.groups: dict[tuple[int, int], list[int]] = {}
        for k, layout in enumerate(self.layouts):
            self.groups.setdefault(layout.stack[1:], []).append(k)
        self.state: list[dict[str, Tensor]] = [{} for _ in self.groups]

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on with."""
        return {"steps": self.steps, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.steps, self.state = state["steps"], state["state"]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, rate: float) -> None:
        """Change every parameter by its gradient; entries move by about `rate`."""
        for members, state in zip(self.groups.values(), self.state, strict=True):
            parts = [self._gradient(k) for k in members]
            moves = self._move(torch.cat(parts), state)
            if moves is None:
                continue
            sizes = [len(part) for part in parts]
            for k, move in zip(members, moves.split(sizes), strict=True):
                shape = self.parameters[k].shape
                self.parameters[k].sub_(self.layouts[k].parameter(move, shape), alpha=rate)
        self.steps += 1

    def _gradient(self, k: int) -> Tensor:
        gradient = self.parameters[k].grad
        if gradient is None:
            raise RuntimeError("a parameter has no gradient")
        return self.layouts[k].matrices(gradient)

    def _move(self, g: Tensor, state: dict[str, Tensor]) -> Tensor | None:
        """The step, in units of the rate; None at the first, which only finds the bases."""
        if not state:
            for side in _sides(g):
                state[f"{side}_mean"] = _gram(g, side)
                state[f"{side}_basis"] = torch.linalg.eigh(state[f"{side}_mean"])[1]
            state["mean"], state["squares"] = torch.zeros_like(g), torch.zeros_like(g)
            return None
        turned = _into(g, state)
        state["mean"].lerp_(turned, 1 - _MEAN)
        state["squares"].mul_(_SQUARES).addcmul_(turned, turned, value=1 - _SQUARES)
        scale = (1 - _SQUARES**self.steps) ** 0.5 / (1 - _MEAN**self.steps)
        # Means are turned with the bases and squares are not: right after, a ratio can be anything.
        ratio = scale * state["mean"] / (state["squares"].sqrt() + _SMALL)
        move = _out_of(ratio.clamp_(-_LARGEST_MOVE, _LARGEST_MOVE), state)
        for side in _sides(g):
            state[f"{side}_mean"].lerp_(_gram(g, side), 1 - _BASES)
        if self.steps % _TURN_EVERY == 0:
            mean = _out_of(state["mean"], state)
            for side in _sides(g):
                followed = state[f"{side}_mean"] @ state[f"{side}_basis"]
                state[f"{side}_basis"] = torch.linalg.qr(followed)[0]
            state["mean"] = _into(mean, state)
        return move


def _sides(g: Tensor) -> list[str]:
    lengths = {"rows": g.shape[1], "columns": g.shape[2]}
    return [side for side, length in lengths.items() if 1 < length <= _LARGEST]


def _gram(g: Tensor, side: str) -> Tensor:
    return g @ g.mT if side == "rows" else g.mT @ g


def _into(g: Tensor, state: dict[str, Tensor]) -> Tensor:
    if "rows_basis" in state:
        g = state["rows_basis"].mT @ g
    return g @ state["columns_basis"] if "columns_basis" in state else g


def _out_of(g: Tensor, state: dict[str, Tensor]) -> Tensor:
    if "rows_basis" in state:
        g = state["rows_basis"] @ g
    return g @ state["columns_basis"].mT if "columns_basis" in state else g
