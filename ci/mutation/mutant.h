/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether it is a mutant's turn. Each place where one sleeps asks here; mutate.py writes the
 * questions, and they exist in its copies of src/ only.
 */
#ifndef MUTANT_H
#define MUTANT_H

#include <errno.h>
#include <stdbool.h>

#ifdef VFAKE_MUTANT_ONE
/* It is always this one's, and the compiler knows. */
#define vfake_mutant(number) ((number) == VFAKE_MUTANT_ONE)
#else

extern unsigned int vfake_mutant_chosen;     /* 0 for none */
extern unsigned char *vfake_mutant_reached; /* NULL, or a byte for each */

static inline bool vfake_mutant(unsigned int number)
{
	if (vfake_mutant_reached)
		vfake_mutant_reached[number] = 1;
	return number == vfake_mutant_chosen;
}

#endif

#endif
