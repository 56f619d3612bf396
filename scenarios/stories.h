/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stories, by the file that tells them; stories.c has them in order.
 */
#ifndef SCENARIOS_STORIES_H
#define SCENARIOS_STORIES_H

#include "story.h"

/* story_attach.c */
extern const struct story story_one_device;
extern const struct story story_every_order;
extern const struct story story_spaces;
extern const struct story story_sharing;
extern const struct story story_refused;
extern const struct story story_policies;
extern const struct story story_passed_fds;
extern const struct story story_two_stacks;
extern const struct story story_company;
extern const struct story story_mixed;

/* story_map.c */
extern const struct story story_alignment;
extern const struct story story_misaligned;
extern const struct story story_end_of_space;
extern const struct story story_unmappable;
extern const struct story story_hotplug;
extern const struct story story_random;
extern const struct story story_random_aliases;
extern const struct story story_kinds;
extern const struct story story_file;
extern const struct story story_device_memory;
extern const struct story story_entries;
extern const struct story story_memlock;

/* story_viommu.c */
extern const struct story story_viommu_maps;
extern const struct story story_viommu_late;
extern const struct story story_viommu_switch;
extern const struct story story_viommu_wrong;

/* story_discard.c */
extern const struct story story_pieces;
extern const struct story story_refusal;
extern const struct story story_granularity;

/* story_dirty.c */
extern const struct story story_dirty_container;
extern const struct story story_dirty_devices;
extern const struct story story_dirty_changes;
extern const struct story story_dirty_changes_devices;
extern const struct story story_dirty_viommu;
extern const struct story story_dirty_viommu_devices;
extern const struct story story_dirty_start_fails;

/* story_failure.c */
extern const struct story story_failing_calls;
extern const struct story story_failing_calls_migrate;
extern const struct story story_failing_allocations;
extern const struct story story_failing_runtime;
extern const struct story story_stored_error;

/* story_device.c */
extern const struct story story_dma;
extern const struct story story_interrupts;
extern const struct story story_regions;
extern const struct story story_hot_reset;
extern const struct story story_kvm;
extern const struct story story_migration;
extern const struct story story_migration_blocked;

/* story_bugs.c */
extern const struct story story_whole_space;
extern const struct story story_twice;
extern const struct story story_first_reason;
extern const struct story story_beside;
extern const struct story story_quiet;
extern const struct story story_vectors;
extern const struct story story_unknown_region;
extern const struct story story_page_tables;
extern const struct story story_no_hw_info;
extern const struct story story_half_tracked;

#endif
