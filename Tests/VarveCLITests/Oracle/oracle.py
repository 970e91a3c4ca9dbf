"""Answers questions to captures by plain Python, to compare Varve's answers with: `oracle.py CAPTURES WORK`.

CAPTURES is the directory of the captures; files are unpacked into WORK. Prints JSON Lines: first the stores, each with the files to be
recorded into it, then the questions with their answers. Standard library alone.
"""

import json
import sys

import captures
import questions


def main():
    stores, files = {}, []
    for name, kind_field, parts in captures.unpack(sys.argv[1], sys.argv[2]):
        if name == "made":
            events = captures.read(name, parts, lambda payload: payload["winlog"]["channel"])
        else:
            events = captures.read(name, parts, lambda payload: payload["Channel"])
        stores[name] = events
        for session, path, _ in parts:
            files.append({"store": name, "session": session, "path": path, "kind_field": kind_field})
    print(json.dumps({"recordings": files}))
    for question in questions.ask(stores):
        print(json.dumps(question))


if __name__ == "__main__":
    main()
