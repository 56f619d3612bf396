/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machines and devices that come built in.
 *
 * Imitates the machines that the recordings of real kernels were made on: an x86 machine with VT-d
 * and a powernv machine, and three devices: edu (conventional PCI with INTx and MSI), e1000e (PCI
 * Express) and plain (no capability, no interrupt). A device's configuration space is what VFIO
 * shows of it right after it was opened. The engines of vfake/models.h imitate no hardware.
 *
 * Dropped: everything that no program sees through VFIO, as the PCI topology above the devices.
 */
#include <errno.h>
#include <string.h>
#include <vfake/models.h>
#include <vfake/world.h>

/* A few bytes of configuration space. */
struct config_part {
	uint16_t at;
	uint8_t bytes[16];
};

struct model {
	const char *name;
	const struct config_part *parts;
	size_t part_count;
	uint32_t config_size_bytes;
	struct vfake_bar bars[VFAKE_BARS];
	uint64_t rom_size_bytes;
	bool reset_works;
	enum vfake_model behaviour;
	uint8_t device_id; /* 0: as in the parts */
};

static const struct config_part edu_parts[] = {
	{ 0x00, { 0x34, 0x12, 0xe8, 0x11, 0x03, 0x01, 0x10, 0x00, 0x10, 0x00, 0xff } },
	{ 0x10, { 0x00, 0x00, 0xa0, 0xfe } },
	{ 0x20, { [12] = 0xf4, 0x1a, 0x00, 0x11 } },
	{ 0x30, { [4] = 0x40, [12] = 0x0a, 0x01 } },
	{ 0x40, { 0x05, 0x00, 0x80, 0x00 } }, /* MSI */
};

static const struct config_part e1000e_parts[] = {
	{ 0x00, { 0x86, 0x80, 0xd3, 0x10, 0x03, 0x01, 0x10, 0x00, 0x00, 0x00, 0x00, 0x02 } },
	{ 0x10,
	  { 0x00, 0x00, 0xb4, 0xfe, 0x00, 0x00, 0xb6, 0xfe, 0x41, 0xc1, 0x00, 0x00, 0x00, 0x00,
	    0xb8, 0xfe } },
	{ 0x20, { [12] = 0x86, 0x80 } },
	{ 0x30, { 0x00, 0x00, 0xb0, 0xfe, 0xc8, [12] = 0x0b, 0x01 } },
	{ 0xa0, { 0x11, 0x00, 0x04, 0x00, 0x03, 0x00, 0x00, 0x00, 0x03, 0x20 } }, /* MSI-X */
	{ 0xc0, { [8] = 0x01, 0xd0, 0x22 } },				     /* power management */
	{ 0xd0, { 0x05, 0xe0, 0x80 } },					     /* MSI */
	{ 0xe0, { 0x10, 0xa0, 0x91, 0x00, 0x20, 0x80, [12] = 0x11, 0x04 } }, /* PCI Express */
	{ 0xf0, { 0x00, 0x00, 0x11 } },
	{ 0x100,
	  { 0x01, 0x00, 0x02, 0x14, [10] = 0x40, 0x02, 0x30, 0x20, 0x46 } }, /* error reporting */
	{ 0x110, { [5] = 0xe0, 0x00, 0x00, 0xa0 } },
	{ 0x140,
	  { 0x03, 0x00, 0x01, 0x00, 0x56, 0x34, 0x12, 0xff, 0xff, 0x00, 0x54,
	    0x52 } }, /* serial number */
};

static const struct config_part plain_parts[] = {
	{ 0x00, { 0x36, 0x1b, 0x05, 0x00, 0x03, 0x01, [10] = 0xff } },
	{ 0x10, { 0x00, 0x40, 0xb8, 0xfe, 0x01, 0xc0 } },
	{ 0x20, { [12] = 0xf4, 0x1a, 0x00, 0x11 } },
};

static const struct config_part alarm_parts[] = {
	{ 0x00, { 0xad, 0xde, 0xef, 0xbe, 0x03, 0x01, [10] = 0x00, 0xff } },
	{ 0x20, { [12] = 0xfe, 0xca, 0xbe, 0xba } },
	{ 0x30, { [13] = 0x01 } },
};

static const struct config_part engine_parts[] = {
	{ 0x00, { 0x4e, 0xfa, 0x01, 0x00, 0x02, 0x01, 0x10, 0x00, 0x01, 0x00, 0x00, 0x12 } },
	{ 0x10, { 0x00, 0x00, 0x00, 0xfd, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x02, 0xfd } },
	{ 0x20, { [12] = 0x4e, 0xfa } },
	{ 0x30, { [4] = 0x40 } },
	{ 0x40, { 0x01, 0x50, 0x03, 0x00, 0x08 } }, /* power management */
	{ 0x50, { 0x05, 0x70, 0x84 } },		    /* MSI */
	{ 0x70, { 0x11, 0x80, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x08 } }, /* MSI-X */
	{ 0x80, { 0x10, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x10 } },		  /* PCI Express */
	{ 0x100, { 0x03, 0x00, 0x01, 0x00, 0x01, 0x4e, 0xfa } }, /* serial number */
};

#define ENGINE(model_name, what, id)                                                               \
	{                                                                                          \
		.name = model_name, .parts = engine_parts,                                         \
		.part_count = sizeof(engine_parts) / sizeof(engine_parts[0]), .device_id = id,     \
		.config_size_bytes = VFAKE_CONFIG_SIZE,                                            \
		.bars = { { .size_bytes = VFAKE_COPY_BAR_BYTES },                                  \
			  { .size_bytes = VFAKE_COPY_BAR_BYTES },                                  \
			  { .size_bytes = VFAKE_COPY_BAR_BYTES } },                                \
		.reset_works = true, .behaviour = what                                             \
	}

static const struct model models[] = {
	{
		.name = "edu",
		.parts = edu_parts,
		.part_count = sizeof(edu_parts) / sizeof(edu_parts[0]),
		.config_size_bytes = 256,
		.bars = { { .size_bytes = 1 << 20 } },
	},
	{
		.name = "e1000e",
		.parts = e1000e_parts,
		.part_count = sizeof(e1000e_parts) / sizeof(e1000e_parts[0]),
		.config_size_bytes = 4096,
		.bars = { { .size_bytes = 128 << 10 },
			  { .size_bytes = 128 << 10 },
			  { .size_bytes = 32, .io = true },
			  { .size_bytes = 16 << 10 } },
		.rom_size_bytes = 256 << 10,
		.reset_works = true,
	},
	{
		.name = "plain",
		.parts = plain_parts,
		.part_count = sizeof(plain_parts) / sizeof(plain_parts[0]),
		.config_size_bytes = 256,
		.bars = { { .size_bytes = 4096 }, { .size_bytes = 256, .io = true } },
	},
	ENGINE("copy", VFAKE_MODEL_COPY, VFAKE_COPY_DEVICE),
	ENGINE("migrate", VFAKE_MODEL_MIGRATE, VFAKE_MIGRATE_DEVICE),
	ENGINE("migrate-p2p", VFAKE_MODEL_MIGRATE_P2P, VFAKE_MIGRATE_DEVICE),
	ENGINE("migrate-pre-copy", VFAKE_MODEL_MIGRATE_PRE_COPY, VFAKE_MIGRATE_DEVICE),
	ENGINE("migrate-stop", VFAKE_MODEL_MIGRATE_STOP, VFAKE_MIGRATE_DEVICE),
	{
		.name = "alarm",
		.parts = alarm_parts,
		.part_count = sizeof(alarm_parts) / sizeof(alarm_parts[0]),
		.config_size_bytes = 256,
		.bars = { { .size_bytes = 8 }, { .size_bytes = 16 << 10 } },
		.reset_works = true,
		.behaviour = VFAKE_MODEL_ALARM,
	},
};

void vfake_world_x86(struct vfake_world *world)
{
	memset(world, 0, sizeof(*world));
	world->platform = VFAKE_PLATFORM_TYPE1;
	world->page_size_bytes = 4096;
	world->ram_bytes = (uint64_t)3 << 30;
	world->iommu_pgsizes = (uint64_t)1 << 12 | (uint64_t)1 << 21 | (uint64_t)1 << 30;
	world->aperture = (struct vfake_range){ 0, ((uint64_t)1 << 48) - 1 };
	world->reserved_count = 1;
	world->reserved[0] = (struct vfake_range){ 0xfee00000, 0xfeefffff };
	world->dma_entry_limit = 65535;
	world->isolated_msi = true;
}

void vfake_world_powernv(struct vfake_world *world)
{
	memset(world, 0, sizeof(*world));
	world->platform = VFAKE_PLATFORM_POWERNV;
	world->page_size_bytes = 65536;
	world->ram_bytes = (uint64_t)3 << 30;
	world->iommu_pgsizes =
		(uint64_t)1 << 12 | (uint64_t)1 << 16 | (uint64_t)1 << 21 | (uint64_t)1 << 30;
	world->aperture = (struct vfake_range){ 0, UINT64_MAX };
	vfake_spapr_defaults(&world->spapr);
}

static const struct model *find_model(const char *name)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		if (!strcmp(models[i].name, name))
			return &models[i];
	}
	return NULL;
}

/* A group and a cdev number that no device has yet, and a slot of the root bus. */
static void place(const struct vfake_world *world, struct vfake_device_desc *desc)
{
	desc->devfn = (uint8_t)((world->device_count + 1) << 3);
	for (uint32_t i = 0; i < world->device_count; i++) {
		const struct vfake_device_desc *other = &world->devices[i];

		if (desc->group <= other->group)
			desc->group = other->group + 1;
		if (desc->cdev <= other->cdev)
			desc->cdev = other->cdev + 1;
	}
}

int vfake_world_add_device(struct vfake_world *world, const char *name, const char *model_name)
{
	const struct model *model = find_model(model_name);
	struct vfake_device_desc *desc;

	if (strlen(name) >= VFAKE_NAME_SIZE)
		return -ENAMETOOLONG;
	if (!model)
		return -ENOENT;
	for (uint32_t i = 0; i < world->device_count; i++) {
		if (!strcmp(world->devices[i].name, name))
			return -EEXIST;
	}
	if (world->device_count == VFAKE_MAX_DEVICES)
		return -ENOSPC;
	desc = &world->devices[world->device_count];
	memset(desc, 0, sizeof(*desc));
	memcpy(desc->name, name, strlen(name));
	desc->config_size_bytes = model->config_size_bytes;
	for (size_t i = 0; i < model->part_count; i++)
		memcpy(desc->config + model->parts[i].at, model->parts[i].bytes,
		       sizeof(model->parts[i].bytes));
	memcpy(desc->bars, model->bars, sizeof(desc->bars));
	desc->rom_size_bytes = model->rom_size_bytes;
	desc->reset_works = model->reset_works;
	desc->model = model->behaviour;
	if (model->device_id)
		desc->config[2] = model->device_id;
	place(world, desc);
	world->device_count++;
	return 0;
}
