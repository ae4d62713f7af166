"""The stream's job without Spark: what it says of what ended it, and what it asks Spark's plan for."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "jobs"))
from payments_events import left_out
from payments_stream import explained

COMMIT = "[STREAM_FAILED] Query [id = 1] terminated with exception: [CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT] Error writing state store files for provider HDFSStateStoreProvider"
OTHER = "the state in the checkpoint is of another form than this program's. Declare a new checkpoint and a new path"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (f"{COMMIT}. Cannot perform commit during state checkpoint. ConnectException: Connection refused", 3, "[CANNOT_WRITE_STATE_STORE.CANNOT_COMMIT]"),
        (f"{COMMIT}. XMinioAdminBucketQuotaExceeded", 3, "the bucket's quota is used up"),
        (f"{COMMIT}. XMinioStorageFull", 3, "the lake's disk is full"),
        (f"{COMMIT}. AccessDenied", 3, "the lake refuses the key pair"),
        ("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred during loading state.", 3, "[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED]"),
        ("[CANNOT_LOAD_STATE_STORE.CANNOT_READ_DELTA_FILE_NOT_EXISTS] Error reading delta file", 3, "[CANNOT_LOAD_STATE_STORE"),
        ("[STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE] Provided key schema does not match existing state key schema.", 2, OTHER),
        ("[STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE] Provided value schema does not match existing state value schema.", 2, OTHER),
        ("[CANNOT_LOAD_STATE_STORE.KEY_ROW_FORMAT_VALIDATION_FAILURE] The streaming query failed to validate written state", 2, OTHER),
        ("[STATE_STORE_INVALID_PROVIDER] The given State Store Provider x does not extend", 2, OTHER),
        ("STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE, while reading AccessDenied", 3, "the lake refuses the key pair"),
        ("org.apache.kafka.common.errors.UnknownTopicOrPartitionException: x", 3, "the topic is not there"),
        ("STREAM_FAILED_ON_DATA_LOSS", 2, "Kafka has removed records"),
        ("Unfit: batch 3 of silver is in the lake's log with other offsets.", 2, "batch 3 of silver is in the lake's log with other offsets"),
    ],
)
def test_only_what_a_restart_does_not_help_is_told_as_such(error: str, code: int, said: str) -> None:
    told = explained(Exception(error))
    assert told[0] == code
    assert said in told[1]


def plan(*below: Any, **metrics: int) -> Any:
    """As Spark's plans look through py4j."""
    held = SimpleNamespace(contains=metrics.__contains__, apply=lambda name: SimpleNamespace(value=lambda: metrics[name]))
    children = SimpleNamespace(size=lambda: len(below), apply=below.__getitem__)
    return SimpleNamespace(metrics=lambda: held, children=lambda: children)


def test_what_the_query_left_out_is_told_by_its_own_plan() -> None:
    def running(name: str, executed: Any) -> Any:
        last = SimpleNamespace(executedPlan=lambda: executed)
        return SimpleNamespace(name=name, _jsq=SimpleNamespace(streamingQuery=lambda: SimpleNamespace(lastExecution=lambda: last)))

    dedup = plan(plan(plan(numOutputRows=7)), numRowsDroppedByWatermark=3, numOutputRows=4)
    spark = SimpleNamespace(streams=SimpleNamespace(active=[running("bronze", plan(numOutputRows=9)), running("silver", plan(dedup))]))
    assert [left_out(spark, name) for name in ("bronze", "silver")] == [0, 3]
