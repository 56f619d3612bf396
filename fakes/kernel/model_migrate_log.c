/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log of a device's DMA: which pages it wrote.
 *
 * Imitates VFIO_DEVICE_FEATURE_DMA_LOGGING_* of drivers/vfio/vfio_main.c and the user's bitmap of
 * drivers/iommu/iommufd/iova_bitmap.c, Linux 7.2; what a device does itself follows mlx5.
 *
 * Kept: the order of the checks, with what a page size that is no power of two lets through, and a
 * range of no length that overlaps what a closed interval from its start to the byte before it
 * does; logging that runs cannot be started again (EINVAL), stopping is always right, a report
 * without logging is EINVAL; a report sets bits and never clears any, counts in its own page size,
 * and drops bits silently where the bitmap cannot be written. A page that reaches out of the range
 * of a report is reported and stays in the log, because part of it has not been asked for.
 *
 * Dropped: ranges are not combined, since this device can log as many as one call can name.
 */
#include <string.h>

#include "model.h"

enum { WORD_PAGES = 64 };

typedef struct vfio_device_feature_dma_logging_range log_range;

/* ---- the log ---- */

void dma_log_init(struct dma_log *log, struct vfake_kernel *kernel)
{
	const struct vfake_iova_map_mem mem = vfake_map_memory(kernel);

	vfake_iova_map_init(&log->words, &mem);
}

void dma_log_end(struct dma_log *log, struct vfake_kernel *kernel)
{
	vfake_iova_map_destroy(&log->words);
	vfake_free(kernel, log->ranges);
	log->ranges = NULL;
	log->range_count = 0;
	log->active = false;
	log->lost = false;
}

static void mark_page(struct dma_log *log, uint64_t page)
{
	uint64_t word_bytes = WORD_PAGES * log->page_bytes;
	uint64_t word = page - page % word_bytes;
	uint64_t bit = (uint64_t)1 << (page - word) / log->page_bytes;
	struct vfake_iova_range range;

	if (vfake_iova_map_find(&log->words, word, &range))
		vfake_iova_map_set(&log->words, word, range.value | bit);
	else if (vfake_iova_map_insert(&log->words, word, word + (word_bytes - 1), bit))
		log->lost = true;
}

/* [start, last] was written and is part of a range. */
static void mark(struct dma_log *log, uint64_t start, uint64_t last)
{
	uint64_t page = start - start % log->page_bytes;
	uint64_t pages = (last - page) / log->page_bytes + 1;

	for (; pages; pages--, page += log->page_bytes)
		mark_page(log, page);
}

static uint64_t last_of(const log_range *range)
{
	return range->iova + range->length - 1;
}

void dma_log_wrote(struct dma_log *log, uint64_t iova, uint64_t len)
{
	uint64_t last = iova + (len - 1);

	if (!log->active)
		return;
	for (uint32_t i = 0; i < log->range_count; i++) {
		uint64_t start = log->ranges[i].iova;
		uint64_t end = last_of(&log->ranges[i]);

		if (start < iova)
			start = iova;
		if (end > last)
			end = last;
		if (start <= end)
			mark(log, start, end);
	}
}

/* ---- start and stop ---- */

static uint64_t page_bytes_for(uint64_t asked)
{
	uint64_t page = VFAKE_LOG_PAGE_MIN;

	while (page < VFAKE_LOG_PAGE_MAX && page * 2 <= asked)
		page *= 2;
	return page;
}

static bool overlaps(const log_range *ranges, uint32_t count, const log_range *range)
{
	for (uint32_t i = 0; i < count; i++) {
		if (ranges[i].iova <= last_of(range) && range->iova <= last_of(&ranges[i]))
			return true;
	}
	return false;
}

static int check_range(const log_range *ranges, uint32_t count, uint64_t page_size)
{
	const log_range *range = &ranges[count];

	if ((range->iova & (page_size - 1)) || (range->length & (page_size - 1)))
		return -EINVAL;
	if (range->iova + range->length < range->iova)
		return -EOVERFLOW;
	return overlaps(ranges, count, range) ? -EINVAL : 0;
}

static int copy_ranges(struct vfake_call *call,
		       const struct vfio_device_feature_dma_logging_control *control,
		       log_range *ranges)
{
	for (uint32_t i = 0; i < control->num_ranges; i++) {
		int ret;

		if (vfake_copy_in(call, &ranges[i], control->ranges + i * sizeof(*ranges),
				  sizeof(*ranges)))
			return -EFAULT;
		ret = check_range(ranges, i, control->page_size);
		if (ret)
			return ret;
	}
	return 0;
}

static int start_log(struct dma_log *log, struct vfake_call *call,
		     struct vfio_device_feature_dma_logging_control *control)
{
	log_range *ranges = vfake_alloc(call->kernel, control->num_ranges * sizeof(*ranges));
	int ret;

	if (!ranges)
		return -ENOMEM;
	ret = copy_ranges(call, control, ranges);
	if (!ret && log->active)
		ret = -EINVAL;
	if (!ret)
		ret = vfake_fault(call->kernel, VFAKE_FAULT_COMMIT);
	if (ret) {
		vfake_free(call->kernel, ranges);
		return ret;
	}
	log->ranges = ranges;
	log->range_count = control->num_ranges;
	log->page_bytes = page_bytes_for(control->page_size);
	log->active = true;
	control->page_size = log->page_bytes;
	return 0;
}

long dma_log_feature_start(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			   uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_dma_logging_control control;
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, sizeof(control));

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &control, data, sizeof(control)))
		return -EFAULT;
	if (!control.num_ranges)
		return -EINVAL;
	if (control.num_ranges > vfake_page_size(call->kernel) / sizeof(log_range))
		return -E2BIG;
	ret = start_log(&mig->log, call, &control);
	if (ret)
		return ret;
	if (!vfake_copy_out(call, data, &control, sizeof(control)))
		return 0;
	dma_log_end(&mig->log, call->kernel);
	return -EFAULT;
}

long dma_log_feature_stop(struct mig_device *mig, uint32_t flags, uint64_t data_len)
{
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_SET, 0);

	if (ret != 1)
		return ret;
	dma_log_end(&mig->log, mig->engine.pci->kernel);
	return 0;
}

/* ---- report ---- */

/* The bitmap is one of 64-bit words: where its bits 0 to 7 are in a word. */
enum { BYTE_OF_WORD = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 7 : 0 };

/* Sets bits [first, last] of the caller's bitmap, as far as it can be written. */
static void set_user_bits(struct vfake_call *call, uint64_t bitmap, uint64_t first, uint64_t last)
{
	for (uint64_t at = first / 8; at <= last / 8; at++) {
		uint64_t place = bitmap + (at ^ BYTE_OF_WORD);
		uint32_t low = at == first / 8 ? first % 8 : 0;
		uint32_t high = at == last / 8 ? last % 8 : 7;
		uint8_t bits;

		if (vfake_copy_in(call, &bits, place, 1))
			return;
		bits |= (uint8_t)((0xffU >> (7 - (high - low))) << low);
		if (vfake_copy_out(call, place, &bits, 1))
			return;
	}
}

/* Where a report looks: [start, last], @shift of its page size. */
struct window {
	struct vfake_call *call;
	uint64_t bitmap;
	uint64_t start;
	uint64_t last;
	uint32_t shift;
};

/* One dirty page; whether it is done with. */
static bool report_page(const struct window *window, uint64_t page, uint64_t page_last)
{
	uint64_t start = page > window->start ? page : window->start;
	uint64_t last = page_last < window->last ? page_last : window->last;

	if (start > last)
		return false;
	set_user_bits(window->call, window->bitmap, (start - window->start) >> window->shift,
		      (last - window->start) >> window->shift);
	return start == page && last == page_last;
}

static void report_word(struct dma_log *log, const struct window *window,
			const struct vfake_iova_range *word)
{
	uint64_t left = word->value;

	for (uint64_t bits = word->value; bits; bits &= bits - 1) {
		uint64_t page = word->start + (uint64_t)__builtin_ctzll(bits) * log->page_bytes;

		if (report_page(window, page, page + (log->page_bytes - 1)))
			left &= ~(bits & -bits);
	}
	if (left)
		vfake_iova_map_set(&log->words, word->start, left);
	else
		vfake_iova_map_erase(&log->words, word->start, NULL);
}

static void report(struct dma_log *log, const struct window *window)
{
	struct vfake_iova_range word;
	uint64_t at = window->start;

	while (vfake_iova_map_first_overlap(&log->words, at, window->last, &word)) {
		report_word(log, window, &word);
		if (word.last >= window->last)
			break;
		at = word.last + 1;
	}
}

long dma_log_feature_report(struct mig_device *mig, struct vfake_call *call, uint32_t flags,
			    uint64_t data, uint64_t data_len)
{
	struct vfio_device_feature_dma_logging_report arg;
	struct window window = { .call = call };
	int ret = vfio_check_feature(flags, data_len, VFIO_DEVICE_FEATURE_GET, sizeof(arg));

	if (ret != 1)
		return ret;
	if (vfake_copy_in(call, &arg, data, sizeof(arg)))
		return -EFAULT;
	if (arg.page_size < 4096 || (arg.page_size & (arg.page_size - 1)))
		return -EINVAL;
	if (arg.iova + arg.length < arg.iova)
		return -EOVERFLOW;
	if (!mig->log.active)
		return -EINVAL;
	if (mig->log.lost)
		return -EIO;
	if (!arg.length)
		return 0;
	window.bitmap = arg.bitmap;
	window.start = arg.iova;
	window.last = arg.iova + (arg.length - 1);
	window.shift = (uint32_t)__builtin_ctzll(arg.page_size);
	report(&mig->log, &window);
	return 0;
}
