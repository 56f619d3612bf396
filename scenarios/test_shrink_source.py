#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_shrink_source.py VFAKE SOURCE_DIR: failing stories in C files become minimal, and fail in the same way.

What comes out is judged by `vfake run` and `vfake sweep` alone: it compiles, its story fails with the same words, and
without any one of its lines it does not.
"""

import re
import signal
import sys
import time

from cli_rig import FAIL, FORGETFUL, PASS, USAGE, Bench, run_cases

# Three stories with much that the one that fails does not need. %s is what goes wrong.
STORIES = """/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Said at length.
 */
#include <errno.h>
#include <string.h>

#include "stories.h"

#define UNUSED 7
enum { MIB = 1 << 20, KIB = 1 << 10 };

struct pair {
	uint64_t a;
	uint64_t b;
};

static const struct pair pairs[] = { { 1, 2 }, { .a = 3, .b = 4 } };

static uint64_t sum(const struct pair *pair)
{
	return pair->a + pair->b;
}

/* How far it is. */
static uint64_t deep(struct stage *stage)
{
	uint64_t page = stage->backend->page, all = 0;

	for (size_t i = 0; i < 2; i++)
		all += sum(&pairs[i]);
	return all * page;
}

static void run_good(struct stage *stage)
{
	stage_attach(stage, 0);
	stage_detach(stage, 0);
}

const struct story story_good = { .name = "good", .about = "it is", .run = run_good };

static void run_bad(struct stage *stage)
{
	struct vfio_error error = { .code = 0 };
	struct vfio_irq irq;
	int rounds = 0;

	assert_true(deep(stage) > 0);
	for (int round = 0; round < 2; round++) {
		struct stage_ram *ram = stage_ram(stage, stage->backend->ram, MIB);

		rounds++;
		stage_attach(stage, 0);
		if (round == 0) {
			/* here */
			memset(&irq, 0, sizeof(irq));
%s
		}
		stage_detach(stage, 0);
		stage_ram_free(stage, ram);
	}
	assert_int_equal(rounds, 2);
	assert_int_equal(error.code, 0);
}

const struct story story_bad = {
	.name = "bad",
	.about = "it is",
	.run = run_bad,
	.needs = NEEDS_MAPS,
};

const struct story story_late = { .name = "late", .about = "it is", .run = run_good };
"""


def stories(wrong):
    return STORIES % "\n".join("\t\t\t" + line for line in wrong.splitlines())


def said_by(bench, text, cell):
    """What the cell fails with, without places and addresses; None when it cannot be played or passes."""
    name = bench.file("judged.c", text)
    done = bench.run("run", "--filter", cell, name)
    if done.returncode != FAIL:
        return None
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    lines = [re.sub(r"0x[0-9a-f]{9,15}\b", "#", line) for line in lines if not re.match(r"repeat: |\.|-", line)]
    return [re.sub(r"^(?:.*/)?([a-z_]+\.[ch]:)[0-9]+: error", r"\1", line) for line in lines][:2]


def shrink(bench, text, *words):
    """The small file; the program succeeds and says what it did."""
    name = bench.file("big.c", text)
    done = bench.run("shrink", "--output", "small.c", name, *words)
    assert (done.returncode, done.stderr) == (PASS, ""), done
    small = (bench.directory / "small.c").read_text(encoding="utf-8")
    said = re.fullmatch(r"big\.c: (\d+) lines became (\d+) in \d+ tries: small\.c\nit fails with: (.*)\n", done.stdout)
    assert said, done.stdout
    assert int(said.group(2)) < int(said.group(1)) == sum(1 for line in text.splitlines() if line), done.stdout
    assert int(said.group(2)) == sum(1 for line in small.splitlines() if line), (small, done.stdout)
    return small, said.group(3)


def is_minimal(bench, text, cell):
    """No line can go but the licence."""
    lines = text.splitlines(keepends=True)
    kind = said_by(bench, text, cell)
    assert kind, text
    for i in range(1, len(lines)):
        rest = "".join(lines[:i] + lines[i + 1:])
        if lines[i].strip():
            assert said_by(bench, rest, cell) != kind, f"line {i + 1} is not needed:\n{text}"


def test_assertion(bench):
    """The one assertion, what it looks at, and the story."""
    text = stories("assert_false(vfio_device_irq(stage->devices[0], 99, &irq, &error));\n"
                   "assert_int_equal(error.code, -ENOENT);\nerror.code = 0;")
    small, kind = shrink(bench, text)
    assert kind.startswith("bad/type1v2: 0x") and kind.endswith("; assert_int_equal(error.code, -ENOENT);"), kind
    assert small == """/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "stories.h"

static void run_bad(struct stage *stage)
{
	struct vfio_error error = { };
	struct vfio_irq irq;

	stage_attach(stage, 0);
	assert_false(vfio_device_irq(stage->devices[0], 99, &irq, &error));
	assert_int_equal(error.code, -ENOENT);
}

const struct story story_bad = {
	.name = "bad",
	.run = run_bad,
};
""", small
    assert said_by(bench, small, "bad/type1v2") == said_by(bench, text, "bad/type1v2"), small
    is_minimal(bench, small, "bad/type1v2")
    again = bench.run("shrink", "small.c")
    assert again.returncode == PASS and ": 15 lines, minimal already (" in again.stdout, again
    assert (bench.directory / "small.min.c").read_text(encoding="utf-8") == small


def test_oracle(bench):
    """Nothing is asserted; at the end something is left."""
    small, kind = shrink(bench, stories("stage->vmm.forbid_discard(stage->vmm.ctx, true);"))
    assert "forbid_discard" in small and len(small.splitlines()) <= 13 and kind.startswith("bad/type1v2: "), (small, kind)
    is_minimal(bench, small, "bad/type1v2")


def test_crash_and_hang(bench):
    small, kind = shrink(bench, stories("*(volatile int *)8 = 1;"))
    assert "volatile" in small and len(small.splitlines()) <= 14, small
    assert "exception" in kind or "signal" in kind or "SEGV" in kind, kind
    # Each try that hangs takes its second, so there is little to try.
    text = FORGETFUL[FORGETFUL.index("static void run"):].replace("\town = stage;", "\twhile (stage)\n\t\t;")
    text = text[:text.index("\tvmm =")] + text[text.index("}\n\nconst"):].replace("forgetful", "bad")
    small, kind = shrink(bench, '#include "story.h"\n\n' + text, "--timeout", "1", "bad/iommufd")
    assert kind.startswith("bad/iommufd: took longer than 1 s"), kind
    assert "while" in small and len(small.splitlines()) <= 14, small


def test_sweep(bench):
    """What only a fault brings out: nothing fails without --sweep."""
    text = FORGETFUL.replace("\treturn own->", "\t/* a comment */\n\tif (held < 0)\n\t\treturn held;\n\treturn own->")
    text = text.replace("\town = stage;\n", "\town = stage;\n\tstage_ram(stage, stage->backend->ram, 0x10000);\n")
    done = bench.run("shrink", bench.file("big.c", text))
    assert (done.returncode, done.stdout, done.stderr) == (FAIL, "", "big.c: it does not fail without --sweep\n"), done
    small, kind = shrink(bench, text, "--sweep", "forgetful/iommufd")
    assert re.match(r"forgetful/iommufd: step #, vfio_device_attach, with \S+; ", kind), kind
    assert "stage_ram" not in small and "held < 0" not in small and "vfio_device_detach" not in small, small
    done = bench.run("sweep", "small.c", "forgetful/iommufd")
    assert done.returncode == FAIL and "vfio_device_attach, with" in done.stdout, done


def test_chosen(bench):
    """Of several that fail the first one, or the one that is named."""
    text = stories("assert_null(stage);").replace("stage_detach(stage, 0);\n}", "assert_null(stage);\n}", 1)
    assert shrink(bench, text)[1].startswith("good/type1v2: ")
    small, kind = shrink(bench, text, "bad/spapr-v2")
    assert kind.startswith("bad/spapr-v2: ") and "story_good" not in small, kind
    assert shrink(bench, text, "l*/user")[1].startswith("late/user: ")


def test_tree(bench):
    """A story of the tree beside its headers; its file stays as it is."""
    path = bench.source / "scenarios/bugs/user-info-argsz-zero.c"
    text = path.read_text(encoding="utf-8")
    folder = bench.directory / "bugs"
    folder.mkdir()
    (folder / "bugs.h").write_text((path.parent / "bugs.h").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "wrong.c").write_text(text.replace("assert_true(facts.is_pci)", "assert_false(facts.is_pci)"),
                                    encoding="utf-8")
    done = bench.run("shrink", "bugs/wrong.c")
    assert done.returncode == PASS and "assert_false(facts.is_pci);\n" in done.stdout, done
    small = (folder / "wrong.min.c").read_text(encoding="utf-8")
    assert "bug_good" not in small and len(small.splitlines()) <= 18, small


def test_command(bench):
    """Whatever a shell can ask for, of files that nobody compiles, too."""
    text = stories("assert_null(stage);") + "\nint unfinished(\n"
    small, kind = shrink(bench, text, "--command", "grep -q 'all += sum' {} && exit 3; true")
    assert kind == "the command fails" and "all += sum" in small and len(small.splitlines()) <= 6, small


def test_interrupted(bench):
    """It writes what it has then, and says so."""
    name = bench.file("big.c", stories("assert_null(stage);"))
    words = [str(bench.vfake), "shrink", "--output", "stopped.c", name]
    process = bench.start(words)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    done = bench.end(process)
    small = bench.directory / "stopped.c"
    if done.returncode == FAIL:
        assert "and it was stopped then: stopped.c\n" in done.stdout, done
        assert said_by(bench, small.read_text(encoding="utf-8"), "bad/*"), done
    else:  # so early that it did not know yet how the file fails, or late: all was done
        assert done.returncode in (PASS, -signal.SIGINT), done


def test_refusals(bench):
    name = bench.file("good.c", stories(""))
    done = bench.run("shrink", name)
    assert (done.returncode, done.stdout, done.stderr) == (FAIL, "", "good.c: it does not fail without --sweep\n"), done
    assert not (bench.directory / "good.min.c").exists()
    for words, says in (((name, "other"), "good.c: nothing to play matches `other'"),
                        (("missing.c",), "missing.c: No such file"),
                        ((bench.file("none.c", "int x;\n"),), "none.c: there is no story in it"),
                        ((bench.file("bad.c", "int x\n"),), "bad.c: it does not compile"),
                        (("--world=w.json", name), "--world is for traces"),
                        (("--sweep", "x.trace"), "--sweep is for stories"),
                        (("--sweep", "--command=true", name), "--sweep does not go with --command"),
                        (("x.trace", "y"), "one trace at a time"),
                        (("--command=true", name, "y"), "`y' does not go with --command"),
                        ((name, "a", "b"), "one file at a time")):
        done = bench.run("shrink", *words)
        assert (done.returncode, done.stdout) == (USAGE, "") and says in done.stderr, (words, done)


if __name__ == "__main__":
    sys.exit(run_cases(globals(), 2, lambda given, directory: Bench(*given, directory)))
