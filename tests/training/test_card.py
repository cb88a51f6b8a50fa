import torch

from molrecon.reconstructors.store import load, save
from molrecon.training.card import model_card
from molrecon.training.loop import Trainer

from .runs import config


def test_the_card_says_what_the_run_was(folder):
    run = config(
        folder,
        description="A tiny model",
        card={"licence": "CC0", "not_for": "anything", "data": "Two disks."},
    )
    trainer = Trainer(run)
    about = {"name": run.name, "description": run.description, "step": 6, "curve": []}
    about["training"] = run.model_dump(mode="json", exclude={"model"})
    card = model_card(save(trainer.model, folder / "m.safetensors", run.model, about=about))
    for text in ("# tiny", "A tiny model", "CC0", "anything", "Two disks.", "`a.npz`", "`b.npz`"):
        assert text in card
    assert "Not certified" in card
    assert "2 to denoise, 4 to reconstruct" in card


def test_the_card_of_a_strict_model_names_its_bound(folder):
    network = {"kind": "residual-strict", "features": 4, "layers": 2, "lipschitz": 0.9}
    run = config(folder, model={"network": network, "monotonicity": 0.1}, validate_every=6)
    weights = Trainer(run).run()
    assert "Certified: Lip(H) ≤ 0.9" in model_card(weights)
    assert (weights.parent / "card.md").read_text() == model_card(weights)
    assert "| 6 |" in model_card(weights)


def test_a_run_starts_from_a_trained_model(folder):
    network = {"kind": "residual-strict", "features": 4, "layers": 2, "lipschitz": 0.9}
    first = config(folder, model={"network": network, "monotonicity": 0.1}, validate_every=6)
    weights = Trainer(first).run()
    relaxed = {"kind": "residual", "features": 4, "layers": 2}
    second = config(
        folder,
        name="relaxed",
        initial=str(weights),
        model={"network": relaxed, "monotonicity": 0.1},
    )
    model = Trainer(second).model
    source = load(weights)
    x, level = torch.randn(1, 1, 8, 8, dtype=torch.complex64), torch.tensor([0.05])
    with torch.no_grad():
        assert torch.allclose(model.network(x, level), source.network(x, level), atol=1e-6)
        assert model.weight(level) == source.weight(level)
