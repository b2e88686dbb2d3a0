"""The section, and what the environment adds to it."""

from __future__ import annotations

from typing import Any

import pytest

from predis_core.plugin import Secret
from predis_newrelic.config import NewRelicConfig, with_environment


def completed(environ: dict[str, str] | None = None, **fields: Any) -> NewRelicConfig:
    fields.setdefault("license_key", Secret("0123", "given"))
    return with_environment(NewRelicConfig(**fields), environ or {})


def test_the_key_comes_from_the_section_or_the_environment() -> None:
    environ = {"NEW_RELIC_LICENSE_KEY": "abc"}
    found = completed(environ, license_key=None).license_key
    assert found is not None
    assert found.reveal() == "abc"
    found = completed(environ).license_key
    assert found is not None
    assert found.reveal() == "0123"
    with pytest.raises(ValueError, match=r"^license_key: one is needed; .*NEW_RELIC_LICENSE_KEY"):
        completed(license_key=None)


@pytest.mark.parametrize(
    ("key", "fields", "region"),
    [
        ("eu01xx01", {}, "eu"),
        ("0123", {}, "us"),
        ("0123", {"region": "eu"}, "eu"),
        ("eu01xx01", {"region": "us"}, "us"),
        ("eu01xx01", {"host": "proxy:1"}, None),
    ],
)
def test_the_region_is_what_the_key_says(key: str, fields: dict[str, Any], region: Any) -> None:
    assert completed(license_key=Secret(key, "given"), **fields).region == region


def test_the_first_name_of_the_application_names_the_service() -> None:
    environ = {"NEW_RELIC_APP_NAME": " shop ; all"}
    assert completed(environ).attributes == {"service.name": "shop"}
    own = {"service.name": "mine", "n": 1}
    assert completed(environ, attributes=own).attributes == own


@pytest.mark.parametrize(("host", "place"), [("a:81", ("a", 81)), ("a.b", ("a.b", 443))])
def test_a_host_has_a_port(host: str, place: tuple[str, int]) -> None:
    assert completed(host=host).place == place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": "https://a"}, "host: expected a name and a port"),
        ({"host": "u:p@a"}, "host: expected a name and a port"),
        ({"host": "a:1", "region": "eu"}, "host: it takes the place of `region`"),
        ({"ca": "/x"}, "ca: it goes with a `host`"),
        ({"license_key": Secret("a b", "given")}, "license_key: expected one word"),
    ],
)
def test_mistakes_name_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        completed(**fields)


def test_a_mistake_in_the_environment_says_so() -> None:
    with pytest.raises(ValueError, match="NEW_RELIC_LICENSE_KEY in the environment"):
        completed({"NEW_RELIC_LICENSE_KEY": "a b"}, license_key=None)
