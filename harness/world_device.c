/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the devices of a world. A device begins as its model, or as a function with no capability
 * and nothing behind it; its other fields then lie over that.
 */
#include <errno.h>
#include <string.h>

#include "world_fields.h"

enum { CONFIG_SIZE_CONVENTIONAL = 256 };

/* ---- configuration space ---- */

int world_read_config_size(const struct world_reader *reader, const struct world_node *node,
			   const struct world_field *field, void *object)
{
	struct vfake_device_desc *desc = object;
	uint64_t value = 0;
	const char *wrong = "is not a number";

	(void)field;
	if (json_is_integer(node->value)) {
		value = (uint64_t)json_integer_value(node->value);
		wrong = NULL;
	} else if (json_is_string(node->value)) {
		wrong = world_parse_number(json_string_value(node->value), &value);
	}
	if (wrong || (value != CONFIG_SIZE_CONVENTIONAL && value != VFAKE_CONFIG_SIZE))
		return world_fail(reader, node, "must be 256 or 4096, the bytes of the space");
	desc->config_size_bytes = (uint32_t)value;
	return 0;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

struct config {
	uint8_t bytes[VFAKE_CONFIG_SIZE];
	bool given[VFAKE_CONFIG_SIZE];
	uint32_t limit; /* bytes that there may be */
	uint32_t end;	/* behind the last byte that was given */
};

/* Pairs of hex digits, with or without blanks between the pairs, from the byte @at on. */
static int put_bytes(const struct world_reader *reader, const struct world_node *node,
		     const char *text, uint32_t at, struct config *config)
{
	for (;; at++, text += 2) {
		int high, low;

		text += strspn(text, " \t\r\n");
		if (!*text)
			return 0;
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return world_fail(reader, node,
					  "byte 0x%x: \"%.2s\" is no byte of two hex digits", at,
					  text);
		if (at >= config->limit)
			return world_fail(reader, node,
					  "byte 0x%x lies behind the %u bytes of the space", at,
					  config->limit);
		if (config->given[at])
			return world_fail(reader, node, "byte 0x%x is there twice", at);
		config->given[at] = true;
		config->bytes[at] = (uint8_t)(high << 4 | low);
		if (at >= config->end)
			config->end = at + 1;
	}
}

/* "040: 05 00 80 00" */
static int put_line(const struct world_reader *reader, const struct world_node *node,
		    struct config *config)
{
	const char *text;
	uint32_t at = 0;
	int digits = 0;
	int ret = world_expect(reader, node, JSON_STRING);

	if (ret)
		return ret;
	text = json_string_value(node->value);
	for (; digits < 3 && hex_digit(text[digits]) >= 0; digits++)
		at = at << 4 | (uint32_t)hex_digit(text[digits]);
	if (!digits || text[digits] != ':')
		return world_fail(reader, node, "a line begins with its offset, as \"040: 05 00\"");
	return put_bytes(reader, node, text + digits + 1, at, config);
}

static int put_config(const struct world_reader *reader, const struct world_node *node,
		      struct config *config)
{
	int ret = 0;

	if (json_is_string(node->value))
		return put_bytes(reader, node, json_string_value(node->value), 0, config);
	if (!json_is_array(node->value))
		return world_fail(reader, node,
				  "must be a string of hex digits or a list of lines");
	for (size_t i = 0; !ret && i < json_array_size(node->value); i++) {
		struct world_node line = { node, NULL, i, json_array_get(node->value, i) };

		ret = put_line(reader, &line, config);
	}
	return ret;
}

int world_read_config(const struct world_reader *reader, const struct world_node *node,
		      const struct world_field *field, void *object)
{
	struct vfake_device_desc *desc = object;
	struct config config = { .limit = desc->config_size_bytes };
	int ret;

	(void)field;
	if (!config.limit)
		config.limit = VFAKE_CONFIG_SIZE;
	ret = put_config(reader, node, &config);
	if (ret)
		return ret;
	for (uint32_t i = 0; i < config.end; i++) {
		if (config.given[i])
			desc->config[i] = config.bytes[i];
	}
	if (!desc->config_size_bytes && config.end > CONFIG_SIZE_CONVENTIONAL)
		desc->config_size_bytes = VFAKE_CONFIG_SIZE;
	return 0;
}

/* ---- BARs ---- */

static int check_bar(const struct world_reader *reader, const struct world_node *node,
		     const struct vfake_bar *bars, size_t index)
{
	const struct vfake_bar *bar = &bars[index];
	const struct world_node size = world_child(node, "size");
	const struct world_node wide = world_child(node, "64bit");

	if (index && bars[index - 1].is_64bit)
		return world_fail(reader, node, "the 64-bit BAR before it takes its register");
	if (bar->size_bytes > UINT32_MAX && !bar->is_64bit)
		return world_fail(reader, &size, "a BAR of 4G or more is 64bit");
	if (bar->is_64bit && bar->io)
		return world_fail(reader, &wide, "a BAR of I/O ports has 32 bits");
	if (bar->is_64bit && index == VFAKE_BARS - 1)
		return world_fail(reader, &wide, "the last BAR has no register after it");
	return 0;
}

int world_read_bars(const struct world_reader *reader, const struct world_node *node,
		    const struct world_field *field, void *object)
{
	struct vfake_device_desc *desc = object;
	int ret = world_expect(reader, node, JSON_ARRAY);

	(void)field;
	memset(desc->bars, 0, sizeof(desc->bars));
	for (size_t i = 0; !ret && i < json_array_size(node->value); i++) {
		struct world_node bar = { node, NULL, i, json_array_get(node->value, i) };
		struct vfake_bar read = { 0 };

		if (i == VFAKE_BARS)
			return world_fail(reader, &bar, "a device has at most %d BARs", VFAKE_BARS);
		if (json_is_null(bar.value))
			continue;
		ret = world_read_object(reader, &bar, &world_object_bar, &read);
		if (ret || !read.size_bytes)
			continue;
		desc->bars[i] = read;
		ret = check_bar(reader, &bar, desc->bars, i);
	}
	return ret;
}

/* ---- the rest ---- */

/* @count hex digits. Returns the text behind them, or NULL. */
static const char *take_hex(const char *text, int count, uint32_t *value)
{
	*value = 0;
	while (text && count--) {
		const int digit = hex_digit(*text);

		*value = *value << 4 | (uint32_t)digit;
		text = digit < 0 ? NULL : text + 1;
	}
	return text;
}

static const char *take_char(const char *text, char wanted)
{
	return text && *text == wanted ? text + 1 : NULL;
}

int world_read_pci_address(const struct world_reader *reader, const struct world_node *node,
			   const struct world_field *field, void *object)
{
	struct vfake_device_desc *desc = object;
	uint32_t segment, bus, slot, function;
	const char *at;
	int ret = world_expect(reader, node, JSON_STRING);

	(void)field;
	if (ret)
		return ret;
	at = take_hex(json_string_value(node->value), 4, &segment);
	at = take_hex(take_char(at, ':'), 2, &bus);
	at = take_hex(take_char(at, ':'), 2, &slot);
	at = take_hex(take_char(at, '.'), 1, &function);
	if (!at || *at || slot > 0x1f || function > 7)
		return world_fail(reader, node, "\"%.40s\" is no PCI address like 0000:00:1f.7",
				  json_string_value(node->value));
	desc->segment = (uint16_t)segment;
	desc->bus = (uint8_t)bus;
	desc->devfn = (uint8_t)(slot << 3 | function);
	return 0;
}

int world_read_behaviour(const struct world_reader *reader, const struct world_node *node,
			 const struct world_field *field, void *object)
{
	struct vfake_device_desc *desc = object;
	int ret = world_expect(reader, node, JSON_STRING);
	const char *name;

	(void)field;
	if (ret)
		return ret;
	for (int i = 0; (name = world_behaviour_name((enum vfake_model)i)); i++) {
		if (!strcmp(name, json_string_value(node->value))) {
			desc->model = (enum vfake_model)i;
			return 0;
		}
	}
	return world_fail(reader, node, "there is no behaviour \"%.40s\"",
			  json_string_value(node->value));
}

/* The device becomes a function with nothing in it, but keeps its numbers. */
static void strip_device(struct vfake_device_desc *desc)
{
	struct vfake_device_desc bare = {
		.group = desc->group,
		.cdev = desc->cdev,
		.segment = desc->segment,
		.bus = desc->bus,
		.devfn = desc->devfn,
	};

	memcpy(bare.name, desc->name, sizeof(bare.name));
	*desc = bare;
}

static int check_names(const struct world_reader *reader, const struct world_node *node,
		       const struct world_node *name, const struct world_node *model)
{
	int ret;

	if (!name->value)
		return world_fail(reader, node, "a device needs a name");
	ret = world_expect(reader, name, JSON_STRING);
	if (!ret && model->value)
		ret = world_expect(reader, model, JSON_STRING);
	if (!ret && !*json_string_value(name->value))
		ret = world_fail(reader, name, "the name is empty");
	return ret;
}

static int start_device(const struct world_reader *reader, const struct world_node *node)
{
	const struct world_node name = world_child(node, "name");
	const struct world_node model = world_child(node, "model");
	struct vfake_world *world = reader->world;
	int ret = check_names(reader, node, &name, &model);

	if (ret)
		return ret;
	ret = vfake_world_add_device(world, json_string_value(name.value),
				     model.value ? json_string_value(model.value) : "plain");
	switch (ret) {
	case 0:
		if (!model.value)
			strip_device(&world->devices[world->device_count - 1]);
		return 0;
	case -ENOENT:
		return world_fail(reader, &model, "there is no model \"%.40s\"",
				  json_string_value(model.value));
	case -EEXIST:
		return world_fail(reader, &name, "another device has this name");
	case -ENAMETOOLONG:
		return world_fail(reader, &name, "a name has at most %d bytes",
				  VFAKE_NAME_SIZE - 1);
	default:
		return world_fail(reader, node, "a world has at most %d devices",
				  VFAKE_MAX_DEVICES);
	}
}

static int read_device(const struct world_reader *reader, const struct world_node *node)
{
	struct world_node size;
	struct vfake_device_desc *desc;
	int ret = world_expect(reader, node, JSON_OBJECT);

	if (!ret)
		ret = start_device(reader, node);
	if (ret)
		return ret;
	desc = &reader->world->devices[reader->world->device_count - 1];
	/* The bytes are measured against the size, wherever it stands. */
	size = world_child(node, "config_size");
	if (size.value)
		ret = world_read_config_size(reader, &size, NULL, desc);
	if (!ret)
		ret = world_read_object(reader, node, &world_object_device, desc);
	if (!ret && !desc->config_size_bytes)
		desc->config_size_bytes = CONFIG_SIZE_CONVENTIONAL;
	return ret;
}

int world_read_devices(const struct world_reader *reader, const struct world_node *node,
		       const struct world_field *field, void *object)
{
	int ret = world_expect(reader, node, JSON_ARRAY);

	(void)field;
	(void)object;
	for (size_t i = 0; !ret && i < json_array_size(node->value); i++) {
		struct world_node device = { node, NULL, i, json_array_get(node->value, i) };

		ret = read_device(reader, &device);
	}
	return ret;
}
