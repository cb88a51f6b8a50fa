"""Networks run in the precision of their weights, whatever PyTorch's switches say."""

import torch

from molrecon.networks.precision import Arithmetic, full_precision


def test_full_precision_switches_off_what_is_on_and_back_again():
    """TF32 is PyTorch's default for convolutions."""
    before = Arithmetic.present("cuda")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        present = Arithmetic.present("cpu")
        assert present.autocast is torch.bfloat16
        with full_precision("cpu").entered():
            assert Arithmetic.present("cpu") == full_precision("cpu")
            assert not torch.is_autocast_enabled("cpu")
            with present.entered():
                assert Arithmetic.present("cpu") == present
        assert Arithmetic.present("cpu") == present
    assert Arithmetic.present("cuda") == before != full_precision("cuda")


def test_an_exception_switches_back_too():
    before = Arithmetic.present("cuda")
    try:
        with full_precision("cuda").entered():
            raise KeyError
    except KeyError:
        assert Arithmetic.present("cuda") == before
