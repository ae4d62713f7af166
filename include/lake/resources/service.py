"""MinIO as a systemd service (requirements B3, B4, A4)."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from include.lake.errors import Refused
from include.lake.resource import Change, Plan, Resource
from include.lake.root_credentials import WANTED, fit
from include.lake.secret import Secret, SecretRef
from include.lake.units import Seconds

HEADER = "# Written by Homelake; changes are undone at the next run."
REMOVING = "remove"  # the note in the VM of a removal that has begun to take it away, and whether it had looked for locked objects
PATH_FLAGS = ("--certs-dir", "-S", "--config-dir", "-C")  # of MinIO: the path after one is no data directory
DRAIN = 3  # seconds that requests under way have before MinIO is told to end


@dataclass(frozen=True)
class ServiceState:
    """A service: its unit's text, its environment (without secrets), root's credentials, and how it runs.

    `current`: what runs was started with its program, its settings and its unit as they are now. `serving`: S3 itself answers.
    `closed`: none but root and its group may read its settings.
    """

    unit: str | None = field(repr=False)
    environment: tuple[str, ...] | None
    credentials: Any  # Secret, `user:password`
    enabled: bool = True
    current: bool = True
    serving: bool = True
    closed: bool = True


class ServiceClient(Protocol):
    """What a service needs of the guest, and the one secret it is handed."""

    def secret(self, ref: SecretRef) -> Secret:
        """A secret's value, from its connection."""

    def service(self, name: str, port: int) -> ServiceState | None:
        """The service there; None when it has neither unit nor settings."""

    def write_unit(self, name: str, text: str) -> None:
        """Write its unit."""

    def write_environment(self, name: str, group: str, lines: tuple[str, ...], credentials: Secret) -> None:
        """Write its settings, mode 0640, root and its group."""

    def enable(self, name: str) -> None:
        """Start it at every boot."""

    def restart(self, name: str) -> None:
        """Start it, or start it anew."""

    def remove_note(self, name: str) -> None:
        """Remove a note of what is under way; none is no error."""

    def remove_service(self, name: str) -> None:
        """Stop it, and remove its settings and its unit."""

    def wait_serving(self, name: str, port: int) -> None:
        """Wait until S3 answers. Raises LakeError with the journal as soon as the service restarts in a loop."""


@dataclass(frozen=True)
class Service(Resource[ServiceState, ServiceClient]):
    """The service. It is restarted when its unit, settings or program changed, and at no other time."""

    part: ClassVar[str] = "host"
    name: str
    account: str
    port: int
    credentials: SecretRef
    unit_needs: tuple[str, ...]
    desired: ServiceState | None

    @property
    def id(self) -> str:
        """`service/minio`."""
        return f"service/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Mount, account and program."""
        return self.unit_needs

    def want(self, client: ServiceClient) -> ServiceState | None:
        """What is declared, with the credentials of the connection. Raises Refused when MinIO could not run with them as they are."""
        if self.desired is None:
            return None
        if not fit(credentials := client.secret(self.credentials)):
            raise Refused("use", f"the login and password of the connection {self.credentials.connection!r}", WANTED,
                          "Set such a pair (S3_ROOT_USER and S3_ROOT_PASSWORD in site.env); letters and digits are best")  # fmt: skip
        return replace(self.desired, credentials=credentials)

    def observe(self, client: ServiceClient) -> ServiceState | None:
        """The service there."""
        return client.service(self.name, self.port)

    def usable(self, observed: ServiceState) -> bool:
        """A service is of use once S3 answers."""
        return observed.serving

    def danger(self, change: Change) -> str | None:
        """Another data directory: what is stored in the one before would not be seen any more."""
        after = _volumes(self.desired.environment) if self.desired else ""
        look = {"environment": _volumes, "unit": _unit_volumes}.get(change.field)
        before = look(change.before) if look else ""
        return f"leaves what is stored in {before} (it would serve {after})" if before and after and before != after else None

    def foreign(self, observed: ServiceState, client: ServiceClient) -> str | None:
        """A unit without Homelake's first line."""
        return None if (observed.unit or "").startswith(HEADER) else "its unit was not written by Homelake"

    def apply(self, todo: Plan, client: ServiceClient) -> None:
        """Write what differs, restart when needed, wait until S3 answers."""
        if self.desired is None:
            client.remove_service(self.name)
            return
        fields = todo.fields()
        wanted = self.want(client)
        assert wanted is not None
        client.remove_note(REMOVING)  # what is stored changes again from now on
        if "unit" in fields:
            client.write_unit(self.name, wanted.unit or "")
        if fields & {"environment", "credentials", "closed"}:
            client.write_environment(self.name, self.account, wanted.environment or (), wanted.credentials)
        if "enabled" in fields:
            client.enable(self.name)
        if fields & {"unit", "environment", "credentials", "current", "serving"}:
            client.restart(self.name)
            client.wait_serving(self.name, self.port)


def _volumes(environment: object) -> str:
    """The data directory that a service's settings name."""
    lines = environment if isinstance(environment, tuple) else ()
    return _path(next((line.partition("=")[2] for line in reversed(lines) if line.startswith("MINIO_VOLUMES=")), ""))


def _unit_volumes(unit: object) -> str:
    """The data directory that a unit names itself: MinIO takes it before what the settings name.

    >>> _unit_volumes("[Service]\\nExecStart=/usr/local/bin/minio server --certs-dir /etc/certs /data/ --address :9000\\n")
    '/data'
    >>> _unit_volumes('[Service]\\nEnvironment="MINIO_VOLUMES=/data"\\nExecStart=/usr/local/bin/minio server $MINIO_VOLUMES\\n')
    '/data'
    """
    text = re.sub(r"\\\n", " ", unit if isinstance(unit, str) else "")
    words = [w for line in re.findall(r"^ExecStart=.*?\sserver\s(.*)", text, re.MULTILINE) for w in line.split()]
    named = [w for flag, w in zip(["", *words], words, strict=False) if _path(w).startswith("/") and flag not in PATH_FLAGS]
    return _path(" ".join(named) or " ".join(re.findall(r"^Environment=.*MINIO_VOLUMES=([^\s\"']+)", text, re.MULTILINE)[-1:]))


def _path(word: str) -> str:
    return word.strip("\"' ").rstrip("/")


def minio_unit(account: str, data_dir: str, program: str, environment_file: str, port: int) -> str:
    """The unit's text: it needs the mount, runs as the account, and may write the data directory only.

    MinIO ends at once when it is told to, and what it has carried out by then gets no answer: S3A repeats a commit that was done, and its job
    fails with NoSuchUpload. So before it is told, no new request reaches it, and those under way have DRAIN seconds. What waits is refused by
    the kernel once MinIO is gone, and its client asks the next one. Packets without a request in them (up to 200 bytes: acknowledgements) pass.
    """
    return f"""{HEADER}
[Unit]
Description=MinIO object storage
Documentation=https://github.com/minio/minio
Wants=network-online.target
After=network-online.target
RequiresMountsFor={data_dir}
ConditionPathIsMountPoint={data_dir}
StartLimitIntervalSec=0

[Service]
Type=notify
User={account}
Group={account}
EnvironmentFile={environment_file}
ExecStart={program} server $MINIO_OPTS $MINIO_VOLUMES
ExecStop=-+/bin/sh -c 'kill -0 "$$MAINPID" && nft "table inet homelake {{ chain drain {{ type filter hook input priority 0; tcp dport {port} meta length > 200 drop; }}; }}" && sleep {DRAIN}'
ExecStopPost=-+/bin/sh -c 'nft delete table inet homelake 2>/dev/null'
Restart=always
RestartSec=2
TimeoutStartSec=180
TimeoutStopSec=60
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500
WorkingDirectory={data_dir}
ReadWritePaths={data_dir}
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0027

[Install]
WantedBy=multi-user.target
"""


def minio_environment(region: str, data_dir: str, port: int, console_port: int, *, durable: bool, speed: str, cycle: Seconds) -> tuple[str, ...]:
    """MinIO's settings without its credentials, as `KEY=value` lines."""
    return (
        f"MINIO_FS_OSYNC={'on' if durable else 'off'}",
        f'MINIO_OPTS="--address :{port} --console-address :{console_port}"',
        f"MINIO_SCANNER_CYCLE={str(cycle).replace(' ', '')}",
        f"MINIO_SCANNER_SPEED={speed}",
        f"MINIO_SITE_REGION={region}",
        f"MINIO_VOLUMES={data_dir}",
        "MINIO_UPDATE=off",
    )
