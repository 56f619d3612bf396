/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text of any bytes in reports that may not hold any bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "report_text.h"

/* ---- KTAP ---- */

/* A "#" in a name would begin a directive, such as SKIP, and a line feed a line. */
void report_ktap_name(FILE *to, const char *name)
{
	for (; *name; name++) {
		if (*name == '#')
			fputc('\\', to);
		fputc((unsigned char)*name < 32 ? '?' : *name, to);
	}
	fputc('\n', to);
}

void report_ktap_comment(FILE *to, const char *text)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");

		fprintf(to, "# %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

/* ---- UTF-8 ---- */

/*
 * The bytes of the character at @text, or 0 where none is: a name of a file may hold any byte, a
 * report may not. Characters that XML does not have count as none.
 */
static size_t utf8_length(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
	uint32_t code = len == 1 ? *at : *at & (0x7fU >> len);
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	if ((*at < 32 && *at != '\n' && *at != '\t') || (*at >= 0x80 && *at < 0xc2) || *at > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
	    code == 0xfffe || code == 0xffff)
		return 0;
	return len;
}

/* ---- XML ---- */

/* Text as XML has it; what XML cannot hold becomes a question mark. */
void report_xml(FILE *to, const char *text)
{
	for (size_t len; *text; text += len ? len : 1) {
		len = utf8_length(text);
		switch (*text) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		default:
			fwrite(len ? text : "?", 1, len ? len : 1, to);
		}
	}
}

/* ---- JSON ---- */

json_t *report_json_text(const char *text, size_t len)
{
	char *clean = strndup(text, len);
	json_t *json = NULL;

	for (size_t i = 0, step; clean && clean[i]; i += step ? step : 1) {
		step = utf8_length(clean + i);
		if (!step)
			clean[i] = '?';
	}
	if (clean)
		json = json_string(clean);
	free(clean);
	return json;
}

json_t *report_json_lines(const char *text)
{
	json_t *lines = json_array();

	while (text && *text) {
		size_t len = strcspn(text, "\n");

		json_array_append_new(lines, report_json_text(text, len));
		text += len + (text[len] == '\n');
	}
	return lines;
}
