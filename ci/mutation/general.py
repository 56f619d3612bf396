# SPDX-License-Identifier: BSD-2-Clause
"""The general mutator: every mutant of src/ is tried on the checks that come by it, until one fails."""

import collections
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zlib

import mutate
import same
import sweeps

DEAR_S = 0.2  # a check that takes longer is spared where a cheaper backend of the same story comes by
TOO_DEAR_S = 3.0  # and one that takes so long, where ENOUGH others do
ENOUGH = 20
SLOTS = 2000  # numbers per file, so that a change of one file does not renumber the others
WORLD = ("include", "fakes", "harness", "scenarios", "ci/mutation", "CMakeLists.txt")


def digest(paths):
    total = hashlib.sha256()
    for path in paths:
        total.update(path.encode() + b"\0")
        with open(path, "rb") as file:
            total.update(file.read() + b"\0")
    return total.hexdigest()[:16]


def world_digest(root):
    """What a result rests on besides the file of the mutant: the tests and all that they run on."""
    paths = []
    for name in WORLD:
        path = os.path.join(root, name)
        if os.path.isfile(path):
            paths.append(path)
        for directory, names, files in os.walk(path):
            names[:] = sorted(n for n in names if n not in ("golden", "corpus", "bugs", "__pycache__"))
            paths += [os.path.join(directory, f) for f in sorted(files) if not f.endswith(".md")]
    return digest(paths)


def write_changed(path, text):
    """Leaves a file alone that is as it should be, so that make does, too."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def generate(root, source, target):
    """Writes the copy of the stack that holds all mutants. Returns them, and the digest of each file."""
    mutants, digests, wanted = [], {}, set()
    os.makedirs(target, exist_ok=True)
    options = ["-I" + source, "-I" + os.path.join(root, "include"), "-D_GNU_SOURCE", "-std=gnu11"]
    names = sorted(n for n in os.listdir(source) if n.endswith((".c", ".h")))
    headers = [os.path.join(source, n) for n in names if n.endswith(".h")]
    for index, name in enumerate(n for n in names if n.endswith(".c")):
        path = os.path.join(source, name)
        found, text = mutate.mutants_of(path, "src/" + name, options)
        if len(found) >= SLOTS:
            sys.exit("ci/mutants: %s has %d mutants, more than there are numbers for" % (path, len(found)))
        write_changed(os.path.join(target, name), mutate.written(found, text, 1 + index * SLOTS))
        digests["src/" + name] = digest([path, mutate.__file__] + headers)
        mutants += found
        wanted.add(name)
    here = os.path.dirname(os.path.abspath(__file__))
    for path in headers + [os.path.join(here, n) for n in ("mutant.c", "mutant.h")]:
        with open(path, encoding="utf-8") as file:
            write_changed(os.path.join(target, os.path.basename(path)), file.read())
        wanted.add(os.path.basename(path))
    for name in os.listdir(target):
        if name not in wanted:
            os.unlink(os.path.join(target, name))
    return mutants, digests


def build(root, jobs, programs=()):
    """Builds the programs (none named: all) with all mutants inside."""
    words = [os.path.join(root, "ci/build"), "mutants", str(jobs)] + (["--target", *programs] if programs else [])
    done = subprocess.run(words, cwd=root, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.stdout[-4000:] + "\nci/mutants: the tree does not build with its mutants")


class Progress:
    """One line that is written over, on a terminal; else a line now and then."""

    def __init__(self, what, total):
        self.what, self.total, self.done = what, total, 0
        self.began = self.last = time.monotonic()

    def step(self):
        self.done += 1
        now = time.monotonic()
        terminal = sys.stderr.isatty()
        if now - self.last < (0.5 if terminal else 30) and self.done < self.total:
            return
        self.last = now
        rate = self.done / max(now - self.began, 1e-3)
        left = (self.total - self.done) / max(rate, 1e-3)
        print("%s%s: %d of %d, %.1f/s, %d s left" % ("\r" if terminal else "", self.what, self.done, self.total,
              rate, left), end="\n" if not terminal or self.done == self.total else "", file=sys.stderr, flush=True)


def survey(lab, jobs, total):
    """What there is to check with, and what each comes by. Those that come by nothing are left out."""
    checks = lab.checks()
    progress = Progress("survey", len(checks))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(lambda check: lab.survey(check, total), checks):
            progress.step()
    # The fewer it comes by, the quicker it is and the more it means; what is dear has the last word.
    return sorted((c for c in checks if c.reached),
                  key=lambda c: (c.seconds if c.seconds > DEAR_S else 0, len(c.reached), c.name))


class Memory:
    """Results of the last run. A killed mutant has its killer tried first; one that survived is trusted
    while its file and all tests are what they were, and one that is the same code while its file is."""

    def __init__(self, path, world, digests, fresh):
        self.path, self.world, self.digests = path, world, digests
        self.old = {}
        if not fresh and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.old = json.load(file)
        self.new = {}

    def known(self, mutant):
        known = self.old.get(mutant.key())
        if not known or known["file"] != self.digests[mutant.file]:
            return None
        tried = known["by"] or known.get("swept")
        return known if known.get("same") or tried and known["world"] == self.world else None

    def killer(self, mutant):
        return self.old.get(mutant.key(), {}).get("by")

    def put(self, mutant, result):
        self.new[mutant.key()] = dict(result, world=self.world, file=self.digests[mutant.file])
        return result

    def save(self):
        text = json.dumps({**self.old, **dict(self.new)}, indent=0, sort_keys=True)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(self.path + ".new", self.path)


def chosen(mutant, reaching):
    """Of each story two backends: the one that comes by the least, and one by lot. What is dear is the last choice."""
    kinds = collections.defaultdict(list)
    cheap = [c for c in reaching if c.seconds < TOO_DEAR_S]
    for check in cheap if len(cheap) >= ENOUGH else reaching:
        kinds[check.kind].append(check)
    wanted = set()
    for kind in kinds.values():
        kind = [c for c in kind if c.seconds < DEAR_S] or kind
        lot = zlib.crc32((mutant.key() + kind[0].kind).encode()) % len(kind)
        wanted |= {kind[0].name, kind[lot].name}
    return wanted


class Hunter:
    """Tries a part of the mutants: each check on all that are still alive and come by it; then the sweeps."""

    def __init__(self, lab, memory, sweeping, thorough, spared):
        self.lab, self.memory, self.sweeping, self.thorough, self.spared = lab, memory, sweeping, thorough, spared
        self.alive, self.wanted, self.tried, self.results = {}, {}, collections.Counter(), {}

    def attempt(self, check, mutants):
        numbers = [m.number for m in mutants]
        failed = self.lab.run_many(check, numbers) if numbers else {}
        self.tried.update(numbers)
        for number, oracle in failed.items():
            mutant = self.alive.pop(number)
            self.finish(mutant, check.name, oracle)

    def finish(self, mutant, by, oracle):
        self.results[mutant] = self.memory.put(mutant, {
            "by": by, "oracle": oracle, "tried": self.tried[mutant.number], "swept": mutant.key() not in self.spared})

    def hunt(self, mutants, checks, step):
        """What killed a mutant the last time comes first."""
        killers = collections.defaultdict(list)
        for mutant in mutants:
            reaching = [c for c in checks if mutant.number in c.reached]
            self.alive[mutant.number] = mutant
            self.wanted[mutant.number] = {c.name for c in reaching} if self.thorough else chosen(mutant, reaching)
            killers[self.memory.killer(mutant)].append(mutant)
        for check in checks:
            self.attempt(check, [m for m in killers[check.name] if m.number in check.reached])
            step()
        for check in self.sweeping.cells:
            self.attempt(check, killers[check.name])
            step()
        for check in checks:
            self.attempt(check, [m for m in self.alive.values() if m.number in check.reached and
                                 check.name in self.wanted[m.number]])
            step()
        turn = sweeps.Turn(self.sweeping)
        for check in self.sweeping.cells:
            self.attempt(check, turn.wanted(check, [m for m in self.alive.values() if m.key() not in self.spared]))
            step()
        for mutant in self.alive.values():
            self.finish(mutant, None, None)
        return self.results


def hunt(lab, mutants, checks, memory, jobs, sweeping, thorough=False, spared=()):
    """Tries them all, but those that are spared not on sweeps; {mutant: result}. Each job has its own part of them, so
    that the order is the same each time."""
    results = {mutant: memory.known(mutant) for mutant in mutants}
    todo = [mutant for mutant in mutants if not results[mutant]]
    progress = Progress("%d mutants, checks" % len(todo), 2 * jobs * (len(checks) + len(sweeping.cells)))
    lock = threading.Lock()

    def step():
        with lock:
            progress.step()
            if progress.done % 100 == 0:
                memory.save()

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        parts = [pool.submit(Hunter(lab, memory, sweeping, thorough, spared).hunt, todo[i::jobs], checks, step)
                 for i in range(jobs)]
        try:
            for part in parts:
                results.update(part.result())
        finally:
            memory.save()
    return results


def compare(lab, results, memory, jobs):
    """Notes of each mutant that survived whether it is the same code as none, and so no mutant."""
    todo = [mutant for mutant, result in results.items() if result["by"] is None and "same" not in result]
    if not todo:
        return
    progress = Progress("%d survivors, compiled" % len(todo), len(todo))
    for mutant, is_same in same.Compiler(lab).judge(todo, jobs, progress.step).items():
        results[mutant] = memory.put(mutant, dict(results[mutant], same=is_same))
    memory.save()


def sample(mutants, digests, count):
    """A part of them, spread over all files; others when one of these changes."""
    lot = "".join(digests[file] for file in sorted(digests))
    order = sorted(mutants, key=lambda m: hashlib.sha256((lot + m.key()).encode()).hexdigest())
    return sorted(order[:count], key=lambda m: m.number)
