#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The command line as a user meets it: what it prints where, and how it exits.

    test_cli.py VFAKE GOLDEN_DIR WORLDS_DIR MALFORMED_TRACES_DIR MALFORMED_WORLDS_DIR

Each function whose name begins with `test_` is one case; it raises when the program does something
else than it promises.
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

from cli_rig import run_cases

PASS, FAIL, USAGE, SKIPPED, BROKEN = 0, 1, 2, 4, 125

GOOD = 'trace 1\nopen("/dev/iommu") = i0\nclose(i0) = 0\n'
# A kernel gives another answer.
WRONG = 'trace 1\nclose(c0) = 0\n'
SCRIPT = 'trace 1\ndevice d0\nopen("/dev/iommu") = i0\nclose(i0)\n'


class Cli:
    """The program under test, and a directory to play in."""

    def __init__(self, arguments, directory):
        launcher = os.environ.get("VFAKE_TEST_LAUNCHER", "").split()
        self.vfake = launcher + [arguments[0]]
        self.golden, self.worlds, self.bad_traces, self.bad_worlds = map(Path, arguments[1:])
        self.directory = Path(directory)

    def run(self, *words, stdout=subprocess.PIPE):
        done = subprocess.run(self.vfake + [str(word) for word in words], cwd=self.directory,
                              stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              timeout=120, check=False)
        assert done.returncode >= 0, f"{words}: died of signal {-done.returncode}: {done.stderr}"
        done.out = (done.stdout or b"").decode("utf-8", "surrogateescape")
        done.err = done.stderr.decode("utf-8", "surrogateescape")
        return done

    def run_by_fiu(self, arm, *words):
        """Started by libfiu's tool, which loads a library into the program: ASan wants to be the first one, and the
        library forgets a block."""
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:detect_leaks=0"
        return subprocess.run(["fiu-run", "-f", "", "-c", arm] + self.vfake + [str(word) for word in words],
                              cwd=self.directory, env=dict(os.environ, ASAN_OPTIONS=options), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)

    def file(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def refused(self, *words, says, code=USAGE):
        """Wrong use: nothing on standard output, one or two lines that name the way to help."""
        done = self.run(*words)
        same(done.returncode, code, words, done.err)
        same(done.out, "", words)
        lines = done.err.splitlines()
        assert 1 <= len(lines) <= 2, f"{words}: {done.err}"
        assert "--help'" in done.err, f"{words}: does not name the help: {done.err}"
        assert says in done.err, f"{words}: does not say {says!r}: {done.err}"
        return done


def same(got, want, *context):
    assert got == want, f"{context}: {got!r}, not {want!r}"


def test_faults_by_fiu_run(cli):
    """A name that is armed outside strikes in each command that has a fake kernel."""
    if os.environ.get("VFAKE_TEST_LAUNCHER"):
        return  # a foreign build, which has ci/libfiu in place of the library
    trace = cli.file("ioas.trace", 'trace 1\nopen("/dev/iommu") = i0\n'
                     "ioctl(i0, IOMMU_IOAS_ALLOC, {}) = 0 {out_ioas_id=1}\n")
    same(cli.run("replay", trace).returncode, PASS)
    for error, name in ((12, "ENOMEM"), (17, "ENOMEM")):  # what the point cannot give is its first one
        done = cli.run_by_fiu(f"enable name=iommufd/IOAS_ALLOC/alloc,failnum={error}", "replay", trace)
        same(done.returncode, FAIL, done.stderr)
        assert f"got -{name}" in done.stdout + done.stderr, done
    done = cli.run_by_fiu("enable name=iommufd/*,failnum=12", "run", "--filter", "attach-one/*iommufd")
    same(done.returncode, FAIL, done.stderr)
    assert "FAIL attach-one/iommufd" in done.stdout and "out of memory" in done.stdout, done
    done = cli.run_by_fiu("enable name=type1/*", "run", "--filter", "attach-one/iommufd")
    same(done.returncode, PASS, done.stdout, done.stderr)


def test_no_command(cli):
    cli.refused(says="no command")
    for word in ("rerun", "", "--nonsense", "-x", "replays", "Replay"):
        cli.refused(word, says=f"`{word}'")


def test_help(cli):
    for words in (["--help"], ["-h"], ["help"]):
        done = cli.run(*words)
        same((done.returncode, done.err), (PASS, ""), words)
        for command in ("run", "replay", "record", "list"):
            assert re.search(rf"^  {command} +\w", done.out, re.M), f"{words}: no {command}"
    for command in ("run", "replay", "record", "list"):
        for word in ("--help", "-?"):
            done = cli.run(command, word)
            same((done.returncode, done.err), (PASS, ""), command)
            assert done.out.startswith(f"Usage: vfake {command} "), done.out
        done = cli.run(command, "--usage")
        same((done.returncode, done.err), (PASS, ""), command)
        # Help goes before all that is wrong later in the line.
        same(cli.run(command, "--help", "--nonsense").returncode, PASS, command)


def test_version(cli):
    done = cli.run("--version")
    same(done.returncode, PASS)
    assert re.fullmatch(r"vfake \d+\.\d+\.\d+\n", done.out), done.out


def test_unknown_options(cli):
    for command in ("run", "replay", "record", "list"):
        cli.refused(command, "--nonsense", says="--nonsense")
        cli.refused(command, "-Z", says="'Z'")
    for option in ("--world", "--jobs", "--format", "--output", "--filter"):
        cli.refused("replay", option, says="requires an argument")
    for option in ("--device", "--output", "--world"):
        cli.refused("record", option, says="requires an argument")
    cli.refused("replay", "--verbose=1", says="doesn't allow an argument")


def test_run_arguments(cli):
    for jobs in ("0", "-1", "x", "", "1x", "257", "99999999999999999999", "1.5"):
        cli.refused("run", f"--jobs={jobs}", says=f"not `{jobs}'")
    for shard in ("", "1", "0/2", "3/2", "1/0", "1/2/3", "a/b", "-1/2"):
        cli.refused("run", f"--shard={shard}", says=f"not `{shard}'")
    for seed in ("", "x", "-1", "18446744073709551616"):
        cli.refused("run", f"--seed={seed}", says=f"not `{seed}'")
    cli.refused("run", "--format=xml", says="not `xml'")
    cli.refused("run", "attach-one", says="what is `attach-one'")
    cli.refused("run", "--output=missing/report", says="missing/report: No such file or directory")


def test_sweep_arguments(cli):
    for jobs in ("0", "x", "257"):
        cli.refused("sweep", f"--jobs={jobs}", says=f"not `{jobs}'")
    for shard in ("1", "0/2", "3/2"):
        cli.refused("sweep", f"--shard={shard}", says=f"not `{shard}'")
    for only in ("x", "3", "3:no/such/point#1:ENOMEM:once", "3:file/open/entry#1:ENOMEM:twice"):
        cli.refused("sweep", f"--only={only}", "attach-one", says=f"not `{only}'")
    cli.refused("sweep", "--seed=x", says="not `x'")
    cli.refused("sweep", "--timeout=0", says="not `0'")
    cli.refused("sweep", "--format=xml", says="not `xml'")
    cli.refused("sweep", "--output=missing/report", "attach-one",
                says="missing/report: No such file or directory")
    cli.refused("sweep", "--output-dir=missing/calls", "attach-one",
                says="missing/calls: No such file or directory")


def test_sweep(cli):
    done = cli.run("sweep", "attach-one/noiommu", "map-kinds/no-such-backend")
    same((done.returncode, done.err), (PASS, ""))
    rows = re.findall(r"^attach-one +.*$", done.out, re.M)
    assert len(rows) == 1 and rows[0].split()[-1] == "0", done.out
    last = done.out.splitlines()[-1]
    found = re.fullmatch(r"0 cells failed; (\d+) points, (\d+) faults, 0 violations", last)
    assert found and int(found[2]) > int(found[1]) > 50, last
    # No fault is tried where they are only counted.
    done = cli.run("sweep", "--count", "attach-one/noiommu")
    same((done.returncode, done.err), (PASS, ""))
    assert f" {found[1]} points, " in done.out.splitlines()[-1], done.out
    done = cli.run("sweep", "--only=4:file/open/entry#1:EMFILE:once", "attach-one/noiommu")
    same((done.returncode, done.err), (PASS, ""))
    assert done.out.endswith(" 1 faults, 0 violations\n"), done.out
    done = cli.run("sweep", "--only=9999:file/open/entry#1:EMFILE:once", "attach-one/noiommu")
    same((done.returncode, done.err), (FAIL, ""))
    assert "the story has " in done.out, done.out
    done = cli.run("sweep", "--first", "attach-one/noiommu")
    same((done.returncode, done.err), (PASS, ""))
    assert done.out.splitlines()[-1] == last, done.out
    done = cli.run("sweep", "no-such-story")
    same((done.returncode, done.err), (SKIPPED, ""))
    done = cli.run("sweep", "--format=json", "attach-one/noiommu")
    same((done.returncode, json.loads(done.out)["passed"]), (PASS, 1))


def test_run(cli):
    done = cli.run("run", "--list")
    same((done.returncode, done.err), (PASS, ""))
    assert re.search(r"^attach-one +\w", done.out, re.M), done.out
    assert re.search(r"^iommufd-dirty +\w", done.out, re.M), done.out
    done = cli.run("run", "--filter=map-hotplug")
    same((done.returncode, done.err), (PASS, ""))
    rows = re.findall(r"^map-hotplug( +(?:pass|-[0-9]+))+$", done.out, re.M)
    assert len(rows) == 1, done.out
    for number in re.findall(r" -([0-9]+)", rows[0]):
        assert re.search(rf"^  -{number}  \w", done.out, re.M), f"no reason {number}: {done.out}"
    last = done.out.splitlines()[-1]
    assert re.fullmatch(r"[1-9][0-9]* passed, 0 failed, [1-9][0-9]* skipped", last), last
    done = cli.run("run", "--filter=no-such-story")
    same((done.returncode, done.err), (SKIPPED, ""))
    same(done.out.splitlines()[-1], "0 passed, 0 failed")
    # Each part of it is somewhere, and nothing twice.
    names = []
    for part in (1, 2, 3):
        done = cli.run("run", "--filter=attach-*", f"--shard={part}/3", "--format=json")
        same((done.returncode, done.err), (PASS, ""))
        names += [(cell["story"], cell["backend"]) for cell in json.loads(done.out)["cells"]
                  if cell["result"] == "passed"]
    done = cli.run("run", "--filter=attach-*", "--format=json", "--jobs=1")
    whole = [(cell["story"], cell["backend"]) for cell in json.loads(done.out)["cells"]
             if cell["result"] == "passed"]
    same(sorted(names), sorted(whole))
    done = cli.run("run", "--filter=attach-one/*", "--format=junit")
    same(len(xml.etree.ElementTree.fromstring(done.out).findall(".//testcase")), 9)
    done = cli.run("run", "--filter=attach-one/iommufd", "--format=ktap")
    same(done.out, "KTAP version 1\n1..1\nok 1 attach-one/iommufd\n")


def test_replay_arguments(cli):
    good = cli.file("good.trace", GOOD)
    cli.refused("replay", says="no file given")
    for jobs in ("0", "-1", "x", "", "1x", "257", "99999999999999999999", "1.5"):
        cli.refused("replay", f"--jobs={jobs}", good, says=f"not `{jobs}'")
    for name in ("nonsense", "", "JSON", "xml"):
        cli.refused("replay", f"--format={name}", good, says=f"not `{name}'")
    cli.refused("replay", "missing.trace", says="missing.trace: No such file or directory")
    cli.refused("replay", good, "missing.trace", says="missing.trace: No such file")
    cli.refused("replay", f"{good}/x", says="Not a directory")
    cli.refused("replay", "--output=missing/report", good,
                says="missing/report: No such file or directory")
    cli.refused("replay", "--output=.", good, says=".: Is a directory")


def test_replay_nothing(cli):
    cli.file("empty/notes.txt", GOOD)
    cli.file("empty/.hidden.trace", GOOD)
    cli.refused("replay", "empty", says="no file to play", code=SKIPPED)
    cli.refused("replay", "--filter=nothing*", cli.golden, says="no file to play", code=SKIPPED)


def test_replay_world(cli):
    good = cli.file("good.trace", GOOD)
    cli.refused("replay", "--world=missing.json", good, says="missing.json: No such file")
    cli.refused("replay", "--world=.", good, says="Is a directory")
    broken = cli.file("broken.json", '{"ram":\n "lots"}')
    cli.refused("replay", f"--world={broken}", good, says="broken.json:2:2: ram: ")
    for name in ("empty", "recorded", "powernv", "noiommu"):
        done = cli.run("replay", "--world", cli.worlds / f"{name}.json", good)
        same((done.returncode, done.err), (PASS, ""), name, done.out)
    # Nor is a world that is too small for any program.
    done = cli.run("replay", "--world", cli.file("tiny.json", '{"ram": "4K"}'), good)
    same((done.returncode, done.err), (FAIL, ""))
    assert "good.trace: the world does not start: it has too little RAM" in done.out, done.out
    # A world without the recording's device: that is a difference of the recording's, not wrong use.
    device = cli.file("device.trace", 'trace 1\ndevice d0\nopen("/dev/vfio/{d0.group}") = g0\n')
    same(cli.run("replay", device).returncode, PASS)
    done = cli.run("replay", "--world", cli.worlds / "empty.json", device)
    same(done.returncode, FAIL)
    assert done.out.startswith(f"{device}:2:"), done.out
    assert "the world has no device d0\n0 passed, 1 failed\n" in done.out, done.out


def test_malformed_worlds(cli):
    """As the reader says it; its own test checks the words of all of them."""
    good = cli.file("good.trace", GOOD)
    index = (cli.bad_worlds / "index.tsv").read_text(encoding="utf-8").splitlines()
    for row in index[::8]:
        name, line, column, _ = row.split("\t")
        place = f"{cli.bad_worlds / name}:{line}:" + ("" if column == "0" else f"{column}: ")
        cli.refused("replay", "--world", cli.bad_worlds / name, good, says=place)


def test_replay_files(cli):
    good, wrong = cli.file("good.trace", GOOD), cli.file("wrong.trace", WRONG)
    done = cli.run("replay", good)
    same((done.returncode, done.out, done.err), (PASS, "1 passed, 0 failed\n", ""))
    done = cli.run("replay", "-v", good)
    assert done.out.startswith(f"pass {good} (2 calls)\n"), done.out
    done = cli.run("replay", wrong, good)
    same((done.returncode, done.err), (FAIL, ""))
    assert done.out.startswith(f"{wrong}:2:13: "), done.out
    assert "-EBADF" in done.out and done.out.endswith("\n1 passed, 1 failed\n"), done.out
    directory = cli.directory / "dir.trace"
    directory.mkdir()
    cli.file("some/dir.trace/x", "")
    done = cli.run("replay", "some")
    same(done.returncode, FAIL)
    assert "some/dir.trace: Is a directory\n" in done.out, done.out


def test_replay_malformed(cli):
    index = (cli.bad_traces / "index.tsv").read_text(encoding="utf-8").splitlines()
    for row in index[::40]:
        name, line, _, _ = row.split("\t")
        path = cli.bad_traces / name
        done = cli.run("replay", path)
        same((done.returncode, done.err), (FAIL, ""), name)
        assert done.out.startswith(f"{path}:{line}:"), done.out
        assert done.out.endswith("\n0 passed, 1 failed\n"), done.out


def counts(cli, form, *words):
    """(passed, failed, the names of failed files) of a report that a machine reads."""
    done = cli.run("replay", f"--format={form}", *words)
    same(done.err, "", form)
    if form == "json":
        report = json.loads(done.out)
        files = report["files"]
        failed = [file["file"] for file in files if not file["passed"]]
        same((report["passed"], report["failed"]), (len(files) - len(failed), len(failed)))
        assert all(file["messages"] for file in files if not file["passed"]), done.out
        result = (report["passed"], report["failed"], failed)
    elif form == "junit":
        root = xml.etree.ElementTree.fromstring(done.out)
        cases = root.findall("testsuite/testcase")
        failed = [case.get("name") for case in cases if case.find("failure") is not None]
        for element in (root, root.find("testsuite")):
            same((element.get("tests"), element.get("failures")), (str(len(cases)), str(len(failed))))
        result = (len(cases) - len(failed), len(failed), failed)
    elif form == "ktap":
        lines = done.out.split("\n")
        same(lines[0], "KTAP version 1")
        same(lines.pop(), "")
        results = [re.fullmatch(r"(not )?ok (\d+) (.*)", line) for line in lines[2:]
                   if not line.startswith("# ")]
        same([int(result[2]) for result in results], list(range(1, len(results) + 1)))
        same(lines[1], f"1..{len(results)}")
        failed = [result[3].replace("\\#", "#") for result in results if result[1]]
        result = (len(results) - len(failed), len(failed), failed)
    else:
        last = done.out.splitlines()[-1]
        match = re.fullmatch(r"(\d+) passed, (\d+) failed", last)
        result = (int(match[1]), int(match[2]), None)
    same(done.returncode, FAIL if result[1] else PASS, form)
    return result


def test_formats_agree(cli):
    cli.file("mixed/a.trace", GOOD)
    cli.file("mixed/b & <b> \"b\" 'b'.trace", WRONG)
    cli.file("mixed/c # SKIP.trace", WRONG)
    cli.file("mixed/d.trace", "trace 1\nclose(c0) = -EWHAT\n")
    cli.file("mixed/\u00e4\u20ac\U0001f600.trace", WRONG)
    names = ["b & <b> \"b\" 'b'", "c # SKIP", "d", "\u00e4\u20ac\U0001f600"]
    failed = [f"mixed/{name}.trace" for name in names]
    same(counts(cli, "human", "mixed"), (1, 4, None))
    for form in ("json", "junit", "ktap"):
        for jobs in (1, 2, 256):
            same(counts(cli, form, f"--jobs={jobs}", "mixed"), (1, 4, failed), form)


def test_names_that_are_no_text(cli):
    """A file's name may hold any byte; a report stays well-formed."""
    for name in (b"\xff", b"\x01\x1b", b"a\nb", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbf\xbe", b"\xf0\x9f"):
        path = os.path.join(os.fsencode(cli.directory), b"bytes", name + b".trace")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(WRONG.encode())
    for form in ("human", "json", "junit", "ktap"):
        same(counts(cli, form, "bytes")[:2], (0, 7), form)


def test_golden_counts(cli):
    """A few of the real recordings, whatever comes of them: every format tells the same."""
    words = ["--filter=*-00*", cli.golden]
    passed, failed, names = counts(cli, "json", *words)
    assert passed + failed > 0
    same(counts(cli, "junit", *words), (passed, failed, names))
    same(counts(cli, "ktap", *words), (passed, failed, names))
    same(counts(cli, "human", *words), (passed, failed, None))


def test_output(cli):
    good = cli.file("good.trace", GOOD)
    for form in ("human", "json", "junit", "ktap"):
        done = cli.run("replay", f"--format={form}", "--output=report", good)
        same((done.returncode, done.out, done.err), (PASS, "", ""), form)
        direct = cli.run("replay", f"--format={form}", good)
        same((cli.directory / "report").read_text(encoding="utf-8"), direct.out, form)
    with open("/dev/full", "wb") as full:
        for words in (["replay", good], ["list", "--ioctls"], ["--help"], ["--version"],
                      ["record", "--fake", cli.file("script.trace", SCRIPT)]):
            done = cli.run(*words, stdout=full)
            same(done.returncode, BROKEN, words)
            assert "could not be written" in done.err, (words, done.err)


def test_shrink_arguments(cli):
    trace = cli.file("wrong.trace", WRONG)
    cli.refused("shrink", says="no trace given")
    cli.refused("shrink", "missing.trace", says="missing.trace: No such file or directory")
    cli.refused("shrink", ".", says="Is a directory")
    cli.refused("shrink", trace, trace, says="one trace")
    cli.refused("shrink", "--no-such-option", trace, says="no-such-option")
    for timeout in ("", "0", "-1", "x", "99999999"):
        cli.refused("shrink", f"--timeout={timeout}", trace, says=f"not `{timeout}'")
    cli.refused("shrink", "--world=missing.json", trace, says="missing.json: No such")
    cli.refused("shrink", f"--world={cli.worlds / 'empty.json'}", "--command=false", trace, says="--command")
    cli.refused("shrink", "--output=missing/trace", trace, says="missing/trace: No such")
    help_text = cli.run("shrink", "--help").out
    assert all(word in help_text for word in ("--output", "--command", "--timeout", "Exit status")), help_text


def test_record_arguments(cli):
    script = cli.file("script.trace", SCRIPT)
    cli.refused("record", says="no script given")
    cli.refused("record", "missing.trace", says="missing.trace: No such file or directory")
    cli.refused("record", ".", says="Is a directory")
    cli.refused("record", script, script, says="one script")
    cli.refused("record", f"--world={cli.worlds / 'empty.json'}", script, says="--fake")
    for device in ("", "d0", "=0000:00:01.0", "d0="):
        cli.refused("record", f"--device={device}", script, says=f"not `{device}'")
    cli.refused("record", "--fake", "--device=d0=0000:00:01.0", script, says="--fake")
    cli.refused("record", "--fake", "--output=missing/trace", script, says="missing/trace: No such")
    cli.refused("record", "--fake", "--world=missing.json", script, says="missing.json: No such")
    done = cli.run("record", "--fake", "--world", cli.worlds / "empty.json", script)
    same((done.returncode, done.out), (FAIL, ""))
    same(done.err.split(": ", 1)[1], "the world has no device d0\n")
    broken = cli.file("broken.json", "[]")
    cli.refused("record", "--fake", f"--world={broken}", script, says="broken.json:1:1: ")


def test_record_bad_script(cli):
    script = cli.file("script.trace", "trace 1\nclose(c0\n")
    for words in ([], ["--fake"]):
        done = cli.run("record", *words, script)
        same((done.returncode, done.out), (FAIL, ""))
        assert done.err.startswith(f"{script}:2:9: "), done.err
        same(len(done.err.splitlines()), 1)


def test_record_without_vfio(cli):
    """The script's device has no address, so that no machine can play it; most have no VFIO at all."""
    done = cli.run("record", cli.file("script.trace", SCRIPT))
    same((done.returncode, done.out), (SKIPPED, ""))
    same(len(done.err.splitlines()), 1)
    assert done.err.startswith("vfake record: no VFIO to record: "), done.err


def test_record_and_replay(cli):
    script = cli.file("script.trace", SCRIPT)
    done = cli.run("record", "--fake", script)
    same((done.returncode, done.err), (PASS, ""))
    same(done.out, SCRIPT.replace("close(i0)", "close(i0) = 0"))
    same(cli.run("record", "--fake", "--output=written.trace", script).returncode, PASS)
    same((cli.directory / "written.trace").read_text(encoding="utf-8"), done.out)
    same(cli.run("replay", "written.trace").returncode, PASS)


def test_list(cli):
    cli.refused("list", says="--ioctls or --faults")
    cli.refused("list", "nonsense", says="`nonsense'")
    cli.refused("list", "--ioctls", "nonsense", says="`nonsense'")
    rows = {}
    for option in ("--ioctls", "--missing"):
        done = cli.run("list", option)
        same((done.returncode, done.err), (PASS, ""), option)
        *rows[option], last = done.out.splitlines()
        total, missing = map(int, re.fullmatch(r"(\d+) ioctls, (\d+) missing", last).groups())
    same(len(rows["--ioctls"]), total)
    same(len(rows["--missing"]), missing)
    same([row for row in rows["--ioctls"] if re.search(r"  missing  ", row)], rows["--missing"])
    assert any(row.startswith("VFIO_IOMMU_MAP_DMA ") for row in rows["--ioctls"])


def test_list_faults(cli):
    cli.refused("list", "--faults", "--ioctls", says="--faults")
    done = cli.run("list", "--faults")
    same((done.returncode, done.err), (PASS, ""))
    *points, last = done.out.splitlines()
    same(len(points), int(re.fullmatch(r"(\d+) fault points", last)[1]))
    names = [point.split()[0] for point in points]
    same(len(set(names)), len(names))
    for name in names:
        assert re.fullmatch(r"[a-z_0-9]+/\w+(/(entry|copyin|alloc|commit|copyout|reply|exit))?", name), name
    by_name = {point.split()[0]: point.split()[1:] for point in points}
    same(by_name["iommufd/IOAS_MAP/copyout"], ["EFAULT"])
    same(by_name["type1/IOMMU_MAP_DMA/alloc"], ["ENOMEM"])
    assert "EBUSY" in by_name["group/GROUP_GET_DEVICE_FD/entry"]
    assert "vmm/block_migration" in by_name and "file/open/entry" in by_name
    same(by_name["call/ioctl/exit"], ["kill"])
    assert all(errnos and all(re.fullmatch(r"E[A-Z0-9]+", errno) for errno in errnos)
               for name, errnos in by_name.items() if not name.startswith("call/"))
    assert "--faults" in cli.run("list", "--help").out


if __name__ == "__main__":
    sys.exit(run_cases(globals(), 5, Cli))
