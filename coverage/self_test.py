# SPDX-License-Identifier: BSD-2-Clause
"""ci/coverage --self-test: a tiny project with tests of its own goes before the gate.

It is compiled, run and counted as the real tree is, in a directory that goes away afterwards. Then a test is taken
away, and the gate must fail and name the lines that only this test reached; and so on for each rule of the gate.
"""

import os
import subprocess
import tempfile

import gate

FLUSH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flush.c")

PAIR = """\
/* SPDX-License-Identifier: BSD-2-Clause */
#include "pair.h"

int pair_apart(int a, int b)
{
	return a > b ? a - b : b - a; /* which is greater */
}

int pair_clamp(int x, int low, int high)
{
	if (x < low)
		return low; /* too low */
	if (x > high)
		return high; /* too high */
	return x;
}

int pair_sum(const int *values, int count)
{
	int sum = 0; /* from nothing */

	for (int i = 0; i < count; i++)
		sum += values[i];
	return sum; /* of all */
}

int pair_in_child(int x)
{
	return x + 1; /* in a child */
}

int pair_refuse(int x)
{
	if (x < 0)
		return -22; /* nobody tries */
	return 0;
}
"""

HEADER = """\
/* SPDX-License-Identifier: BSD-2-Clause */
int pair_apart(int a, int b);
int pair_clamp(int x, int low, int high);
int pair_sum(const int *values, int count);
int pair_in_child(int x);
int pair_refuse(int x);
"""

# The real room is larger; so is this one, or its one folder would hide that rooms are told apart.
TOOL = """\
/* SPDX-License-Identifier: BSD-2-Clause */
#include "pair.h"
int tool(int x);
int tool(int x)
{
	return pair_apart(x, 1); /* the tool */
}
"""

TESTS = {
    "apart_down": "return pair_apart(2, 1) != 1;",
    "apart_up": "return pair_apart(1, 2) != 1;",
    "clamp": "return pair_clamp(1, 2, 3) != 2 || pair_clamp(4, 2, 3) != 3 || pair_clamp(2, 1, 3) != 2;",
    "clamp_low": "return pair_clamp(1, 2, 3) != 2;",
    "sum": "int v[] = {1, 2}; return pair_sum(v, 2) != 3;",
    "child": "int s; if (!fork()) _exit(pair_in_child(6)); wait(&s); return WEXITSTATUS(s) != 7;",
    "refuse": "return pair_refuse(1) != 0;",
    "tool": "return tool(2) != 1;",
}
MAIN = """\
#include <sys/wait.h>
#include <unistd.h>
#include "pair.h"
int tool(int x);
int main(void) { %s }
"""


def line_of(mark, text=PAIR):
    return [number for number, line in enumerate(text.split("\n"), 1) if mark in line][0]


class Project:
    """The tree on disk, and lcov over it."""

    def __init__(self, root, counters):
        self.root, self.build = root, os.path.join(root, "build")
        for path, text in (("src/pair.c", PAIR), ("src/pair.h", HEADER), ("harness/tool.c", TOOL)):
            self.write(path, text)
        for name, body in TESTS.items():
            self.write("tests/%s.c" % name, MAIN % body)
        os.makedirs(os.path.join(root, "coverage"))
        os.makedirs(self.build)
        self.counters = counters(root, self.build)
        self.objects = [self.compile(path) for path in ("src/pair.c", "harness/tool.c")]
        self.objects.append(self.compile(FLUSH))

    def write(self, path, text):
        whole = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def compile(self, path):
        source = os.path.join(self.root, path)
        made = os.path.join(self.build, path.strip("/").replace("/", "-")[:-2] + ".o")
        subprocess.run(["gcc", "-g", "-O0", "--coverage", "-I", os.path.join(self.root, "src"), "-c", source,
                        "-o", made], check=True)
        return made

    def program(self, name):
        made = os.path.join(self.build, "test_" + name)
        if not os.path.exists(made):
            test = self.compile("tests/%s.c" % name)
            subprocess.run(["gcc", "--coverage", "-Wl,--wrap=_exit", test, *self.objects, "-o", made], check=True)
        return made

    def count(self, *away):
        """Runs all tests but these; returns the tracefile."""
        programs = [self.program(name) for name in TESTS if name not in away]
        self.counters.reset()
        for program in programs:
            subprocess.run([program], check=True)
        counted = os.path.join(self.root, "-".join(("counted",) + away) + ".info")
        self.counters.gather(counted)
        return counted


class Trial:
    """Puts questions to the gate and keeps what came out otherwise than it should."""

    def __init__(self, project):
        self.project, self.surprises, self.asked = project, [], 0

    def ask(self, about, counted, status, *wanted, lift=False, unwanted=()):
        """The gate over a tracefile: its status, or "wrong" for a mistake in its files, and what it must say."""
        said = []
        self.asked += 1
        try:
            judge = gate.Gate(self.project.root)
            got = (judge.lift if lift else judge.judge)(counted, said.append)
        except gate.Wrong as error:
            got = "wrong"
            said.append(str(error))
        text = "\n".join(said)
        if got != status:
            self.surprise(about, "ends with %s, not %s" % (got, status), text)
        for words in wanted:
            if words not in text:
                self.surprise(about, "does not say %r" % words, text)
        for words in unwanted:
            if words in text:
                self.surprise(about, "says %r" % words, text)

    def surprise(self, about, what, text):
        self.surprises.append("%s: %s\n    %s" % (about, what, text.replace("\n", "\n    ")))

    def mistake(self, about, path, text, *wanted):
        """A file of the gate that is wrong must be named, before anything is counted."""
        before = self.project.read(path)
        self.project.write(path, text)
        self.ask(about, os.devnull, "wrong", *wanted)
        self.project.write(path, before)

    def same(self, about, got, wanted):
        self.asked += 1
        if got != wanted:
            self.surprise(about, "got %r" % (got,), "want %r" % (wanted,))


def figures(project):
    return gate.read_ratchet(os.path.join(project.root, "coverage", "ratchet"))


def set_ratchet(project, **changes):
    """Overwrites percentages of src; returns what to put back."""
    ratchet = figures(project)
    before = project.read("coverage/ratchet")
    ratchet["src"].update(changes)
    gate.write_ratchet(os.path.join(project.root, "coverage", "ratchet"), ratchet)
    return before


def trial_of_ratchet(trial, project, whole):
    trial.ask("folders without a row", whole, 1, "src has no row", "harness has no row")
    trial.ask("the first ratchet", whole, 0, "raised", lift=True)
    trial.same("rows", sorted(figures(project)), ["harness", "src"])
    trial.same("functions of src", figures(project)["src"]["functions"], 100.0)
    trial.ask("nothing fell", whole, 0, unwanted=["can go up", "fell"])

    now = figures(project)["src"]
    before = set_ratchet(project, lines=now["lines"] - 5, branches=now["branches"] - 5)
    trial.ask("room to go up", whole, 0, "can go up: src lines", "can go up: src branches")
    trial.ask("going up", whole, 0, "raised", lift=True)
    trial.same("it went up, and no further", project.read("coverage/ratchet"), before)

    margin = gate.MARGIN["lines"]
    set_ratchet(project, lines=now["lines"] + margin)
    trial.ask("a fall of just the margin", whole, 0, unwanted=["fell"])
    trial.ask("raising within the margin", whole, 0, lift=True)
    trial.same("raising does not lower", figures(project)["src"]["lines"], round(now["lines"] + margin, 2))
    set_ratchet(project, lines=now["lines"] + margin + 0.01)
    trial.ask("a fall of more than the margin", whole, 1, "src: lines fell to %.2f" % now["lines"],
              "no function misses more", "src/pair.c:%d" % line_of("nobody tries"))
    project.write("coverage/ratchet", before + "fakes/gone 90.00 90.00 90.00\n")
    trial.ask("a row without code", whole, 1, "a row for fakes/gone")
    project.write("coverage/ratchet", before)


def trial_of_tests(trial, project):
    """Each test that goes is missed at its own lines, and nowhere else."""
    before = project.read("coverage/ratchet")
    clamp = project.count("clamp")
    trial.ask("a test of lines taken away", clamp, 1, "src: lines fell",
              "src/pair.c:%d-%d pair_clamp(): 3 lines are missed, 0 before" %
              (line_of("x > high"), line_of("return x;")), unwanted=["pair_apart", "pair_refuse", "harness:"])
    trial.ask("raising after that", clamp, 1, "not raised", lift=True)
    trial.same("the ratchet stays", project.read("coverage/ratchet"), before)

    trial.ask("a test of one branch taken away", project.count("apart_up", "tool"), 1,
              "src: branches fell", "src/pair.c:%d pair_apart(): 1 branch is missed, 0 before" % line_of("which is"),
              "harness: lines fell", "harness/tool.c:%d-%d tool(): 2 lines are missed" % (4, 6),
              unwanted=["src: lines fell", "pair_clamp"])
    trial.ask("a whole function untested", project.count("sum"), 1, "src: functions fell",
              "src/pair.c:%d pair_sum() is never called" % line_of("int pair_sum("),
              "src/pair.c:%d-%d pair_sum(): 5 lines are missed, 0 before" %
              (line_of("int pair_sum("), line_of("of all")))
    trial.ask("what a child did that ends with _exit", project.count("child"), 1,
              "src/pair.c:%d pair_in_child() is never called" % line_of("int pair_in_child("),
              unwanted=["pair_sum"])


def trial_of_waivers(trial, project, whole):
    pattern = "src/*.c | /return -22; | nobody/ | owner | no caller passes less\n"
    project.write("coverage/waivers", "# a comment\n\n" + pattern)
    trial.ask("a pattern with a bar", whole, 0, "can go up: src lines")
    sources, _ = gate.Gate(project.root).sources(whole)
    trial.same("the lines left", gate.missed_lines(sources["src/pair.c"]), [])
    trial.same("the branches left", len(gate.missed_branches(sources["src/pair.c"])), 1)
    project.write("coverage/waivers", "src/pair.c | pair_refuse() | owner | no caller passes less\n")
    sources, _ = gate.Gate(project.root).sources(whole)
    trial.same("the branches left by a function's waiver", gate.missed_branches(sources["src/pair.c"]), [])

    gone = project.count("sum", "tool")
    project.write("coverage/waivers", "src/pair.c | pair_sum() | owner | slow\nharness/*.c | * | owner | a tool\n"
                  "src/pair.c | pair_refuse() | owner | no caller passes less\n")
    trial.ask("waivers of a function and of a file", gone, 0, unwanted=["fell", "excuses nothing"])
    trial.ask("needless waivers", whole, 0, "coverage/waivers:1: excuses nothing",
              "coverage/waivers:2: excuses nothing")
    for what in ("src/gone.c | * |", "src/pair.c | pair_gone() |", "src/pair.c | /no such text/ |"):
        project.write("coverage/waivers", "# first\n%s owner | reason\n" % what)
        trial.ask("a waiver of nothing: " + what, whole, "wrong", "coverage/waivers:2: this waiver matches nothing")
    project.write("coverage/waivers", "")


def trial_of_mistakes(trial):
    head = "# the ratchet\n\n"
    for row, what in (
            ("src 90.00 80.00", "want `folder lines branches functions`"),
            ("src 90.00 80.00 70.00 60.00", "want `folder lines branches functions`"),
            ("src 90.00 much 70.00", "branches of src"),
            ("src 90.00 80.00 100.01", "functions of src"),
            ("src -1.00 80.00 70.00", "lines of src"),
            ("src 90.00 80.0 70.00", "branches of src"),
            ("src nan 80.00 70.00", "lines of src")):
        trial.mistake("ratchet: " + row, "coverage/ratchet", head + row + "\n", "coverage/ratchet:3: ", what)
    trial.mistake("ratchet: twice", "coverage/ratchet", head + "src 90.00 80.00 70.00\n" * 2,
                  "coverage/ratchet:4: a second row of src")
    for row, what in (
            ("src/pair.c | * | owner", "want `file | what | owner | reason`"),
            ("src/pair.c | * | owner |", "want `file | what | owner | reason`"),
            ("src/pair.c | | owner | reason", "want `file | what | owner | reason`"),
            ("src/pair.c | pair_apart | owner | reason", "what is waived is"),
            ("src/pair.c | // | owner | reason", "what is waived is"),
            ("src/pair.c | /(/ | owner | reason", "no regular expression")):
        trial.mistake("waivers: " + row, "coverage/waivers", "# one\n" + row + "\n", "coverage/waivers:2: ", what)
    trial.mistake("missed", "coverage/missed", "src/pair.c pair_apart one 2\n", "coverage/missed:1: ")
    trial.ask("a tracefile of nothing", os.devnull, "wrong", "counts no file of ours")


NEW_DIALECT = """\
SF:%s/src/pair.c
FNL:0,4,7
FNA:0,3,pair_apart
FNL:1,9,16
FNA:1,0,pair_clamp
DA:4,3
DA:9,0
BRDA:6,0,0,2
BRDA:6,0,1,-
end_of_record
"""


def trial_of_dialects(trial, project):
    """Only one lcov is here, but the records of the other must be read as well."""
    for text in (NEW_DIALECT, NEW_DIALECT.replace("FNL:0,4,7", "FN:4,7,pair_apart").replace("FNA:0,3,", "FNDA:3,")
                 .replace("FNL:1,9,16", "FN:9,pair_clamp").replace("FNA:1,0,", "FNDA:0,")):
        project.write("dialect.info", text % project.root)
        source = gate.read_tracefile(os.path.join(project.root, "dialect.info"), project.root)["src/pair.c"]
        trial.same("functions", source.functions, {"pair_apart": [4, 3], "pair_clamp": [9, 0]})
        trial.same("branches", gate.missed_branches(source), [6])


def trial_of_folders(trial):
    for name, ratchet, folder in (
            ("src/a.c", {}, "src"), ("harness/bench/a.c", {}, "harness"), ("fakes/kernel/a.c", {}, "fakes/kernel"),
            ("harness/bench/a.c", {"harness/bench", "harness"}, "harness/bench"),
            ("fakes/kernel/a.c", {"fakes", "fakes/kern"}, "fakes")):
        trial.same("the folder of " + name, gate.folder_of(name, ratchet), folder)


def run(counters):
    """Returns the exit status; `counters` is ci/coverage's class for lcov over a build directory."""
    with tempfile.TemporaryDirectory() as root:
        project = Project(root, counters)
        trial = Trial(project)
        whole = project.count()
        project.write("coverage/waivers", "")
        trial_of_ratchet(trial, project, whole)
        trial_of_tests(trial, project)
        trial_of_waivers(trial, project, whole)
        trial_of_mistakes(trial)
        trial_of_dialects(trial, project)
        trial_of_folders(trial)
    for surprise in trial.surprises:
        print("ci/coverage --self-test: " + surprise)
    print("ci/coverage --self-test: %d questions, %d surprises" % (trial.asked, len(trial.surprises)))
    return 1 if trial.surprises else 0
