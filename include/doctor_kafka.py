"""`./lake doctor` on Kafka: whether it answers, and whether the account may look at the declared topics."""

from collections.abc import Callable, Iterable, Iterator

from include.adapters.clients import Clients
from include.lake.lake import Lake
from include.lake.site import Finding

Step = tuple[str, Callable[[], Iterable[Finding]]]  # named for a connection, as `kafka_default`, or for what is looked at with it


def kafka(lake: Lake, clients: Clients) -> Iterator[Step]:
    """The topics as far as they are there; nothing when none is declared."""
    if not lake.topics:
        return

    def connection() -> Iterator[Finding]:
        missing = [topic.name for topic in lake.topics if topic.observe(clients.kafka) is None]
        there = f"kafka_default: Kafka at {clients.kafka.servers}, where the account may look at {len(lake.topics)} declared topics"
        yield Finding(f"{there}; not there yet, lake_bootstrap makes them: {', '.join(missing)}" if missing else there)

    yield "kafka_default", connection
