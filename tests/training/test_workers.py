"""Tasks in worker processes: those of the seeds, the folds and the runs of a sweep."""

import os
import signal

import pytest

from deepSTRF.training.workers import Failure, count_processes, run_tasks


def test_outcomes_come_with_their_positions_and_what_fails_costs_nothing_else():
    outcomes = dict(run_tasks(lambda x: 1 / x, [1, 0, 2]))
    assert outcomes[0] == 1
    assert outcomes[2] == 0.5
    assert isinstance(outcomes[1], Failure)
    assert outcomes[1].reason == "ZeroDivisionError: division by zero"
    assert outcomes[1].text.startswith("Traceback")
    assert list(run_tasks(abs, [])) == []


def test_in_this_process_outcomes_come_one_by_one():
    begun = []
    outcomes = run_tasks(begun.append, [3, 4])
    next(outcomes)
    assert begun == [3]


@pytest.mark.parametrize(
    ("n_jobs", "error"), [(0, ValueError), (1.5, TypeError), (None, TypeError), ("2", TypeError), (True, TypeError)]
)
def test_numbers_of_processes_that_are_none(n_jobs, error):
    with pytest.raises(error, match="n_jobs must be"):
        count_processes(n_jobs)


def test_negative_numbers_count_from_the_cores(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    assert [count_processes(n_jobs) for n_jobs in (-1, -2, -9, 3)] == [4, 3, 1, 3]


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_tried_once_more_alone_and_the_others_end(tmp_path):
    def task(number):
        with (tmp_path / str(number)).open("a") as file:
            file.write("x")
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * number

    outcomes = dict(run_tasks(task, [0, 1, 2], 2))
    assert (outcomes[0], outcomes[2]) == (0, 20)
    assert outcomes[1].reason.startswith("its worker process died: ")
    assert len((tmp_path / "1").read_text()) == 2
