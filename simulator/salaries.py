"""Pay days: an account with a salary gets it at its own moment of the day."""

from datetime import UTC, datetime, timedelta

import numpy as np

from simulator.events import Channel, Events, Kind, events, joined
from simulator.population import DAY_MS, FIFTEENTH, FIRST, FRIDAY, TWENTY_FIFTH, Population
from simulator.stream import Stream


def _due(day: datetime) -> list[int]:
    """The rules by which a day is a pay day."""
    named = {FIRST: day.day == 1, FIFTEENTH: day.day == 15, TWENTY_FIFTH: day.day == 25, FRIDAY: day.weekday() == 4}
    return [rule for rule, due in named.items() if due]


def salaries(stream: Stream, people: Population, epoch: int) -> Events | None:
    """The salaries that come in an epoch, with their times."""
    if stream.over(epoch):
        return None
    begin, end = stream.begins(epoch), stream.begins(epoch + 1)
    found = []
    day = datetime.fromtimestamp(begin // DAY_MS * DAY_MS / 1000, UTC)
    while (midnight := round(day.timestamp() * 1000)) < end:
        for rule in _due(day):
            accounts, moments = people.paid_by_rule[rule]
            low, high = np.searchsorted(moments, [begin - midnight, end - midnight])
            if high > low:
                mine = accounts[low:high]
                amount, currency = people.salary[mine], people.currency[mine]
                found.append(events(len(mine), account=mine, ts=moments[low:high] + midnight, kind=Kind.SALARY, channel=Channel.BANK, amount=amount,
                                    currency=currency, billed=amount, other=people.employer(mine)))  # fmt: skip
        day += timedelta(days=1)
    return joined(found) if found else None
