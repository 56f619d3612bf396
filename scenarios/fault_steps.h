/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has to be done before a call works, and what of its argument the table cannot know. Each has
 * the form of fault_call's prepare().
 */
#ifndef SCENARIOS_FAULT_STEPS_H
#define SCENARIOS_FAULT_STEPS_H

#include "fault_calls.h"

/* A call that must work, with its argument in the page of the stage. */
long fault_call_with(struct stage *s, int fd, uint32_t number, void *arg, size_t bytes);
/* @len bytes of @data behind what the argument has already; argsz says so. */
void fault_append(unsigned char *arg, uint32_t *bytes, const void *data, uint32_t len);

void fault_name_d0(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_close_device(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_disable(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_unmap_vaddr(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_unmap_with_bitmap(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_eventfd_behind(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_irq_is_on(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_group_behind(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_vfio_file_in_memory(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_file_is_added(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_only_files(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_migration(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_get_state(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_stop(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_pre_copy(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_stop_copy(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_resuming(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_data_size(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_log_start(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_log_stop(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_log_report(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_precopy_info(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_low_power(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_low_power_wakeup(struct stage *stage, unsigned char *arg, uint32_t *bytes);
void fault_feature_dma_buf(struct stage *stage, unsigned char *arg, uint32_t *bytes);

#endif
