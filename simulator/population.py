"""Who pays and who is paid: customers with accounts, cards and devices, merchants, employers. A function of the seed, in columns."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from simulator.arrays import I64, U64, Codes, Purpose, bits, scaled, words
from simulator.catalogue import CATEGORIES, COUNTRIES, COUNTRY_CURRENCY, TRANSFER, amounts
from simulator.money import convert

DAY_MS = 86_400_000
NO_PAY, FIRST, FIFTEENTH, TWENTY_FIFTH, FRIDAY = range(5)  # when a salary comes


@dataclass(frozen=True)
class Tickets:
    """A lottery with more tickets for whoever is busier; participants are sorted by country, so each country is a lottery too."""

    holder: Codes
    first: I64  # of each country; one more at the end

    def draw(self, field: I64, width: int) -> I64:
        """Winners among all, for fields of random bits."""
        holder: I64 = self.holder[scaled(field, width, len(self.holder))].astype(np.int64)
        return holder

    def draw_in(self, country: I64, field: I64, width: int) -> I64:
        """Winners among the participants of a country."""
        low = self.first[country]
        holder: I64 = self.holder[low + scaled(field, width, self.first[country + 1] - low)].astype(np.int64)
        return holder


@dataclass(frozen=True)
class Population:
    """All participants. In the ledger they have one code space: accounts, then merchants, then employers, then the house's own accounts."""

    accounts: int
    merchants: int
    employers: int
    customers: int
    devices: int
    country: I64  # of each account
    currency: I64  # of each account
    customer: I64
    card: I64  # the first of the account's
    cards: I64  # how many
    device: I64  # the first of the customer's, by account
    device_count: I64
    pay_rule: I64
    pay_at: I64  # milliseconds of the day
    salary: I64  # minor units
    payers: Tickets
    shops: Tickets
    category: I64  # of each merchant
    shop_country: I64

    @property
    def fees(self) -> int:
        """The house's income from fees."""
        return self.accounts + self.merchants + self.employers

    @property
    def exchange(self) -> int:
        """The house's exchange desk: holds one side in each currency."""
        return self.fees + 1

    @property
    def cash(self) -> int:
        """What cash machines have given out."""
        return self.fees + 2

    def employer(self, account: Codes) -> I64:
        """Who pays the account's salary."""
        return self.accounts + self.merchants + account.astype(np.int64) % self.employers

    @cached_property
    def names(self) -> list[str]:
        """The names of the ledger's codes."""
        parts = (("A", self.accounts, 7), ("M", self.merchants, 6), ("E", self.employers, 6))
        return [f"{letter}{n:0{width}d}" for letter, count, width in parts for n in range(count)] + ["FEES", "EXCHANGE", "CASH"]

    @cached_property
    def paid_by_rule(self) -> dict[int, tuple[I64, I64]]:
        """For each rule of pay: the accounts in the order of the moment of the day, and those moments."""
        found = {}
        for rule in (FIRST, FIFTEENTH, TWENTY_FIFTH, FRIDAY):
            mine = np.flatnonzero(self.pay_rule == rule)
            order = mine[np.argsort(self.pay_at[mine], kind="stable")]
            found[rule] = (order, self.pay_at[order])
        return found


def _by_country(count: int) -> I64:
    """A country for each of `count`, sorted, at least one each."""
    shares = np.cumsum([0, *(c.share for c in COUNTRIES)])
    edges = np.maximum(shares * count // shares[-1], np.minimum(np.arange(len(shares)), count))
    return np.repeat(np.arange(len(COUNTRIES)), np.diff(edges))


def _tickets(busy: U64, low: int, factor: Codes | float, country: I64) -> Tickets:
    """Pareto-distributed numbers of tickets: a few are far busier than most."""
    share = (bits(busy, low, 16) + 1) / 65536
    number = np.clip(np.rint(2.0 * factor * share ** (-1 / 1.6)), 1, 200).astype(np.int64)
    holder = np.repeat(np.arange(len(number), dtype=np.int32), number)
    return Tickets(holder, np.searchsorted(country[holder], np.arange(len(COUNTRIES) + 1)))


@lru_cache(maxsize=2)
def population(seed: int, accounts: int) -> Population:
    """Everybody, for a seed and a number of accounts."""
    merchants, employers = max(len(COUNTRIES) * 40, accounts // 20), max(20, accounts // 200)
    a, b = (words(seed, Purpose.POPULATION, 0, part, accounts) for part in (1, 2))
    country = _by_country(accounts)
    currency = COUNTRY_CURRENCY[country]
    # Three customers in ten have a second account; the first of all has one of its own.
    customer = np.cumsum(np.where((bits(a, 0, 8) < 77) & (np.arange(accounts) > 0), 0, 1)) - 1
    cards = 1 + (bits(a, 8, 8) < 60)
    devices = 1 + (bits(a, 16, 8) < 140) + (bits(a, 24, 8) < 40)
    of_customer = np.unique(customer, return_index=True)[1]
    device_first = np.cumsum(devices[of_customer]) - devices[of_customer]
    rule = np.array([NO_PAY, FIRST, FIFTEENTH, TWENTY_FIFTH, FRIDAY])[np.searchsorted([77, 120, 150, 215], bits(a, 32, 8), side="right")]
    # The shape of transfers, its upper half, times 27.
    pay = amounts(np.full(accounts, TRANSFER), scaled(bits(b, 0, 16), 16, 1 << 30) + (1 << 30)) * 27 // np.where(rule == FRIDAY, 4, 1)
    salary = convert(np.minimum(pay, 2_000_000), np.zeros(accounts, np.int64), currency)
    shop = words(seed, Purpose.POPULATION, 0, 3, merchants)
    shop_country = _by_country(merchants)
    weights = np.cumsum([c.merchants for c in CATEGORIES])
    category = np.searchsorted(weights, scaled(bits(shop, 0, 20), 20, int(weights[-1])), side="right")
    return Population(
        accounts=accounts, merchants=merchants, employers=employers, customers=int(customer[-1]) + 1, devices=int(devices[of_customer].sum()),
        country=country, currency=currency, customer=customer, card=np.cumsum(cards) - cards, cards=cards,
        device=device_first[customer], device_count=devices[of_customer][customer],
        pay_rule=rule, pay_at=scaled(bits(b, 16, 32), 32, DAY_MS // 2) + DAY_MS // 4, salary=salary,
        payers=_tickets(a, 40, 1.0, country), shops=_tickets(shop, 24, np.array([c.busy for c in CATEGORIES])[category], shop_country),
        category=category, shop_country=shop_country,
    )  # fmt: skip
