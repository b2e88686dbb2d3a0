"""The webhook against an HTTP server: signed, retried, never twice, bounded, and done in time."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any

import pytest

from predis_alerts import webhook
from predis_alerts.config import Webhook
from predis_alerts.notices import Notice
from predis_alerts.webhook import QUEUE_AT_MOST, Sender
from predis_core.clock import NANOSECONDS, ManualClock
from predis_core.config import PluginSection, decode_section
from predis_core.plugin import Event, Secret

NOW = 1_800_000_000
Wait = Callable[[Callable[[], Any]], Any]


def notice(number: int = 0, cache: str = "shop", **data: Any) -> Notice:
    event = Event(kind="alert.firing", message=f"number {number}", severity="error", data=data)
    return Notice(cache=cache, event=event, time=NOW * NANOSECONDS)


@pytest.fixture
def sending() -> Iterator[Callable[..., Sender]]:
    """Starts senders, and closes them."""
    with ExitStack() as stack:

        def start(url: str, **fields: Any) -> Sender:
            section = PluginSection(
                "webhook", {"url": url, "backoff": "1ms", "timeout": "60s", **fields}
            )
            made = Sender(decode_section(section, Webhook), ManualClock(NOW))
            return stack.enter_context(closing(made))

        yield start


@pytest.fixture
def dead_url() -> Iterator[str]:
    """Where nothing answers: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/hook"


def numbers(receiver: Any) -> list[str]:
    return [request.document["message"] for request in receiver.requests]


def test_a_notice_arrives_signed(sending: Any, receiver: Any, eventually: Wait) -> None:
    headers = {"Authorization": "Bearer hush"}
    sender = sending(receiver.url, secret="top secret", headers=headers)
    sender.put(notice(rule="low", value=0.5))
    eventually(lambda: sender.delivered("shop") == 1)
    (request,) = receiver.requests
    assert (request.path, request.headers["content-type"]) == ("/hook", "application/json")
    assert request.headers["authorization"] == "Bearer hush"
    assert request.headers["user-agent"].startswith("predis-alerts/")
    document = request.document
    assert document.pop("id") == request.headers["predis-delivery"]
    assert document.pop("pid")
    assert document.pop("host") == socket.gethostname()
    assert document == {
        "version": 1,
        "kind": "alert.firing",
        "severity": "error",
        "message": "number 0",
        "cache": "shop",
        "time": "2027-01-15T08:00:00.000Z",
        "source": "alerts",
        "data": {"rule": "low", "value": 0.5},
    }
    assert datetime.fromisoformat(document["time"]).timestamp() == NOW
    timestamp = request.headers["predis-timestamp"]
    assert timestamp == str(NOW)
    signed = hmac.new(b"top secret", timestamp.encode() + b"." + request.body, hashlib.sha256)
    assert request.headers["predis-signature"] == f"v1={signed.hexdigest()}"


def test_without_a_secret_there_is_no_signature(
    sending: Any, receiver: Any, eventually: Wait
) -> None:
    sender = sending(receiver.url)
    sender.put(notice())
    eventually(lambda: sender.delivered("shop") == 1)
    assert "predis-signature" not in receiver.requests[0].headers


@pytest.mark.parametrize("answer", [500, 503, 408, 425, 429, "reset"])
def test_what_fails_is_sent_again_until_it_arrives_and_then_no_more(
    answer: int | str, sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.answers += [answer] * 3
    sender = sending(receiver.url, secret="s")
    for number in range(3):
        sender.put(notice(number))
    eventually(lambda: sender.delivered("shop") == 3)
    assert numbers(receiver) == ["number 0"] * 4 + ["number 1", "number 2"]
    assert len({request.headers["predis-delivery"] for request in receiver.requests}) == 3
    assert len({request.body for request in receiver.requests[:4]}) == 1
    assert sum(sender.dropped("shop").values()) == 0
    assert sender.trouble == ""


def test_a_receiver_that_says_nothing_is_left_after_the_timeout(
    sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.answers.append("wait")
    sender = sending(receiver.url, timeout="300ms")
    sender.put(notice())
    eventually(lambda: sender.delivered("shop") == 1)
    # The machine may be as slow as the receiver.
    assert set(numbers(receiver)) == {"number 0"}
    assert len(receiver.requests) >= 2


def test_what_no_try_brings_is_counted_and_the_next_notice_has_its_turn(
    sending: Any, receiver: Any, eventually: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers += [500] * 3
    with caplog.at_level(logging.INFO, "predis.alerts"):
        sender = sending(receiver.url, retries=2)
        sender.put(notice(0, cache="other"))
        sender.put(notice(1))
        eventually(lambda: sender.delivered("shop") == 1)
    assert sender.dropped("other") == {"queue": 0, "failed": 1, "refused": 0, "closed": 0}
    assert sum(sender.dropped("shop").values()) == 0
    told = [record.message for record in caplog.records]
    assert told[0].endswith("the receiver answered 500")
    assert told[1].endswith("notices arrive again")
    assert len(told) == 2


@pytest.mark.parametrize("answer", [400, 401, 404, 301, 307])
def test_what_is_refused_is_not_sent_again(
    answer: int, sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.headers["Location"] = receiver.url
    receiver.answers.append(answer)
    sender = sending(receiver.url)
    sender.put(notice())
    eventually(lambda: sender.dropped("shop")["refused"] == 1)
    assert sender.trouble == f"the receiver answered {answer}"
    assert len(receiver.requests) == 1


def test_a_receiver_may_ask_for_time(
    sending: Any, receiver: Any, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    real = threading.Condition.wait_for

    def wait_for(self: Any, predicate: Any, timeout: float | None = None) -> Any:
        if timeout is not None and threading.current_thread().name == "predis-alerts-webhook":
            waits.append(timeout)
            timeout = 0.001
        return real(self, predicate, timeout)

    monkeypatch.setattr(threading.Condition, "wait_for", wait_for)
    receiver.headers["Retry-After"] = "17"
    receiver.answers += [429, 503]
    sender = sending(receiver.url)
    sender.put(notice())
    eventually(lambda: sender.delivered("shop") == 1)
    assert waits == [17.0, 17.0]
    waits.clear()
    receiver.headers.clear()
    receiver.answers += [500] * 9
    other = sending(receiver.url, backoff="1s")
    other.put(notice())
    eventually(lambda: other.delivered("shop") == 1)
    longest = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(waits) == len(longest)
    for wait, most in zip(waits, longest, strict=True):
        assert most / 2 <= wait <= most
    assert len({round(wait / most, 6) for wait, most in zip(waits, longest, strict=True)}) > 1


def test_what_waits_is_bounded_and_the_newest_wins(
    sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.answers.append("wait")
    sender = sending(receiver.url, timeout="60s")
    sender.put(notice(0))
    eventually(lambda: receiver.requests)
    for number in range(1, QUEUE_AT_MOST + 51):
        sender.put(notice(number))
    assert sender.dropped("shop")["queue"] == 50
    receiver.release.set()
    eventually(lambda: sender.delivered("shop") == QUEUE_AT_MOST + 1)
    last = [f"number {number}" for number in range(51, QUEUE_AT_MOST + 51)]
    assert numbers(receiver)[-QUEUE_AT_MOST:] == last


def test_it_recovers_as_soon_as_the_receiver_is_back(
    sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.answers += ["reset", 500, 502, "reset", 500]
    sender = sending(receiver.url)
    sender.put(notice())
    eventually(lambda: sender.delivered("shop") == 1)
    assert sender.trouble == ""


def test_closing_delivers_what_waits(sending: Any, receiver: Any) -> None:
    sender = sending(receiver.url, flush="60s")
    for number in range(20):
        sender.put(notice(number))
    sender.close()
    assert numbers(receiver) == [f"number {number}" for number in range(20)]
    assert sender.delivered("shop") == 20


def test_closing_tries_once_more_in_place_of_waiting(
    sending: Any, receiver: Any, eventually: Wait
) -> None:
    receiver.answers.append(500)
    sender = sending(receiver.url, backoff="1h", flush="60s")
    sender.put(notice())
    eventually(lambda: sender.trouble)
    sender.close()
    assert sender.delivered("shop") == 1


def test_closing_gives_up_what_nobody_takes(
    sending: Any, dead_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    sender = sending(dead_url, backoff="1h", flush="60s")
    for number in range(5):
        sender.put(notice(number))
    sender.close()
    assert sum(sender.dropped("shop").values()) == 5
    assert sender.delivered("shop") == 0


def test_closing_waits_no_longer_than_it_may(
    sending: Any, receiver: Any, eventually: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers.append("wait")
    sender = sending(receiver.url, timeout="60s", flush="50ms")
    for number in range(3):
        sender.put(notice(number))
    eventually(lambda: receiver.requests)
    sender.close()  # would take a minute
    assert sender.dropped("shop")["closed"] == 2
    assert caplog.messages[-1] == "webhook: closed with 3 notices that had not arrived"
    receiver.release.set()
    assert eventually(lambda: not sender._thread.is_alive()) is not False


def test_a_secret_is_in_no_log_and_no_trouble(
    sending: Any, dead_url: str, eventually: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        sender = sending(f"{dead_url}/hush", secret="hush", headers={"X": "hush"}, retries=0)
        sender.put(notice())
        eventually(lambda: sender.dropped("shop")["failed"] == 1)
    assert "refused" in sender.trouble
    assert "hush" not in caplog.text + sender.trouble + repr(vars(sender)["_config"])


def test_data_that_is_no_json_is_told_as_text() -> None:
    document = json.loads(notice(what={1, 2}, secret=Secret("hush"), gone=object).document("1"))
    assert document["data"]["what"] == [1, 2]
    assert "hush" not in json.dumps(document)
    endless: dict[str, Any] = {"a": 1}
    endless["self"] = endless
    document = json.loads(notice(endless=endless).document("1"))
    assert "'a': 1" in document["data"]["text"]


def test_a_fault_of_ones_own_is_no_end(
    sending: Any, receiver: Any, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = webhook.Sender._post
    told: list[Any] = []

    def post(self: Sender, letter: Any) -> None:
        told.append(letter)
        if len(told) == 1:
            raise RuntimeError("not expected")
        real(self, letter)

    monkeypatch.setattr(webhook.Sender, "_post", post)
    sender = sending(receiver.url)
    sender.put(notice(0))
    sender.put(notice(1))
    eventually(lambda: sender.delivered("shop") == 1)
    assert sender.dropped("shop")["failed"] == 1
