/* SPDX-License-Identifier: BSD-2-Clause */
/* The other half of fiu.h: what is to fail. A name that ends in '*' stands for all that begin so.
 */
#ifndef FIU_CONTROL_H
#define FIU_CONTROL_H

typedef int external_cb_t(const char *name, int *failnum, void **failinfo, unsigned int *flags);

enum { FIU_ONETIME = 1 };

int fiu_enable(const char *name, int failnum, void *failinfo, unsigned int flags);
int fiu_enable_external(const char *name, int failnum, void *failinfo, unsigned int flags,
			external_cb_t *external_cb);
int fiu_disable(const char *name);

#endif
