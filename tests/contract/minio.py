"""The rigs of MinIO's suites: the fake, and the lake's own server with things under a name that nobody else has."""

import io
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from minio import MinioAdmin
from minio.commonconfig import GOVERNANCE
from minio.credentials import StaticProvider
from minio.crypto import encrypt
from minio.deleteobjects import DeleteObject
from minio.error import MinioAdminException
from minio.minioadmin import _COMMAND
from minio.retention import Retention

from include.lake.errors import LakeError
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

    def write(self, key: str, versions: int, lock: str = "") -> None:
        """Write an object, so many times; with `lock` the last is kept by `retention` or a `legal hold`."""
        self.client.versions.setdefault(self.name, []).extend([(key, 4)] * versions)
        if lock:
            self.client.locked[self.name] = f"{key}: {'governance until 2999-01-01' if lock == 'retention' else lock}"

    def write_text(self, key: str, text: str) -> None:
        """Write an object that holds this text."""
        self.client.texts[self.name, key] = text

    def unlock(self, key: str) -> None:
        """Take the object's lock away."""
        del self.client.locked[self.name]

    def set_password(self) -> str:
        """Give the user a password by hand."""
        self.client.passwords[self.name] = Secret("a-password-by-hand")
        return "a-password-by-hand"

    def add_key_by_hand(self) -> None:
        """Make an access key of the user past Homelake."""
        self.client.access_keys["BYHAND"] = (self.name, Pair("BYHAND", Secret("a-secret-of-enough")))
        self.client.foreign_keys.add("BYHAND")

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
            with suppress(LakeError):
                self.client.remove_bucket(self.name)
            for remove in (self.admin.user_remove, self.admin.policy_remove):  # a user's access keys go with it
                with suppress(MinioAdminException):
                    remove(self.name)
        mark = uuid4().hex[:8]
        self.name, self.pair = f"{NAME}-{mark}", Pair(f"CONTRACT{mark.upper()}", Secret(uuid4().hex))

    def close(self) -> None:
        pass

    def write(self, key: str, versions: int, lock: str = "") -> None:
        s3 = self.client.s3()
        for number in range(versions):
            last = bool(lock) and number == versions - 1
            until = Retention(GOVERNANCE, datetime.now(UTC) + timedelta(days=1)) if last and lock == "retention" else None
            s3.put_object(self.name, key, io.BytesIO(b"text"), 4, retention=until, legal_hold=last and lock == "legal hold")

    def write_text(self, key: str, text: str) -> None:
        data = text.encode()
        self.client.s3().put_object(self.name, key, io.BytesIO(data), len(data))

    def unlock(self, key: str) -> None:
        s3 = self.client.s3()
        version = next(v for v in s3.list_objects(self.name, prefix=key, include_version=True) if str(v.is_latest).lower() == "true").version_id
        s3.disable_object_legal_hold(self.name, key, version)
        list(s3.remove_objects(self.name, [DeleteObject(key, version)], bypass_governance_mode=True))

    def set_password(self) -> str:
        password = uuid4().hex
        self.admin.user_add(self.name, password)
        return password

    def add_key_by_hand(self) -> None:
        key = f"BYHAND{uuid4().hex[:8].upper()}"
        body = json.dumps({"targetUser": self.name, "status": "enabled", "accessKey": key, "secretKey": uuid4().hex, "name": "mine"}).encode()
        self.admin._url_open(method="PUT", command=_COMMAND.SERVICE_ACCOUNT_ADD, body=encrypt(body, self.admin._provider.retrieve().secret_key))

    def disable_user(self) -> None:
        self.admin.user_disable(self.name)

    def switch_off(self, pair: Pair) -> None:
        self.admin.update_service_account(access_key=pair.access_key, status="off")


Rig = Fake | Real
