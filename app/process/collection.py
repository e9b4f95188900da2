"""When Python looks for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_collected() -> Iterator[None]:
    """What is made in here, modules above all, stays until the process ends, and no collection ever looks at it.

    Looking took a tenth of the time that importing PyTorch takes, and later held up every answer for half a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
