/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Before anything runs: the directory, the configuration, the guests' kernel and initramfs, KVM or not. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/demo/demo.h"
#include "core/clock.h"

void demo_say(const struct demo *demo, const char *format, ...)
{
	va_list arguments;

	printf("[%5.1f s] ", (double)(clock_now_ns() - demo->start_ns) / (double)NS_PER_S);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

static int prepare_directory(struct demo *demo)
{
	const char *parent = getenv("TMPDIR");
	uint64_t random = 0;

	snprintf(demo->directory, sizeof(demo->directory), "%s/viaduct-demo-XXXXXX",
		 parent ? parent : "/tmp");
	if (!mkdtemp(demo->directory))
		return cli_fail(demo->command, "%s: %s", demo->directory, strerror(errno));
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = clock_now_ns();
	snprintf(demo->token, sizeof(demo->token), "%016llx", (unsigned long long)random);
	snprintf(demo->pool_path, sizeof(demo->pool_path), "%s/main.pool", demo->directory);
	snprintf(demo->daemon.config, sizeof(demo->daemon.config), "%s/viaduct.conf", demo->directory);
	snprintf(demo->daemon.runtime_dir, sizeof(demo->daemon.runtime_dir), "%s/run", demo->directory);
	snprintf(demo->daemon.log, sizeof(demo->daemon.log), "%s/viaductd.log", demo->directory);
	for (unsigned i = 0; i < DEMO_GUESTS; i++)
		snprintf(demo->guests[i].log, sizeof(demo->guests[i].log), "%s/%s.console", demo->directory,
			 demo->guests[i].name);
	demo->guest_cli = *demo->cli;
	snprintf(demo->guest_cli.runtime_dir, sizeof(demo->guest_cli.runtime_dir), "%s",
		 demo->daemon.runtime_dir);
	return CLI_OK;
}

/* A tmpfs may have none; then the page cache stands for the disk. */
static bool has_direct_io(const char *file)
{
	int fd = open(file, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int write_config(struct demo *demo)
{
	FILE *config = fopen(demo->daemon.config, "we");

	if (!config)
		return cli_fail(demo->command, "%s: %s", demo->daemon.config, strerror(errno));
	fprintf(config,
		"[daemon]\nstate_dir = %s/state\n\n"
		"[pool main]\npath = %s\nsize = 8G\ncache = %s\n"
		"capacity_iops = 50000\ncapacity_bandwidth = 500M\n\n"
		"[guest alice]\n[disk alice/root]\npool = main\nsize = 1G\n\n"
		"[guest bob]\n[disk bob/root]\npool = main\nsize = 1G\n\n"
		"[guest mallory]\n[disk mallory/root]\npool = main\nsize = 64M\n",
		demo->directory, demo->pool_path, has_direct_io(demo->daemon.config) ? "direct" : "buffered");
	demo_registers_config(config);
	demo_network_config(demo, config);
	demo_seat_config(demo, config);
	demo_sharing_config(demo, config);
	if (fclose(config) != 0)
		return cli_fail(demo->command, "%s: %s", demo->daemon.config, strerror(errno));
	return CLI_OK;
}

static int run_image_builder(struct demo *demo, const char *directory)
{
	char builder[CLI_PATH_MAX];
	int status = -1;
	pid_t pid;

	if (cli_find_program("guest-image", builder) < 0)
		return cli_fail(demo->command,
				"guest-image, which builds the guests, was not found beside this program");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execl(builder, builder, directory, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? CLI_OK
			   : cli_fail(demo->command, "the guests' kernel and initramfs could not be built");
}

static int prepare_image(struct demo *demo, const char *given)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *reason;
	char directory[CLI_PATH_MAX / 2];
	int result = CLI_OK;

	if (given)
		snprintf(directory, sizeof(directory), "%s", given);
	else if (cache && cache[0] == '/')
		snprintf(directory, sizeof(directory), "%s/viaduct/guest-image", cache);
	else
		snprintf(directory, sizeof(directory), "%s/.cache/viaduct/guest-image",
			 home ? home : "/var/tmp");
	snprintf(demo->image.kernel, sizeof(demo->image.kernel), "%s/vmlinuz", directory);
	snprintf(demo->image.initrd, sizeof(demo->image.initrd), "%s/initrd.gz", directory);
	if (!given || access(demo->image.initrd, R_OK) < 0)
		result = run_image_builder(demo, directory);
	if (result == CLI_OK && vmm_find_qemu(demo->image.qemu) < 0)
		result = cli_fail(demo->command,
				  "QEMU is not installed; `apt install qemu-system-x86` brings it");
	if (result != CLI_OK)
		return result;
	demo->image.accel = vmm_probe_accel(demo->image.qemu, demo->image.kernel, &reason);
	if (demo->image.accel == VMM_TCG)
		demo_say(demo, "guests run under software emulation: %s", reason);
	else
		demo_say(demo, "guests run under KVM");
	return CLI_OK;
}

int demo_prepare(struct demo *demo, const char *image)
{
	int result = prepare_directory(demo);

	if (result == CLI_OK)
		result = write_config(demo);
	if (result == CLI_OK && demo->guest_count > 0)
		result = prepare_image(demo, image);
	return result;
}
