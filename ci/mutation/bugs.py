# SPDX-License-Identifier: BSD-2-Clause
"""Bugs of other programs, written into the stack one at a time: scenarios/bugs/*.patch, each of which must be caught.

A patch begins with comments: what is wrong with it, and a last one, `# caught by: CHECK, CHECK…`, where a check is a
cell of `vfake run` as `attach-one/type1v2` or a test program as `test_memory`. These are what is run; a patch that they
do not catch is tried on everything, so that the report can say what else would.
"""

import concurrent.futures
import os
import re
import shutil
import sys
import tempfile
import time

import general
import lab as laboratory


class DoesNotApply(Exception):
    """The text names the place."""


class Patch:
    """One bug: its file, what it says of itself, and the hunks by source file."""

    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path)[:-len(".patch")]
        self.about, self.caught_by, self.hunks = [], [], {}
        with open(path, encoding="utf-8") as file:
            self.read(file.read().split("\n"))

    def wrong(self, number, what):
        raise DoesNotApply("%s:%d: %s" % (os.path.basename(self.path), number, what))

    def read(self, lines):
        target = hunk = None
        for number, line in enumerate(lines, 1):
            if line.startswith("# caught by: "):
                self.caught_by = [word.strip() for word in line[len("# caught by: "):].split(",")]
            elif line.startswith("#") and target is None:
                self.about.append(line[1:].strip())
            elif line.startswith("--- "):
                continue
            elif line.startswith("+++ "):
                target = line[4:].split("\t")[0].partition("/")[2]
            elif line.startswith("@@"):
                place = re.match(r"@@ -(\d+)", line)
                if not place or target is None:
                    self.wrong(number, "not a unified diff")
                hunk = (number, int(place.group(1)), [], [])
                self.hunks.setdefault(target, []).append(hunk)
            elif hunk and line[:1] in (" ", "-", "+"):
                if line[0] != "+":
                    hunk[2].append(line[1:])
                if line[0] != "-":
                    hunk[3].append(line[1:])
            elif line:
                self.wrong(number, "not a unified diff")
        if not self.hunks or not self.about or not self.caught_by:
            self.wrong(1, "want what is wrong and `# caught by: …` as comments, and hunks")

    def apply(self, root):
        """{source file: its text with the bug}. What a hunk takes away must be there, wherever it has moved to."""
        changed = {}
        for name, hunks in self.hunks.items():
            path = os.path.join(root, name)
            if not os.path.exists(path):
                self.wrong(hunks[0][0], "there is no %s" % name)
            with open(path, encoding="utf-8") as file:
                lines = file.read().split("\n")
            for number, start, old, new in reversed(hunks):
                places = [i for i in range(len(lines)) if lines[i:i + len(old)] == old]
                if not places:
                    self.wrong(number, "does not apply to %s any more" % name)
                place = min(places, key=lambda i: abs(i + 1 - start))
                lines[place:place + len(old)] = new
            changed[name] = "\n".join(lines)
        return changed


class Trial:
    """One patch in a corner of its own."""

    def __init__(self, lab, root, patch):
        self.lab, self.patch = lab, patch
        self.corner = tempfile.mkdtemp(prefix=patch.name + ".", dir=lab.scratch)
        self.built = laboratory.Patched(lab, os.path.join(lab.build, "src"), self.corner)
        self.programs = {}
        for name, text in patch.apply(root).items():
            path = os.path.join(self.corner, os.path.basename(name))
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            said = self.built.compile(os.path.basename(name), path)
            if said:
                raise DoesNotApply("%s: does not compile:\n%s" % (patch.name, said))

    def program(self, name):
        if name not in self.programs:
            self.programs[name] = self.built.link(name)
        return self.programs[name]

    def check(self, name):
        if "/" in name:
            check = self.lab.story(name, self.program("vfake"))
        else:
            check = self.lab.test(name, self.program(name))
        check.seconds = laboratory.WALL_S / laboratory.CPU_TIMES / 4
        return check

    def run(self, names):
        """(check, outcome) of each that fails."""
        for name in names:
            outcome = self.lab.run(self.check(name))
            if outcome.failed:
                yield name, outcome

    def close(self):
        shutil.rmtree(self.corner)


def try_patch(lab, root, patch, known):
    """(name, what was found, whether it is good)."""
    began = time.monotonic()
    unknown = [name for name in patch.caught_by if name not in known]
    if unknown:
        return "there is no check %s" % ", ".join(unknown), False
    trial = Trial(lab, root, patch)
    try:
        for name, outcome in trial.run(patch.caught_by):
            return "%-12s %-40s %5.2f s" % (outcome.oracle, name, time.monotonic() - began), True
        for name, outcome in trial.run(known):
            return "not by what it names, but by %s (%s)" % (name, outcome.oracle), False
        return "NOT CAUGHT", False
    finally:
        trial.close()


def read_all(folder, names):
    paths = sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".patch"))
    patches = [Patch(path) for path in paths]
    missing = set(names) - {patch.name for patch in patches}
    if missing:
        raise DoesNotApply("no such patch: " + ", ".join(sorted(missing)))
    return [patch for patch in patches if not names or patch.name in names]


def run(lab, root, patches, jobs):
    """Prints a line for each; returns the number of those that are not as they should be."""
    known = [check.name.split(" ", 1)[1] for check in lab.checks()]
    bad = 0

    def safely(patch):
        try:
            return try_patch(lab, root, patch, known)
        except DoesNotApply as problem:
            return str(problem), False

    width = max(len(patch.name) for patch in patches)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for patch, (text, good) in zip(patches, pool.map(safely, patches)):
            print("%-*s  %s" % (width, patch.name, text), flush=True)
            bad += not good
    return bad


def main(options, root, build, folder):
    try:
        patches = read_all(folder, options.names)
    except DoesNotApply as problem:
        sys.exit("ci/mutants: %s" % problem)
    if options.list:
        for patch in patches:
            print("%s: %s" % (patch.name, " ".join(patch.about)))
        return 0
    checks = {name for patch in patches for name in patch.caught_by}
    general.build(root, options.jobs, sorted({name for name in checks if "/" not in name} | {"vfake"}))
    lab = laboratory.Lab(root, build)
    bad = run(lab, root, patches, options.jobs)
    print("\n%d patches, %d caught" % (len(patches), len(patches) - bad))
    if lab.broken:
        print("these fail without any bug: " + ", ".join(lab.broken))
    return 1 if bad or lab.broken else 0
