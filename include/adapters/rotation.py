"""The object store as root, with other credentials than those of its connection: while they change there are two."""

from collections.abc import Callable
from dataclasses import replace

from include.adapters.clients import Clients
from include.adapters.minio import MinioServer
from include.lake.secret import Secret


def as_root(clients: Clients) -> Callable[[Secret], MinioServer]:
    """Gives the server of the connection `minio_admin` as whoever has these credentials (`user:password`)."""
    connection = clients.connections("minio_admin")

    def store(credentials: Secret) -> MinioServer:
        login, _, password = credentials.reveal().partition(":")
        return MinioServer(replace(connection, login=login, password=Secret(password)))

    return store
