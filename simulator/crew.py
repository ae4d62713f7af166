"""Who makes the epochs: this process, or several workers that take them in turn. Both give the same batches in the same order."""

import signal
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from simulator.epoch import Chain, Counts, finish, make
from simulator.errors import SimulatorError
from simulator.outputs.base import Batch, Encoder
from simulator.stream import Stream


@dataclass(frozen=True)
class Plan:
    """Which epochs are to be made: those before `first` are only counted, from where the chain stands; `end` is None without an end."""

    stream: Stream
    first: int
    end: int | None


Counted = Callable[[int], bool]  # is told of each epoch that is only counted, and says whether to go on


def batches(plan: Plan, chain: Chain, encoder: Encoder, workers: int, counted: Counted = lambda epoch: True) -> Generator[Batch, None, None]:
    """The batches from `first` on; none when `counted` says to end before. Closing the iterator ends the workers."""
    return _alone(plan, chain, encoder, counted) if workers == 1 else _crew(plan, chain, encoder, workers, counted)


def _epochs(plan: Plan, begin: int, step: int) -> Iterator[int]:
    epoch = begin
    while plan.end is None or epoch < plan.end:
        yield epoch
        epoch += step


def _alone(plan: Plan, chain: Chain, encoder: Encoder, counted: Counted) -> Generator[Batch, None, None]:
    for epoch in _epochs(plan, chain.next, 1):
        made, counts = make(plan.stream, epoch)
        due = chain.advance(counts)
        if epoch >= plan.first:
            yield encoder(plan.stream, epoch, finish(plan.stream, epoch, made, counts, due))
        elif not counted(epoch):
            return


def _crew(plan: Plan, chain: Chain, encoder: Encoder, workers: int, counted: Counted) -> Generator[Batch, None, None]:
    context = get_context("spawn")  # Arrow and numpy have threads, which a fork would lose
    begin, ends, processes = chain.next, [], []
    try:
        for n in range(workers):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, plan, encoder, begin + n, workers), daemon=True, name=f"simulator-{n}")
            process.start()
            theirs.close()
            ends.append(mine)
            processes.append(process)
        waiting: list[int] = []
        for epoch in _epochs(plan, begin, 1):
            end = ends[(epoch - begin) % workers]
            counts = _received(end)
            assert isinstance(counts, Counts)
            due = chain.advance(counts)
            if epoch < plan.first:
                if not counted(epoch):
                    return
                continue
            end.send(due)
            waiting.append(epoch)
            # Its own worker is busy with it now; the one before it should be ready.
            if len(waiting) == workers:
                yield _batch(ends, waiting.pop(0), begin)
        while waiting:
            yield _batch(ends, waiting.pop(0), begin)
    finally:
        for end in ends:
            end.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


def _batch(ends: list[Connection], epoch: int, begin: int) -> Batch:
    found = _received(ends[(epoch - begin) % len(ends)])
    assert isinstance(found, Batch)
    return found


def _received(end: Connection) -> object:
    try:
        found = end.recv()
    except (EOFError, ConnectionResetError):
        raise SimulatorError("make", "the next epoch", "a worker has ended", "See what it said above; memory may be short: give fewer --workers") from None
    if isinstance(found, Exception):
        raise found
    return found


def _work(end: Connection, plan: Plan, encoder: Encoder, begin: int, step: int) -> None:
    # A signal is the coordinator's business; it ends a worker by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        for epoch in _epochs(plan, begin, step):
            made, counts = make(plan.stream, epoch)
            end.send(counts)
            if epoch >= plan.first:
                end.send(encoder(plan.stream, epoch, finish(plan.stream, epoch, made, counts, end.recv())))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except SimulatorError as error:
        end.send(error)
