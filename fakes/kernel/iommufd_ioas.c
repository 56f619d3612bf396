/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ioctls of an IOAS, and IOMMU_OPTION.
 *
 * Imitates drivers/iommu/iommufd/ioas.c of Linux 7.2.
 *
 * Kept: the order of the checks; a mapping stays when its IOVA cannot be written back; IOVA_RANGES
 * answers also when it fails for want of room; UNMAP of everything needs no area and UNMAP of a
 * range does; CHANGE_PROCESS needs that all areas of all IOASes are of files, and charges the new
 * process before it lets the old one off, all or nothing; the accounting mode can be set while
 * there is no object.
 */
#include "iommufd_private.h"

enum {
	MAP_FIXED = IOMMU_IOAS_MAP_FIXED_IOVA,
	MAP_RIGHTS = IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
};

struct iommufd_ioas *iommufd_ioas_alloc(struct iommufd_ctx *ictx)
{
	struct iommufd_ioas *ioas = iommufd_object_alloc(ictx, sizeof(*ioas), IOMMUFD_OBJ_IOAS);

	if (ioas)
		iopt_init(&ioas->iopt, ictx->kernel);
	return ioas;
}

void iommufd_ioas_destroy(struct iommufd_ctx *ictx, struct iommufd_object *obj)
{
	struct iommufd_ioas *ioas = (struct iommufd_ioas *)obj;
	uint64_t unmapped;

	(void)ictx;
	iopt_unmap_all(&ioas->iopt, &unmapped);
	iopt_destroy(&ioas->iopt);
}

static struct iommufd_ioas *get_ioas(const struct vfake_call *call, uint32_t id)
{
	return iommufd_object_get(iommufd_call_ctx(call), id, IOMMUFD_OBJ_IOAS);
}

long iommufd_ioas_alloc_ioctl(struct vfake_call *call)
{
	struct iommu_ioas_alloc *arg = call->arg;
	struct iommufd_ioas *ioas = iommufd_ioas_alloc(iommufd_call_ctx(call));

	if (!ioas)
		return -ENOMEM;
	arg->out_ioas_id = ioas->obj.id;
	iommufd_object_respond(call, &ioas->obj);
	return 0;
}

/* ---- ranges ---- */

long iommufd_ioas_iova_ranges(struct vfake_call *call)
{
	struct iommu_ioas_iova_ranges *arg = call->arg;
	struct iommufd_ioas *ioas = get_ioas(call, arg->ioas_id);
	uint32_t room = arg->num_iovas;
	struct vfake_range hole;
	uint64_t from = 0;

	if (!ioas)
		return -ENOENT;
	arg->num_iovas = 0;
	arg->out_iova_alignment = ioas->iopt.iova_alignment;
	while (iopt_next_usable(&ioas->iopt, from, &hole)) {
		struct iommu_iova_range range = { .start = hole.start, .last = hole.last };

		if (arg->num_iovas < room &&
		    vfake_copy_out(call, arg->allowed_iovas + arg->num_iovas * sizeof(range),
				   &range, sizeof(range)))
			return -EFAULT;
		arg->num_iovas++;
		if (hole.last == UINT64_MAX)
			break;
		from = hole.last + 1;
	}
	call->respond = true;
	return arg->num_iovas > room ? -EMSGSIZE : 0;
}

static int load_ranges(struct vfake_call *call, struct vfake_iova_map *allowed)
{
	const struct iommu_ioas_allow_iovas *arg = call->arg;
	struct iommu_iova_range range;

	for (uint32_t i = 0; i < arg->num_iovas; i++) {
		int ret;

		if (vfake_copy_in(call, &range, arg->allowed_iovas + i * sizeof(range),
				  sizeof(range)))
			return -EFAULT;
		if (range.start >= range.last)
			return -EINVAL;
		ret = vfake_iova_map_insert(allowed, range.start, range.last, 0);
		if (ret)
			return ret == -EEXIST ? -EINVAL : ret;
	}
	return 0;
}

long iommufd_ioas_allow_iovas(struct vfake_call *call)
{
	const struct iommu_ioas_allow_iovas *arg = call->arg;
	struct vfake_iova_map_mem mem = vfake_map_memory(call->kernel);
	struct iommufd_ioas *ioas = get_ioas(call, arg->ioas_id);
	struct vfake_iova_map allowed;
	int ret;

	if (!ioas)
		return -ENOENT;
	vfake_iova_map_init(&allowed, &mem);
	ret = load_ranges(call, &allowed);
	if (!ret)
		ret = iopt_set_allowed(&ioas->iopt, &allowed);
	vfake_iova_map_destroy(&allowed);
	return ret;
}

/* ---- map ---- */

static int prot_of(uint32_t flags)
{
	return (flags & IOMMU_IOAS_MAP_READABLE ? VFAKE_IOMMU_READ : 0) |
	       (flags & IOMMU_IOAS_MAP_WRITEABLE ? VFAKE_IOMMU_WRITE : 0);
}

/* Linux keeps UINT64_MAX out of its size_t and unsigned long. */
static int check_map(uint32_t flags, uint64_t iova, uint64_t length)
{
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	return flags & MAP_RIGHTS ? 0 : -EINVAL;
}

static long map_at(struct vfake_call *call, struct iommufd_ioas *ioas, struct iopt_pages *pages,
		   uint64_t start, uint64_t length, uint32_t flags, uint64_t *iova)
{
	return iopt_map_pages(iommufd_call_ctx(call), &ioas->iopt, pages, start - pages->start,
			      length, prot_of(flags), flags & MAP_FIXED, iova);
}

long iommufd_ioas_map(struct vfake_call *call)
{
	struct iommu_ioas_map *arg = call->arg;
	struct iommufd_ioas *ioas;
	struct iopt_pages *pages;
	uint64_t iova = arg->iova;
	long ret = check_map(arg->flags, arg->iova, arg->length);

	if (ret)
		return ret;
	ioas = get_ioas(call, arg->ioas_id);
	if (!ioas)
		return -ENOENT;
	ret = iopt_pages_of_user(call->task, arg->user_va, arg->length,
				 arg->flags & IOMMU_IOAS_MAP_WRITEABLE, &pages);
	if (!ret)
		ret = map_at(call, ioas, pages, arg->user_va, arg->length, arg->flags, &iova);
	if (!ret)
		arg->iova = iova;
	return ret;
}

long iommufd_ioas_map_file(struct vfake_call *call)
{
	struct iommu_ioas_map_file *arg = call->arg;
	struct iommufd_ioas *ioas;
	struct iopt_pages *pages;
	struct vfake_file *file;
	uint64_t iova = arg->iova;
	long ret = check_map(arg->flags, arg->iova, arg->length);

	if (ret)
		return ret;
	ioas = get_ioas(call, arg->ioas_id);
	if (!ioas)
		return -ENOENT;
	if (!arg->length)
		return -EINVAL;
	if (arg->start + (arg->length - 1) < arg->start)
		return -EOVERFLOW;
	file = vfake_fd_file(call->task, arg->fd);
	if (!file)
		return -EBADF;
	ret = iopt_pages_of_file(call->task, file, arg->start, arg->length,
				 arg->flags & IOMMU_IOAS_MAP_WRITEABLE, &pages);
	if (!ret)
		ret = map_at(call, ioas, pages, arg->start, arg->length, arg->flags, &iova);
	if (!ret)
		arg->iova = iova;
	return ret;
}

long iommufd_ioas_copy(struct vfake_call *call)
{
	struct iommu_ioas_copy *arg = call->arg;
	struct iopt_slices slices = TAILQ_HEAD_INITIALIZER(slices);
	struct iommufd_ioas *from, *to;
	uint64_t iova = arg->dst_iova;
	long ret;

	if (arg->src_iova == UINT64_MAX)
		return -EOVERFLOW;
	ret = check_map(arg->flags, arg->dst_iova, arg->length);
	if (ret)
		return ret;
	from = get_ioas(call, arg->src_ioas_id);
	if (!from)
		return -ENOENT;
	ret = iopt_get_slices(&from->iopt, arg->src_iova, arg->length, &slices);
	if (ret)
		return ret;
	to = get_ioas(call, arg->dst_ioas_id);
	ret = to ? iopt_map_slices(&to->iopt, &slices, arg->length, prot_of(arg->flags),
				   arg->flags & MAP_FIXED, &iova)
		 : -ENOENT;
	iopt_free_slices(&from->iopt, &slices);
	if (!ret)
		arg->dst_iova = iova;
	return ret;
}

long iommufd_ioas_unmap(struct vfake_call *call)
{
	struct iommu_ioas_unmap *arg = call->arg;
	struct iommufd_ioas *ioas = get_ioas(call, arg->ioas_id);
	uint64_t unmapped;
	long ret;

	if (!ioas)
		return -ENOENT;
	if (!arg->iova && arg->length == UINT64_MAX) {
		ret = iopt_unmap_all(&ioas->iopt, &unmapped);
	} else {
		if (arg->iova == UINT64_MAX || arg->length == UINT64_MAX)
			return -EOVERFLOW;
		ret = iopt_unmap(&ioas->iopt, arg->iova, arg->length, &unmapped);
		if (!ret && !unmapped)
			ret = -ENOENT;
	}
	if (!ret)
		arg->length = unmapped;
	return ret;
}

/* ---- change of the process that pays ---- */

typedef void (*pages_fn)(struct iopt_pages *pages, void *data);

static struct iommufd_ioas *next_ioas(struct iommufd_ctx *ictx, uint32_t *id)
{
	struct iommufd_ioas *ioas;

	while (*id < ictx->object_space) {
		ioas = iommufd_object_get(ictx, (*id)++, IOMMUFD_OBJ_IOAS);
		if (ioas)
			return ioas;
	}
	return NULL;
}

static void for_each_pages(struct iommufd_ctx *ictx, pages_fn fn, void *data)
{
	struct iommufd_ioas *ioas;
	uint32_t id = 1;

	while ((ioas = next_ioas(ictx, &id))) {
		struct vfake_iova_cursor at = vfake_iova_cursor_seek(&ioas->iopt.areas, 0);
		struct vfake_iova_range range;

		for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at))
			fn(iopt_area_of(&range)->pages, data);
	}
}

struct move {
	struct vfake_task *task;
	uint64_t npinned[IOPT_ACCOUNT_MODES];
	bool not_file;
};

static void count_pages(struct iopt_pages *pages, void *data)
{
	struct move *move = data;

	if (pages->type != IOPT_FILE)
		move->not_file = true;
	if (pages->counted || iopt_charge_is_of(pages, move->task))
		return;
	pages->counted = true;
	move->npinned[pages->payer.mode] += pages->npinned;
}

static void uncount_pages(struct iopt_pages *pages, void *data)
{
	(void)data;
	pages->counted = false;
}

static void move_pages(struct iopt_pages *pages, void *data)
{
	const struct move *move = data;

	if (!pages->counted)
		return;
	pages->counted = false;
	iopt_uncharge(&pages->payer, pages->npinned);
	iopt_pages_change_owner(pages, move->task);
}

static int charge_task(const struct move *move)
{
	struct iopt_payer payer = { .task = move->task,
				    .mm = move->task->mm,
				    .user = move->task->user };
	int ret = 0;
	int mode;

	for (mode = 0; mode < IOPT_ACCOUNT_MODES && !ret; mode++) {
		payer.mode = (uint8_t)mode;
		ret = iopt_charge(&payer, move->npinned[mode]);
	}
	if (!ret)
		return 0;
	for (mode -= 2; mode >= 0; mode--) {
		payer.mode = (uint8_t)mode;
		iopt_uncharge(&payer, move->npinned[mode]);
	}
	return ret;
}

long iommufd_ioas_change_process(struct vfake_call *call)
{
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);
	struct move move = { .task = call->task };
	int ret;

	for_each_pages(ictx, count_pages, &move);
	ret = move.not_file ? -EINVAL : charge_task(&move);
	for_each_pages(ictx, ret ? uncount_pages : move_pages, &move);
	return ret;
}

/* ---- options ---- */

static long option_rlimit_mode(struct vfake_call *call, struct iommu_option *arg)
{
	struct iommufd_ctx *ictx = iommufd_call_ctx(call);

	if (arg->object_id)
		return -EOPNOTSUPP;
	if (arg->op == IOMMU_OPTION_OP_GET) {
		arg->val64 = ictx->account_mode == IOPT_ACCOUNT_MM;
		return 0;
	}
	if (arg->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (!call->task->attr.cap_sys_resource)
		return -EPERM;
	if (ictx->object_count)
		return -EBUSY;
	if (arg->val64 > 1)
		return -EINVAL;
	ictx->account_mode = arg->val64 ? IOPT_ACCOUNT_MM : IOPT_ACCOUNT_USER;
	return 0;
}

static long option_huge_pages(struct iommu_option *arg, struct iommufd_ioas *ioas)
{
	if (arg->op == IOMMU_OPTION_OP_GET) {
		arg->val64 = !ioas->iopt.disable_large_pages;
		return 0;
	}
	if (arg->op != IOMMU_OPTION_OP_SET)
		return -EOPNOTSUPP;
	if (arg->val64 > 1)
		return -EINVAL;
	return iopt_set_large_pages(&ioas->iopt, arg->val64);
}

long iommufd_option(struct vfake_call *call)
{
	struct iommu_option *arg = call->arg;
	struct iommufd_ioas *ioas;

	if (arg->option_id == IOMMU_OPTION_RLIMIT_MODE)
		return option_rlimit_mode(call, arg);
	if (arg->option_id != IOMMU_OPTION_HUGE_PAGES)
		return -EOPNOTSUPP;
	ioas = get_ioas(call, arg->object_id);
	return ioas ? option_huge_pages(arg, ioas) : -ENOENT;
}
