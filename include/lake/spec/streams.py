"""What flows into the lake: Kafka's topics, and the stream of payments."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from include.lake.spec.types import Cron, Model, S3aPath, Text, TopicName
from include.lake.units import Seconds

DUPLICATES_WITHIN = 60  # seconds, at least: a record that is so far behind others of Kafka's time cannot be compared any more


class Topic(Model):
    """A topic of Kafka. `None`: not managed, the broker's own default."""

    name: TopicName
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 6
    replication: Annotated[int, Field(ge=1, le=32_767)] | None = None
    retention: Seconds | None = None
    config: Annotated[dict[str, str], Field(strict=False)] = {}  # further settings, as Kafka names them

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.retention is not None and "retention.ms" in self.config:
            raise ValueError("retention and config retention.ms say the same thing twice; leave one out")
        return self


class Kafka(Model):
    """The topics; where Kafka is and who logs in is the connection kafka_default."""

    topics: Annotated[tuple[Topic, ...], Field(min_length=1, strict=False)]


class Payments(Model):
    """The stream of payments from a topic into the lake: jobs/payments_stream.py."""

    topic: TopicName = "payments"
    path: S3aPath = "s3a://datalake/payments/"
    checkpoint: S3aPath = "s3a://checkpoints/payments/"
    trigger: Seconds = Seconds.parse("2 s")  # how often a batch begins
    duplicates_within: Seconds = Seconds.parse("15 m")  # of Kafka's time: a record seen twice within it is kept once
    late_after: Seconds = Seconds.parse("1 m")  # of event time, behind the newest event seen before: such a row is marked as late
    max_records: Annotated[int, Field(ge=1)] = 100_000  # in a batch
    executors: Annotated[int, Field(ge=1, le=1000)] = 1
    cpu_request: Text = "250m"  # what the driver and each executor are promised, in Kubernetes' form; they may use a core each
    memory: Text = "1g"  # of the driver, and of each executor, in Spark's form
    micro_batch: Cron | None = None  # in place of the stream that goes on
    compact: Cron | None = "15 * * * *"
    audit: Cron | None = "45 * * * *"

    @field_validator("duplicates_within")
    @classmethod
    def _whole(cls, within: Seconds) -> Seconds:
        if within < DUPLICATES_WITHIN or within % 1:
            raise ValueError(f"{within} is not a whole number of seconds from {DUPLICATES_WITHIN} on; write it as '15 m'")
        return within
