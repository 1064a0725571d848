# SPDX-License-Identifier: MIT
"""A reader of profile.proto, written from the format's description and nothing else, so that it
can judge what rthooks writes."""
import collections
import gzip


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(value):
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "cut message"
        else:
            raise AssertionError("wire type %d does not occur in profile.proto" % kind)
        yield key >> 3, value


def _numbers(value):
    if isinstance(value, int):
        return [value]
    result, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        result.append(number)
    return result


def _message(data):
    """{field: [values]}"""
    result = collections.defaultdict(list)
    for field, value in _fields(data):
        result[field].append(value)
    return result


def _one(message, field):
    values = message.get(field, [0])
    return values[-1]


Mapping = collections.namedtuple(
    "Mapping", "start limit offset file build_id has_functions has_filenames has_lines has_inlines")
Sample = collections.namedtuple("Sample", "stack addresses values labels")


class Profile:
    """sample_types [(type, unit)], samples (stack: names leaf first, "" where there is none),
    mappings, comments, period, time_ns, duration_ns."""

    def __init__(self, body):
        message = _message(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        strings = [value.decode() for value in message[6]]
        assert strings[0] == ""
        self.sample_types = [(strings[_one(_message(value), 1)], strings[_one(_message(value), 2)])
                             for value in message[1]]
        self.mappings, functions, locations = {}, {}, {}
        for value in message[3]:
            mapping = _message(value)
            self.mappings[_one(mapping, 1)] = Mapping(
                _one(mapping, 2), _one(mapping, 3), _one(mapping, 4), strings[_one(mapping, 5)],
                strings[_one(mapping, 6)], *(bool(_one(mapping, field)) for field in (7, 8, 9, 10)))
        for value in message[5]:
            function = _message(value)
            functions[_one(function, 1)] = strings[_one(function, 2)]
        for value in message[4]:
            location = _message(value)
            names = [functions[_one(_message(line), 1)] for line in location[4]]
            locations[_one(location, 1)] = (names or [""], _one(location, 3), _one(location, 2))
        self.locations = locations
        self.samples = []
        for value in message[2]:
            sample = _message(value)
            ids = [number for part in sample[1] for number in _numbers(part)]
            labels = {}
            for part in sample[3]:
                label = _message(part)
                labels[strings[_one(label, 1)]] = strings[_one(label, 2)] or _one(label, 3)
            self.samples.append(Sample(
                [name for number in ids for name in locations[number][0]],
                [locations[number][1] for number in ids],
                [_signed(number) for part in sample[2] for number in _numbers(part)], labels))
        self.comments = [strings[number] for value in message[13] for number in _numbers(value)]
        self.period = _one(message, 12)
        self.time_ns, self.duration_ns = _one(message, 9), _one(message, 10)

    def total(self, column=-1):
        return sum(sample.values[column] for sample in self.samples)

    def cumulative(self, name, column=-1):
        """Of every stack that holds the name."""
        return sum(sample.values[column] for sample in self.samples if name in sample.stack)

    def flat(self, column=-1):
        result = collections.Counter()
        for sample in self.samples:
            result[sample.stack[0] if sample.stack else ""] += sample.values[column]
        return result

    def comment(self, start):
        """The comment that begins so."""
        return next(text for text in self.comments if text.startswith(start))

    def ended_at(self, end):
        """Stacks whose walk ended so, by the comments."""
        prefix = "stacks that ended at %s: " % end
        return sum(int(text[len(prefix):]) for text in self.comments if text.startswith(prefix))

    def complete_share(self):
        ends = [text for text in self.comments if text.startswith("stacks that ended at ")]
        total = sum(int(text.rsplit(" ", 1)[1]) for text in ends)
        return self.ended_at("root") / total if total else 0.0
