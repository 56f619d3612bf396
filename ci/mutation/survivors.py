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
# What the compiler finds to be the same code as without it need not be here, but may: another compiler may not see it.
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
        known = listed.get(mutant.key())
        if survives(result) or known and result["by"] is None:
            lines[mutant.key()] = known.reason if known else OPEN + " no check notices"
    with open(path, "w", encoding="utf-8") as file:
        file.write(HEAD)
        for key in sorted(lines):
            file.write("%s | %s\n" % (key, lines[key]))


def survives(result):
    return result["by"] is None and not result.get("same")


def score(row):
    """Per cent. What is the same code as no mutant cannot be killed."""
    return 100 * row["killed"] / max(row["mutants"] - row["same"], 1)


def table(results, listed):
    """Prints a row per file; returns the score."""
    rows = collections.defaultdict(collections.Counter)
    for mutant, result in results.items():
        entry = listed.get(mutant.key())
        if result["by"] is not None:
            kind = "killed"
        elif result.get("same"):
            kind = "same"
        else:
            kind = "open" if not entry or entry.reason.startswith(OPEN) else "harmless"
        for name in (mutant.file, "all"):
            rows[name]["mutants"] += 1
            rows[name][kind] += 1
    form = "%-24s %8s %8s %10s %9s %6s %8s"
    print("\n" + form % ("file", "mutants", "killed", "same code", "harmless", "open", "score"))
    for name in sorted(set(rows) - {"all"}) + ["all"]:
        row = rows[name]
        print(form % (name, row["mutants"], row["killed"], row["same"], row["harmless"], row["open"],
                      "%.2f%%" % score(row)))
    by = collections.Counter(r["oracle"] for r in results.values() if r["by"])
    print("\nkilled by: " + ", ".join("%s %d" % pair for pair in by.most_common()))
    whole = rows["all"]
    print("%d mutants: %d killed, %d the same code, %d harmless for a reason, %d open; of those that are not the same "
          "code %.2f %% are killed" % (whole["mutants"], whole["killed"], whole["same"], whole["harmless"],
                                       whole["open"], score(whole)))
    return score(whole)


def judge(results, listed, path, least, whole, broken=()):
    """Prints the table and what is wrong; returns the exit status."""
    wrong = []
    if broken:
        wrong.append("these fail without any mutant: " + ", ".join(sorted(broken)))
    for mutant, result in sorted(results.items(), key=lambda item: item[0].number):
        known = listed.get(mutant.key())
        if survives(result) and not known:
            why = "nothing comes by" if not result["tried"] else "%d checks come by" % result["tried"]
            wrong.append("%s:%d: survives (%s): %s" % (mutant.file, mutant.line, why, mutant.key()))
        elif result["by"] is not None and known:
            wrong.append("%s:%d: is killed now, by %s; take it off the list" % (path, known.number, result["by"]))
    if whole:
        names = {mutant.key() for mutant in results}
        files = {mutant.file for mutant in results}
        wrong += ["%s:%d: there is no such mutant" % (path, entry.number) for key, entry in listed.items()
                  if key not in names and key.split(" | ")[0] in files]
    if table(results, listed) < least:
        wrong.append("the score is below %g %%" % least)
    if wrong:
        print("\n" + "\n".join(wrong))
    return 1 if wrong else 0
