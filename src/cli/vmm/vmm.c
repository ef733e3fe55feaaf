/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/vmm/vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"

#define QUEUES_MAX 4u /* more queues than this bring a guest nothing but interrupts */

/* ---- the guest ---- */

/* Of disks that have no place of their own (boot =). */
#define BOOT_ROOT  100000u
#define BOOT_OTHER 100001u

static bool load_disk(const json_t *device, struct vmm_disk *disk)
{
	const char *kind = api_text(device, "kind"), *name = api_text(device, "name");
	const char *slash = strchr(name, '/');

	if (strcmp(kind, "disk") != 0 || api_text(device, "socket")[0] == '\0')
		return false;
	snprintf(disk->name, sizeof(disk->name), "%s", slash ? slash + 1 : name);
	snprintf(disk->socket, sizeof(disk->socket), "%s", api_text(device, "socket"));
	disk->read_only = api_flag(device, "read_only");
	disk->vmm_listens = strcmp(api_text(device, "socket_mode"), "connect") == 0;
	disk->queues = (unsigned)api_number(device, "queues");
	disk->is_function = vmm_is_function(device);
	disk->is_nvme = strcmp(api_text(device, "model"), "nvme") == 0;
	disk->boot = (unsigned)api_number(device, "boot");
	if (disk->boot == 0)
		disk->boot = strcmp(disk->name, "root") == 0 ? BOOT_ROOT : BOOT_OTHER;
	return true;
}

/* By rank; of one rank as they came. A guest has few. */
static void sort_disks(struct vmm_guest *guest)
{
	for (size_t i = 1; i < guest->disk_count; i++) {
		struct vmm_disk disk = guest->disks[i];
		size_t at = i;

		for (; at > 0 && guest->disks[at - 1].boot > disk.boot; at--)
			guest->disks[at] = guest->disks[at - 1];
		guest->disks[at] = disk;
	}
}

static bool load_nic(const json_t *device, struct vmm_nic *nic)
{
	const char *kind = api_text(device, "kind"), *name = api_text(device, "name");
	const char *slash = strchr(name, '/');

	if (strcmp(kind, "nic") != 0 || api_text(device, "socket")[0] == '\0')
		return false;
	snprintf(nic->name, sizeof(nic->name), "%s", slash ? slash + 1 : name);
	snprintf(nic->socket, sizeof(nic->socket), "%s", api_text(device, "socket"));
	snprintf(nic->mac, sizeof(nic->mac), "%s", api_text(device, "mac"));
	nic->vmm_listens = strcmp(api_text(device, "socket_mode"), "connect") == 0;
	nic->mtu = (unsigned)api_number(device, "mtu");
	nic->queues = (unsigned)api_number(device, "queues");
	return true;
}

static bool load_display(const json_t *device, struct vmm_guest *guest)
{
	if (strcmp(api_text(device, "kind"), "display") != 0 || api_text(device, "socket")[0] == '\0')
		return false;
	snprintf(guest->display.socket, sizeof(guest->display.socket), "%s", api_text(device, "socket"));
	guest->display.vmm_listens = strcmp(api_text(device, "socket_mode"), "connect") == 0;
	guest->display.is_function = vmm_is_function(device);
	guest->display.virtio =
		!guest->display.is_function && strcmp(api_text(device, "source"), "virtio") == 0;
	guest->display.scanouts = (unsigned)api_number(device, "scanouts");
	return true;
}

static bool load_input(const json_t *device, struct vmm_input *input)
{
	const char *kind = api_text(device, "kind");

	if ((strcmp(kind, "keyboard") != 0 && strcmp(kind, "tablet") != 0) ||
	    api_text(device, "socket")[0] == '\0')
		return false;
	snprintf(input->kind, sizeof(input->kind), "%s", kind);
	snprintf(input->socket, sizeof(input->socket), "%s", api_text(device, "socket"));
	input->vmm_listens = strcmp(api_text(device, "socket_mode"), "connect") == 0;
	return true;
}

static bool load_console(const json_t *device, struct vmm_console *console)
{
	const char *kind = api_text(device, "kind"), *name = api_text(device, "name");
	const char *slash = strchr(name, '/');

	if (strcmp(kind, "console") != 0 || api_text(device, "socket")[0] == '\0')
		return false;
	snprintf(console->name, sizeof(console->name), "%s", slash ? slash + 1 : name);
	snprintf(console->socket, sizeof(console->socket), "%s", api_text(device, "socket"));
	console->virtio = strcmp(api_text(device, "source"), "virtio") == 0;
	console->vmm_listens = strcmp(api_text(device, "socket_mode"), "connect") == 0;
	return true;
}

static void *make_list(size_t room, size_t size)
{
	void *list = calloc(room, size);

	if (!list)
		abort();
	return list;
}

static void load_device(const json_t *device, struct vmm_guest *guest)
{
	if (guest->disk_count < VMM_DISKS_MAX && load_disk(device, &guest->disks[guest->disk_count]))
		guest->disk_count++;
	else if (!guest->has_display && load_display(device, guest))
		guest->has_display = true;
	else if (vmm_is_function(device))
		return;
	else if (guest->nic_count < VMM_NICS_MAX && load_nic(device, &guest->nics[guest->nic_count]))
		guest->nic_count++;
	else if (guest->console_count < VMM_CONSOLES_MAX &&
		 load_console(device, &guest->consoles[guest->console_count]))
		guest->console_count++;
	else if (guest->input_count < VMM_INPUTS_MAX &&
		 load_input(device, &guest->inputs[guest->input_count]))
		guest->input_count++;
}

/* A disk's place in the order of boot is its place among all disks. */
static unsigned bootindex_of(const struct vmm_guest *guest, const struct vmm_function *function)
{
	for (size_t i = 0; i < guest->disk_count; i++)
		if (strcmp(function->kind, "disk") == 0 && strcmp(guest->disks[i].name, function->name) == 0)
			return (unsigned)i + 1;
	return 0;
}

static void load_devices(const json_t *devices, struct vmm_guest *guest)
{
	const json_t *device;
	size_t index, room = json_array_size(devices) + 1;

	guest->disks = make_list(room, sizeof(*guest->disks));
	guest->nics = make_list(room, sizeof(*guest->nics));
	guest->inputs = make_list(room, sizeof(*guest->inputs));
	guest->consoles = make_list(room, sizeof(*guest->consoles));
	guest->functions = make_list(room, sizeof(*guest->functions));
	json_array_foreach(devices, index, device)
	{
		if (api_flag(device, "connected") && guest->connected[0] == '\0')
			snprintf(guest->connected, sizeof(guest->connected), "%s %s",
				 api_text(device, "kind"), api_text(device, "name"));
		load_device(device, guest);
		if (vmm_is_function(device) && api_text(device, "socket")[0] != '\0')
			vmm_function_load(device, &guest->functions[guest->function_count++]);
	}
	sort_disks(guest);
	for (size_t i = 0; i < guest->function_count; i++)
		guest->functions[i].bootindex = bootindex_of(guest, &guest->functions[i]);
}

int vmm_guest_load(struct cli *cli, const struct cli_command *command, const char *name,
		   struct vmm_guest *guest)
{
	char *path = cli_api_path("/v1/guests", name);
	json_t *answer = NULL;
	int result = cli_get(cli, command, path, &answer);

	free(path);
	if (result != CLI_OK)
		return result;
	snprintf(guest->name, sizeof(guest->name), "%s", name);
	if (guest->memory_bytes == 0)
		guest->memory_bytes = api_number(answer, "memory_bytes");
	load_devices(json_object_get(answer, "devices"), guest);
	json_decref(answer);
	if (guest->disk_count + guest->nic_count + guest->console_count + guest->function_count == 0 &&
	    !guest->has_display)
		return cli_fail(
			command,
			"guest %s has no device; `viaduct disk create %s/root --pool POOL --size SIZE` "
			"makes a disk",
			name, name);
	return CLI_OK;
}

void vmm_guest_finish(struct vmm_guest *guest)
{
	free(guest->disks);
	free(guest->nics);
	free(guest->inputs);
	free(guest->consoles);
	free(guest->functions);
	guest->disks = NULL;
	guest->nics = NULL;
	guest->inputs = NULL;
	guest->consoles = NULL;
	guest->functions = NULL;
	guest->disk_count = guest->nic_count = guest->input_count = guest->console_count = 0;
	guest->function_count = 0;
}

/* ---- arguments ---- */

void vmm_argument(struct vmm_arguments *arguments, const char *format, ...)
{
	va_list list;

	arguments->argv = realloc(arguments->argv, (arguments->count + 2) * sizeof(*arguments->argv));
	if (!arguments->argv)
		abort();
	va_start(list, format);
	if (vasprintf(&arguments->argv[arguments->count], format, list) < 0)
		abort();
	va_end(list);
	arguments->argv[++arguments->count] = NULL;
}

void vmm_arguments_finish(struct vmm_arguments *arguments)
{
	for (size_t i = 0; i < arguments->count; i++)
		free(arguments->argv[i]);
	free(arguments->argv);
	*arguments = (struct vmm_arguments){ 0 };
}

/* A comma inside a value of QEMU's option lists is written twice. */
static void double_commas(const char *value, char *out, size_t size)
{
	for (; *value && size > 2; value++, size--) {
		*out++ = *value;
		if (*value == ',') {
			*out++ = ',';
			size--;
		}
	}
	*out = '\0';
}

unsigned vmm_disk_queues(const struct vmm_disk *disk, unsigned cpus)
{
	unsigned queues = cpus < QUEUES_MAX ? cpus : QUEUES_MAX;

	if (disk->queues > 0 && disk->queues < queues)
		queues = disk->queues;
	return queues > 0 ? queues : 1;
}

static void disk_arguments(const struct vmm_guest *guest, size_t index, struct vmm_arguments *arguments)
{
	const struct vmm_disk *disk = &guest->disks[index];
	char socket[CLI_PATH_MAX];

	if (disk->is_function)
		return;
	double_commas(disk->socket, socket, sizeof(socket));
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "socket,id=viaduct-disk%zu,path=%s,%s", index, socket,
		     disk->vmm_listens ? "server=on,wait=on" : vmm_reconnect(guest));
	vmm_argument(arguments, "-device");
	vmm_argument(arguments,
		     "vhost-user-blk-pci,chardev=viaduct-disk%zu,id=disk-%s,num-queues=%u,bootindex=%zu",
		     index, disk->name, vmm_disk_queues(disk, guest->cpus), index + 1);
}

unsigned vmm_nic_queues(const struct vmm_guest *guest, const struct vmm_nic *nic)
{
	unsigned queues = nic->queues < guest->cpus ? nic->queues : guest->cpus;

	return queues > 0 ? queues : 1;
}

/* QEMU counts pairs of queues; its devices need an interrupt for each queue and two more. */
static void nic_arguments(const struct vmm_guest *guest, size_t index, struct vmm_arguments *arguments)
{
	const struct vmm_nic *nic = &guest->nics[index];
	unsigned queues = vmm_nic_queues(guest, nic);
	char socket[CLI_PATH_MAX];

	double_commas(nic->socket, socket, sizeof(socket));
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "socket,id=viaduct-nic%zu,path=%s,%s", index, socket,
		     nic->vmm_listens ? "server=on,wait=on" : vmm_reconnect(guest));
	vmm_argument(arguments, "-netdev");
	vmm_argument(arguments, "vhost-user,id=viaduct-net%zu,chardev=viaduct-nic%zu,queues=%u", index, index,
		     queues);
	vmm_argument(arguments, "-device");
	if (guest->no_msix)
		vmm_argument(
			arguments,
			"virtio-net-pci,netdev=viaduct-net%zu,id=nic-%s,mac=%s,host_mtu=%u,mq=%s,vectors=0",
			index, nic->name, nic->mac, nic->mtu, queues > 1 ? "on" : "off");
	else if (queues > 1)
		vmm_argument(
			arguments,
			"virtio-net-pci,netdev=viaduct-net%zu,id=nic-%s,mac=%s,host_mtu=%u,mq=on,vectors=%u",
			index, nic->name, nic->mac, nic->mtu, 2 * queues + 2);
	else
		vmm_argument(arguments, "virtio-net-pci,netdev=viaduct-net%zu,id=nic-%s,mac=%s,host_mtu=%u",
			     index, nic->name, nic->mac, nic->mtu);
}

/* A port whose VMM listens does not wait: the guest starts whether or not its console is there. */
static void console_arguments(const struct vmm_guest *guest, size_t index, struct vmm_arguments *arguments)
{
	const struct vmm_console *console = &guest->consoles[index];
	char socket[CLI_PATH_MAX];

	double_commas(console->socket, socket, sizeof(socket));
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "socket,id=viaduct-console%zu,path=%s,%s", index, socket,
		     !console->vmm_listens ? vmm_reconnect(guest)
		     : console->virtio	   ? "server=on,wait=on"
					   : "server=on,wait=off");
	if (console->virtio) {
		vmm_argument(arguments, "-device");
		vmm_argument(
			arguments,
			"vhost-user-test-device-pci,chardev=viaduct-console%zu,id=console-%s,virtio-id=3,"
			"num_vqs=2,config_size=12",
			index, console->name);
		return;
	}
	vmm_argument(arguments, "-serial");
	vmm_argument(arguments, "chardev:viaduct-console%zu", index);
}

void vmm_qemu_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	vmm_argument(arguments, "-m");
	vmm_argument(arguments, "%lluM", (unsigned long long)(guest->memory_bytes >> 20));
	vmm_argument(arguments, "-object");
	vmm_argument(arguments, "memory-backend-memfd,id=viaduct-memory,size=%lluM,share=on",
		     (unsigned long long)(guest->memory_bytes >> 20));
	vmm_argument(arguments, "-machine");
	vmm_argument(arguments, "memory-backend=viaduct-memory");
	for (size_t i = 0; i < guest->disk_count; i++)
		disk_arguments(guest, i, arguments);
	for (size_t i = 0; i < guest->nic_count; i++)
		nic_arguments(guest, i, arguments);
	for (size_t i = 0; i < guest->console_count; i++)
		console_arguments(guest, i, arguments);
	vmm_function_arguments(guest, arguments);
}

/* QEMU waits for a device of ours that it listens for, and cannot connect to such a one again. */
static void virtio_input_arguments(const struct vmm_input *input, struct vmm_arguments *arguments)
{
	char socket[CLI_PATH_MAX];

	double_commas(input->socket, socket, sizeof(socket));
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "socket,id=viaduct-%s,path=%s%s", input->kind, socket,
		     input->vmm_listens ? ",server=on,wait=on" : "");
	vmm_argument(arguments, "-device");
	vmm_argument(arguments, "vhost-user-input-pci,chardev=viaduct-%s", input->kind);
}

static void virtio_display_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	char socket[CLI_PATH_MAX];

	double_commas(guest->display.socket, socket, sizeof(socket));
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "socket,id=viaduct-display,path=%s%s", socket,
		     guest->display.vmm_listens ? ",server=on,wait=on" : "");
	vmm_argument(arguments, "-device");
	if (guest->display.scanouts > 1)
		vmm_argument(arguments, "vhost-user-gpu-pci,chardev=viaduct-display,max_outputs=%u",
			     guest->display.scanouts);
	else
		vmm_argument(arguments, "vhost-user-gpu-pci,chardev=viaduct-display");
}

/* QEMU shows nothing, and has no display of its own. */
static void daemons_display_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	vmm_argument(arguments, "-display");
	vmm_argument(arguments, "none");
	vmm_argument(arguments, "-vga");
	vmm_argument(arguments, "none");
	if (guest->display.virtio)
		virtio_display_arguments(guest, arguments);
	for (size_t i = 0; i < guest->input_count; i++)
		virtio_input_arguments(&guest->inputs[i], arguments);
}

char *vmm_display_chardev(const struct vmm_guest *guest)
{
	char socket[CLI_PATH_MAX], *text;

	double_commas(guest->display.socket, socket, sizeof(socket));
	if (asprintf(&text, "socket,id=viaduct-display,path=%s,%s", socket,
		     guest->display.vmm_listens ? "server=on,wait=off" : vmm_reconnect(guest)) < 0)
		abort();
	return text;
}

/* A tablet's pointer is where the user's is; a mouse's would have to be caught. */
void vmm_display_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	char *chardev;

	if (!guest->has_display)
		return;
	if (!vmm_has_own_display(guest)) {
		daemons_display_arguments(guest, arguments);
		return;
	}
	chardev = vmm_display_chardev(guest);
	vmm_argument(arguments, "-display");
	vmm_argument(arguments, "dbus,p2p=yes");
	vmm_argument(arguments, "-chardev");
	vmm_argument(arguments, "%s", chardev);
	free(chardev);
	vmm_argument(arguments, "-mon");
	vmm_argument(arguments, "chardev=viaduct-display,mode=control");
	vmm_argument(arguments, "-usb");
	vmm_argument(arguments, "-device");
	vmm_argument(arguments, "usb-tablet");
}

static void print_quoted(const char *text, FILE *out)
{
	if (text[0] &&
	    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=,./:@%") ==
		    strlen(text)) {
		fputs(text, out);
		return;
	}
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	}
	fputc('\'', out);
}

void vmm_print_shell(const struct vmm_arguments *arguments, FILE *out)
{
	for (size_t i = 0; i < arguments->count; i++) {
		bool option = arguments->argv[i][0] == '-';

		if (i > 0)
			fputs(option ? " \\\n" : " ", out);
		print_quoted(arguments->argv[i], out);
	}
	fputc('\n', out);
}

int vmm_find_qemu(char path[CLI_PATH_MAX])
{
	struct utsname machine;
	char name[128];

	if (uname(&machine) < 0)
		return -ENOENT;
	snprintf(name, sizeof(name), "qemu-system-%s", machine.machine);
	return cli_find_program(name, path);
}
