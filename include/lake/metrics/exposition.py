"""The same figures for Prometheus. Names and units are by its conventions: base units, counters end in `_total`."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from include.lake.metrics.view import ApplicationView, PodView, Snapshot

POD = ("namespace", "application", "pod", "role")
APPLICATION = ("namespace", "application")
QUERY = (*APPLICATION, "query")
PHASES = ("waiting", "running", "done", "failed", "lost")
STATUSES = ("ok", "pending", "changes", "known after apply", "refused", "unreachable")


class _Families:
    """Metrics by their names, each with its help and labels, filled one after another."""

    def __init__(self) -> None:
        self.all: dict[str, Metric] = {}

    def gauge(self, name: str, text: str, labels: Mapping[str, str], value: float | None) -> None:
        """A value that goes up and down; None is none."""
        self._add(GaugeMetricFamily, name, text, labels, value)

    def counter(self, name: str, text: str, labels: Mapping[str, str], value: float | None) -> None:
        """A value that only grows; the name without `_total`."""
        self._add(CounterMetricFamily, name, text, labels, value)

    def _add(self, kind: type[Any], name: str, text: str, labels: Mapping[str, str], value: float | None) -> None:
        if value is None:
            return
        name = f"homelake_{name}"
        if name not in self.all:
            self.all[name] = kind(name, text, labels=tuple(labels))
        self.all[name].add_metric(tuple(labels.values()), float(value))  # type: ignore[attr-defined]


class _Collected:
    """What prometheus_client takes for a registry."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        yield from self._metrics


def exposition(snapshot: Snapshot | None, lake: Mapping[str, Any] | None) -> str:
    """The page of a scrape. What was not measured is left out: an absent series is not zero. `lake`: the lake's view as JSON."""
    return generate_latest(_Collected(families(snapshot, lake))).decode()


def families(snapshot: Snapshot | None, lake: Mapping[str, Any] | None) -> list[Metric]:
    """Every metric with its samples."""
    found = _Families()
    if snapshot is not None:
        _collector(found, snapshot)
        for application in snapshot.applications:
            _application(found, application)
            for pod in application.pods:
                _pod(found, application, pod)
    if lake is not None:
        _lake(found, lake)
    return list(found.all.values())


def _collector(found: _Families, snapshot: Snapshot) -> None:
    found.gauge("collector_sweep_timestamp_seconds", "When the cluster was last looked at.", {}, snapshot.at)
    found.gauge("collector_sweep_duration_seconds", "How long that took.", {}, snapshot.took)
    found.gauge("collector_sweep_requests", "How many requests it cost.", {}, snapshot.calls)
    found.gauge("collector_problems", "How many sources did not answer.", {}, len(snapshot.problems))


def _application(found: _Families, a: ApplicationView) -> None:
    labels = {"namespace": a.namespace, "application": a.name}
    for phase in PHASES:
        found.gauge("spark_application_phase", "1 for the phase that the application is in.", labels | {"phase": phase}, float(a.phase == phase))
    found.gauge("spark_application_start_timestamp_seconds", "When it was started.", labels, a.started)
    found.gauge("spark_application_end_timestamp_seconds", "When it ended.", labels, a.ended)
    t, w = a.totals, a.waste
    for state in ("pending", "running"):
        found.gauge("spark_application_tasks", "Tasks that wait or run.", labels | {"state": state}, getattr(t, state))
    for result in ("done", "failed"):
        found.counter("spark_application_tasks_ended", "Tasks that ended, by how.", labels | {"result": result}, getattr(t, result))
    for kind, counted in (("input", "read"), ("output", "written")):
        found.counter(f"spark_application_{kind}_bytes", f"Bytes {counted}.", labels, getattr(t, f"{kind}_bytes"))
        found.counter(f"spark_application_{kind}_rows", f"Rows {counted}.", labels, getattr(t, f"{kind}_rows"))
    found.counter("spark_application_shuffle_read_bytes", "Bytes of shuffles read.", labels, t.shuffle_read)
    found.counter("spark_application_shuffle_written_bytes", "Bytes of shuffles written.", labels, t.shuffle_written)
    found.counter("spark_application_executors_lost", "Executors that ended before the application did.", labels, a.churn.lost)
    found.counter("spark_application_out_of_memory_kills", "Pods killed for want of memory.", labels, a.churn.out_of_memory)
    # The count begins anew with the process that counts; the moment does not, so the alert goes by it.
    found.gauge("spark_application_out_of_memory_timestamp_seconds", "When a pod was last killed for want of memory.", labels, a.churn.out_of_memory_at)
    found.counter("spark_application_cpu_requested_core_seconds", "Cores asked for, times seconds.", labels, w.core_seconds_requested)
    found.counter("spark_application_cpu_used_core_seconds", "Cores used, times seconds.", labels, w.core_seconds_used)
    found.counter("spark_application_memory_requested_byte_seconds", "Memory asked for, times seconds.", labels, w.byte_seconds_requested)
    found.counter("spark_application_memory_used_byte_seconds", "Memory used, times seconds.", labels, w.byte_seconds_used)
    if a.phase == "running":
        found.gauge("spark_application_driver_answers", "1 while the driver of an application that runs tells what it does.", labels, float(not a.problem))
    for q in a.queries:
        of = labels | {"query": q.name}
        found.gauge("stream_input_rows_per_second", "Rows that come in.", of, q.input_rate)
        found.gauge("stream_processed_rows_per_second", "Rows that are processed.", of, q.processing_rate)
        found.gauge("stream_batch_duration_seconds", "How long the newest batch took.", of, q.batch_seconds)
        found.gauge("stream_lag_records", "Kafka's records that are not read yet.", of, q.behind)
        found.gauge("stream_watermark_delay_seconds", "How far the watermark is behind the clock.", of, q.watermark_delay)


def _pod(found: _Families, a: ApplicationView, p: PodView) -> None:
    labels = {"namespace": a.namespace, "application": a.name, "pod": p.name, "role": p.role}
    b, now = p.bounds, p.now
    if p.phase not in ("Running", "Pending"):
        return
    found.gauge("spark_pod_cpu_request_cores", "Cores asked for.", labels, b.cpu_request)
    found.gauge("spark_pod_cpu_limit_cores", "Cores allowed at most.", labels, b.cpu_limit)
    found.gauge("spark_pod_memory_request_bytes", "Memory asked for.", labels, b.memory_request)
    found.gauge("spark_pod_memory_limit_bytes", "Memory allowed at most.", labels, b.memory_limit)
    if now is None:
        return
    found.gauge("spark_pod_cpu_cores", "Cores used, over the kubelet's own interval.", labels, now.cpu)
    found.gauge("spark_pod_memory_working_set_bytes", "Memory that counts against the limit.", labels, now.memory)
    found.gauge("spark_pod_heap_peak_bytes", "The largest heap that Spark has seen.", labels, now.heap)
    found.gauge("spark_pod_off_heap_peak_bytes", "The most memory that the JVM has used beside its heap: classes, compiled code.", labels, now.off_heap)
    found.gauge("spark_pod_spark_off_heap_peak_bytes", "The most memory that Spark's memory manager has used off the heap.", labels, now.spark_off_heap)
    found.gauge("spark_pod_direct_buffers_peak_bytes", "The most memory that direct buffers have taken.", labels, now.direct)
    found.gauge("spark_pod_mapped_buffers_peak_bytes", "The most memory that mapped files have taken.", labels, now.mapped)
    found.gauge("spark_pod_gc_ratio", "The share of time in garbage collection.", labels, now.gc)
    found.gauge("spark_pod_network_receive_bytes_per_second", "Bytes received.", labels, now.received)
    found.gauge("spark_pod_network_transmit_bytes_per_second", "Bytes sent.", labels, now.sent)
    found.gauge("spark_pod_disk_bytes", "Ephemeral storage used.", labels, now.disk)
    found.gauge("spark_pod_sample_timestamp_seconds", "When the kubelet measured this.", labels, now.at)


def _lake(found: _Families, lake: Mapping[str, Any]) -> None:
    name = {"lake": str(lake["name"])}
    found.gauge("lake_info", "Always 1, of a lake that is declared here, checked or not.", name, 1)
    found.gauge("lake_problems", "How many problems the lake's view tells.", name, len(lake["problems"]))
    found.gauge("lake_check_timestamp_seconds", "When every part of the lake was last looked at.", name, lake["checked"])
    for row in lake["resources"]:
        for status in STATUSES:
            labels = name | {"resource": row["id"], "status": status.replace(" ", "_")}
            found.gauge("lake_resource_status", "1 for the status that a part of the lake has.", labels, float(row["status"] == status))
    for level in lake["levels"]:
        labels = name | {"level": level["name"]}
        unit = "inodes" if level["name"] == "inodes" else "bytes"
        found.gauge(f"lake_used_{unit}", "How much is in use.", labels, level["used"])
        found.gauge(f"lake_limit_{unit}", "How much there may be.", labels, level["limit"])
        found.gauge(f"lake_growth_{unit}_per_day", "How fast that grows, by the history.", labels, level["per_day"])
    for bucket in lake["buckets"]:
        labels = name | {"bucket": bucket["name"]}
        found.gauge("lake_bucket_objects", "Objects.", labels, bucket["objects"])
        found.gauge("lake_bucket_bytes", "Bytes, old versions included.", labels, bucket["bytes"])
        found.gauge("lake_bucket_noncurrent_versions", "Versions that a newer one hides.", labels, bucket["noncurrent"])
        found.gauge("lake_bucket_noncurrent_bytes", "Bytes of those.", labels, bucket["noncurrent_bytes"])
        found.gauge("lake_bucket_delete_markers", "Delete markers.", labels, bucket["delete_markers"])
