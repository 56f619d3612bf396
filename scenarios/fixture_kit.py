# SPDX-License-Identifier: BSD-2-Clause
"""What every kind of fixture is made with: the registry of sub-commands and malformed files."""

FIXTURES = {}


def fixture(name):
    """Register a function as the generator behind a sub-command."""

    def register(function):
        FIXTURES[name] = function
        return function

    return register


# Stands in a text where the error has to be reported.
MARK = "\u00a6"


class Malformed:
    """Collects the files and their index."""

    def __init__(self, directory, suffix, header=""):
        self.directory = directory
        self.suffix = suffix
        self.header = header
        self.rows = []
        self.names = set()

    def add(self, name, data, line, column, text):
        assert name not in self.names, name
        assert "\t" not in text and "\n" not in text
        self.names.add(name)
        (self.directory / (name + self.suffix)).write_bytes(data)
        self.rows.append(f"{name}{self.suffix}\t{line}\t{column}\t{text}\n")

    def marked(self, name, text, message, end="\n"):
        """A file whose error place is marked in its text, which is Latin-1 to reach every byte."""
        before, after = text.split(MARK)
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        self.add(name, (before + after + end).encode("latin-1"), line, column, message)

    def line(self, name, text, message, end="\n"):
        """The same for one line behind the header."""
        self.marked(name, self.header + text, message, end)

    def close(self):
        """Write the index; return how many files there are."""
        (self.directory / "index.tsv").write_text("".join(self.rows), encoding="utf-8")
        return len(self.rows)
