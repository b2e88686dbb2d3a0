"""What plugins keep in a cache's snapshots: saved and restored in their own threads, under guard.

A section that cannot be saved or restored is left out and warned of: the entries come first.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence

from predis_core.host.attachment import Attachment
from predis_core.host.background import LATE
from predis_core.host.guard import FAILED, Guard
from predis_core.snapshot.sections import Section
from predis_core.types import Event

logger = logging.getLogger("predis")


class Sections:
    """The sections of all plugins of a cache.

    Args:
        cache: its name.
        attachments: its plugins.
        emit: takes an event for them.
    """

    def __init__(
        self, cache: str, attachments: Sequence[Attachment], emit: Callable[[Event], None]
    ) -> None:
        self._cache, self._attachments, self._emit = cache, attachments, emit

    def save(self) -> Iterator[Section]:
        """Yield what plugins want to have kept."""
        for attachment in self._attachments:
            for name, (save, _) in attachment.sections.items():
                plugin = attachment.plugged.name
                data = _done(attachment, save)
                if isinstance(data, bytes):
                    yield Section(plugin, name, data)
                else:
                    self._warn(plugin, name, f"is not in the snapshot: {_reason(data, save)}")

    def restore(self, sections: Sequence[Section]) -> None:
        """Give every plugin what is its own; what nobody takes is warned of."""
        found = {attachment.plugged.name: attachment for attachment in self._attachments}
        for plugin, name, data in sections:
            attachment = found.get(plugin)
            if attachment is None:
                why = f"the cache has no plugin {plugin!r}; enable it, and restore again"
            elif name not in attachment.sections:
                why = "the plugin has none of that name now"
            else:
                _, restore = attachment.sections[name]
                done = _done(attachment, functools.partial(restore, data))
                if done is None:
                    continue
                why = _reason(done, restore)
            self._warn(plugin, name, f"was not restored: {why}")

    def _warn(self, plugin: str, name: str, what: str) -> None:
        message = f"cache {self._cache!r}: section {name!r} of plugin {plugin!r} {what}"
        logger.warning(message)
        data = {"plugin": plugin, "section": name}
        self._emit(Event(kind="snapshot.section", message=message, severity="warning", data=data))


def _done(attachment: Attachment, job: Callable[[], object]) -> object:
    """Return what a job returns in the plugin's thread; LATE or FAILED if it does not."""
    assert attachment.plugged.worker is not None
    return attachment.plugged.worker.ask(job)


def _reason(result: object, guard: Guard) -> str:
    if result is LATE:
        return "the plugin does not answer"
    if result is FAILED:
        return guard.status().last_error
    return f"expected bytes or None, got {result!r}"
