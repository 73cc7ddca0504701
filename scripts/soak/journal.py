"""Reads the journal's frames, written from the description of their bytes (`Frame` in src/journal/frame.rs) alone.

What it does not know stops it: it is to notice what it misreads.
"""

VERSION, FRAME = 1, 0
# Items that tasks send, rollups and times, have numbers from here on; those below are kinds of events.
FIRST_OF_TASKS = 8
HAS_ACCOUNT, HAS_ALIAS, HAS_USER, HAS_MORE = 16, 32, 64, 128
HAS_INDEX, HAS_PROPERTIES = 8, 16
# The fields that events of the soak have, what intake adds included, by number; the first are strings of the frame's
# dictionary.
TEXTS = {13: "integration", 17: "error_code", 35: "scope", 53: "status", 69: "author"}
OWN_TEXTS = {41: "invoice_id", 63: "ticket_id"}
INTEGERS = {16: "severity_number", 45: "attempt_count", 62: "object_version"}
BOOLEANS = {70: "is_public", 87: "is_follow_up"}


class Malformed(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Malformed("too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self):
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def text(self):
        return self.take(self.varint()).decode()


class Frame:
    """What a frame covers, [(topic, partition, from, to)], and its events, [(source, offset, index)]."""

    def __init__(self, reader):
        reader.varint()
        self.covers, topic = [], ""
        for _ in range(reader.varint()):
            topic = reader.text() or topic
            partition, first = reader.varint(), reader.signed()
            last = first + reader.signed()
            reader.signed(), reader.signed(), reader.byte()
            self.covers.append((topic, partition, first, last))
        count = reader.varint()
        self.of_task = bool(count) and reader.data[reader.at] & 0x0F >= FIRST_OF_TASKS
        self.events = [] if self.of_task else self.read_events(reader, count)
        if reader.left() and not self.of_task:
            raise Malformed("trailing bytes")

    def read_events(self, reader, count):
        self.texts, self.accounts, self.shapes = [], [], 0
        offsets, events = [0] * len(self.covers), []
        for _ in range(count):
            first = reader.byte()
            more = reader.byte() if first & HAS_MORE else 0
            if more & HAS_PROPERTIES:
                raise Malformed("properties are not known here")
            self.read_shape(reader)
            reader.signed()
            source = reader.varint()
            offsets[source] += reader.signed()
            index = reader.varint() if more & HAS_INDEX else 0
            # The hash of the event's id.
            reader.take(8)
            if first & HAS_ACCOUNT:
                self.refer(reader, self.accounts)
            for bit in (HAS_ALIAS, HAS_USER):
                if first & bit:
                    reader.text()
            self.read_fields(reader)
            events.append((source, offsets[source], index))
        return events

    @staticmethod
    def refer(reader, defined):
        index = reader.varint()
        if index > len(defined):
            raise Malformed("reference")
        if index == len(defined):
            defined.append(reader.text())
        return defined[index]

    def read_shape(self, reader):
        index = reader.varint()
        if index > self.shapes:
            raise Malformed("shape")
        if index == self.shapes:
            self.shapes += 1
            self.refer(reader, self.texts)
            self.read_fields(reader)

    def read_fields(self, reader):
        number = 0
        for _ in range(reader.varint()):
            head = reader.varint()
            number += head >> 1
            if head & 1:
                raise Malformed(f"field {number} with a tag")
            if number in TEXTS:
                self.refer(reader, self.texts)
            elif number in OWN_TEXTS:
                reader.text()
            elif number in INTEGERS:
                reader.signed()
            elif number in BOOLEANS:
                reader.byte()
            else:
                raise Malformed(f"field {number} is not known here")
            number += 1


def read(data):
    """The frame of a journal record; none if it is a system record."""
    reader = Reader(data)
    head = reader.byte()
    if head >> 4 != VERSION:
        raise Malformed(f"version {head >> 4}")
    return Frame(reader) if head & 0x0F == FRAME else None


class Task:
    """The events that a reader of one journal partition takes in: each range of a source once, none left out."""

    def __init__(self, sources):
        self.last = {}
        self.sources = sources
        self.repeated = 0
        self.mistakes = []

    def take(self, offset, frame):
        """[(topic, partition, offset, index)] of what is new in this frame."""
        known = []
        for topic, partition, first, last in frame.covers:
            before = self.last.get((topic, partition), -1)
            known.append(before)
            if topic not in self.sources:
                continue
            if first > before + 1:
                self.mistakes.append(f"journal offset {offset}: {topic}/{partition} {before + 1} to {first - 1} are missing")
            self.last[topic, partition] = max(before, last)
        new = []
        for source, position, index in frame.events:
            topic, partition, _, _ = frame.covers[source]
            if position <= known[source]:
                self.repeated += 1
            else:
                new.append((topic, partition, position, index))
        return new
