"""MinIO's policies, users and access keys."""

import json
import secrets
from typing import Any

from minio.crypto import encrypt
from minio.minioadmin import _COMMAND

from include.adapters.minio.server import ERRORS, STRANGER, Server, code_of
from include.lake.errors import NotConverged
from include.lake.resources.keypair import Pair
from include.lake.resources.user import UserState


class Users(Server):
    """Policies, users and their access keys, as root."""

    def policy(self, name: str) -> dict[str, Any] | None:
        """The policy's document."""
        return self._read(f"policy {name}", lambda: self._admin.policy_info(name), "Statement")

    def put_policy(self, name: str, document: dict[str, Any]) -> None:
        """Make or replace it."""
        self._try(f"policy {name}", lambda: self._admin.policy_add(name, policy=document))

    def remove_policy(self, name: str) -> None:
        """Remove it."""
        self._find(f"policy {name}", lambda: self._admin.policy_remove(name))

    def user(self, name: str) -> UserState | None:
        """The user."""
        found = self._read(f"user {name}", lambda: self._admin.user_info(name), "status")
        if found is None:
            return None
        return UserState(found.get("status") == "enabled", frozenset(p for p in (found.get("policyName") or "").split(",") if p))

    def add_user(self, name: str) -> None:
        """Add it with a random password that is thrown away."""
        self._try(f"user {name}", lambda: self._admin.user_add(name, secrets.token_hex(20)))

    def enable_user(self, name: str) -> None:
        """Let it log in again."""
        self._try(f"user {name}", lambda: self._admin.user_enable(name))

    def hold(self, name: str, policies: frozenset[str]) -> None:
        """Make these the policies it holds."""
        self._try(f"user {name}", lambda: self._admin.policy_set(",".join(sorted(policies)), user=name))

    def remove_user(self, name: str) -> None:
        """Remove it with its access keys."""
        self._find(f"user {name}", lambda: self._admin.user_remove(name))

    def owner(self, access_key: str) -> str | None:
        """The user whose access key this is."""
        found = self._read("an access key", lambda: self._admin.get_service_account(access_key), "parentUser")
        return str(found["parentUser"]) if found else None

    def keys_of(self, user: str) -> dict[str, str]:
        """The user's access keys, each with the name given to it."""
        found = self._read(f"the access keys of {user}", lambda: self._admin.list_service_account(user), "accounts")
        return {str(a["accessKey"]): str(a.get("name") or "") for a in (found or {}).get("accounts") or ()}

    def remove_access_key(self, access_key: str) -> None:
        """Remove an access key; none is no error."""
        self._find("an access key", lambda: self._admin.delete_service_account(access_key))

    def accepts(self, pair: Pair) -> bool:
        """Whether S3 lets someone in with it: what it may do then is another question."""
        try:
            # Not HEAD: its answer has no body, so a wrong key and a missing right look the same.
            list(self.s3(pair).list_buckets())
        except ERRORS as error:
            if code_of(error) in STRANGER:
                return False
            if code_of(error) != "AccessDenied":
                raise self._told("the key pair", error) from None
        return True

    def put_access_key(self, user: str, pair: Pair, *, new: bool) -> None:
        """Make an access key of the user, as root; or give an existing one this secret key, and switch it on."""
        access, secret = pair.access_key, pair.secret_key.reveal()
        if new:
            self._try("an access key", lambda: self._add_access_key(user, access, secret))
        else:
            self._try("an access key", lambda: self._admin.update_service_account(access_key=access, secret_key=secret, status="on"))
        if not self.accepts(pair):
            raise NotConverged(f"access key of {user}", "MinIO does not accept the pair it was just given")

    def _add_access_key(self, user: str, access: str, secret: str) -> None:
        # minio-py's add_service_account cannot name the user (no targetUser), so its own pieces are put together here.
        body = json.dumps({"targetUser": user, "status": "enabled", "accessKey": access, "secretKey": secret, "name": "homelake"}).encode()
        self._admin._url_open(method="PUT", command=_COMMAND.SERVICE_ACCOUNT_ADD, body=encrypt(body, self._connection.password.reveal()))
