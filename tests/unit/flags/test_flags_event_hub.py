"""Events: who reads too slowly is cut off, and many changes are one event."""

import asyncio

from flags.events import LEAST_SECONDS, MAX_UNSENT_BYTES, Events
from flags.store import Raw, Store


class Reader:
    def __init__(self):
        self.got, self.unsent, self.is_cut = [], 0, False

    def send(self, data):
        self.got.append(data.decode())

    def cut(self):
        self.is_cut = True

    @property
    def changes(self):
        return [text for text in self.got if "data: " in text]


def test_a_reader_that_leaves_too_much_is_cut_off_and_the_others_hear():
    async def story():
        store = Store()
        events = Events(store, 10)
        slow, quick = Reader(), Reader()
        for reader in (slow, quick):
            events.add(reader, None)
        slow.unsent = MAX_UNSENT_BYTES + 1
        store.update({"a": Raw("1", None)})
        await asyncio.sleep(2 * LEAST_SECONDS)
        return events, slow, quick

    events, slow, quick = asyncio.run(story())
    assert (slow.is_cut, len(slow.changes), events.dropped, len(events)) == (True, 0, 1, 1)
    assert (quick.is_cut, len(quick.changes)) == (False, 1)


def test_changes_that_come_together_are_one_event():
    async def story():
        store = Store()
        events, reader = Events(store, 10), Reader()
        events.add(reader, None)
        for number in range(100):
            store.update({"a": Raw(str(number % 2), None)})
        await asyncio.sleep(2 * LEAST_SECONDS)
        first = len(reader.changes)
        for number in range(100):
            store.update({"a": Raw(str(number % 2), None)})
            await asyncio.sleep(0)
        await asyncio.sleep(3 * LEAST_SECONDS)
        return first, reader, events

    first, reader, events = asyncio.run(story())
    assert first == 1
    assert len(reader.changes) <= 4
    assert f"id: {events.id}\n" in reader.changes[-1]


def test_without_readers_nothing_is_planned():
    async def story():
        store = Store()
        events = Events(store, 10)
        store.update({"a": Raw("1", None)})
        return events._due

    assert asyncio.run(story()) is None
