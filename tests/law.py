"""The law of a resource, as a check that any resource and any start state can be put to."""

import copy
from collections.abc import Callable, Collection
from typing import Any

from include.lake.errors import LakeError, Refused
from include.lake.resource import Resource, ensure, plan
from tests.fakes.base import Fake, Killed


def holds(
    resource: Resource[Any, Any],
    start: Fake,
    restart: Callable[[Any], None] = lambda fake: None,
    force: Collection[str] = (),
    meanwhile: Callable[[Any], None] = lambda fake: None,
) -> bool:
    """From this start: refused and nothing written; or converged, and a second run writes nothing, and so after a kill at any call.

    `restart` lets what is pending take hold; `meanwhile` is what others do after a kill. Returns whether the start was accepted, so that a test can see that it tried both.
    """
    first = copy.deepcopy(start)
    try:
        ensure(resource, first, force=force)
    except Refused:
        assert not first.writes, f"refused, but {first.writes} had been called"
        return False
    _converged(resource, first, restart)
    for number in range(len(first.writes)):
        for when in ("before", "during", "after"):
            killed = copy.deepcopy(start)
            killed.kill_at = (number, when)
            _dies(resource, killed, force)
            killed.kill_at = None
            meanwhile(killed)
            ensure(resource, killed, force=force)
            _converged(resource, killed, restart)
    return True


def _dies(resource: Resource[Any, Any], fake: Fake, force: Collection[str]) -> None:
    try:
        ensure(resource, fake, force=force)
    except Killed:
        return
    except LakeError as error:  # pragma: no cover (a test's own failure)
        raise AssertionError(f"died of {error} instead of the kill") from error
    raise AssertionError("it was not killed: the second start made fewer calls than the first")


def _converged(resource: Resource[Any, Any], fake: Fake, restart: Callable[[Any], None]) -> None:
    before = list(fake.writes)
    todo, _ = plan(resource, fake)
    assert not todo, f"not converged: {todo.changes}"
    again = ensure(resource, fake)
    assert not again.applied
    assert fake.writes == before, f"a second run wrote: {fake.writes[len(before) :]}"
    restart(fake)
    after, _ = plan(resource, fake)
    assert not after, f"after the restart: {after}"
    assert not after.pending, f"still pending after the restart: {after}"
