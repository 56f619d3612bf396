#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Write test inputs that are derived by rule instead of kept by hand.

    fixtures.py malformed-traces DIR
    fixtures.py malformed-worlds DIR
    fixtures.py worlds DIR
    fixtures.py config-spaces DIR

Each kind of fixture is a sub-command: a function with the @fixture decorator that fills a directory
and returns how many files it wrote. The same version of this script writes the same bytes on every
machine: there is no clock here, no unseeded choice and no order that depends on a hash.
"""

import argparse
import random
import re
import sys
from pathlib import Path

import fixtures_worlds  # registers its sub-commands
from fixture_kit import FIXTURES, MARK, Malformed, fixture

# --- malformed-traces ---------------------------------------------------------------------------
#
# One file per mistake, and index.tsv: file, line, column (0: only the line is promised), and a text
# that the message must hold. The places follow from how the file was damaged and from the format,
# never from what a reader said. In the tables below MARK stands where the error has to be reported.

HEADER = "trace 1\n"

# Lines that use every kind of token. A result's braces only follow a result, so cutting such a line
# behind ")", behind the result or behind the closing brace leaves a legal line.
BASE_LINES = [
    'open("/dev/vfio/{d0.group}") = g0',
    "mmap(0x100000, ro) = m2",
    "close(c0) = -EBADF",
    "ioctl(c0, VFIO_IOMMU_MAP_DMA, {flags=0x3, vaddr=m0+0x2e000, iova=0x0, size=0x7000}) = -EINVAL",
    "ioctl(c0, VFIO_IOMMU_UNMAP_DMA, {flags=0x0, iova=0xc000}) = 0 {size=0x1000}",
    "ioctl(v0, VFIO_DEVICE_SET_IRQS, {flags=0x24, count=2, data=[e0 -1]}) = 0",
    "ioctl(i0, IOMMU_IOAS_IOVA_RANGES, {num_iovas=2, allowed_iovas=[]}) = 0 "
    "{allowed_iovas=[0x0-0xfedfffff 0xfef00000-0xffff], ddw.levels=5}",
    "pread(v0, 0x70000000000, 4) = [3412e811]",
    'ioctl(g0, VFIO_GROUP_GET_DEVICE_FD, "d0") = v0',
]

TOKEN = re.compile(r'"[^"]*"|-E[A-Z]+|-?\w+|[(){}\[\],=+.-]')


def tokens(line):
    """The tokens of a line as (start, text). A range's dash and a name's plus are their own."""
    found = []
    for match in TOKEN.finditer(line):
        start, text = match.start(), match.group()
        # In 0x0-0xfff the dash belongs to the range, not to a negative number.
        if text[0] == "-" and len(text) > 1 and start and line[start - 1].isalnum():
            found += [(start, "-"), (start + 1, text[1:])]
        else:
            found.append((start, text))
    return found


def legal_ends(line):
    """Offsets behind which a line may be cut: a script's call, a result, the changed fields."""
    close = line.index(") =") + 1
    ends = {close, len(line)}
    if line.endswith("}") and ") = 0 {" in line:
        ends.add(line.index(") = 0 {") + len(") = 0"))
    return ends


def truncations(out):
    """Each line ends behind each of its tokens: what is missing is missing at the end."""
    for number, line in enumerate(BASE_LINES):
        allowed = legal_ends(line)
        for index, (start, text) in enumerate(tokens(line)):
            end = start + len(text)
            if end not in allowed:
                for newline in ("\n", ""):
                    kind = "cut" if newline else "eof"
                    out.line(f"{kind}-{number}-{index:02}", line[:end] + MARK,
                             "before the end of the line", newline)
            if text[0] == '"':
                out.line(f"cut-string-{number}-{index:02}", line[:start] + MARK + line[start:end - 1],
                         "not closed")


def garbage_tokens(out):
    """A byte that belongs to no token stands before each token of each line."""
    chooser = random.Random(1)
    for number, line in enumerate(BASE_LINES):
        for index, (start, _) in enumerate(tokens(line)):
            byte = chooser.choice("@$%&*;?~^`")
            out.line(f"garbage-{number}-{index:02}", line[:start] + MARK + byte + line[start:],
                     f"'{byte}'")


def doubled_punctuation(out):
    """Each bracket and separator twice; where the second one cannot be read, it is the error."""
    for number, line in enumerate(BASE_LINES):
        for index, (start, text) in enumerate(tokens(line)):
            if text in ",=+)}]":
                out.line(f"twice-{number}-{index:02}",
                         line[:start] + text + MARK + text + line[start + 1:], f"'{text}'")


def swapped_brackets(out):
    """A closing bracket of another kind."""
    for number, line in enumerate(BASE_LINES):
        for index, (start, text) in enumerate(tokens(line)):
            if text in ")}]":
                other = {")": "}", "}": "]", "]": ")"}[text]
                out.line(f"bracket-{number}-{index:02}", line[:start] + MARK + other + line[start + 1:],
                         f"'{other}'")


def control_bytes(out):
    """Bytes that no text has: between tokens, in a comment, in a string."""
    for byte in [0, 1, 7, 8, 11, 12, 13, 27, 127]:
        shown = "carriage return" if byte == 13 else f"0x{byte:02x}"
        char = chr(byte)
        out.line(f"byte-{byte:02x}-between", f"close({MARK}{char}c0) = 0", shown)
        out.line(f"byte-{byte:02x}-comment", f"# a{MARK}{char}b", shown)
        out.line(f"byte-{byte:02x}-behind", f"close(c0) = 0 # a{MARK}{char}b", shown)
        out.line(f"byte-{byte:02x}-string", f'open("/dev{MARK}{char}") = 0', f"0x{byte:02x}")
        out.line(f"byte-{byte:02x}-start", f"{MARK}{char}", shown)
    for byte in [0x80, 0xa0, 0xff]:
        out.line(f"byte-{byte:02x}-between", f"close({MARK}{chr(byte)}c0) = 0", f"0x{byte:02x}")
        out.line(f"byte-{byte:02x}-name", f"close(c{MARK}{chr(byte)}0) = 0", f"0x{byte:02x}")
    crlf = (HEADER + "close(c0) = 0\n").replace("\n", "\r\n")
    out.add("crlf", crlf.encode(), 1, 8, "carriage return")
    out.line("crlf-later", f"close(c0) = 0{MARK}\r", "carriage return")
    out.line("crlf-blank", f"{MARK}\r", "carriage return")
    out.add("utf16", ("\ufeff" + HEADER).encode("utf-16-le"), 1, 1, "trace 1")
    out.add("utf8-mark", ("\ufeff" + HEADER).encode(), 1, 1, "trace 1")
    out.add("nul-only", b"\0" * 64, 1, 1, "0x00")


VERSIONS = [
    ("empty", MARK, "trace 1", ""),
    ("blank-first", MARK + "\n" + HEADER, "trace 1", ""),
    ("comment-first", MARK + "# hello\n" + HEADER, "trace 1", ""),
    ("indented", MARK + " trace 1", "trace 1", "\n"),
    ("call-first", MARK + "close(c0) = 0", "'close'", "\n"),
    ("other-word", MARK + "traces 1", "'traces'", "\n"),
    ("glued", MARK + "trace1", "'trace1'", "\n"),
    ("upper", MARK + "TRACE 1", "'TRACE'", "\n"),
    ("no-number", "trace" + MARK, "version", "\n"),
    ("no-number-eof", "trace" + MARK, "version", ""),
    ("word", "trace " + MARK + "one", "'one'", "\n"),
    ("negative", "trace " + MARK + "-1", "'-'", "\n"),
    ("zero", "trace " + MARK + "0", "version 0", "\n"),
    ("two", "trace " + MARK + "2", "version 2", "\n"),
    ("ten", "trace " + MARK + "10", "version 10", "\n"),
    ("leading-zero", "trace " + MARK + "01", "version 01", "\n"),
    ("huge", "trace " + MARK + "18446744073709551617", "version 18446744073709551617", "\n"),
    ("hex", "trace " + MARK + "0x1", "version 0", "\n"),
    ("dotted", "trace 1" + MARK + ".1", "'.'", "\n"),
    ("trailing", "trace 1 " + MARK + "strict", "'strict'", "\n"),
    ("glued-word", "trace 1" + MARK + "x", "'x'", "\n"),
    ("later", HEADER + "trace " + MARK + "1", "'1'", "\n"),
]

DEVICES = [
    ("no-name", "device" + MARK, "name of a device"),
    ("number", "device " + MARK + "0", "'0'"),
    ("string", "device " + MARK + '"d0"', "'\"'"),
    ("bdf", "device " + MARK + "0000:00:01.0", "'0000'"),
    ("two-names", "device d0 " + MARK + "d1", "'d1'"),
    ("comma", "device d0" + MARK + ", d1", "','"),
    ("twice", "device d0\ndevice d1\ndevice " + MARK + "d0", "declared twice"),
    ("twice-comment", "device d0\n# again\ndevice " + MARK + "d0 # d0", "declared twice"),
    ("late", "close(c0) = -1\n" + MARK + "device d0", "before the first call"),
    ("late-script", "close(c0)\n\n" + MARK + "device d0", "before the first call"),
    ("call", "device " + MARK + "(d0)", "'('"),
    ("many", "".join(f"device d{i}\n" for i in range(256)) + "device " + MARK + "d256", "256"),
]


NUMBERS = [
    ("letters", "12ab", "12ab"),
    ("hex-letters", "0x12g", "0x12g"),
    ("hex-empty", "0x", "0x is not a number"),
    ("underscore", "1_000", "1_000"),
    ("octal", "0755", "leading zero"),
    ("zeros", "00", "leading zero"),
    ("decimal-2-64", "18446744073709551616", "does not fit 64 bits"),
    ("decimal-30-digits", "9" * 30, "does not fit 64 bits"),
    ("decimal-wrap", "36893488147419103232", "does not fit 64 bits"),
    ("hex-17-digits", "0x10000000000000000", "does not fit 64 bits"),
    ("hex-65-bits", "0x1ffffffffffffffff", "does not fit 64 bits"),
    ("hex-huge", "0x" + "f" * 400, "does not fit 64 bits"),
    ("decimal-huge", "1" + "0" * 5000, "does not fit 64 bits"),
    ("negative-64-bits", "-9223372036854775809", "does not fit 64 bits"),
    ("negative-hex", "-0x8000000000000001", "does not fit 64 bits"),
    ("negative-max", "-18446744073709551615", "does not fit 64 bits"),
    ("exponent", "1e6", "1e6"),
    ("suffix", "4K", "4K"),
    ("unsigned", "1u", "1u"),
]


def bad_numbers(out):
    """A number that is none, wherever a number may stand."""
    for name, text, message in NUMBERS:
        out.line(f"number-{name}-argument", f"memlock({MARK}{text}) = 0", message)
        out.line(f"number-{name}-field", f"ioctl(c0, X, {{iova={MARK}{text}}}) = 0", message)
        out.line(f"number-{name}-result", f"dup(c0) = {MARK}{text}", message)
        out.line(f"number-{name}-list", f"ioctl(c0, X, {{data=[1 {MARK}{text}]}}) = 0", message)
        if text[0] != "-":
            out.line(f"number-{name}-offset", f"munmap(m0+{MARK}{text}, 1) = 0", message)
            out.line(f"number-{name}-range", f"ioctl(c0, X, {{r=[0x0-{MARK}{text}]}}) = 0", message)
    out.line("number-float", f"memlock(1{MARK}.5) = 0", "'.'")
    out.line("number-plus", f"memlock({MARK}+5) = 0", "'+'")
    out.line("number-minus", f"memlock(-{MARK}) = 0", "')'")
    out.line("number-minus-twice", f"memlock(-{MARK}-5) = 0", "'-'")
    out.line("number-sum", f"memlock(1{MARK}+5) = 0", "'+'")
    out.line("offset-negative", f"munmap(m0+{MARK}-1, 1) = 0", "an offset")
    out.line("offset-name", f"munmap(m0+{MARK}m1, 1) = 0", "'m1'")
    out.line("offset-minus", f"munmap(m0{MARK}-0x10, 1) = 0", "'-'")
    out.line("offset-twice", f"munmap(m0+1{MARK}+1, 1) = 0", "'+'")


LINES = [
    ("escape-unknown", 'open("/dev' + MARK + '\\q") = 0', "unknown escape"),
    ("escape-octal", 'open("/dev' + MARK + '\\012") = 0', "unknown escape"),
    ("escape-end", 'open("/dev' + MARK + '\\', "unknown escape"),
    ("escape-hex-none", 'open("' + MARK + '\\x") = 0', "two hex digits"),
    ("escape-hex-one", 'open("' + MARK + '\\x4") = 0', "two hex digits"),
    ("escape-hex-bad", 'open("' + MARK + '\\x4g") = 0', "two hex digits"),
    ("escape-nul", 'open("' + MARK + '\\x00") = 0', "NUL"),
    ("escape-quote", "open(" + MARK + '"/dev\\") = 0', "not closed"),
    ("string-two-lines", "open(" + MARK + '"/dev/\nvfio") = 0', "not closed"),
    ("string-glued", 'open("/dev"' + MARK + '"/vfio") = 0', "'\"'"),
    ("string-single", "open(" + MARK + "'/dev') = 0", "'''"),
    ("string-result", 'open("/dev") = ' + MARK + '"c0"', "a result"),
    ("string-field-name", 'ioctl(c0, X, {' + MARK + '"a"=1}) = 0', "name of a field"),
    ("field-twice", "ioctl(c0, X, {iova=0x0, size=1, " + MARK + "iova=0x0}) = 0", "field iova"),
    ("field-twice-out", "ioctl(c0, X, {}) = 0 {size=1, " + MARK + "size=1}", "field size"),
    ("field-twice-dots", "ioctl(c0, X, {a.b=1, a=2, a.c=3, " + MARK + "a.b=1}) = 0", "field a.b"),
    ("field-twice-inner", "ioctl(c0, X, {a={b=1}, c={b=1, " + MARK + "b=1}}) = 0", "field b"),
    ("field-dot-first", "ioctl(c0, X, {" + MARK + ".a=1}) = 0", "'.'"),
    ("field-dot-last", "ioctl(c0, X, {a." + MARK + "=1}) = 0", "'='"),
    ("field-dots", "ioctl(c0, X, {a." + MARK + ".b=1}) = 0", "'.'"),
    ("field-number", "ioctl(c0, X, {" + MARK + "1=1}) = 0", "'1'"),
    ("field-colon", "ioctl(c0, X, {a" + MARK + ":1}) = 0", "':'"),
    ("field-no-value", "ioctl(c0, X, {a=" + MARK + ", b=1}) = 0", "a value"),
    ("field-no-comma", "ioctl(c0, X, {a=1 " + MARK + "b=1}) = 0", "'b'"),
    ("field-comma-last", "ioctl(c0, X, {a=1, " + MARK + "}) = 0", "name of a field"),
    ("field-comma-first", "ioctl(c0, X, {" + MARK + ", a=1}) = 0", "name of a field"),
    ("field-name-alone", "ioctl(c0, X, {a" + MARK + "}) = 0", "'}'"),
    ("field-range", "ioctl(c0, X, {a=0x0" + MARK + "-0xfff}) = 0", "'-'"),
    ("argument-comma-last", "ioctl(c0, X, " + MARK + ") = 0", "an argument"),
    ("argument-comma-first", "ioctl(" + MARK + ", X) = 0", "a value"),
    ("argument-no-comma", "ioctl(c0 " + MARK + "X) = 0", "'X'"),
    ("argument-semicolon", "ioctl(c0" + MARK + "; X) = 0", "';'"),
    ("argument-errno", "ioctl(c0, " + MARK + "-EINVAL) = 0", "only a result"),
    ("argument-range", "mmap(0x0" + MARK + "-0xfff) = m0", "'-'"),
    ("arguments-nine", "x(1, 2, 3, 4, 5, 6, 7, 8, " + MARK + "9) = 0", "more than 8 arguments"),
    ("list-comma", "ioctl(c0, X, {data=[1" + MARK + ", 0]}) = 0", "','"),
    ("list-errno", "ioctl(c0, X, {data=[1 " + MARK + "-EINVAL]}) = 0", "only a result"),
    ("list-odd-hex", "pwrite(v0, 0, [" + MARK + "0a1]) = 1", "0a1"),
    ("list-hex-blank", "pwrite(v0, 0, [" + MARK + "0a 01]) = 2", "0a"),
    ("list-range-open", "ioctl(c0, X, {r=[0x0-" + MARK + " 0x1]}) = 0", "end of the range"),
    ("list-range-names", "ioctl(c0, X, {r=[a" + MARK + "-b]}) = 0", "'-'"),
    ("list-range-negative", "ioctl(c0, X, {r=[-1" + MARK + "-5]}) = 0", "'-'"),
    ("list-range-three", "ioctl(c0, X, {r=[0x0-0x1" + MARK + "-0x2]}) = 0", "'-'"),
    ("list-glued", 'ioctl(c0, X, {r=["a"' + MARK + '"b"]}) = 0', "a blank"),
    ("errno-unknown", "close(c0) = " + MARK + "-EWHAT", "-EWHAT"),
    ("errno-alias", "close(c0) = " + MARK + "-EWOULDBLOCK", "-EWOULDBLOCK"),
    ("errno-lower", "close(c0) = " + MARK + "-einval", "-einval"),
    ("errno-word", "close(c0) = " + MARK + "-x", "-x"),
    ("errno-prefix", "close(c0) = " + MARK + "-EINVA", "-EINVA"),
    ("errno-longer", "close(c0) = " + MARK + "-EINVALID", "-EINVALID"),
    ("errno-just-e", "close(c0) = " + MARK + "-E", "-E"),
    ("errno-blank", "close(c0) = -" + MARK + " EINVAL", "' '"),
    ("errno-message", "close(c0) = -EINVAL " + MARK + "(Invalid argument)", "'('"),
    ("result-offset", "mmap(1) = " + MARK + "m0+0x10", "without an offset"),
    ("result-list", "pread(v0, 0, 2) = " + MARK + "[1 0]", "bytes"),
    ("result-odd", "pread(v0, 0, 2) = " + MARK + "[abc]", "bytes"),
    ("result-struct", "close(c0) = " + MARK + "{a=1}", "a result"),
    ("result-question", "close(c0) = " + MARK + "?", "'?'"),
    ("result-twice", "close(c0) = 0 " + MARK + "0", "'0'"),
    ("result-word", "close(c0) " + MARK + "0", "'0'"),
    ("result-arrow", "close(c0) " + MARK + "-> 0", "'-'"),
    ("out-empty", "close(c0) = 0 " + MARK + "{}", "empty braces"),
    ("out-no-result", "close(c0) " + MARK + "{a=1}", "'{'"),
    ("out-twice", "close(c0) = 0 {a=1} " + MARK + "{b=1}", "'{'"),
    ("out-list", "close(c0) = 0 " + MARK + "[00]", "'['"),
    ("call-number", MARK + "5(c0) = 0", "'5'"),
    ("call-string", MARK + '"close"(c0) = 0', "a call"),
    ("call-no-bracket", "close " + MARK + "c0 = 0", "'c0'"),
    ("call-word", "close" + MARK, '"("'),
    ("call-dotted", "vfio" + MARK + ".close(c0) = 0", "'.'"),
    ("call-nested", "close(dup" + MARK + "(c0)) = 0", "'('"),
    ("comment-slashes", MARK + "// close", "'/'"),
    ("unicode-minus", "close(c0) = " + MARK + "\u00ad1", "0xad"),
]


def sizes(out):
    """Lines, structs and nests beyond the limits, and big ones that end in a plain error."""
    limit = 1 << 20
    line = "# " + "x" * (limit - 2)
    out.line("long-comment", line + MARK + "x", "longer than 1048576")
    line = 'open("' + "a" * (limit - len('open("'))
    out.line("long-string", line + MARK + 'a") = 0', "longer than 1048576")
    out.line("long-blanks", " " * limit + MARK + " ", "longer than 1048576")
    out.line("big-word", "a" * 70000 + MARK + "@", "'@'")
    out.line("big-list", "x([" + "1 " * 100000 + MARK + "@]) = 0", "'@'")
    out.line("big-bytes", "pwrite(v0, 0, [" + MARK + "0a" * 100000 + "f]) = 1", "is not a number")
    out.line("big-unclosed", "x(" + MARK + '"' + "a" * 300000, "not closed")
    fields = ", ".join(f"f{i}=1" for i in range(128))
    out.line("many-fields", "x({" + fields + ", " + MARK + "last=1}) = 0", "more than 128 fields")
    out.line("many-out-fields", "x() = 0 {" + fields + ", " + MARK + "last=1}", "more than 128")
    for name, opening in (("lists", "["), ("structs", "{a=")):
        for depth in (9, 10, 1000, 100000):
            text = opening * 8 + MARK + opening * (depth - 8)
            out.line(f"deep-{name}-{depth}", "x(" + text, "more than 8")
    out.line("deep-mixed", "x(" + "[{a=" * 4 + MARK + "[]", "more than 8")
    lines = "close(c0) = -EBADF\n" * 20000
    out.line("late-line", lines + "close(c0) = " + MARK + "-EBADFX", "-EBADFX")
    out.line("late-text", "# note\n\n" * 20000 + MARK + "@", "'@'")


def tables(out):
    for name, text, message, end in VERSIONS:
        out.marked(f"version-{name}", text, message, end)
    for name, text, message in DEVICES:
        out.line(f"device-{name}", text, message)
    for name, text, message in LINES:
        out.line(name, text, message)


@fixture("malformed-traces")
def malformed_traces(directory):
    """traces with one mistake each, and index.tsv with the place and words of each error"""
    out = Malformed(directory, ".trace", HEADER)
    for part in (truncations, garbage_tokens, doubled_punctuation, swapped_brackets, control_bytes,
                 bad_numbers, tables, sizes):
        part(out)
    return out.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="fixture", required=True)
    for name, function in FIXTURES.items():
        command = commands.add_parser(name, help=function.__doc__)
        command.add_argument("directory", type=Path, metavar="DIR", help="created if missing")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    count = FIXTURES[arguments.fixture](arguments.directory)
    print(f"{arguments.fixture}: {count} files in {arguments.directory}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
