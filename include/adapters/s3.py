"""S3 as the account of a connection such as `lake_s3`."""

from typing import Any

from include.connections import Connection, address, without_login
from include.lake.errors import LakeError


def endpoint_of(connection: Connection) -> str:
    """Where the connection has its server; empty when it says nothing, which means Amazon. Raises LakeError when it is no URL.

    boto3's own error would be a traceback, and Airflow's hook, too, needs the scheme.
    """
    if endpoint := connection.option("endpoint_url"):
        address(connection, endpoint)
        if "//" not in endpoint:
            raise LakeError(
                "read", f"the connection {connection.id!r}", f"its endpoint_url {without_login(endpoint)!r} has no scheme", "Write it as http://HOST:PORT"
            )
    return endpoint


def client(connection: Connection, *, threads: int, connect: float, read: float) -> Any:
    """boto3's client. `connect` and `read`: seconds that one try may take; `threads`: how many may ask at once. Raises LakeError."""
    import boto3
    from botocore.config import Config

    c, endpoint = connection, endpoint_of(connection)
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, connect_timeout=connect, read_timeout=read, max_pool_connections=threads)
    return boto3.client("s3", endpoint_url=endpoint or None, region_name=c.option("region_name") or None, verify=c.option("verify") or None,
                        aws_access_key_id=c.login, aws_secret_access_key=c.password.reveal(), config=config)  # fmt: skip
