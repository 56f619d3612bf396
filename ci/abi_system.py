#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ci/abi_system.py COMPILER OUT.c [FLAG...]: hold the machine's own headers to include/uapi/abi.def.

Asks the compiler once what <linux/vfio.h>, <linux/iommufd.h> and <linux/kvm.h> define here, and writes OUT.c: an
assertion for each line of abi.def that those headers can answer. Compiling OUT.c is the check. It prints how many
lines it covers. A header that is missing or older has less; it must not say anything different.

What an older or newer kernel may rightly have otherwise is left out: numbers of kinds (ABI_COUNT), the size of a
struct whose members are not exactly ours, and reserved members of such a struct, since new members grow in them.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ABI = os.path.join(ROOT, "include", "uapi", "abi.def")
HEADERS = ("linux/ioctl.h", "linux/types.h", "linux/vfio.h", "linux/iommufd.h", "linux/kvm.h")
RESERVED = re.compile(r"^_*(reserved|resv|pad)\d*$")

HEAD = """/* Written by ci/abi_system.py; do not edit. */
#include <stddef.h>
#include <stdint.h>
%s
#define ABI_DIR_NONE _IOC_NONE
#define ABI_DIR_READ _IOC_READ
#define ABI_DIR_WRITE _IOC_WRITE
#define ABI_DIR_READWRITE (_IOC_READ | _IOC_WRITE)
#define ABI_NUM(symbol, literal) \\
\t_Static_assert((uint32_t)(symbol) == (uint32_t)(literal), #symbol " of the system is not " #literal);
#define ABI_IOC(symbol, dir, type, nr, size) \\
\t_Static_assert((symbol) == _IOC(ABI_DIR_##dir, type, nr, size), #symbol " of the system is another number");
#define ABI_SIZE(type, bytes) \\
\t_Static_assert(sizeof(struct type) == (bytes), "struct " #type " of the system is not " #bytes " bytes");
#define ABI_OFF(type, member, bytes) \\
\t_Static_assert(offsetof(struct type, member) == (bytes), #type "." #member " of the system is not at " #bytes);

"""


def include_lines():
    """The includes of both the question and the check: what exists."""
    lines = []
    for name in HEADERS:
        # sparc has linux/kvm.h without the asm/kvm.h that it includes.
        needed = " && __has_include(<asm/kvm.h>)" if name == "linux/kvm.h" else ""
        lines.append("#if __has_include(<%s>)%s\n#include <%s>\n#endif" % (name, needed, name))
    return "\n".join(lines)


def body_of(text, start):
    """The text between the brace at `start` and its partner."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1:place]
    return ""


def members_of(body):
    """Names of a struct's members, those of nested anonymous ones included."""
    names = set()
    for piece in re.split(r"[;{}]", re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", body)):
        found = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*$", piece.strip())
        if found and found.group(1) not in ("union", "struct"):
            names.add(found.group(1))
    return names


def scan(output):
    """(macros by name, enum constants, members by struct) of preprocessed text that kept its #define lines."""
    macros, code = {}, []
    for line in output.split("\n"):
        found = re.match(r"#\s*define\s+(\w+)\s+(.*)", line)
        if found:
            macros[found.group(1)] = found.group(2)
        elif not line.startswith("#"):
            code.append(line)
    text = "\n".join(code)
    constants, structs = set(), {}
    for found in re.finditer(r"\benum\b\s*\w*\s*\{", text):
        body = re.sub(r"\([^()]*\)", "", body_of(text, found.end() - 1))
        constants.update(re.findall(r"(?:^|,)\s*(\w+)", body))
    for found in re.finditer(r"\bstruct\s+(\w+)\s*\{", text):
        structs[found.group(1)] = members_of(body_of(text, found.end() - 1))
    return macros, constants, structs


def rows():
    """(kind, fields, line) of every line of abi.def."""
    with open(ABI, encoding="ascii") as file:
        for line in file:
            found = re.match(r"ABI_(\w+)\((.*)\)$", line.strip())
            if found:
                yield found.group(1), [field.strip() for field in found.group(2).split(",")], line


def frozen_members():
    members = {}
    for kind, fields, _ in rows():
        if kind == "OFF":
            members.setdefault(fields[0], set()).add(fields[1])
    return members


def answerable(kind, fields, found, ours):
    """Whether the system's headers can be held to this line."""
    macros, constants, structs = found
    name = fields[0]
    if kind == "NUM":
        return name in macros or name in constants
    if kind == "IOC":
        needed = re.findall(r"struct\s+(\w+)", macros.get(name, ""))
        return name in macros and all(struct in structs for struct in needed)
    if name not in structs or kind not in ("SIZE", "OFF"):
        return False
    same = structs[name] == ours[name]
    if kind == "SIZE":
        return same
    return fields[1] in structs[name] and (same or not RESERVED.match(fields[1]))


def write_if_changed(path, text):
    try:
        with open(path, encoding="ascii") as file:
            if file.read() == text:
                return
    except OSError:
        pass
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    compiler, out, flags = sys.argv[1], sys.argv[2], sys.argv[3:]
    done = subprocess.run([compiler, *flags, "-E", "-dD", "-x", "c", "-"], input=include_lines(), stdout=subprocess.PIPE,
                          text=True, check=True)
    found, ours = scan(done.stdout), frozen_members()
    wide = "__LP64__" in found[0]
    lines, total = [], 0
    for kind, fields, line in rows():
        total += 1
        if (wide or kind in ("NUM", "IOC")) and answerable(kind, fields, found, ours):
            lines.append(line)
    write_if_changed(out, HEAD % include_lines() + "".join(lines))
    os.utime(out)
    print("abi_system: %d of the %d frozen facts are checked against the headers of this machine"
          % (len(lines), total))


if __name__ == "__main__":
    main()
