#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ci/steps.py MAP OUTPUT HEADER...: writes the wrappers that make a step of each call into the stack.

The linker sends each call of a function that is named in MAP, the stack's list of exported names, to a wrapper
(--wrap). The wrappers are made from the prototypes in the headers, so a public function cannot be without one: a name
of MAP that no header declares, or a prototype that this script does not understand, is an error.
"""

import os
import re
import sys

# They bind the stack to the kernel below or to a VMM, before there is a story to fail in.
LEFT_OUT = {"vfio_sys_linux", "vfio_vmm_ref"}
# They change bits in memory that is there. Those with a const subject change nothing at all.
QUIET = {"vfio_memory_set_dirty", "vfio_memory_test_dirty"}

HEAD = "/* Made by ci/steps.py from the stack's headers. */\n%s\n#include \"step.h\"\n"


class Function:
    def __init__(self, result, name, parameters):
        self.result, self.name, self.parameters = result, name, parameters

    def is_quiet(self):
        looks = self.parameters[0][0].startswith("const ") and not self.name.endswith("_new")
        return looks or self.name in QUIET

    def kind(self):
        if self.result == "void":
            return "STEP_NOTHING"
        if self.result.endswith("*"):
            return "STEP_POINTER"
        return {"bool": "STEP_BOOL", "int": "STEP_CODE"}.get(self.result, "STEP_NUMBER")


def declare(kind, name):
    return kind + name if kind.endswith("*") else kind + " " + name


def parse_parameter(text):
    match = re.fullmatch(r"(.*?)(\w+)", text.strip(), re.S)
    if not match or "[" in text or "(" in text:
        raise ValueError("parameter `%s'" % text.strip())
    return match.group(1).strip(), match.group(2)


def parse(path):
    """All functions that a header declares."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
    text = " ".join(line for line in text.split("\n") if not line.startswith("#"))
    functions = []
    for match in re.finditer(r"(?:^|[;{}])\s*([\w\s*]*?[\s*])(vfio_\w+)\(([^()]*)\)(?=;)", text):
        result = " ".join(match.group(1).split())
        parameters = [parse_parameter(x) for x in match.group(3).split(",")]
        functions.append(Function(result, match.group(2), parameters))
    return functions


def exported(path):
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^\t(vfio_\w+);$", file.read(), re.M)


def wrapper(function):
    name = function.name
    parameters = ", ".join(declare(kind, x) for kind, x in function.parameters)
    members = "".join("\t%s;\n" % declare(kind, x) for kind, x in function.parameters)
    fields = ", ".join("." + x + " = " + x for _, x in function.parameters)
    call = "__real_%s(%s)" % (name, ", ".join("all->" + x for _, x in function.parameters))
    error = "error" in [x for kind, x in function.parameters if kind == "struct vfio_error *"]
    empty = function.result == "void"
    result = "" if empty else "\t%s;\n" % declare(function.result, "result")
    lines = [
        "\n%s(%s);" % (declare(function.result, "__real_" + name), parameters),
        "%s(%s);" % (declare(function.result, "__wrap_" + name), parameters),
        "\nstruct args_%s {\n%s%s};" % (name, members, result),
        "\nstatic void call_%s(void *args)\n{\n\tstruct args_%s *all = args;\n" % (name, name),
        "\t%s%s;\n}" % ("" if empty else "all->result = ", call),
        "\n%s(%s)\n{" % (declare(function.result, "__wrap_" + name), parameters),
        "\tstruct args_%s args = { %s };" % (name, fields),
        "\tconst struct step step = {",
        '\t\t.name = "%s",' % name,
        "\t\t.kind = %s," % function.kind(),
        "\t\t.call = call_%s," % name,
        "\t\t.args = &args,",
    ]
    if function.is_quiet():
        lines.append("\t\t.quiet = true,")
    if not empty:
        lines.append("\t\t.result = &args.result,")
    if error:
        lines.append("\t\t.error = &args.error,")
    lines += ["\t};\n", "\tstep_play(&step);"]
    if not empty:
        lines.append("\treturn args.result;")
    return "\n".join(lines) + "\n}\n"


def main(arguments):
    if len(arguments) < 3:
        sys.exit("usage: ci/steps.py MAP OUTPUT HEADER...")
    functions = {}
    for path in arguments[2:]:
        try:
            functions.update((x.name, x) for x in parse(path))
        except ValueError as error:
            sys.exit("%s: cannot read %s" % (path, error))
    names = [x for x in exported(arguments[0]) if x not in LEFT_OUT]
    missing = [x for x in names if x not in functions]
    if missing or not names:
        sys.exit("%s: no header declares %s" % (arguments[0], ", ".join(missing) or "anything"))
    includes = "".join("#include <vfio/%s>\n" % os.path.basename(x) for x in arguments[2:])
    text = HEAD % includes + "".join(wrapper(functions[x]) for x in names)
    with open(arguments[1], "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
