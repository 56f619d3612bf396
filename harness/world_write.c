/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing a world: the tables of fields backwards. Every field is written, so that the text means
 * the same world even when a model or a base changes.
 */
#include <errno.h>
#include <string.h>

#include "world_fields.h"

typedef json_t *(*field_writer)(const struct world_field *field, const void *object);

static json_t *write_object(const struct world_object *table, const void *object);

/* json_pack() and friends pass a NULL on; an array needs this to do the same. */
static json_t *append(json_t *array, json_t *value)
{
	if (array && json_array_append_new(array, value)) {
		json_decref(array);
		return NULL;
	}
	if (!array)
		json_decref(value);
	return array;
}

/* ---- plain values ---- */

static json_t *write_bool(const struct world_field *field, const void *object)
{
	bool value;

	memcpy(&value, (const char *)object + field->offset, sizeof(value));
	return json_boolean(value);
}

static json_t *write_count(const struct world_field *field, const void *object)
{
	return json_integer((json_int_t)world_field_get(field, object));
}

static json_t *write_hex(const struct world_field *field, const void *object)
{
	return json_sprintf("0x%llx", (unsigned long long)world_field_get(field, object));
}

static json_t *write_size(const struct world_field *field, const void *object)
{
	char text[WORLD_NUMBER_BYTES];

	return json_string(world_format_size(world_field_get(field, object), text));
}

static json_t *write_page_sizes(const struct world_field *field, const void *object)
{
	const uint64_t sizes = world_field_get(field, object);
	json_t *array = json_array();
	char text[WORLD_NUMBER_BYTES];

	for (int bit = 0; bit < 64; bit++) {
		if (sizes >> bit & 1)
			array = append(array,
				       json_string(world_format_size(UINT64_C(1) << bit, text)));
	}
	return array;
}

/* ---- the machine ---- */

static json_t *write_range(const struct world_field *field, const void *object)
{
	return write_object(&world_object_range, (const char *)object + field->offset);
}

static json_t *write_reserved(const struct world_field *field, const void *object)
{
	const struct vfake_world *world = object;
	json_t *array = json_array();

	(void)field;
	for (uint32_t i = 0; i < world->reserved_count; i++)
		array = append(array, write_object(&world_object_range, &world->reserved[i]));
	return array;
}

static json_t *write_base(const struct world_field *field, const void *object)
{
	const struct vfake_world *world = object;

	(void)field;
	return json_string(world->platform == VFAKE_PLATFORM_POWERNV ? "powernv" : "x86");
}

static json_t *write_spapr(const struct world_field *field, const void *object)
{
	const struct vfake_world *world = object;

	(void)field;
	return write_object(&world_object_spapr, &world->spapr);
}

static json_t *write_devices(const struct world_field *field, const void *object)
{
	const struct vfake_world *world = object;
	json_t *array = json_array();

	(void)field;
	for (uint32_t i = 0; i < world->device_count; i++)
		array = append(array, write_object(&world_object_device, &world->devices[i]));
	return array;
}

/* ---- a device ---- */

static json_t *write_name(const struct world_field *field, const void *object)
{
	(void)field;
	return json_string(((const struct vfake_device_desc *)object)->name);
}

static json_t *write_config_size(const struct world_field *field, const void *object)
{
	(void)field;
	return json_integer(((const struct vfake_device_desc *)object)->config_size_bytes);
}

enum { LINE_BYTES = 16 };

static json_t *write_config_line(const struct vfake_device_desc *desc, uint32_t at)
{
	char text[sizeof("fff:") + 3 * LINE_BYTES];
	int used = snprintf(text, sizeof(text), "%03x:", at & 0xfff);

	for (uint32_t i = 0; i < LINE_BYTES; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, " %02x",
				 desc->config[at + i]);
	return json_string(text);
}

/* Bytes that no line tells are zero. */
static json_t *write_config(const struct world_field *field, const void *object)
{
	static const uint8_t zeroes[LINE_BYTES];
	const struct vfake_device_desc *desc = object;
	json_t *array = json_array();

	(void)field;
	for (uint32_t at = 0; at < desc->config_size_bytes; at += LINE_BYTES) {
		if (memcmp(desc->config + at, zeroes, LINE_BYTES) != 0)
			array = append(array, write_config_line(desc, at));
	}
	return array;
}

static json_t *write_bars(const struct world_field *field, const void *object)
{
	const struct vfake_device_desc *desc = object;
	json_t *array = json_array();
	int count = VFAKE_BARS;

	(void)field;
	while (count && !desc->bars[count - 1].size_bytes)
		count--;
	for (int i = 0; i < count; i++)
		array = append(array, desc->bars[i].size_bytes
					      ? write_object(&world_object_bar, &desc->bars[i])
					      : json_null());
	return array;
}

static json_t *write_pci_address(const struct world_field *field, const void *object)
{
	const struct vfake_device_desc *desc = object;

	(void)field;
	return json_sprintf("%04x:%02x:%02x.%u", desc->segment, desc->bus, desc->devfn >> 3,
			    desc->devfn & 7U);
}

static json_t *write_behaviour(const struct world_field *field, const void *object)
{
	const struct vfake_device_desc *desc = object;
	const char *name = world_behaviour_name(desc->model);

	(void)field;
	return name ? json_string(name) : NULL;
}

/* ---- objects ---- */

/* A model is not written: the fields say all that it set. */
static const field_writer writers[WORLD_KINDS] = {
	[WORLD_BOOL] = write_bool,
	[WORLD_COUNT] = write_count,
	[WORLD_HEX] = write_hex,
	[WORLD_SIZE] = write_size,
	[WORLD_POWER] = write_size,
	[WORLD_MAYBE_POWER] = write_size,
	[WORLD_PAGE_SIZES] = write_page_sizes,
	[WORLD_RANGE] = write_range,
	[WORLD_RESERVED] = write_reserved,
	[WORLD_BASE] = write_base,
	[WORLD_SPAPR] = write_spapr,
	[WORLD_DEVICES] = write_devices,
	[WORLD_NAME] = write_name,
	[WORLD_CONFIG_SIZE] = write_config_size,
	[WORLD_CONFIG] = write_config,
	[WORLD_BARS] = write_bars,
	[WORLD_PCI_ADDRESS] = write_pci_address,
	[WORLD_BEHAVIOUR] = write_behaviour,
};

static bool is_written(const struct world_field *field, const void *object)
{
	if (field->kind == WORLD_SPAPR)
		return ((const struct vfake_world *)object)->platform == VFAKE_PLATFORM_POWERNV;
	return writers[field->kind];
}

static json_t *write_object(const struct world_object *table, const void *object)
{
	json_t *json = json_object();

	for (const struct world_field *field = table->fields; json && field->name; field++) {
		if (is_written(field, object) &&
		    json_object_set_new(json, field->name, writers[field->kind](field, object))) {
			json_decref(json);
			json = NULL;
		}
	}
	return json;
}

/* Whether the devices can be written at all; what else fails is memory. */
static int check_devices(const struct vfake_world *world)
{
	for (uint32_t i = 0; i < world->device_count; i++) {
		json_t *name = json_string(world->devices[i].name);

		json_decref(name);
		if (!name)
			return -EILSEQ;
		if (!world_behaviour_name(world->devices[i].model))
			return -EINVAL;
	}
	return -ENOMEM;
}

int world_write(FILE *to, const struct vfake_world *world)
{
	json_t *json = write_object(&world_object_machine, world);
	int ret = 0;

	if (!json)
		return check_devices(world);
	if (json_dumpf(json, to, JSON_INDENT(2)) || fputc('\n', to) == EOF)
		ret = -EIO;
	json_decref(json);
	return ret;
}
