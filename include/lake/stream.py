"""The stream of payments as a SparkApplication: what it is made of, and what tells one from another.

Source for restarts: `restartPolicy` in the API reference of spark-operator 2.5. It waits attempts × interval, counted from the last submission.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.lake.s3a import s3a_profile
from include.lake.secret import Secret
from include.lake.spark import STREAM, Job, Where, application, named, short_error, standing
from include.lake.spec.streams import Payments

NAME = "payments-stream"
MAIN = "payments_stream.py"
MODULES = (
    "payments_alerts.py",
    "payments_events.py",
    "payments_files.py",
    "payments_kafka.py",
    "payments_log.py",
    "payments_store.py",
)  # of jobs/: what it imports
FILES = (MAIN, *MODULES)  # what its ConfigMap holds
DIGEST = "homelake/digest"  # the annotation that says what an application was made from
ONCE = "once"  # the label STREAM of a micro batch, which writes to the same checkpoint and ends by itself
MADE_FOR = "homelake.json"  # in the checkpoint: what the first driver made it for
STOP_FILE = "/tmp/homelake-stop"  # in the driver's container: it ends at a batch boundary once it is there
KAFKA_SECRET, KAFKA_MOUNT, PROPERTIES = "payments-kafka", "/opt/homelake/kafka", "client.properties"
RETRIES, RETRY_SECONDS = 1_000_000, 10  # as good as without end: what a restart does not mend is the driver's exit code 2
UNFIT = 2  # the driver's exit code when it cannot run as declared
HALT_SECONDS = 60  # without a driver at work, after which it does not run as declared
_UNABLE = re.compile(r"Unable to [^:]+: (.+)")  # how a driver says why it ends
_HALTED = ("FAILING", "PENDING_RERUN", "SUBMISSION_FAILED")  # the operator's words for what it will start again


@dataclass(frozen=True)
class Halt:
    """No driver is at work, and the operator waits before it starts one: for how many `seconds` it is so, and in how many it tries `again` (0: now)."""

    state: str
    error: str
    seconds: int
    again: int


def halt(application: Mapping[str, Any], now: datetime) -> Halt | None:
    """Whether an application stands still between two tries. Nothing resets the operator's count of them, so a try may be half an hour away."""
    found, status = standing(application), application.get("status") or {}
    if found.state not in _HALTED:
        return None
    written = [m["time"] for m in application["metadata"].get("managedFields", ()) if m.get("subresource") == "status" and m.get("time")]
    last = status.get("lastSubmissionAttemptTime")
    began = status.get("terminationTime") or max(written, default=last)
    waits = RETRY_SECONDS * int(status.get("submissionAttempts") or 0) if found.state != "PENDING_RERUN" else 0
    return Halt(found.state, short_error(found.error), round(since(began, now)), max(0, waits - round(since(last, now))))


def last_words(log: Iterable[str]) -> str:
    """Why a driver ended, by what its log says; empty when it does not."""
    return ([m[1] for line in log if (m := _UNABLE.search(line))] or [""])[-1].rstrip(". ")


@dataclass(frozen=True)
class Surroundings:
    """What only a client knows of a stream: the lake's endpoint, Kafka's servers, the files that Kafka's log-in takes (with PROPERTIES
    among them; none: it takes none), and the text of the job."""

    endpoint: str
    bootstrap: str
    kafka: frozenset[tuple[str, Secret]]
    files: Mapping[str, str]


def arguments(payments: Payments, around: Surroundings, *, once: bool = False) -> tuple[str, ...]:
    """The arguments of the job. With `once` it takes what is there, and ends."""
    given = {
        "bootstrap": around.bootstrap, "topic": payments.topic, "path": _folder(payments.path), "checkpoint": _folder(payments.checkpoint),
        "trigger": _plain(payments.trigger), "duplicates-within": _plain(payments.duplicates_within), "late-after": _plain(payments.late_after),
        "max-records": str(payments.max_records), **({"kafka-config": f"{KAFKA_MOUNT}/{PROPERTIES}"} if around.kafka else {}),
    }  # fmt: skip
    return (*(word for name, value in given.items() for word in (f"--{name}", value)), *(("--once",) if once else ()))


def misfit(payments: Payments, checkpoint: str, topic_id: str | None = None) -> str | None:
    """Why the stream cannot go on from a checkpoint that holds this text in MADE_FOR (jobs/payments_log.py writes it); None: it can, or only its driver can tell.

    `topic_id`: Kafka's, where it is known; a checkpoint of before has none.
    """
    try:
        theirs = dict(json.loads(checkpoint))
        within = float(theirs["duplicates_within"])
    except (ValueError, TypeError, KeyError):
        return None
    mine = {"topic": payments.topic, "path": _folder(payments.path)}
    other = [f"{name} {theirs.get(name)!r} (now {value!r})" for name, value in mine.items() if theirs.get(name) != value]
    if topic_id and theirs.get("topic_id", topic_id) != topic_id:
        other.append(f"topic_id {theirs['topic_id']!r} (now {topic_id!r})")
    if within != payments.duplicates_within:
        other.append(f"duplicates_within {_plain(within)} s (now {_plain(payments.duplicates_within)} s)")
    if not other:
        return None
    return f"its checkpoint {_folder(payments.checkpoint)} was made for {', '.join(other)}. Declare that again, or a new checkpoint and a new path"


def payments_job(payments: Payments, main: str, given: tuple[str, ...] = (), modules: tuple[str, ...] = ()) -> Job:
    """A job on the payments, of the size that is declared for them: its file, its arguments, and the modules that it imports."""
    return Job(main, given, payments.memory, payments.memory, payments.executors, cpu_request=payments.cpu_request, modules=modules)


def stream_application(payments: Payments, where: Where, region: str, around: Surroundings, *, once: bool = False) -> dict[str, Any]:
    """The SparkApplication, without its name. One that runs on is restarted when it fails, and never cleared away."""
    body = application(
        payments_job(payments, MAIN, arguments(payments, around, once=once)),
        where,
        s3a_profile(around.endpoint, region) | {"spark.kubernetes.executor.deleteOnTermination": "true"},
    )
    body["metadata"]["labels"][STREAM] = ONCE if once else "true"
    if around.kafka:
        body["spec"]["volumes"] = [{"name": "kafka", "secret": {"secretName": KAFKA_SECRET}}]
        for role in ("driver", "executor"):
            body["spec"][role]["volumeMounts"] = [*body["spec"][role]["volumeMounts"], {"name": "kafka", "mountPath": KAFKA_MOUNT, "readOnly": True}]
    if not once:
        del body["spec"]["timeToLiveSeconds"]
        body["spec"]["restartPolicy"] = {"type": "OnFailure", "onFailureRetries": RETRIES, "onFailureRetryInterval": RETRY_SECONDS,
                                         "onSubmissionFailureRetries": RETRIES, "onSubmissionFailureRetryInterval": RETRY_SECONDS}  # fmt: skip
    return body


def signed(body: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """The application under its name, with the digest of it and of its job's text as an annotation."""
    whole = named(body, NAME)
    digest = hashlib.sha256(json.dumps([whole, dict(files)], sort_keys=True).encode()).hexdigest()[:16]
    return {**whole, "metadata": {**whole["metadata"], "annotations": {DIGEST: digest}}}


def digest_of(body: Mapping[str, Any]) -> str:
    """The digest that an application carries; empty when it has none, as one that somebody else made."""
    return str((body["metadata"].get("annotations") or {}).get(DIGEST, ""))


def since(text: str | None, now: datetime) -> float:
    """Seconds from a time that the operator wrote; 0 when it wrote none, or has a clock that is ahead."""
    return max(0.0, (now - datetime.fromisoformat(text)).total_seconds()) if text else 0.0


def _plain(seconds: float) -> str:
    """Every digit of them, and never an exponent."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _folder(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"
