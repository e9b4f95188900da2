"""What we claim about speed, measured: each module prints ratios against a peer or the bare network, from one run."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the worker has it; read when torch is loaded
