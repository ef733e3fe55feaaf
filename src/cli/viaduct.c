/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The `viaduct` command: finds the command's words in one table and hands the rest of the line to it. */
#include <assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/table.h"

#ifndef VIADUCT_VERSION
#define VIADUCT_VERSION "unknown"
#endif

static int command_help(struct cli *cli, const struct cli_command *command, int argc, char **argv);

#define SET_VALUE_DETAILS                                                                                    \
	"VALUE: a number (bandwidths like 50M), none, or default for what the configuration says.\n"         \
	"It takes effect at once, under running guests, and holds over restarts. Without settings, they\n"   \
	"are printed."
static const char disk_set_details[] =
	"KEY: weight, min_iops, max_iops, min_bandwidth, max_bandwidth, burst (ms), and latency_target "
	"(us).\n" SET_VALUE_DETAILS;
static const char nic_set_details[] =
	"KEY: weight, min_bandwidth (to the uplink), max_bandwidth, max_pps (frames a second) and burst "
	"(ms),\nall of what the guest sends.\n" SET_VALUE_DETAILS;
static const char guest_set_details[] =
	"KEY: those of `disk set` with disk_ in front, as disk_weight, without a latency target; those of\n"
	"`nic set` with nic_ in front, as nic_max_pps.\n" SET_VALUE_DETAILS;

static const char nic_show_details[] =
	"DHCP is the address that the switch's uplink user gives the guest: the one to name in a forward.\n"
	"SENT is what the guest sent, RECEIVED what it got. The man page explains the reasons of\n"
	"dropped frames. WATCHED BY: the configured mirror, and captures that run; a mirror in\n"
	"brackets cannot be written at present.";

static const char forward_details[] =
	"For switches with uplink = user. PROTOCOL is tcp or udp, HOST an address of the host (left out:\n"
	"its loopback), GUEST the guest's address, which `viaduct nic list` shows. IPv6 addresses stand in\n"
	"brackets. Example:\n"
	"    viaduct forward add lan tcp:127.0.0.1:2222-10.0.2.15:22\n"
	"It holds over restarts. Connections that were made before stay when it is removed.";

static const char console_details[] =
	"What the guest said before comes first, then what it says, until Ctrl-] or KEY (as ^a, ~ or none).\n"
	"The name may be left out where the guest has one console. Several may attach, and all may type.\n"
	"When standard input is no terminal, it is typed, and after its end so many SECONDS of silence (1)\n"
	"end the command:\n"
	"    echo reboot | viaduct console alice\n"
	"What comes faster than it is written is missed, which is told: the guest never waits.";

const struct cli_command cli_commands[] = {
	{ "status", "[--json]", "every disk and network card: connected, traffic, latency, errors", NULL,
	  command_status },
	{ "top", "[--once] [--json] [--interval S] [--sort KEY] [--nics] [--guests|--groups]",
	  "who uses the disks or network cards now: rates, shares, waiting; live",
	  "Keys: q quits, n goes from disks to network cards and back, g from these to guests and groups,\n"
	  "s or the left and right arrows choose the column to sort by, r reverses, p pauses, + and -\n"
	  "change the interval, the other arrows scroll. --once prints one interval and ends; so does\n"
	  "--json, which has disks and network cards. KEY is a column: name, dev, got, due, cpu, thr,\n"
	  "con, p99, wait or weight; of disks also iops, mbs, err, ref, min, max, read or write; of\n"
	  "network cards also tx, rx, txmb, rxmb, drop, minmb, maxmb or pps. viaduct(1) explains them.",
	  command_top },
	{ "pool list", "[--json]", "the physical disks and how much of them is free",
	  "Behind the path of a disk that does not answer it says for how long it has not.",
	  command_pool_list },
	{ "pool show", "POOL [--json]", "the map: which guest owns which part of the physical disk",
	  "Prints for how long the disk has not answered, if it does not, what it is believed to do, and\n"
	  "since when; then a picture in proportion (one letter a guest, '.' free) and a table of runs.",
	  command_pool_show },
	{ "pool check", "POOL|PATH [--config FILE]",
	  "verifies a pool's metadata; the daemon must not hold it",
	  "PATH is a block device or file; POOL is looked up in the configuration\n"
	  "(default /etc/viaduct/viaduct.conf). Exit code 1 when anything is damaged.",
	  command_pool_check },
	{ "nic list", "[--json]", "the virtual network cards", NULL, command_nic_list },
	{ "nic show", "GUEST/NIC [--json]", "one card: addresses, counters, drops by reason, who looks on",
	  nic_show_details, command_nic_show },
	{ "nic link", "GUEST/NIC up|down|default", "plugs a card's cable in or out, so to speak",
	  "No frames pass while it is out, and the guest sees its link go down at once, unless its VMM\n"
	  "keeps that from it, as QEMU 7.2 does. It holds over restarts; default is what the\n"
	  "configuration says.",
	  command_nic_link },
	{ "nic set", "GUEST/NIC [KEY=VALUE …]", "shows or changes a card's share of its switch's uplink",
	  nic_set_details, command_nic_set },
	{ "switch list", "[--json]", "the virtual switches and their uplinks", NULL, command_switch_list },
	{ "switch show", "SWITCH [--json]", "ports, counters, drops by reason, and addresses of a switch",
	  "SENT is what came from the port, RECEIVED what went out to it. WATCHED BY: the configured\n"
	  "mirror, and captures that run; a mirror in brackets cannot be written at present.",
	  command_switch_show },
	{ "forward list", "[SWITCH] [--json]", "connections to the host that lead to a guest", NULL,
	  command_forward_list },
	{ "forward add", "SWITCH PROTOCOL:[HOST]:PORT-GUEST:PORT", "makes one, under running guests",
	  forward_details, command_forward_add },
	{ "forward remove", "SWITCH PROTOCOL:[HOST]:PORT-GUEST:PORT", "ends one", forward_details,
	  command_forward_remove },
	{ "capture", "GUEST/NIC|SWITCH [-w FILE|-] [-c N] [-s BYTES]",
	  "shows the frames of a network card, or of a switch's uplink",
	  "-w (--write) writes them as pcapng, for Wireshark, tshark and tcpdump; - is standard output:\n"
	  "  viaduct capture alice/eth0 -w - | tshark -r -\n"
	  "-c (--count) ends after N frames, -s (--snap) keeps the first bytes of each. Ctrl-C ends it.\n"
	  "A frame that is still to be cut into segments is one large frame.",
	  command_capture },
	{ "seat list", "[--json]", "the screens that guests share", NULL, command_seat_list },
	{ "seat show", "SEAT [--json]", "the windows on a seat's screen, and which has the keyboard", NULL,
	  command_seat_show },
	{ "seat focus", "SEAT GUEST[/DISPLAY]|none [--full-screen|--window]",
	  "gives a guest the seat's keyboard and pointer",
	  "Its window comes above the others; with --full-screen it gets all of the screen, --window gives\n"
	  "that back. At the seat itself, a click does it, or Ctrl-Alt-Tab; Ctrl-Alt-Enter is full screen\n"
	  "and back, and Ctrl-Alt-Esc takes the keyboard from all.",
	  command_seat_focus },
	{ "seat scale", "SEAT GUEST[/DISPLAY] 50%|fit|100%", "shows a guest's picture smaller or larger",
	  "10% to 400% of its size; fit is its own size, or smaller when the window would not be wholly on\n"
	  "the screen. At the seat itself, Ctrl-Alt-0 is fit, and 100% again.",
	  command_seat_scale },
	{ "seat resize", "SEAT GUEST[/DISPLAY] WIDTHxHEIGHT", "asks a guest for a picture of another size",
	  "A guest whose driver can follows; others keep their size. With --full-screen of `viaduct seat\n"
	  "focus`, and Ctrl-Alt-Enter at the seat, a guest is asked for the screen's size by itself.",
	  command_seat_resize },
	{ "seat overview", "SEAT [on|off]", "shows all windows of a seat side by side",
	  "So that one of them can be chosen at the seat: by a click, or by Tab, the arrows and Enter; Esc\n"
	  "leaves it as it was. No guest has the keyboard meanwhile. At the seat itself, it is\n"
	  "Ctrl-Alt-Space.",
	  command_seat_overview },
	{ "seat type", "SEAT TEXT|- [--to GUEST[/DISPLAY]] [--enter]",
	  "types text for the guest that has the keyboard",
	  "As if it were typed at the seat, with the seat's keyboard layout, which must be the guest's: 100\n"
	  "keys a second, or up to 200 as the guest takes them. - is standard input; --enter adds a line's\n"
	  "end. With --to nothing is typed unless that guest has the keyboard. When the keyboard goes to\n"
	  "another, the rest is dropped.",
	  command_seat_type },
	{ "seat paste", "SEAT [--to GUEST[/DISPLAY]]",
	  "types what a viewer has copied for the guest that has the keyboard",
	  "As Ctrl-Alt-V does at the seat: what a viewer of the seat has copied last, up to 64 KiB, is typed "
	  "as\n"
	  "seat type does, and forgotten. Nothing else gives it to a guest.",
	  command_seat_paste },
	{ "screenshot", "SEAT|GUEST[/DISPLAY] [-o FILE.png]", "what is on a screen or in a guest's window",
	  "The file is NAME.png in the current directory unless -o (--output) names another; - is standard\n"
	  "output. A guest's picture is whole, whatever covers its window; of one that shows nothing now,\n"
	  "it is what was shown last.",
	  command_screenshot },
	{ "console", "[GUEST[/NAME] [--escape KEY] [--no-scrollback] [--linger SECONDS]]",
	  "a guest's text console; without a guest, the list of them", console_details, command_console },
	{ "disk list", "[--json]", "the virtual disks", NULL, command_disk_list },
	{ "disk create", "GUEST/NAME --pool POOL --size SIZE", "makes a virtual disk; it reads as zeroes",
	  "SIZE: bytes, or 512M, 8G, 1.5T (powers of 1024).\n"
	  "What else it is (model = nvme, a weight) says its section in the configuration, if it has one;\n"
	  "one that is written later holds after viaduct reload, when no guest uses the disk.",
	  command_disk_create },
	{ "disk resize", "GUEST/NAME --size SIZE", "grows a virtual disk, also under a running guest",
	  "SIZE is the new size, or +SIZE for that much more. Shrinking is refused.", command_disk_resize },
	{ "disk rename", "GUEST/NAME GUEST/NEW", "gives a virtual disk another name or owner", NULL,
	  command_disk_rename },
	{ "disk set", "GUEST/NAME [KEY=VALUE …]", "shows or changes a disk's share of the physical disk",
	  disk_set_details, command_disk_set },
	{ "guest set", "GUEST [KEY=VALUE …]", "the same for all disks and cards of a guest together",
	  guest_set_details, command_guest_set },
	{ "group set", "GROUP [KEY=VALUE …]", "the same for the guests of a group together",
	  guest_set_details, command_group_set },
	{ "disk delete", "GUEST/NAME --yes", "deletes a virtual disk that no guest uses", NULL,
	  command_disk_delete },
	{ "disk import",
	  "GUEST/NAME FILE [--pool POOL] [--size SIZE] [--format FORMAT] [--overwrite] [--backing-chain] "
	  "[--timeout SECONDS]",
	  "fills a virtual disk from an image",
	  "Makes the disk (as large as the image, or SIZE) and copies through the disk's own socket, so "
	  "that\n"
	  "it is bounded and accounted like a guest. Holes and zeroes are not copied. --overwrite fills a "
	  "disk\n"
	  "that is there already. When interrupted, a disk made here is deleted again.\n"
	  "FORMAT is told by the image's bytes, and said: raw, or one that qemu-img reads (qcow2, vmdk,\n"
	  "vdi, vhdx …). What is packed (gzip, xz …) is refused; --format raw copies it as it is.\n"
	  "An image gets nothing but its own file. --backing-chain also reads the files that it names: only\n"
	  "for images that you trust with every file you may read. qemu-img is ended after SECONDS (60)\n"
	  "without progress.",
	  command_disk_import },
	{ "disk export", "GUEST/NAME FILE [--format raw|qcow2] [--overwrite]",
	  "writes a virtual disk to an image",
	  "The image is sparse. It appears under its name when it is complete, or not at all. A new file is\n"
	  "yours alone (0600); one that is replaced hands its owner and mode on. With --overwrite, FILE may\n"
	  "be a block device, which is written onto.",
	  command_disk_export },
	{ "run",
	  "GUEST [--memory SIZE] [--cpus N] [--kernel FILE --initrd FILE --append TEXT] [--accel kvm|tcg]\n"
	  "       [--print] [-- QEMU-ARGS]",
	  "starts QEMU with the guest's disks, network cards, displays and consoles",
	  "Uses KVM where it works, else software emulation (tcg), unless --accel says which. --print only\n"
	  "prints the command line. A guest that runs already is not started twice.",
	  command_run },
	{ "qemu-args", "GUEST [--memory SIZE] [--qemu PROGRAM]", "prints what to add to a QEMU command line",
	  "For the QEMU of this host, or another: from 9.2 on it is told otherwise to connect again.",
	  command_qemu_args },
	{ "libvirt-xml", "GUEST [--memory SIZE] [--qemu PROGRAM]", "prints what to add to a libvirt domain",
	  "With a display, QEMU gets a second monitor, by which the seat shows it: libvirt has no element\n"
	  "for that, so the domain needs xmlns:qemu.",
	  command_libvirt_xml },
	{ "ch-args", "GUEST [--memory SIZE]", "prints what to add to a cloud-hypervisor command line", NULL,
	  command_ch_args },
	{ "reload", "", "makes the daemon read its configuration again", NULL, command_reload },
	{ "demo", "[--guest-image DIR] [--keep] [--interactive] [--seconds N]",
	  "the tour: guests and a hostile one on one disk, one network and one screen, with checks",
	  "Two floods with weights 1:3 show how an uplink is shared, and in the end how the disk's time is.\n"
	  "With --interactive it stops before that, names the address of the screen for a browser, and goes "
	  "on\n"
	  "with Ctrl-C.\n"
	  "`viaduct demo --check-pool FILE MAP.json` only runs the last check: that no byte of one guest's\n"
	  "pattern lies in another's extents.",
	  command_demo },
	{ "help", "[COMMAND]", "this list, or one command in full", NULL, command_help },
	{ 0 },
};

static void print_usage(FILE *out)
{
	fputs("usage: viaduct [--runtime-dir DIR] [--json] [--no-color] COMMAND …\n\n", out);
	for (const struct cli_command *command = cli_commands; command->name; command++)
		fprintf(out, "  %-14s %s\n", command->name, command->help);
	fputs("\n`viaduct help COMMAND` says more. The daemon is found in --runtime-dir, by default "
	      "/run/viaduct\n"
	      "or, for a plain user, $XDG_RUNTIME_DIR/viaduct.\n",
	      out);
}

/* Words of a command's name that stand at the beginning of argv; 0 when it is another command. */
static int match(const struct cli_command *command, int argc, char **argv)
{
	const char *name = command->name;
	int words = 0;

	while (words < argc) {
		size_t length = strlen(argv[words]);

		if (strncmp(name, argv[words], length) != 0 || (name[length] != ' ' && name[length] != '\0'))
			return 0;
		words++;
		if (name[length] == '\0')
			return words;
		name += length + 1;
	}
	return 0;
}

static const struct cli_command *find_command(int argc, char **argv, int *ret_words)
{
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		int words = match(command, argc, argv);

		if (words > 0) {
			*ret_words = words;
			return command;
		}
	}
	return NULL;
}

/* Prints the commands whose first word is `word`; false when there is none. */
static bool print_family(const char *word, FILE *out)
{
	size_t length = strlen(word);
	bool any = false;

	for (const struct cli_command *command = cli_commands; command->name; command++) {
		if (strncmp(command->name, word, length) != 0 || command->name[length] != ' ')
			continue;
		fprintf(out, "  viaduct %s %s\n      %s\n", command->name, command->usage, command->help);
		any = true;
	}
	return any;
}

#define NAMES_MAX      64
#define NAME_MAX_BYTES 16 /* of a first word */

/* The first words of all commands. */
static void first_words(char words[NAMES_MAX][NAME_MAX_BYTES], const char *names[NAMES_MAX + 1])
{
	size_t count = 0;

	for (const struct cli_command *command = cli_commands; command->name; command++) {
		assert(count < NAMES_MAX);
		snprintf(words[count], NAME_MAX_BYTES, "%.*s", (int)strcspn(command->name, " "),
			 command->name);
		names[count] = words[count];
		count++;
	}
	names[count] = NULL;
}

/* There are commands that begin with this word: the second one is wrong. */
static int unknown_member(char **argv)
{
	const char *names[NAMES_MAX + 1], *nearest;
	char typed[256];
	size_t count = 0, length = strlen(argv[0]);

	for (const struct cli_command *command = cli_commands; command->name; command++) {
		assert(count < NAMES_MAX);
		if (strncmp(command->name, argv[0], length) == 0 && command->name[length] == ' ')
			names[count++] = command->name + length + 1;
	}
	names[count] = NULL;
	snprintf(typed, sizeof(typed), "%s", argv[1]);
	nearest = cli_nearest(typed, names);
	if (nearest)
		return cli_usage(NULL, "unknown %s command \"%s\"; did you mean \"%s %s\"?", argv[0], argv[1],
				 argv[0], nearest);
	cli_usage(NULL, "unknown %s command \"%s\"; there are:", argv[0], argv[1]);
	print_family(argv[0], stderr);
	return CLI_USAGE;
}

static bool is_family(const char *word)
{
	size_t length = strlen(word);

	for (const struct cli_command *command = cli_commands; command->name; command++)
		if (strncmp(command->name, word, length) == 0 && command->name[length] == ' ')
			return true;
	return false;
}

/* Says what is wrong with the first words of a line that names no command. */
static int unknown_command(int argc, char **argv)
{
	char words[NAMES_MAX][NAME_MAX_BYTES];
	const char *names[NAMES_MAX + 1], *nearest;

	if (argc == 1 && print_family(argv[0], stderr))
		return CLI_USAGE;
	if (argc > 1 && is_family(argv[0]))
		return unknown_member(argv);
	first_words(words, names);
	nearest = cli_nearest(argv[0], names);
	if (nearest)
		return cli_usage(NULL, "unknown command \"%s\"; did you mean \"%s\"?", argv[0], nearest);
	return cli_usage(NULL, "unknown command \"%s\"; `viaduct help` lists them", argv[0]);
}

static int command_help(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const struct cli_command *asked;
	int words;

	if (argc == 0) {
		print_usage(stdout);
		return CLI_OK;
	}
	asked = find_command(argc, argv, &words);
	if (!asked)
		return print_family(argv[0], stdout) ? CLI_OK : unknown_command(argc, argv);
	printf("usage: viaduct %s %s\n\n%s\n", asked->name, asked->usage, asked->help);
	if (asked->details)
		printf("\n%s\n", asked->details);
	return CLI_OK;
}

/* Options before the command's words. Returns how many arguments they were, or -1 after a complaint. */
static int leading_options(struct cli *cli, int argc, char **argv)
{
	static const struct cli_command none = { .name = "", .usage = "[OPTIONS] COMMAND …" };
	struct cli_arguments arguments;
	int count = 0;

	while (count < argc && argv[count][0] == '-' && strcmp(argv[count], "--help") != 0 &&
	       strcmp(argv[count], "-h") != 0 && strcmp(argv[count], "--version") != 0) {
		bool separate_value = strcmp(argv[count], "--runtime-dir") == 0 && count + 1 < argc;
		int used = separate_value ? 2 : 1;

		if (cli_parse(cli, &none, used, argv + count, NULL, 0, 0, &arguments) != CLI_OK)
			return -1;
		count += used;
	}
	return count;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct cli cli = { .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") };
	const struct cli_command *command;
	int used, words = 0;

	setlocale(LC_CTYPE, "");
	cli_default_runtime_dir(cli.runtime_dir);
	used = leading_options(&cli, argc - 1, argv + 1);
	if (used < 0)
		return CLI_USAGE;
	argc -= used + 1;
	argv += used + 1;
	if (argc == 0) {
		print_usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[0], "--version") == 0) {
		puts("viaduct " VIADUCT_VERSION);
		return CLI_OK;
	}
	if (argv[0][0] == '-') {
		print_usage(stdout);
		return CLI_OK;
	}
	command = find_command(argc, argv, &words);
	if (!command && wants_help(argc - 1, argv + 1) && print_family(argv[0], stdout))
		return CLI_OK;
	if (!command)
		return unknown_command(argc, argv);
	if (command->run != command_help && wants_help(argc - words, argv + words))
		return command_help(&cli, command, words, argv);
	return command->run(&cli, command, argc - words, argv + words);
}
