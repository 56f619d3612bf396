/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a world: their names in JSON, where they are in the structs, and what they may be.
 */
#include <string.h>

#include "world_fields.h"

#define AT(type, member)     offsetof(struct type, member), sizeof(((struct type *)0)->member)
#define MAX_OF(type, member) (UINT64_MAX >> (64 - 8 * sizeof(((struct type *)0)->member)))
#define FLAG(name, type, member)                                                                   \
	{                                                                                          \
		name, WORLD_BOOL, AT(type, member), 0, 1                                           \
	}
#define ANY(name, kind, type, member)                                                              \
	{                                                                                          \
		name, kind, AT(type, member), 0, MAX_OF(type, member)                              \
	}
#define OWN(name, kind)                                                                            \
	{                                                                                          \
		name, kind, 0, 0, 0, 0                                                             \
	}

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static const struct world_field machine[] = {
	OWN("base", WORLD_BASE),
	{ "page_size", WORLD_POWER, AT(vfake_world, page_size_bytes), 4 * KIB, 64 * KIB },
	ANY("ram", WORLD_SIZE, vfake_world, ram_bytes),
	{ "iommu_page_sizes", WORLD_PAGE_SIZES, AT(vfake_world, iommu_pgsizes), 1, UINT64_MAX },
	{ "aperture", WORLD_RANGE, AT(vfake_world, aperture), 0, 0 },
	OWN("reserved", WORLD_RESERVED),
	ANY("dma_entry_limit", WORLD_COUNT, vfake_world, dma_entry_limit),
	FLAG("unsafe_interrupts", vfake_world, unsafe_interrupts),
	FLAG("isolated_msi", vfake_world, isolated_msi),
	FLAG("enforce_coherency", vfake_world, enforce_coherency),
	FLAG("iommu_dirty_tracking", vfake_world, iommu_dirty_tracking),
	FLAG("noiommu_enabled", vfake_world, noiommu_enabled),
	FLAG("compat_container", vfake_world, compat_container),
	OWN("spapr", WORLD_SPAPR),
	OWN("devices", WORLD_DEVICES),
	{ 0 },
};

static const struct world_field range[] = {
	ANY("start", WORLD_HEX, vfake_range, start),
	ANY("last", WORLD_HEX, vfake_range, last),
	{ 0 },
};

static const struct world_field spapr[] = {
	ANY("window_start", WORLD_HEX, vfake_spapr, window_start),
	ANY("window_size", WORLD_SIZE, vfake_spapr, window_size_bytes),
	ANY("second_window_start", WORLD_HEX, vfake_spapr, second_window_start),
	{ "page_sizes", WORLD_PAGE_SIZES, AT(vfake_spapr, pgsizes), 4 * KIB, UINT64_C(1) << 47 },
	{ "windows", WORLD_COUNT, AT(vfake_spapr, windows), 0, 2 },
	{ "levels", WORLD_COUNT, AT(vfake_spapr, levels), 1, 5 },
	ANY("max_level", WORLD_SIZE, vfake_spapr, max_level_bytes),
	FLAG("eeh", vfake_spapr, eeh),
	{ 0 },
};

static const struct world_field device[] = {
	OWN("name", WORLD_NAME),
	OWN("model", WORLD_MODEL),
	ANY("group", WORLD_COUNT, vfake_device_desc, group),
	ANY("cdev", WORLD_COUNT, vfake_device_desc, cdev),
	OWN("address", WORLD_PCI_ADDRESS),
	OWN("config_size", WORLD_CONFIG_SIZE),
	OWN("config", WORLD_CONFIG),
	OWN("bars", WORLD_BARS),
	{ "rom_size", WORLD_MAYBE_POWER, AT(vfake_device_desc, rom_size_bytes), 2 * KIB, 16 * MIB },
	ANY("express_control", WORLD_HEX, vfake_device_desc, express_control),
	FLAG("reset_works", vfake_device_desc, reset_works),
	FLAG("bus_reset", vfake_device_desc, bus_reset),
	FLAG("noiommu", vfake_device_desc, noiommu),
	FLAG("noncoherent", vfake_device_desc, noncoherent),
	ANY("tce_family", WORLD_COUNT, vfake_device_desc, tce_family),
	OWN("behaviour", WORLD_BEHAVIOUR),
	{ 0 },
};

static const struct world_field bar[] = {
	{ "size", WORLD_MAYBE_POWER, AT(vfake_bar, size_bytes), 4, UINT64_C(1) << 63 },
	FLAG("io", vfake_bar, io),
	FLAG("64bit", vfake_bar, is_64bit),
	FLAG("prefetchable", vfake_bar, prefetchable),
	{ 0 },
};

const struct world_object world_object_machine = { "a world", machine };
const struct world_object world_object_range = { "a range", range };
const struct world_object world_object_spapr = { "spapr", spapr };
const struct world_object world_object_device = { "a device", device };
const struct world_object world_object_bar = { "a BAR", bar };

static const char *const behaviours[] = {
	[VFAKE_MODEL_NONE] = "none",
	[VFAKE_MODEL_COPY] = "copy",
	[VFAKE_MODEL_MIGRATE] = "migrate",
	[VFAKE_MODEL_MIGRATE_P2P] = "migrate-p2p",
	[VFAKE_MODEL_MIGRATE_PRE_COPY] = "migrate-pre-copy",
	[VFAKE_MODEL_MIGRATE_STOP] = "migrate-stop",
	[VFAKE_MODEL_ALARM] = "alarm",
};

const char *world_behaviour_name(enum vfake_model model)
{
	const size_t count = sizeof(behaviours) / sizeof(behaviours[0]);

	return (size_t)model < count ? behaviours[model] : NULL;
}

uint64_t world_field_get(const struct world_field *field, const void *object)
{
	const char *at = (const char *)object + field->offset;
	uint64_t u64;
	uint32_t u32;
	uint16_t u16;

	switch (field->width_bytes) {
	case 8:
		memcpy(&u64, at, sizeof(u64));
		return u64;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	default:
		return *(const uint8_t *)at;
	}
}

void world_field_set(const struct world_field *field, void *object, uint64_t value)
{
	char *at = (char *)object + field->offset;
	const uint32_t u32 = (uint32_t)value;
	const uint16_t u16 = (uint16_t)value;

	switch (field->width_bytes) {
	case 8:
		memcpy(at, &value, sizeof(value));
		break;
	case 4:
		memcpy(at, &u32, sizeof(u32));
		break;
	case 2:
		memcpy(at, &u16, sizeof(u16));
		break;
	default:
		*(uint8_t *)at = (uint8_t)value;
	}
}

static int digit_value(char digit)
{
	static const char digits[] = "0123456789abcdef";
	const char *found;

	if (digit >= 'A' && digit <= 'F')
		digit = (char)(digit - 'A' + 'a');
	found = digit ? strchr(digits, digit) : NULL;
	return found ? (int)(found - digits) : 16;
}

const char *world_parse_number(const char *text, uint64_t *value)
{
	static const char suffixes[] = "KMGT";
	const bool hex = text[0] == '0' && text[1] == 'x';
	const char *at = hex ? text + 2 : text;
	const int base = hex ? 16 : 10;
	const char *start = at;
	const char *suffix;

	*value = 0;
	for (; digit_value(*at) < base; at++) {
		if (__builtin_mul_overflow(*value, (uint64_t)base, value) ||
		    __builtin_add_overflow(*value, (uint64_t)digit_value(*at), value))
			return "does not fit 64 bits";
	}
	if (at == start)
		return "is not a number";
	if (!hex && *start == '0' && at > start + 1)
		return "has a leading zero, which might mean octal";
	suffix = *at && !hex ? strchr(suffixes, *at) : NULL;
	if (suffix) {
		const unsigned int shift = 10U * (unsigned int)(suffix - suffixes + 1);

		if (*value > UINT64_MAX >> shift)
			return "does not fit 64 bits";
		*value <<= shift;
		at++;
	}
	return *at ? "is not a number" : NULL;
}

const char *world_format_size(uint64_t bytes, char text[WORLD_NUMBER_BYTES])
{
	static const char suffixes[] = "KMGT";
	int power = 0;

	for (; power < 4 && bytes && !(bytes % 1024); power++)
		bytes /= 1024;
	snprintf(text, WORLD_NUMBER_BYTES, "%llu", (unsigned long long)bytes);
	if (power)
		strncat(text, &suffixes[power - 1], 1);
	return text;
}
