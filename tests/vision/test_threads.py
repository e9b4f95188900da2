import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from app.vision.threads import (
    all_for_each_operation,
    each,
    one_for_each_operation,
    side_by_side,
    threads_at_hand,
    use_threads,
)


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


def test_parts_go_on_beside_each_other_each_with_one_thread_and_nobody_else_gets_fewer() -> None:
    before = torch.get_num_threads()
    met = threading.Barrier(2)

    def work(part: int) -> tuple[int, int]:
        met.wait(10)
        return part, torch.get_num_threads()

    assert side_by_side(work, [7, 8]) == [(7, 1), (8, 1)]
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_a_part_that_fails_is_told_when_all_have_ended() -> None:
    ended = threading.Event()

    def work(part: int) -> None:
        if part == 0:
            raise LookupError(part)
        threading.Event().wait(0.2)
        ended.set()

    with pytest.raises(LookupError):
        side_by_side(work, [0, 1])
    assert ended.is_set()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("number", [1, 2, 5, 7])
def test_each_part_is_worked_on_and_answered_in_order(threads: int, number: int) -> None:
    before = torch.get_num_threads()
    use_threads(threads)
    assert each(lambda part: part * part, range(number)) == [part * part for part in range(number)]
    use_threads(before)


def test_operations_have_one_thread_and_work_has_as_many_as_they_had() -> None:
    before = torch.get_num_threads()
    use_threads(3)
    assert threads_at_hand() == 3
    with one_for_each_operation():
        assert (torch.get_num_threads(), threads_at_hand()) == (1, 3)
        with one_for_each_operation():
            assert (torch.get_num_threads(), threads_at_hand()) == (1, 3)
        assert (torch.get_num_threads(), threads_at_hand()) == (1, 3)
        assert all_for_each_operation(lambda _: torch.get_num_threads(), [1, 2]) == [3, 3]
        assert torch.get_num_threads() == 1
        assert each(lambda _: threads_at_hand(), range(4)) == [1] * 4, "what goes on beside others is not spread again"
    assert (torch.get_num_threads(), threads_at_hand()) == (3, 3)
    use_threads(before)


def test_sums_are_the_same_alone_and_beside_each_other() -> None:
    before = torch.get_num_threads()
    use_threads(2)
    values = torch.randn(3_000_001, generator=torch.Generator().manual_seed(0))
    with one_for_each_operation():
        alone = each(lambda part: part.norm(), [values])
        beside = each(lambda part: part.norm(), [values, values, values])
    use_threads(before)
    assert all(torch.equal(one, alone[0]) for one in beside)
