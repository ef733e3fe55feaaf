/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/base/daemon.h"

int privileges_drop(const struct config_daemon *settings, struct error *error)
{
	const char *user_name = settings->user, *group_name = settings->group;
	const struct passwd *user = user_name ? getpwnam(user_name) : NULL;
	const struct group *group = group_name ? getgrnam(group_name) : NULL;
	gid_t gid = group ? group->gr_gid : user ? user->pw_gid : getegid();

	if (geteuid() != 0)
		return 0;
	if ((user_name && !user) || (group_name && !group))
		return error_set(error, -ENOENT, "the user or group of the configuration is gone");
	if (user && initgroups(user->pw_name, gid) < 0)
		return error_set(error, -errno, "cannot set the groups of %s: %s", user_name,
				 strerror(errno));
	if (setresgid(gid, gid, gid) < 0)
		return error_set(error, -errno, "cannot change to the group: %s", strerror(errno));
	if (user && setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return error_set(error, -errno, "cannot change to the user %s: %s", user_name,
				 strerror(errno));
	if (user && user->pw_uid != 0 && setresuid(0, 0, 0) == 0)
		return error_set(error, -EPERM, "the change to the user %s can be undone", user_name);
	/* The change has switched it off or on, as the kernel's fs.suid_dumpable says. */
	if (user && prctl(PR_SET_DUMPABLE, settings->core_dumps) < 0)
		return error_set(error, -errno, "cannot switch core dumps off: %s", strerror(errno));
	return 0;
}
