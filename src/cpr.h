/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live update, the inside.
 *
 *   cpr.c        what is registered and what blocks
 *   cpr_save.c   the old process: saving, taking back
 *   cpr_load.c   the new process: loading, taking over, finishing
 *   cpr_settle.c after it: what nobody has taken over
 *   cpr_state.c  the saved state as bytes
 *
 * The core's lists of steps (container.c) register and unregister; backends give a struct
 * vfio_cpr_ops. While a state is being taken over, and when a stack that has saved one goes, calls
 * that take something down in the kernel are not made: vfio_cpr_holds_back().
 */
#ifndef SRC_CPR_H
#define SRC_CPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <vfio/cpr.h>

struct vfio_container;
struct vfio_device;
struct vfio_map;

enum {
	VFIO_CPR_PROCESS_MODES = VFIO_MODE_CPR_TRANSFER | VFIO_MODE_CPR_EXEC,
	VFIO_CPR_GROUP_MAX = 31,
};

/* ---- the state: cpr_state.c ---- */

struct vfio_cpr_iommufd_record {
	uint32_t id;
	bool borrowed;
};

struct vfio_cpr_container_record {
	uint32_t id;
	uint32_t backend;
	uint32_t iommufd;
	uint32_t ioas;
	uint32_t type;
	uint32_t max_mappings;
	bool dirty_supported;
	uint32_t maps_crc;
	uint64_t maps;
};

struct vfio_cpr_device_record {
	uint32_t container;
	uint32_t devid;
	uint32_t hwpt;
	uint32_t irqs;
	bool error_fd;
	bool request_fd;
	char name[VFIO_CPR_NAME_MAX + 1];
	char group[VFIO_CPR_GROUP_MAX + 1];
};

/* A state that was read. */
struct vfio_cpr_state {
	uint32_t mode;
	uint32_t iommufd_count;
	uint32_t container_count;
	uint32_t device_count;
	struct vfio_cpr_iommufd_record *iommufds;
	struct vfio_cpr_container_record *containers;
	struct vfio_cpr_device_record *devices;
};

/*
 * Where a state is written to: bytes beyond @room are only counted. Or, with @differs, what it is
 * compared with.
 */
struct vfio_cpr_out {
	uint8_t *to;
	const uint8_t *expect;
	size_t room;
	size_t size;
	uint32_t records;
	bool differs;
};

uint32_t vfio_cpr_crc(uint32_t crc, const void *bytes, size_t size);
void vfio_cpr_put64(uint8_t bytes[8], uint64_t value);
void vfio_cpr_write_iommufd(struct vfio_cpr_out *out, const struct vfio_cpr_iommufd_record *record);
void vfio_cpr_write_container(struct vfio_cpr_out *out,
			      const struct vfio_cpr_container_record *record);
void vfio_cpr_write_device(struct vfio_cpr_out *out, const struct vfio_cpr_device_record *record);
/* The header: as many bytes as the reserved ones in front of the records. */
enum { VFIO_CPR_HEADER_BYTES = 32 };
void vfio_cpr_write_header(uint8_t *state, size_t size, uint32_t mode, uint32_t records);
/* Reads and checks all of it. NULL with the reason; freed by vfio_cpr_state_free(). */
struct vfio_cpr_state *vfio_cpr_read(struct vfio *vfio, const void *state, size_t size,
				     struct vfio_error *error);
void vfio_cpr_state_free(struct vfio *vfio, struct vfio_cpr_state *state); /* NULL is allowed */
/* A record of the first @count ones; NULL: there is none with this id. */
const struct vfio_cpr_iommufd_record *vfio_cpr_find_iommufd(const struct vfio_cpr_state *state,
							    uint32_t id, uint32_t count);
const struct vfio_cpr_container_record *vfio_cpr_find_container(const struct vfio_cpr_state *state,
								uint32_t id, uint32_t count);

/* ---- what is registered: cpr.c ---- */

/* A reason against handing over, told to the VMM. */
struct vfio_cpr_blocker {
	const char *reason; /* NULL: there is none */
	uint64_t id;
	bool told;
};

/* A piece of the state. */
struct vfio_cpr_section {
	TAILQ_ENTRY(vfio_cpr_section) entry; /* in vfio->cpr.sections */
	struct vfio *vfio;
	struct vfio_vmstate vmstate;
	char name[48];
	const void *owner;
	void (*write)(const void *owner, struct vfio_cpr_out *out);
};

/* What several containers and devices share: an iommufd. */
struct vfio_cpr_shared {
	TAILQ_ENTRY(vfio_cpr_shared) entry; /* in vfio->cpr.shared, while it is registered */
	int fd;
	uint32_t id;
	bool borrowed;
	uint32_t users; /* that went through the step */
	struct vfio_cpr_section section;
	struct vfio_cpr_blocker blocker;
};

/* Of a container. */
struct vfio_cpr_member {
	uint32_t id;
	const struct vfio_cpr_container_record *record; /* while it is being taken over */
	struct vfio_cpr_section section;
	struct vfio_cpr_blocker blocker;
};

/* Of a device. */
struct vfio_cpr_passenger {
	const struct vfio_cpr_device_record *record; /* while it is being taken over */
	struct vfio_cpr_blocker blocker;
};

/* What a backend does for it. Functions but describe() may be NULL: nothing to do. */
struct vfio_cpr_ops {
	/* Why the container cannot be handed over, or NULL. */
	const char *(*lacks)(struct vfio_container *container);
	/* What the device shares with others. */
	struct vfio_cpr_shared *(*shared)(const struct vfio_device *device);
	/* Its part of the record. */
	void (*describe)(const struct vfio_container *container,
			 struct vfio_cpr_container_record *record);
	/* The container's own file. */
	int (*file)(const struct vfio_container *container);
	/* Lets go of the addresses of all maps, all or none. 0 or -errno. */
	int (*suspend)(struct vfio_container *container);
	/* Makes this process's address the map's, whoever's it was. 0 or -errno. */
	int (*resume)(struct vfio_container *container, const struct vfio_map *map);
};

enum vfio_cpr_phase {
	VFIO_CPR_IDLE,
	VFIO_CPR_SAVED,	 /* somebody else may have the devices */
	VFIO_CPR_LOADED, /* cpr-reboot: nothing is shared */
	VFIO_CPR_TAKING, /* somebody else may still have the devices */
};

/* An object of an iommufd that no device is left for. */
struct vfio_cpr_orphan {
	uint32_t iommufd;
	uint32_t object;
};

/* Of the instance. */
struct vfio_cpr {
	char name[16];
	enum vfio_cpr_phase phase;
	bool shares;	 /* SAVED: not for cpr-reboot */
	bool letting_go; /* what is shared, and the stack's objects go */
	bool let_go;	 /* some have gone so since it was saved */
	TAILQ_HEAD(, vfio_cpr_section) sections;
	TAILQ_HEAD(, vfio_cpr_shared) shared;
	uint8_t *saved;
	size_t saved_size;
	struct vfio_cpr_state *state;
	struct vfio_cpr_fds fds;
	struct vfio_cpr_orphan *orphans;
	uint32_t orphan_count;
};

void vfio_cpr_init(struct vfio *vfio);
/* Something of the stack's goes; if another process may have it, only for this one. */
void vfio_cpr_let_go(struct vfio *vfio, bool begin);
void vfio_cpr_fini(struct vfio *vfio);
/* Whether the kernel's objects belong to another process, too: nothing is taken down. */
bool vfio_cpr_shares(const struct vfio *vfio);
/* Whether a call is not to be made for that reason. */
bool vfio_cpr_holds_back(const struct vfio *vfio, uint32_t request, const void *arg);

/* Steps of container.c and their undos. */
bool vfio_cpr_container_up(struct vfio_container *container, struct vfio_error *error);
void vfio_cpr_container_down(struct vfio_container *container);
bool vfio_cpr_shared_up(struct vfio_device *device, struct vfio_error *error);
void vfio_cpr_shared_down(struct vfio_device *device);
bool vfio_cpr_device_up(struct vfio_device *device, struct vfio_error *error);
void vfio_cpr_device_down(struct vfio_device *device);

/* Every iommufd of the stack: this process pays for its memory from now on. */
bool vfio_cpr_own_shared(struct vfio *vfio, struct vfio_error *error);
int vfio_cpr_change_process(struct vfio *vfio, const struct vfio_cpr_shared *shared);

/* Number and checksum of a container's maps. */
void vfio_cpr_count_maps(const struct vfio_container *container, uint64_t *count, uint32_t *crc);

/* ---- taking over: cpr_load.c ---- */

/* Finds the record of a device that attaches. False: it has none, or another kind of one. */
bool vfio_cpr_board(struct vfio_device *device, struct vfio_error *error);
/* Whether the device can go to a container that is there: always, unless it is taken over. */
bool vfio_cpr_fits(const struct vfio_container *container, const struct vfio_device *device);
/* Gives a container that is being made the record of its first device's, if there is one. */
bool vfio_cpr_new_container(struct vfio_container *container, const struct vfio_device *first,
			    struct vfio_error *error);
/* The record of its container. NULL when nothing is being taken over. */
const struct vfio_cpr_container_record *vfio_cpr_container_of(const struct vfio_device *device);
/* The record of its iommufd. NULL when nothing is being taken over. */
const struct vfio_cpr_iommufd_record *vfio_cpr_iommufd_of(const struct vfio_device *device);
/* A descriptor that was kept: -errno with the error. */
int vfio_cpr_take(struct vfio *vfio, const char *what, const char *name, uint32_t id,
		  struct vfio_error *error);
/* Notes what vfio_cpr_settle() is to destroy: what the state has and this process has not. */
bool vfio_cpr_note_orphans(struct vfio *vfio, struct vfio_error *error);
/* An iommufd goes, and all that it had; another one may get its number. */
void vfio_cpr_forget_iommufd(struct vfio *vfio, uint32_t iommufd);
/* A map that the old process made. 0 or -errno. */
int vfio_cpr_take_map(struct vfio_container *container, const struct vfio_map *map);

#endif
