"""The optimiser: matrices and back, a problem Adam finds hard, and a stop in between."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from halmd.distill.soap import Soap, layout_of  # noqa: E402

N, KINDS = 4, 3
SHAPES = {
    "node_embedding.linear.weight": (KINDS * N,),
    "interactions.0.linear_up.weight": (N * N,),
    "interactions.1.linear_up.weight": (2 * N * N,),
    "interactions.1.conv_tp_weights.layer0.weight": (8, 16),
    "interactions.1.conv_tp_weights.layer3.weight": (16, 10 * N),
    "interactions.1.linear.weight": (10 * N * N,),
    "interactions.0.skip_tp.weight": (4 * N * KINDS * N,),
    "products.0.symmetric_contractions.contractions.0.weights_max": (KINDS, 23, N),
    "products.0.linear.weight": (2 * N * N,),
    "readouts.0.linear.weight": (N,),
    "readouts.1.linear_1.weight": (N * 16,),
    "readouts.1.linear_2.weight": (16,),
}


@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_matrices_are_the_parameter(name: str, shape: tuple[int, ...]) -> None:
    layout = layout_of(name, shape, N, KINDS)
    values = torch.randn(shape)
    matrices = layout.matrices(values)
    assert matrices.shape == layout.stack
    assert torch.equal(layout.parameter(matrices, shape), values)


def test_a_matrix_of_a_species_is_what_the_network_multiplies_by() -> None:
    weight = torch.randn(4 * N * KINDS * N)
    layout = layout_of("interactions.0.skip_tp.weight", weight.shape, N, KINDS)
    as_used = weight.reshape(4, N, KINDS, N).permute(2, 0, 1, 3)
    found = layout.matrices(weight).reshape(4, KINDS, N, N)
    assert torch.equal(found.transpose(0, 1), as_used)


def problem(seed: int = 0) -> tuple[Any, Any]:
    """X for which A X B is C, with A and B that stretch some directions a hundred times more."""
    generator = torch.Generator().manual_seed(seed)

    def stretched(size: int) -> Any:
        turned, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
        return turned @ torch.diag(torch.logspace(-1, 1, size)) @ turned.T

    a, b = stretched(16), stretched(16)
    wanted = a @ torch.randn(16, 16, generator=generator) @ b
    x = torch.zeros(256, requires_grad=True)
    return x, lambda: ((a @ x.reshape(16, 16) @ b - wanted) ** 2).mean()


def soap_for(x: Any) -> Soap:
    return Soap([x], [layout_of("interactions.0.linear_up.weight", x.shape, 16, 1)])


def run(optimiser: Soap, x: Any, loss: Any, first: int, last: int, steps: int = 300) -> None:
    for k in range(first, last):
        (x.grad,) = torch.autograd.grad(loss(), x)
        optimiser.step(0.1 * (1 - k / steps))


def test_what_is_stretched_and_turned_is_solved_faster_than_by_adam() -> None:
    x, loss = problem()
    began = float(loss())
    run(soap_for(x), x, loss, 0, 300)
    y, other = problem()
    adam = torch.optim.Adam([y], lr=0.1)
    for k in range(300):
        (y.grad,) = torch.autograd.grad(other(), y)
        adam.param_groups[0]["lr"] = 0.1 * (1 - k / 300)
        adam.step()
    assert float(loss()) < 1e-3 * began
    assert float(loss()) < 0.2 * float(other())


@given(stop=st.integers(min_value=1, max_value=39))
def test_it_goes_on_where_it_stopped(stop: int) -> None:
    x, loss = problem()
    run(soap_for(x), x, loss, 0, 40)
    y, other = problem()
    first = soap_for(y)
    run(first, y, other, 0, stop)
    again = soap_for(y)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, y, other, stop, 40)
    assert torch.equal(x, y)


def test_what_gets_no_gradient_stays() -> None:
    x, loss = problem()
    before = x.detach().clone()
    optimiser = soap_for(x)
    for _ in range(25):
        x.grad = torch.zeros_like(x)
        optimiser.step(0.1)
    assert torch.equal(x.detach(), before)
    # And what begins late moves no further than others.
    run(optimiser, x, loss, 0, 1)
    assert float((x.detach() - before).abs().max()) < 1.0


def test_a_forgotten_gradient_is_told() -> None:
    x, _ = problem()
    with pytest.raises(RuntimeError, match="no gradient"):
        soap_for(x).step(0.1)
