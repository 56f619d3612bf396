# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of the command line share: their cases, and a directory in which stories in C files are played."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PASS, FAIL, USAGE, SKIPPED = 0, 1, 2, 4

# A VMM that takes a descriptor when discarding is forbidden. When an attach fails, it is not given back.
FORGETFUL = """#include "story.h"

static struct vfio_vmm vmm;
static struct stage *own;
static int held;

static int forbid(void *ctx, bool on)
{
	if (on)
		held = own->raw.eventfd(own->raw.ctx);
	return own->vmm.forbid_discard(ctx, on);
}

static void run(struct stage *stage)
{
	struct vfio_device_options options = stage_options(stage, 0);
	struct vfio_error error = { 0 };
	struct vfio_device *device;
	struct vfio *vfio;

	own = stage;
	vmm = stage->vmm;
	vmm.forbid_discard = forbid;
	vfio = vfio_new(&stage->sys, &vmm);
	assert_non_null(vfio);
	device = vfio_device_attach(vfio, stage->memory, &options, &error);
	assert_non_null(device);
	vfio_device_detach(device);
	stage->raw.close(stage->raw.ctx, held);
	vfio_free(vfio);
}

const struct story story_forgetful = { .name = "forgetful", .run = run };
"""


class Bench:
    """The program, a directory to work in, and one for what the program needs meanwhile."""

    def __init__(self, vfake, source, directory):
        self.vfake, self.source = Path(vfake).resolve(), Path(source).resolve()
        self.directory, self.scratch = Path(directory) / "work", Path(directory) / "scratch"
        self.directory.mkdir()
        self.scratch.mkdir()

    def start(self, words, tmpdir=None, **options):
        environment = dict(os.environ, TMPDIR=str(tmpdir or self.scratch), LC_ALL="C")
        return subprocess.Popen(words, cwd=self.directory, env=environment, text=True, errors="replace",
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def end(self, process):
        out, err = process.communicate(timeout=240)
        assert not list(self.scratch.iterdir()), list(self.scratch.iterdir())
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *words, vfake=None, tmpdir=None):
        return self.end(self.start([str(word) for word in (vfake or self.vfake, *words)], tmpdir))

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return name

    def refused(self, *words, says, code=USAGE, vfake=None):
        done = self.run(*words, vfake=vfake)
        last = done.stderr.splitlines()
        assert (done.returncode, done.stdout) == (code, ""), (words, done)
        if code == USAGE:
            assert last.pop() == f"Try `vfake {words[0]} --help' for more information.", done.stderr
        assert last[-1].startswith(f"vfake {words[0]}: {words[-1]}: {says}"), done.stderr
        return last[:-1]

    def repeat(self, text):
        """Pastes the first command of a report that repeats something."""
        command = re.search(r"^ *repeat: (.*)$", text, re.M).group(1)
        return command, self.end(self.start(command, shell=True))


def run_cases(names, words, make):
    """Calls the functions test_* of a module, each with what make(arguments, directory) makes; the exit status.

    @names: the module's; its __doc__ begins with the usage. @words: how many arguments there have to be.
    """
    arguments = sys.argv[1:]
    if len(arguments) != words:
        print(names["__doc__"].strip())
        return 2
    cases = [(name, case) for name, case in names.items() if name.startswith("test_")]
    failed = 0
    for name, case in cases:
        with tempfile.TemporaryDirectory() as directory:
            try:
                case(make(arguments, directory))
                print(f"ok {name}")
            except Exception as error:  # whatever a case dies of, the others still run
                failed += 1
                print(f"not ok {name}: {type(error).__name__}: {str(error)[:2000]}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0
