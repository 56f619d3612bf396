/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sweep compares: everything of a stage that must come back after a call that failed, and
 * must be the same after a call that coped with a fault as after one that met none.
 */
#ifndef HARNESS_SWEEP_STATE_H
#define HARNESS_SWEEP_STATE_H

#include "step.h"
#include "story.h"

enum { SWEEP_FILES = 64, SWEEP_STACKS = 8, SWEEP_SPACES = 16, SWEEP_DEVICES = 24 };

/* Whose program something is of: the stage's (serial 0), or one of a process of the story's own. */
struct sweep_owner {
	uint64_t serial;
	uint32_t program;
};

/* What a story has made of the stack and not yet ended. */
struct sweep_live {
	struct vfio *stacks[SWEEP_STACKS];
	struct sweep_owner stack_owners[SWEEP_STACKS];
	struct vfio_memory *spaces[SWEEP_SPACES];
	struct sweep_owner space_owners[SWEEP_SPACES];
	struct {
		struct vfio *stack;
		struct vfio_device *device;
	} devices[SWEEP_DEVICES];
};

/* The fields of a state; sweep_state.c has their names. */
enum sweep_field {
	STATE_OPEN_FILES,
	STATE_DESCRIPTORS,
	STATE_ALLOCATIONS,
	STATE_PINNED,
	STATE_LOCKED,
	STATE_WARNINGS,
	STATE_FORBIDDEN,
	STATE_BLOCKERS,
	STATE_REGISTERED,
	STATE_BLOCKS,
	STATE_MEMORY_BLOCKS,
	STATE_FILES,				       /* what each descriptor is */
	STATE_CONTAINERS,			       /* what the stack says of its containers */
	STATE_GUEST,				       /* guest memory: which regions there are */
	STATE_DIRTY,				       /* pages of guest memory that are */
	STATE_CHARGED,				       /* of several processes: who pays */
	STATE_DEVICE,				       /* one for each device: how it is open */
	STATE_MAPPINGS = STATE_DEVICE + STAGE_DEVICES, /* in its address space */
	STATE_REACH = STATE_MAPPINGS + STAGE_DEVICES,  /* what of guest memory it reaches */
	STATE_FIELDS = STATE_REACH + STAGE_DEVICES,
};

struct sweep_state {
	uint64_t field[STATE_FIELDS];
	/* What the VMM was told so far: containers that are broken, warnings, why it may not
	 * migrate. No part of the state. */
	uint64_t reports;
	int report_code; /* of the last container that broke */
	uint64_t taken;	 /* descriptors that stacks were handed */
	/* STATE_REACH of a state that is like this one, in processes at other addresses. */
	uint64_t alike[STAGE_DEVICES];
};

/* A step was carried out: what it made and what it ended. */
void sweep_live_step(struct sweep_live *live, const struct stage *stage, const struct step *step);
/* Programs have ended, and what they had with them. */
void sweep_live_prune(struct sweep_live *live, const struct stage *stage);
/* Whose stack it is; NULL: the stage's. */
const struct stage_process *sweep_live_process(const struct sweep_live *live,
					       const struct stage *stage, const struct vfio *stack);
/* Whose a step is that makes a stack, by what it is given. */
enum sweep_whose { SWEEP_OF_STAGE, SWEEP_OF_PROCESS, SWEEP_OF_NOBODY };
enum sweep_whose sweep_live_maker(const struct stage *stage, const struct step *step,
				  const struct stage_process **process);

struct sweep_state sweep_state(const struct stage *stage, const struct sweep_live *live);

/* The same for two states that differ in the addresses of processes only. */
uint64_t sweep_state_hash(const struct sweep_state *state);

/* A set of fields. */
#define SWEEP_FIELD(field) (UINT64_C(1) << (field))

/* Which fields may be more: a call that failed may have made tables larger that stay, and a call
 * that coped may say of more pages that they are dirty. */
extern const uint64_t sweep_more_after_failure, sweep_more_after_success;

/*
 * Whether @now is what @want says; if not, @text tells where not. @more: fields that may be more;
 * @any: fields that are not looked at.
 */
bool sweep_state_holds(const struct sweep_state *now, const struct sweep_state *want, uint64_t more,
		       uint64_t any, char *text, size_t size);

#endif
