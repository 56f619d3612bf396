#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The example as its reader runs it.

    test_example.py PROGRAM
"""

import os
import subprocess
import sys


def run(program, *words):
    launcher = os.environ.get("VFAKE_TEST_LAUNCHER", "").split()
    done = subprocess.run([*launcher, program, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def same(got, want):
    assert got == want, f"got {got!r}, not {want!r}"


def check(program):
    """Raises when the program does something else than it promises."""
    # The copy engine's first register reads "copy".
    same(run(program, "--fake"),
         (0, "d0: 2048 KiB mapped, BAR 0 begins with 63 6f 70 79\n", ""))

    for words in ([], ["--fake", "--fake"]):
        status, out, err = run(program, *words)
        same((status, out, len(err.splitlines())), (2, "", 1))

    # No machine has this PCI device; where there is no VFIO at all, that is what it says.
    status, out, err = run(program, "ffff:ff:1f.7")
    has_vfio = os.path.exists("/dev/vfio/vfio")
    same((status, out), (1 if has_vfio else 4, ""))
    want = "ffff:ff:1f.7: no PCI device" if has_vfio else "this kernel has no VFIO: no /dev/vfio/vfio"
    assert err.startswith("map_and_read: " + want) and len(err.splitlines()) == 1, err


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check(sys.argv[1])
    print("the example does what it promises")
