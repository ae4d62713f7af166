"""Schedules: what is taken is what Airflow's own reader takes, but for times that never come and forms that nobody needs."""

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from include.lake.spec.cron import cron

GOOD = ["0 6 * * *", "*/15 0-6,22 1 JAN-MAR MON#2", "59 23 31 12 7", "5/10 * ? * 1-5", "0 0 L * ?", "0 0 * feb,Apr-Jan sun", "0 22-2 * * *", "0 0 29 2 *", "0 0 31 2 1",
        "@daily", "@quarterly", "* * * * L5", "0-59/7 * * * *", "00 06 * * *", "0 0 15W * *", "0 0 L,30 2 *", "0 0 * * mon#1,fri#2"]  # fmt: skip
BAD = {
    "61 * * * *": "its minute '61' is not one of 0 to 59",
    "60 * * * *": "its minute '60'",
    "* 24 * * *": "its hour '24' is not one of 0 to 23",
    "* * 0 * *": "its day '0' is not one of 1 to 31",
    "* * 32 * *": "its day '32'",
    "* * * 13 *": "its month '13' is not one of 1 to 12 or jan to dec",
    "* * * * 8": "its weekday '8' is not one of 0 to 7 or sun to sat",
    "a b c d e": "its minute 'a'",
    "*/0 * * * *": "its minute '*/0'",
    "*/x * * * *": "its minute '*/x'",
    "1-70 * * * *": "its minute '70'",
    "1, * * * *": "its minute ''",
    "* ? * * *": "its hour '?'",
    "* * * mon *": "its month 'mon'",
    "* * * * mon#6": "its weekday 'mon#6'",
    "* * * * #2": "its weekday '#2'",
    "* * * * 2,mon#2": "puts in one list what goes only alone",
    "* * 15w,3 * *": "puts in one list",
    "* * 32w * *": "its day '32'",
    "* * w5w * *": "its day 'w5w'",
    "* * * * *#2": "its weekday '*#2'",
    "* * * * 1-3#2": "its weekday",
    "* * * *": "is not a cron expression of five fields, as 0 6 * * *",
    "* * * * * *": "of five fields",
    " * * * * *": "of five fields",
    "@reboot": "of five fields",
    "": "of five fields",
    "0 0 30 2 *": "never comes: no month of 2 has a day 30",
    "0 0 31 apr,jun *": "never comes",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_time_that_comes_is_taken(text: str) -> None:
    assert cron(text) == text
    assert croniter.is_valid(text) or text == "@quarterly", "which is Airflow's own"


@pytest.mark.parametrize("text", BAD)
def test_one_that_no_clock_has_is_told(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        cron(text)
    assert BAD[text] in str(caught.value)
    if "never" not in BAD[text] and len(text.split(" ")) == 5:
        assert not croniter.is_valid(text)


ITEM = st.from_regex(r"(\*|[0-9]{1,2}|[0-9]{1,2}-[0-9]{1,2}|jan|mon|L|MON-FRI|feb-3|[0-7]#[0-9]|mon-fri#2|L?[0-9]{1,2}W?|W[0-9])(/[0-9]{1,2})?", fullmatch=True)
FIELD = st.lists(ITEM, min_size=1, max_size=2).map(",".join) | st.sampled_from(["*", "?", "L3", "x"])


@given(st.tuples(*[st.just("*") | FIELD] * 5).map(" ".join))
def test_whatever_is_taken_is_also_taken_by_airflow(text: str) -> None:
    try:
        cron(text)
    except ValueError:
        return
    assert croniter.is_valid(text)
