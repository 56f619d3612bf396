#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_story_file.py VFAKE SOURCE_DIR: stories in C files of one's own, played and swept where they lie.

They are written here, in every way that goes right or wrong; those of the tree are played from their files and must do
what they do as a part of vfake. Nothing may stay behind in TMPDIR.
"""

import json
import os
import re
import shutil
import signal
import sys
import time

from cli_rig import FAIL, FORGETFUL, PASS, SKIPPED, USAGE, Bench, run_cases


STORY = """#include "story.h"

static void run(struct stage *stage)
{
%s
}

const struct story story_own = { .name = "%s", .about = "written for this", .run = run };
"""
GOOD = "\tstage_ram(stage, 0x10000000, 0x2000);\n\tstage_attach(stage, 0);\n\tstage_detach(stage, 0);"


def story(name, body=GOOD):
    return STORY % (body, name)


def last_line(done):
    return done.stdout.splitlines()[-1]


def test_passes(bench):
    name = bench.file("good.c", story("good"))
    done = bench.run("run", name)
    assert (done.returncode, done.stderr) == (PASS, ""), done
    assert last_line(done) == "9 passed, 0 failed", done.stdout
    done = bench.run("run", "--filter", "good/iommufd*", name)
    assert last_line(done) == "2 passed, 0 failed", done.stdout
    done = bench.run("run", "--list", name)
    assert re.match(r"good +written for this\n\ntype1v2 ", done.stdout), done.stdout
    assert bench.run("run", "--filter", "attach-*", name).returncode == SKIPPED


def test_two_files(bench):
    """Both call what they have alike by the same names."""
    bench.file("one.c", story("one"))
    bench.file("two.c", story("two", "\tassert_null(stage);"))
    done = bench.run("run", "--format=json", "two.c", "one.c")
    assert done.returncode == FAIL, done
    report = json.loads(done.stdout)
    assert (report["passed"], report["failed"]) == (9, 9), report
    assert [cell["story"] for cell in report["cells"]] == ["two"] * 9 + ["one"] * 9, report
    assert all((cell["result"] == "failed") == (cell["story"] == "two") for cell in report["cells"]), report
    command, again = bench.repeat(bench.run("run", "two.c", "one.c").stdout)
    assert command.endswith(" two.c one.c") and last_line(again) == "0 passed, 1 failed", (command, again.stdout)


def test_fails(bench):
    """By an assertion, by the stage's own eyes, by a crash; the story beside it goes on."""
    odd = "-it's \"my\": bug $HOME.c"
    for body, says in (("\tassert_int_equal(stage->story->name[0], 'x');", "0x6f != 0x78"),
                       ("\tassert_non_null(vfio_new(&stage->sys, &stage->vmm));",
                        "at the end: blocks of the stack's memory +1"),
                       ("\traise(SIGKILL);", "died of signal 9"),
                       ("\t*(volatile int *)(stage->story->needs + 8UL) = 1;", "")):
        bench.file(odd, "#include <signal.h>\n" + story("odd", body) +
                   "static void idle(struct stage *stage)\n{\n\tstage_expect_empty(stage);\n}\n" +
                   'const struct story story_idle = { .name = "idle", .run = idle };\n')
        done = bench.run("run", "--filter", "*/@(iommufd|type1v2)", "--", odd)
        assert done.returncode == FAIL and last_line(done) == "2 passed, 2 failed", done
        assert "FAIL odd/type1v2\n" in done.stdout and says in done.stdout, done.stdout
        command, again = bench.repeat(done.stdout)
        assert command.startswith(f"{bench.vfake} run --filter 'odd/type1v2' ./'-it'"), command
        assert again.returncode == FAIL and last_line(again) == "0 passed, 1 failed", again


def test_sweep(bench):
    name = bench.file("good.c", story("good"))
    done = bench.run("sweep", name, "good/type1v2", "good/user")
    assert done.returncode == PASS, done
    found = re.search(r"^(\d+) steps? .*\n0 cells failed; (\d+) points, (\d+) faults, 0 violations$", done.stdout, re.M)
    assert found and int(found[1]) >= 8 and int(found[2]) > 100 and int(found[3]) > 200, done.stdout
    assert bench.run("sweep", name, "attach-one").returncode == SKIPPED


def test_sweep_finds(bench):
    """The file's own calls into the stack are steps, as those of the stage."""
    name = bench.file("forgetful.c", FORGETFUL)
    assert bench.run("run", name).returncode == PASS
    done = bench.run("sweep", name, "forgetful/iommufd")
    assert done.returncode == FAIL and re.search(r" [1-9]\d* violations$", last_line(done)), done
    command, again = bench.repeat(done.stdout)
    assert " sweep --only '" in command and command.endswith(" forgetful/iommufd forgetful.c"), command
    assert again.returncode == FAIL and "1 violations" in last_line(again), (command, again)


def test_tree(bench):
    """Each file of bugs does what it does as a part of vfake."""
    files = sorted((bench.source / "scenarios" / "bugs").glob("*.c"))
    own, built_in = (bench.run("run", "--format=json", *words) for words in (files, ["--filter", "bug-*"]))
    assert (own.returncode, built_in.returncode, own.stderr) == (PASS, PASS, ""), (own, built_in)
    cells = [sorted((cell["story"], cell["backend"], cell["result"]) for cell in json.loads(done.stdout)["cells"])
             for done in (own, built_in)]
    assert cells[0] == cells[1] and len(cells[0]) == 9 * len(files), cells


def test_order(bench):
    """A file of many stories: they come as they stand in it."""
    for name in ("attach", "user", "dirty"):
        path = bench.source / "scenarios" / f"story_{name}.c"
        listed = bench.run("run", "--list", path).stdout.split("\n\n")[0].splitlines()
        told = re.findall(r'^const struct story \w+ = {\n\t\.name = "([a-z-]*)"', path.read_text(), re.M)
        assert [line.split()[0] for line in listed] == told, (listed, told)
        assert len(listed) > 5, listed


def test_edited(bench):
    """An edited copy is played, and not the story of vfake that has the same names; what else a file calls by a name
    that vfake has too is the file's own."""
    path = bench.source / "scenarios" / "bugs" / "user-info-argsz-zero.c"
    text = path.read_text().replace("assert_true(facts.is_pci)", "assert_false(facts.is_pci)")
    done = bench.run("run", "--format=json", bench.file("copy.c", text))
    assert done.returncode == FAIL and json.loads(done.stdout)["failed"] == 9, done
    text = "int witness_begin(void);\n__attribute__((noinline)) int witness_begin(void)\n{\n\treturn 7;\n}\n"
    done = bench.run("run", bench.file("name.c", text + story("name", "\t(void)stage;\n\tassert_int_equal(witness_begin(), 7);")))
    assert done.returncode == PASS, done


def test_all_calls(bench):
    """A story can call all that the headers of the kernel and the stack have, and the harness."""
    include = bench.source / "include"
    headers = sorted([*include.glob("vfake/*.h"), *include.glob("vfio/*.h")])
    names = set()
    for header in headers:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        names |= set(re.findall(r"^(?!static|\t)[^\n;{}()]*?\b(v(?:fake|fio)_\w+)\([^{};]*\);", text, re.M | re.S))
    assert {"vfake_kernel_new", "vfio_device_attach"} <= names and len(names) > 120, (len(names), names)
    text = "".join(f"#include <{header.relative_to(include)}>\n" for header in headers)
    text += '#include "world_read.h"\n' + story("calls", "\t(void)stage;\n\tfor (unsigned int i = 0; i < "
                                                "sizeof(all) / sizeof(all[0]); i++)\n\t\tassert_non_null(all[i]);")
    table = "".join(f"\t(void (*)(void))(uintptr_t){name},\n" for name in sorted([*names, "world_write"]))
    text = text.replace("static void run", "typedef void (*any)(void);\nstatic any all[%d];\nstatic void run"
                        % (len(names) + 1))
    text = text.replace("\t(void)stage;\n", "\tconst any here[] = {\n%s\t};\n\t(void)stage;\n"
                        "\tmemcpy(all, here, sizeof(all));\n" % table)
    done = bench.run("run", bench.file("calls.c", "#include <string.h>\n" + text))
    assert (done.returncode, last_line(done)) == (PASS, "9 passed, 0 failed"), done


def test_flags(bench):
    """What story-cc gets after the two names is for the compiler; -iquote is the place that a copy comes from."""
    script = bench.vfake.parent / "story-cc"
    copy = bench.file("copy.c", '#include "number.h"\nint story_number = NUMBER;\n')
    (bench.directory / "it's from here").mkdir()
    bench.file("it's from here/number.h", "#define NUMBER 1;;\n")
    for words, code in (([], 1), (["-iquote", "it's from here"], 0), (["-iquote", "it's from here", "-Werror"], 0),
                        (["-iquote", "it's from here", "-Werror=pedantic", "-pedantic"], 1)):
        assert bench.run(copy, "object", *words, vfake=script).returncode == code, (words, code)
    assert bench.run(copy, vfake=script).returncode == USAGE


def test_bad_files(bench):
    bench.refused("run", "none.c", says="No such file or directory")
    bench.refused("sweep", "none.c", says="No such file or directory")
    (bench.directory / "directory.c").mkdir()
    bench.refused("run", "directory.c", says="Is a directory")
    for command in ("run", "sweep"):
        said = bench.refused(command, bench.file("bad.c", "int x = ;\n"), says="it does not compile")
        assert said[0].startswith("bad.c:1:9: error: "), said
    bench.refused("run", "--", bench.file("-odd.c", "int x = ;\n"), says="it does not compile")
    bench.refused("run", bench.file("none.c", "int story_number;\n"), says="there is no story in it")
    bench.refused("run", bench.file("hidden.c", story("hidden").replace("const struct", "static const struct")),
                  says="there is no story in it")
    bench.refused("run", bench.file("far.c", "void nowhere(void);\n" + story("far", "\t(void)stage;\n\tnowhere();")),
                  says="undefined symbol: nowhere")
    done = bench.run("run", "good.txt")
    assert done.returncode == USAGE and "what is `good.txt'? --filter chooses" in done.stderr, done


def test_bad_stories(bench):
    good = story("good")
    for text, says in ((good.replace(".name = \"good\", ", ""), "a story has no name"),
                       (good.replace(", .run = run", "").replace("static void run", "void run(struct stage *stage);\n"
                                                                 "void run"), "story `good' has no function to play"),
                       (good + good[good.index("const struct story"):].replace("_own", "_too"),
                        "two stories have the name `good'"),
                       ("const char story_text[%d] = \"text\";\n" % (15 * 8), "a story has no name")):
        bench.refused("run", bench.file("bad.c", text), says=says)
    for name in ("a/b", "a b", "*", "", "-a", "a'b", "x" * 81, "\\xff\\xfe", "a.c"):
        bench.refused("run", bench.file("bad.c", story(name)), says="a story's name has letters, digits, -, _ and . ")
    bench.file("good.c", good)
    bench.refused("run", "good.c", bench.file("same.c", good), says="a file before it has a story `good', too")
    assert bench.run("run", bench.file("fine.c", story("x" * 80))).returncode == PASS


def test_no_compiler(bench):
    """As it is where vfake was installed: it says what to take."""
    bench.file("good.c", story("good"))
    installed = bench.scratch.parent / "vfake"
    shutil.copy(bench.vfake, installed)
    for command in ("run", "sweep"):
        said = f"{installed.parent}/story-cc, which compiles stories, is not there: take the vfake of a build tree"
        bench.refused(command, "good.c", says=said, code=SKIPPED, vfake=installed)
    script = installed.parent / "story-cc"
    text = (bench.vfake.parent / "story-cc").read_text()
    script.write_text(re.sub(r"^compiler=.*", "compiler=/no/such/cc", text, flags=re.M))
    script.chmod(0o755)
    bench.refused("run", "good.c", says=f"{script} finds no compiler", code=SKIPPED, vfake=installed)


def test_no_place(bench):
    done = bench.run("run", bench.file("good.c", story("good")), tmpdir=bench.directory / "missing")
    assert done.returncode == USAGE, done
    assert done.stderr.startswith("vfake run: good.c: no place for the compiler's result: No such file"), done


def test_interrupted(bench):
    """Who ends it while the compiler runs leaves nothing: ^C, which ends the compiler at once, and a signal to the
    program alone."""
    began = time.monotonic()
    bench.file("good.c", story("good"))
    vfake, script = bench.scratch.parent / "vfake", bench.scratch.parent / "story-cc"
    shutil.copy(bench.vfake, vfake)
    for number, send, seconds in ((signal.SIGINT, os.killpg, 100), (signal.SIGTERM, os.kill, 1)):
        script.write_text(f'#!/bin/sh\n: >"$2"\nexec sleep {seconds}\n')
        script.chmod(0o755)
        process = bench.start([str(vfake), "run", "good.c"], start_new_session=True,
                              preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL))
        while not list(bench.scratch.glob("*/story.so")):
            time.sleep(0.01)
        send(process.pid, number)
        assert bench.end(process).returncode == -number, process
    assert time.monotonic() - began < 90


if __name__ == "__main__":
    sys.exit(run_cases(globals(), 2, lambda given, directory: Bench(*given, directory)))
