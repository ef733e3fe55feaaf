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

/* Those of a pool that could not be opened are no devices at all. */
static unsigned missing_devices(const struct daemon *daemon)
{
	unsigned missing = 0;

	for (unsigned i = 0; device_kinds[i]; i++) {
		const struct config_object *object = config_list(daemon->config, device_kinds[i]->section);

		for (; object; object = object->next)
			missing += !device_find(daemon, device_kinds[i], object->name);
	}
	return missing;
}

unsigned devices_count(const struct daemon *daemon, unsigned *ret_served)
{
	unsigned failed = missing_devices(daemon);

	*ret_served = 0;
	for (const struct device *device = daemon->devices; device; device = device->next) {
		*ret_served += device->endpoint != NULL;
		failed += !device->endpoint;
	}
	return failed;
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
