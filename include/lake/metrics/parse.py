"""Kubernetes' own JSON, made samples: the kubelet's summary, pods, SparkApplications, events. Objects stay dicts: models of thousands are slow.

Raises KeyError, TypeError, ValueError or AttributeError for what is not such a document.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from include.lake.metrics.samples import ApplicationFact, EventFact, PodFact, PodUse
from include.lake.spark import APP_LABEL, STREAM, standing

Document = Mapping[str, Any]
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)  # what the functions here, and in parse_spark.py, raise
ROLE, EXECUTOR, APPLICATION_ID = "spark-role", "spark-exec-id", "spark-app-selector"  # Spark's labels of its pods
OURS = "homelake/"
_SUFFIXES = {"": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
             "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}  # fmt: skip


def quantity(text: object) -> float | None:
    """Kubernetes' quantity as a number: `500m` is 0.5, `1Gi` is 2**30; None when there is none.

    >>> quantity("896Mi")
    939524096.0
    """
    if text is None:
        return None
    number = str(text)
    digits = number.rstrip("KMGTPEikmun") if number[-1:].isalpha() else number
    return float(digits) * _SUFFIXES[number[len(digits) :]]


def moment(text: str | None) -> float | None:
    """Seconds since 1970 from Kubernetes' text of a time."""
    return datetime.fromisoformat(text).timestamp() if text else None


def items(document: Document) -> list[Document]:
    """The objects of a list."""
    found = document["items"]
    if not isinstance(found, list):
        raise TypeError("items is no list")
    return found


def summary(document: Document, uids: Mapping[tuple[str, str], str]) -> list[PodUse]:
    """Use of these pods, {(namespace, name): uid}, out of one node's `/stats/summary`.

    CPU and memory are the pod's own; where the kubelet has none yet, its containers' together, by the moment of the oldest.
    """
    found = []
    for pod in document["pods"] or ():
        ref = pod["podRef"]
        if uids.get((ref["namespace"], ref["name"])) == ref["uid"] and (use := _use(pod)) is not None:
            found.append(use)
    return found


def _use(pod: Document) -> PodUse | None:
    containers = pod.get("containers") or ()
    cpus = [pod["cpu"]] if pod.get("cpu") else [c["cpu"] for c in containers if c.get("cpu")]
    memories = [pod["memory"]] if pod.get("memory") else [c["memory"] for c in containers if c.get("memory")]
    at = min((t for part in cpus or memories if (t := moment(part.get("time"))) is not None), default=None)
    if at is None:
        return None
    network = pod.get("network") or {}
    cpu, seconds = _sum(cpus, "usageNanoCores"), _sum(cpus, "usageCoreNanoSeconds")
    return PodUse(
        namespace=pod["podRef"]["namespace"],
        pod=pod["podRef"]["name"],
        at=at,
        cpu=None if cpu is None else cpu / 1e9,
        cpu_seconds=None if seconds is None else seconds / 1e9,
        memory=_sum(memories, "workingSetBytes"),
        received=_sum([network], "rxBytes"),
        sent=_sum([network], "txBytes"),
        disk=_sum([pod.get("ephemeral-storage") or {}], "usedBytes"),
        network_at=moment(network.get("time")),
    )


def _sum(parts: Iterable[Document], name: str) -> float | None:
    """Of all that have it; None when none has."""
    values = [float(v) for part in parts if (v := part.get(name)) is not None]
    return sum(values) if values else None


def pod(document: Document) -> PodFact:
    """A driver's or an executor's pod."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    labels, containers = metadata.get("labels") or {}, spec.get("containers") or ()
    reason, message, exit_code, ended = _ending(status)
    if status.get("phase") in ("Succeeded", "Failed") and ended is None:
        ended = max((t for c in status.get("conditions") or () if (t := moment(c.get("lastTransitionTime"))) is not None), default=None)
    role = labels.get(ROLE, "")
    return PodFact(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        application=labels.get(APP_LABEL, ""),
        role=role,
        executor="driver" if role == "driver" else labels.get(EXECUTOR, ""),
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "Unknown",
        reason=reason,
        message=message,
        exit_code=exit_code,
        created=moment(metadata.get("creationTimestamp")),
        started=moment(status.get("startTime")),
        ended=ended,
        cpu_request=_asked(containers, "requests", "cpu"),
        cpu_limit=_asked(containers, "limits", "cpu"),
        memory_request=_asked(containers, "requests", "memory"),
        memory_limit=_asked(containers, "limits", "memory"),
    )


def spark_id(document: Document) -> str:
    """Spark's own id of the application that a pod belongs to, by which its REST API is asked."""
    return str((document["metadata"].get("labels") or {}).get(APPLICATION_ID, ""))


def _asked(containers: Iterable[Document], kind: str, what: str) -> float | None:
    """The containers' sum; a limit that one of them lacks is no limit at all."""
    values = [quantity(((c.get("resources") or {}).get(kind) or {}).get(what)) for c in containers]
    told = [v for v in values if v is not None]
    return sum(told) if told and (kind == "requests" or len(told) == len(values)) else None


def _ending(status: Document) -> tuple[str, str, int | None, float | None]:
    """Reason, message, exit code and moment of how a pod waits or has ended. A pod runs on while one of its containers does."""
    states = [c.get("state") or {} for c in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))]
    ends = [s["terminated"] for s in states if s.get("terminated")]
    waits = [s["waiting"] for s in states if s.get("waiting")]
    # What ended badly tells more than what ended well beside it. A killed container may exit with 0: Spark's driver tells it to go on ending.
    worst = max(ends, key=lambda e: (e.get("reason") == "OOMKilled", e.get("exitCode") or 0), default=None)
    over = status.get("phase") in ("Succeeded", "Failed")
    ended = max((t for e in ends if (t := moment(e.get("finishedAt"))) is not None), default=None) if over else None
    code = worst.get("exitCode") if worst and (over or worst.get("exitCode")) else None
    if status.get("reason"):
        return status["reason"], status.get("message") or "", code, ended
    for told in (*waits, *([worst] if worst else ())):
        if told.get("reason") not in (None, "Completed"):
            return told["reason"], (told.get("message") or "").strip(), code, ended
    unplaced = [c for c in status.get("conditions") or () if c.get("type") == "PodScheduled" and c.get("status") == "False"]
    if unplaced and status.get("phase") == "Pending":
        return unplaced[0].get("reason") or "Unschedulable", unplaced[0].get("message") or "", None, None
    return "", "", code, ended


def application(document: Document) -> ApplicationFact:
    """A SparkApplication."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    now = standing(document)
    return ApplicationFact(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        state=now.state,
        error=now.error,
        created=moment(metadata.get("creationTimestamp")),
        started=moment(status.get("lastSubmissionAttemptTime")),
        ended=moment(status.get("terminationTime")),
        driver=now.driver,
        stream=(metadata.get("labels") or {}).get(STREAM) == "true",
        main=(spec.get("mainApplicationFile") or "").rsplit("/", 1)[-1],
        arguments=tuple(str(a) for a in spec.get("arguments") or ()),
        annotations={k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith(OURS)},
    )


def event(document: Document) -> EventFact:
    """A warning. Its moment is the latest that it tells of itself: which of them is set depends on who wrote it."""
    metadata, series = document["metadata"], document.get("series") or {}
    times = (series.get("lastObservedTime"), document.get("lastTimestamp"), document.get("eventTime"), metadata.get("creationTimestamp"))
    return EventFact(
        namespace=metadata["namespace"],
        subject=document["involvedObject"].get("name") or "",
        at=max((t for text in times if (t := moment(text)) is not None), default=0),
        reason=document.get("reason") or "",
        message=(document.get("message") or "").strip(),
    )
