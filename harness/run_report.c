/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports of stories times backends in four formats.
 */
#include <string.h>

#include <jansson.h>

#include "report_text.h"
#include "run.h"

struct totals {
	size_t passed;
	size_t failed;
	size_t skipped;
};

static struct totals count_all(const struct run_cell *cells, size_t count)
{
	struct totals totals = { 0 };

	for (size_t i = 0; i < count; i++) {
		totals.passed += cells[i].result == RUN_PASSED;
		totals.failed += cells[i].result == RUN_FAILED;
		totals.skipped += cells[i].result == RUN_WAIVED;
	}
	return totals;
}

/* ---- people ---- */

enum { REASONS_MAX = 99, CELL_WIDTH = 8 };

/* The reasons that dashes stand for, each once. */
struct reasons {
	const char *text[REASONS_MAX];
	size_t count;
};

static size_t number_of(struct reasons *reasons, const char *text)
{
	size_t i = 0;

	while (i < reasons->count && strcmp(reasons->text[i], text))
		i++;
	if (i == reasons->count && i < REASONS_MAX)
		reasons->text[reasons->count++] = text;
	return i + 1;
}

static void print_cell(FILE *to, const struct run_cell *cell, struct reasons *reasons)
{
	char text[16] = "";

	switch (cell->result) {
	case RUN_UNSELECTED:
		strcpy(text, ".");
		break;
	case RUN_WAIVED:
		snprintf(text, sizeof(text), "-%zu", number_of(reasons, cell->reason));
		break;
	case RUN_PASSED:
		strcpy(text, "pass");
		break;
	case RUN_FAILED:
		strcpy(text, "FAIL");
		break;
	}
	fprintf(to, " %*s",
		(int)strlen(cell->backend->name) > CELL_WIDTH ? (int)strlen(cell->backend->name)
							      : CELL_WIDTH,
		text);
}

/* A row, when something of it is selected. Returns whether some of it is not. */
static bool print_row(FILE *to, const struct run_cell *row, struct reasons *reasons)
{
	size_t unselected = 0;

	for (size_t i = 0; i < backend_count; i++)
		unselected += row[i].result == RUN_UNSELECTED;
	if (unselected == backend_count)
		return false;
	fprintf(to, "%-26s", row->story->name);
	for (size_t i = 0; i < backend_count; i++)
		print_cell(to, &row[i], reasons);
	fputc('\n', to);
	return unselected;
}

static void print_table(FILE *to, const struct run_cell *cells, size_t count)
{
	struct reasons reasons = { .count = 0 };
	bool dots = false;

	fprintf(to, "%-26s", "story");
	for (size_t i = 0; i < backend_count; i++)
		fprintf(to, " %*s", CELL_WIDTH, backends[i].name);
	fputc('\n', to);
	for (size_t i = 0; i < count; i += backend_count)
		dots |= print_row(to, &cells[i], &reasons);
	if (reasons.count || dots)
		fputc('\n', to);
	for (size_t i = 0; i < reasons.count; i++)
		fprintf(to, "  -%zu  %s\n", i + 1, reasons.text[i]);
	if (dots)
		fputs("  .   not selected\n", to);
	fputc('\n', to);
}

static void report_human(FILE *to, bool verbose, const struct run_cell *cells, size_t count)
{
	struct totals totals = count_all(cells, count);

	for (size_t i = 0; i < count; i++) {
		if (cells[i].result == RUN_FAILED || (verbose && cells[i].result == RUN_PASSED))
			fprintf(to, "%s %s/%s\n", cells[i].text ? "FAIL" : "pass",
				cells[i].story->name, cells[i].backend->name);
		if (cells[i].text)
			fputs(cells[i].text, to);
	}
	print_table(to, cells, count);
	fprintf(to, "%zu passed, %zu failed", totals.passed, totals.failed);
	if (totals.skipped)
		fprintf(to, ", %zu skipped", totals.skipped);
	fputc('\n', to);
}

/* ---- KTAP ---- */

static void report_ktap(FILE *to, const struct run_cell *cells, size_t count)
{
	struct totals totals = count_all(cells, count);
	size_t number = 0;

	fprintf(to, "KTAP version 1\n1..%zu\n", totals.passed + totals.failed + totals.skipped);
	for (size_t i = 0; i < count; i++) {
		if (cells[i].result == RUN_UNSELECTED)
			continue;
		report_ktap_comment(to, cells[i].text);
		fprintf(to, "%sok %zu %s/%s", cells[i].result == RUN_FAILED ? "not " : "", ++number,
			cells[i].story->name, cells[i].backend->name);
		if (cells[i].result == RUN_WAIVED)
			fprintf(to, " # SKIP %s", cells[i].reason);
		fputc('\n', to);
	}
}

/* ---- JUnit ---- */

static void print_case(FILE *to, const struct run_cell *cell)
{
	fprintf(to, "    <testcase classname=\"%s\" name=\"%s\"", cell->backend->name,
		cell->story->name);
	if (cell->result == RUN_WAIVED) {
		fputs("><skipped message=\"", to);
		report_xml(to, cell->reason);
		fputs("\"/></testcase>\n", to);
	} else if (cell->result == RUN_FAILED) {
		fputs("><failure message=\"the story failed\">", to);
		report_xml(to, cell->text ? cell->text : "");
		fputs("</failure></testcase>\n", to);
	} else {
		fputs("/>\n", to);
	}
}

static void report_junit(FILE *to, const struct run_cell *cells, size_t count)
{
	struct totals totals = count_all(cells, count);
	size_t sum = totals.passed + totals.failed + totals.skipped;

	fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	fprintf(to, "<testsuites tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n", sum,
		totals.failed, totals.skipped);
	fprintf(to,
		"  <testsuite name=\"vfake run\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n",
		sum, totals.failed, totals.skipped);
	for (size_t i = 0; i < count; i++) {
		if (cells[i].result != RUN_UNSELECTED)
			print_case(to, &cells[i]);
	}
	fputs("  </testsuite>\n</testsuites>\n", to);
}

/* ---- JSON ---- */

static json_t *json_cell(const struct run_cell *cell)
{
	static const char *const names[] = {
		[RUN_WAIVED] = "skipped",
		[RUN_PASSED] = "passed",
		[RUN_FAILED] = "failed",
	};
	json_t *json = json_pack("{s:s, s:s, s:s}", "story", cell->story->name, "backend",
				 cell->backend->name, "result", names[cell->result]);

	if (cell->reason)
		json_object_set_new(json, "reason", json_string(cell->reason));
	json_object_set_new(json, "messages", report_json_lines(cell->text));
	return json;
}

static void report_json(FILE *to, const struct run_cell *cells, size_t count)
{
	struct totals totals = count_all(cells, count);
	json_t *list = json_array();
	json_t *root;

	for (size_t i = 0; i < count; i++) {
		if (cells[i].result != RUN_UNSELECTED)
			json_array_append_new(list, json_cell(&cells[i]));
	}
	root = json_pack("{s:I, s:I, s:I, s:o}", "passed", (json_int_t)totals.passed, "failed",
			 (json_int_t)totals.failed, "skipped", (json_int_t)totals.skipped, "cells",
			 list);
	json_dumpf(root, to, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	fputc('\n', to);
	json_decref(root);
}

void run_report(FILE *to, enum report_format format, bool verbose, const struct run_cell *cells,
		size_t count)
{
	switch (format) {
	case REPORT_HUMAN:
		report_human(to, verbose, cells, count);
		break;
	case REPORT_KTAP:
		report_ktap(to, cells, count);
		break;
	case REPORT_JUNIT:
		report_junit(to, cells, count);
		break;
	case REPORT_JSON:
		report_json(to, cells, count);
		break;
	}
}
