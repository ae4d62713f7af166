"""Why a connection failed, in a few words: libraries wrap the cause in their own objects' text."""

import re

_KNOWN = ("Connection refused", "Connection reset", "No route to host", "Network is unreachable", "timed out", "Name or service not known", "Temporary failure in name resolution")  # fmt: skip


def network_cause(error: BaseException) -> str:
    """The cause of a failed connection, as `connection refused`; else the error's first line."""
    text = f"{error} {error.__cause__ or ''} {getattr(error, 'errors', '')}"
    if match := re.search(r"certificate verify failed: ([^('\"]+)", text):
        return f"its certificate is not trusted: {match[1].strip()}"
    known = next((k for k in _KNOWN if k in text), None)
    if known is None and re.search(r"ProtocolError|Remote end closed|IncompleteRead|RemoteDisconnected", text):
        return "the connection broke off"
    return known.lower() if known else (str(error) or type(error).__name__).splitlines()[0][:200]
