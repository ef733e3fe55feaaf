/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct run`: becomes QEMU with the guest's disks, network cards and consoles attached. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/vmm/vmm.h"

#define CPUS_MAX	    255
#define BUSY_TRIES	    20
#define BUSY_WAIT_US	    100000
#define DISPLAY_WITHOUT_KVM 1000 /* QEMU 10.0 */

struct run_options {
	const char *memory, *cpus, *kernel, *initrd, *append, *accel;
	bool print;
};

/* Did the user bring a console of his own? */
static bool has_console(const struct cli_arguments *arguments)
{
	static const char *const console[] = { "-display", "-nographic", "-vnc",
					       "-serial",  "-curses",	 "-spice" };

	for (int i = 0; i < arguments->rest_count; i++) {
		for (size_t c = 0; c < sizeof(console) / sizeof(console[0]); c++) {
			if (strcmp(arguments->rest[i], console[c]) == 0)
				return true;
		}
	}
	return false;
}

static int choose_accel(const struct cli_command *command, const char *qemu,
			const struct run_options *options, enum vmm_accel *ret_accel)
{
	const char *reason = "";

	if (!options->accel) {
		*ret_accel = vmm_probe_accel(qemu, options->kernel, &reason);
		if (*ret_accel == VMM_TCG)
			fprintf(stderr, "viaduct run: software emulation (%s)\n", reason);
		return CLI_OK;
	}
	if (strcmp(options->accel, "kvm") != 0 && strcmp(options->accel, "tcg") != 0)
		return cli_usage(command, "--accel: \"%s\" is neither kvm nor tcg", options->accel);
	*ret_accel = options->accel[0] == 'k' ? VMM_KVM : VMM_TCG;
	return CLI_OK;
}

/* As the guest names the disk that it boots from. */
static const char *root_device(const struct vmm_guest *guest)
{
	return guest->disk_count > 0 && guest->disks[0].is_nvme ? "/dev/nvme0n1" : "/dev/vda";
}

/* Is a serial port the daemon's? */
static bool has_port(const struct vmm_guest *guest)
{
	for (size_t i = 0; i < guest->console_count; i++)
		if (!guest->consoles[i].virtio)
			return true;
	return false;
}

/*
 * A guest whose console is the daemon's needs nothing of the terminal; Ctrl-C ends it. Without graphics, a
 * PC's firmware speaks on the serial port.
 */
static void add_console(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	if (guest->has_display) {
		vmm_display_arguments(guest, arguments);
		vmm_argument(arguments, has_port(guest) ? "-monitor" : "-serial");
		vmm_argument(arguments, has_port(guest) ? "none" : "mon:stdio");
		return;
	}
	if (!has_port(guest)) {
		vmm_argument(arguments, "-nographic");
		return;
	}
	vmm_argument(arguments, "-display");
	vmm_argument(arguments, "none");
	vmm_argument(arguments, "-monitor");
	vmm_argument(arguments, "none");
	vmm_argument(arguments, "-machine");
	vmm_argument(arguments, "graphics=off");
}

/* The last console is that of the first process. */
static void add_command_line(const struct vmm_guest *guest, const struct run_options *options,
			     struct vmm_arguments *arguments)
{
	if (options->append)
		vmm_argument(arguments, "%s", options->append);
	else
		vmm_argument(arguments, "%sconsole=ttyS0 root=%s", guest->has_display ? "console=tty0 " : "",
			     root_device(guest));
}

static void build(const struct vmm_guest *guest, const char *qemu, enum vmm_accel accel,
		  const struct run_options *options, const struct cli_arguments *user,
		  struct vmm_arguments *arguments)
{
	vmm_argument(arguments, "%s", qemu);
	vmm_argument(arguments, "-name");
	vmm_argument(arguments, "%s", guest->name);
	vmm_argument(arguments, "-accel");
	vmm_argument(arguments, accel == VMM_KVM ? "kvm" : "tcg");
	vmm_argument(arguments, "-cpu");
	vmm_argument(arguments, accel == VMM_KVM ? "host" : "max");
	vmm_argument(arguments, "-smp");
	vmm_argument(arguments, "%u", guest->cpus);
	vmm_qemu_arguments(guest, arguments);
	if (!has_console(user))
		add_console(guest, arguments);
	if (options->kernel) {
		vmm_argument(arguments, "-kernel");
		vmm_argument(arguments, "%s", options->kernel);
		vmm_argument(arguments, "-append");
		add_command_line(guest, options, arguments);
	}
	if (options->initrd) {
		vmm_argument(arguments, "-initrd");
		vmm_argument(arguments, "%s", options->initrd);
	}
	for (int i = 0; i < user->rest_count; i++)
		vmm_argument(arguments, "%s", user->rest[i]);
}

static int parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
		 struct run_options *options, struct vmm_guest *guest, struct cli_arguments *arguments)
{
	const struct cli_option table[] = {
		{ "memory", &options->memory, NULL }, { "cpus", &options->cpus, NULL },
		{ "kernel", &options->kernel, NULL }, { "initrd", &options->initrd, NULL },
		{ "append", &options->append, NULL }, { "accel", &options->accel, NULL },
		{ "print", NULL, &options->print },   { 0 },
	};
	int result = cli_parse(cli, command, argc, argv, table, 1, 1, arguments);
	char *end = NULL;
	long cpus;

	if (result != CLI_OK)
		return result;
	if (!options->kernel && (options->initrd || options->append))
		return cli_usage(command, "--initrd and --append need --kernel");
	cpus = options->cpus ? strtol(options->cpus, &end, 10) : 1;
	if (cpus < 1 || cpus > CPUS_MAX || (end && *end))
		return cli_usage(command, "--cpus: \"%s\" is not a number from 1 to %d", options->cpus,
				 CPUS_MAX);
	guest->cpus = (unsigned)cpus;
	if (!options->memory)
		return CLI_OK;
	result = cli_parse_size(command, "--memory", options->memory, &guest->memory_bytes);
	if (result == CLI_OK && guest->memory_bytes < 1 << 20)
		return cli_usage(command, "--memory: less than 1 MiB");
	return result;
}

static int check_file(const struct cli_command *command, const char *option, const char *path)
{
	if (path && access(path, R_OK) < 0)
		return cli_fail(command, "%s: %s: %s", option, path, strerror(errno));
	return CLI_OK;
}

/* QEMU would wait for a socket that it may not use, for ever and with the guest switched off. */
static int check_socket(const struct cli_command *command, const char *guest, const char *path)
{
	if (access(path, R_OK | W_OK) == 0 || errno == ENOENT)
		return CLI_OK;
	if (errno == EACCES)
		return cli_fail(command,
				"%s: permission denied; give it to yourself with socket_owner or "
				"socket_group in [guest %s]",
				path, guest);
	return cli_fail(command, "%s: %s", path, strerror(errno));
}

static int check_sockets(const struct cli_command *command, const struct vmm_guest *guest)
{
	int result = CLI_OK;

	for (size_t i = 0; i < guest->disk_count && result == CLI_OK; i++)
		if (!guest->disks[i].vmm_listens)
			result = check_socket(command, guest->name, guest->disks[i].socket);
	for (size_t i = 0; i < guest->nic_count && result == CLI_OK; i++)
		if (!guest->nics[i].vmm_listens)
			result = check_socket(command, guest->name, guest->nics[i].socket);
	if (result == CLI_OK && guest->has_display && !guest->display.vmm_listens)
		result = check_socket(command, guest->name, guest->display.socket);
	for (size_t i = 0; i < guest->input_count && result == CLI_OK; i++)
		if (!guest->inputs[i].vmm_listens)
			result = check_socket(command, guest->name, guest->inputs[i].socket);
	for (size_t i = 0; i < guest->console_count && result == CLI_OK; i++)
		if (!guest->consoles[i].vmm_listens)
			result = check_socket(command, guest->name, guest->consoles[i].socket);
	for (size_t i = 0; i < guest->function_count && result == CLI_OK; i++)
		result = check_socket(command, guest->name, guest->functions[i].socket);
	return result;
}

/*
 * Loads the guest while no VMM has it. Two would take its devices from each other without an end. One that
 * has just ended has them for a moment longer.
 */
static int load_idle(struct cli *cli, const struct cli_command *command, const char *name,
		     struct vmm_guest *guest)
{
	const struct vmm_guest asked = *guest;
	int result;

	for (unsigned tries = 0;; tries++) {
		result = vmm_guest_load(cli, command, name, guest);
		if (result != CLI_OK || guest->connected[0] == '\0')
			return result;
		if (tries == BUSY_TRIES)
			return cli_fail(command, "%s is running already (%s is connected)", name,
					guest->connected);
		vmm_guest_finish(guest);
		*guest = asked;
		usleep(BUSY_WAIT_US);
	}
}

/* A virtio display under software emulation stops QEMU before 10, with words that do not help. */
static int check_display(const struct cli_command *command, const struct vmm_guest *guest, const char *qemu,
			 enum vmm_accel accel)
{
	if (accel == VMM_KVM || !guest->has_display || !guest->display.virtio || guest->qemu_version == 0 ||
	    guest->qemu_version >= DISPLAY_WITHOUT_KVM)
		return CLI_OK;
	return cli_fail(command,
			"%s has a virtio display, for which %s needs KVM; use source = vmm in "
			"[display %s/…], or QEMU 10",
			guest->name, qemu, guest->name);
}

/* QEMU says of an option that it does not know only that it does not know it. */
static int check_registers(const struct cli_command *command, const struct vmm_guest *guest, const char *qemu)
{
	const struct vmm_function *function = guest->functions;
	const char *key;
	bool is_virtio;

	if (guest->function_count == 0 || guest->qemu_version == 0 ||
	    guest->qemu_version >= VMM_QEMU_VFIO_USER)
		return CLI_OK;
	is_virtio = strcmp(function->model, "virtio") == 0;
	key = is_virtio				       ? "interface = vhost-user"
	      : strcmp(function->kind, "display") == 0 ? "source = virtio"
						       : "model = virtio";
	return cli_fail(command,
			"%s %s/%s is made of registers (%s), for which QEMU 10.1 or newer is needed; "
			"%s is older. With %s in [%s %s/%s] it works",
			function->kind, guest->name, function->name,
			is_virtio ? "interface = vfio-user" : function->model, qemu, key, function->kind,
			guest->name, function->name);
}

int command_run(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct run_options options = { 0 };
	struct vmm_guest guest = { 0 };
	struct vmm_arguments qemu_arguments = { 0 };
	struct cli_arguments arguments;
	enum vmm_accel accel = VMM_TCG;
	char qemu[CLI_PATH_MAX];
	int result = parse(cli, command, argc, argv, &options, &guest, &arguments);

	if (result == CLI_OK)
		result = check_file(command, "--kernel", options.kernel);
	if (result == CLI_OK)
		result = check_file(command, "--initrd", options.initrd);
	if (result == CLI_OK && vmm_find_qemu(qemu) < 0)
		result = cli_fail(command, "QEMU is not installed; `apt install qemu-system-x86` brings it");
	if (result == CLI_OK)
		result = options.print ? vmm_guest_load(cli, command, arguments.words[0], &guest)
				       : load_idle(cli, command, arguments.words[0], &guest);
	if (result == CLI_OK)
		result = choose_accel(command, qemu, &options, &accel);
	if (result == CLI_OK) {
		guest.no_msix = accel == VMM_TCG;
		guest.qemu_version = vmm_qemu_version(qemu);
		vmm_roms_find(&guest, qemu);
		build(&guest, qemu, accel, &options, &arguments, &qemu_arguments);
		if (options.print) {
			vmm_print_shell(&qemu_arguments, stdout);
		} else if ((result = check_registers(command, &guest, qemu)) == CLI_OK &&
			   (result = check_display(command, &guest, qemu, accel)) == CLI_OK &&
			   (result = check_sockets(command, &guest)) == CLI_OK) {
			if (guest.console_count > 0 && !has_console(&arguments))
				fprintf(stderr, "viaduct run: see its console with `viaduct console %s`\n",
					guest.name);
			fflush(stdout);
			execv(qemu, qemu_arguments.argv);
			result = cli_fail(command, "%s: %s", qemu, strerror(errno));
		}
	}
	vmm_arguments_finish(&qemu_arguments);
	vmm_guest_finish(&guest);
	return result;
}
