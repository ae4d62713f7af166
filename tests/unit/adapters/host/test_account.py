"""The system account, read from real outputs of getent and stat."""

import pytest

from include.adapters.host.account import parse_account
from include.lake.resources.account import AccountState
from tests.unit.conftest import recorded


@pytest.mark.parametrize(
    ("name", "account", "state"),
    [
        ("added", "minio-user", AccountState(system=True, login=False, owns_data=False)),
        ("ours", "minio-user", AccountState(system=True, login=False, owns_data=True)),
        ("login", "minio-user", AccountState(system=True, login=True, owns_data=True)),
        ("person", "person", AccountState(system=False, login=True, owns_data=False)),
    ],
)
def test_an_account_is_read_from_real_outputs(name: str, account: str, state: AccountState) -> None:
    assert parse_account(recorded(f"host/account_{name}.txt"), account) == state


@pytest.mark.parametrize(
    ("data", "owns"),
    [("minio-user:minio-user:750", True), ("minio-user:minio-user:755", False), ("minio-user:users:750", False), ("root:root:750", False), ("", False)],
)
def test_owner_group_and_mode_of_the_data_must_all_be_right(data: str, owns: bool) -> None:
    assert parse_account(f"passwd=minio-user:x:999:999::/nonexistent:/usr/sbin/nologin\ndata={data}\n", "minio-user").owns_data is owns


@pytest.mark.parametrize(("shell", "login"), [("/usr/sbin/nologin", False), ("/sbin/nologin", False), ("/bin/false", False), ("/bin/sh", True), ("", True)])
def test_a_shell_that_lets_in_is_a_login(shell: str, login: bool) -> None:
    assert parse_account(f"passwd=minio-user:x:999:999::/nonexistent:{shell}\ndata=\n", "minio-user").login is login
