/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stages for the negative tests: a running world with a file of one kind in one state, and around
 * it what a valid argument can name.
 */
#ifndef SCENARIOS_NEGATIVE_STAGE_H
#define SCENARIOS_NEGATIVE_STAGE_H

#include <stdint.h>

#include <uapi/table.h>

#include "common.h"

enum {
	STAGE_OBJECTS = 10,	  /* bits of enum uapi_object */
	STAGE_MAPPED = 1 << 24,	  /* an IOVA at which one page is mapped */
	STAGE_UNMAPPED = 1 << 25, /* one at which nothing is */
};

/* Descriptors that an argument can name. */
enum stage_fd {
	STAGE_NO_FD,
	STAGE_CONTAINER,
	STAGE_EVENTFD,
	STAGE_IOMMUFD,
	STAGE_MEMFD,
	STAGE_FDS,
};

struct stage {
	struct rig rig; /* its process has no memory but what is mapped */
	int fd;		/* the file under test */
	uint64_t page_bytes;
	vfake_addr args;   /* a page with nothing mapped behind it */
	vfake_addr memory; /* 16 pages, all zero */
	int fds[STAGE_FDS];
	uint32_t ids[STAGE_OBJECTS]; /* by bit of enum uapi_object; 0 is none */
	struct vfake_ledger before;  /* of the call that is judged */
};

struct stage_kind {
	enum uapi_where where;
	const char *name;
	void (*build)(struct stage *stage); /* after the world has started */
	bool powernv;
	const char *model; /* of one more device, "d3"; NULL: there is none */
};

extern const struct stage_kind stage_kinds[];
extern const size_t stage_kind_count;

void stage_start(struct stage *stage, const struct stage_kind *kind);
void stage_end(struct stage *stage);

#endif
