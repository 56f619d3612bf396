# SPDX-License-Identifier: BSD-2-Clause
"""Where mutants are built and tried: what can fail (stories, tests), how long it may take, and which oracle spoke."""

import collections
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time

# What a check may use of the processor and of the clock, besides a multiple of what it uses without a mutant; and how
# long it may take before that is known.
CPU_S, CPU_TIMES = 1, 10
CLOCK_S, CLOCK_TIMES, WALL_S = 10, 20, 60
# For how long it may sleep at a stretch, with all of its processes, and what these may use of the processor together.
IDLE_S, IDLE_TIMES = 1, 3
BUSY_S = 0.3
# The cell of a sweep is played by many processes, each of which does a part of it.
SWEEP_TIMES = 2
DEATH = 10  # faults that can be tried in the time in which a process of a story is killed once
BATCH = 256  # mutants that one process forks for

# What is printed -> who noticed. The first that fits; the oracles of every story are in scenarios/bugs/README.md.
ORACLES = [
    ("sweep", r"repeat: .* sweep "),
    ("model", r"\bmodel\b.*(disagree|differ)|the model"),
    ("hang", r"took longer than|CPU time limit|signal 24\b|signal 9\b"),
    ("crash", r"died of signal|Test failed with exception|AddressSanitizer|runtime error|double free|corrupted|"
              r"LeakSanitizer|free\(\): |malloc\(\): |Segmentation|Aborted"),
    ("ledger", r"since the mark: "),
    ("discard", r"discarding is allowed"),
    ("exact unmap", r"an unmap at .* took"),
    ("closing", r"is closed, but it is not open|closed while|has not left"),
    ("takedown", r"takes? .*down|\bfailed to take\b"),
    ("pointers", r"bad address|not an open descriptor|is not open"),
    ("pairs", r"that is not there"),
    ("reach", r"does not reach|still reaches|\breach"),
    ("agreement", r"error->code|error\.code"),
    ("assertion", r"\.c:\d+: error: Failure|\[  FAILED  \]|FAILED"),
]

# seconds: of the processor; clock: as well
Outcome = collections.namedtuple("Outcome", "failed oracle seconds clock text")


class Check:
    """One thing that can fail: a story on a backend, its sweep, or a test program."""

    def __init__(self, name, words, times=CPU_TIMES):
        self.name, self.words, self.times = name, words, times
        self.kind, self.cell = name.split("/")[0], name.split(" ", 1)[1]
        self.seconds, self.clock, self.reached = 0.0, 0.0, frozenset()
        self.lock, self.surveyed = threading.Lock(), False

    def limits(self):
        """What mutant.c is told."""
        clock = CLOCK_S + CLOCK_TIMES * self.clock if self.surveyed else WALL_S + 5
        return {"VFAKE_MUTANT_CPU": str(int(CPU_S + self.times * self.seconds)),
                "VFAKE_MUTANT_WALL": str(int(min(clock, WALL_S + 5))),
                "VFAKE_MUTANT_BUSY": str(int(1000 * (BUSY_S + self.times * self.seconds))),
                "VFAKE_MUTANT_IDLE": str(int(IDLE_S + IDLE_TIMES * self.clock))}


def oracle_of(text, status):
    for name, pattern in ORACLES:
        if re.search(pattern, text):
            return name
    if -status in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL):
        return "hang"
    return "crash" if status < 0 or status > 128 else "assertion"


class Lab:
    """A build directory, and the checks that its programs offer."""

    def __init__(self, root, build):
        self.root, self.build = root, build
        self.broken = []  # what fails without any mutant, and so can say nothing
        self.scratch = os.path.join(build, "scratch")
        os.makedirs(self.scratch, exist_ok=True)
        os.chdir(build)
        self.environment = dict(os.environ, TMPDIR=self.scratch)
        for name in ("VFAKE_MUTANT", "VFAKE_MUTANT_REACHED", "CMOCKA_XML_FILE", "CMOCKA_TEST_ABORT"):
            self.environment.pop(name, None)

    def program(self, name):
        return os.path.join(self.build, name)

    def story(self, cell, program=None):
        return Check("story " + cell, [program or self.program("vfake"), "run", "--jobs", "1", "--timeout",
                                       str(WALL_S), "--filter", cell])

    def sweep(self, cell, program=None):
        """The faults of a story on a backend, up to the first violation."""
        return Check("sweep " + cell, [program or self.program("vfake"), "sweep", "--first", "--jobs", "1", "--timeout",
                                       str(WALL_S), cell], SWEEP_TIMES)

    def test(self, name, program=None):
        """A test program. It is started in the build directory, as ctest does."""
        return Check("test " + name, [program or self.program(name)])

    def checks(self):
        """Every cell of `vfake run` that is played, and every test program that CMake made of scenarios/test_*.c."""
        done = subprocess.run([self.program("vfake"), "run", "--format", "json", "--jobs", "2"], text=True, check=False,
                              env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        cells = json.loads(done.stdout)["cells"]
        self.broken += ["%s/%s" % (c["story"], c["backend"]) for c in cells if c["result"] == "failed"]
        found = [self.story("%s/%s" % (c["story"], c["backend"])) for c in cells if c["result"] == "passed"]
        for name in sorted(os.listdir(os.path.join(self.root, "scenarios"))):
            stem, extension = os.path.splitext(name)
            if stem.startswith("test_") and extension == ".c" and self.has_stack(stem):
                found.append(self.test(stem))
        return found

    def sweeps(self):
        """Every cell of `vfake sweep`, those with the least to do first: (faults, check)."""
        done = subprocess.run([self.program("vfake"), "sweep", "--count", "--verbose"], text=True, check=False,
                              env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        cells = re.findall(r"^pass (\S+): .* (\d+) faults(?:, (\d+) deaths)?", done.stdout, re.M)
        if not cells:
            raise RuntimeError("`vfake sweep --count --verbose` names no cell")
        return sorted(((int(faults) + DEATH * int(deaths or 0), self.sweep(cell)) for cell, faults, deaths in cells),
                      key=lambda found: (found[0], found[1].name))

    def has_stack(self, program):
        """Whether a program is there, and has any of the stack in it."""
        if not os.path.exists(self.program(program)):
            return False
        with open(self.program(program), "rb") as file:
            return b"VFAKE_MUTANT_REACHED" in file.read()

    def run(self, check, **extra):
        """Runs a check. A time that is much longer than it was without a mutant is a failure, too: mutant.c sets
        the limits, so that no shell is needed; most checks take a few milliseconds."""
        path = os.path.join(self.scratch, "output.%d" % threading.get_ident())
        environment = dict(self.environment, **check.limits(), **extra)
        began = time.monotonic()
        child = os.posix_spawn(check.words[0], check.words, environment, setpgroup=0, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2)])
        _, status, used = os.wait4(child, 0)
        status = os.waitstatus_to_exitcode(status)
        clock, seconds = time.monotonic() - began, used.ru_utime + used.ru_stime
        if status == 0:
            return Outcome(False, None, seconds, clock, "")
        try:
            os.killpg(child, signal.SIGKILL)  # what it may have left behind
        except ProcessLookupError:
            pass
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20)
        return Outcome(True, oracle_of(text, status), seconds, clock, text)

    def run_many(self, check, numbers):
        """Runs a check once with each mutant; {number: oracle} of those that failed. mutant.c forks for each."""
        place = os.path.join(self.scratch, "many.%d" % threading.get_ident())
        prefix = place + ".output."
        failed = {}
        for begin in range(0, len(numbers), BATCH):
            batch = numbers[begin:begin + BATCH]
            with open(place, "w", encoding="ascii") as file:
                file.write("\n".join(str(number) for number in batch) + "\n")
            environment = dict(self.environment, VFAKE_MUTANT_LIST=place, VFAKE_MUTANT_OUTPUT=prefix,
                               **check.limits())
            done = subprocess.run(check.words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  check=False, text=True)
            ended = dict(line.split() for line in done.stdout.splitlines())
            if done.returncode or len(ended) != len(batch):
                raise RuntimeError("%s does not come to its end with %d mutants" % (check.name, len(batch)))
            for number in batch:
                status = os.waitstatus_to_exitcode(int(ended[str(number)]))
                path = prefix + str(number)
                if status:
                    with open(path, encoding="utf-8", errors="replace") as file:
                        failed[number] = oracle_of(file.read(1 << 20), status)
                os.unlink(path)
        return failed

    def survey(self, check, count):
        """Runs a check without a mutant and records how long it took and which mutants it comes by: none when it
        fails, which is a failure of the run as well."""
        path = os.path.join(self.scratch, "reached." + re.sub(r"\W", "-", check.name))
        with open(path, "wb") as file:
            file.truncate(count + 1)
        check.seconds = WALL_S / CPU_TIMES
        outcome = self.run(check, VFAKE_MUTANT_REACHED=path)
        if outcome.failed:
            self.broken.append(check.name)
            os.unlink(path)
            return
        check.seconds, check.clock, check.surveyed = outcome.seconds, outcome.clock, True
        with open(path, "rb") as file:
            marks = file.read()
        os.unlink(path)
        check.reached = frozenset(number for number, mark in enumerate(marks) if mark)

    def survey_once(self, check, count):
        """For checks that are surveyed when the first one wants them."""
        with check.lock:
            if not check.surveyed:
                self.survey(check, count)
                check.surveyed = True


class Patched:
    """Programs in which some files of the stack are others: compiled and linked as CMake would, in a corner."""

    def __init__(self, lab, stack, corner):
        self.lab, self.stack, self.corner = lab, stack, corner
        os.makedirs(corner, exist_ok=True)
        with open(os.path.join(lab.build, "compile_commands.json"), encoding="utf-8") as file:
            self.commands = {os.path.realpath(entry["file"]): entry for entry in json.load(file)}
        self.objects = []

    def compile(self, name, path):
        """Compiles the file at path in place of the stack's file of that name. Returns what the compiler said."""
        entry = self.commands[os.path.realpath(os.path.join(self.stack, name))]
        words = shlex.split(entry["command"])
        target = os.path.join(self.corner, name + ".o")
        words[words.index("-o") + 1] = target
        words[words.index("-c") + 1] = path
        done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True, check=False)
        self.objects.append(target)
        return done.stderr if done.returncode else None

    def link(self, program):
        """Links one program with the objects in front of the archive that has the others. Returns its path."""
        with open(os.path.join(self.lab.build, "CMakeFiles", program + ".dir", "link.txt"), encoding="utf-8") as file:
            words = shlex.split(file.read().splitlines()[0])
        target = os.path.join(self.corner, program)
        words[words.index("-o") + 1] = target
        place = next(i for i, word in enumerate(words) if word.endswith("libvfio.a"))
        words[place:place] = self.objects
        subprocess.run(words, cwd=self.lab.build, check=True)
        return target
