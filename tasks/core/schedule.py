"""Learning rates over time."""

import math


def cosine_with_warmup(step: int, num_steps: int, num_warmup_steps: int) -> float:
    """A factor on the learning rate: up linearly, then down to 0 along half a cosine
    (Loshchilov and Hutter, SGDR, 2017)."""
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    done = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
