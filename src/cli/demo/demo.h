/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's parts: a daemon of its own in a temporary directory, two stock guests under QEMU, and a hostile
 * front end, driven by one thread. Children die with us.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_H
#define VIADUCT_CLI_DEMO_DEMO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "cli/demo/demo_report.h"
#include "cli/vmm/vmm.h"

#define DEMO_TOKEN_MAX 20
#define DEMO_WORD_MAX  40	/* a checksum, and more than an address */

/* ---- checks (demo_checks.c) ---- */

struct demo_checks {
	unsigned passed, failed;
	bool colour;
};

/* Prints "ok" or "FAILED" and what was (to be) proven, and counts. Returns `ok`. */
bool demo_check(struct demo_checks *checks, bool ok, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Of an odd number of values, which are sorted by it. */
double demo_median(double *values, size_t count);

/* No two runs of the map overlap. */
void demo_check_map(struct demo_checks *checks, const json_t *pool);
/* Each of the devices that is a disk has as many bytes of the map as its size needs. */
void demo_check_sizes(struct demo_checks *checks, const json_t *pool, const json_t *devices);

/* `viaduct pool check` on the file, after the daemon ended. */
void demo_check_metadata(struct demo_checks *checks, const char *path);

/* No byte of one guest's pattern lies in another's extents, or outside all; what each wrote is found. */
struct demo_expected {
	const char *guest;
	uint64_t lines;		/* at least so many are in its own extents */
};
void demo_check_pool_file(struct demo_checks *checks, const char *path, const json_t *pool, const char *token,
			  const struct demo_expected *expected, size_t expected_count);

/* ---- the daemon (demo_daemon.c) ---- */

struct demo_daemon {
	char program[CLI_PATH_MAX], config[CLI_PATH_MAX], runtime_dir[CLI_PATH_MAX], log[CLI_PATH_MAX];
	pid_t pid;		/* 0: none runs */
	bool apart;		/* Ctrl-C at the terminal is not for it */
};

/*
 * Starts it; with `takeover` as the successor of the one that runs (whose pid the caller keeps). 0 or -errno.
 */
int demo_daemon_start(struct demo_daemon *daemon, bool takeover);
/* Waits until the API answers from daemon->pid. 0, -ETIMEDOUT, or -ECHILD (it ended). */
int demo_daemon_ready(struct demo_daemon *daemon, unsigned timeout_ms);
/* Does the API answer from daemon->pid now? */
bool demo_daemon_answers(struct demo_daemon *daemon);
/* Sends a signal and waits for the end; the wait status. */
int demo_daemon_stop(struct demo_daemon *daemon, int signal);
/* Does this build of the daemon know --takeover? */
bool demo_daemon_has_takeover(const struct demo_daemon *daemon);
/* `body` (borrowed) or NULL. NULL when it fails. The caller owns the answer. */
json_t *demo_daemon_call(const struct demo_daemon *daemon, const char *method, const char *path,
			 const json_t *body);
json_t *demo_daemon_get(const struct demo_daemon *daemon, const char *path);

/* ---- a stock guest (demo_guest.c) ---- */

struct demo_guest {
	const char *name;
	pid_t pid;			/* of QEMU; 0: none */
	int input;			/* its console's */
	char log[CLI_PATH_MAX];		/* its console's output */
	/* What the console said so far. */
	bool up, ready, ended;
	char boot[40], kernel[64];
	unsigned rounds, error_lines;
	unsigned goal;			/* so many rounds are waited for */
	unsigned mib, files;		/* of the "end" line, as are these: */
	unsigned errors, kernel_errors, pause_ms;
	bool rebooted;			/* the boot id changed */
	bool apart;			/* as in struct demo_daemon */
	char address[16];		/* of its card, by DHCP; "": none yet */
	unsigned asked, answered;	/* numbers of the last question and of the last answer */
	char answer[192];
};

struct demo_image {
	char kernel[CLI_PATH_MAX], initrd[CLI_PATH_MAX], qemu[CLI_PATH_MAX];
	enum vmm_accel accel;
};

int demo_guest_start(struct demo_guest *guest, struct cli *cli, const struct cli_command *command,
		     const struct demo_image *image, const char *token);
/* Reads the console again from the start. */
void demo_guest_look(struct demo_guest *guest);
/*
 * Asks for something that the guest's network can do: a verb and its operands, as in tools/guest-image. The
 * answer is there when guest->answered is guest->asked. It never comes when the guest has ended.
 */
void demo_guest_ask(struct demo_guest *guest, const char *verb, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* What the answer has behind `key`, which is for instance " sent=". */
unsigned demo_guest_number(const struct demo_guest *guest, const char *key);
char *demo_guest_word(const struct demo_guest *guest, const char *key, char word[DEMO_WORD_MAX]);
/* Tells it to verify everything and to end. */
void demo_guest_stop(struct demo_guest *guest);
/* Has QEMU ended? Collects it. */
bool demo_guest_gone(struct demo_guest *guest);
void demo_guest_kill(struct demo_guest *guest);

/* ---- the hostile guest (demo_hostile.c) ---- */

struct demo_card;
struct hostile;

struct hostile_counters {
	uint64_t sent;			/* requests that reach beyond the disk */
	uint64_t refused;		/* of them, answered with an I/O error */
	uint64_t leaked;		/* of them, reads that changed the buffer */
	uint64_t honest, honest_failed;	/* requests inside the disk, and those that went wrong */
	uint64_t reconnects;
	uint64_t longest_ns;		/* the longest honest request since hostile_reset_longest() */
};

/*
 * pretended_bytes > 0: takes the disk for so large, and so asks for sectors that are its own after all: a
 * test sees that the checks notice when such requests are served.
 */
int hostile_connect(const char *socket, const char *token, uint64_t pool_bytes, uint64_t pretended_bytes,
		    struct hostile **ret_hostile, const char **ret_error);
void hostile_close(struct hostile *hostile);
/*
 * One request that must be refused (the next of all kinds, in turn) and one honest one, waited for. 0 or
 * -errno.
 */
int hostile_step(struct hostile *hostile);
/* One honest request. */
int hostile_pulse(struct hostile *hostile);
/* Leaves `count` honest reads in flight; the next step waits for them, too. 0 or -errno. */
int hostile_leave_in_flight(struct hostile *hostile, unsigned count);
const struct hostile_counters *hostile_counters(const struct hostile *hostile);
void hostile_reset_longest(struct hostile *hostile);
/* Kinds of requests, their description, and how many of each were sent and refused. */
bool hostile_kind(const struct hostile *hostile, size_t index, const char **ret_what, uint64_t *ret_sent,
		  uint64_t *ret_refused);

/* ---- the whole (demo.c, demo_prepare.c, demo_KIND.c for what it shows) ---- */

#define DEMO_GUESTS 2u

struct demo {
	struct cli *cli;
	const struct cli_command *command;
	struct cli guest_cli;		/* as `cli`, but with the demo's runtime directory */
	char directory[CLI_PATH_MAX / 4], pool_path[CLI_PATH_MAX];
	char token[DEMO_TOKEN_MAX];
	bool keep, interactive;
	bool stays; /* until Ctrl-C, which then is no interruption */
	/* For tests that see the checks fail */
	bool without_guests, break_bound, break_shares, break_guard;
	uint64_t start_ns, deadline_ns;
	struct demo_image image;
	struct demo_daemon daemon;
	struct demo_guest guests[DEMO_GUESTS];
	unsigned guest_count;
	struct hostile *hostile;
	struct demo_card *card;		/* mallory's, while the network is tried */
	struct demo_checks checks;
	uint64_t counted_sent;		/* hostile requests of the phases that were compared */
	struct demo_pauses pauses;
	json_t *pool, *status;		/* at the end */
};

/*
 * Turns the wheel until `reached` says so: the hostile guest's disk goes on, and the guests' consoles are
 * read. Returns an exit code; what was to be reached is `what`.
 */
int demo_run_until(struct demo *demo, bool (*reached)(const struct demo *demo), const char *what);

/* A line with the time since the start. */
void demo_say(const struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Makes the directory and the configuration, and builds the guests' image unless it is there (`image`: its
 * directory, NULL for the cache). Returns an exit code.
 */
int demo_prepare(struct demo *demo, const char *image);

/* A disk made of registers, driven by us. Returns an exit code. */
int demo_registers(struct demo *demo);
/* Writes its guest's section. */
void demo_registers_config(FILE *config);

/*
 * The network: the guests reach each other and the world, and mallory sends what it may not. Returns an exit
 * code.
 */
int demo_network(struct demo *demo);
/* The ports of the switch, their counters, and what was dropped for which reason. */
void demo_network_report(const struct demo *demo);
/* Writes the switch and the cards of the guests that take part. */
void demo_network_config(const struct demo *demo, FILE *config);

/* The seat: two windows, and a keyboard that is one guest's at a time. Returns an exit code. */
int demo_seat(struct demo *demo);
/* Names the seat's console, and stays until Ctrl-C. Returns an exit code. */
int demo_seat_stay(struct demo *demo);
/* Waits until both guests' windows are shown, which is while their firmware runs. */
void demo_seat_say_firmware(const struct demo *demo);
/* Writes the seat and the displays. */
void demo_seat_config(const struct demo *demo, FILE *config);

/*
 * Sharing in time: floods by weight, a victim's latency, another weight while they run. Takes 6 seconds, and
 * the processors should have nothing else to do. Returns an exit code.
 */
int demo_share_time(struct demo *demo);
/* Writes the sections of the guests that take part. */
void demo_sharing_config(const struct demo *demo, FILE *config);

#endif
