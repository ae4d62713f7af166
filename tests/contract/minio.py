"""The rigs of MinIO's suites: the fake, and the lake's own server with things under a name that nobody else has."""

from contextlib import suppress
from uuid import uuid4

from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error

from include.lake.resources.keypair import Pair
from include.lake.secret import Secret
from tests.contract.real import Parts
from tests.fakes.minio import FakeMinio

NAME = "contract"


class Fake:
    """A new fake for each test. `name` is what the test may make: a bucket, a policy, a user."""

    def clear(self) -> None:
        self.client, self.name = FakeMinio(), NAME
        self.pair = Pair("CONTRACTKEY", Secret("a-secret-of-enough"))

    def close(self) -> None:
        pass

    def disable_user(self) -> None:
        """Switch the user off by hand."""
        self.client.users[self.name] = type(self.client.users[self.name])(False, self.client.users[self.name].policies)

    def switch_off(self, pair: Pair) -> None:
        """Switch an access key off by hand."""
        self.client.disabled.add(pair.access_key)


class Real:
    """The lake's MinIO, with bare admin calls for the states that Homelake never makes."""

    needs = "with_minio"

    def __init__(self, parts: Parts) -> None:
        self.client, lab = parts.clients.minio, parts.lab
        self.admin = MinioAdmin(endpoint=self.client.endpoint, credentials=StaticProvider(lab["S3_ROOT_USER"], lab["S3_ROOT_PASSWORD"]), secure=False)
        self.name = ""

    def clear(self) -> None:
        if self.name:
            with suppress(S3Error):
                self.client.s3().remove_bucket(self.name)
            for remove in (self.admin.user_remove, self.admin.policy_remove):  # a user's access keys go with it
                with suppress(MinioAdminException):
                    remove(self.name)
        mark = uuid4().hex[:8]
        self.name, self.pair = f"{NAME}-{mark}", Pair(f"CONTRACT{mark.upper()}", Secret(uuid4().hex))

    def close(self) -> None:
        pass

    def disable_user(self) -> None:
        self.admin.user_disable(self.name)

    def switch_off(self, pair: Pair) -> None:
        self.admin.update_service_account(access_key=pair.access_key, status="off")


Rig = Fake | Real
