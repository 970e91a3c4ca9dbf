"""What was captured, read without any of Varve's code.

Two captures of Windows event logs are unpacked as they are; a third file is made of lines of one of them, for what neither has: values
within values, arrays of objects, times to the nanosecond, escapes of JSON where none are needed, members given twice, lines that are no
JSON.
"""

import datetime
import functools
import json
import os
import re
import zipfile

CAPTURES = {"logon": "windows-logonpasswords.zip", "eventlog": "windows-eventlog-path.zip"}

EPOCH = datetime.datetime(1970, 1, 1)
TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?)?")


@functools.cache
def at(text):
    """Nanoseconds since 1970 of a time; UTC where no zone is given."""
    date, clock, fraction, zone = TIME.fullmatch(text).groups()
    seconds = datetime.datetime.fromisoformat(date + "T" + (clock or "00:00:00")) - EPOCH
    whole = seconds.days * 86_400 + seconds.seconds
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 3_600 + int(zone[4:6]) * 60
        whole -= offset if zone[0] == "+" else -offset
    return whole * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def written(nanoseconds):
    """A time with nine digits."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    clock = EPOCH + datetime.timedelta(seconds=seconds)
    return clock.strftime("%Y-%m-%dT%H:%M:%S") + ".%09dZ" % rest


class Event:
    """A line of a file: where it stands, and what is in it."""

    def __init__(self, store, sequence, session, number, index, time, kind, raw, payload):
        self.store, self.sequence, self.session, self.number, self.index = (
            store, sequence, session, number, index)
        self.time, self.kind, self.raw, self.payload = time, kind, raw, payload

    @functools.cached_property
    def text(self):
        return self.raw.decode()

    @functools.cached_property
    def meant(self):
        """The text with the escapes of JSON undone."""
        if self.payload is None or "\\" not in self.text:
            return self.text
        undone = ESCAPE.sub(unescaped, self.text)
        return undone.encode("utf-16", "surrogatepass").decode("utf-16") if "\\u" in self.text else undone

    @functools.cached_property
    def folded(self):
        """Both texts in lower case."""
        return self.text.lower(), self.meant.lower()

    def get(self, name):
        """A member of the payload, or MISSING."""
        return self.payload.get(name, MISSING)

    def string(self, name):
        """A member of the payload where it is a text; else None, which has no characters."""
        value = self.payload.get(name)
        return value if isinstance(value, str) else None

    def object(self):
        """As `--output json` has it."""
        return {
            "sequence": self.sequence, "session": self.session, "session_number": self.number,
            "index": self.index, "timestamp": written(self.time), "kind": self.kind,
            "payload": self.payload if self.payload is not None else self.text}


ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')


@functools.cache
def meaning(escape):
    return json.loads('"' + escape + '"')


def unescaped(found):
    return meaning(found.group())


class Missing:
    """No value: not equal to any, null included."""


MISSING = Missing()


def unpack(captures, work):
    """Unpacks the captures into files of the directory `work`, each in parts of which every one becomes a session."""
    for name, archive in CAPTURES.items():
        with zipfile.ZipFile(os.path.join(captures, archive)) as opened:
            member = next(n for n in opened.namelist() if n.endswith(".json") and "MACOSX" not in n)
            lines = opened.read(member).split(b"\n")[:-1]
        if name == "logon":
            yield name, "Channel", write(work, name, [("whole", lines)])
            yield "made", "winlog.channel", write(work, "made", made(lines))
        else:
            sessions = [("early", lines[:150]), ("middle", lines[150:10_000]), ("late", lines[10_000:])]
            yield name, "Channel", write(work, name, sessions)


def write(work, name, sessions):
    """A file for each session: its id, its path and its lines."""
    parts = []
    for session, lines in sessions:
        path = os.path.join(work, f"{name}-{session}.jsonl")
        with open(path, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines))
        parts.append((session, path, lines))
    return parts


def read(store, parts, kind_of):
    """The events of a store in which each part was recorded as a session."""
    events = []
    for number, (session, _, lines) in enumerate(parts, 1):
        for index, raw in enumerate(lines):
            payload = json.loads(raw) if raw.lstrip().startswith(b"{") else None
            # A line that is no JSON has the time of the one before it.
            time = at(payload["@timestamp"]) if payload else events[-1].time
            kind = kind_of(payload) if payload else "line"
            events.append(
                Event(store, len(events), session, number, index, time, kind, raw, payload))
    return events


MIXED = [
    4624, "4624", None, True, 1.0, 2.5, "", [], {}, 1e3, 18_446_744_073_709_551_615, False, "Zoë", [1, "a", None],
    {"b": [True]}, -7, 9_007_199_254_740_993]
DATA = [
    "SubjectUserName", "TargetUserName", "ProcessName", "ObjectName", "TargetObject", "Application", "DestPort",
    "GrantedAccess", "SourceImage", "TargetImage", "User", "Image"]


def made(lines):
    """Sessions of lines in the form that shippers of logs give them: every fourth line of a capture."""
    result = []
    for number, line in enumerate(lines[::4]):
        old = json.loads(line)
        data = {name: old[name] for name in DATA if name in old}
        time = at(old["@timestamp"]) + number * 1_000_003 % 1_000_000
        new = {
            "@timestamp": written(time),
            "event": {"code": old["EventID"], "provider": old["SourceName"], "duration": number * 0.25},
            "winlog": {
                "channel": old["Channel"], "record_id": old["RecordNumber"], "keywords": old["Keywords"],
                "event_data": data},
            "Event": {"Data": [{"#attributes": {"Name": n}, "#text": v} for n, v in data.items()]},
            "host": {"name": old["Hostname"], "ip": ["10.0.0.%d" % (number % 9), "fe80::%x" % (number % 5)]},
            "kind": "inner-%d" % (number % 3),
            "timestamp": old["EventReceivedTime"],
            "mixed": MIXED[number % len(MIXED)],
            "note": ["plain", 'a "quoted" word', "C:\\Temp\\a/b", "tab\there", "Žluťoučký kůň", "smile \U0001f600"][
                number % 6]}
        if number % 3 == 0:
            new["winlog.event_id"] = old["EventID"]
        text = json.dumps(
            new, ensure_ascii=number % 2 == 0, separators=(", ", ": ") if number % 5 == 0 else (",", ":"))
        if number % 50 == 7:
            text = text[:-1] + ',"mixed":"again"}'
        if number % 6 == 2 and number % 4 == 0:
            text = text.replace("a/b", "a\\/b")
        result.append(text.encode())
        if number % 300 == 299:
            result.append(b'no JSON: "User" said C:\\Windows 4624')
    return [("one", result[:700]), ("two", result[700:])]
