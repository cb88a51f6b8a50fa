import torch
from hypothesis import settings

# The same examples in every run, and one thread a worker: pytest-xdist fills the cores.
settings.register_profile("molrecon", derandomize=True, deadline=None)
settings.load_profile("molrecon")
torch.set_num_threads(1)
