/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a configuration fit this host and what is open on it? What never can be served is refused as a whole.
 */
#include <errno.h>

#include "core/log.h"
#include "daemon/device/device.h"

void devices_check_host(const struct config *config, const char *runtime_dir,
			struct config_messages *messages)
{
	config_check_sockets(config, runtime_dir, messages);
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->check_host)
			device_kinds[i]->check_host(config, messages);
}

void devices_check_open(const struct daemon *daemon, const struct config *config,
			struct config_messages *messages)
{
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->check_open)
			device_kinds[i]->check_open(daemon, config, messages);
}

int devices_check_start(const struct daemon *daemon, struct error *error)
{
	struct config_messages messages = { .count = 0 };
	int code = 0;

	devices_check_open(daemon, daemon->config, &messages);
	for (unsigned i = 0; i < messages.kept; i++)
		log_error(NULL, "%s", messages.text[i]);
	if (messages.count > 0)
		code = error_set(error, -EINVAL, "the configuration does not fit the pools: see above");
	config_messages_finish(&messages);
	return code;
}
