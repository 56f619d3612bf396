# SPDX-License-Identifier: BSD-2-Clause
"""Reads C with libclang and writes it again with all its mutants inside, each asleep until its number is called.

A mutant is one small mistake. `a < b` becomes `(vfake_mutant(17) ? (a <= b) : (a < b))`, and `free(x);` becomes
`{ if (!vfake_mutant(18)) { free(x); } }`; vfake_mutant() is in mutant.c. So hundreds of mutants cost one build.

libclang, because it knows the types: a mutant that does not compile would spoil all of the file. Debian 12 and 13 both
have its Python binding, and what is used of it here is the same in both.

No mutants, because they provably change nothing: va_end() dropped, which does nothing here, and false in place of
vfio_fail(), which says false. Whatever else changes nothing has to be found out (same.py) or explained (survivors.py):
nothing is left out for being hard to kill.

What is mutated: statements that are expressions, and jumps (dropped); conditions, and the operands of && and ||
(decided); loops (not entered); comparisons (off by one); arithmetic, numbers in sums, bits; true and false in calls;
calls whose value is used (not made); what a function returns; errnos; members in initializers (left out). What is
not: tables and other constants, text and what is printed in it, what a macro's arguments hold.
"""

import bisect
import os
import re
import sys

try:
    import clang.cindex as cindex
except ImportError:  # another Python than Debian's, which is where the binding is
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        import clang.cindex as cindex
    except ImportError:
        sys.exit("ci/mutants: Python cannot load libclang; install python3-clang")

Kind, Type = cindex.CursorKind, cindex.TypeKind

BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
OTHER = {"+": "-", "-": "+", "*": "+", "/": "*", "%": "/", "<<": ">>", ">>": "<<"}
ASSIGNED = {"+=": "-=", "-=": "+=", "&=": "|=", "<<=": ">>=", ">>=": "<<=", "*=": "+=", "/=": "*="}
COUNTED = {"==", "!=", "+", "-"}  # what a number beside them is one off of; of < and > that is BOUNDARY
WHOLE = {Type.BOOL, Type.CHAR_S, Type.CHAR_U, Type.SCHAR, Type.UCHAR, Type.SHORT, Type.USHORT, Type.INT, Type.UINT,
         Type.LONG, Type.ULONG, Type.LONGLONG, Type.ULONGLONG, Type.ENUM}
JUMPS = {Kind.GOTO_STMT, Kind.BREAK_STMT, Kind.CONTINUE_STMT}
EXPRESSIONS = {Kind.BINARY_OPERATOR, Kind.COMPOUND_ASSIGNMENT_OPERATOR, Kind.UNARY_OPERATOR, Kind.CALL_EXPR}
ERRNO = re.compile(r"-\s*(E[A-Z0-9]{2,})$")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def squeeze(text):
    """One line, comments gone."""
    return re.sub(r"\s+", " ", COMMENT.sub(" ", text)).strip()


class Mutant:
    """A place, what stood there and what stands there instead."""

    def __init__(self, start, end, line, function, what, form, text):
        self.start, self.end, self.line, self.function = start, end, line, function
        self.what, self.form, self.text = what, form, text
        self.file, self.number = None, 0

    def key(self):
        """What it is called in the list of survivors: it stays when lines move."""
        return "%s | %s | %s" % (self.file, self.function, self.what)


class Reader:
    """The mutants of one file."""

    def __init__(self, path, options):
        self.path = path
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.lines = [0] + [i + 1 for i, c in enumerate(self.bytes) if c == 10]
        self.mutants, self.function, self.result = [], None, None
        unit = cindex.Index.create().parse(
            path, options, options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        bad = [d for d in unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
        if bad:
            sys.exit("ci/mutants: %s:%d: libclang says: %s" % (path, bad[0].location.line, bad[0].spelling))
        self.macros = {}
        for node in unit.cursor.get_children():
            if node.kind == Kind.MACRO_INSTANTIATION and self.mine(node):
                start, end = self.span(node)
                self.macros[start] = end
        for node in unit.cursor.get_children():
            if node.kind == Kind.FUNCTION_DECL and node.is_definition() and self.mine(node):
                self.function, self.result = node.spelling, node.result_type.get_canonical().kind
                self.statement(list(node.get_children())[-1])

    # ---- places ----

    def mine(self, node):
        return node.location.file and os.path.samefile(node.location.file.name, self.path)

    @staticmethod
    def span(node):
        return node.extent.start.offset, node.extent.end.offset

    def text(self, node):
        start, end = self.span(node)
        return self.bytes[start:end].decode()

    def is_macro(self, node):
        """Whether all of the node is what one macro becomes."""
        start, end = self.span(node)
        return self.macros.get(start) == end

    def in_macro(self, node):
        """Whether a part of it is inside of a macro and so has no place of its own."""
        start, end = self.span(node)
        return start in self.macros and self.macros[start] > end

    def add(self, start, end, what, form, text):
        line = bisect.bisect_right(self.lines, start)
        self.mutants.append(Mutant(start, end, line, self.function, what, form, text))

    def swap(self, node, text, what=None):
        """Mutates an expression into the text."""
        start, end = self.span(node)
        self.add(start, end, what or "`%s` -> `%s`" % (squeeze(self.text(node)), squeeze(text)), "value", text)

    # ---- statements ----

    def drop(self, node):
        start, end = self.span(node)
        semicolon = self.bytes.index(b";", end)
        if self.bytes[end:semicolon].strip() or self.bytes[start:end].startswith(b"va_end"):
            return  # not a statement by itself after all, or nothing where va_end() does nothing
        self.add(start, semicolon + 1, "drop `%s`" % squeeze(self.text(node)), "statement", "")

    def statement(self, node):
        kind, children = node.kind, list(node.get_children())
        if self.is_macro(node):
            self.drop(node)
        elif kind == Kind.COMPOUND_STMT:
            for child in children:
                self.statement(child)
        elif kind == Kind.DECL_STMT:
            for child in children:
                self.declaration(child)
        elif kind == Kind.IF_STMT:
            self.condition(children[0], "if")
            for child in children[1:]:
                self.statement(child)
        elif kind in (Kind.LABEL_STMT, Kind.CASE_STMT, Kind.DEFAULT_STMT):
            self.statement(children[-1])
        elif kind == Kind.SWITCH_STMT:
            self.value(children[0])
            self.statement(children[-1])
        elif kind in (Kind.WHILE_STMT, Kind.FOR_STMT, Kind.DO_STMT):
            self.loop(node, kind, children)
        elif kind == Kind.RETURN_STMT:
            self.returned(node, children)
        elif kind in JUMPS:
            self.drop(node)
        elif kind in EXPRESSIONS:
            self.drop(node)
            self.value(node, "void")
        elif kind not in (Kind.NULL_STMT, Kind.UNEXPOSED_STMT):
            self.other_statement(node, children)

    def other_statement(self, node, children):
        """An expression in parentheses, a cast to void: look inside."""
        if node.kind in (Kind.PAREN_EXPR, Kind.CSTYLE_CAST_EXPR, Kind.UNEXPOSED_EXPR) and children:
            self.value(children[-1], "void")

    def loop(self, node, kind, children):
        if kind == Kind.DO_STMT:
            self.statement(children[0])
            self.condition(children[1], "while")
            return
        start = self.span(node)[0]
        if start not in self.macros:  # else a macro's loop over a list
            if kind == Kind.WHILE_STMT:
                self.condition(children[0], "while")
            else:
                self.head(node, children[:-1])
        self.statement(children[-1])

    def head(self, node, children):
        """The parts of for (…; …; …), any of which may be missing: which is which is told by the semicolons."""
        start, _ = self.span(node)
        body = self.span(list(node.get_children())[-1])[0]
        depth, semicolons = 0, []
        for place in range(start, body):
            byte = self.bytes[place:place + 1]
            depth += (byte in b"([{") - (byte in b")]}")
            if byte == b";" and depth == 1:
                semicolons.append(place)
        for child in children:
            place = self.span(child)[0]
            if child.kind == Kind.DECL_STMT:
                for one in child.get_children():
                    self.declaration(one)
            elif semicolons[0] < place < semicolons[1]:
                self.condition(child, "for")
            else:
                self.value(child, "void")

    def declaration(self, node):
        if node.kind != Kind.VAR_DECL or node.storage_class == cindex.StorageClass.STATIC:
            return
        children = [c for c in node.get_children() if c.kind.is_expression()]
        start, end = self.span(node)
        if children and re.match(rb"[^=]*\b%s\s*(\[[^]]*\]\s*)*=" % re.escape(node.spelling.encode()),
                                 self.bytes[start:end]):
            self.value(children[-1], "initial")

    def returned(self, node, children):
        if not children:
            self.drop(node)
            return
        value = children[0]
        text = squeeze(self.text(value))
        if self.result == Type.BOOL:
            if text in ("true", "false"):
                self.swap(value, "false" if text == "true" else "true", "return `%s` -> `%s`" %
                          (text, "false" if text == "true" else "true"))
            else:
                # vfio_fail() says false, whatever happens; so false in its place is no mutant.
                fails = text.startswith("vfio_fail(")
                for word in ("true",) if fails else ("false", "true"):
                    self.swap(value, "((void)(%s), %s)" % (self.text(value), word),
                              "return `%s` -> `%s`" % (text, word))
                self.value(value, "decided")
        elif text == "0" and self.result == Type.INT:
            self.swap(value, "-EPROTO", "return `0` -> `-EPROTO`")
        elif self.inner(value).kind == Kind.STRING_LITERAL:
            pass
        elif text not in ("0", "NULL") and (self.result in WHOLE or self.result == Type.POINTER):
            self.swap(value, "((void)(%s), (__typeof__(%s))0)" % (self.text(value), self.text(value)),
                      "return `%s` -> `0`" % text)
            self.value(value)
        else:
            self.value(value)

    # ---- expressions ----

    def inner(self, node):
        """Through what the compiler adds around an expression, to the node that is written there."""
        while node.kind in (Kind.UNEXPOSED_EXPR, Kind.PAREN_EXPR):
            children = list(node.get_children())
            if len(children) != 1 or self.is_macro(node):
                break
            node = children[0]
        return node

    def condition(self, node, word):
        """Decides a condition both ways; of a loop, that it is not entered. Calls in it are made all the same."""
        text = self.text(node)
        if self.in_macro(node):
            return
        for decided in ("1", "0") if word == "if" else ("0",):
            made = "((void)(%s), %s)" % (text, decided) if "(" in text else decided
            self.swap(node, made, "%s `%s` -> `%s`" % (word, squeeze(text), decided))
        self.value(node, "decided")

    def value(self, node, role="plain"):
        """role: plain, counted (beside a comparison or a sum), decided (both outcomes are mutants already), void (not
        used), initial (what something begins with: that it does not is a mutant already)."""
        node = self.inner(node)
        if self.in_macro(node):
            return
        if self.is_macro(node):
            if role != "initial":
                self.constant(node)
            return
        kind = node.kind
        if kind == Kind.BINARY_OPERATOR:
            self.binary(node, role)
        elif kind == Kind.COMPOUND_ASSIGNMENT_OPERATOR:
            self.assigned(node)
        elif kind == Kind.UNARY_OPERATOR:
            self.unary(node, role)
        elif kind == Kind.CALL_EXPR:
            self.call(node, role)
        elif kind == Kind.CONDITIONAL_OPERATOR:
            children = list(node.get_children())
            self.condition(children[0], "if")
            for child in children[1:]:
                self.value(child, "void" if role == "void" else "plain")
        elif kind == Kind.INTEGER_LITERAL and role == "counted":
            self.literal(node)
        elif kind in (Kind.INIT_LIST_EXPR, Kind.COMPOUND_LITERAL_EXPR):
            for child in node.get_children():
                self.member(child)
        elif kind in (Kind.MEMBER_REF_EXPR, Kind.CSTYLE_CAST_EXPR, Kind.ARRAY_SUBSCRIPT_EXPR):
            for child in node.get_children():
                if child.kind.is_expression():
                    self.value(child)

    def binary(self, node, role):
        left, right = node.get_children()
        if self.is_macro(left) and self.span(left) == self.span(right):
            return
        between = self.bytes[self.span(left)[1]:self.span(right)[0]].decode()
        operator = squeeze(between).strip("() ")
        first, second = self.text(left), self.text(right)
        kind = node.type.get_canonical().kind
        if operator == "=":
            self.value(left, "void")
            self.value(right, "initial")
            return
        if operator in ("&&", "||"):
            if role != "decided":
                self.both(node)
            neutral = "1" if operator == "&&" else "0"
            for child in (left, right):
                if not self.in_macro(child):
                    self.swap(child, neutral, "`%s` -> `%s` in `%s`" % (
                        squeeze(self.text(child)), neutral, squeeze(self.text(node))))
                self.value(child, "decided")
            return
        if operator in BOUNDARY:
            self.swap(node, "%s %s %s" % (first, BOUNDARY[operator], second))
            if role != "decided":
                self.both(node)
        elif operator in ("==", "!="):
            if role != "decided":
                self.both(node)
        elif operator in OTHER and all(n.type.get_canonical().kind in WHOLE for n in (node, left, right)):
            self.swap(node, "(%s) %s (%s)" % (first, OTHER[operator], second),
                      "`%s` -> `%s`" % (squeeze(self.text(node)), OTHER[operator]))
        elif operator in ("&", "|", "^") and role != "decided":
            self.swap(node, first)
            if operator == "|":
                self.swap(node, second)
        inside = "counted" if operator in COUNTED else "plain"
        self.value(left, inside)
        self.value(right, inside)

    def both(self, node):
        """A truth that is a value: the other one."""
        self.swap(node, "!(%s)" % self.text(node))

    def assigned(self, node):
        left, right = node.get_children()
        operator = squeeze(self.bytes[self.span(left)[1]:self.span(right)[0]].decode()).strip("() ")
        if operator in ASSIGNED and node.type.get_canonical().kind in WHOLE:
            self.swap(node, "%s %s (%s)" % (self.text(left), ASSIGNED[operator], self.text(right)))
        if operator == "|=":
            self.swap(node, "%s = (%s)" % (self.text(left), self.text(right)))
        self.value(left, "void")
        self.value(right)

    def unary(self, node, role):
        text = self.text(node)
        child = next(node.get_children())
        errno = ERRNO.match(text)
        if errno:
            self.swap(node, "-EPROTO" if errno.group(1) != "EPROTO" else "-EIO")
        elif text.startswith(("++", "--")) or text.endswith(("++", "--")):
            self.value(child, "void")
        elif text[0] in "!~-":
            if text[0] != "!" or role != "decided":
                self.swap(node, "(%s)" % self.text(child))
            self.value(child, "decided" if text[0] == "!" else "plain")
        else:
            self.value(child, "void")

    def call(self, node, role):
        arguments = list(node.get_arguments())
        kind = node.type.get_canonical().kind
        if role != "void" and not node.spelling.startswith("__builtin") and node.spelling != "vfio_fail":
            if kind == Type.BOOL:
                self.swap(node, "true")
            elif kind in WHOLE or kind == Type.POINTER:
                self.swap(node, "((__typeof__(%s))0)" % self.text(node), "`%s` -> `0`" % squeeze(self.text(node)))
        for argument in arguments:
            if self.inner(argument).kind == Kind.STRING_LITERAL:
                break  # what is printed
            self.value(argument)

    def member(self, node):
        """One value of a list in braces: left out."""
        if node.kind == Kind.INIT_LIST_EXPR:
            self.value(node)
            return
        if node.kind == Kind.UNEXPOSED_EXPR and not self.is_macro(node):
            parts = [c for c in node.get_children() if c.kind.is_expression() and c.kind != Kind.MEMBER_REF]
            if parts and self.span(parts[-1]) != self.span(node):
                self.member(parts[-1])
                return
        kind = node.type.get_canonical().kind
        text = squeeze(self.text(node))
        if not self.in_macro(node) and text not in ("0", "NULL", "false", "-1") and \
                (kind in WHOLE or kind == Type.POINTER) and self.inner(node).kind != Kind.CALL_EXPR:
            self.swap(node, "0", "initial `%s` -> `0`" % text)
        if self.inner(node).kind != Kind.INTEGER_LITERAL:
            self.value(node)

    def literal(self, node):
        text = self.text(node)
        digits = text.rstrip("uUlL")
        try:
            number = int(digits, 8 if re.fullmatch(r"0[0-7]+", digits) else 0)
        except ValueError:
            return
        if number < 1 << 31:
            self.swap(node, "%d%s" % (number + 1, text[len(digits):]))

    def constant(self, node):
        """A name that a macro is: true and false only."""
        text = squeeze(self.text(node))
        if text in ("true", "false"):
            self.swap(node, "false" if text == "true" else "true")


# ---- writing ----

class Span:
    """A stretch of the text with the mutants that are exactly there, and the stretches inside of it."""

    def __init__(self, start, end):
        self.start, self.end, self.mutants, self.inside = start, end, [], []


def tree(mutants, size):
    """The spans as a tree. Those that overlap without one holding the other cannot be, and are an error."""
    spans = {}
    for mutant in mutants:
        spans.setdefault((mutant.start, -mutant.end), Span(mutant.start, mutant.end)).mutants.append(mutant)
    root = Span(0, size)
    stack = [root]
    for _, span in sorted(spans.items()):
        while stack[-1].end < span.end or stack[-1].end <= span.start:
            if stack[-1].end > span.start:
                raise ValueError("mutants overlap at %d" % span.start)
            stack.pop()
        stack[-1].inside.append(span)
        stack.append(span)
    return root


def render(span, source):
    parts, place = [], span.start
    for inner in span.inside:
        parts += [source[place:inner.start].decode(), render(inner, source)]
        place = inner.end
    parts.append(source[place:span.end].decode())
    text = "".join(parts)
    for mutant in span.mutants:
        if mutant.form == "statement":
            text = "{ if (!vfake_mutant(%d)) { %s } }" % (mutant.number, text)
        else:
            text = "(vfake_mutant(%d) ? (%s) : (%s))" % (mutant.number, mutant.text, text)
    return text


def mutants_of(path, name, options):
    """All mutants of a file, in the order of its text, with names that differ."""
    reader = Reader(path, options)
    seen = {}
    unique = {(m.start, m.end, m.text, m.form): m for m in reversed(reader.mutants)}
    chosen = sorted(unique.values(), key=lambda m: (m.start, -m.end, m.text))
    for mutant in chosen:
        mutant.file = name
        count = seen[mutant.key()] = seen.get(mutant.key(), 0) + 1
        if count > 1:
            mutant.what += " #%d" % count
    return chosen, reader.bytes


def written(mutants, source, first):
    """The file with its mutants inside, numbered from first."""
    for number, mutant in enumerate(mutants, first):
        mutant.number = number
    text = render(tree(mutants, len(source)), source)
    return '#include "mutant.h"\n#line 1\n' + text
