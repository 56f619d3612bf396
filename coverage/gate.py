# SPDX-License-Identifier: BSD-2-Clause
"""The judge of coverage: reads lcov's tracefile, the waivers and the ratchet, and says what fell and where.

Nothing here builds or runs anything, so that ci/coverage --self-test can put it before a project of its own.
README.md explains the files.
"""

import bisect
import collections
import fnmatch
import math
import os
import re

KINDS = ("lines", "branches", "functions")
# By how many percent points a figure may be below the ratchet: what compilers differ by. See README.md.
MARGIN = {"lines": 0.1, "branches": 0.2, "functions": 0.1}
ROOMS = ("src", "fakes", "harness")


class Wrong(Exception):
    """A file of ours that cannot be right; the text names the place."""


def wrong(path, number, what):
    raise Wrong("coverage/%s:%d: %s" % (os.path.basename(path), number, what))


def records(path):
    """(line number, text) of what a file holds besides comments; a file that is not there holds nothing."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield number, text


# ---- the tracefile ----

class Source:
    """One file: line -> hits, (line, block, branch) -> hits, function -> [its first line, hits]."""

    def __init__(self):
        self.lines, self.branches, self.functions = {}, {}, {}
        self.order = []

    def settle(self):
        self.order = sorted((start, name) for name, (start, _) in self.functions.items())

    def function_at(self, line):
        place = bisect.bisect_right(self.order, (line, chr(0x10ffff))) - 1
        return self.order[place][1] if place >= 0 else "-"


def read_function(source, key, value, names):
    """The records of functions: FN and FNDA of old, FNL and FNA since lcov 2.2. A function comes before its hits."""
    fields = value.split(",")
    if key == "FN":
        source.functions.setdefault(fields[-1], [int(fields[0]), 0])
    elif key == "FNDA":
        source.functions[fields[-1]][1] += int(fields[0])
    elif key == "FNL":
        names[fields[0]] = int(fields[1])
    else:
        source.functions.setdefault(fields[-1], [names[fields[0]], 0])[1] += int(fields[1])


def read_tracefile(path, root):
    """{path relative to root: Source}, of the rooms' files that are still there."""
    sources, source, names = {}, None, {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition(":")
            if key == "SF":
                name = os.path.relpath(os.path.realpath(value), os.path.realpath(root))
                known = name.split(os.sep)[0] in ROOMS and os.path.exists(os.path.join(root, name))
                source, names = (sources.setdefault(name, Source()) if known else None), {}
            elif source is None:
                continue
            elif key in ("FN", "FNDA", "FNL", "FNA"):
                read_function(source, key, value, names)
            elif key == "DA":
                number, hits = value.split(",")[:2]
                source.lines[int(number)] = source.lines.get(int(number), 0) + int(hits)
            elif key == "BRDA":
                number, block, branch, hits = value.split(",")
                place = (int(number), block, branch)
                source.branches[place] = source.branches.get(place, 0) + (0 if hits == "-" else int(hits))
    for source in sources.values():
        source.settle()
    return sources


# ---- waivers ----

Waiver = collections.namedtuple("Waiver", "number file function pattern")


def read_waivers(path):
    waivers = []
    for number, text in records(path):
        # A pattern may hold a bar: the file is before the first, the owner and the reason after the last two.
        first, _, rest = text.partition("|")
        fields = [first.strip()] + [field.strip() for field in rest.rsplit("|", 2)]
        if len(fields) != 4 or not all(fields):
            wrong(path, number, "want `file | what | owner | reason`, got %r" % text)
        file, what = fields[:2]
        function = pattern = None
        if re.fullmatch(r"\w+\(\)", what):
            function = what[:-2]
        elif len(what) > 2 and what[0] == what[-1] == "/":
            try:
                pattern = re.compile(what[1:-1])
            except re.error as error:
                wrong(path, number, "%s is no regular expression: %s" % (what, error))
        elif what != "*":
            wrong(path, number, "what is waived is *, a function() or a /pattern/, not %r" % what)
        waivers.append(Waiver(number, file, function, pattern))
    return waivers


def waived_lines(waiver, source, text):
    """The lines of one file, of those that the compiler counts, that a waiver speaks of."""
    counted = set(source.lines) | {line for line, _, _ in source.branches}
    if waiver.pattern:
        return {line for line in counted if line <= len(text) and waiver.pattern.search(text[line - 1])}
    if waiver.function:
        return {line for line in counted if source.function_at(line) == waiver.function}
    return counted


def excuse(waiver, source, lines):
    """Takes what is missed in these lines out of the count; returns how much that was."""
    gone = [line for line in lines if source.lines.get(line) == 0]
    branches = [place for place, hits in source.branches.items() if hits == 0 and place[0] in lines]
    functions = [name for name, (_, hits) in source.functions.items()
                 if hits == 0 and not waiver.pattern and waiver.function in (None, name)]
    for store, names in ((source.lines, gone), (source.branches, branches), (source.functions, functions)):
        for name in names:
            del store[name]
    return len(gone) + len(branches) + len(functions)


def apply_waivers(sources, waivers, path, root):
    """Returns notes on waivers that have become needless. One that matches no code at all is an error."""
    matched, excused = collections.Counter(), collections.Counter()
    for name, source in sorted(sources.items()):
        with open(os.path.join(root, name), encoding="utf-8") as file:
            text = file.read().split("\n")
        mine = [waiver for waiver in waivers if fnmatch.fnmatchcase(name, waiver.file)]
        found = [(waiver, waived_lines(waiver, source, text)) for waiver in mine]
        for waiver, lines in found:
            matched[waiver.number] += len(lines)
            excused[waiver.number] += excuse(waiver, source, lines)
    for waiver in waivers:
        if not matched[waiver.number]:
            wrong(path, waiver.number, "this waiver matches nothing")
    return ["coverage/%s:%d: excuses nothing: all of it is reached here" %
            (os.path.basename(path), waiver.number) for waiver in waivers if not excused[waiver.number]]


# ---- the ratchet ----

def read_ratchet(path):
    """{folder: {kind: percent}}."""
    ratchet = {}
    for number, text in records(path):
        fields = text.split()
        if len(fields) != 1 + len(KINDS):
            wrong(path, number, "want `folder lines branches functions`, got %r" % text)
        folder = fields[0]
        if folder in ratchet:
            wrong(path, number, "a second row of %s" % folder)
        ratchet[folder] = {}
        for kind, field in zip(KINDS, fields[1:]):
            if not re.fullmatch(r"\d{1,3}\.\d\d", field) or float(field) > 100:
                wrong(path, number, "%s of %s: want a percentage such as 93.75, got %r" % (kind, folder, field))
            ratchet[folder][kind] = float(field)
    return ratchet


RATCHET_HEAD = """\
# SPDX-License-Identifier: BSD-2-Clause
#
# Percent reached, per folder. Written by ci/coverage --raise, which never lowers a figure; see README.md.
#
# folder            lines  branches  functions
"""


def write_ratchet(path, ratchet):
    with open(path, "w", encoding="utf-8") as file:
        file.write(RATCHET_HEAD)
        for folder in sorted(ratchet):
            file.write("%-18s %6.2f %9.2f %10.2f\n" % ((folder,) + tuple(ratchet[folder][k] for k in KINDS)))


def folder_of(name, ratchet):
    """The longest row that holds the file. Where there is none: its room, or its own part of the fakes."""
    rows = [folder for folder in ratchet if name.startswith(folder + "/")]
    if rows:
        return max(rows, key=len)
    parts = name.split("/")
    return "/".join(parts[:2] if parts[0] == "fakes" else parts[:1])


# ---- figures ----

def missed_lines(source):
    return sorted(line for line, hits in source.lines.items() if hits == 0)


def missed_branches(source):
    """The line of each branch that is never taken: as often as it has such branches."""
    return sorted(place[0] for place, hits in source.branches.items() if hits == 0)


def missed_functions(source):
    return sorted(start for start, hits in source.functions.values() if hits == 0)


MISSED = {"lines": missed_lines, "branches": missed_branches, "functions": missed_functions}


def totals(sources, ratchet):
    """{folder: {kind: (reached, of)}}; the rows of the ratchet, and folders that have none."""
    sums = {folder: {kind: (0, 0) for kind in KINDS} for folder in ratchet}
    for name, source in sources.items():
        row = sums.setdefault(folder_of(name, ratchet), {kind: (0, 0) for kind in KINDS})
        for kind in KINDS:
            of = len(getattr(source, kind))
            row[kind] = (row[kind][0] + of - len(MISSED[kind](source)), row[kind][1] + of)
    return sums


def percent(reached, of):
    """Rounded down, so that what is written is reached."""
    return math.floor(10000 * reached / of) / 100 if of else 100.0


def ranges(source, lines):
    """`3-5,9`: neighbours are lines with nothing between them that was reached."""
    runs, lines = [], set(lines)
    reached = sorted(line for line, hits in source.lines.items() if hits and line not in lines)
    for line in sorted(lines):
        if runs and bisect.bisect(reached, line) == bisect.bisect(reached, runs[-1][1]):
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return runs


def spell(runs):
    return ",".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in runs)


# ---- what was missed when the ratchet was last raised ----

MISSED_HEAD = """\
# SPDX-License-Identifier: BSD-2-Clause
#
# What each function missed when ci/coverage --raise last ran, so that a fall can be put down to a function.
# Nothing is gated on it.
#
# file function lines branches
"""


def per_function(source, kind):
    """{function: the lines where it misses}."""
    found = collections.defaultdict(list)
    for line in MISSED[kind](source):
        found[source.function_at(line)].append(line)
    return found


def write_missed(path, sources):
    with open(path, "w", encoding="utf-8") as file:
        file.write(MISSED_HEAD)
        for name, source in sorted(sources.items()):
            lines, branches = per_function(source, "lines"), per_function(source, "branches")
            for function in sorted(set(lines) | set(branches)):
                file.write("%s %s %d %d\n" % (name, function, len(lines[function]), len(branches[function])))


def read_missed(path):
    """{(file, function): {kind: count}}."""
    known = {}
    for number, text in records(path):
        fields = text.split()
        if len(fields) != 4 or not fields[2].isdigit() or not fields[3].isdigit():
            wrong(path, number, "want `file function lines branches`, got %r" % text)
        known[fields[0], fields[1]] = {"lines": int(fields[2]), "branches": int(fields[3])}
    return known


# ---- the judgement ----

WORDS = {"lines": ("line is", "lines are"), "branches": ("branch is", "branches are")}


def blame(sources, ratchet, folder, kind, known):
    """Text lines `file:ranges function: …` for what misses more than it did; the worst first."""
    found = []
    for name, source in sorted(sources.items()):
        if folder_of(name, ratchet) != folder:
            continue
        if kind == "functions":
            found += [(1, "%s:%d %s() is never called" % (name, start, function))
                      for start, function in source.order
                      if function in source.functions and source.functions[function][1] == 0
                      and is_news(known, name, function, source)]
            continue
        for function, lines in per_function(source, kind).items():
            before = known.get((name, function), {}).get(kind, 0)
            if len(lines) > before:
                found.append((len(lines) - before, "%s:%s %s(): %d %s missed, %d before" % (
                    name, spell(ranges(source, lines)), function, len(lines),
                    WORDS[kind][len(lines) > 1], before)))
    return [text for _, text in sorted(found, key=lambda item: (-item[0], item[1]))]


def is_news(known, name, function, source):
    """A function that is never called misses all its lines: it is no news when it missed as many before."""
    before = known.get((name, function), {}).get("lines", 0)
    return len(per_function(source, "lines")[function]) > before


def all_missed(sources, ratchet, folder, kind):
    """For a fall that no function explains: everything that is missed, by file."""
    found = []
    for name, source in sources.items():
        lines = MISSED[kind](source)
        if lines and folder_of(name, ratchet) == folder:
            found.append((-len(lines), "%s:%s" % (name, spell(ranges(source, lines)))))
    return [text for _, text in sorted(found)]


class Judgement:
    """What the figures mean: table, failures, and whether the ratchet can go up."""

    def __init__(self, sources, ratchet, known):
        self.table, self.failures, self.raises = [], [], []
        self.sums = totals(sources, ratchet)
        filled = {folder_of(name, ratchet) for name in sources}
        for folder in sorted(self.sums):
            if folder not in ratchet:
                self.failures.append("%s has no row in coverage/ratchet; ci/coverage --raise adds it" % folder)
            elif folder not in filled:
                self.failures.append("coverage/ratchet has a row for %s, where no code is" % folder)
            for kind in KINDS:
                self.judge(sources, ratchet, folder, kind, known)

    def judge(self, sources, ratchet, folder, kind, known):
        now = percent(*self.sums[folder][kind])
        floor = ratchet.get(folder, {}).get(kind)
        self.table.append((folder, kind, now, self.sums[folder][kind][1], floor))
        if floor is None:
            return
        # Hundredths as integers: 95.2 - 95.1 is not 0.1 in floating point.
        fall = round(100 * floor) - round(100 * now)
        if fall < -round(100 * MARGIN[kind]):
            self.raises.append("%s %s %.2f -> %.2f" % (folder, kind, floor, now))
        if fall <= round(100 * MARGIN[kind]):
            return
        self.failures.append("%s: %s fell to %.2f %%; the ratchet is at %.2f, the margin is %.1f" %
                             (folder, kind, now, floor, MARGIN[kind]))
        because = blame(sources, ratchet, folder, kind, known)
        if not because:
            self.failures.append("    no function misses more than it did, so code that was reached has gone;"
                                 " all that is missed:")
            because = all_missed(sources, ratchet, folder, kind)
        self.failures += ["    " + line for line in because]

    def raised(self, ratchet):
        """The ratchet with every figure at least where it was."""
        return {folder: {kind: max(percent(*self.sums[folder][kind]), ratchet.get(folder, {}).get(kind, 0.0))
                         for kind in KINDS} for folder in self.sums}


class Gate:
    """The files of a tree's coverage/, read, so that a mistake in them shows before anything is built."""

    def __init__(self, root):
        self.root = root
        self.paths = {name: os.path.join(root, "coverage", name) for name in ("ratchet", "waivers", "missed")}
        self.ratchet = read_ratchet(self.paths["ratchet"])
        self.waivers = read_waivers(self.paths["waivers"])
        self.known = read_missed(self.paths["missed"])

    def sources(self, tracefile):
        """The counted files less what is waived, and the notes on waivers."""
        sources = read_tracefile(tracefile, self.root)
        if not sources:
            raise Wrong("%s counts no file of ours" % tracefile)
        return sources, apply_waivers(sources, self.waivers, self.paths["waivers"], self.root)

    def judge(self, tracefile, say=print):
        """Prints the table and the judgement; returns the exit status."""
        sources, notes = self.sources(tracefile)
        judgement = Judgement(sources, self.ratchet, self.known)
        say("%-16s %-10s %9s %7s %9s" % ("folder", "", "reached", "of", "ratchet"))
        for folder, kind, now, of, floor in judgement.table:
            say("%-16s %-10s %7.2f %% %7d %9s" % (folder, kind, now, of, "-" if floor is None else "%.2f" % floor))
        for line in notes + judgement.failures:
            say(line)
        for line in judgement.raises:
            say("the ratchet can go up: " + line)
        if judgement.raises:
            say("ci/coverage --last --raise writes that")
        return 1 if judgement.failures else 0

    def lift(self, tracefile, say=print):
        """Raises the ratchet to what was counted. A tree that is below it has nothing to raise."""
        sources, _ = self.sources(tracefile)
        judgement = Judgement(sources, self.ratchet, self.known)
        fell = [line for line in judgement.failures if "no row in" not in line]
        if fell:
            for line in fell:
                say(line)
            say("ci/coverage: not raised: the ratchet is never lowered, and the tree is below it")
            return 1
        raised = judgement.raised(self.ratchet)
        say("ci/coverage: " + ("raised" if raised != self.ratchet else "the ratchet is where it was"))
        write_ratchet(self.paths["ratchet"], raised)
        write_missed(self.paths["missed"], sources)
        return 0

    def spots(self, tracefile, count, say=print):
        """The longest runs of lines that nothing reaches: where a test is worth most."""
        found = []
        for name, source in self.sources(tracefile)[0].items():
            for function, lines in per_function(source, "lines").items():
                for first, last in ranges(source, lines):
                    found.append((-sum(first <= line <= last for line in lines), name, first, last, function))
        for size, name, first, last, function in sorted(found)[:count]:
            say("%4d lines  %s:%s %s()" % (-size, name, spell([[first, last]]), function))
        return 0
