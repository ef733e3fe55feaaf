/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages to a service manager, received by a socket of our own; descriptors as it passes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/base/notify.h"

static int bind_manager(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
	return fd;
}

static void expect_message(int fd, const char *expected)
{
	char message[256] = "";

	assert_true(recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT) >= 0);
	assert_string_equal(message, expected);
}

static void test_send(void **state)
{
	char path[64], abstract[64], message[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/tmp/viaduct-notify-%d", (int)getpid());
	snprintf(abstract, sizeof(abstract), "@viaduct-notify-%d", (int)getpid());
	fd = bind_manager(path);
	setenv("NOTIFY_SOCKET", path, 1);
	assert_int_equal(notify_send("READY=1\nSTATUS=%d disks", 3), 1);
	expect_message(fd, "READY=1\nSTATUS=3 disks");
	assert_int_equal(notify_reloading(), 1);
	assert_true(recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT) > 0);
	assert_int_equal(strncmp(message, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	close(fd);
	unlink(path);
	assert_int_equal(notify_send("READY=1"), -ENOENT);

	fd = bind_manager(abstract);
	setenv("NOTIFY_SOCKET", abstract, 1);
	assert_int_equal(notify_send("STOPPING=1"), 1);
	expect_message(fd, "STOPPING=1");
	close(fd);
}

static void test_no_manager(void **state)
{
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	assert_int_equal(notify_send("READY=1"), -EINVAL);
	unsetenv("NOTIFY_SOCKET");
}

static void test_full_manager_does_not_block(void **state)
{
	char name[64];
	int fd, result = 1;

	snprintf(name, sizeof(name), "@viaduct-notify-full-%d", (int)getpid());
	fd = bind_manager(name);
	setenv("NOTIFY_SOCKET", name, 1);
	for (unsigned i = 0; i < 100000 && result == 1; i++)
		result = notify_send("STATUS=%u", i);
	assert_int_equal(result, -EAGAIN);
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void **state)
{
	char pid[32];

	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_interval_ns(), 0);
	setenv("WATCHDOG_USEC", "10000000", 1);
	unsetenv("WATCHDOG_PID");
	assert_int_equal(notify_watchdog_interval_ns(), 5000000000ull);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_interval_ns(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_interval_ns(), 5000000000ull);
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_interval_ns(), 0);
}

static void test_descriptors(void **state)
{
	struct notify_fds fds;

	assert_int_equal(notify_fds_parse("77", "3", "api:alice/disk-root", 77, &fds), 0);
	assert_int_equal(fds.count, 3);
	assert_string_equal(fds.fds[1].name, "alice/disk-root");
	assert_string_equal(fds.fds[2].name, "");
	assert_int_equal(notify_fds_take(&fds, "alice/disk-root"), NOTIFY_FDS_START + 1);
	assert_int_equal(notify_fds_take(&fds, "alice/disk-root"), -1);
	assert_int_equal(notify_fds_take(&fds, "api"), NOTIFY_FDS_START);
	assert_int_equal(notify_fds_take(&fds, "bob"), -1);
	fds.fds[2].fd = -1;	/* not ours to close: the numbers above are made up */
	notify_fds_finish(&fds);

	assert_int_equal(notify_fds_parse("78", "3", "a", 77, &fds), 0);
	assert_int_equal(fds.count, 0);
	assert_int_equal(notify_fds_parse(NULL, NULL, NULL, 77, &fds), 0);
	assert_int_equal(fds.count, 0);
	assert_int_equal(notify_fds_parse("77", "99999999", NULL, 77, &fds), -EINVAL);
	assert_int_equal(notify_fds_parse("77", "-1", NULL, 77, &fds), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_send), cmocka_unit_test(test_no_manager),
		cmocka_unit_test(test_full_manager_does_not_block), cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
