/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the world reader and writer: the one table of fields that both run from, and the nodes
 * that know where in the text a field stands.
 */
#ifndef HARNESS_WORLD_FIELDS_H
#define HARNESS_WORLD_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "world_read.h"

/* How a field is written in JSON. */
enum world_kind {
	WORLD_BOOL,
	WORLD_COUNT,	   /* a number, written in decimal */
	WORLD_HEX,	   /* a number, written in hex */
	WORLD_SIZE,	   /* bytes, written with K, M, G or T */
	WORLD_POWER,	   /* bytes, a power of two */
	WORLD_MAYBE_POWER, /* bytes, a power of two or 0 */
	WORLD_PAGE_SIZES,  /* a list of powers of two, in the struct one bit each */
	WORLD_RANGE,
	WORLD_RESERVED,
	WORLD_BASE,
	WORLD_SPAPR,
	WORLD_DEVICES,
	WORLD_NAME,
	WORLD_MODEL,
	WORLD_CONFIG_SIZE,
	WORLD_CONFIG,
	WORLD_BARS,
	WORLD_PCI_ADDRESS,
	WORLD_BEHAVIOUR,
	WORLD_KINDS,
};

struct world_field {
	const char *name;
	enum world_kind kind;
	size_t offset;	    /* in the object's struct */
	size_t width_bytes; /* of a number there */
	uint64_t min;
	uint64_t max;
};

/* The fields of one kind of object, ended by a name of NULL. */
struct world_object {
	const char *what; /* "a device" */
	const struct world_field *fields;
};

extern const struct world_object world_object_machine; /* struct vfake_world */
extern const struct world_object world_object_range;   /* struct vfake_range */
extern const struct world_object world_object_spapr;   /* struct vfake_spapr */
extern const struct world_object world_object_device;  /* struct vfake_device_desc */
extern const struct world_object world_object_bar;     /* struct vfake_bar */

/* What a model is called here; NULL behind the last one. */
const char *world_behaviour_name(enum vfake_model model);

/* A number in a struct, whatever its width. */
uint64_t world_field_get(const struct world_field *field, const void *object);
void world_field_set(const struct world_field *field, void *object, uint64_t value);

/* A value in the text: the @index-th member of the object or element of the array @up. */
struct world_node {
	const struct world_node *up; /* NULL for the whole text */
	const char *key;	     /* NULL for an element */
	size_t index;		     /* WORLD_ABSENT for a field that is not in the text */
	json_t *value;
};

#define WORLD_ABSENT SIZE_MAX

struct world_reader {
	const char *name;
	const char *text;
	size_t size_bytes;
	struct vfake_world *world;
	struct world_error *error;
};

/* The field @key of the object @up; absent if it has none. */
struct world_node world_child(const struct world_node *up, const char *key);

/* Fill in the error, at the node's value or, world_fail_key(), at its name. They return -EINVAL. */
int world_fail(const struct world_reader *reader, const struct world_node *node, const char *format,
	       ...) __attribute__((format(printf, 3, 4)));
int world_fail_key(const struct world_reader *reader, const struct world_node *node,
		   const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The text is no JSON. */
int world_fail_syntax(const struct world_reader *reader, const json_error_t *why);
/* There is no text. Returns @ret. */
int world_fail_file(struct world_error *error, const char *path, int ret);

/* An object of the text read into its struct. */
int world_read_object(const struct world_reader *reader, const struct world_node *node,
		      const struct world_object *object, void *to);
int world_expect(const struct world_reader *reader, const struct world_node *node, json_type type);

/* Kinds of fields that only a device has; @object is its struct vfake_device_desc. */
int world_read_config_size(const struct world_reader *reader, const struct world_node *node,
			   const struct world_field *field, void *object);
int world_read_config(const struct world_reader *reader, const struct world_node *node,
		      const struct world_field *field, void *object);
int world_read_bars(const struct world_reader *reader, const struct world_node *node,
		    const struct world_field *field, void *object);
int world_read_pci_address(const struct world_reader *reader, const struct world_node *node,
			   const struct world_field *field, void *object);
int world_read_behaviour(const struct world_reader *reader, const struct world_node *node,
			 const struct world_field *field, void *object);
/* All devices of the list @node. @object is the struct vfake_world. */
int world_read_devices(const struct world_reader *reader, const struct world_node *node,
		       const struct world_field *field, void *object);

/* Numbers as fields write them: "4K", "0x1000". Returns NULL or what is wrong with the text. */
const char *world_parse_number(const char *text, uint64_t *value);
enum { WORLD_NUMBER_BYTES = 24 };
/* The shortest text with K, M, G or T. Returns @text. */
const char *world_format_size(uint64_t bytes, char text[WORLD_NUMBER_BYTES]);

#endif
