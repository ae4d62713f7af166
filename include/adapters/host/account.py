"""The system account in the guest."""

from include.adapters.host.facts import pairs
from include.adapters.host.ssh import Guest
from include.lake.errors import Refused
from include.lake.resources.account import AccountState

# What lies at the top of the data directory tells whose it is: MinIO makes all of it as one user.
_ACCOUNT = r"""
uid=$(id -u "$1" 2>/dev/null || echo none)
mountpoint -q "$2" && find "$2" -mindepth 1 -maxdepth 1 ! -name lost+found -printf '%U %u\n' | grep -m 1 -v "^$uid " | sed 's/^[0-9]* /content=/'
line=$(getent passwd "$1") || { [ $? = 2 ] && exit 4; exit 5; }
echo "passwd=$line"; echo "data=$(stat -c '%U:%G:%a' "$2" 2>/dev/null)"
"""

_ADD = r"""
if getent group "$1" >/dev/null; then group="--gid $1"; else group=--user-group; fi
useradd --system $group --no-create-home --home-dir /nonexistent --comment "$2" --shell /usr/sbin/nologin "$1"
"""
MADE = "MinIO, added by Homelake"  # the account's comment, by which it is known as ours
_GIVE = 'mountpoint -q "$2" || { echo "$2 is not mounted" >&2; exit 1; }; chown "$1:$1" "$2" && chmod 0750 "$2"'
_NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")


class Accounts(Guest):
    """System accounts."""

    def account(self, name: str, data_dir: str) -> AccountState | None:
        """The account; None when there is none of that name."""
        result = self.run(_ACCOUNT, name, data_dir, ok=(0, 4))
        if other := pairs(result.out).get("content"):
            theirs = (
                f"Add the account with that number yourself (useradd --system --uid {other} {name})"
                if other.isdigit()
                else f"Declare account: {other} if that is a system account"
            )
            raise Refused("use", f"account/{name}", f"what lies in {data_dir} belongs to {other}, so MinIO could not read it as {name}",
                          f"{theirs}; or stop MinIO and give it away yourself: chown -R {name}: {data_dir}")  # fmt: skip
        return None if result.code == 4 else parse_account(result.out, name)

    def add_account(self, name: str) -> None:
        """Add it."""
        self.run(_ADD, name, MADE)

    def close_login(self, name: str) -> None:
        """Take its login away."""
        self.run('usermod --shell /usr/sbin/nologin "$1"', name)

    def give_data(self, name: str, data_dir: str) -> None:
        """Make it the owner of the mounted directory; never of the bare one."""
        self.run(_GIVE, name, data_dir)

    def made_account(self, name: str) -> bool:
        """Whether it has the comment with which Homelake adds accounts."""
        return self.run('getent passwd "$1" | cut -d: -f5; true', name).out.strip() == MADE

    def remove_account(self, name: str) -> None:
        """Remove it, with its group when nobody else is in it."""
        self.run('getent passwd "$1" >/dev/null || exit 0; userdel "$1"', name)


def parse_account(text: str, name: str) -> AccountState:
    """From a passwd line and the owner of the data directory."""
    facts = pairs(text)
    fields = facts["passwd"].split(":")
    return AccountState(int(fields[2]) < 1000, fields[6] not in _NO_LOGIN, facts["data"] == f"{name}:{name}:750")
