"""Questions to the recorded captures, each with the arguments of `varve` and a condition in Python, written by hand.

In arguments `{eventlog}` is the directory of a store. `{cursor}` is the cursor that the question before has printed.
"""

import collections
import json
import re

from captures import MISSING, at, written

SECOND = 1_000_000_000
SYSMON = "Microsoft-Windows-Sysmon/Operational"
POWERSHELL = "Microsoft-Windows-PowerShell/Operational"
# Sequence numbers alone: the other columns are there so that something is printed of every event.
ROWS = ["--output", "csv", "--fields", "Channel"]


def ask(stores):
    """All questions with their answers."""
    asked = Questions(stores)
    for part in (times, kinds_and_places, texts, expressions, text_operators, comparisons, types, functions,
                 attributes, combinations, nested, no_json, order_and_limits, context, cursors, several_stores,
                 tails, outputs, counts, excerpts):
        part(asked)
    return asked.list


class Questions:
    def __init__(self, stores):
        self.stores = stores
        self.list = []

    def add(self, arguments, **answer):
        self.list.append({"arguments": arguments, **answer})

    def rows(self, store, arguments, keep, then=lambda events: events):
        """Which events match, and what is taken of them in which order."""
        found = then([event for event in self.stores[store] if keep(event)])
        self.add(["query", "{%s}" % store, *arguments, *ROWS], rows=[str(event.sequence) for event in found])

    def where(self, store, condition, keep):
        """A condition on payloads that are JSON: others do not match."""
        self.rows(store, ["--where", condition], lambda e: e.payload is not None and keep(e))


def has(text, token):
    """Whether a text holds a token whole; None holds none."""
    letter = re.compile(r"[0-9A-Za-z\u0080-\U0010ffff]")
    for place in [found.start() for found in re.finditer("(?=%s)" % re.escape(token), text or "")]:
        before, after = text[place - 1:place], text[place + len(token):place + len(token) + 1]
        if not (letter.match(token[0]) and letter.match(before)):
            if not (letter.match(token[-1]) and letter.match(after)):
                return True
    return False


def whole(text):
    """The number that a text says, decimal or hexadecimal; None where it says none."""
    text = (text or "").strip()
    if re.fullmatch(r"0x[0-9a-fA-F]+", text):
        return int(text, 16)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def scalars(value):
    """Every text, number, true, false and null at any depth."""
    if isinstance(value, dict):
        for member in value.values():
            yield from scalars(member)
    elif isinstance(value, list):
        for element in value:
            yield from scalars(element)
    else:
        yield value


def strings(event):
    return [value for value in scalars(event.payload) if isinstance(value, str)]


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# MARK: Filters


def times(q):
    q.rows("eventlog", ["--from", "2022-07-05T02:02:30Z"], lambda e: e.time >= at("2022-07-05T02:02:30Z"))
    q.rows("eventlog", ["--to", "2022-07-05T02:01:43.189Z"], lambda e: e.time <= at("2022-07-05T02:01:43.189Z"))
    q.rows("eventlog", ["--from", "2022-07-05T02:02:04.274Z", "--to", "2022-07-05T02:02:04.274Z"],
           lambda e: e.time == at("2022-07-05T02:02:04.274Z"))
    q.rows("eventlog", ["--from", "2022-07-05T02:02:04.274000001Z", "--to", "2022-07-05T02:02:04.274999999Z"],
           lambda e: False)
    q.rows("eventlog", ["--since", "2022-07-05T04:01:40+02:00", "--until", "2022-07-04T19:01:40.5-07:00"],
           lambda e: at("2022-07-05T02:01:40Z") <= e.time <= at("2022-07-05T02:01:40.5Z"))
    q.rows("eventlog", ["--from", "1656986510", "--to", "1656986510500"],
           lambda e: 1_656_986_510 * SECOND <= e.time <= 1_656_986_510_500_000_000)
    q.rows("eventlog", ["--from", "1656986530.25", "--to", "1656986530750000"],
           lambda e: 1_656_986_530_250_000_000 <= e.time <= 1_656_986_530_750_000_000)
    q.rows("logon", ["--from", "2020-08-07T14:33:01.221Z", "--to", "2020-08-07T14:33:01.226Z"],
           lambda e: at("2020-08-07T14:33:01.221Z") <= e.time <= at("2020-08-07T14:33:01.226Z"))
    q.rows("logon", ["--from", "2020-08-07T14:36:00Z", "--to", "2020-08-07T14:30:00Z"], lambda e: False)
    q.rows("logon", ["--from", "-2h"], lambda e: False)
    q.rows("logon", ["--from", "2020-08-07", "--to", "2020-08-08"], lambda e: True)
    middle = q.stores["made"][600].time
    q.rows("made", ["--from", written(middle)], lambda e: e.time >= middle)
    q.rows("made", ["--from", str(middle + 1)], lambda e: e.time > middle)
    q.rows("made", ["--to", written(middle)], lambda e: e.time <= middle)
    q.rows("made", ["--to", str(middle - 1)], lambda e: e.time < middle)


def kinds_and_places(q):
    q.rows("eventlog", ["--kind", "Security"], lambda e: e.kind == "Security")
    q.rows("eventlog", ["--kind", "System", "--kind", "Application", "--kind", "none such"],
           lambda e: e.kind in ("System", "Application"))
    q.rows("eventlog", ["--kind", "security"], lambda e: False)
    q.rows("logon", ["--kind", "Windows PowerShell", "--sequence", "..100"],
           lambda e: e.kind == "Windows PowerShell" and e.sequence <= 100)
    q.rows("logon", ["--kind", "line"], lambda e: False)
    q.rows("made", ["--kind", "line"], lambda e: e.payload is None)
    q.rows("eventlog", ["--sequence", "9990..10009"], lambda e: 9_990 <= e.sequence <= 10_009)
    q.rows("eventlog", ["--sequence", "25200.."], lambda e: e.sequence >= 25_200)
    q.rows("eventlog", ["--sequence", "12345"], lambda e: e.sequence == 12_345)
    q.rows("logon", ["--sequence", "6026.."], lambda e: False)
    q.rows("eventlog", ["--session-number", "-2", "--kind", "Security"],
           lambda e: e.number == 2 and e.kind == "Security")
    q.rows("eventlog", ["--session-number", "2", "--session-number", "1", "--sequence", "9995..10100"],
           lambda e: e.number < 3 and 9_995 <= e.sequence <= 10_100)
    q.rows("eventlog", ["--session", "middle", "--kind", "Security"],
           lambda e: e.session == "middle" and e.kind == "Security")
    q.rows("eventlog", ["--session", "late", "--kind", "Security"], lambda e: False)
    q.rows("made", ["--session", "one", "--session", "two", "--sequence", "690..710"],
           lambda e: 690 <= e.sequence <= 710)
    q.rows("made", ["--session", "three"], lambda e: False)
    q.rows("eventlog", ["--around", "5000", "--window", "250ms"],
           lambda e: abs(e.time - q.stores["eventlog"][5_000].time) <= SECOND // 4)
    q.rows("logon", ["--around", "3406", "--window", "5ms", "--kind", "Security"],
           lambda e: abs(e.time - q.stores["logon"][3_406].time) <= 5_000_000 and e.kind == "Security")
    q.rows("logon", ["--around", "6000"], lambda e: abs(e.time - q.stores["logon"][6_000].time) <= 30 * SECOND)
    q.rows("made", ["--around", "42", "--window", "0s"], lambda e: e.time == q.stores["made"][42].time)


# MARK: Texts


def texts(q):
    def grep(store, text, *more):
        q.rows(store, ["--grep", text, *more], lambda e: text in e.text or text in e.meant)

    def grep_nocase(store, text):
        q.rows(store, ["--grep", text, "-i"],
               lambda e: any(text.lower() in folded for folded in e.folded))

    grep("eventlog", "wevtutil")
    grep("eventlog", "Not-Important-Log")
    grep("eventlog", "C:\\Windows\\System32\\wevtutil.exe")
    grep("eventlog", "C:\\\\Windows\\\\System32\\\\wevtutil.exe")
    grep("eventlog", "\\winevt\\")
    grep("eventlog", '"C:\\Users\\pedro\\Downloads\\payload.exe" ')
    grep("eventlog", '"EventID":4673')
    grep("eventlog", "Microsoft® Windows")
    grep("eventlog", "ÊÂ")
    grep("eventlog", "<Exec>")
    grep("eventlog", "\\u003c")
    grep("eventlog", "Account Name:\t\tpedro")
    grep("eventlog", "WEVTUTIL")
    grep("eventlog", "mimikatz")
    grep("eventlog", "SetValue\r\nUtcTime: 2022-07-05 21:01:")
    grep_nocase("eventlog", "WEVTUTIL.EXE")
    grep_nocase("eventlog", "êÂ")
    grep_nocase("logon", "WhoAmI.exe")
    grep("logon", "Get-Random")
    grep("logon", "lsass")
    grep("logon", "::")
    grep("logon", "a token that is nowhere")
    q.rows("logon", ["--grep", "lsass.exe", "--grep", "0x1010"], lambda e: "lsass.exe" in e.text and "0x1010" in e.text)
    q.rows("logon", ["-g", "LSASS.EXE", "-g", "GrantedAccess", "-i"],
           lambda e: "lsass.exe" in e.folded[0] and "grantedaccess" in e.folded[0])
    grep("made", 'a "quoted" word')
    grep("made", "C:\\Temp\\a/b")
    grep("made", "a\\/b")
    grep("made", "Žluťoučký kůň")
    grep("made", "\\u017dlu")
    grep("made", "\U0001f600")
    grep("made", "tab\there")
    grep("made", "no JSON: \"User\"")
    grep("made", "said C:\\Windows 4624")
    grep("made", "said C:\\\\Windows")
    grep_nocase("made", "žLUŤOUČKÝ KŮŇ")
    grep("made", "9007199254740993")


def expressions(q):
    def regex(store, pattern, *more):
        flags = re.IGNORECASE if "-i" in more else 0
        q.rows(store, ["-e", pattern, *more], lambda e: re.search(pattern.encode(), e.raw, flags))

    regex("eventlog", r'"ProcessId":"0x[0-9a-f]{3}"')
    regex("eventlog", r"wevtutil +(get|set)-log")
    regex("eventlog", r"\\\\Temp\\\\[0-9A-F]+(-[0-9A-F]+){4}")
    regex("eventlog", r'"EventID":(4688|4689|4673),')
    regex("eventlog", r"NOT-IMPORTANT-LOG\.EVTX?", "-i")
    regex("eventlog", r"^\{\"SourceName\":\"SecurityCenter\"")
    regex("eventlog", r'Task":"0"\}\r$')
    regex("logon", r"\"Get-[A-Z][a-z]+\\\"")
    regex("logon", r"\b0x1[0-9a-f]{5}\b")
    regex("logon", r"nowhere[0-9]+at all")
    q.rows("logon", ["-e", r'"EventID":10,', "-e", r'"GrantedAccess":"0x1[0-9]+"', "--grep", "lsass"],
           lambda e: re.search(rb'"EventID":10,', e.raw) and re.search(rb'"GrantedAccess":"0x1[0-9]+"', e.raw)
           and "lsass" in e.text)


# MARK: Conditions


def text_operators(q):
    where = q.where
    where("eventlog", r'TargetImage endswith r"\LSASS.exe" nocase',
          lambda e: (e.string("TargetImage") or "").lower().endswith("\\lsass.exe"))
    where("eventlog", r'TargetImage endswith r"\LSASS.exe"', lambda e: False)
    where("eventlog", r'Image startswith "C:\\Windows\\System32\\s"',
          lambda e: (e.string("Image") or "").startswith("C:\\Windows\\System32\\s"))
    where("logon", r'Image STARTSWITH r"c:\windows" NOCASE and Image not startswith r"C:\Windows"',
          lambda e: (e.string("Image") or "").lower().startswith("c:\\windows")
          and not e.string("Image").startswith("C:\\Windows"))
    where("eventlog", r'TargetObject contains r"\CurrentVersion\Explorer"',
          lambda e: "\\CurrentVersion\\Explorer" in (e.string("TargetObject") or ""))
    where("eventlog", 'Description contains "®"', lambda e: "®" in (e.string("Description") or ""))
    where("eventlog", 'Message not contains "RuleName"', lambda e: "RuleName" not in e.payload["Message"])
    where("eventlog", 'CommandLine has "wevtutil"', lambda e: has(e.string("CommandLine"), "wevtutil"))
    where("eventlog", 'CommandLine has "log"', lambda e: has(e.string("CommandLine"), "log"))
    where("eventlog", 'CommandLine has "evtutil"', lambda e: False)
    where("eventlog", r'Image has r"System32\svchost"', lambda e: has(e.string("Image"), "System32\\svchost"))
    where("eventlog", 'Message has "SEBACKUPPRIVILEGE" nocase',
          lambda e: has(e.payload["Message"].lower(), "sebackupprivilege"))
    where("eventlog", r'CommandLine matches r"^wevtutil +(get|set)-log\b"',
          lambda e: re.search(r"^wevtutil +(get|set)-log\b", e.string("CommandLine") or ""))
    where("eventlog", r'Image matches r"\\MSEDGE\.EXE$" nocase',
          lambda e: re.search(r"\\msedge\.exe\Z", e.string("Image") or "", re.IGNORECASE))
    where("eventlog", r'TargetObject not matches r"^HK(LM|U)\\"',
          lambda e: not re.search(r"^HK(LM|U)\\", e.string("TargetObject") or ""))
    where("logon", r'** contains r"C:\Windows\System32" nocase',
          lambda e: any("c:\\windows\\system32" in value.lower() for value in strings(e)))
    where("logon", '** == "pgustavo"', lambda e: "pgustavo" in strings(e))
    where("logon", '** startswith "CommandInvocation"', lambda e: any(v.startswith("CommandInvocation") for v in strings(e)))
    where("logon", '** has "whoami" and EventID != 4103',
          lambda e: any(has(value, "whoami") for value in strings(e)) and e.payload["EventID"] != 4103)
    where("logon", "** == 5156", lambda e: 5156 in [v for v in scalars(e.payload) if is_number(v)])
    where("logon", '"lsass" in ["LSASS"] nocase and EventID == 10', lambda e: e.payload["EventID"] == 10)
    where("eventlog", 'Hostname contains ""', lambda e: True)
    where("eventlog", 'EventID contains "4"', lambda e: False)


def comparisons(q):
    where = q.where
    where("eventlog", "EventID == 4703", lambda e: e.payload["EventID"] == 4703)
    where("eventlog", "EventID = 4703.0", lambda e: e.payload["EventID"] == 4703)
    where("eventlog", 'EventID == "4703"', lambda e: False)
    where("eventlog", "EventID != 10 and EventID != 12 and EventID != 13 and EventID != 7",
          lambda e: e.payload["EventID"] not in (10, 12, 13, 7))
    where("eventlog", "EventID == 0x1049", lambda e: e.payload["EventID"] == 4169)
    where("eventlog", "EventID == 0x1241", lambda e: e.payload["EventID"] == 0x1241)
    where("eventlog", 'EventID in [4624, "4703", 4673]', lambda e: e.payload["EventID"] in (4624, 4673))
    where("eventlog", "EventID not in [10, 12, 13, 7, 11]",
          lambda e: e.payload["EventID"] not in (10, 12, 13, 7, 11))
    where("eventlog", 'User in ["nt authority\\\\local service", "nobody"] nocase',
          lambda e: (e.string("User") or "").lower() == "nt authority\\local service")
    where("eventlog", "EventID < 3", lambda e: e.payload["EventID"] < 3)
    where("eventlog", "EventID <= 3", lambda e: e.payload["EventID"] <= 3)
    where("eventlog", "EventID > 4703", lambda e: e.payload["EventID"] > 4703)
    where("eventlog", "EventID >= 4703", lambda e: e.payload["EventID"] >= 4703)
    where("eventlog", "EventID > 4702.5 and EventID < 4703.5", lambda e: e.payload["EventID"] == 4703)
    where("eventlog", 'ProcessId < 100', lambda e: False)
    where("eventlog", 'Image < "C:\\\\Program"', lambda e: e.string("Image") and e.string("Image") < "C:\\Program")
    where("eventlog", 'Image >= "c:"', lambda e: e.string("Image") and e.string("Image") >= "c:")
    where("eventlog", 'SubjectUserName == "PEDRO" nocase', lambda e: e.payload.get("SubjectUserName") == "pedro")
    where("eventlog", 'SubjectUserName != "pedro" and kind == "Security"',
          lambda e: e.get("SubjectUserName") != "pedro" and e.kind == "Security")
    where("eventlog", 'SourceImage == TargetImage', lambda e: e.string("SourceImage") is not None
          and e.get("SourceImage") == e.get("TargetImage"))
    where("eventlog", 'SourceUser != TargetUser and EventID == 10',
          lambda e: e.payload["EventID"] == 10 and e.payload["SourceUser"] != e.payload["TargetUser"])
    where("eventlog", 'Image == ParentImage', lambda e: e.string("Image") and e.get("Image") == e.get("ParentImage"))
    where("logon", "Keywords == -9214364837600034816", lambda e: e.payload["Keywords"] == -9214364837600034816)
    where("logon", "Keywords < -9214364837600034816", lambda e: e.payload["Keywords"] < -9214364837600034816)
    where("logon", "Keywords == 36028797018963968 and Task == 8 and RecordNumber > 3000",
          lambda e: e.payload["Keywords"] == 1 << 55 and e.payload["Task"] == 8
          and e.payload["RecordNumber"] > 3_000)
    where("logon", "Keywords == 36028797018963969", lambda e: False)
    where("logon", "ThreadID == ExecutionProcessID", lambda e: e.payload["ThreadID"] == e.payload["ExecutionProcessID"])
    where("logon", "ThreadID > ExecutionProcessID and SeverityValue >= 4",
          lambda e: e.payload["ThreadID"] > e.payload["ExecutionProcessID"] and e.payload["SeverityValue"] >= 4)
    where("logon", 'Severity == "ERROR"', lambda e: e.payload["Severity"] == "ERROR")
    where("made", "mixed == 4624", lambda e: is_number(e.payload["mixed"]) and e.payload["mixed"] == 4624)
    where("made", "mixed == 1", lambda e: is_number(e.payload["mixed"]) and e.payload["mixed"] == 1)
    where("made", "mixed == true", lambda e: e.payload["mixed"] is True)
    where("made", "mixed != false", lambda e: e.payload["mixed"] is not False)
    where("made", "mixed == null", lambda e: e.payload["mixed"] is None)
    where("made", "mixed in [null, 2.5, 1000, \"again\"]", lambda e: e.payload["mixed"] is None
          or is_number(e.payload["mixed"]) and e.payload["mixed"] in (2.5, 1000) or e.payload["mixed"] == "again")
    where("made", "mixed == 18446744073709551615", lambda e: is_number(e.payload["mixed"]) and e.payload["mixed"] == 2**64 - 1)
    where("made", "mixed > 9007199254740992", lambda e: is_number(e.payload["mixed"]) and e.payload["mixed"] > 2**53)
    where("made", "mixed == 9007199254740992", lambda e: False)
    where("made", "mixed < 2", lambda e: is_number(e.payload["mixed"]) and e.payload["mixed"] < 2)
    where("made", "mixed >= -7 and not (mixed > 1e2)",
          lambda e: is_number(e.payload["mixed"]) and -7 <= e.payload["mixed"] <= 100)
    where("made", 'mixed == "zoë"', lambda e: False)
    where("made", 'mixed == "ZOË" nocase', lambda e: e.payload["mixed"] == "Zoë")
    where("made", "event.duration == 100.25", lambda e: e.payload["event"]["duration"] == 100.25)
    where("made", "event.duration <= 2", lambda e: e.payload["event"]["duration"] <= 2)
    where("made", '["winlog.event_id"] == event.code',
          lambda e: e.get("winlog.event_id") == e.payload["event"]["code"])
    where("made", '["winlog.event_id"] != event.code',
          lambda e: e.get("winlog.event_id") != e.payload["event"]["code"])


def types(q):
    where = q.where
    where("eventlog", "ResourceAttributes is null", lambda e: e.get("ResourceAttributes") is None)
    where("eventlog", "ResourceAttributes exists", lambda e: "ResourceAttributes" in e.payload)
    where("eventlog", "ResourceAttributes is not null and ResourceAttributes exists",
          lambda e: e.get("ResourceAttributes") not in (None, MISSING))
    where("eventlog", "RuleName is missing", lambda e: "RuleName" not in e.payload)
    where("eventlog", 'RuleName is not missing and kind != "%s"' % SYSMON, lambda e: False)
    where("eventlog", "not ProviderGuid exists", lambda e: "ProviderGuid" not in e.payload)
    where("eventlog", "ProcessId is number", lambda e: False)
    where("eventlog", "ProcessId is string and kind == \"Security\"",
          lambda e: isinstance(e.get("ProcessId"), str) and e.kind == "Security")
    where("eventlog", "EventID is not number", lambda e: False)
    where("logon", "tags is array and EventID == 5156", lambda e: e.payload["EventID"] == 5156)
    where("logon", "tags is empty", lambda e: False)
    for kind, test in {
            "null": lambda v: v is None, "string": lambda v: isinstance(v, str), "number": is_number,
            "bool": lambda v: isinstance(v, bool), "array": lambda v: isinstance(v, list),
            "object": lambda v: isinstance(v, dict)}.items():
        where("made", f"mixed is {kind}", lambda e, test=test: test(e.payload["mixed"]))
    where("made", "mixed is empty", lambda e: e.payload["mixed"] in ("", [], {}))
    where("made", "mixed is not empty and mixed is not number",
          lambda e: e.payload["mixed"] not in ("", [], {}) and not is_number(e.payload["mixed"]))
    where("made", '["winlog.event_id"] is missing', lambda e: "winlog.event_id" not in e.payload)
    where("made", 'winlog.event_id exists', lambda e: False)
    where("made", 'winlog.event_data.User exists', lambda e: "User" in e.payload["winlog"]["event_data"])
    where("made", 'winlog.event_data is object and winlog.event_data is empty',
          lambda e: not e.payload["winlog"]["event_data"])


def functions(q):
    where = q.where
    where("eventlog", "number(ProcessId) == 0xddc", lambda e: whole(e.string("ProcessId")) == 0xDDC)
    where("eventlog", "number(ProcessId) >= 9000", lambda e: (whole(e.string("ProcessId")) or 0) >= 9_000)
    where("eventlog", "number(SourceProcessId) == number(TargetProcessId)",
          lambda e: whole(e.string("SourceProcessId")) is not None
          and whole(e.string("SourceProcessId")) == whole(e.string("TargetProcessId")))
    where("eventlog", "number(GrantedAccess) in [0x40, 4096.0]",
          lambda e: whole(e.string("GrantedAccess")) in (0x40, 4096))
    where("eventlog", "number(Task) != EventID", lambda e: int(e.payload["Task"]) != e.payload["EventID"])
    where("eventlog", r'TargetImage endswith r"\lsass.exe" nocase and number(GrantedAccess) == 0x1000',
          lambda e: (e.string("TargetImage") or "").lower().endswith("\\lsass.exe")
          and whole(e.string("GrantedAccess")) == 0x1000)
    where("eventlog", "number(Keywords) == 0x8010000000000000", lambda e: int(e.payload["Keywords"], 16) == 0x8010 << 48)
    where("eventlog", "number(SubjectUserName) exists", lambda e: False)
    where("eventlog", 'lower(User) == "nt authority\\\\network service"',
          lambda e: (e.string("User") or "").lower() == "nt authority\\network service")
    where("eventlog", 'lower(SourceImage) == lower(TargetImage) and SourceImage != TargetImage',
          lambda e: e.string("SourceImage") is not None and e.get("SourceImage") != e.get("TargetImage")
          and e.string("SourceImage").lower() == e.string("TargetImage").lower())
    where("eventlog", "size(Message) > 2000", lambda e: len(e.payload["Message"]) > 2000)
    where("eventlog", "size(Description) == 22", lambda e: len(e.string("Description") or "") == 22)
    where("logon", "size(tags) == 1 and EventID == 4103", lambda e: e.payload["EventID"] == 4103)
    where("logon", "size(tags) != 1", lambda e: False)
    where("made", "size(mixed) == 1", lambda e: isinstance(e.payload["mixed"], dict) and len(e.payload["mixed"]) == 1)
    where("made", "size(mixed) >= 3", lambda e: isinstance(e.payload["mixed"], (str, list, dict)) and len(e.payload["mixed"]) >= 3)
    where("made", "size(winlog.event_data) > 2", lambda e: len(e.payload["winlog"]["event_data"]) > 2)
    where("made", "number(mixed) == 4624", lambda e: e.payload["mixed"] in (4624, "4624"))
    where("made", "lower(mixed) exists", lambda e: isinstance(e.payload["mixed"], str))

    def utc(e):
        return at(e.payload["UtcTime"]) if "UtcTime" in e.payload else None

    where("eventlog", 'time(UtcTime, "Z") < time("2022-07-05T02:00:40Z")',
          lambda e: utc(e) is not None and utc(e) < at("2022-07-05T02:00:40Z"))
    where("eventlog", 'timestamp - time(UtcTime, "Z") > 1ms', lambda e: utc(e) is not None and e.time - utc(e) > 1_000_000)
    where("eventlog", 'timestamp - time(UtcTime, "Z") <= 0s', lambda e: utc(e) is not None and e.time <= utc(e))
    where("logon", 'timestamp - time(UtcTime, "Z") > 2500ms',
          lambda e: utc(e) is not None and e.time - utc(e) > 2_500_000_000)
    where("logon", 'timestamp - time(UtcTime) > 10s', lambda e: utc(e) is not None and e.time - utc(e) > 10 * SECOND)
    where("logon", 'time(EventTime, "-04:00") - 2s < time(UtcTime, "Z")',
          lambda e: utc(e) is not None and at(e.payload["EventTime"]) + 4 * 3600 * SECOND - 2 * SECOND < utc(e))
    where("logon", 'timestamp - time(EventTime, "-04:00") >= 4s',
          lambda e: e.time - at(e.payload["EventTime"]) - 4 * 3600 * SECOND >= 4 * SECOND)
    where("logon", 'time(EventReceivedTime) == "2020-08-07 10:33:01"',
          lambda e: e.payload["EventReceivedTime"] == "2020-08-07 10:33:01")
    where("logon", "time(CreationUtcTime) < time(UtcTime) - 1d",
          lambda e: utc(e) is not None and "CreationUtcTime" in e.payload
          and at(e.payload["CreationUtcTime"]) < utc(e) - 86_400 * SECOND)
    where("eventlog", "time(PreviousCreationUtcTime) - time(CreationUtcTime) > 1h",
          lambda e: "PreviousCreationUtcTime" in e.payload
          and at(e.payload["PreviousCreationUtcTime"]) - at(e.payload["CreationUtcTime"]) > 3_600 * SECOND)
    where("eventlog", "time(Message) exists", lambda e: False)
    where("made", 'timestamp - time(.timestamp, "-04:00") >= 500ms',
          lambda e: e.time - at(e.payload["timestamp"]) - 4 * 3600 * SECOND >= SECOND // 2)
    where("made", "timestamp == time([\"@timestamp\"])", lambda e: True)
    where("made", "time(@timestamp) - timestamp != 0ns", lambda e: False)


def attributes(q):
    # No part of a payload is looked at: lines that are no JSON match as well.
    def where(store, condition, keep):
        q.rows(store, ["--where", condition], keep)

    where("eventlog", 'kind == "Security"', lambda e: e.kind == "Security")
    where("eventlog", 'kind == "SECURITY" nocase', lambda e: e.kind == "Security")
    where("eventlog", 'kind in ["System", "Application"]', lambda e: e.kind in ("System", "Application"))
    where("eventlog", 'not kind in ["System", "%s"]' % SYSMON, lambda e: e.kind not in ("System", SYSMON))
    where("eventlog", 'kind != "%s"' % SYSMON, lambda e: e.kind != SYSMON)
    where("eventlog", 'kind endswith "/Operational" and kind not contains "Sysmon"', lambda e: e.kind == POWERSHELL)
    where("eventlog", 'kind == "System" and kind == "Security"', lambda e: False)
    where("eventlog", "sequence < 5 or sequence >= 25205", lambda e: e.sequence < 5 or e.sequence >= 25_205)
    where("eventlog", "sequence in [1, 9999, 10000, 25207, 99999]", lambda e: e.sequence in (1, 9_999, 10_000, 25_207))
    where("eventlog", "sequence > 25203.5", lambda e: e.sequence >= 25_204)
    where("eventlog", "sequence <= 3.0 and sequence > -1", lambda e: e.sequence <= 3)
    where("eventlog", "not (sequence > 7)", lambda e: e.sequence <= 7)
    where("eventlog", "index == 3", lambda e: e.index == 3)
    where("eventlog", "index == sequence and index > 120", lambda e: e.index == e.sequence and e.index > 120)
    where("eventlog", "index != sequence and sequence < 175", lambda e: e.index != e.sequence and e.sequence < 175)
    where("eventlog", 'session == "late" and index < 4', lambda e: e.session == "late" and e.index < 4)
    where("eventlog", 'session startswith "e" and kind == "Security"',
          lambda e: e.session == "early" and e.kind == "Security")
    where("eventlog", 'timestamp >= "2022-07-05T02:02:39.5Z"', lambda e: e.time >= at("2022-07-05T02:02:39.5Z"))
    where("eventlog", 'timestamp > time("2022-07-05T02:01:39Z") and timestamp <= "2022-07-05 02:01:39.5"',
          lambda e: at("2022-07-05T02:01:39Z") < e.time <= at("2022-07-05T02:01:39.5Z"))
    where("eventlog", 'timestamp == "2022-07-05T02:02:04.274Z"', lambda e: e.time == at("2022-07-05T02:02:04.274Z"))
    where("eventlog", 'timestamp < "2022-07-05"', lambda e: False)
    where("eventlog", 'timestamp - "2022-07-05T02:00:00Z" < 1m', lambda e: e.time - at("2022-07-05T02:00:00Z") < 60 * SECOND)
    where("eventlog", "length > 5000", lambda e: len(e.raw) > 5_000)
    where("eventlog", "length == 1013", lambda e: len(e.raw) == 1_013)
    where("made", "length < 40", lambda e: len(e.raw) < 40)
    where("made", 'kind == "line" or sequence < 3', lambda e: e.kind == "line" or e.sequence < 3)
    middle = q.stores["made"][700].time
    where("made", f'timestamp > "{written(middle)}"', lambda e: e.time > middle)
    where("made", f'timestamp == time("{written(middle)}")', lambda e: e.time == middle)
    q.where("made", '.kind == "inner-1" and kind == "Security"',
            lambda e: e.payload["kind"] == "inner-1" and e.kind == "Security")
    q.where("made", '["kind"] == "inner-2" and .timestamp contains "10:33"',
            lambda e: e.payload["kind"] == "inner-2" and "10:33" in e.payload["timestamp"])
    q.where("eventlog", ".kind exists", lambda e: False)
    q.where("eventlog", "Kind exists", lambda e: False)


def combinations(q):
    where = q.where
    where("eventlog", 'EventID == 10 and (SourceImage contains "payload" or TargetImage contains "payload") '
          'and not number(GrantedAccess) == 0x1400',
          lambda e: e.payload["EventID"] == 10 and ("payload" in e.payload["SourceImage"] or "payload" in
                                                    e.payload["TargetImage"]) and e.payload["GrantedAccess"] != "0x1400")
    where("eventlog", 'EventID == 1 || EventID == 5 && Image contains "wevtutil"',
          lambda e: e.payload["EventID"] == 1 or e.payload["EventID"] == 5 and "wevtutil" in e.payload["Image"])
    where("eventlog", '!(EventID < 4000) && !(SubjectUserName == "pedro")',
          lambda e: e.payload["EventID"] >= 4000 and e.get("SubjectUserName") != "pedro")
    where("eventlog", 'not (EventID == 10 or EventID == 12) and not not Image contains "System" and Company is missing',
          lambda e: e.payload["EventID"] not in (10, 12) and "System" in (e.string("Image") or "")
          and "Company" not in e.payload)
    where("eventlog", 'EventID NOT IN [10, 12] AND (Image CONTAINS "edge" OR TargetFilename EXISTS)',
          lambda e: e.payload["EventID"] not in (10, 12) and ("edge" in (e.string("Image") or "")
                                                              or "TargetFilename" in e.payload))
    q.rows("eventlog", ["--where", "EventID == 13", "--where", 'Details startswith "DWORD"', "--grep", "SOFTWARE",
                        "--from", "2022-07-05T02:02:00Z"],
           lambda e: e.payload["EventID"] == 13 and e.payload["Details"].startswith("DWORD") and "SOFTWARE" in e.text
           and e.time >= at("2022-07-05T02:02:00Z"))
    q.rows("eventlog", ["--kind", "Security", "--where", 'kind in ["Security", "System"] and sequence > 100',
                        "--sequence", "..300", "--session", "early"],
           lambda e: e.kind == "Security" and 100 < e.sequence < 150)
    q.rows("eventlog", ["--where", 'timestamp >= "2022-07-05T02:01:30Z"', "--to", "2022-07-05T02:01:45Z", "-e",
                        "Create(Key|Pipe)", "--grep", "pedro"],
           lambda e: at("2022-07-05T02:01:30Z") <= e.time <= at("2022-07-05T02:01:45Z")
           and re.search("Create(Key|Pipe)", e.text) and "pedro" in e.text)
    q.rows("logon", ["--kind", "Security", "--grep", "lsass.exe", "--where", "EventID in [4656, 4658, 4663]",
                     "--limit", "20", "--reverse"],
           lambda e: e.kind == "Security" and "lsass.exe" in e.text and e.payload["EventID"] in (4656, 4658, 4663),
           lambda found: found[::-1][:20])
    q.rows("logon", ["-i", "--grep", "GET-RANDOM", "--where", 'EventID == 4103 or kind == "Windows PowerShell"',
                     "--sequence", "1000..4000"],
           lambda e: "get-random" in e.folded[0] and (e.payload["EventID"] == 4103 or e.kind == "Windows PowerShell")
           and 1_000 <= e.sequence <= 4_000)


def nested(q):
    where = q.where

    def named(e, name, value):
        return any(d["#attributes"]["Name"] == name and d["#text"] == value for d in e.payload["Event"]["Data"])

    where("made", 'any(Event.Data[], ["#attributes"].Name == "SubjectUserName" and ["#text"] == "pgustavo")',
          lambda e: named(e, "SubjectUserName", "pgustavo"))
    where("made", 'any(Event.Data, #attributes.Name == "SubjectUserName" and #text == "pgustavo")', lambda e: False)
    where("made", 'Event.Data[].#text == "pgustavo" and Event.Data[].#attributes.Name == "ProcessName"',
          lambda e: any(d["#text"] == "pgustavo" for d in e.payload["Event"]["Data"])
          and any(d["#attributes"]["Name"] == "ProcessName" for d in e.payload["Event"]["Data"]))
    where("made", 'all(Event.Data[], #text contains "C:")',
          lambda e: e.payload["Event"]["Data"] and all("C:" in d["#text"] for d in e.payload["Event"]["Data"]))
    where("made", "not any(Event.Data[], #text exists)", lambda e: not e.payload["Event"]["Data"])
    where("made", 'all(Event.Data[], sequence < 100) and any(host.ip[], . startswith "fe80::3")',
          lambda e: e.payload["Event"]["Data"] and e.sequence < 100 and e.payload["host"]["ip"][1] == "fe80::3")
    where("made", 'host.ip[0] == "10.0.0.4"', lambda e: e.payload["host"]["ip"][0] == "10.0.0.4")
    where("made", 'host.ip[] == "fe80::1"', lambda e: "fe80::1" in e.payload["host"]["ip"])
    where("made", 'host.ip[] != "fe80::1"', lambda e: "fe80::1" not in e.payload["host"]["ip"])
    where("made", "host.ip[2] exists", lambda e: False)
    where("made", "host[0] exists or host.name[0] exists", lambda e: False)
    where("made", 'Event.Data[0].#attributes["Name"] == "TargetObject"',
          lambda e: e.payload["Event"]["Data"][:1] and e.payload["Event"]["Data"][0]["#attributes"]["Name"] == "TargetObject")
    where("made", "mixed[] == 1", lambda e: isinstance(e.payload["mixed"], list) and 1 in e.payload["mixed"])
    where("made", "mixed[] is null", lambda e: isinstance(e.payload["mixed"], list) and None in e.payload["mixed"])
    where("made", "mixed.b[0] == true", lambda e: isinstance(e.payload["mixed"], dict) and e.payload["mixed"] != {})
    where("made", "** == true", lambda e: True in [v for v in scalars(e.payload) if isinstance(v, bool)])
    where("made", "** is null", lambda e: None in list(scalars(e.payload)))
    where("made", '** matches r"^10\\.0\\.0\\.[12]$"',
          lambda e: any(re.fullmatch(r"10\.0\.0\.[12]", value) for value in strings(e)))
    where("made", '** == "again"', lambda e: e.payload["mixed"] == "again")
    where("made", '** contains "\U0001f600"', lambda e: "\U0001f600" in e.payload["note"])
    where("made", r'note == "a \"quoted\" word" and .kind == "inner-1"',
          lambda e: e.payload["note"] == 'a "quoted" word' and e.payload["kind"] == "inner-1")
    where("made", r'note contains r"C:\Temp\a/b"', lambda e: "C:\\Temp\\a/b" in e.payload["note"])
    where("made", r'note == "\u017dlu\u0165ou\u010dk\u00fd k\u016f\u0148"', lambda e: e.payload["note"] == "Žluťoučký kůň")
    where("made", 'note has "KŮŇ" nocase', lambda e: e.payload["note"] == "Žluťoučký kůň")
    where("made", 'note has "ký"', lambda e: False)
    where("made", "size(note) == 7", lambda e: len(e.payload["note"]) == 7)
    where("made", "winlog.keywords < 0",
          lambda e: e.payload["winlog"]["keywords"] < 0)


def no_json(q):
    """Lines that are no JSON: what is said of a payload is neither true nor false for them."""
    q.rows("made", ["--where", 'not (event.code == 4624) and kind == "line"'], lambda e: False)
    q.rows("made", ["--where", 'kind == "line" or event.code == 5156'],
           lambda e: e.payload is None or e.payload["event"]["code"] == 5156)
    q.rows("made", ["--where", 'event.code is missing'], lambda e: False)
    q.rows("made", ["--where", 'not (kind == "line" and event.code == 1) and sequence < 302'],
           lambda e: e.payload is not None and e.sequence < 302)
    q.rows("made", ["--grep", "4624"], lambda e: "4624" in e.text)
    q.rows("made", ["--grep", "4624", "--where", '** == "4624" or length < 40'],
           lambda e: len(e.raw) < 40 or "4624" in strings(e))


# MARK: Order


def order_and_limits(q):
    def by_time(found):
        return sorted(found, key=lambda e: e.time)

    q.rows("eventlog", ["--reverse", "--limit", "7"], lambda e: True, lambda found: found[::-1][:7])
    q.rows("eventlog", ["--limit", "0"], lambda e: False)
    q.rows("eventlog", ["--limit", "5", "--where", "EventID == 13"], lambda e: e.payload["EventID"] == 13,
           lambda found: found[:5])
    q.rows("eventlog", ["-r", "--kind", "Security", "--from", "2022-07-05T02:01:30Z", "--to", "2022-07-05T02:02:20Z"],
           lambda e: e.kind == "Security" and at("2022-07-05T02:01:30Z") <= e.time <= at("2022-07-05T02:02:20Z"),
           lambda found: found[::-1])
    q.rows("eventlog", ["-r", "--grep", "wevtutil", "--limit", "30"], lambda e: "wevtutil" in e.text,
           lambda found: found[::-1][:30])
    q.rows("eventlog", ["--order", "time", "--limit", "400"], lambda e: True, lambda found: by_time(found)[:400])
    q.rows("eventlog", ["--order", "time", "--reverse", "--limit", "400"], lambda e: True,
           lambda found: by_time(found)[::-1][:400])
    q.rows("eventlog", ["--order", "time", "--kind", "Security"], lambda e: e.kind == "Security", by_time)
    q.rows("logon", ["--order", "time", "--sequence", "3390..3430"], lambda e: 3_390 <= e.sequence <= 3_430, by_time)
    q.rows("logon", ["--order", "time", "-r", "--where", "EventID != 800", "--from", "2020-08-07T14:33:00Z"],
           lambda e: e.payload["EventID"] != 800 and e.time >= at("2020-08-07T14:33:00Z"),
           lambda found: by_time(found)[::-1])
    q.rows("logon", ["--order", "sequence", "--limit", "3", "--reverse", "--kind", SYSMON], lambda e: e.kind == SYSMON,
           lambda found: found[::-1][:3])


def around(q, store, keep, before, after, take=lambda found: found):
    """Matches, and the events of their sessions around them."""
    events = q.stores[store]
    matches = take([event for event in events if keep(event)])
    wanted = {event.sequence + offset for event in matches for offset in range(-before, after + 1)
              if 0 <= event.sequence + offset < len(events)
              and events[event.sequence + offset].number == event.number}
    return [event for event in events if event.sequence in wanted], matches


def context(q):
    def rows(store, arguments, keep, before, after, backwards=False, take=lambda found: found):
        found, _ = around(q, store, keep, before, after, take)
        q.add(["query", "{%s}" % store, *arguments, *ROWS],
              rows=[str(event.sequence) for event in (found[::-1] if backwards else found)])

    system = lambda e: e.kind == "System"
    rows("eventlog", ["--kind", "System", "-A", "2"], system, 0, 2)
    rows("eventlog", ["--kind", "System", "-B", "3"], system, 3, 0)
    rows("eventlog", ["--kind", "System", "-C", "4"], system, 4, 4)
    rows("eventlog", ["--kind", "System", "-B", "3", "-A", "1", "-r"], system, 3, 1, True)
    rows("eventlog", ["--sequence", "9999..10000", "-C", "2"], lambda e: 9_999 <= e.sequence <= 10_000, 2, 2)
    rows("eventlog", ["--sequence", "10000", "-B", "5"], lambda e: e.sequence == 10_000, 5, 0)
    rows("eventlog", ["--sequence", "148..152", "--kind", "Security", "-C", "200"],
         lambda e: 148 <= e.sequence <= 152 and e.kind == "Security", 200, 200)
    rows("eventlog", ["--where", r'CommandLine contains "wevtutil"', "-B", "5"],
         lambda e: "wevtutil" in (e.string("CommandLine") or ""), 5, 0)
    rows("eventlog", ["--where", "EventID == 1", "-C", "3", "--limit", "2"], lambda e: e.payload["EventID"] == 1, 3, 3,
         take=lambda found: found[:2])
    rows("eventlog", ["--where", "EventID == 1", "-C", "3", "--limit", "2", "-r"], lambda e: e.payload["EventID"] == 1,
         3, 3, True, lambda found: found[-2:])
    rows("logon", ["--grep", "whoami", "-C", "1"], lambda e: "whoami" in e.text, 1, 1)
    rows("logon", ["--grep", "a token that is nowhere", "-C", "1"], lambda e: False, 1, 1)
    # Which of them match themselves.
    found, matches = around(q, "made", lambda e: e.kind == "line", 1, 1)
    q.add(["query", "{made}", "--kind", "line", "-C", "1", "--output", "json"],
          objects=[event.object() | ({} if event in matches else {"context": True}) for event in found])


def cursors(q):
    def pages(store, arguments, keep, size, backwards=False):
        found = [event for event in q.stores[store] if keep(event)]
        if backwards:
            found = found[::-1]
        start = []
        for place in range(0, size * 3, size):
            page = found[place:place + size]
            q.add(["query", "{%s}" % store, *arguments, "--limit", str(size), "--show-cursor", *start, *ROWS],
                  rows=[str(event.sequence) for event in page])
            start = ["--after", "{cursor}"]
        q.add(["query", "{%s}" % store, *arguments, *start, *ROWS],
              rows=[str(event.sequence) for event in found[size * 3:]])

    pages("eventlog", ["--kind", "Security"], lambda e: e.kind == "Security", 40)
    pages("eventlog", ["--where", "EventID == 11", "--reverse"], lambda e: e.payload["EventID"] == 11, 25, True)
    pages("logon", ["--grep", "lsass.exe", "-i"], lambda e: "lsass.exe" in e.folded[0], 100)
    pages("made", ["--sequence", "690..720"], lambda e: 690 <= e.sequence <= 720, 5)
    # Behind the last there is nothing.
    q.add(["query", "{made}", "--show-cursor", "--reverse", "--sequence", "3..5", *ROWS], rows=["5", "4", "3"])
    q.add(["query", "{made}", "--after", "{cursor}", "--limit", "2", *ROWS], rows=["4", "5"])
    q.add(["query", "{made}", "--show-cursor", "--sequence", "3..5", *ROWS], rows=["3", "4", "5"])
    q.add(["query", "{made}", "--after", "{cursor}", "--sequence", "..5", *ROWS], rows=[])


def several_stores(q):
    def merged(arguments, shifts, keep, then=lambda found: found, order=("eventlog", "logon")):
        found = [event for name in order for event in q.stores[name] if keep(event, event.time + shifts.get(name, 0))]
        # Of one time those of the first store come first: sorting keeps the order.
        found = then(sorted(found, key=lambda event: event.time + shifts.get(event.store, 0)))
        q.add(["query", *["{%s}" % name for name in order], *arguments, *ROWS],
              rows=["%s,%d" % (event.store, event.sequence) for event in found], columns=2)

    # 697 days and some: so that both captures are of the same three minutes.
    far = 60_262_072
    merged(["--limit", "50"], {}, lambda e, t: True, lambda found: found[:50])
    merged(["--kind", "Security"], {}, lambda e, t: e.kind == "Security")
    shift = ["--shift", f"eventlog=-{far}s"]
    merged([*shift, "--kind", "Security"], {"eventlog": -far * SECOND}, lambda e, t: e.kind == "Security")
    merged([*shift, "--kind", "Security", "--reverse", "--limit", "100"], {"eventlog": -far * SECOND},
           lambda e, t: e.kind == "Security", lambda found: found[::-1][:100])
    merged([*shift, "--from", "2020-08-07T14:34:00Z", "--to", "2020-08-07T14:34:10Z"], {"eventlog": -far * SECOND},
           lambda e, t: at("2020-08-07T14:34:00Z") <= t <= at("2020-08-07T14:34:10Z"))
    merged(["--shift", f"logon={far}s", "--where", "EventID in [1, 3, 4624]"], {"logon": far * SECOND},
           lambda e, t: e.payload["EventID"] in (1, 3, 4624), order=("logon", "eventlog"))
    # Conditions mean the store's own time.
    merged([*shift, "--where", 'timestamp >= "2022-07-05T02:02:30Z" and EventID != 10'], {"eventlog": -far * SECOND},
           lambda e, t: e.time >= at("2022-07-05T02:02:30Z") and e.payload["EventID"] != 10)
    merged(["--grep", "lsass.exe", "--to", "2021-01-01"], {}, lambda e, t: "lsass.exe" in e.text and e.store == "logon")
    merged(["--grep", "a token that is nowhere"], {}, lambda e, t: False)


def tails(q):
    def tail(store, arguments, keep, count):
        found = [event for event in q.stores[store] if keep(event)][-count:]
        q.add(["tail", "{%s}" % store, *arguments, *ROWS], rows=[str(event.sequence) for event in found])

    tail("eventlog", [], lambda e: True, 10)
    tail("eventlog", ["-n", "3"], lambda e: True, 3)
    tail("eventlog", ["-n", "20", "--kind", "Security"], lambda e: e.kind == "Security", 20)
    tail("logon", ["-n", "15", "--where", r'TargetImage endswith r"\lsass.exe" nocase'],
         lambda e: (e.string("TargetImage") or "").lower().endswith("\\lsass.exe"), 15)
    tail("logon", ["-n", "1000000", "--grep", "whoami"], lambda e: "whoami" in e.text, 1_000_000)
    tail("made", ["-n", "5", "--session", "one"], lambda e: e.session == "one", 5)


# MARK: Other answers


def outputs(q):
    def json_lines(store, arguments, keep):
        q.add(["query", "{%s}" % store, *arguments, "--output", "json"],
              objects=[event.object() for event in q.stores[store] if keep(event)])

    json_lines("eventlog", ["--kind", "System"], lambda e: e.kind == "System")
    json_lines("logon", ["--where", "EventID == 4673"], lambda e: e.payload["EventID"] == 4673)
    json_lines("made", ["--sequence", "280..420"], lambda e: 280 <= e.sequence <= 420)
    for store, where, keep in (
            ("eventlog", "EventID == 4688", lambda e: e.payload["EventID"] == 4688),
            ("made", 'mixed is object', lambda e: e.payload is not None and isinstance(e.payload["mixed"], dict))):
        q.add(["query", "{%s}" % store, "--where", where, "--output", "payload"],
              text="".join(event.text + "\n" for event in q.stores[store] if keep(event)))
    q.add(["query", "{eventlog}", "--grep", "wevtutil", "--quiet"], text="", status=0)
    q.add(["query", "{eventlog}", "--grep", "mimikatz", "--quiet"], text="", status=4)


def counts(q):
    def count(store, arguments, keep):
        q.add(["query", "{%s}" % store, *arguments, "--count"], text="%d\n" % sum(map(bool, map(keep, q.stores[store]))))

    count("eventlog", [], lambda e: True)
    count("eventlog", ["--kind", SYSMON, "--from", "2022-07-05T02:01:30Z"],
          lambda e: e.kind == SYSMON and e.time >= at("2022-07-05T02:01:30Z"))
    count("eventlog", ["--session-number", "2", "--where", "EventID == 12"],
          lambda e: e.number == 2 and e.payload["EventID"] == 12)
    count("logon", ["--grep", "PowerShell", "--limit", "17"], lambda e: e.sequence < 17)
    count("logon", ["--where", "sequence > 10 and sequence <= 20 or timestamp > \"2020-08-07T14:35:00Z\""],
          lambda e: 10 < e.sequence <= 20 or e.time > at("2020-08-07T14:35:00Z"))
    count("made", ["--where", ".kind == \"inner-0\" and mixed is missing"], lambda e: False)

    def histogram(arguments, store, width, keep, by=None):
        found = collections.Counter(
            (event.time // width * width, event.kind if by == "kind" else None, event.number if by == "session" else None)
            for event in q.stores[store] if keep(event))
        objects = []
        for (start, kind, number), events in sorted(found.items(), key=lambda item: [str(part) for part in item[0]]):
            row = {"time": written(start), "nanoseconds": width, "events": events}
            if kind is not None:
                row["kind"] = kind
            if number is not None:
                row |= {"session_number": number, "session": ["early", "middle", "late"][number - 1]}
            objects.append(row)
        q.add(["histogram", "{%s}" % store, "--json", *arguments], objects=objects)

    histogram(["--bucket", "1s"], "eventlog", SECOND, lambda e: True)
    histogram(["--bucket", "7s", "--by", "kind"], "eventlog", 7 * SECOND, lambda e: True, "kind")
    histogram(["--bucket", "1m", "--by", "session", "--where", "EventID == 13"], "eventlog", 60 * SECOND,
              lambda e: e.payload["EventID"] == 13, "session")
    histogram(["--bucket", "250ms", "--grep", "lsass.exe", "--from", "2020-08-07T14:33:00Z"], "logon", SECOND // 4,
              lambda e: "lsass.exe" in e.text and e.time >= at("2020-08-07T14:33:00Z"))

    def top(store, by, arguments, values, count, keep=lambda e: True):
        found = collections.Counter(
            row for event in q.stores[store] if keep(event) for row in set(values(event)))
        names = by.split(",")
        ordered = sorted(found.items(), key=lambda item: (-item[1], "\0".join(
            json.dumps(value, ensure_ascii=False) for value in item[0])))
        q.add(["top", "{%s}" % store, "--by", by, "--json", *arguments],
              objects=[{"events": events, "values": dict(zip(names, row))} for row, events in ordered[:count]])

    def members(*names):
        return lambda e: [tuple(e.payload[n] for n in names)] if all(n in e.payload for n in names) else []

    top("eventlog", "EventID", [], members("EventID"), 10)
    top("eventlog", "EventID,User", ["--limit", "25"], members("EventID", "User"), 25)
    top("eventlog", "kind", ["--from", "2022-07-05T02:01:00Z"], lambda e: [(e.kind,)], 10,
        lambda e: e.time >= at("2022-07-05T02:01:00Z"))
    top("eventlog", "TargetImage", ["--where", "EventID == 10", "--limit", "1000"], members("TargetImage"), 1_000,
        lambda e: e.payload["EventID"] == 10)
    top("logon", "tags[]", [], lambda e: [(tag,) for tag in e.payload["tags"]], 10)
    top("logon", "DestPort,Application", ["--kind", "Security", "--limit", "100"], members("DestPort", "Application"), 100,
        lambda e: e.kind == "Security")
    top("made", "host.ip[]", ["--limit", "20"], lambda e: [(ip,) for ip in e.payload["host"]["ip"]] if e.payload else [], 20)

    def fields(store, arguments, keep):
        places, types = {}, collections.defaultdict(collections.Counter)

        def add(value, place, number):
            places.setdefault(place, set()).add(number)
            names = {str: "string", bool: "bool", type(None): "null", list: "array", dict: "object"}
            types[place][names.get(type(value), "number")] += 1
            for element in value if isinstance(value, list) else []:
                add(element, place + (None,), number)
            for key, member in value.items() if isinstance(value, dict) else []:
                add(member, place + (key,), number)

        for event in q.stores[store]:
            if event.payload is not None and keep(event):
                add(event.payload, (), event.sequence)

        def spelled(place):
            text = ""
            for step in place:
                if step is None:
                    text += "[]"
                elif re.fullmatch("[@#A-Za-z_][@#A-Za-z0-9_]*", step):
                    text += ("." if text or step in ("kind", "timestamp") else "") + step
                else:
                    text += '["%s"]' % step
            return text

        # Elements come before members, and members in the order of their keys.
        ordered = sorted(places, key=lambda place: [(step is not None, step or "") for step in place])
        q.add(["fields", "{%s}" % store, "--json", *arguments],
              objects=[{"path": spelled(place), "events": len(places[place]), "types": dict(types[place])}
                       for place in ordered if place])

    fields("eventlog", ["--kind", "Security"], lambda e: e.kind == "Security")
    fields("logon", [], lambda e: True)
    fields("made", [], lambda e: True)


def excerpts(q):
    """Copies: `{excerpt}` and the like are new stores."""
    security = lambda e: e.kind == "Security"
    q.add(["copy", "{eventlog}", "{security}", "--kind", "Security"])
    q.add(["query", "{security}", *ROWS], rows=[str(e.sequence) for e in q.stores["eventlog"] if security(e)])
    q.add(["query", "{security}", "--where", 'ProcessName endswith "svchost.exe" and session == "middle"', *ROWS],
          rows=[str(e.sequence) for e in q.stores["eventlog"]
                if security(e) and (e.string("ProcessName") or "").endswith("svchost.exe") and e.number == 2])
    q.add(["query", "{security}", "--session-number", "2", "--limit", "5", "--output", "json"],
          objects=[e.object() for e in q.stores["eventlog"] if security(e) and e.number == 2][:5])
    shells = [e for e in q.stores["logon"] if "powershell" in e.folded[0]][:40]
    q.add(["copy", "{logon}", "{shells}", "--grep", "POWERSHELL", "-i", "--limit", "40"])
    q.add(["query", "{shells}", "--reverse", *ROWS], rows=[str(e.sequence) for e in shells[::-1]])
    q.add(["query", "{shells}", "{security}", "--count"],
          text="%d\n" % (len(shells) + sum(map(security, q.stores["eventlog"]))))
