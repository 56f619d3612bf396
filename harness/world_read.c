/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a world: each object of the JSON text runs over its table of fields, and each kind of
 * field has one function that reads it. All goes into a world of its own, which the caller gets
 * when nothing was wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "world_fields.h"

enum { TCE_PAGE_MIN = 4096 };

typedef int (*field_reader)(const struct world_reader *reader, const struct world_node *node,
			    const struct world_field *field, void *object);

/* ---- plain values ---- */

static const char *type_name(const json_t *value)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",	 [JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",	     [JSON_NULL] = "null",
	};

	return names[json_typeof(value)];
}

int world_expect(const struct world_reader *reader, const struct world_node *node, json_type type)
{
	const char *wanted = type == JSON_OBJECT  ? "an object"
			     : type == JSON_ARRAY ? "a list"
						  : "a string";

	if (json_typeof(node->value) == type)
		return 0;
	return world_fail(reader, node, "must be %s, not %s", wanted, type_name(node->value));
}

static int read_bool(const struct world_reader *reader, const struct world_node *node,
		     const struct world_field *field, void *object)
{
	const bool value = json_is_true(node->value);

	if (!json_is_boolean(node->value))
		return world_fail(reader, node, "must be true or false, not %s",
				  type_name(node->value));
	memcpy((char *)object + field->offset, &value, sizeof(value));
	return 0;
}

static int read_number(const struct world_reader *reader, const struct world_node *node,
		       uint64_t *number)
{
	const char *wrong;

	if (json_is_integer(node->value)) {
		if (json_integer_value(node->value) < 0)
			return world_fail(reader, node, "is negative");
		*number = (uint64_t)json_integer_value(node->value);
		return 0;
	}
	if (!json_is_string(node->value))
		return world_fail(reader, node,
				  "must be a number, as 4096, \"0x1000\" or \"4K\", not %s",
				  type_name(node->value));
	wrong = world_parse_number(json_string_value(node->value), number);
	if (wrong)
		return world_fail(reader, node, "\"%.40s\" %s", json_string_value(node->value),
				  wrong);
	return 0;
}

static int read_count(const struct world_reader *reader, const struct world_node *node,
		      const struct world_field *field, void *object)
{
	uint64_t value;
	int ret = read_number(reader, node, &value);

	if (ret)
		return ret;
	if (value < field->min || value > field->max)
		return world_fail(reader, node, "%llu is out of range, which is %llu to %llu",
				  (unsigned long long)value, (unsigned long long)field->min,
				  (unsigned long long)field->max);
	world_field_set(field, object, value);
	return 0;
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* A number that must be a power of two within the field's range. */
static int read_power_of_two(const struct world_reader *reader, const struct world_node *node,
			     const struct world_field *field, uint64_t *value)
{
	char min[WORLD_NUMBER_BYTES], max[WORLD_NUMBER_BYTES];
	int ret = read_number(reader, node, value);

	if (ret || (!*value && field->kind == WORLD_MAYBE_POWER))
		return ret;
	if (!is_power_of_two(*value))
		return world_fail(reader, node, "%llu is no power of two",
				  (unsigned long long)*value);
	if (*value < field->min || *value > field->max)
		return world_fail(reader, node, "%llu is out of range, which is %s to %s",
				  (unsigned long long)*value, world_format_size(field->min, min),
				  world_format_size(field->max, max));
	return 0;
}

static int read_power(const struct world_reader *reader, const struct world_node *node,
		      const struct world_field *field, void *object)
{
	uint64_t value;
	int ret = read_power_of_two(reader, node, field, &value);

	if (!ret)
		world_field_set(field, object, value);
	return ret;
}

static int read_page_sizes(const struct world_reader *reader, const struct world_node *node,
			   const struct world_field *field, void *object)
{
	int ret = world_expect(reader, node, JSON_ARRAY);
	uint64_t sizes = 0;

	for (size_t i = 0; !ret && i < json_array_size(node->value); i++) {
		struct world_node size = { node, NULL, i, json_array_get(node->value, i) };
		uint64_t value = 0;

		ret = read_power_of_two(reader, &size, field, &value);
		if (!ret && (sizes & value))
			ret = world_fail(reader, &size, "this page size is there twice");
		sizes |= value;
	}
	if (ret)
		return ret;
	if (!sizes)
		return world_fail(reader, node, "has no page size");
	world_field_set(field, object, sizes);
	return 0;
}

/* ---- objects ---- */

static int read_range(const struct world_reader *reader, const struct world_node *node,
		      struct vfake_range *range)
{
	struct vfake_range read = { 0 };
	int ret = world_read_object(reader, node, &world_object_range, &read);
	struct world_node last;

	if (ret)
		return ret;
	for (size_t i = 0; world_object_range.fields[i].name; i++) {
		if (!json_object_get(node->value, world_object_range.fields[i].name))
			return world_fail(reader, node, "a range needs both start and last");
	}
	last = world_child(node, "last");
	if (read.last < read.start)
		return world_fail(reader, &last, "0x%llx lies before the start, 0x%llx",
				  (unsigned long long)read.last, (unsigned long long)read.start);
	*range = read;
	return 0;
}

static int read_range_field(const struct world_reader *reader, const struct world_node *node,
			    const struct world_field *field, void *object)
{
	struct vfake_range range;
	int ret = read_range(reader, node, &range);

	if (!ret)
		memcpy((char *)object + field->offset, &range, sizeof(range));
	return ret;
}

static int read_reserved(const struct world_reader *reader, const struct world_node *node,
			 const struct world_field *field, void *object)
{
	int ret = world_expect(reader, node, JSON_ARRAY);
	struct vfake_world *world = object;

	(void)field;
	world->reserved_count = 0;
	memset(world->reserved, 0, sizeof(world->reserved));
	for (size_t i = 0; !ret && i < json_array_size(node->value); i++) {
		struct world_node range = { node, NULL, i, json_array_get(node->value, i) };

		if (i == VFAKE_MAX_RESERVED)
			return world_fail(reader, &range, "a world has at most %d reserved ranges",
					  VFAKE_MAX_RESERVED);
		ret = read_range(reader, &range, &world->reserved[i]);
		if (!ret)
			world->reserved_count++;
	}
	return ret;
}

/* TCE tables count pages of 4 KiB. */
static int check_window_start(const struct world_reader *reader, const struct world_node *spapr,
			      const char *name, uint64_t start)
{
	const struct world_node node = world_child(spapr, name);

	if (start % TCE_PAGE_MIN)
		return world_fail(reader, &node, "0x%llx is no multiple of 4K",
				  (unsigned long long)start);
	return 0;
}

static int read_spapr(const struct world_reader *reader, const struct world_node *node,
		      const struct world_field *field, void *object)
{
	struct vfake_world *world = object;
	const struct vfake_spapr *spapr = &world->spapr;
	struct world_node size;
	int ret;

	(void)field;
	if (world->platform != VFAKE_PLATFORM_POWERNV)
		return world_fail_key(reader, node, "only a world on the base powernv has this");
	ret = world_read_object(reader, node, &world_object_spapr, &world->spapr);
	if (!ret)
		ret = check_window_start(reader, node, "window_start", spapr->window_start);
	if (!ret)
		ret = check_window_start(reader, node, "second_window_start",
					 spapr->second_window_start);
	if (ret)
		return ret;
	size = world_child(node, "window_size");
	if ((uint64_t)spapr->window_start + spapr->window_size_bytes > UINT64_C(1) << 32)
		return world_fail(reader, &size, "the window ends above 4G");
	return 0;
}

/* What was read before all other fields, because they lie over it. */
static int read_before(const struct world_reader *reader, const struct world_node *node,
		       const struct world_field *field, void *object)
{
	(void)reader;
	(void)node;
	(void)field;
	(void)object;
	return 0;
}

static int read_base(const struct world_reader *reader, const struct world_node *root)
{
	struct world_node base = world_child(root, "base");
	const char *name;
	int ret;

	if (!base.value) {
		vfake_world_x86(reader->world);
		return 0;
	}
	ret = world_expect(reader, &base, JSON_STRING);
	if (ret)
		return ret;
	name = json_string_value(base.value);
	if (!strcmp(name, "x86"))
		vfake_world_x86(reader->world);
	else if (!strcmp(name, "powernv"))
		vfake_world_powernv(reader->world);
	else
		return world_fail(reader, &base, "there is no base \"%.40s\", only x86 and powernv",
				  name);
	return 0;
}

static const field_reader readers[WORLD_KINDS] = {
	[WORLD_BOOL] = read_bool,
	[WORLD_COUNT] = read_count,
	[WORLD_HEX] = read_count,
	[WORLD_SIZE] = read_count,
	[WORLD_POWER] = read_power,
	[WORLD_MAYBE_POWER] = read_power,
	[WORLD_PAGE_SIZES] = read_page_sizes,
	[WORLD_RANGE] = read_range_field,
	[WORLD_RESERVED] = read_reserved,
	[WORLD_BASE] = read_before,
	[WORLD_SPAPR] = read_spapr,
	[WORLD_DEVICES] = world_read_devices,
	[WORLD_NAME] = read_before,
	[WORLD_MODEL] = read_before,
	[WORLD_CONFIG_SIZE] = world_read_config_size,
	[WORLD_CONFIG] = world_read_config,
	[WORLD_BARS] = world_read_bars,
	[WORLD_PCI_ADDRESS] = world_read_pci_address,
	[WORLD_BEHAVIOUR] = world_read_behaviour,
};

static int fail_unknown(const struct world_reader *reader, const struct world_node *node,
			const struct world_object *object)
{
	char names[512] = "";
	size_t used = 0;

	for (const struct world_field *field = object->fields; field->name; field++) {
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
					 used ? ", " : "", field->name);
		if (used >= sizeof(names))
			break;
	}
	return world_fail_key(reader, node, "no such field; %s has %s", object->what, names);
}

int world_read_object(const struct world_reader *reader, const struct world_node *node,
		      const struct world_object *object, void *to)
{
	int ret = world_expect(reader, node, JSON_OBJECT);
	const char *key;
	json_t *value;
	size_t index = 0;

	if (ret)
		return ret;
	json_object_foreach(node->value, key, value)
	{
		struct world_node member = { node, key, index++, value };
		const struct world_field *field = object->fields;

		while (field->name && strcmp(field->name, key) != 0)
			field++;
		if (!field->name)
			return fail_unknown(reader, &member, object);
		ret = readers[field->kind](reader, &member, field, to);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- what fields must be together ---- */

static int check_devices(const struct world_reader *reader, const struct world_node *root)
{
	const struct vfake_world *world = reader->world;
	const struct world_node list = world_child(root, "devices");

	for (uint32_t i = 0; i < world->device_count; i++) {
		const struct vfake_device_desc *desc = &world->devices[i];
		struct world_node node = { &list, NULL, i, json_array_get(list.value, i) };
		struct world_node field;

		if (desc->noiommu && !world->noiommu_enabled) {
			field = world_child(&node, "noiommu");
			return world_fail(reader, &field, "the world needs noiommu_enabled");
		}
		for (uint32_t j = 0; j < i; j++) {
			const struct vfake_device_desc *other = &world->devices[j];

			field = world_child(&node, "cdev");
			if (desc->cdev == other->cdev)
				return world_fail(reader, &field,
						  "%u is the cdev of devices[%u], too", desc->cdev,
						  j);
			field = world_child(&node, "group");
			if (desc->group == other->group && desc->noiommu != other->noiommu)
				return world_fail(
					reader, &field,
					"group %u is that of devices[%u], of which only one has "
					"noiommu",
					desc->group, j);
		}
	}
	return 0;
}

static int check_world(const struct world_reader *reader, const struct world_node *root)
{
	const struct vfake_world *world = reader->world;
	struct world_node field = world_child(root, "iommu_page_sizes");

	if (!field.value)
		field = world_child(root, "page_size");
	if (world->iommu_pgsizes < world->page_size_bytes)
		return world_fail(reader, &field,
				  "the IOMMU has no page of the CPU's page size or more");
	return check_devices(reader, root);
}

/* ---- whole worlds ---- */

static int read_json(const struct world_reader *reader, json_t *json)
{
	const struct world_node root = { NULL, NULL, 0, json };
	int ret;

	if (!json_is_object(json))
		return world_fail(reader, &root, "a world is an object, not %s", type_name(json));
	ret = read_base(reader, &root);
	if (!ret)
		ret = world_read_object(reader, &root, &world_object_machine, reader->world);
	if (!ret)
		ret = check_world(reader, &root);
	return ret;
}

int world_read(const char *name, const char *text, size_t size_bytes, struct vfake_world *world,
	       struct world_error *error)
{
	struct vfake_world *own = calloc(1, sizeof(*own));
	const struct world_reader reader = { name, text, size_bytes, own, error };
	json_error_t why;
	json_t *json;
	int ret;

	if (!own)
		return world_fail_file(error, name, -ENOMEM);
	json = json_loadb(text, size_bytes, JSON_REJECT_DUPLICATES, &why);
	if (json)
		ret = read_json(&reader, json);
	else if (json_error_code(&why) == json_error_out_of_memory)
		ret = world_fail_file(error, name, -ENOMEM);
	else
		ret = world_fail_syntax(&reader, &why);
	if (!ret)
		*world = *own;
	json_decref(json);
	free(own);
	return ret;
}

/* The whole file, which the caller frees. */
static int read_text(const char *path, char **text, size_t *size_bytes)
{
	FILE *file = fopen(path, "rb");
	int ret = 0;

	if (!file)
		return -errno;
	*text = malloc(WORLD_FILE_BYTES_MAX + 1);
	if (!*text) {
		fclose(file);
		return -ENOMEM;
	}
	*size_bytes = fread(*text, 1, WORLD_FILE_BYTES_MAX + 1, file);
	if (ferror(file))
		ret = errno ? -errno : -EIO;
	else if (*size_bytes > WORLD_FILE_BYTES_MAX)
		ret = -EFBIG;
	fclose(file);
	if (ret)
		free(*text);
	return ret;
}

int world_read_file(const char *path, struct vfake_world *world, struct world_error *error)
{
	size_t size_bytes = 0;
	char *text = NULL;
	int ret = read_text(path, &text, &size_bytes);

	if (ret)
		return world_fail_file(error, path, ret);
	ret = world_read(path, text, size_bytes, world, error);
	free(text);
	return ret;
}
