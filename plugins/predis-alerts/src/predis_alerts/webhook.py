"""The webhook: a thread that posts notices, signed, one after the other, until they arrive."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import random
import re
import threading
import urllib.error
import urllib.request
from collections import Counter, deque
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

from predis_alerts.config import Webhook
from predis_alerts.notices import Notice
from predis_core.clock import NANOSECONDS, Clock

logger = logging.getLogger("predis.alerts")

QUEUE_AT_MOST = 256
"""Notices that wait; of more, the oldest are dropped."""

DROPPED = ("queue", "failed", "refused", "closed")
"""Why a notice is given up: too many waited, no try succeeded, the receiver will not have it, the
process ended first."""

LONGEST_WAIT = 60.0
"""Seconds between two tries at most, also if the receiver asks for more."""

_TRY_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which the same request may succeed."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what the header `Predis-Signature` holds: HMAC-SHA256 of "TIMESTAMP.BODY"."""
    signed = timestamp.encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


class _Letter(NamedTuple):
    """A notice on its way.

    Attributes:
        cache: the cache that it counts for.
        id: the same for every try.
        body: what is posted.
    """

    cache: str
    id: str
    body: bytes


class _Failure(Exception):
    """A try that did not succeed.

    Args:
        reason: why, without what may be secret.
        is_final: whether trying again is of no use.
        wait: seconds that the receiver asks to wait.
    """

    def __init__(self, reason: str, *, is_final: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.wait = wait


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: it would turn the POST into a GET, or lead a secret elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Sender:
    """Posts notices from a thread of its own; whoever hands one over never waits.

    Args:
        config: the table `webhook`.
        clock: where the time of signatures comes from.

    Attributes:
        trouble: why the last try failed; "" if it succeeded, or there was none.
    """

    def __init__(self, config: Webhook, clock: Clock | None = None) -> None:
        self.trouble = ""
        self._config = config
        self._clock = clock or Clock()
        self._url = config.url.reveal()
        self._host = urlsplit(self._url).netloc
        self._agent = f"predis-alerts/{version('predis-alerts')}"
        self._opener = urllib.request.build_opener(_Stay)
        self._delivered: Counter[str] = Counter()
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._waiting: deque[_Letter] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._is_idle = True
        # Once a process ends no thread can be started, and its last notices want one.
        self._thread = threading.Thread(target=self._run, name="predis-alerts-webhook", daemon=True)
        self._thread.start()

    def put(self, notice: Notice) -> None:
        """Queue a notice."""
        number = str(uuid4())
        letter = _Letter(notice.cache, number, notice.document(number))
        with self._changed:
            if len(self._waiting) >= QUEUE_AT_MOST:
                self._drop(self._waiting.popleft(), "queue")
            self._waiting.append(letter)
            self._changed.notify_all()

    def delivered(self, cache: str) -> int:
        """Return how many of a cache's notices arrived."""
        with self._changed:
            return self._delivered[cache]

    def dropped(self, cache: str) -> dict[str, int]:
        """Return how many of a cache's notices were given up, by reason."""
        with self._changed:
            return {reason: self._dropped[cache, reason] for reason in DROPPED}

    def close(self) -> None:
        """Try all that waits once more, for as long as `flush`, and end. Twice is harmless."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(self._has_ended, float(self._config.flush))
            left = len(self._waiting) + (not self._is_idle)
            while self._waiting:
                self._drop(self._waiting.popleft(), "closed")
        if left:
            logger.warning("webhook: closed with %d notices that had not arrived", left)

    def _has_ended(self) -> bool:
        return self._is_idle and not self._waiting

    def _drop(self, letter: _Letter, reason: str) -> None:
        self._dropped[letter.cache, reason] += 1

    # ------------------------------------------------------------------ in its thread

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                letter = self._waiting.popleft()
                self._is_idle = False
            try:
                self._deliver(letter)
            except Exception:  # whatever it is: the next notice may fare better
                logger.exception("webhook: a notice could not be sent")
                self._give_up(letter, "failed")

    def _deliver(self, letter: _Letter) -> None:
        """Try until a notice arrives, or there is no use in trying; once more if it closes."""
        for number in range(self._config.retries + 1):
            is_last = self._closing or number == self._config.retries
            try:
                self._post(letter)
            except _Failure as failure:
                self._say(str(failure))
                if failure.is_final:
                    self._give_up(letter, "refused")
                    return
                if is_last:
                    break
                self._rest(number, failure.wait)
            else:
                self._say("")
                with self._changed:
                    self._delivered[letter.cache] += 1
                return
        self._give_up(letter, "failed")

    def _give_up(self, letter: _Letter, reason: str) -> None:
        with self._changed:
            self._drop(letter, reason)

    def _rest(self, number: int, asked: float) -> None:
        """Wait for the next try, or until the plugin closes."""
        wait = min(float(self._config.backoff) * 2**number, LONGEST_WAIT)
        # So that the processes of a service do not all come back at once.
        wait *= random.uniform(0.5, 1.0)
        with self._changed:
            self._changed.wait_for(lambda: self._closing, max(wait, min(asked, LONGEST_WAIT)))

    def _say(self, trouble: str) -> None:
        """Take note of how it goes; a change is logged, further failures are not."""
        if trouble and not self.trouble:
            logger.warning("webhook: %s: %s", self._host, trouble)
        elif self.trouble and not trouble:
            logger.warning("webhook: %s: notices arrive again", self._host)
        self.trouble = trouble

    def _post(self, letter: _Letter) -> None:
        """Post once.

        Raises:
            _Failure: if it did not arrive.
        """
        timestamp = str(self._clock.wall() // NANOSECONDS)
        headers = {
            **{name: value.reveal() for name, value in self._config.headers.items()},
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            "Predis-Delivery": letter.id,
            "Predis-Timestamp": timestamp,
        }
        if self._config.secret is not None:
            headers["Predis-Signature"] = signature(
                self._config.secret.reveal(), timestamp, letter.body
            )
        request = urllib.request.Request(self._url, letter.body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=float(self._config.timeout)):
                return
        except urllib.error.HTTPError as error:
            with error:
                raise _failure_of(error.code, error.headers.get("Retry-After", "")) from None
        except (OSError, http.client.HTTPException) as error:
            # An URLError is an OSError; what it wraps says more.
            raise _Failure(_reason(getattr(error, "reason", error))) from None


def _failure_of(status: int, retry_after: str) -> _Failure:
    wait = float(retry_after) if re.fullmatch(r"[0-9]{1,6}", retry_after) else 0.0
    is_final = status < 500 and status not in _TRY_AGAIN
    return _Failure(f"the receiver answered {status}", is_final=is_final, wait=wait)


def _reason(error: object) -> str:
    return f"{type(error).__name__}: {error}"[:200] if isinstance(error, Exception) else str(error)
