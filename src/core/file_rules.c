/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/file_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fd.h"

/* The headers of Debian 12 end with ABI 2. ABI 3 (Linux 6.2) has the first of these, ABI 5 (6.10) the second.
 */
#define TRUNCATE  (1ull << 14)
#define IOCTL_DEV (1ull << 15)

/* All that a rule for a file may grant; the others are about directories. */
#define OF_FILES                                                                                             \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |         \
	 TRUNCATE | IOCTL_DEV)

static const uint64_t kernel_rights[] = {
	LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	LANDLOCK_ACCESS_FS_EXECUTE,
	LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE,
	IOCTL_DEV,
	LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REFER,
};

/* Every right that an ABI knows and that is about files: what no rule gives is refused. */
static uint64_t known_rights(long abi)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= TRUNCATE;
	if (abi >= 5)
		rights |= IOCTL_DEV;
	return rights;
}

int file_rules_init(struct file_rules *rules)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attributes = { .handled_access_fs = known_rights(abi) };

	*rules = (struct file_rules){ .fd = -1, .known = attributes.handled_access_fs };
	if (abi < 1)
		return -EOPNOTSUPP;
	rules->fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	return rules->fd < 0 ? -errno : 0;
}

int file_rules_allow_fd(struct file_rules *rules, int fd, unsigned rights)
{
	struct landlock_path_beneath_attr beneath = { .parent_fd = fd };
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	for (unsigned i = 0; i < sizeof(kernel_rights) / sizeof(kernel_rights[0]); i++)
		if (rights & 1u << i)
			beneath.allowed_access |= kernel_rights[i];
	beneath.allowed_access &= S_ISDIR(status.st_mode) ? rules->known : rules->known & OF_FILES;
	if (!beneath.allowed_access)
		return 0;
	if (syscall(SYS_landlock_add_rule, rules->fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return -errno;
	return 0;
}

int file_rules_allow_path(struct file_rules *rules, const char *path, unsigned rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC), error;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	error = file_rules_allow_fd(rules, fd, rights);
	close(fd);
	return error;
}

int file_rules_enforce(const struct file_rules *rules)
{
	return syscall(SYS_landlock_restrict_self, rules->fd, 0) < 0 ? -errno : 0;
}

void file_rules_finish(struct file_rules *rules)
{
	fd_close(&rules->fd);
}
