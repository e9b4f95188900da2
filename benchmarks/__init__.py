"""What we claim about speed, measured: each module prints ratios against a peer or the bare network, from one run."""
