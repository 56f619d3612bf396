# SPDX-License-Identifier: BSD-2-Clause
"""ci/mutants --self-test: a tiny stack with a test of its own, of which it is known what the test notices."""

import contextlib
import io
import json
import os
import subprocess
import tempfile

import bugs
import general
import lab as laboratory
import survivors
import sweeps

STACK = """\
int limit(int value);
int idle(int value);
int undo(int value);

int seen;

int limit(int value)
{
	seen = value;

	if (value < 10)
		return value;
	return 10;
}

int idle(int value)
{
	return value + 1;
}

int undo(int value)
{
	int unused;

	unused = value;
	return -value;
}
"""

TEST = """\
int limit(int value);
int undo(int value);

int main(int count, char **words)
{
	if (count > 1)
		return undo(4) == -4 ? 0 : 1;
	return limit(3) == 3 && limit(9) == 9 && limit(11) == 10 ? 0 : 1;
}
"""

BUG = """\
# Everything is limited.
# caught by: test_tiny
--- a/src/tiny.c
+++ b/src/tiny.c
@@ -%d,4 +%d,4 @@

-	if (value < %s)
+	if (value < 5)
 		return value;
 	return 10;
"""

UNREACHED = "src/tiny.c | idle | `value + 1` -> `-`"
HARMLESS = "src/tiny.c | limit | drop `seen = value`"
SAME = {"src/tiny.c | limit | `value < 10` -> `value <= 10`", "src/tiny.c | undo | drop `unused = value`"}
SWEPT = "src/tiny.c | undo | `-value` -> `(value)`"


class Tiny(laboratory.Lab):
    """One source, one test, built by hand where CMake would have built them."""

    def __init__(self, root):
        super().__init__(root, os.path.join(root, "build"))
        self.stack = os.path.join(root, "src")
        os.makedirs(self.stack)
        os.makedirs(os.path.join(self.build, "CMakeFiles", "test_tiny.dir"))
        self.write("src/tiny.c", STACK)
        self.write("test_tiny.c", TEST)

    def write(self, name, text):
        with open(os.path.join(self.root, name), "w", encoding="utf-8") as file:
            file.write(text)

    def make(self):
        mutants, digests = general.generate(self.root, self.stack, os.path.join(self.build, "src"))
        cc = ["cc", "-w", "-I", os.path.join(self.build, "src")]
        commands = []
        for name in ("tiny", "mutant"):
            path = os.path.join(self.build, "src", name + ".c")
            words = cc + ["-c", path, "-o", name + ".o"]
            subprocess.run(words, cwd=self.build, check=True)
            commands.append({"directory": self.build, "file": path, "command": " ".join(words)})
        self.write("build/compile_commands.json", json.dumps(commands))
        subprocess.run(["ar", "rc", "libvfio.a", "tiny.o", "mutant.o"], cwd=self.build, check=True)
        link = "cc %s -o test_tiny libvfio.a" % os.path.join(self.root, "test_tiny.c")
        self.write("build/CMakeFiles/test_tiny.dir/link.txt", link + "\n")
        subprocess.run(link.split(), cwd=self.build, check=True)
        return mutants, digests

    def checks(self):
        return [self.test("test_tiny"), laboratory.Check("story tiny/one", [self.program("test_tiny")])]

    def sweeps(self):
        return [(sweeps.FEW, laboratory.Check("sweep tiny/one", [self.program("test_tiny"), "faults"])),
                (sweeps.DEAR + 1, laboratory.Check("sweep tiny/dear", [self.program("nothing")]))]


def quietly(function, *words):
    """(what it returned, what it printed)."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        result = function(*words)
    return result, printed.getvalue()


class Judge:
    """Counts what is as it should be."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, good):
        self.passed += bool(good)
        self.failed += not good
        if not good:
            print("FAILED: " + what)


def judge_mutants(judge, lab):
    mutants, digests = lab.make()
    keys = [m.key() for m in mutants]
    for key in (UNREACHED, HARMLESS, *SAME, "src/tiny.c | limit | if `value < 10` -> `0`",
                "src/tiny.c | limit | return `10` -> `0`", "src/tiny.c | idle | `1` -> `2`"):
        judge.check("there is a mutant: " + key, key in keys)
    judge.check("each has a name of its own", len(set(keys)) == len(keys))
    checks, _ = quietly(general.survey, lab, 1, max(m.number for m in mutants))
    memory = general.Memory(os.path.join(lab.build, "results.json"), "world", digests, True)
    sweeping = sweeps.Sweeps(lab, max(m.number for m in mutants), mutants, checks)
    results, _ = quietly(general.hunt, lab, mutants, checks, memory, 1, sweeping)
    quietly(general.compare, lab, results, memory, 1)
    alive = [m.key() for m in mutants if survivors.survives(results[m])]
    judge.check("what nothing comes by survives", UNREACHED in alive)
    judge.check("what changes nothing survives", HARMLESS in alive)
    judge.check("the rest of what is reached is killed",
                {key for key in alive if "| idle |" not in key} == {HARMLESS})
    judge.check("the sweep kills what only it comes by",
                [results[m]["by"] for m in mutants if m.key() == SWEPT] == ["sweep tiny/one"])
    judge.check("what is the same code is no mutant", {m.key() for m in mutants if results[m].get("same")} == SAME)
    again = general.Memory(os.path.join(lab.build, "results.json"), "world", digests, False)
    judge.check("nothing is tried twice", all(again.known(m) for m in mutants))
    judge.check("another world is tried again, but what is the same code stays so", SAME == {
        m.key() for m in mutants if general.Memory(again.path, "other", digests, False).known(m)})
    judge.check("another file is tried again", not any(
        general.Memory(again.path, "world", {"src/tiny.c": "other"}, False).known(m) for m in mutants))
    judge_sample(judge, mutants, digests)
    judge_list(judge, lab.root, results, alive)


def judge_sample(judge, mutants, digests):
    some, again = (general.sample(mutants, digests, 5) for _ in range(2))
    judge.check("a sample is the same each time", len(some) == 5 and some == again)
    judge.check("another stack has another sample", some != general.sample(mutants, {"src/tiny.c": "other"}, 5))


def judge_list(judge, root, results, alive):
    listed = {key: survivors.Listed(1, "harmless") for key in alive}

    def verdict(entries, least=0.0):
        return quietly(survivors.judge, results, entries, "survivors", least, True)

    judge.check("survivors that are listed are good", verdict(listed)[0] == 0)
    status, text = verdict({key: listed[key] for key in alive if key != UNREACHED})
    judge.check("one that is not listed is named", status == 1 and "src/tiny.c:18: survives (nothing comes by)" in text)
    killed = next(m.key() for m in results if results[m]["by"])
    status, text = verdict(dict(listed, **{killed: survivors.Listed(7, "x")}))
    judge.check("one that is killed must leave the list", status == 1 and "survivors:7: is killed now" in text)
    status, text = verdict(dict(listed, **{"src/tiny.c | gone | x": survivors.Listed(8, "x")}))
    judge.check("one that has gone must, too", status == 1 and "survivors:8: there is no such mutant" in text)
    judge.check("a low score is a failure", verdict(listed, 99.0)[0] == 1)
    share = 100 * sum(result["by"] is not None for result in results.values()) / (len(results) - len(SAME))
    status, text = verdict(dict(listed, **{key: survivors.Listed(9, "x") for key in SAME}), share)
    judge.check("the same code does not count, and may be listed", status == 0 and ", 2 the same code, " in text)
    path = os.path.join(root, "survivors")
    survivors.note(results, {UNREACHED: survivors.Listed(1, "is not called"), killed: survivors.Listed(2, "x")}, path)
    noted = survivors.read(path)
    judge.check("what survives is noted, and its reason kept",
                set(noted) == set(alive) and noted[UNREACHED].reason == "is not called" and
                noted[HARMLESS].reason.startswith(survivors.OPEN))


def judge_bugs(judge, lab):
    lab.checks = lambda: [lab.test("test_tiny")]

    def attempt(text, test=TEST):
        lab.write("test_tiny.c", test)
        lab.make()
        lab.write("one.patch", text)
        patches = [bugs.Patch(os.path.join(lab.root, "one.patch"))]
        return quietly(bugs.run, lab, lab.root, patches, 1)

    bad, text = attempt(BUG % (7, 7, "10"))
    judge.check("a bug is caught, and by whom is told", bad == 0 and "test_tiny" in text)
    bad, text = attempt(BUG % (70, 70, "10"))
    judge.check("lines may move", bad == 0)
    bad, text = attempt(BUG % (7, 7, "12"))
    judge.check("a patch that does not apply is an error", bad == 1 and "does not apply" in text)
    bad, text = attempt(BUG % (7, 7, "10"), TEST.replace("limit(9) == 9 && ", ""))
    judge.check("a bug that nobody notices is an error", bad == 1 and "NOT CAUGHT" in text)
    bad, text = attempt((BUG % (7, 7, "10")).replace("test_tiny", "test_other"))
    judge.check("a check that does not exist is an error", bad == 1 and "there is no check test_other" in text)


def main():
    judge = Judge()
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, "build"))
        lab = Tiny(os.path.realpath(root))
        try:
            judge_mutants(judge, lab)
            judge_bugs(judge, lab)
        finally:
            os.chdir(here)
    print("ci/mutants --self-test: %d passed, %d failed" % (judge.passed, judge.failed))
    return 1 if judge.failed else 0
