"""Bring the stream to where it is wanted: everything that would fail it is looked at before, and its start is seen through."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from include.adapters.clients import Clients
from include.adapters.preflight import examine
from include.adapters.stream_start import see_start
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.resource import Outcome, ensure, plan
from include.lake.resources.stream import Stream
from include.lake.stream import MADE_FOR, NAME, misfit

RESTARTING = "stream-restart"  # a note in the lake's VM while a rotation restarts the stream: killed on the way, nothing else would tell that it ran
UNSETTLED = 120  # seconds after a restart by the spark-operator, within which another is likely


def stream_of(lake: Lake) -> Stream:
    """The declared stream. Raises LakeError when there is none."""
    if lake.stream is None:
        raise LakeError("find", "stream/payments", "the declaration has no payments", "./lake stream declare takes them into include/lake.yaml")
    return lake.stream


def bring(lake: Lake, parts: Clients, who: str, say: Callable[[str], None], *, run: bool = True, force: frozenset[str] = frozenset()) -> Outcome:
    """Let it run as declared, or end it at a batch boundary. Writes only when something differs, under the writers' lock.

    Raises LakeError when it does not run afterwards; then it says why in the driver's own words.
    """
    stream = stream_of(lake)
    wanted, namespace = stream if run else replace(stream, desired=None), stream.where.namespace
    if not run:
        parts.host.remove_note(RESTARTING)  # a restart that was killed is not gone on with
    todo, _ = plan(wanted, parts.streams)
    if not todo:
        if run and _unsettled(parts, namespace):
            say("it was started again a moment ago, or is about to be: looking whether it runs now")
            see_start(parts.streams, namespace, say, UNSETTLED)
        return Outcome(todo, applied=False)
    if run:
        if stands := parts.streams.halted(namespace):
            say(f"{NAME} has not run for {stands.seconds:,} s: {stands.error}. It is submitted again; the spark-operator would in {stands.again:,} s")
        ready(lake, parts)
    with parts.host.locked(who):
        outcome = ensure(wanted, parts.streams, force=force)
    if run and outcome.applied:
        see_start(parts.streams, namespace, say)
    return outcome


def ready(lake: Lake, parts: Clients) -> None:
    """Raise LakeError with everything that would fail it, each with its remedy."""
    stream = stream_of(lake)
    body = stream.body(parts.streams.surroundings())
    buckets = dict.fromkeys(urlsplit(p).netloc for p in (stream.payments.path, stream.payments.checkpoint))
    found = dict.fromkeys(problem for b in buckets for problem in examine(parts.kubernetes, parts.minio, body, b, lake.prefix_in(b)))
    problems = [*found, *_topic(stream, parts), *_checkpoint(stream, parts)]
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise LakeError("start", stream.id, "\n- ".join([f"{count} found before it was started", *problems]))


def renew(lake: Lake, parts: Clients, who: str, say: Callable[[str], None], due: Collection[str]) -> bool:
    """Restart the declared stream at a batch boundary when it is among those that are due (a rotation's), and go on with a restart that was killed. Whether it did."""
    if lake.stream is None:
        return False
    if NAME in due:
        say(f"{NAME} uses the old key: it ends at a batch boundary and begins anew with the new one")
    elif parts.host.note(RESTARTING) is None:
        return False
    else:
        say(f"a restart of {NAME} was not finished: going on with it")
    with parts.host.locked(who):
        if NAME in due:
            parts.host.write_note(RESTARTING, who)
            lake.stream.restart(parts.streams)
        else:
            ensure(lake.stream, parts.streams)
        parts.host.remove_note(RESTARTING)
    see_start(parts.streams, lake.stream.where.namespace, say)
    return True


def ours(lake: Lake) -> str:
    """The SparkApplication that `renew` restarts; empty when no stream is declared."""
    return NAME if lake.stream else ""


def _topic(stream: Stream, parts: Clients) -> Iterator[str]:
    if parts.kafka.topic(stream.payments.topic) is None:
        yield f"there is no topic {stream.payments.topic} in Kafka at {parts.kafka.servers}. Declare it (kafka.topics) and run lake_bootstrap"


def _checkpoint(stream: Stream, parts: Clients) -> Iterator[str]:
    """The driver looks as well, but by then the one that runs would have ended for it."""
    url = urlsplit(stream.payments.checkpoint)
    held = parts.minio.text(url.netloc, f"{url.path.strip('/')}/{MADE_FOR}".lstrip("/"))
    if held and (problem := misfit(stream.payments, held, parts.kafka.topic_id(stream.payments.topic))):
        yield problem


def _unsettled(parts: Clients, namespace: str) -> bool:
    """Whether the operator has started it again lately, or waits to do so: what ends it may go on to."""
    attempts, since = parts.streams.attempts(namespace)
    return (attempts > 1 and since < UNSETTLED) or parts.streams.halted(namespace) is not None
