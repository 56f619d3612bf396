/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gcov writes its counters when a process exits, and _exit() leaves that out: what a forked child
 * did would not count. The linker's --wrap=_exit sends every call of it here (see build.cmake).
 * A process that dies of a signal still leaves nothing; that is a crash, which no test may need.
 */

void __gcov_dump(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
