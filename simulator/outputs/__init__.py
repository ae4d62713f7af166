"""Where a stream goes: Parquet, lines of JSON, Kafka. Each keeps the number of the next epoch with what it has written, so that both are there or neither."""

from simulator.outputs.base import Batch, Encoder, Output

__all__ = ["Batch", "Encoder", "Output"]
