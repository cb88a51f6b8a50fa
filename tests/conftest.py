import signal

import pytest
import torch
from hypothesis import settings

# The same examples in every run, and one thread a worker: pytest-xdist fills the cores.
settings.register_profile("molrecon", derandomize=True, deadline=None)
settings.load_profile("molrecon")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def signals_of_a_terminal() -> None:
    """Heed the signals that a shell has its background jobs ignore: the tests send them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
