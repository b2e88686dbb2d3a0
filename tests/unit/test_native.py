"""The methods of C: verified before a class gets them, and left out where they do not fit."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

import predis_core as predis
from predis_core import native
from predis_core.table import codegen
from predis_core.table import context as words
from tests.support.scalars import compiled, verbs


class Base(native.NativeFace):
    """A class with plain methods of its own."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Get."""
        return key, default

    def set(self, key: Any, value: Any, *, ttl: Any = None) -> Any:
        return key, value, ttl

    def get_or_load(self, key: Any, loader: Any = None, *, ttl: Any = None) -> Any:
        return key, loader, ttl

    def __getitem__(self, key: Any) -> Any:
        return key

    def __setitem__(self, key: Any, value: Any) -> Any:
        return key, value

    def __contains__(self, key: Any) -> bool:
        return bool(key)

    def _hit(self, key: Any, default: Any) -> Any:
        return default


def installed(base: type) -> bool:
    return native._installed.__wrapped__(base)


def test_a_class_gets_methods_of_c_that_leave_all_to_its_own() -> None:
    assert installed(Base)
    thing = Base()
    assert type(Base.__dict__["get"]) is type(str.split)
    for context in (None, native.OFF):
        if context is not None:
            thing._native = context
        assert thing.get(1) == (1, None)
        assert thing.get(1, default=2) == thing.get(key=1, default=2) == (1, 2)
        assert thing.set(1, 2, ttl=3) == (1, 2, 3)
        assert thing.get_or_load(1) == (1, None, None)
        assert thing[1] == 1
        assert 1 in thing
        assert 0 not in thing
        assert thing._hit(1, 2) == 2


def test_where_the_interpreter_is_laid_out_otherwise_plain_python_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, offset in (("ARRAY_DATA", 0), ("OBJECT_TYPE", 0), ("STR_HASH", 16)):
        with monkeypatch.context() as patch:
            patch.setattr(words, name, offset)
            assert native._offset_of_slot() is None
    assert native._offset_of_slot() == 16
    monkeypatch.setattr(native.sys.implementation, "name", "other")
    assert native._offset_of_slot() is None
    monkeypatch.setattr(native, "_installed", native._installed.__wrapped__)
    cache = compiled(predis.Cache(100))
    assert not any(verbs(cache))
    cache[1] = 2
    assert cache[1] == 2


def test_methods_that_lose_what_they_are_given_are_not_put_into_a_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plain(self: Any, key: Any, *rest: Any, **named: Any) -> Any:
        return None

    rehearsal = type("Wrong", (native.NativeFace,), dict.fromkeys(native._METHODS, plain))
    monkeypatch.setattr(native, "_rehearsal", lambda: rehearsal)
    assert not installed(type("Other", (Base,), {}))


def test_ints_whose_digits_lie_elsewhere_are_asked_for_their_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def use() -> None:
        cache = compiled(predis.Cache(100))
        for number in (0, 1, -1, 1 << 29, 1 << 30, 1 << 59, 1 << 60, 1 << 61, 1 << 70):
            cache[number] = number
            assert cache[int(str(number))] == number

    use()  # kernels are kept on disk: none may be compiled while the digits seem to lie elsewhere
    one, two = native._digit_tags()
    assert one == ctypes.c_int64.from_address(id(7) + words.INT_TAG).value
    assert two == ctypes.c_int64.from_address(id(1 << 40) + words.INT_TAG).value
    monkeypatch.setattr(words, "INT_DIGITS", words.OBJECT_TYPE)
    assert native._digit_tags.__wrapped__() == (native._NO_TAG + 1, native._NO_TAG + 2)
    monkeypatch.setattr(native, "_digit_tags", native._digit_tags.__wrapped__)
    use()


def test_kernels_that_live_in_memory_only_are_not_joined_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise ModuleNotFoundError("gone")

    cache: predis.Cache[Any, Any] = predis.Cache(100)
    monkeypatch.setattr(codegen, "load", refuse)
    compiled(cache)
    monkeypatch.undo()
    assert not any(verbs(cache))
    assert compiled(predis.Cache(100)).get(1, 2) == 2
    for _ in range(2 * native.CALLS):
        cache[1] = 1
    assert not any(verbs(cache))  # it is not tried again


def test_a_cache_has_no_more_attributes_than_are_fast_to_get() -> None:
    """From thirty on, CPython keeps them in a dict of their own: a fifth more for each `get`."""
    assert len(vars(predis.Cache(9))) < 30
