#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_record.py VFAKE DIRECTORY SCRATCH: recording a recording gives the same file.

Each *.trace is a script as well: `vfake record --fake` runs its calls on the fake kernel and writes the trace of what it
answered, byte for byte the file that a real kernel gave. The script has no results but the names, so nothing is copied from them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path


def without_results(text):
    """The script in a recording: numbers, errnos and changed fields go; names stay."""
    lines = []
    for line in text.splitlines(keepends=True):
        line = re.sub(r"\) = (?:-?[0-9]+|-E[A-Z0-9]+|\[[0-9a-f]*\])(?: \{(?!fd=)[^{}]*\})?$", ")", line.rstrip("\n"))
        lines.append(line + "\n")
    return "".join(lines)


def record(vfake, script, where):
    where.write_text(script)
    launcher = os.environ.get("VFAKE_TEST_LAUNCHER", "").split()
    run = subprocess.run(launcher + [vfake, "record", "--fake", where], capture_output=True, text=True, check=False)
    return run.stdout if run.returncode == 0 else "exit %d: %s" % (run.returncode, run.stderr)


def main():
    vfake, directory, scratch = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    recordings = sorted(directory.glob("*.trace"))
    bad = 0
    for path in recordings:
        text = path.read_text()
        script = without_results(text)
        # A script whose results were all names has lost nothing; such a file would prove nothing.
        if script == text:
            print("%s: nothing to record" % path)
            bad += 1
        if record(vfake, script, scratch) != text:
            print("%s: recorded again it differs" % path)
            bad += 1
    print("%d passed, %d failed" % (len(recordings) - bad, bad))
    return 1 if bad or not recordings else 0


if __name__ == "__main__":
    sys.exit(main())
