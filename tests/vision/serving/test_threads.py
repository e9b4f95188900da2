import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from app.vision.serving.threads import use_threads


def test_a_thread_keeps_its_number_whatever_others_ask_for_later() -> None:
    before = torch.get_num_threads()
    asked, answered = threading.Event(), threading.Event()

    def work() -> int:
        use_threads(3)
        asked.set()
        assert answered.wait(10)
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        found = pool.submit(work)
        assert asked.wait(10)
        pool.submit(use_threads, 1).result()
        answered.set()
        assert found.result() == 3
    assert torch.get_num_threads() == before
    use_threads(before)
