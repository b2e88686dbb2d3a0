"""The section `[plugins.alerts]`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from predis_alerts.conditions import check_clear, condition_of
from predis_core.plugin import Duration, Secret

_Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_.-]{1,100}\Z",
        extra={"expected": "a name of at most 100 letters, digits, '_', '.' and '-'"},
    ),
]
_Text = Annotated[str, Meta(min_length=1)]
_Measure = Annotated[
    str,
    Meta(
        pattern=r"\A(value|rate|increase|mean|p[0-9]{1,2}(\.[0-9]+)?)\Z",
        extra={"expected": "'value', 'rate', 'increase', 'mean' or a quantile such as 'p99'"},
    ),
]


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to give an alert.

    Attributes:
        name: what the alert is called; each rule has another name.
        metric: a name of the catalogue, as "predis.cache.evictions", or of another plugin's
            metric; or "hit_ratio", "miss_ratio", "byte_hit_ratio", "load_failure_ratio", "fill".
        condition: one of < <= > >= == != and a number, as "< 0.8", "> 90%", "> 50ms" or "> 1GiB".
        measure: what is compared: "value", "rate" (per second), "increase", "mean", or a quantile
            as "p99"; left out: the value of a gauge, the rate of a counter, "p99" of a histogram.
        over: for all but values of now, how far back it is looked.
        for_: `for`: how long the condition has to hold before there is an alert; left out: no time.
        clear: the value at which an alert ends; left out: that of the condition.
        severity: "info", "warning" or "error".
        labels: patterns, with * and ?, that the labels of the metric have to match; `cache`, if it
            is left out, is the cache as a whole.
        cooldown: after an alert was told, the same one is not told again within this time.
    """

    name: _Name
    metric: _Text
    condition: str
    measure: _Measure | None = None
    over: Duration = Duration(300)
    for_: Duration | None = field(default=None, name="for")
    clear: float | str | None = None
    severity: Literal["info", "warning", "error"] = "warning"
    labels: dict[str, str] = {}
    cooldown: Duration = Duration(300)

    def __post_init__(self) -> None:
        condition = condition_of(self.condition)
        if self.clear is not None:
            check_clear(condition, self.clear)


class Webhook(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where notices are sent by HTTP.

    Attributes:
        url: where notices are posted to, as JSON; as it may be a secret itself, "${NAME}" and
            "file:/path" are taken as well.
        secret: what notices are signed with; left out: they are not.
        timeout: how long the receiver may take for each step of an answer.
        retries: how often a notice is sent again that did not arrive.
        backoff: about how long to wait before the first retry; twice as long before each further
            one, up to a minute.
        headers: further headers, each of which may be "${NAME}" or "file:/path".
        events: send what the core and other plugins emit as events, too.
        flush: how long a process that closes its last cache waits for notices to arrive.
    """

    url: Secret
    secret: Secret | None = None
    timeout: Duration = Duration(5)
    retries: Annotated[int, Meta(ge=0, le=100)] = 10
    backoff: Duration = Duration(1)
    headers: dict[str, Secret] = {}
    events: bool = False
    flush: Duration = Duration(3)

    def __post_init__(self) -> None:
        _check_url(self.url.reveal())
        if self.secret is not None and not self.secret.reveal():
            raise ValueError("secret: is empty; give one, or leave it out")
        for name, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise ValueError(f"headers: {name!r} is no name of an HTTP header")
            if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value.reveal()):
                raise ValueError(f"headers: the value of {name!r} cannot be sent; use one line")
            if name.lower() in _OWN:
                raise ValueError(f"headers: {name!r} is set by the plugin; leave it out")


class AlertsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched, and who is told.

    Attributes:
        interval: how often the rules are looked at.
        rules: `[[plugins.alerts.rules]]`, each with a `name`, a `metric` and a `condition`.
        log: write notices to the logger `predis.alerts`.
        webhook: `[plugins.alerts.webhook]`, with a `url` that notices are posted to.
        per_minute: notices given at most within a minute; what comes on top is told as a summary.
    """

    interval: Duration = Duration(10)
    rules: tuple[Rule, ...] = ()
    log: bool = True
    webhook: Webhook | None = None
    per_minute: Annotated[int, Meta(ge=1)] = 20

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"rules: {name!r} is the name of several; give each its own")


_OWN = {
    *("content-type", "content-length", "transfer-encoding", "host", "connection", "user-agent"),
    *("predis-delivery", "predis-timestamp", "predis-signature"),
}
"""Headers that are not a user's to set, in lower case."""


def _check_url(url: str) -> None:
    expected = 'url: expected one as "https://example.org/path"'
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError(f"{expected}; it has characters that a URL cannot have")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{expected}; its host or its port is none") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{expected}; it has to begin with http:// or https:// and name a host")
    if parts.username is not None:
        raise ValueError("url: a user and a password in it are not sent; put them into `headers`")
