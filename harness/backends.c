/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of backends: every way for the stack to reach a device, and what each cannot do.
 */
#include "story.h"

static void x86(struct vfake_world *world)
{
	vfake_world_x86(world);
}

static void x86_noiommu(struct vfake_world *world)
{
	vfake_world_x86(world);
	world->noiommu_enabled = true;
}

static void x86_dirty(struct vfake_world *world)
{
	vfake_world_x86(world);
	world->iommu_dirty_tracking = true;
}

static void x86_compat(struct vfake_world *world)
{
	vfake_world_x86(world);
	world->compat_container = true;
}

static void power(struct vfake_world *world)
{
	vfake_world_powernv(world);
}

/* A host bridge without windows to make has version 1 of the container only. */
static void power_v1(struct vfake_world *world)
{
	vfake_world_powernv(world);
	world->spapr.windows = 0;
}

static const char no_node[] = "the devices are reached by their groups, which have no such node";
static const char windows_only[] = "IOVAs are those of the host bridge's windows";
static const char spapr_untracked[] = "sPAPR containers do not track dirty pages";
static const char no_other[] = "POWER machines have no other kind of backend";
static const char no_handover[] =
	"memory cannot change hands (see cpr-blocked): cpr-transfer and cpr-exec are blocked";
static const char no_iommu[] = "no IOMMU: nothing is mapped, DMA is the program's own affair";

enum { KIB_4 = 4096, KIB_64 = 65536, RAM_LOW = 0x10000000 };

const struct backend backends[] = {
	{
		.name = "type1v2",
		.about = "group and container, type1 version 2",
		.kind = VFIO_BACKEND_LEGACY,
		.world = x86,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_TYPE1,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_EXACT_TRACKING,
			     "type1 counts every page of a pinning map as dirty" } },
	},
	{
		.name = "type1v1",
		.about = "group and container, type1 version 1",
		.kind = VFIO_BACKEND_LEGACY,
		.type1_v1 = true,
		.world = x86,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_TYPE1,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_TRACKING | NEEDS_EXACT_TRACKING,
			     "type1 tracks dirty pages in version 2 only" } },
	},
	{
		.name = "noiommu",
		.about = "group and container of a device without an IOMMU",
		.kind = VFIO_BACKEND_LEGACY,
		.noiommu = true,
		.world = x86_noiommu,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_NOIOMMU,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_MAPS | NEEDS_ANY_IOVA | NEEDS_TRACKING | NEEDS_EXACT_TRACKING |
				     NEEDS_CHARGE,
			     no_iommu },
			   { NEEDS_HANDOVER, no_handover },
			   { NEEDS_COMPANY, "each device without an IOMMU is a group by itself" },
			   { NEEDS_MIXING,
			     "without an IOMMU there is no other way to the devices" },
			   { NEEDS_RESET_PROOF,
			     "the kernel names devices by IOMMU group, and these "
			     "have none" } },
	},
	{
		.name = "spapr-v1",
		.about = "group and container, sPAPR TCE version 1",
		.kind = VFIO_BACKEND_SPAPR,
		.world = power_v1,
		.page = KIB_4,
		.ram = 0,
		.manager = VFAKE_MANAGER_SPAPR,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_ANY_IOVA, windows_only },
			   { NEEDS_TRACKING | NEEDS_EXACT_TRACKING, spapr_untracked },
			   { NEEDS_MIXING, no_other },
			   { NEEDS_HANDOVER, no_handover },
			   { NEEDS_CHARGE, "the whole window is charged when it is turned on, "
					   "whatever is mapped" },
			   { NEEDS_WINDOWS, "KVM fills those of version 2 only" },
			   { NEEDS_SHARING, "a version 1 container takes one group" } },
	},
	{
		.name = "spapr-v2",
		.about = "group and container, sPAPR TCE version 2 with windows",
		.kind = VFIO_BACKEND_SPAPR,
		.world = power,
		.page = KIB_64,
		.ram = 0,
		.manager = VFAKE_MANAGER_SPAPR,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_ANY_IOVA, windows_only },
			   { NEEDS_TRACKING | NEEDS_EXACT_TRACKING, spapr_untracked },
			   { NEEDS_SHARING,
			     "a group that leaves takes all maps of a container along, so the "
			     "stack gives each its own" },
			   { NEEDS_MIXING, no_other },
			   { NEEDS_HANDOVER, no_handover },
			   { NEEDS_ALIASES,
			     "memory is registered by region, and what is registered may not "
			     "overlap" } },
	},
	{
		.name = "iommufd",
		.about = "device node and iommufd, the kernel's own page tables",
		.kind = VFIO_BACKEND_IOMMUFD,
		.world = x86,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_IOMMUFD,
		.lacks = { { NEEDS_TRACKING | NEEDS_EXACT_TRACKING,
			     "the kernel's automatic page tables do not track dirty pages" } },
	},
	{
		.name = "iommufd-dirty",
		.about = "device node and iommufd, page tables that track dirty pages",
		.kind = VFIO_BACKEND_IOMMUFD,
		.dirty_tracking = true,
		.world = x86_dirty,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_IOMMUFD,
	},
	{
		.name = "compat",
		.about = "group and the container that iommufd emulates",
		.kind = VFIO_BACKEND_LEGACY,
		.world = x86_compat,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_IOMMUFD,
		.lacks = { { NEEDS_CDEV, no_node },
			   { NEEDS_TRACKING | NEEDS_EXACT_TRACKING,
			     "the emulated container does not track dirty pages" },
			   { NEEDS_HANDOVER, no_handover } },
	},
	{
		.name = "user",
		.about = "a vfio-user server for each device, over a socket",
		.kind = VFIO_BACKEND_USER,
		.world = x86,
		.page = KIB_4,
		.ram = RAM_LOW,
		.manager = VFAKE_MANAGER_IOMMUFD,
		.lacks = { { NEEDS_CDEV, "a device is a socket, there is no node" },
			   { NEEDS_SHARING, "a server is a container: what it may reach is no "
					    "other one's affair" },
			   { NEEDS_COMPANY | NEEDS_RESET_PROOF,
			     "servers know nothing of groups, slots and buses" },
			   { NEEDS_MIXING, "all devices are in the hands of servers" },
			   { NEEDS_CHARGE,
			     "the server pins, the stack's process is charged nothing" },
			   { NEEDS_TRACKING | NEEDS_EXACT_TRACKING,
			     "the protocol knows no tracking but the device's own" },
			   { NEEDS_HANDOVER, "a server knows one client and no successor" } },
	},
};

const size_t backend_count = sizeof(backends) / sizeof(backends[0]);

const char *backend_lacks(const struct backend *backend, unsigned int needs)
{
	const struct backend_lack *lack = backend->lacks;

	if ((needs & NEEDS_SERVER) && backend->kind != VFIO_BACKEND_USER)
		return "there is no server that could be so";
	if ((needs & NEEDS_WINDOWS) && backend->kind != VFIO_BACKEND_SPAPR)
		return "windows that KVM can fill are those of POWER's host bridges";
	for (; lack->reason; lack++) {
		if (lack->needs & needs)
			return lack->reason;
	}
	return NULL;
}
