/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that work, for test_fault.c: what the sound argument of the table needs to be changed to,
 * and what must be done before.
 */
#ifndef SCENARIOS_FAULT_CALLS_H
#define SCENARIOS_FAULT_CALLS_H

#include "sound_call.h"

/* Where the value of a field comes from. */
enum fault_source {
	FROM_VALUE,
	FROM_MEMORY, /* pages behind the start of the stage's memory */
	FROM_FD,     /* enum stage_fd */
	FROM_ID,     /* bit of enum uapi_object */
};

enum { FAULT_SETS = 8 };

struct fault_call {
	const char *row;   /* its name; "file/" and the call where it has none */
	const char *stage; /* name of its kind */
	const char *note;  /* for messages: what is special */
	uint64_t scalar;   /* of a row whose argument is a number */
	bool halves;	   /* see fault_leaves_half() */
	struct {
		const char *field;
		enum fault_source source;
		uint64_t value;
	} sets[FAULT_SETS];
	/* Before the call, NULL for nothing; @arg may be changed, and made longer. */
	void (*prepare)(struct stage *stage, unsigned char *arg, uint32_t *bytes);
	long (*make)(const struct stage *stage); /* of a call that is no ioctl */
};

extern const struct fault_call fault_calls[];
extern const size_t fault_call_count;
/* Calls that are no ioctls. */
extern const struct fault_call fault_file_calls[];
extern const size_t fault_file_call_count;

/* The stages of negative_stage.h and more; NULL after the last. */
const struct stage_kind *fault_stage(size_t index);

/* Linux leaves half of the effect when the answer cannot be written. */
bool fault_leaves_half(const struct fault_call *call, const struct uapi_ioctl *row);

/* A row whose calls all fail here, as they do on the machines that are imitated. */
bool fault_never_works(const struct uapi_ioctl *row);

/* Brings the stage to where the call works, and makes its argument: SOUND_BYTES at @arg. */
void fault_call_prepare(const struct fault_call *call, const struct uapi_ioctl *row,
			struct stage *stage, unsigned char *arg);
/* The call, with its argument in the stage's page for them. */
long fault_call_make(const struct fault_call *call, const struct uapi_ioctl *row,
		     const struct stage *stage);

#endif
