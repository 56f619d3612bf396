# SPDX-License-Identifier: BSD-2-Clause
"""Mutants that are none: what the compiler makes of them is, byte for byte, what it makes of the file without them.

The file that holds all mutants is compiled with one of them always awake (mutant.h), and with none; where the two
objects are equal, nothing can tell them apart, and that is a proof. It takes a moment for each, so that only those
that survive are looked at.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import tempfile

OPTIONS = ["-O2", "-g0", "-w"]  # the last ones count


class Compiler:
    """Compiles files of the stack as CMake would, but for speed."""

    def __init__(self, lab):
        self.scratch = lab.scratch
        with open(os.path.join(lab.build, "compile_commands.json"), encoding="utf-8") as file:
            self.entries = {os.path.basename(entry["file"]): entry for entry in json.load(file)
                            if os.path.dirname(os.path.realpath(entry["file"])) ==
                            os.path.realpath(os.path.join(lab.build, "src"))}
        self.originals = {}

    def code(self, file, number):
        """A digest of the object that a mutant makes of a file; 0 is the file as it is."""
        entry = self.entries[os.path.basename(file)]
        words = shlex.split(entry["command"])
        with tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".o") as target:
            words[words.index("-o") + 1] = target.name
            words += OPTIONS + ["-DVFAKE_MUTANT_ONE=%d" % number]
            subprocess.run(words, cwd=entry["directory"], check=True)
            return hashlib.sha256(target.read()).hexdigest()

    def is_same(self, mutant):
        return self.code(mutant.file, mutant.number) == self.originals[mutant.file]

    def judge(self, mutants, jobs, step):
        """{mutant: whether it is none}."""
        files = sorted({mutant.file for mutant in mutants})
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            self.originals = dict(zip(files, pool.map(lambda file: self.code(file, 0), files)))

            def one(mutant):
                same = self.is_same(mutant)
                step()
                return same

            return dict(zip(mutants, pool.map(one, mutants)))
