# SPDX-License-Identifier: BSD-2-Clause
"""The witness matrix: ioctl x errno x who met it.

The rows are what the table allows: each ioctl with each errno that a fault at its entry may give (`vfake list --faults`).
The columns are `kernel`, for what the fake kernel answered by itself, and the backends of the stack (`vfake run --list`),
for what the stack was told there, be it by the kernel or by a fault. Programs of the tests add what they saw to the file
that VFAKE_WITNESS names. A cell that nobody saw needs a line in coverage/witness-waivers.
"""

import collections
import fnmatch
import subprocess

import gate

Waiver = collections.namedtuple("Waiver", "number ioctl code column reason")


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def table_rows(vfake):
    """(ioctl, errno) of each entry point: lines of `NAME ERRNO...`; calls without a row of the table are no ioctls."""
    rows = []
    for line in output(vfake, "list", "--faults").splitlines():
        words = line.split()
        # Calls without a row, and places where a process dies, are no rows of the table.
        if words and words[0].count("/") == 2 and words[0].endswith("/entry") and \
                not words[0].startswith(("file/", "call/")):
            rows += [(words[0][:-len("/entry")], code) for code in words[1:]]
    return rows


def columns(vfake):
    """kernel, and the backends: the second block of `vfake run --list`."""
    blocks = output(vfake, "run", "--list").rstrip("\n").split("\n\n")
    return ["kernel"] + [line.split()[0] for line in blocks[-1].splitlines()]


def read_waivers(path):
    waivers = []
    for number, text in gate.records(path):
        fields = [field.strip() for field in text.split("|")]
        if len(fields) != 4 or not all(fields):
            gate.wrong(path, number, "a waiver is `ioctl | errno | column | reason`")
        waivers.append(Waiver(number, *fields))
    return waivers


def read_seen(path):
    with open(path, encoding="utf-8") as file:
        return {tuple(line.split()) for line in file}


def fits(name, globs):
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs.split())


def covers(waiver, cell):
    column, ioctl, code = cell
    return fits(ioctl, waiver.ioctl) and fits(code, waiver.code) and fits(column, waiver.column)


class Matrix:
    def __init__(self, rows, names, seen, path):
        self.rows, self.names, self.seen, self.path = rows, names, seen, path
        self.waivers = read_waivers(path)
        self.used, self.idle = collections.Counter(), []
        self.hit, self.waived, self.missed = collections.Counter(), collections.Counter(), []
        for ioctl, code in rows:
            for column in names:
                self.look((column, ioctl, code))

    def look(self, cell):
        waiver = next((waiver for waiver in self.waivers if covers(waiver, cell)), None)
        if waiver:
            self.used[waiver] += 1
        if cell in self.seen:
            self.hit[cell[0]] += 1
        elif waiver:
            self.waived[cell[0]] += 1
        else:
            self.missed.append(cell)

    def judge(self):
        """Prints the matrix's sums and what is missing; returns the exit status."""
        for waiver in self.waivers:
            if not self.used[waiver]:
                gate.wrong(self.path, waiver.number, "no cell is like this (any more)")
        print("%-14s %6s %6s %6s   of %d answers that the table allows" %
              ("answers met by", "met", "waived", "missed", len(self.rows)))
        lost = collections.Counter(column for column, _, _ in self.missed)
        for name in self.names:
            print("%-14s %6d %6d %6d" % (name, self.hit[name], self.waived[name], lost[name]))
        by_answer = collections.defaultdict(list)
        for column, ioctl, code in self.missed:
            by_answer[ioctl, code].append(column)
        for (ioctl, code), who in by_answer.items():
            print("witness: %s never said %s to: %s" % (ioctl, code, " ".join(who)))
        return 1 if self.missed else 0


def judge(vfake, seen_path, waivers_path):
    rows = table_rows(vfake)
    if not rows:
        raise gate.Wrong("`vfake list --faults` names no answers")
    return Matrix(rows, columns(vfake), read_seen(seen_path), waivers_path).judge()
