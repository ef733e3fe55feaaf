/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/error.h"
#include "core/fd.h"
#include "core/file_rules.h"
#include "core/log.h"
#include "core/path.h"
#include "core/sanitized.h"
#include "daemon/config/config.h"

#define WORK (FILE_MAY_READ | FILE_MAY_WRITE | FILE_MAY_CONTROL | FILE_MAY_NAME)
/* What a sanitizer's run-time starts, to tell where in the program it found something. */
#define LIBRARY (SANITIZED ? FILE_MAY_READ | FILE_MAY_EXECUTE : FILE_MAY_READ)

struct reach {
	unsigned count;
	char **directories; /* that it works in, without links */
};

/* While the list is made. */
struct maker {
	struct file_rules rules;
	struct reach *reach;
};

/* ---- where paths lead ---- */

/* The path of an open file or directory, without links. */
static bool real_path(int fd, char path[PATH_MAX])
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, PATH_MAX - 1);
	if (length <= 0 || path[0] != '/')
		return false;
	path[length] = '\0';
	return true;
}

/* What the path names, or the directory in which it would be made. False: neither is there. */
static bool real_place(const char *path, bool *ret_is_there, char real[PATH_MAX])
{
	const char *name;
	int fd = path_open(path, O_PATH, 0);
	bool found;

	*ret_is_there = fd >= 0;
	if (fd < 0)
		fd = path_open_parent(path, &name);
	found = fd >= 0 && real_path(fd, real);
	fd_close(&fd);
	return found;
}

/*
 * The directory of a file, or the nearest above it that is there: the others may be made later. But nobody
 * gets all files for a directory that is missing.
 */
static bool real_directory(const char *path, char real[PATH_MAX])
{
	char at[PATH_MAX];
	bool is_there = false, climbed = false;
	char *slash;

	if ((size_t)snprintf(at, sizeof(at), "%s", path) >= sizeof(at))
		return false;
	while (!real_place(at, &is_there, real)) {
		slash = strrchr(at, '/');
		if (!slash || slash == at)
			return false;
		*slash = '\0';
		climbed = true;
	}
	slash = strrchr(real, '/');
	if (is_there && !climbed)
		slash[slash == real] = '\0';
	return !climbed || strcmp(real, "/") != 0;
}

/* ---- the list ---- */

static int remember(struct reach *reach, const char *directory)
{
	char **directories = realloc(reach->directories, (reach->count + 1) * sizeof(*directories));

	if (!directories)
		return -ENOMEM;
	reach->directories = directories;
	directories[reach->count] = strdup(directory);
	return directories[reach->count] ? (reach->count++, 0) : -ENOMEM;
}

static int allow_work(struct maker *maker, const char *directory)
{
	int error;

	for (unsigned i = 0; i < maker->reach->count; i++)
		if (strcmp(maker->reach->directories[i], directory) == 0)
			return 0;
	if (strcmp(directory, "/") == 0)
		log_warning(NULL, "sandbox: a path of the configuration is in /, so every file is in reach; "
				  "move it to a directory of its own");
	error = file_rules_allow_path(&maker->rules, directory, WORK);
	return error ? error : remember(maker->reach, directory);
}

/* A file that is only read. */
static int allow_read_of(struct maker *maker, const char *path)
{
	char real[PATH_MAX];

	return real_directory(path, real) ? file_rules_allow_path(&maker->rules, real, FILE_MAY_READ) : 0;
}

/* A file of the configuration. What cannot be found is left to those that open it. */
static int allow_work_on(struct maker *maker, const char *path)
{
	char real[PATH_MAX];

	return real_directory(path, real) ? allow_work(maker, real) : 0;
}

/* The runtime and the state directory. */
static int allow_work_in(struct maker *maker, const char *directory)
{
	char real[PATH_MAX];
	bool is_there;

	return real_place(directory, &is_there, real) && is_there ? allow_work(maker, real) : 0;
}

static int allow_object(struct maker *maker, const struct config_object *object)
{
	int error = 0;

	for (unsigned i = 0; !error && i < object->section->key_count; i++) {
		const struct config_key *key = &object->section->keys[i];
		const char *path = key->type == CONFIG_PATH
					   ? *(char *const *)((const char *)object + key->offset)
					   : NULL;

		/* No rule is needed to connect to a socket. */
		if (path && key->reads)
			error = allow_read_of(maker, path);
		else if (path && !config_key_is(key, "connect"))
			error = allow_work_on(maker, path);
	}
	return error;
}

static int allow_objects(struct maker *maker, const struct config *config)
{
	int error = 0;

	for (unsigned i = 0; config_sections[i]; i++) {
		const struct config_object *object = config_list(config, config_sections[i]);

		/* Its paths are the directories themselves. */
		if (config_sections[i] == &config_section_daemon)
			continue;
		for (; !error && object; object = object->next)
			error = allow_object(maker, object);
	}
	return error;
}

/* A reload reads the same files, and others beside them. */
static int allow_configuration(struct maker *maker, const struct config *config)
{
	char path[PATH_MAX];
	int error = 0;

	for (unsigned i = 0; !error && i < config->file_count; i++) {
		const char *name = config->files[i], *slash = strrchr(name, '/');
		int length = slash ? (int)(slash - name) + 1 : 1;

		if (real_directory(name, path))
			error = file_rules_allow_path(&maker->rules, path, FILE_MAY_READ);
		/* The file may be a link; the directory has others. */
		snprintf(path, sizeof(path), "%.*s", length, slash ? name : ".");
		if (!error)
			error = file_rules_allow_path(&maker->rules, path, FILE_MAY_READ);
	}
	return error;
}

/*
 * /etc/resolv.conf is a link on most hosts, to a file that may be made later: the directory of that, or the
 * nearest that is there.
 */
static int allow_resolver(struct maker *maker)
{
	static const char name[] = "/etc/resolv.conf";
	char path[PATH_MAX], target[PATH_MAX - sizeof(name)];
	ssize_t length;
	char *slash;

	if (!realpath(name, path)) {
		length = readlink(name, target, sizeof(target) - 1);
		if (length <= 0)
			return 0;
		target[length] = '\0';
		snprintf(path, sizeof(path), "%s%s", target[0] == '/' ? "" : "/etc/", target);
	}
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (access(path, F_OK) == 0)
			return file_rules_allow_path(&maker->rules, path, FILE_MAY_READ);
	}
	return 0;
}

static int allow_host(struct maker *maker)
{
	static const struct {
		const char *path;
		unsigned rights;
	} host[] = {
		{ "/etc", FILE_MAY_READ },
		{ "/usr", LIBRARY },
		{ "/bin", LIBRARY },
		{ "/lib", LIBRARY },
		{ "/lib32", LIBRARY },
		{ "/lib64", LIBRARY },
		{ "/proc", FILE_MAY_READ },
		{ "/sys", FILE_MAY_READ },
		{ "/dev", FILE_MAY_READ | FILE_MAY_WRITE | FILE_MAY_CONTROL },
		/* Accounts, as nss-systemd and sssd keep them */
		{ "/run/host/userdb", FILE_MAY_READ },
		{ "/run/systemd/userdb", FILE_MAY_READ },
		{ "/run/userdb", FILE_MAY_READ },
		{ "/var/lib/sss/mc", FILE_MAY_READ },
	};
	int error = SANITIZED ? file_rules_allow_path(&maker->rules, "/proc/self/exe", FILE_MAY_READ) : 0;

	for (unsigned i = 0; !error && i < sizeof(host) / sizeof(host[0]); i++)
		error = file_rules_allow_path(&maker->rules, host[i].path, host[i].rights);
	return error ? error : allow_resolver(maker);
}

static int allow_all(struct maker *maker, const struct reach_options *options)
{
	int error = allow_host(maker);

	if (!error)
		error = allow_configuration(maker, options->config);
	if (!error)
		error = allow_work_in(maker, options->runtime_dir);
	if (!error)
		error = allow_work_in(maker, options->state_dir);
	return error ? error : allow_objects(maker, options->config);
}

static int restrict_files(struct maker *maker, const struct reach_options *options)
{
	int error = file_rules_init(&maker->rules);

	if (error)
		return error;
	error = allow_all(maker, options);
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		error = -errno;
	if (!error)
		error = file_rules_enforce(&maker->rules);
	file_rules_finish(&maker->rules);
	return error;
}

int reach_restrict(const struct reach_options *options, struct reach **ret_reach, struct error *error)
{
	struct maker maker = { .reach = calloc(1, sizeof(*maker.reach)) };
	int code = maker.reach ? restrict_files(&maker, options) : -ENOMEM;

	if (!code) {
		*ret_reach = maker.reach;
		return 0;
	}
	reach_destroy(maker.reach);
	if (code != -EOPNOTSUPP)
		return error_set(error, code,
				 "sandbox: files: %s; set sandbox = no in [daemon] to do without",
				 strerror(-code));
	log_info(NULL,
		 "sandbox: this kernel has no Landlock: files stay in reach that the daemon never needs");
	*ret_reach = NULL;
	return 0;
}

/* ---- later ---- */

static bool is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strcmp(directory, "/") == 0 ||
	       (strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/'));
}

bool reach_has(const struct reach *reach, const char *path)
{
	char real[PATH_MAX];
	bool is_there;

	if (!reach || !real_place(path, &is_there, real) || (is_there && is_below(real, "/dev")))
		return true;
	for (unsigned i = 0; i < reach->count; i++)
		if (is_below(real, reach->directories[i]))
			return true;
	return false;
}

void reach_destroy(struct reach *reach)
{
	if (!reach)
		return;
	for (unsigned i = 0; i < reach->count; i++)
		free(reach->directories[i]);
	free(reach->directories);
	free(reach);
}
