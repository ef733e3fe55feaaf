/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A temporary directory for tests with real files; on /var/tmp, because O_DIRECT wants a real file system. */
#ifndef VIADUCT_TESTS_DISK_DIRECTORY_H
#define VIADUCT_TESTS_DISK_DIRECTORY_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_fixture.h"

static char directory[256];

static inline int directory_make(void **state)
{
	const char *base = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/viaduct-disk-XXXXXX", base ? base : "/var/tmp");
	return mkdtemp(directory) ? 0 : -1;
}

/* Every test unlinks what it made: a directory that is not empty is an error. */
static inline int directory_remove(void **state)
{
	return rmdir(directory);
}

static inline const char *in_directory(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static inline void remove_file(const char *name)
{
	assert_int_equal(unlink(in_directory(name)), 0);
}

static inline uint64_t allocated_bytes(const char *name)
{
	struct stat status;

	assert_int_equal(stat(in_directory(name), &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* A new sparse file with a channel on it. */
static inline void start_file(struct fixture *fixture, const char *name, uint64_t bytes,
			      enum host_disk_cache cache)
{
	struct disk_uring_options options = {
		.path = in_directory(name), .cache = cache, .create_bytes = bytes, .lock = true,
	};
	struct host_disk *disk = NULL;

	assert_int_equal(disk_uring_open(&options, &disk), 0);
	fixture_start(fixture, disk);
}

/* Does the file system of the directory take O_DIRECT? Prints why a test is skipped when not. */
static inline bool direct_works(void)
{
	int fd = open(in_directory("probe"), O_RDWR | O_CREAT | O_DIRECT, 0600);

	if (fd >= 0)
		close(fd);
	unlink(in_directory("probe"));
	if (fd < 0)
		print_message("skipped: no O_DIRECT on %s (set TMPDIR)\n", directory);
	return fd >= 0;
}

#endif
