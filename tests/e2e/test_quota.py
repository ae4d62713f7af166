"""The hard quota (B6): a write over it fails, what is there stays readable, and how late MinIO's scanner makes it fail."""

import time

import pytest
from botocore.exceptions import ClientError

from include.lake.units import Size
from tests.e2e.conftest import Site
from tests.e2e.test_drift import admin

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]
QUOTA, PIECE, PACE = 20 << 20, 1 << 20, 2.0  # bytes, bytes, pieces a second
LATEST = 420  # seconds


def test_a_write_over_the_quota_fails_late_and_what_is_there_stays_readable(converged: Site) -> None:
    s3, bucket = converged.s3(), f"quota-{time.time():.0f}"
    s3.create_bucket(Bucket=bucket)
    try:
        admin(converged).bucket_quota_set(bucket, QUOTA)
        written, over_since, began = 0, 0.0, time.monotonic()
        while True:
            try:
                s3.put_object(Bucket=bucket, Key=f"{written:05d}", Body=b"x" * PIECE)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "XMinioAdminBucketQuotaExceeded"
                break
            written += 1
            if written * PIECE > QUOTA and not over_since:
                over_since = time.monotonic()
            assert not over_since or time.monotonic() - over_since < LATEST, f"no write was refused within {LATEST} s after the quota was passed"
            time.sleep(max(0.0, began + written / PACE - time.monotonic()))
        late = time.monotonic() - over_since if over_since else 0.0
        scanner = converged.lake.spec.minio.scanner
        print(
            f"quota {Size(QUOTA)}: refused at {Size(written * PIECE)}, {late:.0f} s after it was passed (scanner {scanner.speed}, a round every {scanner.round})"
        )
        assert s3.get_object(Bucket=bucket, Key="00000")["Body"].read() == b"x" * PIECE
        with pytest.raises(ClientError, match="QuotaExceeded"):
            s3.put_object(Bucket=bucket, Key="again", Body=b"x" * PIECE)
    finally:
        for number in range(written):
            s3.delete_object(Bucket=bucket, Key=f"{number:05d}")
        s3.delete_bucket(Bucket=bucket)
