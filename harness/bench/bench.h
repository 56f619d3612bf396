/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every benchmark of vfake-bench shares: a clock, seeded orders, medians, and a report that
 * comes out as tables for people or as JSON.
 *
 * A new subject is a file bench_<subject>.c that defines a struct bench_section, and a line in the
 * list in bench_main.c. A section measures all of its peers in one process, in turns within each
 * round, on the same seeds, and reports medians over the rounds: between whole runs a machine
 * drifts by a third, so only the ratios inside one run count.
 */
#ifndef VFAKE_BENCH_H
#define VFAKE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BENCH_ROUNDS_MAX = 99,
};

/* Values that a section reported; the fields belong to bench.c except the first two. */
struct bench {
	bool quick; /* a smoke run: small sizes, all sections together in about two seconds */
	unsigned int rounds; /* how often to repeat each measurement; odd */
	struct bench_value *value;
	size_t value_count;
	struct bench_goal *goal;
	size_t goal_count;
	struct bench_text *note;
	size_t note_count;
};

struct bench_section {
	const char *name;
	const char *about; /* one line */
	const char *clock; /* what is measured, where it is not the thread's CPU time */
	void (*run)(struct bench *bench);
};

/* CPU time of the calling thread in nanoseconds. */
uint64_t bench_cpu_ns(void);

/* The next number of the stream in *seed. The same on every machine. */
uint64_t bench_draw(uint64_t *seed);

/* Fills order[0 .. n - 1] with 0 .. n - 1, shuffled from *seed. */
void bench_shuffle(uint32_t *order, size_t n, uint64_t *seed);

/* The median of n values; sorts them. */
double bench_median(double *value, size_t n);

/* calloc that ends the program with a message instead of failing: a benchmark has no use for less
 * memory. */
void *bench_alloc(size_t count, size_t size_bytes);

/*
 * Makes the heap the same for whoever comes next: gives nothing back to the system from then on,
 * and merges what was freed before. Otherwise glibc charges that merge to the next peer that frees
 * something, and each peer in turn pays page faults for memory that the one before it gave back.
 */
void bench_settle_heap(void);

/* Ends the program if a peer did something else than it was asked to: its time would mean nothing.
 */
void bench_require(bool good, const char *what);

/*
 * Reports one cell. Tables, and their rows and columns, appear in the order of their first mention.
 * The strings are copied.
 */
void bench_value(struct bench *bench, const char *table, const char *row, const char *column,
		 double value);

/* Reports a goal and what was reached: at least `goal`, or at most it. */
void bench_goal_at_least(struct bench *bench, const char *what, double goal, double got,
			 const char *unit);
void bench_goal_at_most(struct bench *bench, const char *what, double goal, double got,
			const char *unit);

/* Says something about the section that is no number, in one line; see printf(3). */
__attribute__((format(printf, 2, 3))) void bench_note(struct bench *bench, const char *format, ...);

/* The report of one section; each returns true if all goals are met. bench_reset() forgets it. */
bool bench_print_text(const struct bench *bench, const struct bench_section *section);
bool bench_print_json(const struct bench *bench, const struct bench_section *section);
void bench_reset(struct bench *bench);

extern const struct bench_section bench_iova;
extern const struct bench_section bench_call;
extern const struct bench_section bench_ioas;
extern const struct bench_section bench_tce;
extern const struct bench_section bench_replay;
extern const struct bench_section bench_world;
extern const struct bench_section bench_sweep;
extern const struct bench_section bench_user;

/* bench_world.c: what this program does when it is started with this option and a number. */
#define BENCH_EXEC_OPTION "--measure-fork-and-exec"
int bench_world_exec(const char *count);

#endif
