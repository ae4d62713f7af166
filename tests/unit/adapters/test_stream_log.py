"""The stream's log read over S3's own calls, with botocore's stubs in the server's place; and from where nobody answers."""

import io
import json
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from include.adapters import stream_log
from include.adapters.stream_log import StreamLog
from include.connections import Connection
from include.lake.errors import LakeError, Unreachable
from include.lake.secret import Secret

LAKE_S3 = Connection("lake_s3", "aws", "", "root", Secret("hunter2"), None, {"endpoint_url": "http://127.0.0.1:9", "region_name": "r1"})
FOLDER = "payments/_log/silver/"


def body(value: Any) -> StreamingBody:
    data = json.dumps(value).encode() if not isinstance(value, bytes) else value
    return StreamingBody(io.BytesIO(data), len(data))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> StreamLog:
    monkeypatch.setattr(stream_log, "THREADS", 1)  # answers come in the order in which they were prepared
    return StreamLog(LAKE_S3, "s3a://datalake/payments/")


def entry(batch: int) -> dict[str, Any]:
    return {"format": 1, "batch": batch, "committed": 5, "offsets": {}, "files": {}, "counts": {}}


def get(stub: Stubber, name: str, value: Any) -> None:
    stub.add_response("get_object", {"Body": body(value)}, {"Bucket": "datalake", "Key": FOLDER + name})


def listed(stub: Stubber, after: str, *names: str) -> None:
    stub.add_response(
        "list_objects_v2", {"Contents": [{"Key": FOLDER + n} for n in names]}, {"Bucket": "datalake", "Prefix": FOLDER, "StartAfter": FOLDER + after}
    )


def test_entries_after_the_compacted_ones_are_read(log: StreamLog) -> None:
    with Stubber(log.s3) as stub:
        get(stub, "compacted.json", {"format": 1, "through": 6, "at": 1, "files": {}, "counts": {"records": 9}, "offsets": {}})
        listed(stub, f"{6:020d}.json", f"{7:020d}.json", f"{8:020d}.json", "compacted.json")
        get(stub, f"{7:020d}.json", entry(7))
        get(stub, f"{8:020d}.json", entry(8))
        found = log.read("silver")
        stub.assert_no_pending_responses()
    assert (found.last(), found.counts()) == ((8, 5), {"records": 9})


def test_before_the_first_batch_there_is_nothing(log: StreamLog) -> None:
    with Stubber(log.s3) as stub:
        stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
        listed(stub, "")
        assert log.read("silver").last() is None


@pytest.mark.parametrize(
    ("code", "status", "cause"), [("AccessDenied", 403, "MinIO answers AccessDenied"), ("NoSuchBucket", 404, "MinIO answers NoSuchBucket")]
)
def test_a_refusal_is_no_empty_log(code: str, status: int, cause: str, log: StreamLog) -> None:
    with Stubber(log.s3) as stub, pytest.raises(LakeError, match=cause):
        stub.add_client_error("get_object", code, http_status_code=status)
        log.read("silver")


def test_what_is_no_json_is_told(log: StreamLog) -> None:
    with Stubber(log.s3) as stub, pytest.raises(LakeError, match=r"Unable to read s3://datalake/payments/_log/silver/compacted\.json: it is not JSON"):
        get(stub, "compacted.json", b"{half")
        log.read("silver")


def test_nobody_there_is_told(log: StreamLog) -> None:
    with pytest.raises(Unreachable, match=r"Unable to reach MinIO at http://127\.0\.0\.1:9: .*Check the connection 'lake_s3'") as caught:
        log.read("silver")
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_no_address_is_told() -> None:
    with pytest.raises(LakeError, match="Unable to read the connection 'lake_s3': 'http://x:80x' is no address of a server"):
        StreamLog(Connection("lake_s3", "aws", "", "root", Secret("x"), None, {"endpoint_url": "http://x:80x"}), "s3a://datalake/p/").read("bronze")
