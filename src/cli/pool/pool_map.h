/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pool's map as the API gives it, as a picture and as a table; used by `pool show` and the demo. */
#ifndef VIADUCT_CLI_POOL_POOL_MAP_H
#define VIADUCT_CLI_POOL_POOL_MAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* One run of the physical disk. `owner` is borrowed from the answer: "guest/disk", or "" for free space. */
struct pool_map_run {
	uint64_t offset_bytes, length_bytes;
	const char *owner;
	uint64_t disk_offset_bytes, written_bytes;
};

/* Reads run `index` of a GET /v1/pools/{pool} answer; false after the last one. */
bool pool_map_run(const json_t *pool, size_t index, struct pool_map_run *ret_run);

/* The guest of an owner: the part before '/'. Returns its length. */
size_t pool_map_guest_length(const char *owner);

/* Name, sizes, the picture and the table. width 0: unlimited (the picture is then 64 columns wide). */
void pool_map_print(const json_t *pool, FILE *out, size_t width, bool colour);

/*
 * The picture alone: `columns` letters, each for an equal part of the disk: the letter of the guest that owns
 * more of that part than other guests ('a' is the first guest met), '.' when no guest owns any of it.
 * `picture` has room for columns + 1.
 */
void pool_map_picture(const json_t *pool, size_t columns, char *picture);

#endif
