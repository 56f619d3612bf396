# SPDX-License-Identifier: BSD-2-Clause
"""The fault sweep as a killer: mutants that no story and no test notices are tried where calls fail.

What the sweep of a cell comes by is only known when it is surveyed, which takes as long as to try one mutant. So it is
first guessed from what the story itself comes by: the place of the mutant; else, for what nothing comes by while all
goes well, another place of the same function; else one of the same file.
"""

import collections

FEW, DEAR = 60, 1500  # faults: the sweep of a cell with fewer does not find much, that of one with more takes long
TRIES = 10  # cells that come by a mutant and do not notice it, until it has survived
GUESSES = 40  # cells that were expected to come by it, and do not
OF_A_STORY = 2  # backends of one story, in both


class Sweeps:
    """The cells that there are, those with the fewest faults first, and whom they may come by."""

    def __init__(self, lab, total, mutants, checks):
        self.lab, self.total = lab, total
        self.cells = [check for faults, check in lab.sweeps() if FEW <= faults <= DEAR]
        plain = {check.cell: check.reached for check in checks if check.name.startswith("story ")}
        places = {m.number: (m.file, m.function) for m in mutants}
        self.plain = {check.name: plain.get(check.cell, frozenset()) for check in self.cells}
        self.functions = {name: {places[n] for n in reached if n in places} for name, reached in self.plain.items()}
        self.files = {name: {file for file, _ in found} for name, found in self.functions.items()}
        self.entered = set().union(*self.functions.values())

    def may_reach(self, check, mutant):
        if check.surveyed:
            return mutant.number in check.reached
        if mutant.number in self.plain[check.name]:
            return True
        if (mutant.file, mutant.function) in self.entered:
            return (mutant.file, mutant.function) in self.functions[check.name]
        return mutant.file in self.files[check.name]

    def survey(self, check):
        self.lab.survey_once(check, self.total)


class Turn:
    """Which mutants of a hunter are still to be tried on sweeps."""

    def __init__(self, sweeps):
        self.sweeps = sweeps
        self.tries, self.guesses = (collections.defaultdict(collections.Counter) for _ in range(2))

    def may_want(self, check, mutant):
        counts = ((self.tries[mutant], TRIES), (self.guesses[mutant], GUESSES))
        return all(done.total() < most and done[check.kind] < OF_A_STORY for done, most in counts) and \
            self.sweeps.may_reach(check, mutant)

    def wanted(self, check, mutants):
        """Those that the check is to be tried on."""
        found = [mutant for mutant in mutants if self.may_want(check, mutant)]
        if found:
            self.sweeps.survey(check)
        for mutant in found:
            counts = self.tries if mutant.number in check.reached else self.guesses
            counts[mutant][check.kind] += 1
        return [mutant for mutant in found if mutant.number in check.reached]
