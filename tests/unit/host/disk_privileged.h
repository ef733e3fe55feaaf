/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults that only the kernel can make: a full tmpfs, and loop devices on it. In a mount namespace of the
 * test's own, so that nothing is left behind; a test that is not allowed to do this says so and is skipped.
 */
#ifndef VIADUCT_TESTS_DISK_PRIVILEGED_H
#define VIADUCT_TESTS_DISK_PRIVILEGED_H

#include <errno.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "disk_directory.h"
#include "namespaces.h"

/* Why mounting does not work here; 0 when it does. */
static int privileged_error;

/* Group setup: the directory, with an empty tmpfs of 4 MiB on it. A plain user gets no loop devices. */
static inline int privileged_setup(void **state)
{
	if (directory_make(state))
		return -1;
	if (namespaces_enter(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("viaduct-test", directory, "tmpfs", 0, "size=4m,mode=0700") < 0)
		privileged_error = errno;
	return 0;
}

static inline int privileged_teardown(void **state)
{
	if (!privileged_error && umount2(directory, MNT_DETACH) < 0)
		return -1;
	return directory_remove(state);
}

static inline void need_small_tmpfs(void)
{
	if (privileged_error) {
		print_message("skipped: cannot mount a tmpfs: %s\n", strerror(privileged_error));
		skip();
	}
}

/* Takes all that is left of the tmpfs; remove_file() gives it back. */
static inline void fill_up(const char *name)
{
	static const uint8_t ballast[4096] = { 1 };
	int fd = open(in_directory(name), O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	while (write(fd, ballast, sizeof(ballast)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

struct loop_device {
	int fd;			/* the device goes away when this is closed, and nobody else has it open */
	char path[32];
};

/* A loop device on the file `name`, as large as the file then is. Skips the test where there are none. */
static inline void loop_device_make(struct loop_device *device, const char *name, unsigned block_bytes,
				    bool direct)
{
	struct loop_config config = {
		.block_size = block_bytes,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | (direct ? LO_FLAGS_DIRECT_IO : 0),
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int index = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);

	device->fd = -1;
	if (index >= 0) {
		snprintf(device->path, sizeof(device->path), "/dev/loop%d", index);
		device->fd = open(device->path, O_RDWR | O_CLOEXEC);
	}
	if (control >= 0)
		close(control);
	if (device->fd < 0) {
		print_message("skipped: no loop device: %s\n", strerror(errno));
		remove_file(name);
		skip();
	}
	config.fd = (uint32_t)open(in_directory(name), O_RDWR | O_CLOEXEC);
	assert_true((int)config.fd >= 0);
	if (ioctl(device->fd, LOOP_CONFIGURE, &config) < 0) {
		print_message("skipped: cannot configure %s: %s\n", device->path, strerror(errno));
		close((int)config.fd);
		close(device->fd);
		remove_file(name);
		skip();
	}
	close((int)config.fd);
}

static inline void loop_device_remove(struct loop_device *device)
{
	close(device->fd);
}

static inline void make_sparse(const char *name, uint64_t bytes)
{
	int fd = open(in_directory(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

#endif
