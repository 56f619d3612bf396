/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports of a replay in four formats.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "report.h"
#include "report_text.h"

int report_format_by_name(const char *name, enum report_format *format)
{
	static const char *const names[] = {
		[REPORT_HUMAN] = "human",
		[REPORT_KTAP] = "ktap",
		[REPORT_JUNIT] = "junit",
		[REPORT_JSON] = "json",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i], name)) {
			*format = (enum report_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

static size_t count_passed(const struct replay_result *results, size_t count)
{
	size_t passed = 0;

	for (size_t i = 0; i < count; i++)
		passed += results[i].passed;
	return passed;
}

/* ---- people ---- */

/* Recordings of one kind share the part of their name before the number. */
static size_t kind_length(const char *path)
{
	const char *base = strrchr(path, '/');
	size_t len;

	base = base ? base + 1 : path;
	len = strcspn(base, ".");
	while (len && strchr("0123456789", base[len - 1]))
		len--;
	while (len && base[len - 1] == '-')
		len--;
	return (size_t)(base - path) + len;
}

static bool same_kind(const char *a, const char *b)
{
	size_t len = kind_length(a);

	return len == kind_length(b) && !strncmp(a, b, len);
}

static void print_kinds(FILE *to, const struct replay_result *results, size_t count)
{
	size_t first = 0;

	fprintf(to, "%-24s %8s %8s %10s\n", "recordings", "passed", "failed", "calls");
	for (size_t i = 0; i < count; first = i) {
		const char *base = strrchr(results[i].path, '/');
		size_t passed = 0, calls = 0;
		int len;

		base = base ? base + 1 : results[i].path;
		len = (int)(kind_length(results[i].path) - (size_t)(base - results[i].path));
		for (; i < count && same_kind(results[first].path, results[i].path); i++) {
			passed += results[i].passed;
			calls += results[i].calls;
		}
		fprintf(to, "%-24.*s %8zu %8zu %10zu\n", len ? len : 1, len ? base : "-", passed,
			i - first - passed, calls);
	}
}

static void report_human(FILE *to, bool verbose, const struct replay_result *results, size_t count)
{
	size_t passed = count_passed(results, count);

	for (size_t i = 0; i < count; i++) {
		if (results[i].text)
			fputs(results[i].text, to);
		if (verbose)
			fprintf(to, "%s %s (%u calls)\n", results[i].passed ? "pass" : "FAIL",
				results[i].path, results[i].calls);
	}
	if (count > 1)
		print_kinds(to, results, count);
	fprintf(to, "%zu passed, %zu failed\n", passed, count - passed);
}

/* ---- KTAP ---- */

static void report_ktap(FILE *to, const struct replay_result *results, size_t count)
{
	fprintf(to, "KTAP version 1\n1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		report_ktap_comment(to, results[i].text);
		fprintf(to, "%sok %zu ", results[i].passed ? "" : "not ", i + 1);
		report_ktap_name(to, results[i].path);
	}
}

/* ---- JUnit ---- */

static void report_junit(FILE *to, const struct replay_result *results, size_t count)
{
	size_t failed = count - count_passed(results, count);

	fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	fprintf(to, "<testsuites tests=\"%zu\" failures=\"%zu\">\n", count, failed);
	fprintf(to, "  <testsuite name=\"vfake replay\" tests=\"%zu\" failures=\"%zu\">\n", count,
		failed);
	for (size_t i = 0; i < count; i++) {
		fputs("    <testcase name=\"", to);
		report_xml(to, results[i].path);
		if (results[i].passed) {
			fputs("\"/>\n", to);
			continue;
		}
		fprintf(to, "\"><failure message=\"%u calls differ\">", results[i].mismatches);
		report_xml(to, results[i].text ? results[i].text : "");
		fputs("</failure></testcase>\n", to);
	}
	fputs("  </testsuite>\n</testsuites>\n", to);
}

/* ---- JSON ---- */

static void report_json(FILE *to, const struct replay_result *results, size_t count)
{
	size_t passed = count_passed(results, count);
	json_t *files = json_array();
	json_t *root;

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			files, json_pack("{s:o, s:b, s:I, s:I, s:o}", "file",
					 report_json_text(results[i].path, strlen(results[i].path)),
					 "passed", (int)results[i].passed, "calls",
					 (json_int_t)results[i].calls, "mismatches",
					 (json_int_t)results[i].mismatches, "messages",
					 report_json_lines(results[i].text)));
	root = json_pack("{s:I, s:I, s:o}", "passed", (json_int_t)passed, "failed",
			 (json_int_t)(count - passed), "files", files);
	json_dumpf(root, to, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	fputc('\n', to);
	json_decref(root);
}

void report_results(FILE *to, enum report_format format, bool verbose,
		    const struct replay_result *results, size_t count)
{
	switch (format) {
	case REPORT_HUMAN:
		report_human(to, verbose, results, count);
		break;
	case REPORT_KTAP:
		report_ktap(to, results, count);
		break;
	case REPORT_JUNIT:
		report_junit(to, results, count);
		break;
	case REPORT_JSON:
		report_json(to, results, count);
		break;
	}
}
