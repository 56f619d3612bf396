/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/iommufd.h>
#include <uapi/kvm.h>
#include <vfake/view.h>

#include "fault_steps.h"

long fault_call_with(struct stage *s, int fd, uint32_t number, void *arg, size_t bytes)
{
	long ret;

	assert_int_equal(vfake_poke(s->rig.task, s->args, arg, bytes), 0);
	ret = vfake_ioctl(s->rig.task, fd, number, s->args);
	assert_true(ret >= 0);
	assert_int_equal(vfake_peek(s->rig.task, s->args, arg, bytes), 0);
	return ret;
}

void fault_append(unsigned char *arg, uint32_t *bytes, const void *data, uint32_t len)
{
	assert_true(*bytes + len <= SOUND_BYTES);
	memcpy(arg + *bytes, data, len);
	*bytes += len;
	memcpy(arg, bytes, sizeof(*bytes));
}

void fault_name_d0(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	*bytes = sizeof("d0");
	memcpy(arg, "d0", sizeof("d0"));
}

/* open_set() opened it last of all. */
void fault_close_device(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfake_file_view file;

	(void)arg;
	(void)bytes;
	for (int fd = 0; fd < 64; fd++) {
		if (!vfake_view_file(s->rig.task, fd, &file) && !strcmp(file.kind, "device"))
			assert_int_equal(vfake_close(s->rig.task, fd), 0);
	}
}

void fault_disable(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)arg;
	(void)bytes;
	assert_int_equal(vfake_ioctl(s->rig.task, s->fd, VFIO_IOMMU_DISABLE, 0), 0);
}

void fault_unmap_vaddr(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)arg;
	(void)bytes;
	assert_int_equal(dma_unmap(s->rig.task, s->fd, VFIO_DMA_UNMAP_FLAG_VADDR, STAGE_MAPPED,
				   s->page_bytes, NULL),
			 0);
}

/* The memory behind a bitmap pointer, one page further on. */
void fault_unmap_with_bitmap(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_bitmap bitmap = { .pgsize = s->page_bytes,
				      .size = 8,
				      .data = (uint64_t *)(uintptr_t)(s->memory + s->page_bytes) };

	*bytes = sizeof(struct vfio_iommu_type1_dma_unmap);
	fault_append(arg, bytes, &bitmap, sizeof(bitmap));
}

void fault_eventfd_behind(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	int32_t fd = s->fds[STAGE_EVENTFD];

	fault_append(arg, bytes, &fd, sizeof(fd));
}

/* The eventfd is on INTx, so that a call can take it off again. */
void fault_irq_is_on(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_irq_set set = { .flags =
					    VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				    .count = 1 };
	unsigned char irq[SOUND_BYTES] = { 0 };
	uint32_t size = sizeof(set);

	(void)arg;
	(void)bytes;
	memcpy(irq, &set, sizeof(set));
	fault_append(irq, &size, &s->fds[STAGE_EVENTFD], sizeof(int32_t));
	fault_call_with(s, s->fd, VFIO_DEVICE_SET_IRQS, irq, size);
}

void fault_group_behind(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfake_file_view file;

	for (int32_t fd = 0; fd < 64; fd++) {
		if (!vfake_view_file(s->rig.task, fd, &file) && !strcmp(file.kind, "group"))
			fault_append(arg, bytes, &fd, sizeof(fd));
	}
}

/* The first descriptor of a group or device goes to the stage's memory. */
void fault_vfio_file_in_memory(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	int32_t fd = open_cdev(s->rig.task, "d0");

	(void)arg;
	(void)bytes;
	assert_true(fd >= 0);
	assert_int_equal(vfake_poke(s->rig.task, s->memory, &fd, sizeof(fd)), 0);
}

void fault_file_is_added(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct kvm_device_attr add = { .group = KVM_DEV_VFIO_FILE,
				       .attr = KVM_DEV_VFIO_FILE_ADD,
				       .addr = s->memory };

	fault_vfio_file_in_memory(s, arg, bytes);
	fault_call_with(s, s->fd, KVM_SET_DEVICE_ATTR, &add, sizeof(add));
}

/* All that is mapped is of a file, as it must be for another process to take it over. */
void fault_only_files(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	uint32_t ioas = s->ids[__builtin_ctz(UAPI_OBJ_IOAS)];
	struct iommu_ioas_unmap unmap = { .size = sizeof(unmap),
					  .ioas_id = ioas,
					  .length = UINT64_MAX };
	struct iommu_ioas_map_file map = { .size = sizeof(map),
					   .flags = 7,
					   .ioas_id = ioas,
					   .fd = s->fds[STAGE_MEMFD],
					   .length = s->page_bytes,
					   .iova = STAGE_MAPPED };

	(void)arg;
	(void)bytes;
	fault_call_with(s, s->fd, IOMMU_IOAS_UNMAP, &unmap, sizeof(unmap));
	fault_call_with(s, s->fd, IOMMU_IOAS_MAP_FILE, &map, sizeof(map));
}
