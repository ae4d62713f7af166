"""The collector of a command: what `./lake top` and `./lake exporter` look through."""

from include.adapters.clients import Clients
from include.adapters.metrics.collector import Collector
from include.adapters.metrics.sources import Sources
from include.lake.lake import Lake


def collector(lake: Lake, clients: Clients, *, everywhere: bool = False) -> Collector:
    """Of the declared namespace, or of the whole cluster. Asks nothing yet."""
    namespaces = () if everywhere else (lake.spec.kubernetes.namespace,)
    return Collector(Sources(clients.kubernetes, namespaces))
