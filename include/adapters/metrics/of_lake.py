"""The collector of a lake: its own namespace's Spark jobs, or all, and how far its stream is behind."""

from collections.abc import Callable

from include.adapters.kubernetes import Kubernetes
from include.adapters.metrics.collector import Asked, Collector
from include.adapters.metrics.keep import Keeper
from include.adapters.metrics.past import Past
from include.adapters.metrics.sources import Sources
from include.connections import Connection
from include.lake.lake import Lake
from include.lake.stream import NAME


def collector(lake: Lake, connection: Callable[[str], Connection], *, everywhere: bool = False, keeps: bool = False) -> Collector:
    """Of the declared namespace, or of the whole cluster. `connection` gives one by its id. Asks nothing yet.

    `keeps`: it keeps in the lake what a stream used, once that has ended. For who watches for long.
    """
    namespace = lake.spec.kubernetes.namespace
    keep: Keeper | None = None
    sources: Asked = Sources(Kubernetes(connection("kubernetes_default")), () if everywhere else (namespace,))
    if payments := lake.spec.payments:
        from include.adapters.kafka import Kafka  # librdkafka is loaded only where there is a stream
        from include.adapters.metrics.lag import Lag, WithLag
        from include.adapters.stream_log import StreamLog

        lag = Lag(StreamLog(connection("lake_s3"), payments.path), Kafka(connection("kafka_default")), payments.topic)
        sources = WithLag(sources, (namespace, f"{NAME}-driver"), lag)
        if keeps:
            keep = Keeper(Past(connection("lake_s3"), lake.spec.spark.bucket, lake.probe_prefix), namespace)
    return Collector(sources, keep=keep)
