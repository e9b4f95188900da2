"""How many threads PyTorch's operations take."""

import torch


def use_threads(number: int) -> None:
    """In this thread `number`, whatever other threads ask for.

    `torch.set_num_threads` alone does not last: a thread's first operation sets it to what any thread asked for last.
    Asking how many there are counts as the first operation. Threads that start later begin with `number`, too.
    """
    torch.get_num_threads()
    torch.set_num_threads(number)
