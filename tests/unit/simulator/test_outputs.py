"""Outputs: killed at every step and resumed, nothing is missing and nothing is there twice."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest

import simulator.crew
import simulator.state
from simulator.crew import Plan, batches
from simulator.epoch import Chain
from simulator.errors import SimulatorError
from simulator.outputs import Output
from simulator.outputs.lines import LinesEncoder, LinesOutput
from simulator.outputs.parquet import TABLES, ParquetOutput
from simulator.run import Pace, Told, run
from simulator.state import load, save
from simulator.stream import Stream

from .streams import SMALL, epochs_of, replace, same

SHORT = replace(SMALL, duration=4, rate=60.0)
FAST = Pace(None)


class Killed(BaseException):
    """As if the process had ended there."""


def send(
    output: Output, stream: Stream = SHORT, pace: Pace = FAST, workers: int = 1, tell: Callable[[Told], None] = lambda told: None, state: Path | None = None
) -> bool:
    return run(stream, output, pace, workers, threading.Event(), tell, state)


def parquet(folder: Path, resume: bool = False) -> Output:
    return ParquetOutput(folder / "out", resume)


def ndjson(folder: Path, resume: bool = False) -> Output:
    return LinesOutput(str(folder / "out.ndjson"), str(folder / "labels.ndjson"), resume)


KINDS = pytest.mark.parametrize("kind", [parquet, ndjson])


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that was written, by name; locks and the shortcut apart."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.endswith((".lock", ".npz"))}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], dict[str, bytes]]:
    found: dict[Any, dict[str, bytes]] = {}

    def of(kind: Any) -> dict[str, bytes]:
        if kind not in found:
            folder = tmp_path_factory.mktemp("whole")
            assert send(kind(folder))
            found[kind] = contents(folder)
        return found[kind]

    return of


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process before its n-th step on the disk."""
    steps = 0

    def counted(call: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == number:
                raise Killed
            return call(*args, **kwargs)

        return step

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (os, "open")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def killed_runs(kind: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Run, killed one step later each time, each resumed from where the one before was killed."""
    for number in range(1, 400):
        output = kind(folder, resume=True)
        with monkeypatch.context() as patch:
            patch.setattr(type(output), "close", lambda self: self._place.release())  # a killed process tidies nothing up; its lock goes with it
            kill_at(patch, number)
            try:
                assert send(output)
                return
            except Killed:
                yield number
    raise AssertionError("it never came to its end")


@KINDS
def test_killed_at_any_step_and_resumed(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Any) -> None:
    kills = list(killed_runs(kind, tmp_path, monkeypatch))
    assert len(kills) > 5
    assert send(kind(tmp_path, resume=True))  # a last one, to the end, which finds nothing to do
    assert contents(tmp_path) == undisturbed(kind)


@KINDS
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_change_no_byte(kind: Any, workers: int, tmp_path: Path, undisturbed: Any) -> None:
    assert send(kind(tmp_path), workers=workers)
    assert contents(tmp_path) == undisturbed(kind)


def test_speed_changes_no_byte_and_is_kept(tmp_path: Path, undisturbed: Any) -> None:
    told: list[Told] = []
    began = time.monotonic()
    assert send(ndjson(tmp_path), pace=Pace(5.0), tell=told.append)
    assert time.monotonic() - began >= 1.0  # five epochs of a second, five times as fast
    assert contents(tmp_path) == undisturbed(ndjson)
    assert [t.batch.epoch for t in told] == [0, 1, 2, 3, 4]


@KINDS
def test_stopped_between_epochs_it_leaves_whole_epochs(kind: Any, tmp_path: Path, undisturbed: Any) -> None:
    stop = threading.Event()

    def after_two(told: Told) -> None:
        if told.batch.epoch == 1:
            stop.set()

    assert not run(SHORT, kind(tmp_path), FAST, 2, stop, after_two)
    for name, text in contents(tmp_path).items():
        assert name.endswith(".json") or undisturbed(kind)[name].startswith(text)
    assert send(kind(tmp_path, resume=True))
    assert contents(tmp_path) == undisturbed(kind)


@KINDS
def test_a_stream_that_is_there_is_not_written_over(kind: Any, tmp_path: Path) -> None:
    assert send(kind(tmp_path))
    with pytest.raises(SimulatorError, match=r"it holds a stream already\. Give --resume"):
        send(kind(tmp_path))
    with pytest.raises(SimulatorError, match=r"it holds another stream \(seed 7 → 8\)"):
        send(kind(tmp_path, resume=True), replace(SHORT, seed=8))


@KINDS
def test_two_at_once_are_refused(kind: Any, tmp_path: Path) -> None:
    first = kind(tmp_path)
    first.begin(SHORT)
    with pytest.raises(SimulatorError, match="another simulator is writing it"):
        send(kind(tmp_path, resume=True))
    first.close()
    assert send(kind(tmp_path, resume=True))


def test_a_file_that_lost_its_end_is_not_continued(tmp_path: Path) -> None:
    stop = threading.Event()
    run(SHORT, ndjson(tmp_path), FAST, 1, stop, lambda told: stop.set())
    (tmp_path / "out.ndjson").write_bytes(b"short\n")
    with pytest.raises(SimulatorError, match=r"Unable to resume .*: it has 6 bytes, and \d+ were written"):
        send(ndjson(tmp_path, resume=True))


@KINDS
@pytest.mark.parametrize("resume", [False, True])
def test_what_no_epoch_file_speaks_of_is_not_erased(kind: Any, resume: bool, tmp_path: Path) -> None:
    assert send(kind(tmp_path))
    for path in [*tmp_path.glob("*.epoch.json"), *tmp_path.glob("out/epoch.json")]:
        path.unlink()
    before = contents(tmp_path)
    with pytest.raises(SimulatorError, match=r"Unable to write .*: .* no .*epoch\.json .*\. Bring it back, or give another "):
        send(kind(tmp_path, resume))
    assert contents(tmp_path) == before


def test_a_file_of_labels_that_is_somebody_elses_is_not_erased(tmp_path: Path) -> None:
    (tmp_path / "labels.ndjson").write_bytes(b"mine\n")
    with pytest.raises(SimulatorError, match=r"Unable to write .*labels\.ndjson: it is not empty"):
        send(ndjson(tmp_path))
    with pytest.raises(SimulatorError, match=r"Unable to write .*labels\.ndjson: it is not empty"):
        LinesOutput("-", str(tmp_path / "labels.ndjson"), resume=False).begin(SHORT)
    assert (tmp_path / "labels.ndjson").read_bytes() == b"mine\n"


@pytest.mark.parametrize("labels", [True, False])
def test_labels_are_written_from_begin_to_end_or_not_at_all(labels: bool, tmp_path: Path) -> None:
    """Left out for a while they would lack what was sent meanwhile, and what was there would be cut off."""
    names = [str(tmp_path / "labels.ndjson"), None] if labels else [None, str(tmp_path / "labels.ndjson")]
    stop = threading.Event()
    run(SHORT, LinesOutput(str(tmp_path / "out"), names[0], resume=False), FAST, 1, stop, lambda told: stop.set())
    before = contents(tmp_path)
    with pytest.raises(SimulatorError, match=r"Unable to resume .*out: it was begun with(out)? --labels"):
        send(LinesOutput(str(tmp_path / "out"), names[1], resume=True))
    assert contents(tmp_path) == before


@KINDS
def test_a_full_disk_is_told_and_with_room_it_goes_on(kind: Any, tmp_path: Path, undisturbed: Any) -> None:
    whole = undisturbed(kind)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(map(len, whole.values())) - 100, hard))
    try:
        with pytest.raises(SimulatorError, match=r"Unable to write .*: File too large\. Make room, and go on with --resume"):
            send(kind(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert send(kind(tmp_path, resume=True))
    assert contents(tmp_path) == whole


@KINDS
@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_a_disk_that_fails_at_any_step_is_told(kind: Any, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Any) -> None:
    stop = threading.Event()
    run(SHORT, kind(tmp_path), FAST, 1, stop, lambda told: stop.set())
    if kind is parquet:
        (tmp_path / "out/events/epoch-0000000009.parquet").write_bytes(b"beyond")

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, full)
        if kind is parquet or step != "unlink":
            with pytest.raises(SimulatorError, match=r"Unable to write .*: No space left on device\. Make room, and go on with --resume"):
                send(kind(tmp_path, resume=True))
    assert send(kind(tmp_path, resume=True))
    assert contents(tmp_path) == undisturbed(kind)


@KINDS
def test_an_epoch_file_that_may_not_be_read_is_told(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / ("out/epoch.json" if kind is parquet else "out.ndjson.epoch.json")
    path.mkdir(parents=True)
    with pytest.raises(SimulatorError, match=r"Unable to read .*epoch\.json: Is a directory"):
        kind(tmp_path, resume=True).kept()


def test_a_record_of_the_epoch_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    send(parquet(tmp_path))
    (tmp_path / "out/epoch.json").write_text("{")
    with pytest.raises(SimulatorError, match="its record of the epoch cannot be read"):
        send(parquet(tmp_path, resume=True))


def test_stdout_cannot_be_resumed() -> None:
    with pytest.raises(SimulatorError, match="Unable to resume stdout"):
        LinesOutput("-", None, resume=True)


def test_parquet_holds_every_record_once(tmp_path: Path) -> None:
    records = epochs_of(SHORT)
    send(parquet(tmp_path))
    found = {name: ds.dataset(tmp_path / "out" / name).to_table() for name in TABLES}
    total = sum(len(r) for r in records)
    bad = sum(int((r.extra == 2).sum()) for r in records)
    assert bad
    assert found["events"].num_rows == total - bad
    assert found["malformed"].num_rows == bad
    assert found["labels"].num_rows == sum(int(((r.pattern > 0) & (r.extra == 0)).sum()) for r in records) > 0


@pytest.mark.parametrize("next_epoch", [0, 1, 3])
def test_the_kept_state_is_a_shortcut_and_nothing_else(next_epoch: int, tmp_path: Path) -> None:
    whole, chain, file = epochs_of(SMALL), Chain(SMALL), tmp_path / "state.npz"
    for _ in zip(range(next_epoch), batches(Plan(SMALL, 0, next_epoch), chain, LinesEncoder(), 1), strict=True):
        pass
    save(file, SMALL, chain)
    again = load(file, SMALL, 5)
    assert again.next == next_epoch
    assert all(same(a, b) for a, b in zip(epochs_of(SMALL, again), whole[next_epoch:], strict=True))
    assert load(file, replace(SMALL, seed=1), 5).next == 0
    assert load(file, SMALL, next_epoch - 1).next == 0
    file.write_bytes(file.read_bytes()[:100])
    assert load(file, SMALL, 5).next == 0
    file.write_bytes(b"")  # as after a power cut
    assert load(file, SMALL, 5).next == 0
    np.save(tmp_path / "other.npy", np.zeros(3))
    assert load(tmp_path / "other.npy", SMALL, 5).next == 0
    assert load(tmp_path / "none", SMALL, 5).next == 0


def test_state_is_used_by_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Any) -> None:
    monkeypatch.setattr(simulator.state, "SAVE_EVERY", 0.0)
    stop, state = threading.Event(), tmp_path / "state.npz"
    run(SHORT, ndjson(tmp_path), FAST, 1, stop, lambda told: stop.set() if told.batch.epoch == 2 else None, state)
    assert load(state, SHORT, 3).next == 3
    made: list[int] = []
    real = simulator.crew.make
    monkeypatch.setattr(simulator.crew, "make", lambda stream, epoch: (made.append(epoch), real(stream, epoch))[1])
    assert send(ndjson(tmp_path, resume=True), state=state)
    assert made == [3, 4]
    assert contents(tmp_path) == undisturbed(ndjson)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_the_state_it_counts_again_says_so_and_ends_when_asked(workers: int, tmp_path: Path, undisturbed: Any) -> None:
    stop, again = threading.Event(), threading.Event()
    run(SHORT, ndjson(tmp_path), FAST, 1, stop, lambda told: stop.set() if told.batch.epoch == 3 else None)
    sent = contents(tmp_path)
    seen: list[tuple[int, int]] = []

    def counting(epoch: int, of: int) -> None:
        seen.append((epoch, of))
        if epoch == 2:
            again.set()

    state = tmp_path / "state.npz"
    assert not run(SHORT, ndjson(tmp_path, resume=True), FAST, workers, again, lambda told: None, state, counting)
    assert contents(tmp_path) == sent
    assert seen == [(1, 4), (2, 4)]
    assert load(state, SHORT, 4).next == 2  # what was counted is kept
    again.clear()
    assert run(SHORT, ndjson(tmp_path, resume=True), FAST, workers, again, lambda told: None, state, counting)
    assert seen[2:] == [(3, 4), (4, 4)]
    assert contents(tmp_path) == undisturbed(ndjson)


def test_the_state_is_kept_as_soon_as_it_is_counted(tmp_path: Path) -> None:
    stop, state = threading.Event(), tmp_path / "state.npz"
    run(SHORT, ndjson(tmp_path), FAST, 1, stop, lambda told: stop.set() if told.batch.epoch == 2 else None)
    stop.clear()
    run(SHORT, ndjson(tmp_path, resume=True), FAST, 1, stop, lambda told: stop.set(), state)
    assert load(state, SHORT, 4).next == 3


@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_the_state_is_never_ahead_of_what_was_sent(stopped: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers make epochs ahead: a state of these would be of no use to who goes on before them."""
    monkeypatch.setattr(simulator.state, "SAVE_EVERY", 0.0)
    stop, state, long = threading.Event(), tmp_path / "state.npz", replace(SHORT, duration=8)
    run(long, ndjson(tmp_path), FAST, 3, stop, lambda told: stop.set() if told.batch.epoch == 3 + stopped else None, state)
    assert 0 < load(state, long, 4 + stopped).next <= 4 + stopped


def test_a_stream_that_is_at_its_end_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(ndjson(tmp_path))
    monkeypatch.setattr(simulator.crew, "make", None)
    assert send(ndjson(tmp_path, resume=True))


def test_a_worker_that_fails_is_told(tmp_path: Path) -> None:
    output = parquet(tmp_path)
    output.begin(SHORT)
    for path in (tmp_path / "out" / "events").parent.glob("events"):
        path.rmdir()
    with pytest.raises(SimulatorError, match=r"Unable to write .*events/epoch-0000000000\.parquet: No such file"):
        list(batches(Plan(SHORT, 0, 3), Chain(SHORT), output.encoder, 2))
