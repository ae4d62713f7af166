"""Metrics for Prometheus, on loopback."""

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from simulator.errors import SimulatorError
from simulator.run import Told


class Metrics:
    """Counts of what was sent by this run, and where it stands."""

    def __init__(self, port: int) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter("simulator_events", "Events sent, by type", ["type"], registry=self.registry)
        self._extra = Counter("simulator_extra_records", "Records sent beside the events: duplicates and malformed ones", ["kind"], registry=self.registry)
        self._late = Counter("simulator_late_events", "Events sent in a later epoch than their own", registry=self.registry)
        self._declined = Counter("simulator_declined_events", "Events that were declined", registry=self.registry)
        self._fraud = Counter("simulator_fraud_events", "Events that are fraud", registry=self.registry)
        self._bytes = Counter("simulator_bytes", "Bytes sent, before compression by Kafka", registry=self.registry)
        self._epochs = Counter("simulator_epochs", "Epochs sent", registry=self.registry)
        self._time = Gauge("simulator_event_time_seconds", "Event time up to which everything in time was sent, since 1970", registry=self.registry)
        self._lag = Gauge("simulator_lag_seconds", "How far it is behind its plan", registry=self.registry)
        try:
            self._server, _ = start_http_server(port, addr="127.0.0.1", registry=self.registry)
        except OSError as error:
            raise SimulatorError("serve", f"metrics on port {port}", error.strerror or str(error), "Give another --metrics-port") from error
        except OverflowError:
            raise SimulatorError("use", f"--metrics-port {port}", "a port lies between 0 and 65535", "9464 is usual") from None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def tell(self, told: Told) -> None:
        """Count an epoch that was sent."""
        batch = told.batch
        for kind, number in batch.kinds.items():
            self._events.labels(kind).inc(number)
        self._extra.labels("duplicate").inc(batch.duplicates)
        self._extra.labels("malformed").inc(batch.malformed)
        for counter, number in ((self._late, batch.late), (self._declined, batch.declined), (self._fraud, batch.fraud), (self._bytes, batch.bytes)):
            counter.inc(number)
        self._epochs.inc()
        self._time.set(told.until / 1000)
        self._lag.set(told.lag)
