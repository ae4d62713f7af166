"""A secret's value shows nowhere, whatever is done with it short of reveal()."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback

import pytest
import yaml

from include.connections import Connection
from include.lake.resources.keypair import KeyPairState, Pair
from include.lake.resources.service import ServiceState
from include.lake.secret import Secret, SecretRef

VALUE = "hunter2-and-more"
HOLDERS = [
    Secret(VALUE),
    Pair("AKEXAMPLE", Secret(VALUE)),
    KeyPairState(Pair("AKEXAMPLE", Secret(VALUE))),
    ServiceState("unit", ("A=b",), Secret(f"root:{VALUE}")),
    Connection("minio_admin", "minio", "http://h", "root", Secret(VALUE), 9000, {"token": VALUE}),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda h: type(h).__name__)
def test_no_way_of_showing_shows_it(holder: object, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").debug("%s %r", holder, holder)
    shown = [
        str(holder), repr(holder), f"{holder}", f"{holder!r:>80}", format(holder), str([holder]), str({"k": holder}),
        pprint.pformat(holder), ascii(holder), caplog.text, repr(copy.copy(holder)), repr(copy.deepcopy(holder)),
    ]  # fmt: skip
    if dataclasses.is_dataclass(holder) and not isinstance(holder, Connection):
        shown.append(str(dataclasses.asdict(holder)))  # type: ignore[call-overload]
    assert not [s for s in shown if VALUE in s]
    assert any("(secret)" in s for s in shown)


def test_a_format_width_does_not_show_it() -> None:
    assert f"{Secret(VALUE):>40}" == "(secret)"


@pytest.mark.parametrize("holder", HOLDERS[:4], ids=lambda h: type(h).__name__)
def test_it_is_never_serialised(holder: object) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never serialised"):
            pickle.dumps(holder, protocol)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(holder)
    with pytest.raises((yaml.YAMLError, TypeError)):
        yaml.safe_dump(holder)
    assert VALUE not in json.dumps(holder, default=str)


def test_a_traceback_does_not_show_it() -> None:
    try:
        raise ValueError(Secret(VALUE))
    except ValueError as error:
        assert VALUE not in "".join(traceback.format_exception(error))


def test_only_reveal_gives_it_out() -> None:
    secret = Secret(VALUE)
    assert secret.reveal() == VALUE
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        secret + "x"  # type: ignore[operator]
    with pytest.raises(TypeError):
        "".join([secret])  # type: ignore[list-item]


def test_it_compares_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret("")
    assert copy.deepcopy(Secret("a")) == copy.copy(Secret("a")) == Secret("a")


def test_a_reference_may_be_shown() -> None:
    assert repr(SecretRef("minio_admin")) == "SecretRef(connection='minio_admin', field='password')"
