/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/console/console_config.h"

#include <assert.h>
#include <stddef.h>

#include "daemon/console/console_memory.h"

/* In the order of enum console_source. */
static const char *const sources[] = { "vmm", "virtio", NULL };

const char *console_source_text(enum console_source source)
{
	return sources[source];
}

static const struct config_key console_keys[] = {
	{ .name = "source",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_console, source),
	  .choices = sources,
	  .initial = "vmm",
	  .help = "vmm: the VMM's serial port, as a stream of bytes; virtio: a virtio console, "
		  "which few VMMs have over vhost-user." },
	CONFIG_INTERFACE_KEY(config_console),
	{ .name = "scrollback",
	  .type = CONFIG_SIZE,
	  .live = true,
	  .offset = offsetof(struct config_console, scrollback_bytes),
	  .minimum = CONSOLE_MEMORY_MIN,
	  .maximum = CONSOLE_MEMORY_MAX,
	  .initial = "64K",
	  .help = "How much of what the guest said last is kept for those who attach later." },
	{ .name = "socket",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_console, device.socket),
	  .help = "Socket to listen on. Default: RUNTIME/GUEST/console-NAME.sock." },
	{ .name = "connect",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_console, device.connect),
	  .help = "Client mode: connect to this socket of the VMM instead of listening." },
};

static void check_console(const struct config *config, const struct config_object *object,
			  struct config_messages *messages)
{
	const struct config_console *console = (const struct config_console *)object;

	config_check_interface(&console->device, console->source == CONSOLE_OF_VMM ? "source = vmm" : NULL,
			       messages);
}

static_assert(sizeof(console_keys) / sizeof(console_keys[0]) <= CONFIG_KEYS_MAX,
	      "struct config_object has room");

const struct config_section config_section_console = {
	.name = "console",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[console alice/0]",
	.object_bytes = sizeof(struct config_console),
	.keys = console_keys,
	.key_count = sizeof(console_keys) / sizeof(console_keys[0]),
	.help = "A text console of a guest.",
	.check = check_console,
	.device = true,
};
