/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of an iommufd's mappings: by iommufd's own calls and by a container's.
 *
 * Nothing is pinned while an IOAS has no page table; its first one pins all that is mapped. Of what
 * the kernel chose, an IOVA, the model checks that it may be chosen.
 */
#include <stdlib.h>
#include <string.h>

#include <uapi/iommufd.h>
#include <uapi/vfio.h>

#include "model_internal.h"

/* ---- pins ---- */

/* Where the kernel has the IOAS of a space. */
static bool space_at(const struct model *m, int space, struct vfake_space_at *at)
{
	for (size_t i = 0; i < m->iommufds_count; i++) {
		const struct model_iommufd *ctx = &m->iommufds[i];

		for (size_t k = 0; ctx->file >= 0 && k < ctx->object_count; k++) {
			if (ctx->objects[k].kind != UAPI_OBJ_IOAS ||
			    ctx->objects[k].space != space || !model_iommufd_at(m, (int)i, at))
				continue;
			at->ioas = ctx->objects[k].id;
			return true;
		}
	}
	return false;
}

/* A BAR that its device took back is not pinned any more by who comes later: the kernel knows. */
static bool is_pinned(const struct model *m, int space, const struct model_mapping *mapping)
{
	struct vfake_mapping_view view;
	struct vfake_space_at at;

	if (!m->pages[mapping->pages].dmabuf || !space_at(m, space, &at) ||
	    vfake_view_mapping(&at, mapping->iova, mapping->iova, &view))
		return true;
	return view.pinned;
}

static void pin_all(struct model *m, int space, bool pinned)
{
	struct model_space *s = &m->spaces[space];

	for (size_t i = 0; i < s->count; i++)
		s->mappings[i].pinned = pinned && is_pinned(m, space, &s->mappings[i]);
	for (size_t i = 0; i < s->count; i++)
		model_recount(m, s->mappings[i].pages);
}

void model_page_table_added(struct model *m, int space)
{
	if (!m->spaces[space].page_tables++)
		pin_all(m, space, true);
}

void model_page_table_gone(struct model *m, int space)
{
	if (!--m->spaces[space].page_tables)
		pin_all(m, space, false);
}

/* ---- pages ---- */

static int pages_new(struct model *m, const struct model_pages *pages)
{
	size_t at = 0;

	while (at < m->pages_count && m->pages[at].areas)
		at++;
	if (at == m->pages_count) {
		if (!model_room(m, &m->pages, &m->pages_space, at, sizeof(*m->pages)))
			return -1;
		m->pages_count++;
	}
	m->pages[at] = *pages;
	if (pages->file >= 0)
		model_file_get(m, pages->file);
	return (int)at;
}

static uint8_t account_of(const struct model *m, int task, int iommufd)
{
	if (m->tasks[task].attr.cap_ipc_lock)
		return 0;
	return m->iommufds[iommufd].account == 2 ? 2 : 1;
}

/* ---- map ---- */

struct wish {
	uint64_t vaddr; /* or the offset into the file */
	uint64_t length;
	uint64_t iova;
	bool fixed;
	uint8_t rights;
	int file; /* -1: memory of the task */
};

/* Allowed ranges may touch each other. */
static bool is_allowed(const struct model_space *space, uint64_t iova, uint64_t last)
{
	for (size_t i = 0; i < space->allowed_count; i++) {
		if (iova < space->allowed[i].start || iova > space->allowed[i].last)
			continue;
		if (last <= space->allowed[i].last)
			return true;
		iova = space->allowed[i].last + 1;
		i = (size_t)-1; /* from the beginning */
	}
	return !space->allowed_count;
}

/*
 * An IOVA that the kernel chose: allowed, as much aligned as the address and the length are, with
 * the address's offset into its page put in.
 */
static void check_chosen(struct model *m, const struct model_space *space, uint64_t vaddr,
			 uint64_t iova, uint64_t last)
{
	uint64_t offset = vaddr & (m->page - 1), length = last - iova + 1, aligned = m->page;

	while (aligned > 1 && (aligned / 2 >= length || (vaddr & (aligned - 1))))
		aligned /= 2;
	if ((iova & (aligned - 1)) || (iova & offset) != offset)
		model_says(m, "IOVA 0x%llx does not lie in its page as 0x%llx does",
			   (unsigned long long)iova, (unsigned long long)vaddr);
	if (!is_allowed(space, iova, last))
		model_says(m, "IOVA 0x%llx is not allowed", (unsigned long long)iova);
	for (uint32_t i = 0; i < m->world->reserved_count && space->page_tables; i++) {
		if (iova <= m->world->reserved[i].last && last >= m->world->reserved[i].start)
			model_says(m, "IOVA 0x%llx is reserved", (unsigned long long)iova);
	}
}

/* Pages that a map would pin now, and whether they are there. */
static void check_memory(struct model *m, int task, const struct model_space *space,
			 const struct wish *wish)
{
	uint64_t start = wish->vaddr & ~(m->page - 1), registers = 0;
	uint64_t len = model_pages_of(m, wish->vaddr - start + wish->length) << m->page_shift;
	bool there;

	if (!space->page_tables || wish->file >= 0 || m->event->fault)
		return;
	there = model_memory(m, task, start, len, wish->rights & MODEL_RIGHTS_WRITE, &registers) &&
		!registers;
	if (!m->event->ret && !there)
		model_says(m, "there is no memory at 0x%llx to map",
			   (unsigned long long)wish->vaddr);
	if (m->event->ret == -EFAULT && there && !model_copyout_failed(m))
		model_says(m, "there is memory to map");
}

static bool over_limit(struct model *m, int task, const struct model_pages *pages)
{
	uint64_t used = pages->account == 1 ? *model_user_locked(m, task) : m->tasks[task].locked;

	return pages->account && used > model_limit(m, task);
}

static void add_area(struct model *m, int at, const struct model_mapping *mapping)
{
	if (!model_insert(m, at, mapping))
		return;
	m->pages[mapping->pages].areas++;
	if (mapping->pinned)
		model_recount(m, mapping->pages);
}

static void map_pages(struct model *m, int task, int iommufd, int at, const struct wish *wish,
		      uint64_t iova)
{
	struct model_space *space = &m->spaces[at];
	bool dmabuf = wish->file >= 0 && m->files[wish->file].kind == MODEL_DMABUF;
	bool held = wish->file >= 0 && (dmabuf || m->files[wish->file].kind == MODEL_MEMFD ||
					m->files[wish->file].kind == MODEL_OTHER);
	struct model_pages pages = { .task = task,
				     .file = held ? wish->file : -1,
				     .dmabuf = dmabuf,
				     .writable = wish->rights & MODEL_RIGHTS_WRITE,
				     .account = dmabuf ? 0 : account_of(m, task, iommufd),
				     .start = wish->vaddr & ~(m->page - 1) };
	struct model_mapping mapping = { .iova = iova,
					 .last = iova + (wish->length - 1),
					 .vaddr = wish->vaddr,
					 .task = task,
					 .rights = wish->rights,
					 .pinned = space->page_tables };

	if (!wish->fixed)
		check_chosen(m, space, wish->vaddr, iova, mapping.last);
	if (model_overlaps(space, iova, mapping.last))
		model_says(m, "IOVA 0x%llx is mapped already", (unsigned long long)iova);
	mapping.pages = m->stopped ? -1 : pages_new(m, &pages);
	if (mapping.pages < 0)
		return;
	add_area(m, at, &mapping);
	if (over_limit(m, task, &pages))
		model_says(m, "it locks more pages than RLIMIT_MEMLOCK leaves");
	model_touch(m, at, iova, mapping.last);
}

static uint8_t rights_of(uint32_t flags)
{
	return (uint8_t)((flags & IOMMU_IOAS_MAP_READABLE ? MODEL_RIGHTS_READ : 0) |
			 (flags & IOMMU_IOAS_MAP_WRITEABLE ? MODEL_RIGHTS_WRITE : 0));
}

/* What is simple to say of a map at a place that the caller chose: -EEXIST or 0. */
static long check_place(const struct model_space *space, const struct wish *wish)
{
	uint64_t last = wish->iova + (wish->length - 1);

	if (!wish->fixed || !wish->length || last < wish->iova)
		return 0;
	return model_overlaps(space, wish->iova, last) ? -EEXIST : 0;
}

/* A reservation or a wrong alignment may be seen before the mapping that is there. */
static void expect_refused(struct model *m)
{
	if (m->event->ret >= 0)
		model_says(m, "something is mapped there already, the model expects %d", -EEXIST);
	else if (m->event->ret == -ENOENT)
		model_says(m, "what it names is there");
}

static struct model_object *ioas_of(struct model *m, int iommufd, uint32_t id)
{
	struct model_object *ioas = model_object(m, iommufd, id);

	return ioas && ioas->kind == UAPI_OBJ_IOAS ? ioas : NULL;
}

static void map_wish(struct model *m, int task, int iommufd, int space, const struct wish *wish,
		     uint64_t iova)
{
	if (check_place(&m->spaces[space], wish)) {
		expect_refused(m);
		return;
	}
	check_memory(m, task, &m->spaces[space], wish);
	if (model_done(m))
		map_pages(m, task, iommufd, space, wish, iova);
}

/* The numbers that are judged before any object is looked for. */
static long check_flags(uint32_t flags, uint64_t iova, uint64_t length)
{
	if (iova == UINT64_MAX || length == UINT64_MAX)
		return -EOVERFLOW;
	return rights_of(flags) ? 0 : -EINVAL;
}

static void map_user(struct model *m, int task, int at)
{
	const struct iommu_ioas_map *in = m->event->in, *out = m->event->out;
	const struct model_object *ioas = ioas_of(m, at, in->ioas_id);
	struct wish wish = { .vaddr = in->user_va,
			     .length = in->length,
			     .iova = in->iova,
			     .fixed = in->flags & IOMMU_IOAS_MAP_FIXED_IOVA,
			     .rights = rights_of(in->flags),
			     .file = -1 };
	long bad = check_flags(in->flags, in->iova, in->length);

	if (bad || !ioas)
		model_expect(m, bad ? bad : -ENOENT);
	else
		map_wish(m, task, at, ioas->space, &wish, out->iova);
}

static void map_file(struct model *m, int task, int at)
{
	const struct iommu_ioas_map_file *in = m->event->in, *out = m->event->out;
	const struct model_object *ioas = ioas_of(m, at, in->ioas_id);
	struct wish wish = { .vaddr = in->start,
			     .length = in->length,
			     .iova = in->iova,
			     .fixed = in->flags & IOMMU_IOAS_MAP_FIXED_IOVA,
			     .rights = rights_of(in->flags),
			     .file = model_fd(m, task, in->fd) };
	long bad = check_flags(in->flags, in->iova, in->length);

	if (bad || !ioas)
		model_expect(m, bad ? bad : -ENOENT);
	else if (wish.file < 0 && m->event->ret >= 0)
		model_says(m, "descriptor %d is not open", in->fd);
	else if (wish.file >= 0)
		map_wish(m, task, at, ioas->space, &wish, out->iova);
}

/* ---- copy ---- */

/* Whether the range has no gap. */
static bool is_whole(const struct model_space *space, uint64_t iova, uint64_t last)
{
	for (size_t i = model_find(space, iova); i < space->count; i++) {
		if (space->mappings[i].iova > iova)
			return false;
		if (space->mappings[i].last >= last)
			return true;
		iova = space->mappings[i].last + 1;
	}
	return false;
}

static void copy_areas(struct model *m, int from, int to, const struct iommu_ioas_copy *in,
		       uint64_t iova)
{
	uint64_t at = in->src_iova, last = in->src_iova + (in->length - 1);

	while (!m->stopped) {
		struct model_mapping part =
			m->spaces[from].mappings[model_find(&m->spaces[from], at)];
		uint64_t end = part.last < last ? part.last : last;

		part.vaddr += at - part.iova;
		part.iova = iova;
		part.last = iova + (end - at);
		part.rights = rights_of(in->flags);
		part.pinned = m->spaces[to].page_tables;
		add_area(m, to, &part);
		iova += end - at + 1;
		if (end == last)
			break;
		at = end + 1;
	}
}

static void copy(struct model *m, int at)
{
	const struct iommu_ioas_copy *in = m->event->in, *out = m->event->out;
	const struct model_object *from = ioas_of(m, at, in->src_ioas_id);
	const struct model_object *to = ioas_of(m, at, in->dst_ioas_id);
	uint64_t last = in->src_iova + (in->length - 1);

	if (in->src_iova == UINT64_MAX || check_flags(in->flags, in->dst_iova, in->length))
		return;
	if (!from) {
		model_expect(m, -ENOENT);
		return;
	}
	if (!in->length || last < in->src_iova)
		return;
	if (!is_whole(&m->spaces[from->space], in->src_iova, last) || !to) {
		model_expect(m, -ENOENT);
		return;
	}
	if (!model_done(m))
		return;
	if (model_overlaps(&m->spaces[to->space], out->dst_iova, out->dst_iova + (in->length - 1)))
		model_says(m, "something is mapped there already");
	else
		copy_areas(m, from->space, to->space, in, out->dst_iova);
	model_touch(m, to->space, out->dst_iova, out->dst_iova + (in->length - 1));
}

/* ---- unmap ---- */

/* Whole areas in ascending order; false when it meets one that sticks out. */
static bool unmap_areas(struct model *m, int at, uint64_t iova, uint64_t last, uint64_t *bytes)
{
	struct model_space *space = &m->spaces[at];
	size_t index = model_find(space, iova);

	*bytes = 0;
	while (index < space->count && space->mappings[index].iova <= last) {
		if (space->mappings[index].iova < iova || space->mappings[index].last > last)
			return false;
		*bytes += space->mappings[index].last - space->mappings[index].iova + 1;
		iova = space->mappings[index].last + 1;
		model_remove(m, at, index);
		if (!iova)
			break;
	}
	return true;
}

/* @all: nothing need be there, and nothing can stick out. */
static void unmap_range(struct model *m, int space, uint64_t iova, uint64_t last, bool all,
			uint64_t told)
{
	uint64_t bytes = 0;
	bool whole;

	model_touch(m, space, iova, last);
	if (m->event->fault && !model_done(m))
		return;
	whole = unmap_areas(m, space, iova, last, &bytes);
	if (!whole || (!bytes && !all))
		model_expect(m, -ENOENT);
	else if (m->event->ret < 0 && !model_copyout_failed(m))
		model_expect(m, 0);
	else if (m->event->ret >= 0 && told != bytes)
		model_says(m, "0x%llx bytes went, the model has 0x%llx", (unsigned long long)told,
			   (unsigned long long)bytes);
}

static void unmap(struct model *m, int at)
{
	const struct iommu_ioas_unmap *in = m->event->in, *out = m->event->out;
	const struct model_object *ioas = ioas_of(m, at, in->ioas_id);
	uint64_t last = in->iova + (in->length - 1);

	if (!ioas)
		model_expect(m, -ENOENT);
	else if (!in->iova && in->length == UINT64_MAX)
		unmap_range(m, ioas->space, 0, UINT64_MAX, true, out->length);
	else if (in->iova == UINT64_MAX || in->length == UINT64_MAX)
		model_expect(m, -EOVERFLOW);
	else if (!in->length || last < in->iova)
		model_expect(m, in->length ? -EOVERFLOW : -EINVAL);
	else
		unmap_range(m, ioas->space, in->iova, last, false, out->length);
}

/* ---- ranges and owners ---- */

static void allow_iovas(struct model *m, int at)
{
	const struct iommu_ioas_allow_iovas *in = m->event->in;
	const struct model_object *ioas = ioas_of(m, at, in->ioas_id);
	struct model_space *space;

	if (!ioas) {
		model_expect(m, -ENOENT);
		return;
	}
	if (m->event->ret)
		return;
	space = &m->spaces[ioas->space];
	free(space->allowed);
	space->allowed = calloc(in->num_iovas + 1, sizeof(*space->allowed));
	space->allowed_count = space->allowed ? in->num_iovas : 0;
	if (!model_load(m, in->allowed_iovas, space->allowed,
			in->num_iovas * sizeof(*space->allowed)))
		model_says(m, "the list of IOVAs cannot be read");
}

static void change_owner(struct model *m, int task, int space)
{
	for (size_t i = 0; i < m->spaces[space].count; i++) {
		struct model_mapping *mapping = &m->spaces[space].mappings[i];
		struct model_pages *pages = &m->pages[mapping->pages];
		uint64_t pinned = pages->pinned;
		struct model_task *from = &m->tasks[pages->task], *to = &m->tasks[task];

		mapping->task = task;
		if (pages->task == task)
			continue;
		from->pinned -= pinned;
		to->pinned += pinned;
		*model_user_locked(m, pages->task) -= pages->account == 1 ? pinned : 0;
		*model_user_locked(m, task) += pages->account == 1 ? pinned : 0;
		from->locked -= pages->account == 2 ? pinned : 0;
		to->locked += pages->account == 2 ? pinned : 0;
		pages->task = task;
	}
}

static void change_process(struct model *m, int task, int at)
{
	const struct model_iommufd *ctx = &m->iommufds[at];

	for (size_t i = 0; i < ctx->object_count && !m->event->ret; i++) {
		if (ctx->objects[i].kind == UAPI_OBJ_IOAS)
			change_owner(m, task, ctx->objects[i].space);
	}
}

/* ---- a container's calls ---- */

static void compat_map(struct model *m, int task, int at, int space)
{
	const struct vfio_iommu_type1_dma_map *in = m->event->in;
	struct wish wish = {
		.vaddr = in->vaddr, .length = in->size, .iova = in->iova, .fixed = true, .file = -1
	};

	wish.rights = (uint8_t)((in->flags & VFIO_DMA_MAP_FLAG_READ ? MODEL_RIGHTS_READ : 0) |
				(in->flags & VFIO_DMA_MAP_FLAG_WRITE ? MODEL_RIGHTS_WRITE : 0));
	map_wish(m, task, at, space, &wish, in->iova);
}

/* An area that goes on after @iova becomes two. */
static void cut(struct model *m, int at, uint64_t iova)
{
	struct model_space *space = &m->spaces[at];
	size_t index = model_find(space, iova);
	struct model_mapping right;

	if (index == space->count || space->mappings[index].iova > iova ||
	    space->mappings[index].iova == iova || space->mappings[index].last == iova)
		return;
	right = space->mappings[index];
	space->mappings[index].last = iova;
	right.vaddr += iova + 1 - right.iova;
	right.iova = iova + 1;
	if (model_insert(m, at, &right))
		m->pages[right.pages].areas++;
}

/* A cut that was made stays when the call fails after it: the kernel says whether it was. */
static bool was_cut(const struct model *m, int iommufd, uint64_t iova)
{
	struct vfake_mapping_view view;
	struct vfake_space_at at;

	return model_iommufd_at(m, iommufd, &at) && !vfake_view_mapping(&at, iova, iova, &view) &&
	       view.last == iova;
}

static void compat_unmap(struct model *m, int iommufd, int space)
{
	const struct vfio_iommu_type1_dma_unmap *in = m->event->in, *out = m->event->out;
	uint64_t last = in->iova + (in->size - 1);

	if (in->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (in->iova || in->size)
			model_expect(m, -EINVAL);
		else
			unmap_range(m, space, 0, UINT64_MAX, true, out->size);
		return;
	}
	if (m->spaces[space].small_pages && in->size && last >= in->iova) {
		if (m->event->ret == 0 || was_cut(m, iommufd, last))
			cut(m, space, last);
		if (in->iova && (m->event->ret == 0 || was_cut(m, iommufd, in->iova - 1)))
			cut(m, space, in->iova - 1);
	}
	if (!in->size || last < in->iova) {
		if (m->event->ret >= 0)
			model_says(m, "the model expects a failure");
		return;
	}
	if (m->event->ret < 0 && m->event->ret != -ENOENT && !model_copyout_failed(m))
		return;
	unmap_range(m, space, in->iova, last, true, out->size);
}

static void on_compat(struct model *m, int task, int at)
{
	const struct model_object *ioas = model_object(m, at, m->iommufds[at].compat);

	if (!ioas)
		model_expect(m, -ENODEV);
	else if (m->event->row->number == VFIO_IOMMU_MAP_DMA)
		compat_map(m, task, at, ioas->space);
	else
		compat_unmap(m, at, ioas->space);
}

bool model_on_ioas(struct model *m, int task, int at)
{
	switch (m->event->row->number) {
	case IOMMU_IOAS_MAP:
		map_user(m, task, at);
		return true;
	case IOMMU_IOAS_MAP_FILE:
		map_file(m, task, at);
		return true;
	case IOMMU_IOAS_COPY:
		copy(m, at);
		return true;
	case IOMMU_IOAS_UNMAP:
		unmap(m, at);
		return true;
	case IOMMU_IOAS_ALLOW_IOVAS:
		allow_iovas(m, at);
		return true;
	case IOMMU_IOAS_CHANGE_PROCESS:
		change_process(m, task, at);
		return true;
	case VFIO_IOMMU_MAP_DMA:
	case VFIO_IOMMU_UNMAP_DMA:
		on_compat(m, task, at);
		return true;
	default:
		return false;
	}
}
