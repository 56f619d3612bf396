/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCE tables: what a DMA window of a POWER host bridge is made of.
 *
 * Imitates arch/powerpc/platforms/powernv/pci-ioda-tce.c of Linux 7.2 and the table part of
 * pci-ioda.c beside it.
 *
 * Kept: entries are 64-bit big-endian words in memory, a physical address and two permission bits.
 * A table has up to five levels of one size, at least a system page each; only the root is there at
 * first and the rest comes when an entry below it is written. Beside the table lies one of the same
 * shape with the user address of each entry. A small window gets the table that a whole page gives,
 * so it translates more than was asked for. One level is at most what the page allocator can give
 * in one piece. The arithmetic of sizes is Linux's, wrap-around of 32-bit shifts included, because
 * it decides between success and EINVAL.
 *
 * Kept with care: Linux checks the first page of a mapping against the window, not the last. A
 * mapping that crosses the end of the window succeeds there and writes beyond the table. Here such
 * entries go to memory of their own behind the table: calls return what Linux returns, the hardware
 * never reads them, nothing else is damaged.
 *
 * Dropped: NUMA nodes, and the hardware's own cache of entries.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "spapr.h"

enum { CHUNK_BITS_MAX = 13 }; /* 64 KiB */

/* Where the levels of a table lie, for the entries that point to them. No memory has such an
 * address. */
static const uint64_t levels_base = (uint64_t)1 << 59;

static uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static bool is_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* 1 << n as POWER shifts: seven bits of n count, and 64 to 127 shift everything out. */
static uint64_t power_shift(uint32_t n)
{
	n &= 127;
	return n < 64 ? (uint64_t)1 << n : 0;
}

/* log2 rounded down; of 0 it is -1, as in Linux. */
static uint32_t log2_floor(uint64_t value)
{
	return value ? 63 - (uint32_t)__builtin_clzll(value) : UINT32_MAX;
}

/* ---- shape ---- */

static bool shape_is_sane(const struct vfake_kernel *kernel, uint64_t window_size, uint32_t levels)
{
	return levels && levels <= kernel->world.spapr.levels && is_power_of_two(window_size);
}

/* log2 of the bytes of one level. */
static uint32_t level_shift(const struct vfake_kernel *kernel, uint32_t entries_shift,
			    uint32_t levels)
{
	return max_u32((entries_shift + levels - 1) / levels + 3, kernel->page_shift);
}

uint64_t spapr_table_size(const struct vfake_kernel *kernel, uint32_t page_shift,
			  uint64_t window_size, uint32_t levels)
{
	uint32_t entries_shift = log2_floor(window_size) - page_shift;
	uint64_t size = max_u64(0x1000, power_shift(entries_shift + 3));
	uint64_t bytes = 0;
	uint64_t level;

	if (!shape_is_sane(kernel, window_size, levels))
		return 0;
	level = power_shift(level_shift(kernel, entries_shift, levels));
	if (!level)
		return 0;
	for (uint32_t i = 0; i < levels; i++) {
		bytes += (size + level - 1) & ~(level - 1);
		size = max_u64(size / level * 8, level);
	}
	return 2 * bytes; /* the table and its copy */
}

/* ---- levels ---- */

static int grow_tree(struct vfake_kernel *kernel, struct spapr_tree *tree)
{
	uint32_t space = tree->space ? 2 * tree->space : 4;
	uint64_t ***level;

	if (tree->count < tree->space)
		return 0;
	level = vfake_alloc(kernel, space * sizeof(uint64_t **));
	if (!level)
		return -ENOMEM;
	if (tree->count)
		memcpy(level, tree->level, tree->count * sizeof(uint64_t **));
	vfake_free(kernel, tree->level);
	tree->level = level;
	tree->space = space;
	return 0;
}

static uint64_t chunks_of_level(const struct spapr_table *table)
{
	return (uint64_t)1 << (table->level_bits - table->chunk_bits);
}

/* A new level of zeroes; *number is how to find it again. */
static int add_level(struct spapr_table *table, struct spapr_tree *tree, uint32_t *number)
{
	size_t bytes = sizeof(uint64_t) << table->level_bits;
	int ret = grow_tree(table->kernel, tree);

	if (ret)
		return ret;
	if (bytes > table->kernel->world.spapr.max_level_bytes)
		return -ENOMEM;
	tree->level[tree->count] =
		vfake_alloc(table->kernel, chunks_of_level(table) * sizeof(uint64_t *));
	if (!tree->level[tree->count])
		return -ENOMEM;
	*number = tree->count++;
	return 0;
}

static void free_tree(struct spapr_table *table, struct spapr_tree *tree)
{
	for (uint32_t i = 0; i < tree->count; i++) {
		for (uint64_t chunk = 0; chunk < chunks_of_level(table); chunk++) {
			if (tree->level[i][chunk]) /* there are many, and few are */
				free(tree->level[i][chunk]);
		}
		vfake_free(table->kernel, tree->level[i]);
	}
	vfake_free(table->kernel, tree->level);
}

static uint64_t level_entry(const struct spapr_table *table, uint32_t number)
{
	uint64_t addr = levels_base + ((uint64_t)number << (table->level_bits + 3));

	return htobe64(addr | SPAPR_TCE_PERMISSIONS);
}

static uint32_t level_number(const struct spapr_table *table, uint64_t entry)
{
	uint64_t addr = be64toh(entry) & ~(uint64_t)SPAPR_TCE_PERMISSIONS;

	return (uint32_t)((addr - levels_base) >> (table->level_bits + 3));
}

/*
 * Entry @index of a level, or NULL: its chunk is missing, or with @alloc there is no memory for it.
 * Linux has the whole level from its making on, so a chunk is nothing that the ledger counts or a
 * fault can strike.
 */
static uint64_t *entry_at(const struct spapr_table *table, uint64_t **level, uint64_t index,
			  bool alloc)
{
	uint64_t entries = (uint64_t)1 << table->chunk_bits;
	uint64_t **chunk = &level[index >> table->chunk_bits];

	if (!*chunk && alloc)
		*chunk = calloc(entries, sizeof(uint64_t));
	return *chunk ? *chunk + (index & (entries - 1)) : NULL;
}

/*
 * The last level that holds entry @index of a tree: 0 with *at set. NULL there means that a level
 * is missing; then *reach is the number of entries that are missing with it, else those that are
 * left in the level.
 */
static int walk(struct spapr_table *table, struct spapr_tree *tree, uint64_t index, bool alloc,
		uint64_t **at, uint64_t *reach)
{
	uint64_t mask = ((uint64_t)1 << table->level_bits) - 1;
	uint64_t chunk_mask = ((uint64_t)1 << table->chunk_bits) - 1;
	uint32_t number = 0;
	int ret;

	for (uint32_t depth = table->levels - 1; depth; depth--) {
		uint32_t shift = depth * table->level_bits;
		uint64_t *entry =
			entry_at(table, tree->level[number], (index >> shift) & mask, alloc);

		if (!entry && alloc)
			return -ENOMEM;
		if (!entry || (!*entry && !alloc)) {
			*at = NULL;
			*reach = ((uint64_t)1 << shift) - (index & (((uint64_t)1 << shift) - 1));
			return 0;
		}
		if (!*entry) {
			ret = add_level(table, tree, &number);
			if (ret)
				return ret;
			*entry = level_entry(table, number);
		}
		number = level_number(table, *entry);
	}
	*at = entry_at(table, tree->level[number], index & mask, alloc);
	*reach = chunk_mask + 1 - (index & chunk_mask);
	return *at || !alloc ? 0 : -ENOMEM;
}

/* ---- beyond the end ---- */

static int grow_spill(struct spapr_table *table, uint64_t count)
{
	uint64_t space = table->spill_space ? table->spill_space : 512;
	uint64_t *hw, *user;

	while (space < count)
		space *= 2;
	hw = vfake_alloc(table->kernel, space * sizeof(*hw));
	user = vfake_alloc(table->kernel, space * sizeof(*user));
	if (!hw || !user) {
		vfake_free(table->kernel, hw);
		vfake_free(table->kernel, user);
		return -ENOMEM;
	}
	if (table->spill_space) {
		memcpy(hw, table->spill_hw, table->spill_space * sizeof(*hw));
		memcpy(user, table->spill_user, table->spill_space * sizeof(*user));
	}
	vfake_free(table->kernel, table->spill_hw);
	vfake_free(table->kernel, table->spill_user);
	table->spill_hw = hw;
	table->spill_user = user;
	table->spill_space = space;
	return 0;
}

/* A mapping starts inside the window, so what lies beyond it is filled from its end on, without
 * holes. */
static int spill_stretch(struct spapr_table *table, uint64_t index, bool alloc,
			 struct spapr_stretch *stretch)
{
	int ret;

	stretch->hw = NULL;
	stretch->count = UINT64_MAX;
	if (index >= table->spill_space && !alloc)
		return 0;
	if (index >= table->spill_space) {
		ret = grow_spill(table, index + 1);
		if (ret)
			return ret;
	}
	stretch->hw = table->spill_hw + index;
	stretch->user = table->spill_user + index;
	stretch->count = table->spill_space - index;
	return 0;
}

/* ---- entries ---- */

/* A window is large and mostly empty: what nobody wrote to is not looked at. False for such. */
static bool was_used(const struct spapr_table *table, uint64_t index, uint64_t *limit)
{
	bool used = table->first_used <= index && index <= table->last_used;
	uint64_t end = used ? table->last_used + 1 : table->first_used;

	if (index<end && * limit> end - index)
		*limit = end - index;
	return used;
}

static void note_use(struct spapr_table *table, uint64_t first, uint64_t count)
{
	if (first < table->first_used)
		table->first_used = first;
	if (first + count - 1 > table->last_used)
		table->last_used = first + count - 1;
}

int spapr_table_stretch(struct spapr_table *table, uint64_t index, uint64_t limit, bool alloc,
			struct spapr_stretch *stretch)
{
	uint64_t capacity = (uint64_t)1 << (table->levels * table->level_bits);
	uint64_t reach;
	int ret;

	if (!alloc && !was_used(table, index, &limit)) {
		*stretch = (struct spapr_stretch){ .count = limit };
		return 0;
	}
	if (index >= capacity) {
		ret = spill_stretch(table, index - capacity, alloc, stretch);
	} else {
		/* The copy first, as Linux does; it has the same shape, so one reach is enough. */
		ret = walk(table, &table->user, index, alloc, &stretch->user, &reach);
		if (!ret)
			ret = walk(table, &table->hw, index, alloc, &stretch->hw, &stretch->count);
		if (!ret && !stretch->user)
			stretch->hw = NULL;
	}
	if (ret)
		return ret;
	if (stretch->count > limit)
		stretch->count = limit;
	if (alloc)
		note_use(table, index, stretch->count);
	return 0;
}

bool spapr_table_read(struct spapr_table *table, uint64_t iova, uint64_t *entry)
{
	uint64_t *at;
	uint64_t reach;

	walk(table, &table->hw, (iova >> table->page_shift) - table->offset, false, &at, &reach);
	if (at)
		*entry = *at;
	return at;
}

int spapr_check_ioba(uint32_t page_shift, uint64_t offset, uint64_t size, uint64_t ioba,
		     uint64_t pages)
{
	uint64_t entry = ioba >> page_shift;

	if (ioba & (((uint64_t)1 << page_shift) - 1))
		return -EINVAL;
	if (entry < offset || entry + pages < entry || entry - offset + pages > size)
		return -EINVAL;
	return 0;
}

/* ---- tables ---- */

static int add_roots(struct spapr_table *table)
{
	uint32_t number;
	int ret = add_level(table, &table->hw, &number);

	return ret ? ret : add_level(table, &table->user, &number);
}

int spapr_table_new(struct vfake_kernel *kernel, uint64_t start, uint32_t page_shift,
		    uint64_t window_size, uint32_t levels, struct spapr_table **result)
{
	uint32_t entries_shift = log2_floor(window_size) - page_shift;
	uint32_t table_shift = max_u32(entries_shift + 3, kernel->page_shift);
	struct spapr_table *table;
	uint64_t shift;
	int ret;

	if (!shape_is_sane(kernel, window_size, levels))
		return -EINVAL;
	shift = level_shift(kernel, entries_shift, levels);
	if ((shift - 3) * levels + page_shift >= 55)
		return -EINVAL;
	table = vfake_alloc(kernel, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->kernel = kernel;
	table->refs = 1;
	table->page_shift = page_shift;
	table->levels = levels;
	table->level_bits = (uint32_t)shift - 3;
	table->chunk_bits = table->level_bits < CHUNK_BITS_MAX ? table->level_bits : CHUNK_BITS_MAX;
	table->offset = start >> page_shift;
	table->first_used = UINT64_MAX;
	table->size = power_shift(table_shift) / sizeof(uint64_t);
	table->allocated_bytes = spapr_table_size(kernel, page_shift, window_size, levels);
	ret = add_roots(table);
	if (ret) {
		spapr_table_put(table);
		return ret;
	}
	*result = table;
	return 0;
}

void spapr_table_get(struct spapr_table *table)
{
	table->refs++;
}

/* v1's entries hold pages. Those in the window were cleared by its owner; those beyond it are left.
 */
static void unpin_spill(struct spapr_table *table)
{
	for (uint64_t i = 0; i < table->spill_space && table->pins_pages; i++) {
		uint64_t tce = be64toh(table->spill_hw[i]);

		if (tce & SPAPR_TCE_PERMISSIONS)
			spapr_unpin(table->kernel, tce & ~(uint64_t)SPAPR_TCE_PERMISSIONS);
	}
}

void spapr_table_put(struct spapr_table *table)
{
	if (--table->refs)
		return;
	unpin_spill(table);
	vfake_free(table->kernel, table->spill_hw);
	vfake_free(table->kernel, table->spill_user);
	free_tree(table, &table->hw);
	free_tree(table, &table->user);
	vfake_free(table->kernel, table);
}
