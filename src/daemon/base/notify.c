/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "daemon/config/config_values.h"

#define MESSAGE_MAX 1024

/* A path, or an abstract name written with '@'. */
static int notify_address(const char *text, struct sockaddr_un *ret_address, socklen_t *ret_length)
{
	size_t length = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || length < 2 || length >= sizeof(ret_address->sun_path))
		return -EINVAL;
	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(ret_address->sun_path, text, length);
	if (text[0] == '@')
		ret_address->sun_path[0] = '\0';
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

int notify_send(const char *format, ...)
{
	const char *socket_name = getenv("NOTIFY_SOCKET");
	char message[MESSAGE_MAX];
	struct sockaddr_un address;
	socklen_t address_length;
	va_list arguments;
	int error, length, fd;

	if (!socket_name || !*socket_name)
		return 0;
	error = notify_address(socket_name, &address, &address_length);
	if (error)
		return error;
	va_start(arguments, format);
	length = vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(message))
		return -EMSGSIZE;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	error = sendto(fd, message, (size_t)length, MSG_NOSIGNAL, (struct sockaddr *)&address,
		       address_length) < 0
			? -errno
			: 1;
	fd_close(&fd);
	return error;
}

int notify_reloading(void)
{
	return notify_send("RELOADING=1\nMONOTONIC_USEC=%llu",
			   (unsigned long long)(clock_now_ns() / NS_PER_US));
}

uint64_t notify_watchdog_interval_ns(void)
{
	const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t period_us, process;

	if (!period || value_parse_number(period, &period_us) < 0 || period_us > UINT64_MAX / NS_PER_US)
		return 0;
	if (pid && (value_parse_number(pid, &process) < 0 || process != (uint64_t)getpid()))
		return 0;
	return period_us * NS_PER_US / 2;
}

/* Copies the next colon-separated name and returns where the one after it starts. */
static const char *copy_name(const char *names, char *name, size_t size)
{
	size_t length = strcspn(names, ":");

	snprintf(name, size, "%.*s", (int)(length < size ? length : size - 1), names);
	return names[length] ? names + length + 1 : names + length;
}

int notify_fds_parse(const char *pid, const char *count, const char *names, pid_t self,
		     struct notify_fds *ret_fds)
{
	struct notify_fds fds = { .count = 0 };
	uint64_t process, number;

	if (!pid || !count) {
		*ret_fds = fds;
		return 0;
	}
	if (value_parse_number(pid, &process) < 0 || value_parse_number(count, &number) < 0 ||
	    number > NOTIFY_FDS_MAX)
		return -EINVAL;
	if (process != (uint64_t)self || number == 0) {
		*ret_fds = fds;
		return 0;
	}
	fds.fds = calloc(number, sizeof(*fds.fds));
	if (!fds.fds)
		return -ENOMEM;
	for (fds.count = 0; fds.count < number; fds.count++) {
		fds.fds[fds.count].fd = NOTIFY_FDS_START + (int)fds.count;
		if (names)
			names = copy_name(names, fds.fds[fds.count].name, sizeof(fds.fds[0].name));
	}
	*ret_fds = fds;
	return 0;
}

int notify_fds_receive(struct notify_fds *ret_fds)
{
	int error = notify_fds_parse(getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"),
				     getpid(), ret_fds);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (error)
		return error;
	for (unsigned i = 0; i < ret_fds->count; i++)
		fcntl(ret_fds->fds[i].fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

int notify_fds_take(struct notify_fds *fds, const char *name)
{
	for (unsigned i = 0; i < fds->count; i++) {
		if (fds->fds[i].fd >= 0 && strcmp(fds->fds[i].name, name) == 0)
			return fd_take(&fds->fds[i].fd);
	}
	return -1;
}

void notify_fds_finish(struct notify_fds *fds)
{
	for (unsigned i = 0; i < fds->count; i++)
		fd_close(&fds->fds[i].fd);
	free(fds->fds);
	*fds = (struct notify_fds){ .count = 0 };
}
