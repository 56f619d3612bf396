/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reading half of the IOVA map: look-ups, iteration, holes, and the check of its own rules.
 * What it stands for in Linux 7.2 is told in iova_map.c. Kept here from iommufd's io_pagetable: how
 * an address is chosen in a gap (rounded up first, then the offset inside the page put on top).
 * Dropped: the span iterators that merge two trees; a caller that has two maps asks them in turn.
 */
#include <errno.h>

#include "iova_map_node.h"

/* The place of the first range that ends at or after x. */
static inline struct vfake_iova_cursor seek(const struct vfake_iova_map *map, uint64_t x)
{
	const struct leaf *leaf = leaf_of(map, x);

	return (struct vfake_iova_cursor){ leaf, leaf ? leaf_rank(leaf, x) : 0 };
}

static inline bool on_range(const struct vfake_iova_cursor *at)
{
	return at->leaf && at->slot < leaf_count(at->leaf);
}

bool vfake_iova_map_find(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range)
{
	const struct leaf *leaf = leaf_of(map, iova);
	unsigned int k;

	if (!leaf)
		return false;
	k = leaf_rank(leaf, iova);
	if (k >= leaf_count(leaf) || leaf_start(leaf, k) > iova)
		return false;
	leaf_read(leaf, k, range);
	return true;
}

bool vfake_iova_map_first_overlap(const struct vfake_iova_map *map, uint64_t start, uint64_t last,
				  struct vfake_iova_range *range)
{
	struct vfake_iova_cursor at = seek(map, start);

	if (start > last || !on_range(&at) || leaf_start(at.leaf, at.slot) > last)
		return false;
	leaf_read(at.leaf, at.slot, range);
	return true;
}

bool vfake_iova_map_first(const struct vfake_iova_map *map, struct vfake_iova_range *range)
{
	return vfake_iova_map_first_overlap(map, 0, UINT64_MAX, range);
}

bool vfake_iova_map_next(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range)
{
	struct vfake_iova_cursor at = seek(map, iova);

	if (on_range(&at) && leaf_start(at.leaf, at.slot) <= iova)
		vfake_iova_cursor_next(&at);
	return vfake_iova_cursor_get(&at, range);
}

bool vfake_iova_map_prev(const struct vfake_iova_map *map, uint64_t iova,
			 struct vfake_iova_range *range)
{
	struct vfake_iova_cursor at = seek(map, iova);
	const struct leaf *leaf = at.leaf;

	if (!leaf)
		return false;
	if (at.slot == 0) {
		leaf = leaf->prev;
		at.slot = leaf ? leaf_count(leaf) : 0;
	}
	if (!leaf)
		return false;
	leaf_read(leaf, at.slot - 1, range);
	return true;
}

struct vfake_iova_cursor vfake_iova_cursor_seek(const struct vfake_iova_map *map, uint64_t iova)
{
	return seek(map, iova);
}

bool vfake_iova_cursor_get(const struct vfake_iova_cursor *at, struct vfake_iova_range *range)
{
	if (!on_range(at))
		return false;
	leaf_read(at->leaf, at->slot, range);
	return true;
}

void vfake_iova_cursor_next(struct vfake_iova_cursor *at)
{
	const struct leaf *leaf = at->leaf;

	if (!on_range(at))
		return;
	if (++at->slot == leaf_count(leaf)) {
		at->leaf = leaf->next;
		at->slot = 0;
	}
}

void vfake_iova_cursor_prev(struct vfake_iova_cursor *at)
{
	const struct leaf *leaf = at->leaf;

	if (!on_range(at))
		return;
	if (at->slot == 0) {
		leaf = leaf->prev;
		at->leaf = leaf;
		at->slot = leaf ? leaf_count(leaf) : 0;
		if (!leaf)
			return;
	}
	at->slot--;
}

/* The candidate of the gap [lo, last], if it fits. */
static bool fits(const struct vfake_iova_hole *want, uint64_t lo, uint64_t last, uint64_t *iova)
{
	uint64_t at;

	if (__builtin_add_overflow(lo, want->align_bytes - 1, &at))
		return false;
	at = (at & ~(want->align_bytes - 1)) | want->offset_bytes;
	if (at > last || last - at < want->length_bytes - 1)
		return false;
	*iova = at;
	return true;
}

int vfake_iova_map_find_hole(const struct vfake_iova_map *map, const struct vfake_iova_hole *want,
			     uint64_t *iova)
{
	struct vfake_iova_cursor at = seek(map, want->lo);
	struct vfake_iova_range range;
	uint64_t lo = want->lo;

	if (want->lo > want->hi || !want->length_bytes || !want->align_bytes ||
	    (want->align_bytes & (want->align_bytes - 1)) ||
	    want->offset_bytes >= want->align_bytes)
		return -EINVAL;
	for (; vfake_iova_cursor_get(&at, &range); vfake_iova_cursor_next(&at)) {
		if (range.start > want->hi)
			break;
		if (range.start > lo && fits(want, lo, range.start - 1, iova))
			return 0;
		if (range.last >= want->hi)
			return -ENOSPC;
		lo = range.last + 1;
	}
	return fits(want, lo, want->hi, iova) ? 0 : -ENOSPC;
}

size_t vfake_iova_map_count(const struct vfake_iova_map *map)
{
	return map->count;
}

size_t vfake_iova_map_bytes(const struct vfake_iova_map *map)
{
	return map->bytes;
}

/* ---- check ---- */

/* What a walk over the leaves from left to right has seen. */
struct check {
	const struct leaf *prev;
	uint64_t last;
	size_t count;
	const char *why;
};

static bool complain(struct check *check, const char *why)
{
	check->why = why;
	return false;
}

static bool check_leaf(struct check *check, const struct leaf *leaf, bool edge)
{
	unsigned int slots = 0;

	if (leaf->prev != check->prev || (check->prev && check->prev->next != leaf))
		return complain(check, "the leaves are not linked in order");
	if (leaf_count(leaf) < (edge ? 1 : LEAF_MIN))
		return complain(check, "a leaf holds too few ranges");
	for (unsigned int k = 0; k < LEAF_MAX; k++) {
		slots |= 1u << leaf_slot(leaf, k);
		if (k >= leaf_count(leaf)) {
			if (leaf->last[k] != UINT64_MAX)
				return complain(check, "an unused key of a leaf is set");
			continue;
		}
		if (leaf_start(leaf, k) > leaf->last[k])
			return complain(check, "a range starts after its last address");
		if (check->count++ && leaf_start(leaf, k) <= check->last)
			return complain(check, "two ranges overlap or are out of order");
		check->last = leaf->last[k];
	}
	if (slots != (1u << LEAF_MAX) - 1)
		return complain(check, "the order of a leaf names a slot twice");
	check->prev = leaf;
	return true;
}

/* `edge`: nothing lies left of this node, or nothing right of it. */
static bool check_tree(struct check *check, const void *node, unsigned int level, bool left_edge,
		       bool right_edge)
{
	const struct inner *inner = node;

	if (level == 0)
		return check_leaf(check, node, left_edge || right_edge);
	if (inner->count > INNER_MAX || inner->count < (left_edge || right_edge ? 2 : INNER_MIN))
		return complain(check, "an inner node has too few or too many children");
	for (unsigned int at = 0; at < INNER_MAX - 1; at++) {
		bool last = at + 1 >= inner->count;

		if (at < inner->count && !check_tree(check, inner->child[at], level - 1,
						     left_edge && at == 0, right_edge && last))
			return false;
		if (inner->last[at] != (last ? UINT64_MAX : check->last))
			return complain(check, "a key is not where its child ends");
	}
	return inner->count < INNER_MAX ||
	       check_tree(check, inner->child[INNER_MAX - 1], level - 1, false, right_edge);
}

bool vfake_iova_map_check(const struct vfake_iova_map *map, const char **why)
{
	struct check check = { .why = NULL };
	bool good;

	if (map->root)
		good = check_tree(&check, map->root, map->height, true, true);
	else
		good = !map->height && !map->bytes;
	if (good && check.prev && check.prev->next)
		good = complain(&check, "the last leaf has a successor");
	if (good && check.count != map->count)
		good = complain(&check, "the count is wrong");
	*why = good ? NULL : check.why ? check.why : "an empty map holds memory";
	return good;
}
