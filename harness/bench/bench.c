/* SPDX-License-Identifier: BSD-2-Clause */
#include "bench.h"

#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	TEXT_BYTES = 64,
};

struct bench_value {
	char table[TEXT_BYTES];
	char row[TEXT_BYTES];
	char column[TEXT_BYTES];
	double value;
};

struct bench_text {
	char text[256];
};

struct bench_goal {
	char what[TEXT_BYTES];
	char unit[8];
	double goal;
	double got;
	bool at_least;
};

uint64_t bench_cpu_ns(void)
{
	struct timespec now;

	bench_require(!clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), "read the thread's CPU clock");
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_draw(uint64_t *seed)
{
	uint64_t x = (*seed += 0x9e3779b97f4a7c15ULL);

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

void bench_shuffle(uint32_t *order, size_t n, uint64_t *seed)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = (size_t)(bench_draw(seed) % (i + 1));

		order[i] = order[j];
		order[j] = (uint32_t)i;
	}
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *value, size_t n)
{
	qsort(value, n, sizeof(value[0]), compare_doubles);
	return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

void *bench_alloc(size_t count, size_t size_bytes)
{
	void *block = calloc(count, size_bytes);

	bench_require(block != NULL, "get memory");
	return block;
}

void bench_settle_heap(void)
{
	void *volatile block;

#ifdef M_TRIM_THRESHOLD
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	mallopt(M_MMAP_THRESHOLD, INT_MAX);
#endif
	block = malloc(1 << 20); /* large enough that its free merges all small blocks */
	free(block);
}

void bench_require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "vfake-bench: could not %s\n", what);
	exit(125);
}

/* One more element at the end of an array of `count`. */
static void *append(void *array, size_t count, size_t size_bytes)
{
	void *grown = realloc(array, (count + 1) * size_bytes);

	bench_require(grown != NULL, "get memory");
	memset((char *)grown + count * size_bytes, 0, size_bytes);
	return grown;
}

void bench_value(struct bench *bench, const char *table, const char *row, const char *column,
		 double value)
{
	struct bench_value *cell;

	bench->value = append(bench->value, bench->value_count, sizeof(*cell));
	cell = &bench->value[bench->value_count++];
	snprintf(cell->table, sizeof(cell->table), "%s", table);
	snprintf(cell->row, sizeof(cell->row), "%s", row);
	snprintf(cell->column, sizeof(cell->column), "%s", column);
	cell->value = value;
}

static void add_goal(struct bench *bench, const char *what, double goal, double got,
		     const char *unit, bool at_least)
{
	struct bench_goal *entry;

	bench->goal = append(bench->goal, bench->goal_count, sizeof(*entry));
	entry = &bench->goal[bench->goal_count++];
	snprintf(entry->what, sizeof(entry->what), "%s", what);
	snprintf(entry->unit, sizeof(entry->unit), "%s", unit);
	entry->goal = goal;
	entry->got = got;
	entry->at_least = at_least;
}

void bench_goal_at_least(struct bench *bench, const char *what, double goal, double got,
			 const char *unit)
{
	add_goal(bench, what, goal, got, unit, true);
}

void bench_goal_at_most(struct bench *bench, const char *what, double goal, double got,
			const char *unit)
{
	add_goal(bench, what, goal, got, unit, false);
}

void bench_note(struct bench *bench, const char *format, ...)
{
	struct bench_text *note;
	va_list args;

	bench->note = append(bench->note, bench->note_count, sizeof(*note));
	note = &bench->note[bench->note_count++];
	va_start(args, format);
	vsnprintf(note->text, sizeof(note->text), format, args);
	va_end(args);
}

void bench_reset(struct bench *bench)
{
	free(bench->note);
	bench->note = NULL;
	bench->note_count = 0;
	free(bench->value);
	free(bench->goal);
	bench->value = NULL;
	bench->goal = NULL;
	bench->value_count = 0;
	bench->goal_count = 0;
}

/* ---- text ---- */

static const struct bench_value *find_cell(const struct bench *bench, const char *table,
					   const char *row, const char *column)
{
	for (size_t i = 0; i < bench->value_count; i++) {
		const struct bench_value *cell = &bench->value[i];

		if (!strcmp(cell->table, table) && (!row || !strcmp(cell->row, row)) &&
		    (!column || !strcmp(cell->column, column)))
			return cell;
	}
	return NULL;
}

static void print_row(const struct bench *bench, const char *table, const char *row)
{
	printf("  %-24s", row ? row : "");
	for (size_t i = 0; i < bench->value_count; i++) {
		const struct bench_value *head = &bench->value[i];
		const struct bench_value *cell;

		if (find_cell(bench, table, NULL, head->column) != head)
			continue;
		cell = find_cell(bench, table, row, head->column);
		if (!row)
			printf(" %11s", head->column);
		else if (cell)
			printf(" %11.1f", cell->value);
		else
			printf(" %11s", "-");
	}
	printf("\n");
}

static void print_table(const struct bench *bench, const char *table)
{
	printf("\n%s\n", table);
	print_row(bench, table, NULL);
	for (size_t i = 0; i < bench->value_count; i++) {
		const struct bench_value *cell = &bench->value[i];

		if (find_cell(bench, table, cell->row, NULL) == cell)
			print_row(bench, table, cell->row);
	}
}

static bool goal_met(const struct bench_goal *goal)
{
	return goal->at_least ? goal->got >= goal->goal : goal->got <= goal->goal;
}

static bool all_goals_met(const struct bench *bench)
{
	bool all = true;

	for (size_t i = 0; i < bench->goal_count; i++)
		all = goal_met(&bench->goal[i]) && all;
	return all;
}

bool bench_print_text(const struct bench *bench, const struct bench_section *section)
{
	printf("%s: %s\n", section->name, section->about);
	printf("median of %u rounds, %s%s\n", bench->rounds,
	       section->clock ? section->clock : "thread CPU time, one process",
	       bench->quick ? " (quick: a smoke run, not a measurement)" : "");
	for (size_t i = 0; i < bench->value_count; i++)
		if (find_cell(bench, bench->value[i].table, NULL, NULL) == &bench->value[i])
			print_table(bench, bench->value[i].table);
	printf("\n");
	for (size_t i = 0; i < bench->goal_count; i++) {
		const struct bench_goal *goal = &bench->goal[i];

		printf("  %-44s goal %s %.1f%s: %.2f%s %s\n", goal->what,
		       goal->at_least ? ">=" : "<=", goal->goal, goal->unit, goal->got, goal->unit,
		       goal_met(goal) ? "met" : "MISSED");
	}
	for (size_t i = 0; i < bench->note_count; i++)
		printf("  %s\n", bench->note[i].text);
	return all_goals_met(bench);
}

/* ---- JSON ---- */

/* The names in a report are plain words: nothing in them needs an escape but these two. */
static void print_string(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('"');
}

static void print_member(const char *name, const char *text)
{
	printf("\"%s\": ", name);
	print_string(text);
	printf(", ");
}

bool bench_print_json(const struct bench *bench, const struct bench_section *section)
{
	printf("{");
	print_member("section", section->name);
	printf("\"quick\": %s, \"rounds\": %u,\n \"values\": [", bench->quick ? "true" : "false",
	       bench->rounds);
	for (size_t i = 0; i < bench->value_count; i++) {
		const struct bench_value *cell = &bench->value[i];

		printf("%s\n  {", i ? "," : "");
		print_member("table", cell->table);
		print_member("row", cell->row);
		print_member("column", cell->column);
		printf("\"value\": %.3f}", cell->value);
	}
	printf("],\n \"goals\": [");
	for (size_t i = 0; i < bench->goal_count; i++) {
		const struct bench_goal *goal = &bench->goal[i];

		printf("%s\n  {", i ? "," : "");
		print_member("what", goal->what);
		print_member("rule", goal->at_least ? "at least" : "at most");
		printf("\"goal\": %.3f, \"got\": %.3f, \"met\": %s}", goal->goal, goal->got,
		       goal_met(goal) ? "true" : "false");
	}
	printf("],\n \"notes\": [");
	for (size_t i = 0; i < bench->note_count; i++) {
		printf("%s\n  ", i ? "," : "");
		print_string(bench->note[i].text);
	}
	printf("]}");
	return all_goals_met(bench);
}
