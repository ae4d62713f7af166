"""The one S3A profile of every Spark job (requirement D3). Its values were measured: docs/explanation/s3a.md and bench/.

No signing algorithm is overridden: S3A signs with v4 by itself, and an override that clashes with the region is what
turns into `400 Bad Request`.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

PREFIX = "spark.hadoop.fs.s3a."
ACCESS_VARIABLE, SECRET_VARIABLE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
# One provider by name: the default chain ends with the instance metadata service, 11 s of waiting on a machine that has none.
PROVIDER = "software.amazon.awssdk.auth.credentials.EnvironmentVariableCredentialsProvider"


def s3a_profile(endpoint: str, region: str) -> dict[str, str]:
    """Spark's configuration for S3A on this endpoint.

    The magic committer is not a matter of taste: on a bucket with object lock Hadoop's default committer breaks at the
    second write to a path, since MinIO lists prefixes that hold only delete markers.
    """
    s3a = {
        "endpoint": endpoint,
        "endpoint.region": region,
        "path.style.access": "true",
        "aws.credentials.provider": PROVIDER,
        "cross.region.access.enabled": "false",  # a wrong region fails in a second instead of being hidden
        "committer.name": "magic",
        "committer.magic.track.commits.in.memory.enabled": "true",
    }
    return {PREFIX + k: v for k, v in s3a.items()} | {
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory",
        "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
    }


def problems(conf: Mapping[str, str], endpoint: str, region: str) -> Iterable[str]:
    """What in a job's configuration would end in a `400 Bad Request`, minutes of retries, or another store. Each with its remedy."""
    given = conf.get(PREFIX + "endpoint", "")
    url = urlsplit(given)
    if not given:
        yield f"{PREFIX}endpoint is not set, so S3A would ask Amazon. Set it to {endpoint}"
    elif url.scheme not in ("http", "https") or not url.hostname:
        yield f"{PREFIX}endpoint is {given!r}, without http:// or https://; S3A would retry for minutes. Set it to {endpoint}"
    elif given.rstrip("/") != endpoint.rstrip("/"):
        yield f"{PREFIX}endpoint is {given!r}, and the lake is at {endpoint}. Set it to that"
    mine = conf.get(PREFIX + "endpoint.region", "")
    if mine != region:
        yield f"{PREFIX}endpoint.region is {mine or 'not set'}, and the server's region is {region}: it would answer 400 Bad Request. Set it to {region}"
    if conf.get(PREFIX + "path.style.access") != "true":
        yield f"{PREFIX}path.style.access is not true: S3A would look for a host called BUCKET.{urlsplit(endpoint).hostname}. Set it to true"
    for key in conf:
        if key.startswith(PREFIX) and "signing-algorithm" in key:
            yield f"{key} overrides the signature: it clashes with signature v4, and the server answers 400 Bad Request. Remove it"
