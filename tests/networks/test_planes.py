import pytest
import torch

from molrecon.errors import InputError
from molrecon.lipschitz import certified_bound
from molrecon.networks import CNN, PlanesNetwork, ResidualStrictCNN, Tiled, build_network
from molrecon.networks import planes as planes_module

from ..support import normal
from .test_multiscale import dense_jacobian

PLANE = {"kind": "residual-strict", "features": 4, "layers": 2}
LEVELS = torch.tensor([0.02, 0.1]).double()


def planes(*, seed=0, plane=None):
    """Random parameters, other ones for every axis, in double precision."""
    torch.manual_seed(seed)
    network = build_network({"kind": "planes", "ndim": 3, "plane": plane or PLANE}).double().eval()
    for parameter in network.requires_grad_(False).parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return network


def test_is_the_mean_of_networks_of_slices():
    network, x = planes(), normal(2, 1, 4, 5, 6)
    by_hand = torch.zeros_like(x)
    for axis, inner in enumerate(network.planes):
        for k in range(x.shape[2 + axis]):
            at = (slice(None),) * (2 + axis) + (k,)
            by_hand[at] += inner(x[at], LEVELS) / 3
    assert torch.allclose(network(x, LEVELS), by_hand, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_slices_are_worked_on_in_blocks_without_a_change(monkeypatch, dtype):
    network, x = planes(), normal(2, 1, 4, 5, 6).to(dtype)
    network, levels = network.to(dtype.to_real()), LEVELS.to(dtype.to_real())
    recorded = network(x.requires_grad_(), levels).detach()
    sizes = []
    for inner in network.planes:
        own = inner.apply_channels
        monkeypatch.setattr(
            inner, "apply_channels", lambda x, code, own=own: sizes.append(len(x)) or own(x, code)
        )
    with torch.no_grad():
        whole = network(x, levels)
        monkeypatch.setitem(planes_module.BLOCK_PIXELS, "cpu", 60)
        parts = network(x, levels)
    assert max(sizes[:3]) == 12
    assert max(sizes[3:]) == 3
    assert torch.allclose(parts, whole, rtol=0, atol=4 * torch.finfo(dtype).eps)
    assert torch.allclose(recorded, whole, rtol=0, atol=1e2 * torch.finfo(dtype).eps)


def test_its_bound_is_the_mean_of_theirs():
    network = planes(plane={**PLANE, "lipschitz": 0.9})
    assert network.lipschitz_bound() == 0.9  # exactly: it is compared with 1 − m
    network.planes[0].lipschitz = 0.6
    assert network.lipschitz_bound() == 0.9
    # The steps have norms of at most 1, so that only the gains count.
    assert certified_bound(network) == pytest.approx(0.8)
    J = dense_jacobian(lambda u: network(u, LEVELS[:1]), normal(1, 1, 2, 3, 4))
    assert torch.linalg.matrix_norm(J, 2).item() <= 0.8 * (1 + 1e-12)
    assert network.train().lipschitz_bound() is None


def test_networks_without_a_bound_have_none_together():
    network = planes(plane={"kind": "cnn", "features": 4, "layers": 2})
    assert network.lipschitz_bound() is None
    bounds = [certified_bound(inner) for inner in network.planes]
    assert certified_bound(network) == pytest.approx(sum(bounds) / 3)


def test_starts_as_one_network_of_slices_in_all_three_orientations():
    torch.manual_seed(1)
    source = ResidualStrictCNN(features=4, layers=2).double().eval()
    network, x = planes(), normal(2, 1, 5, 4)
    network.start_from(source)
    with torch.no_grad():
        assert all(torch.equal(inner(x, LEVELS), source(x, LEVELS)) for inner in network.planes)


def test_takes_over_its_own_kind():
    old, network, x = planes(seed=1), planes(seed=2), normal(2, 1, 3, 4, 5)
    network.start_from(old)
    assert torch.equal(network(x, LEVELS), old(x, LEVELS))


def test_tiles_are_exact():
    network, x = planes(), normal(2, 1, 13, 11, 9)
    whole = network(x, LEVELS)
    assert torch.allclose(Tiled(network, (5, 4, 9))(x, LEVELS), whole, rtol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="ndim: found 2, expected 3"):
        build_network({"kind": "planes", "ndim": 2, "plane": PLANE})
    with pytest.raises(InputError, match="plane has ndim 3, expected 2"):
        build_network({"kind": "planes", "ndim": 3, "plane": {**PLANE, "ndim": 3}})
    with pytest.raises(InputError, match=r"plane: the kind is 'nothing', expected one of"):
        build_network({"kind": "planes", "plane": {"kind": "nothing"}})
    with pytest.raises(InputError, match="features: there is no such setting"):
        build_network({"kind": "planes", "plane": PLANE, "features": 3})
    with pytest.raises(InputError, match="initial network"):
        planes().start_from(CNN(features=4))
    assert isinstance(planes(), PlanesNetwork)
