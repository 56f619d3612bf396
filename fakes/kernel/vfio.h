/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO's objects: groups, containers, devices, and the IOMMU domain that a device's DMA goes
 * through.
 *
 * Who holds whom, as in Linux 7.2 (drivers/vfio/vfio.h):
 *   a container file holds its container; each group in it holds one more reference
 *   an open device in the group path holds the group's file, so a group's release runs after its
 * devices' an open device in the cdev path holds the iommufd and blocks the group's node
 */
#ifndef FAKES_VFIO_H
#define FAKES_VFIO_H

#include "kernel.h"

struct vfio_container;
struct vfio_device_file;
struct iommufd_ctx;
struct kvm;

enum {
	VFAKE_IOMMU_READ = 1,
	VFAKE_IOMMU_WRITE = 2,
};

/* ---- IOMMU ---- */

struct vfake_domain;

/* Where an IOVA leads: @len contiguous bytes of @mem, with the rights that the mapping gives. */
struct vfake_translation {
	struct vfake_mem *mem;
	uint64_t offset;
	uint64_t len;
	int prot; /* VFAKE_IOMMU_* */
};

/*
 * An I/O address space that devices are attached to, made by whoever manages it (type1, iommufd,
 * sPAPR). There is no page table beside the manager's own structures: a device's access asks
 * translate().
 */
struct vfake_domain_ops {
	/* The translation of @iova, at most @len bytes on. 0, or -EFAULT for a fault. */
	int (*translate)(struct vfake_domain *domain, uint64_t iova, uint64_t len,
			 struct vfake_translation *out);
	/* The device wrote there: dirty tracking. May be NULL. */
	void (*dirtied)(struct vfake_domain *domain, uint64_t iova, uint64_t len);
};

struct vfake_domain {
	const struct vfake_domain_ops *ops;
	bool enforce_coherency;
};

/* ---- groups ---- */

enum vfio_group_type {
	VFIO_GROUP_IOMMU,
	VFIO_GROUP_NOIOMMU,
};

/* A VFIO group and the IOMMU group under it: Linux has two objects, here they live and die
 * together. */
struct vfio_group {
	LIST_ENTRY(vfio_group) entry;
	struct vfake_kernel *kernel;
	uint32_t number;
	enum vfio_group_type type;
	struct vfake_file *opened_file; /* borrowed; NULL when nobody has the node open */
	struct vfio_container *container;
	uint32_t container_users;
	TAILQ_ENTRY(vfio_group) container_next;
	struct iommufd_ctx *iommufd; /* counted */
	uint32_t cdev_device_open_count;
	struct kvm *kvm; /* set by the KVM VFIO device; not counted */
	/* the IOMMU group's side */
	const void *dma_owner;
	uint32_t dma_owner_count;
	struct vfake_domain *domain; /* what its devices' DMA goes through; NULL is blocked */
};

struct vfio_group *vfio_group_find(struct vfake_kernel *kernel, uint32_t number, bool noiommu);
struct vfio_group *
vfio_group_from_file(struct vfake_file *file); /* NULL when it is no group file */

/* DMA ownership of the IOMMU group (drivers/iommu/iommu.c). */
int vfio_group_claim_dma_owner(struct vfio_group *group,
			       const void *owner); /* -EPERM when claimed */
int vfio_group_claim_device_dma_owner(struct vfio_group *group,
				      const void *owner); /* -EPERM for another's */
void vfio_group_release_dma_owner(struct vfio_group *group);
bool vfio_group_has_iommu(const struct vfio_group *group);
/* Whether DMA of a device, of all devices of a group, can be made to snoop the caches. */
bool vfio_device_enforces_coherency(const struct vfio_device *device);
bool vfio_group_enforces_coherency(const struct vfio_group *group);

/* ---- containers and their drivers ---- */

/* A container driver: type1 or sPAPR (struct vfio_iommu_driver_ops of Linux). */
struct vfio_iommu_driver {
	const char *name;
	enum uapi_where where; /* rows of its ioctls */
	/* VFIO_CHECK_EXTENSION; @iommu is NULL when no container is set up yet. */
	long (*check_extension)(struct vfake_kernel *kernel, void *iommu, uint64_t extension);
	/* New state for VFIO_SET_IOMMU @type: 0 or -errno. */
	int (*open)(struct vfake_task *task, uint64_t type, void **iommu);
	void (*release)(void *iommu);
	/* The errno (negative) of a request that this state refuses before it looks at the
	 * argument; 0 for none. May be NULL. */
	long (*forbids)(void *iommu, uint32_t number);
	int (*attach_group)(void *iommu, struct vfio_group *group, struct vfake_task *task);
	void (*detach_group)(void *iommu, struct vfio_group *group);
};

extern const struct vfio_iommu_driver vfio_type1_driver;
extern const struct vfio_iommu_driver vfio_spapr_driver;
extern const struct vfio_iommu_driver vfio_noiommu_driver;

struct vfio_container {
	struct vfake_kernel *kernel;
	uint32_t refs;
	TAILQ_HEAD(vfio_group_list, vfio_group) groups; /* newest first */
	const struct vfio_iommu_driver *driver;
	void *iommu; /* the driver's state */
	bool noiommu;
};

struct vfio_container *
vfio_container_from_file(struct vfake_file *file); /* NULL when it is no container */
int vfio_container_attach_group(struct vfio_container *container, struct vfio_group *group,
				struct vfake_task *task);
void vfio_group_detach_container(struct vfio_group *group);
/* An open device uses its group's container: holds the group's file. */
int vfio_group_use_container(struct vfio_group *group, struct vfake_task *task);
void vfio_group_unuse_container(struct vfio_group *group);
/* The driver's state behind a container ioctl. */
void *vfio_call_iommu(const struct vfake_call *call);

/* ---- devices ---- */

/* What a device driver (vfio-pci) does; struct vfio_device_ops of Linux. */
struct vfio_device_ops {
	/* Before each call on the device: it leaves run-time suspend. */
	void (*wake)(struct vfio_device *device);
	int (*open_device)(struct vfio_device *device);
	void (*close_device)(struct vfio_device *device);
	long (*read)(struct vfio_device *device, struct vfake_task *task, uint64_t buf,
		     uint64_t len, uint64_t offset);
	long (*write)(struct vfio_device *device, struct vfake_task *task, uint64_t buf,
		      uint64_t len, uint64_t offset);
	int (*mmap)(struct vfio_device *device, struct vfake_task *task, uint64_t len, int prot,
		    uint64_t offset, uint64_t *addr);
	/* VFIO_DEVICE_FEATURE beyond those of the VFIO core; @data is the payload's user address.
	 */
	long (*feature)(struct vfio_device *device, struct vfake_call *call, uint32_t flags,
			uint64_t data, uint64_t data_len);
	void (*free)(struct vfio_device *device);
};

struct vfio_device {
	LIST_ENTRY(vfio_device) entry;
	struct vfake_kernel *kernel;
	const struct vfake_device_desc *desc; /* in the kernel's copy of the world */
	struct vfio_group *group;
	const struct vfio_device_ops *ops;
	uint32_t open_count;
	bool cdev_opened;
	struct kvm *kvm;		       /* counted while open */
	struct iommufd_device *iommufd_device; /* while bound to an iommufd */
	bool iommufd_attached;
	void *driver_data; /* the driver's state */
};

/* One open file of a device (struct vfio_device_file of Linux). */
struct vfio_device_file {
	struct vfio_device *device;
	struct vfio_group *group; /* NULL in the cdev path */
	bool access_granted;
	uint32_t devid; /* id in the iommufd, cdev path */
	struct iommufd_ctx
		*iommufd; /* counted in the cdev path, borrowed from the group in the group path */
	struct kvm *kvm;  /* set by the KVM VFIO device; not counted */
};

extern const struct vfake_file_ops vfio_device_file_ops;

/* The device file behind a file, or NULL when it is none. */
struct vfio_device_file *vfio_device_file_from_file(struct vfake_file *file);
struct vfio_device *vfio_call_device(const struct vfake_call *call);

/*
 * What every feature checks first: that GET or SET as asked is among @supported, and that the
 * payload is long enough. 1 to go on, 0 for a probe that succeeded, -EINVAL.
 */
int vfio_check_feature(uint32_t flags, uint64_t data_len, uint32_t supported, uint64_t min_bytes);

int vfio_df_open(struct vfio_device_file *df, struct vfake_task *task);
void vfio_df_close(struct vfio_device_file *df);
/* VFIO_GROUP_GET_DEVICE_FD's second half: a descriptor or -errno. */
int vfio_device_open_in_group(struct vfio_device *device, struct vfake_task *task);

/* vfio_pci.c and its parts: the driver's half of a device, and its ioctls. */
int vfio_pci_probe(struct vfio_device *device); /* 0 or -errno; sets ops and driver_data */
long vfio_pci_get_info(struct vfake_call *call);
long vfio_pci_get_region_info(struct vfake_call *call);
long vfio_pci_get_irq_info(struct vfake_call *call);
long vfio_pci_set_irqs(struct vfake_call *call);
long vfio_pci_reset(struct vfake_call *call);
long vfio_pci_get_hot_reset_info(struct vfake_call *call);
long vfio_pci_hot_reset(struct vfake_call *call);
long vfio_pci_ioeventfd(struct vfake_call *call);

/*
 * The memory behind a dma-buf that a device exported: its only range, borrowed. NULL with *error
 * set: -EINVAL for another file, -ENODEV when it is revoked, -EOPNOTSUPP for several ranges. *len
 * is set for every dma-buf.
 */
struct vfake_mem *vfio_dmabuf_mem(struct vfake_file *file, uint64_t *offset, uint64_t *len,
				  int *error);
/* How often a dma-buf was revoked. */
uint64_t vfio_dmabuf_revocations(const struct vfake_file *file);

/* DMA by the device, through the domain that it is attached to: 0, -EFAULT for an IOMMU fault, or
 * -EAGAIN for memory that is not there yet: the device repeats the access in its next tick. */
int vfio_device_dma(struct vfio_device *device, uint64_t iova, void *bytes, uint64_t len,
		    bool write);

/* A VM's life is counted; kvm.c. */
void vfake_kvm_get(struct kvm *kvm);
void vfake_kvm_put(struct kvm *kvm);

/* Capability chains, as VFIO builds them in its answers (vfio_info_cap_add and _shift). */
struct vfio_caps {
	uint8_t bytes[1024];
	uint32_t size_bytes;
};

/* Appends a capability of @size_bytes (header included, id and version are set). Returns it,
 * zeroed, or NULL when full. */
void *vfio_caps_add(struct vfio_caps *caps, uint32_t size_bytes, uint16_t id, uint16_t version);
/*
 * Ends an answer with a chain: copies it behind a struct of @struct_bytes when *argsz has room, and
 * sets *cap_offset; otherwise only says in *argsz what would be needed. 0 or -EFAULT.
 */
int vfio_caps_finish(struct vfake_call *call, struct vfio_caps *caps, uint32_t struct_bytes,
		     uint32_t *argsz, uint32_t *cap_offset);

#endif
