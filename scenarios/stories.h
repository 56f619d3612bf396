/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stories, by the file that tells them; stories.c has them in order.
 */
#ifndef SCENARIOS_STORIES_H
#define SCENARIOS_STORIES_H

#include "story.h"

/* How many reasons there are against a mode; @reason (NULL is allowed) gets the last one. */
static inline uint32_t blockers_of(const struct stage *stage, enum vfio_migration_mode mode,
				   const char **reason)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < stage->ref.blocker_count; i++) {
		if (!(stage->ref.blockers[i].modes & mode))
			continue;
		count++;
		if (reason)
			*reason = stage->ref.blockers[i].reason;
	}
	return count;
}

/* story_attach.c */
extern const struct story story_one_device;
extern const struct story story_every_order;
extern const struct story story_spaces;
extern const struct story story_sharing;
extern const struct story story_refused;
extern const struct story story_policies;
extern const struct story story_passed_fds;
extern const struct story story_passed_fails;
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
extern const struct story story_dirty_mixed;
extern const struct story story_dirty_start_fails;

/* story_dirty_more.c */
extern const struct story story_dirty_two_spaces;
extern const struct story story_dirty_many;
extern const struct story story_dirty_no_bitmap;
extern const struct story story_dirty_map_goes_devices;
extern const struct story story_dirty_map_goes;
extern const struct story story_dirty_early;
extern const struct story story_dirty_rights;
extern const struct story story_dirty_few;
extern const struct story story_dirty_rom;
extern const struct story story_dirty_log_fails;
extern const struct story story_dirty_log_runs_on;

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
extern const struct story story_vectors;

/* story_cpr.c */
extern const struct story story_cpr_transfer;
extern const struct story story_cpr_exec;
extern const struct story story_cpr_after;
extern const struct story story_cpr_reboot;

/* story_cpr_death.c */
extern const struct story story_cpr_source_dies;
extern const struct story story_cpr_source_dies_later;
extern const struct story story_cpr_source_dies_last;
extern const struct story story_cpr_target_dies;
extern const struct story story_cpr_target_gives_up;
extern const struct story story_cpr_both_die;
extern const struct story story_cpr_exec_dies;
extern const struct story story_cpr_calls_fail;
extern const struct story story_cpr_sweep_transfer;
extern const struct story story_cpr_sweep_exec;
extern const struct story story_cpr_sweep_back;
extern const struct story story_cpr_bar;

/* story_cpr_refuse.c */
extern const struct story story_cpr_blocked;
extern const struct story story_cpr_blocked_device;
extern const struct story story_cpr_old_kernel;
extern const struct story story_cpr_registered;
extern const struct story story_cpr_register_fails;

/* story_cpr_device.c */
extern const struct story story_cpr_interrupts;
extern const struct story story_cpr_vm;
extern const struct story story_cpr_passed;
extern const struct story story_cpr_unplugged;

/* story_cpr_fails.c */
extern const struct story story_cpr_save_fails;
extern const struct story story_cpr_abort_fails;
extern const struct story story_cpr_load_fails;
extern const struct story story_cpr_other_memory;
extern const struct story story_cpr_anonymous;
extern const struct story story_cpr_wrong_time;

/* story_cpr_more.c */
extern const struct story story_cpr_given_up;
extern const struct story story_cpr_iommufds;
extern const struct story story_cpr_tables;
extern const struct story story_cpr_names;
extern const struct story story_cpr_migrating;
extern const struct story story_cpr_broken;

/* story_user.c, story_user_hostile.c */
extern const struct story story_user_far;
extern const struct story story_user_posted;
extern const struct story story_user_refused_map;
extern const struct story story_user_many_maps;
extern const struct story story_user_late;
extern const struct story story_user_sockets;
extern const struct story story_user_blocked;
extern const struct story story_user_hostile;
extern const struct story story_user_dies;
extern const struct story story_user_capabilities;

/* bugs/: one file each */
extern const struct story story_bug_ch_mig_state_recovery;
extern const struct story story_bug_container_error_int_loses_message;
extern const struct story story_bug_cpr_backend_vmstate_registered_per_container;
extern const struct story story_bug_cpr_blocker_failure_keeps_notifier;
extern const struct story story_bug_cpr_container_label_in_vmstate;
extern const struct story story_bug_cpr_device_unregister_after_space_put;
extern const struct story story_bug_cpr_iommufd_register_inverted;
extern const struct story story_bug_cpr_register_leaked_on_get_info_failure;
extern const struct story story_bug_cpr_register_per_device;
extern const struct story story_bug_cpr_unregister_per_device;
extern const struct story story_bug_cpr_unsupported_skips_vmstate;
extern const struct story story_bug_giommu_notifiers_survive_container;
extern const struct story story_bug_hotplug_onto_existing_giommu_mappings;
extern const struct story story_bug_intx_left_enabled_on_error;
extern const struct story story_bug_iommufd_attach_errno_lost;
extern const struct story story_bug_iommufd_dirty_rollback_all;
extern const struct story story_bug_iommufd_mdev_hw_info;
extern const struct story story_bug_iommufd_unmap_enoent_ambiguous;
extern const struct story story_bug_kvm_add_fd_error_ignored;
extern const struct story story_bug_kvm_liobn_no_lock;
extern const struct story story_bug_kvm_liobn_zero_sentinel;
extern const struct story story_bug_kvm_lookup_first_group_only;
extern const struct story story_bug_kvm_spapr_cdev_warn;
extern const struct story story_bug_kvm_warn_from_user;
extern const struct story story_bug_legacy_unmap_bitmap_errno_eperm;
extern const struct story story_bug_listener_unregister_after_unset;
extern const struct story story_bug_migration_realize_fail_leaks_device;
extern const struct story story_bug_user_attach_leaks_container_on_get_info;
extern const struct story story_bug_user_connect_group_container_dangling;
extern const struct story story_bug_user_connect_hostwin_leak;
extern const struct story story_bug_user_connect_no_space_undo;
extern const struct story story_bug_user_dirty_advertised_unsupported;
extern const struct story story_bug_user_discard_balance;
extern const struct story story_bug_user_disconnect_release_before_space;
extern const struct story story_bug_user_empty_io_ops;
extern const struct story story_bug_user_fd_minus_one_close;
extern const struct story story_bug_user_get_group_inserts_null;
extern const struct story story_bug_user_get_group_reset_handler_leak;
extern const struct story story_bug_user_group_freed_still_listed;
extern const struct story story_bug_user_groupid_minus_one_shared;
extern const struct story story_bug_user_hostwin_full_64bit;
extern const struct story story_bug_user_info_argsz_zero;
extern const struct story story_bug_user_marked_mdev;
extern const struct story story_bug_user_missing_discard_disable;
extern const struct story story_bug_user_put_group_discard_order;
extern const struct story story_bug_user_reenable_discard_before_unregister;
extern const struct story story_bug_user_region_query_failure_ignored;
extern const struct story story_bug_user_registers_cpr_it_cannot_do;
extern const struct story story_bug_user_setup_bool_enotsup;

#endif
