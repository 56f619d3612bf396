# SPDX-License-Identifier: BSD-2-Clause
"""The list of mutants that are known to survive, scenarios/bugs/survivors, and the judgement that rests on it."""

import collections
import os
import sys

OPEN = "open:"  # how a reason begins that is none: a test is missing
HEAD = """\
# Mutants of src/ that no check notices: `file | function | change | reason`. `make mutants` fails when one survives that
# is not here, and when one that is here is killed or gone. A reason says why the change does no harm; one that begins
# with `open:` says that a test is missing. `ci/mutants --note` brings the list up to date, with `open:` as the reason.
"""

Listed = collections.namedtuple("Listed", "number reason")


def read(path):
    """{key: (line, reason)}."""
    listed = {}
    if not os.path.exists(path):
        return listed
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            key, bar, reason = (part.strip() for part in text.rpartition(" | "))
            if not bar or key.count(" | ") < 2 or not reason:
                sys.exit("%s:%d: want `file | function | change | reason`" % (path, number))
            if key in listed:
                sys.exit("%s:%d: listed twice" % (path, number))
            listed[key] = Listed(number, reason)
    return listed


def note(results, listed, path):
    """Writes the list anew: what survives in the files that were tried, with the reasons that are there."""
    files = {mutant.file for mutant in results}
    lines = {key: entry.reason for key, entry in listed.items() if key.split(" | ")[0] not in files}
    for mutant, result in results.items():
        if result["by"] is None:
            known = listed.get(mutant.key())
            lines[mutant.key()] = known.reason if known else OPEN + " no check notices"
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD)
        for key in sorted(lines):
            file.write("%s | %s\n" % (key, lines[key]))


def table(results, listed):
    """Prints a row per file; returns (all, killed)."""
    rows = collections.defaultdict(collections.Counter)
    for mutant, result in results.items():
        entry = listed.get(mutant.key())
        if result["by"] is not None:
            kind = "killed"
        else:
            kind = "open" if not entry or entry.reason.startswith(OPEN) else "harmless"
        for name in (mutant.file, "all"):
            rows[name]["mutants"] += 1
            rows[name][kind] += 1
    print("\n%-24s %8s %8s %9s %6s %8s" % ("file", "mutants", "killed", "harmless", "open", "score"))
    for name in sorted(set(rows) - {"all"}) + ["all"]:
        row = rows[name]
        print("%-24s %8d %8d %9d %6d %7.2f%%" % (name, row["mutants"], row["killed"], row["harmless"], row["open"],
                                                 100 * row["killed"] / max(row["mutants"], 1)))
    by = collections.Counter(r["oracle"] for r in results.values() if r["by"])
    print("\nkilled by: " + ", ".join("%s %d" % pair for pair in by.most_common()))
    return rows["all"]["mutants"], rows["all"]["killed"]


def judge(results, listed, path, least, whole, broken=()):
    """Prints the table and what is wrong; returns the exit status."""
    wrong = []
    if broken:
        wrong.append("these fail without any mutant: " + ", ".join(sorted(broken)))
    for mutant, result in sorted(results.items(), key=lambda item: item[0].number):
        known = listed.get(mutant.key())
        if result["by"] is None and not known:
            why = "nothing comes by" if not result["tried"] else "%d checks come by" % result["tried"]
            wrong.append("%s:%d: survives (%s): %s" % (mutant.file, mutant.line, why, mutant.key()))
        elif result["by"] is not None and known:
            wrong.append("%s:%d: is killed now, by %s; take it off the list" % (path, known.number, result["by"]))
    if whole:
        names = {mutant.key() for mutant in results}
        files = {mutant.file for mutant in results}
        wrong += ["%s:%d: there is no such mutant" % (path, entry.number) for key, entry in listed.items()
                  if key not in names and key.split(" | ")[0] in files]
    count, killed = table(results, listed)
    if 100 * killed < least * count:
        wrong.append("the score is below %g %%" % least)
    if wrong:
        print("\n" + "\n".join(wrong))
    return 1 if wrong else 0
