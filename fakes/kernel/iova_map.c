/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IOVA map: a B+tree. Where Linux 7.2 looks a mapping up it uses a red-black tree (type1's
 * dma_list) or an interval tree (the area, allowed and reserved trees of an iommufd io_pagetable);
 * what is kept of them is the contract - ordered, closed ranges, no two of which share an address -
 * and none of the structure. A binary tree costs one cache miss per level on a big map; this tree
 * has a tenth of the nodes, so at a million ranges all but the leaves stay in the cache.
 *
 * Rules kept
 * - Ranges are ordered by `last`, not by `start`. The one range that can contain x, or overlap
 *   something that begins at x, is then the first whose last is >= x: one descent answers all.
 * - Key k of an inner node is *exactly* the highest `last` under child k. Since it is exact, a
 *   descent never has to look into the neighbour, and a new range, which overlaps nothing, never
 *   moves a key: the child it belongs to ends after it. Only the erase of a leaf's last range,
 *   a split and a merge write keys.
 * - The last child of an inner node has no key: the key above it, if any, is its bound. Unused
 *   keys hold UINT64_MAX, which is below nothing, so a search needs neither count nor branch.
 * - Every leaf holds at least LEAF_MIN ranges and every inner node at least INNER_MIN children.
 *   Excepted are the root and the nodes at the left and the right edge of the tree, where maps in
 *   ascending or descending order leave full nodes behind them instead of half-full ones: those
 *   have at least one range or two children. So the height is at most log2 of the leaves.
 * - An insert takes all nodes that its splits need before it changes anything; an erase only frees.
 *
 * Rules dropped
 * - No lock. The real trees live under mutexes and rwsems; the fake kernel runs a call at a time.
 * - No augmented search for a hole: iommufd walks the gaps in order to pick an IOVA, so does this.
 *
 * Nodes are whole cache lines and aligned to them, if the allocator sees to that.
 */
#include <errno.h>
#include <string.h>

#include "iova_map_node.h"

/* The way from the root to a leaf: step[0] is the leaf's parent, step[height - 1] the root. */
struct path {
	struct {
		struct inner *node;
		unsigned int at;
	} step[LEVELS_MAX];
};

/* leaf_of(), and writes down the way. */
static inline struct leaf *leaf_path(const struct vfake_iova_map *map, uint64_t x,
				     struct path *path)
{
	void *node = map->root;

	for (unsigned int level = map->height; level-- > 0;) {
		struct inner *inner = node;
		unsigned int at;

		if (map->height >= PREFETCH_HEIGHT)
			prefetch_children(inner);
		at = inner_rank(inner, x);
		path->step[level].node = inner;
		path->step[level].at = at;
		node = inner->child[at];
	}
	if (map->height >= PREFETCH_HEIGHT)
		prefetch_leaf(node);
	return node;
}

/* ---- nodes and memory ---- */

static size_t node_footprint_bytes(const struct vfake_iova_map *map, void *node, size_t size_bytes)
{
	if (!map->mem.footprint_bytes)
		return size_bytes;
	return map->mem.footprint_bytes(map->mem.ctx, node);
}

static void *node_new(struct vfake_iova_map *map, size_t size_bytes)
{
	void *node = map->mem.alloc(map->mem.ctx, size_bytes);

	if (node)
		map->bytes += node_footprint_bytes(map, node, size_bytes);
	return node;
}

static void node_free(struct vfake_iova_map *map, void *node, size_t size_bytes)
{
	map->bytes -= node_footprint_bytes(map, node, size_bytes);
	map->mem.free(map->mem.ctx, node, size_bytes);
}

static inline void pad_keys(uint64_t *key, unsigned int from, unsigned int to)
{
	while (from < to)
		key[from++] = UINT64_MAX;
}

static struct leaf *leaf_new(struct vfake_iova_map *map)
{
	struct leaf *leaf = node_new(map, sizeof(*leaf));

	if (!leaf)
		return NULL;
	pad_keys(leaf->last, 0, LEAF_MAX);
	leaf->order = ORDER_EMPTY;
	leaf->next = NULL;
	leaf->prev = NULL;
	return leaf;
}

static struct inner *inner_new(struct vfake_iova_map *map)
{
	struct inner *inner = node_new(map, sizeof(*inner));

	if (!inner)
		return NULL;
	pad_keys(inner->last, 0, INNER_KEYS);
	inner->count = 0;
	return inner;
}

/* ---- leaves ---- */

/* Moves the ranges from the k-th on to the end of another leaf, which has room. */
static void leaf_move_tail(struct leaf *to, struct leaf *from, unsigned int k)
{
	unsigned int count = leaf_count(from);
	unsigned int end = leaf_count(to);

	for (unsigned int i = k; i < count; i++, end++) {
		to->last[end] = from->last[i];
		to->slot[leaf_slot(to, end)] = from->slot[leaf_slot(from, i)];
	}
	to->order += (count - k) * ORDER_ONE;
	from->order -= (count - k) * ORDER_ONE;
	pad_keys(from->last, k, count);
}

/* Links `right` behind `left`. */
static void leaf_link(struct leaf *left, struct leaf *right)
{
	right->prev = left;
	right->next = left->next;
	if (right->next)
		right->next->prev = right;
	left->next = right;
}

static void leaf_unlink(struct leaf *leaf)
{
	if (leaf->prev)
		leaf->prev->next = leaf->next;
	if (leaf->next)
		leaf->next->prev = leaf->prev;
}

/* ---- inner nodes ---- */

/* Puts `right` behind child `at`; `last` is the highest address that stays under child `at`. */
static void inner_put(struct inner *inner, unsigned int at, uint64_t last, void *right)
{
	unsigned int i = (unsigned int)inner->count++;

	for (; i > at + 1; i--) {
		inner->last[i - 1] = inner->last[i - 2];
		inner->child[i] = inner->child[i - 1];
	}
	inner->last[at] = last;
	inner->child[at + 1] = right;
}

/* Takes child at + 1 out; child `at` inherits its bound. */
static void inner_cut(struct inner *inner, unsigned int at)
{
	unsigned int count = (unsigned int)--inner->count;

	for (unsigned int i = at + 1; i < count; i++) {
		inner->last[i - 1] = inner->last[i];
		inner->child[i] = inner->child[i + 1];
	}
	inner->last[count - 1] = UINT64_MAX;
}

/*
 * Appends the children of `from` from the k-th on to those of `to`; `bound` is the highest address
 * under the last child of `to`. Returns the highest address under what is left in `from`, if
 * anything is.
 */
static uint64_t inner_move_tail(struct inner *to, uint64_t bound, struct inner *from,
				unsigned int k)
{
	unsigned int count = (unsigned int)from->count;
	unsigned int end = (unsigned int)to->count;
	uint64_t last = k ? from->last[k - 1] : 0;

	if (end)
		to->last[end - 1] = bound;
	memcpy(&to->child[end], &from->child[k], (count - k) * sizeof(void *));
	memcpy(&to->last[end], &from->last[k], (count - k - 1) * sizeof(uint64_t));
	to->count += count - k;
	from->count = k;
	pad_keys(from->last, k ? k - 1 : 0, count - 1);
	return last;
}

/* ---- insert ---- */

/* Where a full node is cut: in the middle, or where maps that come in order leave it full. */
enum cut { CUT_MIDDLE, CUT_APPEND, CUT_PREPEND };

static enum cut cut_of(const struct leaf *leaf, unsigned int k)
{
	if (k == LEAF_MAX)
		return CUT_APPEND; /* above every range: only the last leaf is asked */
	if (k == 0 && !leaf->prev)
		return CUT_PREPEND;
	return CUT_MIDDLE;
}

/* Moves the upper part of a full leaf to the empty leaf `right` and adds *range on its side. */
static void leaf_split(struct leaf *left, struct leaf *right, unsigned int k, enum cut cut,
		       const struct vfake_iova_range *range)
{
	bool to_left = cut != CUT_APPEND && k <= LEAF_MAX / 2;
	unsigned int keep = to_left ? LEAF_MAX / 2 : LEAF_MAX / 2 + 1;

	if (cut == CUT_APPEND)
		keep = LEAF_MAX;
	if (cut == CUT_PREPEND)
		keep = 0;
	leaf_move_tail(right, left, keep);
	leaf_link(left, right);
	if (to_left)
		leaf_put(left, k, range);
	else
		leaf_put(right, k - keep, range);
}

/*
 * Moves the upper part of a full inner node to the empty one `right`, then adds the child `extra`
 * behind child `at`, which now ends at `last`. Returns the highest address that stays under `left`.
 */
static uint64_t inner_split(struct inner *left, struct inner *right, unsigned int at, enum cut cut,
			    uint64_t last, void *extra)
{
	unsigned int keep = INNER_MAX / 2;
	uint64_t bound;

	if (cut == CUT_APPEND)
		keep = INNER_MAX - 1; /* with the child to come, the edge node has two */
	if (cut == CUT_PREPEND)
		keep = 1;
	bound = inner_move_tail(right, 0, left, keep);
	if (at < keep)
		inner_put(left, at, last, extra);
	else
		inner_put(right, at - keep, last, extra);
	return bound;
}

/* The nodes that an insert into a full leaf needs, bottom up: inner[] goes with path.step[]. */
struct spare {
	struct leaf *leaf;
	struct inner *inner[LEVELS_MAX + 1];
	unsigned int count; /* of inner */
};

static int spare_get(struct vfake_iova_map *map, const struct path *path, struct spare *spare)
{
	unsigned int want = 0;

	while (want < map->height && path->step[want].node->count == INNER_MAX)
		want++;
	if (want == map->height)
		want++; /* full up to the root: the tree grows a level */
	spare->leaf = leaf_new(map);
	if (!spare->leaf)
		return -ENOMEM;
	for (spare->count = 0; spare->count < want; spare->count++) {
		spare->inner[spare->count] = inner_new(map);
		if (!spare->inner[spare->count])
			goto undo;
	}
	return 0;
undo:
	while (spare->count-- > 0)
		node_free(map, spare->inner[spare->count], sizeof(struct inner));
	node_free(map, spare->leaf, sizeof(struct leaf));
	return -ENOMEM;
}

static void grow_root(struct vfake_iova_map *map, struct inner *root, uint64_t last, void *right)
{
	root->count = 2;
	root->last[0] = last;
	root->child[0] = map->root;
	root->child[1] = right;
	map->root = root;
	map->height++;
}

static int insert_full(struct vfake_iova_map *map, const struct path *path, struct leaf *leaf,
		       unsigned int k, const struct vfake_iova_range *range)
{
	enum cut cut = cut_of(leaf, k);
	unsigned int level = 0;
	struct spare spare;
	uint64_t last;
	void *right;
	int ret = spare_get(map, path, &spare);

	if (ret)
		return ret;
	leaf_split(leaf, spare.leaf, k, cut, range);
	last = leaf->last[leaf_count(leaf) - 1];
	right = spare.leaf;
	for (; level < spare.count && level < map->height; level++) {
		last = inner_split(path->step[level].node, spare.inner[level], path->step[level].at,
				   cut, last, right);
		right = spare.inner[level];
	}
	if (level < map->height)
		inner_put(path->step[level].node, path->step[level].at, last, right);
	else
		grow_root(map, spare.inner[level], last, right);
	return 0;
}

static int insert_first(struct vfake_iova_map *map, const struct vfake_iova_range *range)
{
	struct leaf *leaf = leaf_new(map);

	if (!leaf)
		return -ENOMEM;
	leaf_put(leaf, 0, range);
	map->root = leaf;
	map->count = 1;
	return 0;
}

int vfake_iova_map_insert(struct vfake_iova_map *map, uint64_t start, uint64_t last, uint64_t value)
{
	const struct vfake_iova_range range = { start, last, value };
	struct path path;
	struct leaf *leaf;
	unsigned int k;
	int ret;

	if (start > last)
		return -EINVAL;
	leaf = leaf_path(map, start, &path);
	if (!leaf)
		return insert_first(map, &range);
	k = leaf_rank(leaf, start);
	if (k < leaf_count(leaf) && leaf_start(leaf, k) <= last)
		return -EEXIST;
	if (leaf_count(leaf) == LEAF_MAX) {
		ret = insert_full(map, &path, leaf, k, &range);
		if (ret)
			return ret;
	} else {
		leaf_put(leaf, k, &range);
	}
	map->count++;
	return 0;
}

/* ---- erase ---- */

/* The leaf of *path ends at `last` now: so does every subtree of which it is the last. */
static void path_set_last(const struct vfake_iova_map *map, const struct path *path, uint64_t last)
{
	for (unsigned int level = 0; level < map->height; level++) {
		struct inner *inner = path->step[level].node;
		unsigned int at = path->step[level].at;

		if (at + 1 < inner->count) {
			inner->last[at] = last;
			return;
		}
	}
}

/*
 * Leaves at and at + 1 of `parent`, one of which holds too little: makes one of them, and returns
 * the empty one, if that leaves room in it; else evens them out.
 */
static struct leaf *leaf_even_out(struct inner *parent, unsigned int at)
{
	struct leaf *left = parent->child[at];
	struct leaf *right = parent->child[at + 1];
	unsigned int all = leaf_count(left) + leaf_count(right);
	struct vfake_iova_range range;

	if (all <= LEAF_MERGE) {
		leaf_move_tail(left, right, 0);
		leaf_unlink(right);
		return right;
	}
	for (unsigned int k = leaf_count(left); k < all / 2; k++) {
		leaf_read(right, 0, &range);
		leaf_cut(right, 0);
		leaf_put(left, k, &range);
	}
	for (unsigned int k = leaf_count(left); k > all / 2; k--) {
		leaf_read(left, k - 1, &range);
		leaf_cut(left, k - 1);
		leaf_put(right, 0, &range);
	}
	parent->last[at] = left->last[all / 2 - 1];
	return NULL;
}

/* The same for two inner nodes. */
static struct inner *inner_even_out(struct inner *parent, unsigned int at)
{
	struct inner *left = parent->child[at];
	struct inner *right = parent->child[at + 1];
	unsigned int half = (unsigned int)(left->count + right->count) / 2;
	uint64_t bound = parent->last[at];
	struct inner tail = { .count = 0 };

	if (left->count + right->count <= INNER_MERGE) {
		inner_move_tail(left, bound, right, 0);
		return right;
	}
	pad_keys(tail.last, 0, INNER_KEYS);
	if (left->count < half) {
		parent->last[at] =
			inner_move_tail(&tail, 0, right, half - (unsigned int)left->count);
		inner_move_tail(left, bound, right, 0);
	} else {
		parent->last[at] = inner_move_tail(&tail, 0, left, half);
		inner_move_tail(&tail, bound, right, 0);
	}
	*right = tail;
	return NULL;
}

/*
 * A leaf fell below LEAF_MIN: pairs it with a neighbour, and goes on upwards as long as that leaves
 * too few children in the parent.
 */
static void fix_path(struct vfake_iova_map *map, const struct path *path)
{
	struct inner *root = map->root;

	for (unsigned int level = 0; level < map->height; level++) {
		struct inner *inner = path->step[level].node;
		unsigned int at = path->step[level].at;
		size_t bytes = level ? sizeof(struct inner) : sizeof(struct leaf);
		void *empty;

		if (at > 0)
			at--; /* the left neighbour, if there is one, else the right */
		empty = level ? (void *)inner_even_out(inner, at) : leaf_even_out(inner, at);
		if (!empty)
			return;
		inner_cut(inner, at);
		node_free(map, empty, bytes);
		if (inner->count >= INNER_MIN)
			return;
	}
	if (root->count > 1)
		return;
	map->root = root->child[0];
	map->height--;
	node_free(map, root, sizeof(*root));
}

/* The leaf that holds the range that begins at `start`, and its place there; NULL if none does. */
static inline struct leaf *find_start(const struct vfake_iova_map *map, uint64_t start,
				      struct path *path, unsigned int *k)
{
	struct leaf *leaf = leaf_path(map, start, path);

	if (!leaf)
		return NULL;
	*k = leaf_rank(leaf, start);
	return *k < leaf_count(leaf) && leaf_start(leaf, *k) == start ? leaf : NULL;
}

/* Takes out the k-th range of the leaf at the end of *path. */
static void erase_at(struct vfake_iova_map *map, const struct path *path, struct leaf *leaf,
		     unsigned int k)
{
	unsigned int left = leaf_cut(leaf, k);

	map->count--;
	if (k == left && left > 0)
		path_set_last(map, path, leaf->last[left - 1]);
	if (left >= LEAF_MIN)
		return;
	if (map->height > 0) {
		fix_path(map, path);
	} else if (left == 0) {
		map->root = NULL;
		node_free(map, leaf, sizeof(*leaf));
	}
}

int vfake_iova_map_erase(struct vfake_iova_map *map, uint64_t start, struct vfake_iova_range *old)
{
	struct path path;
	unsigned int k;
	struct leaf *leaf = find_start(map, start, &path, &k);

	if (!leaf)
		return -ENOENT;
	if (old)
		leaf_read(leaf, k, old);
	erase_at(map, &path, leaf, k);
	return 0;
}

int vfake_iova_map_take(struct vfake_iova_map *map, uint64_t start, uint64_t last,
			struct vfake_iova_range *range)
{
	struct path path;
	struct leaf *leaf = leaf_path(map, start, &path);
	unsigned int k;

	if (!leaf || start > last)
		return -ENOENT;
	k = leaf_rank(leaf, start);
	if (k == leaf_count(leaf) || leaf_start(leaf, k) > last)
		return -ENOENT;
	leaf_read(leaf, k, range);
	if (range->start < start || range->last > last)
		return -EBUSY;
	erase_at(map, &path, leaf, k);
	return 0;
}

int vfake_iova_map_set(struct vfake_iova_map *map, uint64_t start, uint64_t value)
{
	struct path path;
	unsigned int k;
	struct leaf *leaf = find_start(map, start, &path, &k);

	if (!leaf)
		return -ENOENT;
	leaf->slot[leaf_slot(leaf, k)].value = value;
	return 0;
}

/* ---- life ---- */

/* Frees all nodes below `inner`, which stands `level` levels above the leaves, in order; and then
 * itself. */
static void free_tree(struct vfake_iova_map *map, void *node, unsigned int level)
{
	struct inner *inner = node;

	for (unsigned int at = 0; level > 0 && at < inner->count; at++)
		free_tree(map, inner->child[at], level - 1);
	node_free(map, node, level ? sizeof(struct inner) : sizeof(struct leaf));
}

void vfake_iova_map_destroy(struct vfake_iova_map *map)
{
	if (map->root)
		free_tree(map, map->root, map->height);
	map->root = NULL;
	map->height = 0;
	map->count = 0;
}
