"""The operators of the stream of payments: it runs on, or it is a micro batch at a time."""

from typing import Any

from include.adapters.clients import Clients
from include.adapters.stream_run import bring, stream_of
from include.lake.errors import LakeError
from include.lake.lake import Lake
from include.lake.stream import MAIN, MODULES, NAME, payments_job, stream_application
from include.operators.base import LakeOperator
from include.operators.spark import LakeSparkOperator
from include.render import plan_lines

RUN = "run"


class StreamOperator(LakeOperator):
    """Let the stream run as declared, or, with the param `action`, end it at a batch boundary.

    :param lake: the lake as declared, with payments.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lake = lake

    def work(self, context: Any, parts: Clients) -> dict[str, Any]:
        """Returns the changes. Fails with the driver's own words when the stream does not run."""
        run = context["params"]["action"] == RUN
        outcome = bring(self._lake, parts, f"Airflow {self.dag_id}.{self.task_id}", self.log.info, run=run)
        verb = "changed" if outcome.applied else "runs as declared" if run else "is not there"
        self.log.info("%s: %s", outcome.plan.resource_id, "\n".join([verb, *plan_lines(outcome.plan)]))
        return outcome.as_dict()


class MicroBatchOperator(LakeSparkOperator):
    """Take what is in the topic into the lake, then end. Fails while the stream or another micro batch is there: a checkpoint has one writer.

    :param lake: the lake as declared, with payments.
    """

    def __init__(self, *, lake: Lake, **kwargs: Any) -> None:
        super().__init__(lake=lake, job=payments_job(stream_of(lake).payments, MAIN, modules=MODULES), **kwargs)

    def body(self, parts: Clients) -> dict[str, Any]:
        """The stream's application, as one that ends."""
        stream = stream_of(self._lake)
        if state := parts.streams.at_work(stream.where.namespace):
            raise LakeError("start", "the micro batch", f"the stream {NAME} is there ({state}) and writes to the same checkpoint", "End it first: ./lake stream stop, or payments_stream with action stop")  # fmt: skip
        if others := [b for b in parts.streams.batches(stream.where.namespace) if b != self._application]:
            raise LakeError("start", "the micro batch", f"{', '.join(others)} writes to the same checkpoint",
                            f"Wait until it has ended, and the next run goes on; or remove it: kubectl -n {stream.where.namespace} delete sparkapplication {others[0]}")  # fmt: skip
        around = parts.streams.surroundings()
        if around.kafka:
            parts.streams.write_kafka(stream.where.namespace, around.kafka)
        return stream_application(stream.payments, stream.where, stream.region, around, once=True)
