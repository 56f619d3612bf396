/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A C source in pieces (harness/source.h): which there are, what is left without one, and that no
 * text, whole or cut off anywhere, is too much for the reader.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "source.h"

/* A bit of everything that a story has. */
static const char story[] =
	"/* SPDX-License-Identifier: BSD-2-Clause */\n"
	"#include \"story.h\"\n"
	"\n"
	"#define TWICE(x) \\\n"
	"\t((x) + (x))\n"
	"enum { MIB = 1 << 20, KIB };\n"
	"\n"
	"// one line\n"
	"static struct thing {\n"
	"\tint a;\n"
	"\tchar b[2];\n"
	"} things[] = { { .a = 1 }, { .b = \"}\" } }, *last;\n"
	"\n"
	"static int helper(int a, char *const *b) /* why */\n"
	"{\n"
	"\tint x = TWICE(a), *y = &x;\n"
	"\tfor (int i = 0; i < 2; i++) {\n"
	"\t\tx += i;\n"
	"\t\tif (x)\n"
	"\t\t\tcontinue;\n"
	"\t}\n"
	"\tif (a == ')')\n"
	"\t\treturn *y;\n"
	"\telse\n"
	"\t\ta--;\n"
	"\tdo {\n"
	"\t\ta--;\n"
	"\t} while (a > 0);\n"
	"\tswitch (a) {\n"
	"\tcase MIB:\n"
	"\t\treturn (struct thing){ .a = 1 }.a;\n"
	"\tdefault:\n"
	"\t\tgoto out;\n"
	"\t}\n"
	"out:\n"
	"\tFOR_EACH (a, things) {\n"
	"\t\ta = 0;\n"
	"\t}\n"
	"\treturn 0;\n"
	"}\n"
	"\n"
	"const struct story story_one = { .name = \"one \\\" two\", .run = helper };\n";

static struct source *read_bytes(const char *text, size_t size)
{
	struct source *source = NULL;

	assert_int_equal(source_read_text(text, size, &source), 0);
	return source;
}

/* What is left without a piece, or with its inner part only; NONE: all. The caller frees it. */
enum { NONE = UINT32_MAX };

static char *rest_of(const struct source *source, uint32_t gone, uint32_t bare)
{
	bool *out = calloc(source->piece_count + 1, sizeof(*out));
	bool *naked = calloc(source->piece_count + 1, sizeof(*naked));
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	assert_true(out && naked && to);
	if (gone != NONE)
		out[gone] = true;
	if (bare != NONE)
		naked[bare] = true;
	assert_int_equal(source_write(source, out, naked, to), 0);
	assert_int_equal(fclose(to), 0);
	free(out);
	free(naked);
	return text;
}

/* The outermost piece that begins so. */
static uint32_t piece_of(const struct source *source, const char *begins)
{
	for (uint32_t i = 0; i < source->piece_count; i++) {
		if (!strncmp(source->text + source->pieces[i].range.start, begins, strlen(begins)))
			return i;
	}
	fail_msg("no piece begins with %s", begins);
	return NONE;
}

static void expect_without(const char *text, const char *begins, const char *rest)
{
	struct source *source = read_bytes(text, strlen(text));
	char *got = rest_of(source, piece_of(source, begins), NONE);

	assert_string_equal(got, rest);
	free(got);
	source_free(source);
}

static void expect_bare(const char *text, const char *begins, const char *rest)
{
	struct source *source = read_bytes(text, strlen(text));
	char *got = rest_of(source, NONE, piece_of(source, begins));

	assert_string_equal(got, rest);
	free(got);
	source_free(source);
}

/* ---- what there is ---- */

static void nothing_gone_is_the_text(void **state)
{
	struct source *source = read_bytes(story, strlen(story));
	char *rest = rest_of(source, NONE, NONE);

	(void)state;
	assert_string_equal(rest, story);
	free(rest);
	source_free(source);
}

static void definitions_go(void **state)
{
	(void)state;
	expect_without("int a;\n\nint b;\n", "int a", "int b;\n");
	expect_without("#define A \\\n\t1\nint b;\n", "#define", "int b;\n");
	expect_without("int f(void);\nint f(void)\n{\n\tg();\n}\nint b;\n", "int f(void)\n",
		       "int f(void);\nint b;\n");
	expect_without("/* x */\nint b; // y\n", "// y", "/* x */\nint b;\n");
	expect_without("struct a {\n\tint b;\n} c;\nint d;\n", "struct a", "int d;\n");
}

static void statements_go(void **state)
{
	(void)state;
	expect_without("int f(void)\n{\n\ta();\n\n\tb();\n}\n", "a()",
		       "int f(void)\n{\n\tb();\n}\n");
	expect_without("int f(void)\n{\n\tif (a)\n\t\tb();\n\telse\n\t\tc();\n}\n", "else",
		       "int f(void)\n{\n\tif (a)\n\t\tb();\n}\n");
	expect_without("int f(void)\n{\n\tx: a(); b();\n}\n",
		       "x:", "int f(void)\n{\n\ta(); b();\n}\n");
	expect_without("int f(void)\n{\n\tdo\n\t\ta();\n\twhile (b);\n\tc();\n}\n", "do",
		       "int f(void)\n{\n\tc();\n}\n");
	expect_without("int f(void)\n{\n\tLIST (a) {\n\t\tb();\n\t}\n\tc();\n}\n", "LIST",
		       "int f(void)\n{\n\tc();\n}\n");
}

static void items_go(void **state)
{
	(void)state;
	expect_without("int a[] = { 1, f(2, 3), 4 };\n", "f(2", "int a[] = { 1, 4 };\n");
	expect_without("struct a b = { .c = 1,\n\t       .d = { 2 } };\n", ".c",
		       "struct a b = {\n\t       .d = { 2 } };\n");
	expect_without("int a = 1, *b = &a, c;\n", ", *b", "int a = 1, c;\n");
	expect_without("enum { A, B = 2 };\n", "B", "enum { A, };\n");
	expect_without("int f(void)\n{\n\tg((struct a){ .b = 1, .c = 2 });\n}\n", ".b",
		       "int f(void)\n{\n\tg((struct a){ .c = 2 });\n}\n");
	/* Arguments cannot: what they are to a function is their order. */
	expect_without("int f(void)\n{\n\tg(a, b);\n}\n", "g(", "int f(void)\n{\n}\n");
}

static void what_is_around_goes(void **state)
{
	(void)state;
	expect_bare("int f(void)\n{\n\tfor (;;) {\n\t\ta();\n\t\tb(c,\n\t\t  d);\n\t}\n}\n", "for",
		    "int f(void)\n{\n\ta();\n\tb(c,\n\t  d);\n}\n");
	expect_bare("int f(void)\n{\n\tif (a)\n\t\tb();\n\telse\n\t\tc();\n}\n", "if",
		    "int f(void)\n{\n\tb();\n}\n");
	expect_bare("int f(void)\n{\n\t{\n\t\tb();\n\t}\n}\n", "{\n\t\tb",
		    "int f(void)\n{\n\tb();\n}\n");
}

/* ---- flags and names ---- */

static void some_go_with_others_only(void **state)
{
	struct source *source = read_bytes(story, strlen(story));

	(void)state;
	assert_true(source->pieces[piece_of(source, "/* SPDX")].fixed);
	assert_false(source->pieces[piece_of(source, "/* why")].fixed);
	assert_true(source->pieces[piece_of(source, "/* why")].comment);
	assert_true(source->pieces[piece_of(source, "return *y")].fixed);
	assert_false(source->pieces[piece_of(source, "x += i")].fixed);
	assert_true(source->pieces[piece_of(source, "static int helper")].function);
	assert_false(source->pieces[piece_of(source, "static struct thing")].function);
	assert_int_equal(source->pieces[piece_of(source, "static int helper")].inner.end, 0);
	source_free(source);
}

static bool declares(const struct source *source, const char *name, const char *begins)
{
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];

		if (word->declares && source_is(source, word->range, name))
			return word->piece == piece_of(source, begins);
	}
	return false;
}

static void names_are_declared(void **state)
{
	static const char *const names[][2] = {
		{ "TWICE", "#define" }, { "MIB", "MIB" },
		{ "KIB", "KIB" },	{ "thing", "static struct thing" },
		{ "last", ", *last" },	{ "helper", "static int helper" },
		{ "x", "int x" },	{ "y", ", *y" },
		{ "i", "for" },		{ "story_one", "const" },
	};
	struct source *source = read_bytes(story, strlen(story));

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!declares(source, names[i][0], names[i][1]))
			fail_msg("%s is not declared by %s", names[i][0], names[i][1]);
	}
	assert_false(declares(source, "a", "a--"));
	assert_false(declares(source, "helper", ".run"));
	source_free(source);
}

static void members_are_no_names(void **state)
{
	static const char text[] = "int f(void)\n{\n\ta.b = c->d - e;\n\tg(.5);\n}\n";
	struct source *source = read_bytes(text, strlen(text));
	uint32_t members = 0;

	(void)state;
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];

		members += word->member;
		assert_int_equal(word->member, source_is(source, word->range, "b") ||
						       source_is(source, word->range, "d"));
	}
	assert_int_equal(members, 2);
	source_free(source);
}

/* ---- any text ---- */

/* Pieces are a tree in the order of the text, and words lie in their pieces. */
static void expect_tree(const struct source *source)
{
	for (uint32_t i = 0; i < source->piece_count; i++) {
		const struct source_piece *piece = &source->pieces[i];
		const struct source_piece *parent;

		assert_true(piece->range.start <= piece->range.end);
		assert_true(piece->range.end <= source->size);
		assert_true(piece->next > i && piece->next <= source->piece_count);
		assert_true(piece->inner.start <= piece->inner.end);
		if (piece->inner.end) {
			assert_true(piece->inner.start >= piece->range.start);
			assert_true(piece->inner.end <= piece->range.end);
		}
		if (i)
			assert_true(piece->range.start >= source->pieces[i - 1].range.start);
		if (piece->parent == SOURCE_NO_PIECE)
			continue;
		parent = &source->pieces[piece->parent];
		assert_true(piece->parent < i && i < parent->next && piece->next <= parent->next);
		assert_true(piece->range.start >= parent->range.start);
		assert_true(piece->range.end <= parent->range.end);
	}
	for (uint32_t i = 0; i < source->word_count; i++) {
		const struct source_word *word = &source->words[i];
		const struct source_piece *piece = &source->pieces[word->piece];

		assert_true(word->piece < source->piece_count);
		assert_true(word->range.start >= piece->range.start);
		assert_true(word->range.end <= piece->range.end);
	}
}

static void expect_sound(const char *text, size_t size)
{
	struct source *source = read_bytes(text, size);

	expect_tree(source);
	for (uint32_t i = (uint32_t)size % 16; i < source->piece_count; i += 16)
		free(rest_of(source, i, i));
	source_free(source);
}

static void cut_off_anywhere(void **state)
{
	(void)state;
	for (size_t size = 0; size <= strlen(story); size++) {
		expect_sound(story, size);
		expect_sound(story + size, strlen(story) - size);
	}
}

static void without_any_byte(void **state)
{
	char text[sizeof(story)];

	(void)state;
	for (size_t at = 0; at < strlen(story); at++) {
		memcpy(text, story, at);
		memcpy(text + at, story + at + 1, strlen(story) - at);
		expect_sound(text, strlen(story) - 1);
		text[at] = '\0';
		memcpy(text + at + 1, story + at + 1, strlen(story) - at);
		expect_sound(text, strlen(story));
	}
}

static void nested_deep(void **state)
{
	static const char *const rows[] = { "{",	"(",   "[",   "({",    "f({",  "if (a) ",
					    "else ",	"do ", "{if", "a = {", "x: {", "for (",
					    "int f(){", "}",   ")",   "case ", "#",    "/*" };
	enum { TIMES = 20000 };
	char *text = malloc(16 * TIMES);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct source *source;
		size_t len = strlen(rows[i]), head = strlen("int f(void) {");

		memcpy(text, "int f(void) {", head);
		for (size_t k = 0; k < TIMES; k++)
			memcpy(text + head + k * len, rows[i], len);
		source = read_bytes(text, head + TIMES * len);
		expect_tree(source);
		free(rest_of(source, NONE, NONE));
		source_free(source);
	}
	free(text);
}

static void files_that_are_none(void **state)
{
	struct source *source, *again;
	int fd = memfd_create("source", 0);
	char path[64];

	(void)state;
	assert_int_equal(source_read("/nowhere/x.c", &source), -ENOENT);
	assert_int_equal(source_read("/", &source), -EISDIR);
	assert_int_equal(ftruncate(fd, SOURCE_MAX_BYTES + 1), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(source_read(path, &source), -EFBIG);
	assert_int_equal(ftruncate(fd, SOURCE_MAX_BYTES), 0);
	assert_int_equal(pwrite(fd, story, strlen(story), 0), (ssize_t)strlen(story));
	assert_int_equal(source_read(path, &source), 0);
	assert_int_equal(source->size, SOURCE_MAX_BYTES);
	assert_int_equal(source_read_text(source->text, (size_t)SOURCE_MAX_BYTES + 1, &again),
			 -EFBIG);
	source_free(source);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_gone_is_the_text),
		cmocka_unit_test(definitions_go),
		cmocka_unit_test(statements_go),
		cmocka_unit_test(items_go),
		cmocka_unit_test(what_is_around_goes),
		cmocka_unit_test(some_go_with_others_only),
		cmocka_unit_test(names_are_declared),
		cmocka_unit_test(members_are_no_names),
		cmocka_unit_test(cut_off_anywhere),
		cmocka_unit_test(without_any_byte),
		cmocka_unit_test(nested_deep),
		cmocka_unit_test(files_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
