/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration's files: the main one and conf.d beside it. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "daemon/config/config.h"

/* A thousand guests with ten disks fit in a tenth of this. */
#define FILE_BYTES_MAX (4l * 1024 * 1024)

/* Reads up to the end of the file; returns the bytes or -errno. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t got = read(fd, buffer + length, size - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return (ssize_t)length;
}

static int slurp(int fd, char **ret_bytes, size_t *ret_length)
{
	struct stat status;
	ssize_t length;
	char *bytes;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (S_ISDIR(status.st_mode))
		return -EISDIR;
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_BYTES_MAX)
		return -EFBIG;
	bytes = malloc((size_t)status.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	length = read_all(fd, bytes, (size_t)status.st_size);
	if (length < 0) {
		free(bytes);
		return (int)length;
	}
	*ret_bytes = bytes;
	*ret_length = (size_t)length;
	return 0;
}

static const char *why(int error)
{
	switch (-error) {
	case ENOENT:
		return "there is no such file; write one, or name another with --config";
	case EACCES:
		return "permission denied; start viaductd as a user who may read it (a reload reads only "
		       "where files were at the start: restart for others)";
	case EFBIG:
		return "not a regular file of at most 4 MiB";
	default:
		return strerror(-error);
	}
}

int config_read_fd(int fd, char **ret_bytes, size_t *ret_length)
{
	return slurp(fd, ret_bytes, ret_length);
}

int config_read_file(const char *path, char **ret_bytes, size_t *ret_length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int error = fd < 0 ? -errno : slurp(fd, ret_bytes, ret_length);

	fd_close(&fd);
	return error;
}

static int load_file(struct config *config, const char *path, struct config_messages *messages)
{
	size_t length = 0;
	char *bytes = NULL;
	int error = config_read_file(path, &bytes, &length);

	if (error) {
		config_message(messages, path, 0, "cannot read the configuration: %s", why(error));
		return error;
	}
	config_parse(config, path, bytes, length, messages);
	free(bytes);
	return 0;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* conf.d/<any>.conf beside the main file, in order of their names. */
static void load_drop_ins(struct config *config, const char *path, struct config_messages *messages)
{
	const char *slash = strrchr(path, '/');
	int directory_length = slash ? (int)(slash - path) : 1;
	char directory[PATH_MAX], file[PATH_MAX + NAME_MAX + 2];
	struct dirent **entries;
	int count;

	snprintf(directory, sizeof(directory), "%.*s/conf.d", directory_length, slash ? path : ".");
	count = scandir(directory, &entries, is_drop_in, alphasort);
	if (count < 0) {
		if (errno != ENOENT)
			config_message(messages, directory, 0, "cannot read the directory: %s", why(-errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		snprintf(file, sizeof(file), "%s/%s", directory, entries[i]->d_name);
		load_file(config, file, messages);
		free(entries[i]);
	}
	free(entries);
}

static void check_account(const struct config_object *object, const char *key, const char *name, bool group,
			  struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];

	if (!name || (group ? getgrnam(name) != NULL : getpwnam(name) != NULL))
		return;
	for (unsigned i = 0; i < object->section->key_count; i++) {
		if (strcmp(object->section->keys[i].name, key) == 0)
			config_message(messages, object->key_file[i], object->key_line[i],
				       "%s = %s in %s: this host has no such %s", key, name,
				       config_title(object, title), group ? "group" : "user");
	}
}

static void check_accounts(const struct config *config, struct config_messages *messages)
{
	const struct config_daemon *daemon = config_daemon(config);

	check_account(&daemon->object, "user", daemon->user, false, messages);
	check_account(&daemon->object, "group", daemon->group, true, messages);
	config_for_each(config_guests(config), config_guest, guest) {
		check_account(&guest->object, "socket_owner", guest->socket_owner, false, messages);
		check_account(&guest->object, "socket_group", guest->socket_group, true, messages);
	}
}

int config_load(const char *path, struct config **ret_config, struct config_messages *messages)
{
	struct config *config = config_create();
	int error;

	if (!config) {
		config_message(messages, NULL, 0, "out of memory");
		return -ENOMEM;
	}
	error = load_file(config, path, messages);
	if (!error) {
		load_drop_ins(config, path, messages);
		config_check(config, messages);
		check_accounts(config, messages);
		error = messages->count > 0 ? -EINVAL : 0;
	}
	if (error) {
		config_destroy(config);
		return error;
	}
	*ret_config = config;
	return 0;
}
