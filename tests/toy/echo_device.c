/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The toy's kind of device: [echo alice/0] with mask = 0 … 255, and the keys that every device has. All that
 * the daemon knows of it is in this file.
 */
#include "echo_device.h"

#include "core/container.h"
#include "daemon/device/device.h"
#include "echo_card.h"
#include "interfaces/vhost_user/vhost_user.h"

struct config_echo {
	struct config_device device;
	uint64_t mask;
};

struct echo_device {
	struct device base;
	uint8_t mask;
	struct echo_card card;
};

static const struct config_key keys[] = {
	{ .name = "mask",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_echo, mask),
	  .maximum = 255,
	  .initial = "0",
	  .help = "What each byte is XORed with." },
	{ .name = "socket",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_echo, device.socket),
	  .help = "Socket to listen on." },
	{ .name = "connect",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_echo, device.connect),
	  .help = "Socket to connect to." },
};

const struct config_section config_section_echo = {
	.name = "echo",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[echo alice/0]",
	.object_bytes = sizeof(struct config_echo),
	.keys = keys,
	.key_count = sizeof(keys) / sizeof(keys[0]),
	.help = "A card that hears itself.",
	.device = true,
};

static struct echo_device *echo_of(const struct device *device)
{
	return container_of((struct device *)device, struct echo_device, base);
}

static void open_devices(struct daemon *daemon)
{
	for (const struct config_object *object = config_list(daemon->config, &config_section_echo); object;
	     object = object->next) {
		struct device *device = device_add(daemon, &echo_device_kind, object->name);

		if (device)
			device_serve(device);
	}
}

static void reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	devices_reload(daemon, &echo_device_kind, old, report);
}

static void print_metrics(struct daemon *daemon, FILE *out)
{
	device_for_each(daemon, &echo_device_kind, device)
		fprintf(out, "viaduct_echo_frames_total{guest=\"%s\",echo=\"%s\"} %llu\n",
			device->guest->name, device->short_name,
			(unsigned long long)counter_read(&echo_of(device)->card.echoed));
}

static void configure(struct device *device, const struct config_object *settings)
{
	echo_of(device)->mask = settings ? (uint8_t)((const struct config_echo *)settings)->mask : 0;
}

static int open_card(struct device *device)
{
	struct echo_device *echo = echo_of(device);

	echo_card_init(&echo->card, echo->mask);
	return 0;
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct vhost_user_options options = {
		.endpoint = *endpoint, .model = &echo_card_model, .device = &echo_of(device)->card,
	};

	return handed ? vhost_user_restore(&options, handed, ret_endpoint)
		      : vhost_user_create(&options, ret_endpoint);
}

static void close_card(struct device *device)
{
}

static void describe(const struct device *device, json_t *object)
{
	json_object_set_new(object, "mask", json_integer(echo_of(device)->mask));
}

static void status(const struct device *device, json_t *object)
{
	const struct echo_card *card = &echo_of(device)->card;

	json_object_set_new(object, "echoed", json_integer((json_int_t)counter_read(&card->echoed)));
	json_object_set_new(object, "dropped", json_integer((json_int_t)counter_read(&card->dropped)));
}

const struct device_kind echo_device_kind = {
	.name = "echo",
	.section = &config_section_echo,
	.device_bytes = sizeof(struct echo_device),
	.open_devices = open_devices,
	.reload = reload,
	.print_metrics = print_metrics,
	.configure = configure,
	.open = open_card,
	.endpoint_create = endpoint_create,
	.close = close_card,
	.describe = describe,
	.status = status,
};
