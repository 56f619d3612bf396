/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vfio-user server: serves a device of a fake kernel to one client at a time.
 *
 * The peer is a task of that kernel. It has the device open and bound to an iommufd of its own, and
 * turns each message of uapi/vfio_user.h into calls on them. So the same device models run behind
 * it as behind /dev/vfio. Memory that came with a descriptor is mapped into its IOAS; memory that
 * came without is far (vfake/bridge.h), and the device's DMA there becomes DMA_READ and DMA_WRITE.
 *
 * Nothing in it waits and nothing moves by itself: vfake_peer_turn() does what there is to do. With
 * a path the peer listens in the fake kernel and is its task's program, so a client that waits
 * there gives it its turns. Else the caller hands it a link, for example to a real socket.
 *
 * What a client does wrong is answered with an error where a message can be told from the next one,
 * else the peer hangs up. When a client goes, its maps and interrupts go; the device keeps its
 * state.
 */
#ifndef VFAKE_PEER_H
#define VFAKE_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <vfake/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct vfake_peer;

/** What a hostile peer does to a reply. */
enum vfake_hostile_kind {
	VFAKE_HOSTILE_NONE,
	VFAKE_HOSTILE_SHORT_WRITES,   /**< a byte at a time goes out, one in a turn */
	VFAKE_HOSTILE_SHORT_READS,    /**< a byte at a time comes in, one in a turn */
	VFAKE_HOSTILE_HANG_UP,	      /**< instead of the reply */
	VFAKE_HOSTILE_HANG_UP_HEADER, /**< after the header */
	VFAKE_HOSTILE_HANG_UP_BODY,   /**< before the last byte */
	VFAKE_HOSTILE_NO_ANSWER,      /**< none, ever */
	VFAKE_HOSTILE_LATE,	      /**< 16 turns later */
	VFAKE_HOSTILE_DUPLICATE,      /**< the same again */
	VFAKE_HOSTILE_WRONG_ID,
	VFAKE_HOSTILE_WRONG_COMMAND,
	VFAKE_HOSTILE_SIZE_SMALL,  /**< msg_size is less than a header */
	VFAKE_HOSTILE_SIZE_HUGE,   /**< msg_size is 2^32 - 1 */
	VFAKE_HOSTILE_SIZE_SHORT,  /**< the last byte is missing, msg_size agrees */
	VFAKE_HOSTILE_SIZE_LONG,   /**< eight more bytes, msg_size agrees */
	VFAKE_HOSTILE_NO_PAYLOAD,  /**< a header alone, without an error */
	VFAKE_HOSTILE_NOT_A_REPLY, /**< an error, but of type command */
	VFAKE_HOSTILE_BAD_TYPE,	   /**< of a type that there is not */
	VFAKE_HOSTILE_ERROR_ZERO,  /**< an error with errno 0 */
	VFAKE_HOSTILE_ERROR_HUGE,  /**< an error with errno 2^32 - 1 */
	VFAKE_HOSTILE_ERROR,	   /**< EIO, after the effect */
	VFAKE_HOSTILE_UNASKED,	   /**< also answers commands that want no reply */
	VFAKE_HOSTILE_NO_FDS,	   /**< no descriptor where one belongs */
	VFAKE_HOSTILE_ONE_FD,	   /**< a descriptor more */
	VFAKE_HOSTILE_MANY_FDS,	   /**< 1,000 descriptors */
	VFAKE_HOSTILE_ARGSZ_GROWS, /**< argsz is always more than was asked for */
	VFAKE_HOSTILE_CAP_LOOP,	   /**< a capability whose next one is itself */
	VFAKE_HOSTILE_CAP_BEYOND,  /**< a capability behind the end of the payload */
	VFAKE_HOSTILE_COUNT_LIES,  /**< the payload's count is larger than its data */
	VFAKE_HOSTILE_BAD_JSON,	   /**< VERSION only: not JSON */
	VFAKE_HOSTILE_BAD_VERSION, /**< VERSION only: another major version */
	VFAKE_HOSTILE_KINDS
};

/** "short-writes", "cap-loop", … or NULL for a number that is no kind. */
const char *vfake_hostile_name(enum vfake_hostile_kind kind);

/** Which replies are spoiled, and how. */
struct vfake_hostile {
	enum vfake_hostile_kind kind;
	uint16_t command; /**< of enum vfio_user_command; 0: all but VERSION */
	uint32_t skip;	  /**< that many such replies stay as they are first */
	bool once;	  /**< then one is spoiled, else all from there on */
};

/** A write that a client may make by signalling an eventfd, which GET_REGION_IO_FDS gives it. */
struct vfake_peer_io {
	uint32_t region;     /**< index of a BAR */
	uint32_t size_bytes; /**< of the write: 1, 2 or 4 */
	uint64_t offset;     /**< in the region */
	uint64_t value;	     /**< that is written */
};

enum { VFAKE_PEER_IO_MAX = 16 };

/** What a peer is. All zero but for the device is a well-behaved one with defaults. */
struct vfake_peer_attr {
	const char *device; /**< name of the device that it serves */
	const char *path;   /**< of its socket in the fake kernel; NULL: vfake_peer_attach() */
	/* What it takes, as VERSION says; 0 is a default. */
	uint32_t max_msg_fds;	      /**< 8 */
	uint32_t max_data_xfer_bytes; /**< 1 MiB, which is also the most */
	uint32_t max_dma_maps;	      /**< 65,535 */
	bool no_write_multiple;	      /**< does not know REGION_WRITE_MULTI */
	bool no_twin_socket;	      /**< sends its commands on the one socket, always */
	bool sparse_mmap; /**< a region that can be mapped and has no capability says so by one */
	/** MIG_DATA_READ's reply has as many bytes as were asked for, although its size says less.
	 */
	bool padded_mig_data;
	/**
	 * Maps that begin below this IOVA are reached by messages although they came with a
	 * descriptor, which is then not used.
	 */
	uint64_t far_below;
	uint32_t delay_turns; /**< a reply goes out so many turns after its command */
	uint32_t io_count;    /**< of io; 0: no eventfds for writes */
	struct vfake_peer_io io[VFAKE_PEER_IO_MAX];
	uint32_t ticks_per_turn; /**< of the whole kernel's devices: vfake_tick() */
	struct vfake_hostile hostile;
};

/**
 * Starts a peer.
 *
 * @kernel: outlives it
 * @attr:   copied
 * @error:  gets a static text when there is one
 *
 * Returns the peer, or NULL: there is no such device, it is in use or cannot be bound to an
 * iommufd, it cannot take an io event, the path is taken, or memory is short.
 */
struct vfake_peer *vfake_peer_new(struct vfake_kernel *kernel, const struct vfake_peer_attr *attr,
				  const char **error);

/** Hangs up and ends the peer with its task. NULL is allowed. */
void vfake_peer_free(struct vfake_peer *peer);

/** The peer's process. */
struct vfake_task *vfake_peer_task(struct vfake_peer *peer);

/** Spoils replies from now on. */
void vfake_peer_set_hostile(struct vfake_peer *peer, const struct vfake_hostile *hostile);

/** Whether a reply that is still to come may be spoiled. */
bool vfake_peer_is_hostile(const struct vfake_peer *peer);

/** Lets in, reads, answers, lets devices tick. Returns whether it did or still has anything to do.
 */
bool vfake_peer_turn(struct vfake_peer *peer);

/**
 * The way to a client. Descriptors are the link's own numbers; the peer's task has others for the
 * same things, and the link translates. Functions return what the system calls do.
 */
struct vfake_peer_link {
	void *ctx;
	long (*send)(void *ctx, const void *bytes, uint64_t len, const int *fds, uint32_t fd_count);
	long (*recv)(void *ctx, void *bytes, uint64_t len, int *fds, uint32_t *fd_count);
	/**
	 * A descriptor of the peer's task for memory that the client sent: @len bytes from *offset
	 * on, which becomes their offset in the new file. The client's stays. -errno.
	 */
	int (*take_memory)(void *ctx, int fd, uint64_t *offset, uint64_t len, bool write);
	/** Likewise for an eventfd. @heard: the client signals it, the device listens. */
	int (*take_event)(void *ctx, int fd, bool heard);
	/** A descriptor for the client of a file of the peer's task; *offset as above. -errno. */
	int (*give)(void *ctx, int fd, uint64_t *offset);
	/** Likewise of an eventfd that the client will signal, each time the same one. -errno. */
	int (*give_event)(void *ctx, int fd);
	/**
	 * A second stream to the client for the peer's own commands: *fd becomes the client's end.
	 * The new link's functions are the same. NULL: there is none. 0 or -errno.
	 */
	int (*twin)(void *ctx, struct vfake_peer_link *twin, int *fd);
	void (*drop)(void *ctx, int fd); /**< closes a descriptor of the link */
	void (*hang_up)(void *ctx);	 /**< ends the link; @ctx is not used any more */
};

/** Gives the peer a client. 0, or -EBUSY when it has one: the link is not touched. */
int vfake_peer_attach(struct vfake_peer *peer, const struct vfake_peer_link *link);

/** Whether a client is there. */
bool vfake_peer_attached(const struct vfake_peer *peer);

/** What the peer did since it started. */
struct vfake_peer_counts {
	uint64_t clients;	  /**< that were let in */
	uint64_t commands;	  /**< whole messages of type command */
	uint64_t by_command[32];  /**< of these, by enum vfio_user_command */
	uint64_t errors;	  /**< of these, refused */
	uint64_t hang_ups;	  /**< clients that it left because of what they sent */
	uint64_t far_reads;	  /**< DMA_READ messages */
	uint64_t far_writes;	  /**< DMA_WRITE messages */
	uint64_t maps;		  /**< that there are now */
	uint64_t unknown_replies; /**< that nobody waited for */
};

struct vfake_peer_counts vfake_peer_counts(const struct vfake_peer *peer);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
