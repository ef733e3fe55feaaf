/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat.h"
#include "arbiter/seat/seat_keymap.h"
#include "daemon/config/config_values.h"
#include "daemon/seat/display_served.h"

/* ---- checks ---- */

/* In the order of enum display_source. */
static const char *const sources[] = { "vmm", "virtio", "bochs", NULL };

/* In the order of enum display_vnc. */
static const char *const display_viewers[] = { "none", "own", NULL };

const char *display_source_text(enum display_source source)
{
	return sources[source];
}

/* What is wrong with an address that other machines reach. */
#define OPEN_TO_ALL                                                                                          \
	"is not a loopback address: all who reach it would see all guests and type into them, without a "    \
	"password; "
#define TUNNEL	 "use 127.0.0.1, and a tunnel (ssh -L) from elsewhere"
#define OPEN_VNC OPEN_TO_ALL "add vnc_certificate, vnc_key and vnc_password_file, or " TUNNEL
#define OPEN_WEB OPEN_TO_ALL TUNNEL

/* Of the key `key`. unguarded: what is wrong with an address that other machines reach; NULL: nothing. */
static void check_address(const struct config *config, const struct config_object *object, const char *key,
			  const char *text, const char *unguarded, struct config_messages *messages)
{
	struct seat_address address;
	const char *wrong = seat_parse_address(text, &address);

	if (!wrong && address.bytes > 0 && !seat_address_is_loopback(&address))
		wrong = unguarded;
	if (wrong)
		config_complain(object, key, messages, text, wrong);
	for (const struct config_object *other = config_list(config, &config_section_seat); other != object;
	     other = other->next) {
		const struct config_seat *seat = (const struct config_seat *)other;

		if (address.bytes > 0 && (strcmp(seat->vnc, text) == 0 || strcmp(seat->web, text) == 0))
			config_complain(object, key, messages, text, "is another seat's already");
	}
}

/* What guards viewers is given whole, and where there is something to guard. */
static void check_guard(const struct config_object *object, struct config_messages *messages)
{
	const struct config_seat *seat = (const struct config_seat *)object;
	const struct {
		const char *key, *value;
	} parts[] = {
		{ "vnc_certificate", seat->vnc_certificate },
		{ "vnc_key", seat->vnc_key },
		{ "vnc_password_file", seat->vnc_password_file },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].value && !seat_is_guarded(seat))
			config_complain(object, parts[i].key, messages, parts[i].value,
					"is not enough: viewers are guarded by vnc_certificate, vnc_key and "
					"vnc_password_file together");
		else if (parts[i].value && strcmp(seat->vnc, "none") == 0)
			config_complain(
				object, parts[i].key, messages, parts[i].value,
				"guards nothing: there is no port at which viewers arrive, vnc = none");
	}
}

static void check_seat(const struct config *config, const struct config_object *object,
		       struct config_messages *messages)
{
	const struct config_seat *seat = (const struct config_seat *)object;
	struct seat_layout layout;
	unsigned width, height;

	if (!seat_parse_size(seat->size, &width, &height))
		config_complain(object, "size", messages, seat->size,
				"is no size of a screen, for example 1280x800; 64x64 to 8192x8192");
	if (!seat_layout_parse(seat->layout, &layout))
		config_complain(object, "layout", messages, seat->layout,
				"is no name of a layout, for example us or de:nodeadkeys");
	check_guard(object, messages);
	check_address(config, object, "vnc", seat->vnc, seat_is_guarded(seat) ? NULL : OPEN_VNC, messages);
	check_address(config, object, "web", seat->web, OPEN_WEB, messages);
	if (strcmp(seat->web, "none") != 0 && strcmp(seat->web, seat->vnc) == 0)
		config_complain(object, "web", messages, seat->web, "is where this seat's vnc = is already");
	seat_check_hardware(config, object, messages);
}

static bool same_guest(const char *one, const char *other)
{
	const char *slash = strchr(one, '/');

	return slash && strncmp(one, other, (size_t)(slash - one) + 1) == 0;
}

/* Of displays, keyboards and tablets a guest has one each. */
static void check_only(const struct config *config, const struct config_object *object,
		       struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];

	for (const struct config_object *other = config_list(config, object->section); other != object;
	     other = other->next) {
		if (!same_guest(other->name, object->name))
			continue;
		config_message(messages, object->file, object->line,
			       "%s is the second %s of its guest; a guest has one",
			       config_title(object, title), object->section->name);
		return;
	}
}

static const struct config_display *display_of(const struct config *config,
					       const struct config_object *object)
{
	config_for_each(config_list(config, &config_section_display), config_display, display)
	{
		if (same_guest(display->object.name, object->name))
			return display;
	}
	return NULL;
}

static void check_input_model(const struct config_input *input, struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line = config_line_of(&input->object, "connect", &file);

	config_check_interface(&input->device, input->model == CONFIG_INPUT_XHCI ? "model = xhci" : NULL,
			       messages);
	if (input->model == CONFIG_INPUT_XHCI && config_given(&input->object, "connect"))
		config_message(messages, file, line,
			       "connect does not go with model = xhci, to whose socket VMMs connect; take "
			       "connect out, or use model = virtio in %s",
			       config_title(&input->object, title));
}

static void check_input(const struct config *config, const struct config_object *object,
			struct config_messages *messages)
{
	const struct config_display *display = display_of(config, object);
	char title[CONFIG_TITLE_SIZE];

	check_only(config, object, messages);
	check_input_model((const struct config_input *)object, messages);
	if (display && display->source != DISPLAY_OF_VMM)
		return;
	config_message(
		messages, object->file, object->line,
		display ? "%s: the guest's display is the VMM's own, which has a keyboard and a pointer; "
			  "give it source = virtio or bochs, or leave this out"
			: "%s: the guest has no display whose window it could follow; add a section "
			  "[display GUEST/NAME] with source = virtio or bochs",
		config_title(object, title));
}

static void check_monitor(const struct config_display *display, struct config_messages *messages)
{
	unsigned width, height;
	char number[8];

	if (!seat_parse_size(display->size, &width, &height))
		config_complain(&display->object, "size", messages, display->size,
				"is no size of a display, for example 1024x768; 64x64 to 8192x8192");
	else if (display->source == DISPLAY_OF_VMM && config_given(&display->object, "size"))
		config_complain(&display->object, "size", messages, display->size,
				"is for a display with source = virtio or bochs; a VMM's own has the size "
				"that the guest gives it");
	snprintf(number, sizeof(number), "%u", (unsigned)display->scanouts);
	if (display->source == DISPLAY_OF_VMM && display->scanouts > 1)
		config_complain(&display->object, "scanouts", messages, number,
				"is for a display with source = virtio; a VMM's own is one window");
	else if (display->source == DISPLAY_OF_BOCHS && display->scanouts > 1)
		config_complain(&display->object, "scanouts", messages, number,
				"is for a display with source = virtio; a bochs-display has one monitor");
}

static void complain_of_seat(const struct config *config, const struct config_display *display,
			     struct config_messages *messages)
{
	char wrong[CONFIG_NAME_SIZE + 64];
	struct value_nearest nearest;

	value_nearest_init(&nearest, display->seat);
	for (const struct config_object *seat = config_list(config, &config_section_seat); seat;
	     seat = seat->next)
		value_nearest_offer(&nearest, seat->name);
	snprintf(wrong, sizeof(wrong), "is not declared; %s%s%s",
		 nearest.best ? "did you mean " : "add a section [seat NAME]",
		 nearest.best ? nearest.best : "", nearest.best ? "?" : "");
	config_complain(&display->object, "seat", messages, display->seat, wrong);
}

void seat_print_file_name(const char *display, char text[CONFIG_NAME_SIZE])
{
	snprintf(text, CONFIG_NAME_SIZE, "%s", display);
	text[strcspn(text, "/")] = '-';
}

static void check_own_viewers(const struct config *config, const struct config_display *display,
			      struct config_messages *messages)
{
	char name[CONFIG_NAME_SIZE], other_name[CONFIG_NAME_SIZE];

	seat_print_file_name(display->object.name, name);
	config_for_each(config_list(config, &config_section_display), config_display, other)
	{
		if (other == display)
			return;
		seat_print_file_name(other->object.name, other_name);
		if (other->vnc == DISPLAY_VNC_OWN && strcmp(name, other_name) == 0)
			config_complain(&display->object, "vnc", messages, display_viewers[display->vnc],
					"is the socket of another display; name one of the two otherwise");
	}
}

/* What makes it another one than a virtio display. */
static const char *display_other(const struct config_display *display)
{
	static const char *const others[] = { [DISPLAY_OF_VMM] = "source = vmm",
					      [DISPLAY_OF_VIRTIO] = NULL,
					      [DISPLAY_OF_BOCHS] = "source = bochs" };

	return others[display->source];
}

static void check_display(const struct config *config, const struct config_object *object,
			  struct config_messages *messages)
{
	const struct config_display *display = (const struct config_display *)object;
	char title[CONFIG_TITLE_SIZE];
	uint32_t colour;

	config_title(object, title);
	if (!display->seat)
		config_message(messages, object->file, object->line,
			       "%s has no seat; add for example seat = desk", title);
	else if (!config_find(config_list(config, &config_section_seat), display->seat))
		complain_of_seat(config, display, messages);
	check_only(config, object, messages);
	check_monitor(display, messages);
	config_check_interface(&display->device, display_other(display), messages);
	if (display->vnc == DISPLAY_VNC_OWN)
		check_own_viewers(config, display, messages);
	if (display->colour && !seat_parse_colour(display->colour, &colour))
		config_complain(object, "colour", messages, display->colour,
				"is no colour; use red, green, blue, orange, purple, yellow, cyan, pink, or "
				"RRGGBB");
}

/* ---- the tables ---- */

static const struct config_key seat_keys[] = {
	{ .name = "size",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, size),
	  .initial = "1280x800",
	  .help = "Width and height of the screen in pixels. Without it, a seat with a monitor (screen =) "
		  "has the size that the monitor prefers." },
	{ .name = "screen",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, screen),
	  .initial = "none",
	  .help = "Screen of the host that shows the seat, besides viewers: a graphics card, and which of "
		  "its connectors; for example /dev/dri/card0 or /dev/dri/card0:HDMI-A-1. Default connector: "
		  "the first with a monitor." },
	{ .name = "input",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, input),
	  .initial = "none",
	  .help = "Keyboards and pointers of the host that are the seat's, and nothing else's on the host: "
		  "all, or for example /dev/input/event3, "
		  "/dev/input/by-path/pci-0000:00:14.0-usb-0:1:1.0-event-kbd." },
	{ .name = "vnc",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, vnc),
	  .initial = "none",
	  .help = "Address and port at which VNC viewers find the seat, besides its socket "
		  "RUNTIME/seat-NAME.vnc; for example 127.0.0.1:5900. Every user of the host can connect to "
		  "a port. One that other machines reach needs the three keys below." },
	{ .name = "vnc_certificate",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_seat, vnc_certificate),
	  .reads = true,
	  .help = "File (PEM) of the certificate, and of those between it and the one that viewers know, by "
		  "which viewers at vnc = know this host. With it, viewers there speak TLS 1.3 and give a "
		  "password (VeNCrypt, X509Plain), also at a loopback address." },
	{ .name = "vnc_key",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_seat, vnc_key),
	  .reads = true,
	  .help = "File (PEM) of its key, which other users cannot read." },
	{ .name = "vnc_password_file",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_seat, vnc_password_file),
	  .reads = true,
	  .help = "File with one line, the hash of the password that viewers at vnc = give, as `openssl "
		  "passwd -6` or `mkpasswd` prints it; other users cannot read it. Which user name a viewer "
		  "gives makes no difference." },
	{ .name = "web",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, web),
	  .initial = "none",
	  .help = "Loopback address and port of a console in the browser; for example 127.0.0.1:6080. "
		  "`viaduct seat show NAME` prints its address, with a token that it asks for. Needs "
		  "noVNC." },
	{ .name = "font",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_seat, font),
	  .reads = true,
	  .help = "Font of the names in frames, a file that FreeType reads. Default: DejaVu Sans, if it is "
		  "installed." },
	{ .name = "layout",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_seat, layout),
	  .initial = "us",
	  .help = "Keyboard layout that the guests are set to, as X11 calls it: us, de, fr, or with a "
		  "variant de:nodeadkeys. For text that is typed, and viewers that tell no key codes." },
};

static const struct config_key display_keys[] = {
	{ .name = "seat",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_display, seat),
	  .help = "Seat on which the guest's display is a window. Required." },
	{ .name = "source",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_display, source),
	  .choices = sources,
	  .initial = "vmm",
	  .help = "vmm: the VMM's own display (QEMU's D-Bus display), so that no driver is needed; virtio: a "
		  "virtio display, which the guest drives; bochs: a bochs-display over "
		  "vfio-user, made of registers, which firmware and Linux have a driver for." },
	CONFIG_INTERFACE_KEY(config_display),
	{ .name = "vnc",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_display, vnc),
	  .choices = display_viewers,
	  .initial = "none",
	  .help = "own: VNC viewers that see and steer this guest alone find it at the socket "
		  "RUNTIME/display-GUEST-NAME.vnc, besides the seat's viewers; none: there is no such "
		  "socket." },
	{ .name = "size",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_display, size),
	  .initial = "1024x768",
	  .help = "Width and height of a virtio display's monitors, or a bochs-display's, in pixels." },
	{ .name = "scanouts",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_display, scanouts),
	  .minimum = 1,
	  .maximum = DISPLAY_SCANOUTS_MAX,
	  .initial = "1",
	  .help = "Monitors of a virtio display. Each is a window of its own: alice/0, alice/0:1, alice/0:2 "
		  "and so on." },
	{ .name = "colour",
	  .type = CONFIG_TEXT,
	  .offset = offsetof(struct config_display, colour),
	  .help = "Colour of the window's frame: red, green, blue, orange, purple, yellow, cyan, pink or "
		  "RRGGBB, six hexadecimal digits. Default: another for each of the first eight guests." },
	{ .name = "socket",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_display, device.socket),
	  .help = "Socket to listen on, for the VMM's monitor or its device. Default: "
		  "RUNTIME/GUEST/display-NAME.sock." },
	{ .name = "connect",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_display, device.connect),
	  .help = "Client mode: connect to this socket of the VMM's instead of listening." },
};

static const char *const input_models[] = { "virtio", "xhci", NULL };

#define INPUT_KEYS(kind)                                                                                     \
	{ .name = "model",                                                                                   \
	  .type = CONFIG_CHOICE,                                                                             \
	  .offset = offsetof(struct config_input, model),                                                    \
	  .choices = input_models,                                                                           \
	  .initial = "virtio",                                                                               \
	  .help = "What the guest sees: virtio, a virtio " kind "; or xhci, a USB " kind                     \
		  " at a controller of its own over vfio-user, whose driver most guests and firmware have, " \
		  "and for which QEMU 10.1 or newer is needed." },                                           \
	CONFIG_INTERFACE_KEY(config_input),                                                                  \
	{ .name = "socket",                                                                                  \
	  .type = CONFIG_PATH,                                                                               \
	  .offset = offsetof(struct config_input, device.socket),                                            \
	  .help = "Socket to listen on. Default: RUNTIME/GUEST/" kind "-NAME.sock." },                       \
	{                                                                                                    \
		.name = "connect", .type = CONFIG_PATH,                                                      \
		.offset = offsetof(struct config_input, device.connect),                                     \
		.help = "Client mode: connect to this socket of the VMM instead of listening."               \
	}

static const struct config_key keyboard_keys[] = { INPUT_KEYS("keyboard") };
static const struct config_key tablet_keys[] = { INPUT_KEYS("tablet") };

const struct config_section config_section_seat = {
	.name = "seat",
	.naming = CONFIG_NAMED,
	.example = "[seat desk]",
	.object_bytes = sizeof(struct config_seat),
	.keys = seat_keys,
	.key_count = sizeof(seat_keys) / sizeof(seat_keys[0]),
	.help = "A screen, keyboard and pointer that guests share.",
	.check = check_seat,
};

const struct config_section config_section_display = {
	.name = "display",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[display alice/0]",
	.object_bytes = sizeof(struct config_display),
	.keys = display_keys,
	.key_count = sizeof(display_keys) / sizeof(display_keys[0]),
	.help = "A guest's display, which is a window on a seat.",
	.device = true,
	.check = check_display,
};

const struct config_section config_section_keyboard = {
	.name = "keyboard",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[keyboard alice/0]",
	.object_bytes = sizeof(struct config_input),
	.keys = keyboard_keys,
	.key_count = sizeof(keyboard_keys) / sizeof(keyboard_keys[0]),
	.help = "A keyboard with the keys of the guest's display, which is virtio or bochs. A VMM's own "
		"display has a keyboard of the VMM's.",
	.device = true,
	.check = check_input,
};

const struct config_section config_section_tablet = {
	.name = "tablet",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[tablet alice/0]",
	.object_bytes = sizeof(struct config_input),
	.keys = tablet_keys,
	.key_count = sizeof(tablet_keys) / sizeof(tablet_keys[0]),
	.help = "The same for the pointer: where it is, three buttons and a wheel.",
	.device = true,
	.check = check_input,
};
