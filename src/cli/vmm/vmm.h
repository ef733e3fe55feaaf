/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest as a VMM has to know it: its devices' sockets, and the arguments that attach them. One place builds
 * QEMU's arguments for `run`, `qemu-args` and `demo`.
 */
#ifndef VIADUCT_CLI_VMM_VMM_H
#define VIADUCT_CLI_VMM_VMM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"

#define VMM_DISKS_MAX 64
#define VMM_NICS_MAX  16
/* As many serial ports as a PC has. */
#define VMM_CONSOLES_MAX 4
#define VMM_INPUTS_MAX	 2 /* a keyboard and a tablet */
#define VMM_NAME_MAX	 128

struct vmm_disk {
	char name[VMM_NAME_MAX];
	char socket[CLI_PATH_MAX];
	bool read_only;
	bool vmm_listens;	/* the daemon connects to the VMM instead */
	unsigned queues;	/* that the disk offers */
	unsigned boot;		/* its rank, the least first */
	bool is_function;	/* a device made of registers: among those, too */
	bool is_nvme;
};

struct vmm_nic {
	char name[VMM_NAME_MAX];
	char socket[CLI_PATH_MAX];
	char mac[18];
	bool vmm_listens;
	unsigned mtu, queues; /* pairs of queues that the card offers */
};

/* QEMU's own display, which it shows on a seat; or one of the daemon's. */
struct vmm_display {
	char socket[CLI_PATH_MAX];
	bool vmm_listens, virtio, is_function;
	unsigned scanouts; /* of a virtio display */
};

/* A virtio keyboard or tablet of the daemon's. */
struct vmm_input {
	char kind[16]; /* "keyboard" */
	char socket[CLI_PATH_MAX];
	bool vmm_listens;
};

/* A serial port of the VMM's, whose other end is the daemon; or a virtio console of the daemon's. */
struct vmm_console {
	char name[VMM_NAME_MAX];
	char socket[CLI_PATH_MAX];
	bool vmm_listens, virtio;
};

/* A device made of registers: a PCI function, which QEMU's vfio-user client attaches. */
struct vmm_function {
	char kind[16], model[16]; /* "disk", "nvme" */
	char name[VMM_NAME_MAX];
	char socket[CLI_PATH_MAX];
	unsigned bootindex; /* 0: it is not booted from */
	const char *rom;    /* a file of QEMU's, by its name; NULL: none */
};

struct vmm_guest {
	char name[VMM_NAME_MAX];
	uint64_t memory_bytes;	/* 0 before loading: what the configuration says */
	unsigned cpus;
	unsigned qemu_version; /* of vmm_qemu_version(); 0: one before 9.2 */
	bool no_msix; /* QEMU before 8 crashes on a card's MSI-X when it emulates the CPU */
	struct vmm_disk *disks;
	size_t disk_count;
	struct vmm_nic *nics;
	size_t nic_count;
	struct vmm_display display;
	bool has_display;
	char connected[VMM_NAME_MAX]; /* a device that a VMM uses already, "disk alice/root"; "": none */
	struct vmm_input *inputs;
	size_t input_count;
	struct vmm_console *consoles;
	size_t console_count;
	struct vmm_function *functions;
	size_t function_count;
};

/*
 * Asks the daemon. Returns CLI_OK, or CLI_FAILED after the reason was printed. vmm_guest_finish() in any
 * case.
 */
int vmm_guest_load(struct cli *cli, const struct cli_command *command, const char *name,
		   struct vmm_guest *guest);
void vmm_guest_finish(struct vmm_guest *guest);

/* ---- a growing argument vector ---- */

struct vmm_arguments {
	char **argv;	/* ended by NULL */
	size_t count;
};

void vmm_argument(struct vmm_arguments *arguments, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void vmm_arguments_finish(struct vmm_arguments *arguments);

/* QEMU from which on there is a vfio-user client. */
#define VMM_QEMU_VFIO_USER 1001u

/* Memory that can be shared, and for each device a socket with reconnect and a PCI device. */
void vmm_qemu_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments);

/* The value of a -chardev for its display's monitor. To be freed. */
char *vmm_display_chardev(const struct vmm_guest *guest);
/* Its display on the seat, if it has one, its keyboard and its pointer. */
void vmm_display_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments);

/* Is its display QEMU's own? */
static inline bool vmm_has_own_display(const struct vmm_guest *guest)
{
	return guest->has_display && !guest->display.virtio && !guest->display.is_function;
}

/* Queues of a disk that a guest with so many CPUs is given. */
unsigned vmm_disk_queues(const struct vmm_disk *disk, unsigned cpus);
/* Pairs of queues that a guest with so many CPUs is given. */
unsigned vmm_nic_queues(const struct vmm_guest *guest, const struct vmm_nic *nic);

/* ---- vmm_function.c ---- */

/* Is a device of the API made of registers? */
bool vmm_is_function(const json_t *device);
void vmm_function_load(const json_t *device, struct vmm_function *function);
/* The value of its -device. To be freed. */
char *vmm_function_device(const struct vmm_function *function);
/* Those of all of them. */
void vmm_function_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments);

/* ---- vmm_rom.c ---- */

/* Finds what this QEMU has for the ROMs of devices made of registers: iPXE for a card, a VGA BIOS. */
void vmm_roms_find(struct vmm_guest *guest, const char *qemu);

/* ---- vmm_version.c ---- */

/* 100 times the first number and the second: 1000 is QEMU 10.0. 0: it cannot be run, or says no version. */
unsigned vmm_qemu_version(const char *qemu);
/* How its sockets are told to connect again when they are cut. */
const char *vmm_reconnect(const struct vmm_guest *guest);

/* Prints arguments as a shell would need them, one option with its value a line. */
void vmm_print_shell(const struct vmm_arguments *arguments, FILE *out);

/* ---- kvm_probe.c ---- */

enum vmm_accel { VMM_KVM, VMM_TCG };

/*
 * Can a guest run under KVM here? /dev/kvm may exist and still not run a kernel, so `kernel` is booted for a
 * moment and must begin to speak; NULL: the host's own kernel, or, when that cannot be read, opening /dev/kvm
 * has to do. *ret_reason (static) says why not.
 */
enum vmm_accel vmm_probe_accel(const char *qemu, const char *kernel, const char **ret_reason);

/* "qemu-system-x86_64", or of the machine we run on. Returns 0 or -ENOENT. */
int vmm_find_qemu(char path[CLI_PATH_MAX]);

#endif
