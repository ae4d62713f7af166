"""What root's credentials must be like: MinIO takes no others, and systemd hands others over changed."""

import re

from include.lake.secret import Secret

WANTED = "MinIO wants a user of 3 characters or more and a password of 8 or more, without spaces, quotes and backslashes"


def fit(credentials: Secret) -> bool:
    """Whether MinIO runs with them (`user:password`) as they are. Without any it would run with its own, which everybody knows.

    >>> [fit(Secret(c)) for c in (":", "root:", "root:short", "root:a-good-password", "root:back\\\\slash")]
    [False, False, False, True, False]
    """
    login, _, password = credentials.reveal().partition(":")
    return len(login) >= 3 and len(password) >= 8 and bool(re.fullmatch(r"[^\s'\"\\=,:]+:[^\s'\"\\]+", credentials.reveal()))
