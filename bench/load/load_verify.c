/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks that can be recognised. The header of each names its place, its writer (the run's seed) and its
 * version, and a CRC32C covers all of it:
 *
 *   0 magic (8) | 8 offset (8) | 16 seed (8) | 24 version (4) | 28 crc (4) | 32 … noise
 *
 * A block whose checksum is right and whose names are not is somebody else's: that is the worst case, and
 * is said so.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define MAGIC 0x6b636f6c42646156ull /* "VadBlock" */

struct block_header {
	uint64_t magic, offset, seed;
	uint32_t version, crc;
};

struct load_verify {
	uint64_t seed, first, blocks, cursor;
	uint32_t block_bytes;
	bool complained;
	uint32_t crc_table[256];
	uint32_t *version; /* acknowledged, 0: never written */
	bool *busy;
};

static void make_crc_table(uint32_t *table)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
		table[i] = crc;
	}
}

static uint32_t crc32c(const struct load_verify *verify, uint32_t crc, const void *data, size_t bytes)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < bytes; i++)
		crc = verify->crc_table[(crc ^ byte[i]) & 0xff] ^ crc >> 8;
	return crc;
}

/* Checksum of a block as if its crc field were zero. */
static uint32_t block_crc(const struct load_verify *verify, const uint8_t *data)
{
	struct block_header header;
	uint32_t crc;

	memcpy(&header, data, sizeof(header));
	header.crc = 0;
	crc = crc32c(verify, ~0u, &header, sizeof(header));
	return ~crc32c(verify, crc, data + sizeof(header), verify->block_bytes - sizeof(header));
}

struct load_verify *load_verify_create(uint64_t seed, uint32_t block_bytes, uint64_t first, uint64_t blocks)
{
	struct load_verify *verify = calloc(1, sizeof(*verify));

	if (!verify)
		return NULL;
	verify->seed = seed;
	verify->block_bytes = block_bytes;
	verify->first = first;
	verify->blocks = blocks;
	make_crc_table(verify->crc_table);
	verify->version = calloc(blocks, sizeof(*verify->version));
	verify->busy = calloc(blocks, sizeof(*verify->busy));
	if (verify->version && verify->busy)
		return verify;
	load_verify_destroy(verify);
	return NULL;
}

void load_verify_destroy(struct load_verify *verify)
{
	if (!verify)
		return;
	free(verify->version);
	free(verify->busy);
	free(verify);
}

/* Fills the rest of a block from its names, so that no two blocks or versions are alike. */
static void fill(struct load_verify *verify, struct load_io *io, uint32_t version)
{
	struct block_header header = {MAGIC, io->offset, verify->seed, version, 0};
	uint64_t noise = (io->offset ^ verify->seed << 20 ^ version) | 1;
	size_t at = sizeof(header);

	for (; at + sizeof(noise) <= verify->block_bytes; at += sizeof(noise)) {
		noise = noise * 6364136223846793005ull + 1442695040888963407ull;
		memcpy(io->data + at, &noise, sizeof(noise));
	}
	memcpy(io->data, &header, sizeof(header));
	header.crc = block_crc(verify, io->data);
	memcpy(io->data, &header, sizeof(header));
}

void load_verify_write(struct load_verify *verify, struct load_io *io, uint64_t random)
{
	uint64_t block = (uint64_t)((unsigned __int128)random * verify->blocks >> 64);

	while (verify->busy[block]) /* fewer are in flight than there are blocks */
		block = (block + 1) % verify->blocks;
	verify->busy[block] = true;
	io->block = block;
	io->offset = (verify->first + block) * verify->block_bytes;
	io->write = true;
	fill(verify, io, verify->version[block] + 1);
}

void load_verify_read_back(struct load_verify *verify, struct load_io *io)
{
	verify->version[io->block]++;
	memset(io->data, 0, verify->block_bytes);
	io->write = false;
}

static const char *fault(const struct load_verify *verify, const struct load_io *io,
			 const struct block_header *header)
{
	if (header->crc != block_crc(verify, io->data))
		return "checksum";
	if (header->magic != MAGIC)
		return "magic";
	if (header->seed != verify->seed)
		return "somebody else's block";
	if (header->offset != io->offset)
		return "another place's block";
	return header->version != verify->version[io->block] ? "another version" : NULL;
}

bool load_verify_check(struct load_verify *verify, const struct load_io *io)
{
	struct block_header header;
	const char *wrong;

	verify->busy[io->block] = false;
	memcpy(&header, io->data, sizeof(header));
	wrong = fault(verify, io, &header);
	if (wrong && !verify->complained) {
		verify->complained = true;
		fprintf(stderr,
			"verify: offset %" PRIu64 ": %s (offset %" PRIu64 ", seed %" PRIu64
			", version %u; expected seed %" PRIu64 ", version %u)\n",
			io->offset, wrong, header.offset, header.seed, header.version, verify->seed,
			verify->version[io->block]);
	}
	return !wrong;
}

bool load_verify_next(struct load_verify *verify, struct load_io *io)
{
	while (verify->cursor < verify->blocks && verify->version[verify->cursor] == 0)
		verify->cursor++;
	if (verify->cursor == verify->blocks)
		return false;
	io->block = verify->cursor++;
	io->offset = (verify->first + io->block) * verify->block_bytes;
	io->write = false;
	memset(io->data, 0, verify->block_bytes);
	return true;
}
