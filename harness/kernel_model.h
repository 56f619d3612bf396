/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model: the fake kernel described once more, by other hands and dumber.
 *
 * It is fed each call that ended (struct vfake_event) and keeps flat arrays and counters of what
 * must then be: processes, descriptors and open files, groups, containers, devices, objects,
 * mappings, who pays for which pages, interrupts, migration. After each call it is held against
 * the kernel, seen read-only through vfake/view.h. It shares no code with the kernel. Where the
 * two differ one of them is wrong, and the model says so: the call, its own view, the kernel's.
 *
 * What it says of a call, before it looks at what came of it:
 *   - which answer a call must get, where that is simple to say: EEXIST, ENOENT, EBUSY, …
 *   - that a call which failed changed nothing, but for the few of which Linux is known to keep a
 *     part, and but for an answer that could not be copied out, which leaves most effects in place
 *   - that what the kernel chose (a descriptor, an id, an IOVA) was free to be chosen
 *
 * It does not know: what is in memory, registers, dirty bits, and what each page is mapped to.
 */
#ifndef HARNESS_KERNEL_MODEL_H
#define HARNESS_KERNEL_MODEL_H

#include <stdbool.h>

#include <vfake/fault.h>
#include <vfake/kernel.h>

struct model;

/*
 * model_new - a model of a kernel in which nothing is open yet
 * @kernel: is told nothing; who calls passes its events on with model_event()
 *
 * Processes that exist already must have no descriptor. Returns the model, or NULL when memory is
 * short.
 */
struct model *model_new(const struct vfake_kernel *kernel);
void model_free(struct model *model); /* NULL is allowed; the kernel may be gone */

/*
 * model_event - one call came to its end: folds it in and compares what it touched
 * @model: a struct model; the type is that of vfake_event_hook
 *
 * After the first disagreement nothing is folded in any more.
 */
void model_event(void *model, const struct vfake_event *event);

/*
 * model_agrees - compares everything
 *
 * Returns whether model and kernel agree now, and have always done so. Costs a walk through all
 * that there is.
 */
bool model_agrees(struct model *model);

/* What they first disagreed about: one line or more. "" as long as they agree. */
const char *model_disagreement(const struct model *model);

#endif
