/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO_DEVICE_FEATURE: the arguments of each feature, and what must be so before it is used. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <uapi/vfio.h>

#include "fault_steps.h"

static void give(unsigned char *arg, uint32_t *bytes, uint32_t flags, const void *data,
		 uint32_t len)
{
	struct vfio_device_feature head = { .argsz = sizeof(head), .flags = flags };

	*bytes = sizeof(head);
	memcpy(arg, &head, sizeof(head));
	if (len)
		fault_append(arg, bytes, data, len);
}

void fault_feature_migration(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_migration data = { 0 };

	(void)s;
	give(arg, bytes, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &data,
	     sizeof(data));
}

void fault_feature_get_state(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_mig_state data = { 0 };

	(void)s;
	give(arg, bytes, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &data,
	     sizeof(data));
}

static void set_state(unsigned char *arg, uint32_t *bytes, uint32_t state)
{
	struct vfio_device_feature_mig_state data = { .device_state = state };

	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &data,
	     sizeof(data));
}

void fault_feature_stop(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	set_state(arg, bytes, VFIO_DEVICE_STATE_STOP);
}

void fault_feature_pre_copy(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	set_state(arg, bytes, VFIO_DEVICE_STATE_PRE_COPY);
}

/* From a device that was stopped, so that it is one arc. */
static void stop(struct stage *s)
{
	unsigned char arg[SOUND_BYTES] = { 0 };
	uint32_t bytes;

	set_state(arg, &bytes, VFIO_DEVICE_STATE_STOP);
	fault_call_with(s, s->fd, VFIO_DEVICE_FEATURE, arg, bytes);
}

void fault_feature_stop_copy(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	stop(s);
	set_state(arg, bytes, VFIO_DEVICE_STATE_STOP_COPY);
}

void fault_feature_resuming(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	stop(s);
	set_state(arg, bytes, VFIO_DEVICE_STATE_RESUMING);
}

void fault_feature_data_size(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_mig_data_size data = { 0 };

	(void)s;
	give(arg, bytes, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &data,
	     sizeof(data));
}

void fault_feature_log_start(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_dma_logging_range ranges[] = {
		{ .iova = 0, .length = 65536 }, { .iova = 1 << 20, .length = 65536 }
	};
	struct vfio_device_feature_dma_logging_control data = { .page_size = 4096,
								.num_ranges = 2,
								.ranges = s->memory };

	assert_int_equal(vfake_poke(s->rig.task, s->memory, ranges, sizeof(ranges)), 0);
	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &data,
	     sizeof(data));
}

static void logging(struct stage *s)
{
	unsigned char arg[SOUND_BYTES] = { 0 };
	uint32_t bytes;

	fault_feature_log_start(s, arg, &bytes);
	fault_call_with(s, s->fd, VFIO_DEVICE_FEATURE, arg, bytes);
}

void fault_feature_log_stop(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	logging(s);
	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
}

void fault_feature_log_report(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_dma_logging_report data = {
		.length = 65536, .page_size = 4096, .bitmap = s->memory + s->page_bytes
	};

	logging(s);
	give(arg, bytes, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &data,
	     sizeof(data));
}

void fault_feature_precopy_info(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0);
}

void fault_feature_low_power(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	(void)s;
	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0);
}

void fault_feature_low_power_wakeup(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_low_power_entry_with_wakeup data = { .wakeup_eventfd =
									s->fds[STAGE_EVENTFD] };

	give(arg, bytes, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
	     &data, sizeof(data));
}

void fault_feature_dma_buf(struct stage *s, unsigned char *arg, uint32_t *bytes)
{
	struct vfio_device_feature_dma_buf data = { .nr_ranges = 1 };
	struct vfio_region_dma_range range = { .length = s->page_bytes };
	uint16_t memory = htole16(2); /* the command register: answers memory accesses */
	struct vfio_region_info config = { .argsz = sizeof(config),
					   .index = VFIO_PCI_CONFIG_REGION_INDEX };

	fault_call_with(s, s->fd, VFIO_DEVICE_GET_REGION_INFO, &config, sizeof(config));
	assert_int_equal(vfake_poke(s->rig.task, s->args, &memory, sizeof(memory)), 0);
	assert_int_equal(vfake_pwrite(s->rig.task, s->fd, s->args, 2, config.offset + 4), 2);
	give(arg, bytes, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF, &data,
	     sizeof(data));
	fault_append(arg, bytes, &range, sizeof(range));
}
