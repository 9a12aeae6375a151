"""What featlab's kernels, attacks, training and tasks cost, beside PyTorch and the peers: `python -m benchmarks`.

Rivals run interleaved in one process on the same inputs; a row gives medians with 20 % and 80 % percentiles, and the
conditions that they were measured under. A peer that is missing or fails is a row that says so.
"""
