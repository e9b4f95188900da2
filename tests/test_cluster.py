from pathlib import Path

import pytest

from benchmarks.cluster import running_cluster, under_attack


@pytest.mark.slow
def test_whatever_falls_every_job_ends_once_and_clients_see_nothing_but_come_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker and a service are killed, the database restarted, the store gone for ten seconds, and all rolled."""
    try:
        with running_cluster(logs=tmp_path) as cluster:
            load = under_attack(cluster, jobs=24, clients=8, rounds=1, seed=0, tell=print)
            accepted = cluster.accepted()
            told = "" if load.is_well(24) else f"{load.table()}\n{cluster.warnings()}"
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with capsys.disabled():
        print(load.table())
    assert load.ends == {"succeeded": 24}, told
    assert len(load.jobs) == accepted == 24, f"a request that was repeated made a second job\n{told}"
    assert load.unexpected() == {}, told
