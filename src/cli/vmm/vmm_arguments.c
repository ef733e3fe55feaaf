/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to paste for the VMM one already uses: QEMU, libvirt, cloud-hypervisor. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/vmm/vmm.h"

/* virtio 1.2, 5 */
#define VIRTIO_ID_GPU	16u
#define VIRTIO_ID_INPUT 18u

/* Without one, this host's. *ret_qemu: NULL when there is none. */
static int learn_version(const struct cli_command *command, const char *program, char found[CLI_PATH_MAX],
			 struct vmm_guest *guest, const char **ret_qemu)
{
	*ret_qemu = program ? program : vmm_find_qemu(found) == 0 ? found : NULL;
	if (*ret_qemu)
		guest->qemu_version = vmm_qemu_version(*ret_qemu);
	return program && guest->qemu_version == 0
		       ? cli_fail(command, "--qemu: %s is no QEMU that can be run here", program)
		       : CLI_OK;
}

/* Parses "GUEST [--memory SIZE] [--qemu PROGRAM]" and asks the daemon for the guest. for_qemu: or it is for
 * another VMM. */
static int load(struct cli *cli, const struct cli_command *command, int argc, char **argv, bool for_qemu,
		struct vmm_guest *guest)
{
	const char *memory = NULL, *program = NULL, *qemu = NULL;
	char found[CLI_PATH_MAX];
	const struct cli_option options[] = { { "memory", &memory, NULL },
					      { for_qemu ? "qemu" : NULL, &program, NULL },
					      { 0 } };
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	*guest = (struct vmm_guest){ .cpus = 1 };
	if (result == CLI_OK && for_qemu)
		result = learn_version(command, program, found, guest, &qemu);
	if (result == CLI_OK && memory)
		result = cli_parse_size(command, "--memory", memory, &guest->memory_bytes);
	if (result == CLI_OK)
		result = vmm_guest_load(cli, command, arguments.words[0], guest);
	if (result == CLI_OK && qemu)
		vmm_roms_find(guest, qemu);
	return result;
}

int command_qemu_args(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct vmm_arguments arguments = { 0 };
	struct vmm_guest guest;
	int result = load(cli, command, argc, argv, true, &guest);

	if (result == CLI_OK) {
		vmm_qemu_arguments(&guest, &arguments);
		vmm_display_arguments(&guest, &arguments);
		vmm_print_shell(&arguments, stdout);
	}
	vmm_arguments_finish(&arguments);
	vmm_guest_finish(&guest);
	return result;
}

static void print_xml_escaped(const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", stdout);
			break;
		case '<':
			fputs("&lt;", stdout);
			break;
		case '\'':
			fputs("&apos;", stdout);
			break;
		default:
			putchar(*text);
		}
	}
}

/* vda … vdz, vdaa …: libvirt wants a name, the guest chooses its own. */
static void print_target(size_t index)
{
	if (index >= 26)
		putchar((char)('a' + index / 26 - 1));
	putchar((char)('a' + index % 26));
}

/*
 * Without a number of queues, QEMU asks for one for each CPU of the domain, and does not start when the disk
 * has fewer. How many CPUs the domain has is not known here.
 */
static void print_libvirt_disk(const struct vmm_disk *disk, size_t index)
{
	if (disk->is_function)
		return;
	printf("  <disk type='vhostuser' device='disk'>\n    <driver name='qemu' type='raw' queues='%u'/>\n",
	       vmm_disk_queues(disk, UINT_MAX));
	fputs("    <source type='unix' path='", stdout);
	print_xml_escaped(disk->socket);
	puts("'>\n      <reconnect enabled='yes' timeout='1'/>\n    </source>");
	fputs("    <target dev='vd", stdout);
	print_target(index);
	puts("' bus='virtio'/>\n  </disk>");
}

static void print_libvirt_nic(const struct vmm_guest *guest, const struct vmm_nic *nic)
{
	printf("  <interface type='vhostuser'>\n    <mac address='%s'/>\n    <source type='unix' path='",
	       nic->mac);
	print_xml_escaped(nic->socket);
	printf("' mode='%s'>\n", nic->vmm_listens ? "server" : "client");
	if (!nic->vmm_listens)
		puts("      <reconnect enabled='yes' timeout='1'/>");
	printf("    </source>\n    <model type='virtio'/>\n    <driver queues='%u'/>\n    <mtu size='%u'/>\n"
	       "  </interface>\n",
	       vmm_nic_queues(guest, nic), nic->mtu);
}

/* One is a serial port, and what libvirt calls the console, too. */
static void print_libvirt_console(const struct vmm_console *console, size_t index)
{
	if (console->virtio) {
		printf("  <!-- console %s: libvirt has no virtio console over vhost-user -->\n",
		       console->name);
		return;
	}
	printf("  <serial type='unix'>\n    <source mode='%s' path='",
	       console->vmm_listens ? "bind" : "connect");
	print_xml_escaped(console->socket);
	if (console->vmm_listens)
		puts("'/>");
	else
		puts("'>\n      <reconnect enabled='yes' timeout='1'/>\n    </source>");
	printf("    <target port='%zu'/>\n  </serial>\n", index);
}

/* libvirt starts the back end of a vhost-user display by itself, and has no name for one that is there. */
static void print_libvirt_virtio_display(const struct vmm_guest *guest)
{
	if (guest->has_display && guest->display.virtio)
		puts("  <!-- display: libvirt cannot attach a virtio display that is served elsewhere; pass "
		     "what\n"
		     "       `viaduct qemu-args` prints for it with <qemu:commandline> -->");
}

/* Its arguments that libvirt has no element for. */
static void print_libvirt_argument(const char *option, const char *value)
{
	printf("  <qemu:arg value='%s'/>\n  <qemu:arg value='", option);
	print_xml_escaped(value);
	puts("'/>");
}

/*
 * libvirt shows QEMU's D-Bus display to nobody but its own clients. A second monitor is how the seat gets at
 * it, and at nothing else of the domain that libvirt minds.
 */
static void print_libvirt_display(const struct vmm_guest *guest)
{
	char *chardev = vmm_display_chardev(guest);

	print_libvirt_argument("-chardev", chardev);
	print_libvirt_argument("-mon", "chardev=viaduct-display,mode=control");
	free(chardev);
}

static void print_libvirt_function(const struct vmm_function *function)
{
	char *device = vmm_function_device(function);

	print_libvirt_argument("-device", device);
	free(device);
}

/* What libvirt has no elements for. */
static void print_libvirt_commandline(const struct vmm_guest *guest)
{
	if (!vmm_has_own_display(guest) && guest->function_count == 0)
		return;
	puts("<!-- directly under <domain>, which needs "
	     "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' -->\n"
	     "<qemu:commandline>");
	for (size_t i = 0; i < guest->function_count; i++)
		print_libvirt_function(&guest->functions[i]);
	if (vmm_has_own_display(guest))
		print_libvirt_display(guest);
	puts("</qemu:commandline>");
}

int command_libvirt_xml(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct vmm_guest guest;
	int result = load(cli, command, argc, argv, true, &guest);

	if (result == CLI_OK) {
		puts("<!-- directly under <domain> -->\n"
		     "<memoryBacking>\n  <source type='memfd'/>\n  <access "
		     "mode='shared'/>\n</memoryBacking>\n"
		     "<!-- inside <devices> -->\n<devices>");
		for (size_t i = 0; i < guest.disk_count; i++)
			print_libvirt_disk(&guest.disks[i], i);
		for (size_t i = 0; i < guest.nic_count; i++)
			print_libvirt_nic(&guest, &guest.nics[i]);
		for (size_t i = 0; i < guest.console_count; i++)
			print_libvirt_console(&guest.consoles[i], i);
		print_libvirt_virtio_display(&guest);
		/* A tablet's pointer is where the user's is. */
		if (vmm_has_own_display(&guest))
			puts("  <graphics type='dbus' p2p='yes'/>\n  <input type='tablet' bus='usb'/>");
		puts("</devices>");
		print_libvirt_commandline(&guest);
	}
	vmm_guest_finish(&guest);
	return result;
}

/* Cloud Hypervisor has one serial port, and listens for it; it does not connect. */
static void ch_console(const struct vmm_console *console, struct vmm_arguments *arguments)
{
	if (console->virtio) {
		fprintf(stderr, "viaduct ch-args: console %s is left out: it is a virtio console\n",
			console->name);
		return;
	}
	if (!console->vmm_listens) {
		fprintf(stderr,
			"viaduct ch-args: console %s is left out: cloud-hypervisor connects to no socket; "
			"with connect = PATH it listens there\n",
			console->name);
		return;
	}
	vmm_argument(arguments, "--serial");
	vmm_argument(arguments, "socket=%s", console->socket);
}

/* Cloud Hypervisor's parser takes a value in double quotes as it is; a quote in it is written twice. */
static void ch_socket(const char *path, char *out, size_t size)
{
	for (; *path && size > 2; path++, size--) {
		*out++ = *path;
		if (*path == '"') {
			*out++ = '"';
			size--;
		}
	}
	*out = '\0';
}

static void ch_disks(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	bool named = false;

	for (size_t i = 0; i < guest->disk_count; i++) {
		if (guest->disks[i].is_function)
			continue;
		if (!named)
			vmm_argument(arguments, "--disk");
		named = true;
		vmm_argument(arguments, "vhost_user=on,socket=%s", guest->disks[i].socket);
	}
	if (guest->function_count > 0)
		vmm_argument(arguments, "--user-device");
	for (size_t i = 0; i < guest->function_count; i++)
		vmm_argument(arguments, "socket=%s", guest->functions[i].socket);
}

static void ch_generic(const char *path, unsigned virtio_id, unsigned queue_size,
		       struct vmm_arguments *arguments)
{
	char socket[CLI_PATH_MAX];

	ch_socket(path, socket, sizeof(socket));
	vmm_argument(arguments, "--generic-vhost-user");
	vmm_argument(arguments, "socket=\"%s\",virtio_id=%u,queue_sizes=[%u,%u]", socket, virtio_id,
		     queue_size, queue_size);
}

/* Its generic device connects, and does not listen. */
static void ch_display(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	if (!guest->has_display)
		return;
	if (vmm_has_own_display(guest) || guest->display.vmm_listens) {
		fprintf(stderr, "viaduct ch-args: the display is left out: cloud-hypervisor %s\n",
			vmm_has_own_display(guest) ? "has no display of its own; give it source = virtio"
						   : "connects to a display and does not listen for one");
		return;
	}
	if (guest->display.virtio)
		ch_generic(guest->display.socket, VIRTIO_ID_GPU, 64, arguments);
	for (size_t i = 0; i < guest->input_count; i++)
		if (!guest->inputs[i].vmm_listens)
			ch_generic(guest->inputs[i].socket, VIRTIO_ID_INPUT, 64, arguments);
}

int command_ch_args(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct vmm_arguments arguments = { 0 };
	struct vmm_guest guest;
	int result = load(cli, command, argc, argv, false, &guest);

	if (result == CLI_OK) {
		vmm_argument(&arguments, "--memory");
		vmm_argument(&arguments, "size=%lluM,shared=on",
			     (unsigned long long)(guest.memory_bytes >> 20));
		ch_disks(&guest, &arguments);
		/* Cloud Hypervisor counts queues, not pairs. */
		for (size_t i = 0; i < guest.nic_count; i++) {
			if (i == 0)
				vmm_argument(&arguments, "--net");
			vmm_argument(&arguments,
				     "vhost_user=true,socket=%s,vhost_mode=%s,mac=%s,mtu=%u,num_queues=%u",
				     guest.nics[i].socket, guest.nics[i].vmm_listens ? "server" : "client",
				     guest.nics[i].mac, guest.nics[i].mtu,
				     2 * vmm_nic_queues(&guest, &guest.nics[i]));
		}
		if (guest.console_count > 0)
			ch_console(&guest.consoles[0], &arguments);
		ch_display(&guest, &arguments);
		vmm_print_shell(&arguments, stdout);
	}
	vmm_arguments_finish(&arguments);
	vmm_guest_finish(&guest);
	return result;
}
