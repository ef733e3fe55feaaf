/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMM without a machine, for a host that is itself a guest of a test: connects to a display's socket, shows
 * a picture whose pixels are known (x, y: 5x+y, x^y, 3y as red, green and blue), and prints what is pressed.
 * Caps Lock switches its light, as a guest would.
 *
 *     display_player SOCKET WIDTH HEIGHT
 */
#include "display_bench.h"

#include <stdlib.h>
#include <sys/un.h>

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert_int_equal(fd_set_nonblocking(fd, true), 0);
	return fd;
}

static void show(struct fake_qemu *qemu, unsigned width, unsigned height)
{
	uint32_t *pixels = malloc((size_t)width * height * 4);

	assert_non_null(pixels);
	for (unsigned y = 0; y < height; y++) {
		for (unsigned x = 0; x < width; x++)
			pixels[(size_t)y * width + x] =
				((5 * x + y) & 0xff) << 16 | ((x ^ y) & 0xff) << 8 | ((3 * y) & 0xff);
	}
	assert_false(fake_scanout(
		qemu, width, height,
		(struct fake_pixels){ width * 4, X8R8G8B8, pixels, (size_t)width * height * 4 }));
	free(pixels);
}

#define CAPS_LIGHT 4u /* as QEMU says it */

static void hear(struct fake_qemu *qemu, const char *call)
{
	puts(call);
	if (strcmp(call, "Keyboard Press 58") != 0)
		return;
	qemu->lights ^= CAPS_LIGHT;
	assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", "org.qemu.Display1.Keyboard", 0,
				       0) >= 0);
}

int main(int argc, char **argv)
{
	static struct fake_qemu qemu;

	assert_int_equal(argc, 4);
	qemu = (struct fake_qemu){ .qmp = connect_to(argv[1]),
				   .daemon = -1,
				   .display = -1,
				   .is_absolute = true,
				   .is_over = true,
				   .graphic = "/org/qemu/Display1/Console_0" };
	setvbuf(stdout, NULL, _IOLBF, 0);
	fake_write(&qemu, GREETING);
	UNTIL(&qemu, qemu.listener);
	show(&qemu, (unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
	puts("shown");
	while (qemu.qmp >= 0) {
		fake_step(&qemu);
		for (unsigned i = 0; i < qemu.call_count; i++)
			hear(&qemu, qemu.calls[i].text);
		qemu.call_count = 0;
	}
	return 0;
}
