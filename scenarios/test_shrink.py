#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_shrink.py VFAKE DIRECTORY: failing traces become minimal, and fail in the same way.

The failing traces are recordings of the directory in which one answer is replaced by a wrong one. What comes out is
judged by `vfake replay` alone: it fails with the same message, and without any one of its lines it does not.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from cli_rig import run_cases

PASS, FAIL, USAGE = 0, 1, 2
LINES_MAX = 20  # most recordings have 60 to 120
RECORDINGS = 24


class Bench:
    """The program, and a directory to work in."""

    def __init__(self, vfake, recordings, directory):
        self.vfake = os.environ.get("VFAKE_TEST_LAUNCHER", "").split() + [vfake]
        self.recordings = sorted(Path(recordings).resolve().glob("*.trace"))
        self.directory = Path(directory)

    def run(self, *words):
        return subprocess.run(self.vfake + [str(word) for word in words], cwd=self.directory, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False)

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path

    def messages(self, text):
        """What replay says of a trace, without places and numbers."""
        done = self.run("replay", self.file("judged.trace", text))
        assert done.returncode in (PASS, FAIL), done.stderr
        lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith(str(self.directory))]
        return [re.sub(r"(?<![A-Za-z0-9_])[0-9][0-9a-zA-Z]*", "#", line) for line in lines]

    def shrink(self, path, *words):
        """The small trace; the program succeeds and says what it did."""
        small = self.directory / "small.trace"
        small.unlink(missing_ok=True)
        done = self.run("shrink", "--output", small, *words, path)
        assert done.returncode == PASS, (done.returncode, done.stdout, done.stderr)
        assert len(done.stdout.splitlines()) == 2 and done.stdout.startswith(f"{path}: "), done.stdout
        return small.read_text(), done.stdout

    def is_minimal(self, text, fails):
        """No line can go but the first, which every trace has."""
        lines = text.splitlines(keepends=True)
        assert fails(text), text
        for i in range(1, len(lines)):
            assert not fails("".join(lines[:i] + lines[i + 1:])), f"line {i + 1} is not needed:\n{text}"


def wrong_answer(text):
    """The recording with a wrong error in a call of its last third; comments around it are to go."""
    lines = text.splitlines()
    for i in range(len(lines) * 2 // 3, len(lines)):
        wrong, count = re.subn(r"^(ioctl\(.*\)) = (?:0|-E[A-Z]+)( \{.*)?$", r"\1 = -EXFULL", lines[i])
        if count:
            lines[i] = wrong
            lines.insert(i, "# the next one is wrong")
            return "\n".join(lines) + "\n"
    return None


def test_wrong_errors(bench):
    chosen = bench.recordings[::max(1, len(bench.recordings) // RECORDINGS)]
    shrunk = 0
    for path in chosen:
        text = wrong_answer(path.read_text())
        if not text:
            continue
        kind = bench.messages(text)[0]
        small, said = bench.shrink(bench.file("wrong.trace", text))
        assert f"it fails with: {kind}\n" in said, (said, kind)
        assert bench.messages(small) == [kind], (path, small)
        assert len(small.splitlines()) <= LINES_MAX and "# the next" not in small, (path, small)
        bench.is_minimal(small, lambda rest, kind=kind: kind in bench.messages(rest))
        shrunk += 1
    assert shrunk > len(chosen) // 2, shrunk


DEEP = """trace 1
device d0
device d1
# memory
mmap(0x400000) = m0
mmap(0x800000) = m1
open("/dev/iommu") = i0
ioctl(i0, IOMMU_IOAS_ALLOC, {}) = 0 {out_ioas_id=1}
ioctl(i0, IOMMU_IOAS_MAP, {flags=0x7, ioas_id=1, user_va=m0+0x3000, length=0x5000, iova=0x100000}) = 0
ioctl(i0, IOMMU_IOAS_MAP, {flags=0x7, ioas_id=1, user_va=m1, length=0x5000, iova=0x200000}) = 0
eventfd() = e0
read(e0) = -EAGAIN
ioctl(i0, IOMMU_IOAS_UNMAP, {ioas_id=1, iova=0x200000, length=0x5000}) = 0
ioctl(i0, IOMMU_IOAS_UNMAP, {ioas_id=1, iova=0x100000, length=0x8000}) = 0 {length=0x6000}
close(i0) = 0
"""


def test_values(bench):
    """Devices, memory and sizes go as far as the wrong length stays wrong."""
    small, said = bench.shrink(bench.file("deep.trace", DEEP))
    assert "it fails with: ioctl IOMMU_IOAS_UNMAP: length: expected #, got #\n" in said, said
    lines = small.splitlines()
    assert len(lines) == 5 and "device" not in small and "mmap" not in small, small
    assert "iova=" not in lines[4] and "0x5000" not in small and lines[4].endswith("{length=0x6000}"), small
    assert bench.messages(small) == ["ioctl IOMMU_IOAS_UNMAP: length: expected #, got #"], small


def test_again(bench):
    """What is minimal stays as it is."""
    once, said = bench.shrink(bench.file("deep.trace", DEEP))
    assert re.search(r": 13 lines became 4 in \d+ tries: ", said), said
    twice, said = bench.shrink(bench.file("again.trace", once))
    assert once == twice and ": 4 lines, minimal already (" in said, said


def test_default_name(bench):
    for name, becomes in (("a.trace", "a.min.trace"), ("noend", "noend.min.trace")):
        done = bench.run("shrink", bench.file(name, DEEP))
        assert done.returncode == PASS and done.stdout.splitlines()[0].endswith(becomes), done.stdout
        assert (bench.directory / becomes).read_text().startswith("trace 1\n")


def test_other_failures_go(bench):
    """Of two wrong answers the first is kept; the other's line goes, or its promise does."""
    text = DEEP.replace("IOAS_ALLOC, {}) = 0 {out_ioas_id=1}", "IOAS_ALLOC, {}) = 0 {out_ioas_id=7}")
    small, said = bench.shrink(bench.file("two.trace", text))
    assert "it fails with: ioctl IOMMU_IOAS_ALLOC: out_ioas_id: expected #, got #" in said, said
    assert len(small.splitlines()) == 3, small
    text = DEEP.replace("= -EAGAIN", "= 1") + "read(e0) = 5\n"
    small, said = bench.shrink(bench.file("two.trace", text))
    assert "it fails with: read: result: expected #, got -EAGAIN" in said and len(small.splitlines()) == 3, small


def test_nothing_to_keep(bench):
    good = bench.recordings[0]
    done = bench.run("shrink", "--output", "out.trace", good)
    assert (done.returncode, done.stdout, done.stderr) == (FAIL, "", f"{good}: it does not fail\n"), done
    for text, place in (("trace 1\nclose(\n", "2:"), ("trace 1\nfly()\n", "2:1: "), ("trace 2\n", "1:7: ")):
        path = bench.file("bad.trace", text)
        done = bench.run("shrink", "--output", "out.trace", path)
        assert (done.returncode, done.stdout) == (FAIL, ""), done
        assert done.stderr.startswith(f"{path}:{place}") and len(done.stderr.splitlines()) == 1, done.stderr
    # No world has this device: nothing can be played, so nothing can fail.
    done = bench.run("shrink", "--output", "out.trace", bench.file("far.trace", 'trace 1\ndevice d9\nclose(c0) = 0\n'))
    assert done.returncode == FAIL and "it does not fail" in done.stderr, done
    assert not (bench.directory / "out.trace").exists()


def test_world(bench):
    """A device that only the given world has."""
    world = bench.file("world.json", '{"devices": [{"name": "d9", "model": "edu"}]}')
    path = bench.file("far.trace", 'trace 1\ndevice d9\nopen("/dev/vfio/{d9.group}") = g0\nclose(g0) = -EIO\n')
    small, said = bench.shrink(path, "--world", world)
    assert "close: result: expected -EIO, got #" in said, said
    assert 3 <= len(small.splitlines()) <= 4, small


def test_command(bench):
    """Whatever a shell can ask for; the name comes last, or where {} stands."""
    path = bench.file("deep.trace", DEEP)
    for command in ("! grep -q m0+0x3000", "if grep -q m0+0x3000 {}; then exit 3; fi"):
        small, said = bench.shrink(path, "--command", command)
        assert "it fails with: the command fails\n" in said, said
        lines = small.splitlines()
        assert len(lines) == 2 and lines[1].count("=") <= 2 and "m0+0x3000" in lines[1], small
    done = bench.run("shrink", "--output", "out.trace", "--command", "true", path)
    assert done.returncode == FAIL and "it does not fail" in done.stderr, done
    done = bench.run("shrink", "--output", "out.trace", "--command", "no-such-program-here", path)
    assert done.returncode == USAGE and "does not find the command" in done.stderr, done


def test_crash_and_hang(bench):
    """Who dies of a signal or never ends has failed in that way, and takes nobody along."""
    path = bench.file("deep.trace", DEEP)
    small, said = bench.shrink(path, "--command", "grep -q eventfd {} && kill -SEGV $$; true")
    assert "it fails with: died of signal 11\n" in said and small.splitlines()[1] == "eventfd() = e0", small
    began = time.monotonic()
    small, said = bench.shrink(path, "--timeout", "1", "--command", "grep -q EAGAIN {} && sleep 1000; true")
    assert "it fails with: hangs\n" in said and len(small.splitlines()) == 2 and "EAGAIN" in small, small
    assert time.monotonic() - began < 120


if __name__ == "__main__":
    sys.exit(run_cases(globals(), 2, lambda given, directory: Bench(*given, directory)))
