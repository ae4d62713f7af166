"""Questions at once, with a time limit for all."""

import itertools
import threading
from collections.abc import Callable

from include.adapters.metrics.parallel import FIRST_REST, LONGEST_REST, Answer, Parallel
from include.lake.errors import LakeError


def ask(pool: Parallel[str, int], limit: float = 5, **questions: Callable[[], int]) -> dict[str, Answer[int]]:
    pool.begin(questions)
    return pool.end(questions, limit)


def failing() -> int:
    raise LakeError("read", "it", "it is away")


def test_answers_come_by_their_keys() -> None:
    assert ask(Parallel(2), a=lambda: 1, b=lambda: 2) == {"a": Answer(1), "b": Answer(2)}


def test_who_is_late_is_heard_in_the_next_round() -> None:
    pool: Parallel[str, int] = Parallel(2)
    go, times = threading.Event(), [0]

    def slow() -> int:
        times[0] += 1
        go.wait(10)
        return 7

    assert ask(pool, 0.05, a=slow, b=lambda: 2) == {"a": Answer(late=True), "b": Answer(2)}
    assert ask(pool, 0.05, a=slow)["a"].late
    go.set()
    assert ask(pool, a=slow) == {"a": Answer(7)}
    assert times == [1]


def test_who_fails_is_left_alone_for_longer_and_longer_and_its_error_stands() -> None:
    now, pool, times = [0.0], Parallel[str, int](2, clock=lambda: now[0]), []

    def fails() -> int:
        times.append(now[0])
        return failing()

    for second in range(300):
        now[0] = float(second)
        assert str(ask(pool, a=fails)["a"].error) == "Unable to read it: it is away."
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == [FIRST_REST, 8, 16, 32, LONGEST_REST, LONGEST_REST, LONGEST_REST]


def test_a_good_answer_ends_the_rest() -> None:
    now, pool = [0.0], Parallel[str, int](2, clock=lambda: now[0])
    ask(pool, a=failing)
    now[0] = FIRST_REST
    assert ask(pool, a=lambda: 1) == {"a": Answer(1)}
    ask(pool, a=failing)
    now[0] += FIRST_REST
    assert ask(pool, a=lambda: 3) == {"a": Answer(3)}, "the rest is the first one again"


def test_who_is_no_more_asked_is_forgotten() -> None:
    pool: Parallel[str, int] = Parallel(2, clock=lambda: 0)
    ask(pool, a=failing)
    ask(pool, b=lambda: 1)
    assert ask(pool, a=lambda: 5) == {"a": Answer(5)}
