"""What a Spark job uses, kept in the lake when it ends: whoever sees the job through has it looked at meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from include.adapters.metrics.collector import Collector
from include.adapters.metrics.past import Past
from include.lake.errors import LakeError

EVERY = 10.0  # seconds: a kubelet measures no oftener


@contextmanager
def recorded(collector: Collector, past: Callable[[], Past], namespace: str, name: str, say: Callable[[str], None]) -> Iterator[None]:
    """While the block lasts the job is looked at; at its end, also an end by an error, its figures go to the lake.

    What keeps them from being kept is said, and fails nothing: the job's own end is what counts.
    """
    collector.start()
    try:
        yield
    finally:
        collector.stop()
        try:
            last = next((a for a in collector.sweep().applications if a.name == name), None)
            if last is not None:
                key = past().write(last, {pod: series.as_json() for pod, series in collector.series(namespace, name).items()})
                say(f"what it used is kept in the lake: {key}")
        except LakeError as error:
            say(f"what it used is not kept: {error}")
