"""Rotation of a user's key pair in two phases, driven only by what is observed: killed anywhere, the next run goes on.

All that is to be known stands in the Kubernetes secret itself. Beside the pair in use it holds, in the first phase, the next pair
(before MinIO is told of it), and in the second the previous access key (until no pod uses it). One patch leads from the one to the other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

from include.lake.errors import LakeError, Refused
from include.lake.lake import Lake
from include.lake.proof import Denied, Tenant, prove
from include.lake.resources.keypair import KeyPair, KeyPairClient, Pair, half, pair_in
from include.lake.secret import Secret

NEXT, PREVIOUS = ("next-access-key", "next-secret-key"), "previous-access-key"
OURS = "homelake"  # the name that MinIO keeps with every access key made here
# A node may hand out the old value for a while: its kubelet learns of the change by a watch, and takes up to 45 s to see that one broke.
MARGIN = timedelta(seconds=60)


@dataclass(frozen=True)
class PodUse:
    """A pod that has not ended and takes something from the secret. `application`: its SparkApplication; `stream`: one that never ends."""

    name: str
    created: datetime
    application: str = ""
    stream: bool = False

    def __str__(self) -> str:
        kind = f", stream {self.application}" if self.stream else f", job {self.application}" if self.application else ""
        return f"pod {self.name} (since {self.created:%F %T} UTC{kind})"


class RotationClient(KeyPairClient, Protocol):
    """What a rotation needs beyond what a key pair needs. All times are the API server's."""

    def patch_secret(self, namespace: str, name: str, values: Mapping[str, Secret | None]) -> None:
        """Set these keys of a secret that is there, or remove them (None), in one step; its others are left alone."""

    def written(self, namespace: str, name: str, key: str) -> datetime | None:
        """When this key of the secret was last written; None when that was not recorded."""

    def clock(self, namespace: str) -> datetime:
        """What time it is, asked of whoever keeps that namespace."""

    def pods_with(self, namespace: str, secret: str) -> list[PodUse]:
        """The pods that have not ended and refer to the secret."""

    def keys_of(self, user: str) -> dict[str, str]:
        """The user's access keys, each with the name that MinIO keeps with it."""

    def remove_access_key(self, access_key: str) -> None:
        """Remove it from MinIO; none is no error."""

    def tenant(self, pair: Pair) -> Tenant:
        """The object store as the owner of this pair sees it."""


@dataclass(frozen=True)
class Report:
    """How a rotation stands: JSON-ready by `as_dict`, without secrets. Access keys are shown by half.

    `old` is empty when no earlier access key is valid any more. `settles`: seconds until every node surely has the new pair.
    `due`: the streams among those that wait, once a restart would surely give them the new pair.
    """

    user: str
    new: str
    old: str = ""
    revoked: str = ""
    waiting: tuple[PodUse, ...] = ()
    settles: int = 0
    orphans: tuple[str, ...] = ()
    due: tuple[str, ...] = ()

    @property
    def clear(self) -> bool:
        """Whether nothing uses the old access key any more."""
        return bool(self.old) and not self.waiting and not self.settles

    def as_dict(self) -> dict[str, Any]:
        """For XCom and `--json`."""
        pods = [{"pod": p.name, "created": p.created.isoformat(), "application": p.application, "stream": p.stream} for p in self.waiting]
        return {"user": self.user, "new": self.new, "old": self.old, "revoked": self.revoked, "waiting": pods,
                "settles": self.settles, "orphans": list(self.orphans)}  # fmt: skip

    def lines(self, ours: str = "") -> Iterator[str]:
        """For a person. `ours`: the stream that Homelake restarts itself."""
        yield f"{self.user}: the access key in use is {self.new}"
        if self.revoked:
            yield f"the old one, {self.revoked}, is revoked"
        if self.old:
            yield f"the old one, {self.old}, is still valid" + (f"; every node has the new one in {self.settles} s at most" if self.settles else "")
        yield from (f"  used by {p}" for p in self.waiting)
        if ours in (streams := {p.application for p in self.waiting if p.stream}):
            yield f"  {ours} ends at a batch boundary and begins anew, with the new one, as soon as every node has it"
        if others := sorted(streams - {ours}):
            yield f"  streams do not end by themselves; restart the SparkApplication: {', '.join(others)}"
        if self.orphans:
            yield (f"left alone: {', '.join(self.orphans)}, made by Homelake earlier and in no secret now. "
                   f"`mc admin user svcacct ls ALIAS {self.user}` shows them in full, `svcacct rm` removes one")  # fmt: skip


@dataclass(frozen=True)
class KeyRotation:
    """The rotation of one pair. `scope` is where its user may try it out, as `datalake` or `datalake/raw/`; `writes`: whether it may write there.
    `keeps`: whether the bucket keeps what is written for its retention."""

    key_pair: KeyPair
    scope: str
    writes: bool = True
    keeps: bool = False

    def begin(self, client: RotationClient, say: Callable[[str], None]) -> None:
        """The first phase: a second pair beside the first, tried out, then in the secret. Does nothing when an earlier rotation is not finished."""
        pair, values = self.key_pair, self._values(client)
        if PREVIOUS in values:
            say(f"a rotation begun earlier is not finished: going on with it; the next one makes a new pair for {pair.user}")
            return
        current = pair.pair(client)
        if current.access_key == pair.user:
            raise Refused("rotate", pair.id, f"the secret {pair.namespace}/{pair.name} holds the user's own name and password, which cannot be changed in two phases",
                          "Delete the secret, and ./lake apply makes an access key for it")  # fmt: skip
        self._revocable(client, current.access_key)
        new = self._next(client, values, current)
        pair.make_accepted(client, new)
        say(f"{new} is valid beside {current}")
        self._try_out(client.tenant(new))
        say(f"{new} can do what a job needs")
        client.patch_secret(pair.namespace, pair.name, {pair.keys[0]: Secret(new.access_key), pair.keys[1]: new.secret_key,
                                                        NEXT[0]: None, NEXT[1]: None, PREVIOUS: Secret(current.access_key)})  # fmt: skip
        say(f"the secret {pair.namespace}/{pair.name} holds {new}; pods that start now take it")

    def look(self, client: RotationClient) -> Report:
        """How it stands. Reads only."""
        pair, values, current = self.key_pair, self._values(client), self.key_pair.pair(client)
        old, upcoming = values.get(PREVIOUS), pair_in(values, NEXT)
        known = {current.access_key, old.reveal() if old else "", upcoming.access_key if upcoming else ""}
        orphans = sorted(half(k) for k, name in client.keys_of(pair.user).items() if name == OURS and k not in known)
        report = Report(pair.user, half(current.access_key), orphans=tuple(orphans))
        if not old:
            return report
        # The clock is read before the pods: who comes in between is too late to get the old pair, or is in the list.
        switched, now = client.written(pair.namespace, pair.name, PREVIOUS), client.clock(pair.namespace)
        pods = client.pods_with(pair.namespace, pair.name)
        late = switched + MARGIN if switched else None  # not recorded: every pod counts
        waiting = tuple(sorted((p for p in pods if late is None or p.created < late), key=lambda p: (p.created, p.name)))
        settles = max(0, round((late - now).total_seconds())) if late else 0
        # Where it was not recorded when the pair was switched, a restart would not be seen either.
        due = tuple(sorted({p.application for p in waiting if p.stream})) if late and not settles else ()
        return replace(report, old=half(old.reveal()), waiting=waiting, settles=settles, due=due)

    def finish(self, client: RotationClient) -> Report:
        """The second phase: once no pod uses the old access key, revoke it. Else nothing is changed, and the report says who uses it."""
        report, pair = self.look(client), self.key_pair
        if not report.clear:
            return report
        old, current = self._values(client)[PREVIOUS].reveal(), pair.pair(client)
        if pair.owner_of(client, current.access_key) != pair.user or not client.accepts(current):
            raise LakeError("revoke", f"the old access key of {pair.user}", "MinIO does not accept the new pair", "Run ./lake apply, which mends that, and then again")  # fmt: skip
        if old != current.access_key and self._revocable(client, old):
            client.remove_access_key(old)
        client.patch_secret(pair.namespace, pair.name, {PREVIOUS: None})
        return replace(report, old="", revoked=report.old)

    def _values(self, client: RotationClient) -> dict[str, Secret]:
        pair = self.key_pair
        if taken := {*NEXT, PREVIOUS}.intersection(pair.keys):
            raise Refused("rotate", pair.id, f"the rotation keeps its own notes under {', '.join(sorted(taken))} of the secret",
                          "Declare other names: kubernetes.secret in lake.yaml")  # fmt: skip
        return client.secret(pair.namespace, pair.name) or {}

    def _revocable(self, client: RotationClient, access_key: str) -> bool:
        """Whether it is an access key of the user. False when MinIO does not know it, and for the user's own name; one of somebody else is refused."""
        if access_key == self.key_pair.user:
            return False
        owner = client.owner(access_key)
        if owner not in (None, self.key_pair.user):
            raise Refused("rotate", self.key_pair.id, f"the access key {half(access_key)} belongs to {owner}, and would be revoked at the end",
                          f"Put a pair of {self.key_pair.user} into the secret: ./lake plan")  # fmt: skip
        return owner is not None

    def _next(self, client: RotationClient, values: dict[str, Secret], current: Pair) -> Pair:
        """The pair to come: the owner's, else the one that an earlier run began with, else a random one. It is in the secret when this returns."""
        pair, given, begun = self.key_pair, client.given(self.key_pair.user), pair_in(values, NEXT)
        if given and given.access_key == current.access_key:
            raise Refused("rotate", pair.id, f"the connection {pair.connection} holds the access key in use, and two must be valid for a while",
                          "Change that connection first, to another access key and secret key; or remove it for a random pair")  # fmt: skip
        if begun and begun.access_key == current.access_key:
            begun = None
        new = given or begun or client.new_pair()
        pair.check(client, new)
        if begun and begun != new and self._revocable(client, begun.access_key):
            client.remove_access_key(begun.access_key)  # given up, and in no pod yet
        if begun != new:
            client.patch_secret(pair.namespace, pair.name, {NEXT[0]: Secret(new.access_key), NEXT[1]: new.secret_key})
        return new

    def _try_out(self, tenant: Tenant) -> None:
        """Make the calls of a job with the new pair. What must be refused is no matter here: a leaked pair is rotated whatever its rights."""
        bucket, _, prefix = self.scope.partition("/")
        try:
            if self.writes:
                checks = list(prove(tenant, bucket, "homelake-elsewhere", f"{prefix}.homelake/probe-{uuid4().hex[:12]}", keeps=self.keeps))
                wrong = [c.what for c in checks if c.allowed and not c.succeeded]
            else:
                tenant.list(bucket, prefix)
                wrong = []
        except Denied:
            wrong = [f"list {bucket}"]
        if wrong:
            raise LakeError("rotate", self.key_pair.id, f"with the new pair it may not {', '.join(wrong)}",
                            "Nothing was switched. Run ./lake plan: the policy may have been changed; then rotate again")  # fmt: skip


def rotation_of(lake: Lake, user: str = "") -> KeyRotation:
    """The rotation of a declared user's pair; of the Spark jobs' without a name. Raises LakeError when there is no such pair."""
    pairs = {p.user: p for p in lake.key_pairs}
    name = user or lake.spec.kubernetes.secret.user
    if name not in pairs:
        raise LakeError("rotate", f"keypair/{name}", "the declaration has no such key pair", f"It has those of {', '.join(pairs)}")
    declared = next(u for u in lake.spec.users if u.name == name)
    scope = declared.buckets[0]
    return KeyRotation(pairs[name], scope, declared.role != "read-only", lake.keeps(scope.partition("/")[0]))


def refers(pod: Mapping[str, Any], secret: str) -> bool:
    """Whether a pod (in the API's JSON form) has not ended and takes something from the secret: a variable, all of its keys, or a volume."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    spec = pod.get("spec") or {}
    containers = [c for kind in ("containers", "initContainers", "ephemeralContainers") for c in spec.get(kind) or ()]
    names = [((e.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name") for c in containers for e in c.get("env") or ()]
    names += [(e.get("secretRef") or {}).get("name") for c in containers for e in c.get("envFrom") or ()]
    for volume in spec.get("volumes") or ():
        names.append((volume.get("secret") or {}).get("secretName"))
        names += [(s.get("secret") or {}).get("name") for s in (volume.get("projected") or {}).get("sources") or ()]
    return secret in names
