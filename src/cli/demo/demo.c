/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct demo`: two stock guests and a hostile one on one physical disk and one switch. The daemon is
 * killed and replaced under them; what is claimed is checked, and each check can fail.
 */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/demo/demo.h"
#include "cli/demo/demo_card.h"
#include "cli/demo/demo_report.h"
#include "cli/demo/demo_scan.h"
#include "cli/disk/disk_stream.h"
#include "cli/text.h"
#include "core/clock.h"

#define POOL_BYTES	 (8ull << 30)
#define STEP_US		 10000u	/* between two steps of the hostile guest: the guests need the CPU */
#define LOOK_NS		 (200 * NS_PER_MS)
#define DAEMON_READY_MS	 20000
#define IN_FLIGHT	 8u
#define ROUNDS		 2u	/* of each guest, in each phase: one may have begun before, one is whole */
#define STEPS		 60u	/* of the hostile guest, in each phase: all it can ask for, once */
/* Under software emulation on a busy machine; usually it takes less than 90 */
#define SECONDS_DEFAULT	 240

/* ---- the start ---- */

static int start_daemon(struct demo *demo)
{
	int error;

	if (cli_find_program("viaductd", demo->daemon.program) < 0)
		return cli_fail(demo->command, "viaductd was found neither beside this program nor in PATH");
	error = demo_daemon_start(&demo->daemon, false);
	if (!error)
		error = demo_daemon_ready(&demo->daemon, DAEMON_READY_MS);
	if (error) {
		demo_report_log_tail(demo->daemon.log);
		return cli_fail(demo->command, "viaductd did not start: %s",
				error == -ECHILD ? "it ended" : strerror(-error));
	}
	demo_say(demo, "viaductd owns %s (8 GiB, sparse) as pool main", demo->pool_path);
	return CLI_OK;
}

static int start_hostile(struct demo *demo)
{
	json_t *disk = demo_daemon_get(&demo->daemon, "/v1/disks/mallory/root");
	const char *reason = "";
	int error = hostile_connect(api_text(disk, "socket"), demo->token, POOL_BYTES,
				    demo->break_bound ? api_number(disk, "size_bytes") / 2 : 0,
				    &demo->hostile, &reason);

	json_decref(disk);
	if (error)
		return cli_fail(demo->command, "the hostile front end cannot connect: %s (%s)", reason,
				strerror(-error));
	demo_say(demo, "mallory, a driver of ours with a 64 MiB disk, asks for sectors that are not its own");
	return CLI_OK;
}

static int start_guests(struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		int result = demo_guest_start(&demo->guests[i], &demo->guest_cli, demo->command, &demo->image,
					      demo->token);

		if (result != CLI_OK)
			return result;
	}
	if (demo->guest_count > 0)
		demo_say(demo, "alice and bob boot Debian's kernel, each with a 1 GiB disk");
	demo_seat_say_firmware(demo);
	return CLI_OK;
}

/* ---- phases: the hostile guest goes on all the time ---- */

static int fail_phase(struct demo *demo, const char *what)
{
	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_report_log_tail(demo->guests[i].log);
	demo_report_log_tail(demo->daemon.log);
	demo_check(&demo->checks, false, "%s", what);
	return CLI_FAILED;
}

int demo_run_until(struct demo *demo, bool (*reached)(const struct demo *demo), const char *what)
{
	uint64_t look_ns = 0;

	for (;;) {
		int error = hostile_step(demo->hostile);

		if (error) {
			cli_fail(demo->command, "the hostile front end: %s", strerror(-error));
			return fail_phase(demo, what);
		}
		demo_card_receive(demo->card);
		if (stream_interrupted() && !demo->stays)
			return cli_fail(demo->command, "interrupted");
		usleep(STEP_US);
		if (clock_now_ns() < look_ns)
			continue;
		look_ns = clock_now_ns() + LOOK_NS;
		for (unsigned i = 0; i < demo->guest_count; i++)
			demo_guest_look(&demo->guests[i]);
		if (reached(demo))
			return CLI_OK;
		for (unsigned i = 0; i < demo->guest_count; i++) {
			if (demo_guest_gone(&demo->guests[i]) && !demo->guests[i].ended)
				return fail_phase(demo, what);
		}
		if (clock_now_ns() > demo->deadline_ns) {
			int result = fail_phase(demo, what);

			cli_fail(demo->command,
				 "not within %llu s: this machine is slow, or busy; give it more with "
				 "--seconds",
				 (unsigned long long)((demo->deadline_ns - demo->start_ns) / NS_PER_S));
			return result;
		}
	}
}

/*
 * Both guests need their addresses before the first kill: a killed daemon's NAT forgets which addresses it
 * gave, and its successor could give one of them to the other guest.
 */
static bool goal_reached(const struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		if (demo->guests[i].rounds < demo->guests[i].goal || !demo->guests[i].address[0])
			return false;
	}
	return hostile_counters(demo->hostile)->sent >= demo->counted_sent + STEPS;
}

static bool all_ended(const struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		if (!demo->guests[i].ended)
			return false;
	}
	return true;
}

static int run_phase(struct demo *demo, const char *what)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		demo_guest_look(&demo->guests[i]);
		demo->guests[i].goal = demo->guests[i].rounds + ROUNDS;
	}
	return demo_run_until(demo, goal_reached, what);
}

/* Did this daemon count what was sent to it since the last comparison? */
static void compare_refused(struct demo *demo, const char *when)
{
	json_t *disk = demo_daemon_get(&demo->daemon, "/v1/disks/mallory/root");
	uint64_t sent = hostile_counters(demo->hostile)->sent - demo->counted_sent;

	demo_check(&demo->checks, sent > 0 && api_number(disk, "refused") == sent,
		   "%s: %llu requests outside mallory's disk were sent, the daemon counted %llu refused",
		   when, (unsigned long long)sent, (unsigned long long)api_number(disk, "refused"));
	demo->counted_sent += sent;
	json_decref(disk);
}

/* Asks for honest things until the new daemon answers on its API; the longest is the pause. */
static int pulse_until_ready(struct demo *demo, uint64_t *ret_pause_ns)
{
	uint64_t deadline_ns = clock_now_ns() + DAEMON_READY_MS * NS_PER_MS;
	bool ready = false;
	int error = 0;

	while (!error && !ready && clock_now_ns() < deadline_ns) {
		error = hostile_pulse(demo->hostile);
		ready = demo_daemon_answers(&demo->daemon);
	}
	*ret_pause_ns = hostile_counters(demo->hostile)->longest_ns;
	return error ? error : ready ? 0 : -ETIMEDOUT;
}

static int kill_daemon(struct demo *demo)
{
	char pause[TEXT_NUMBER_MAX];
	uint64_t reconnects = hostile_counters(demo->hostile)->reconnects;
	int error;

	compare_refused(demo, "before the kill");
	hostile_reset_longest(demo->hostile);
	error = hostile_leave_in_flight(demo->hostile, IN_FLIGHT);
	demo_say(demo, "kill -9 of viaductd (pid %d), with requests in flight, and start again",
		 (int)demo->daemon.pid);
	demo_daemon_stop(&demo->daemon, SIGKILL);
	if (!error)
		error = demo_daemon_start(&demo->daemon, false);
	if (!error)
		error = pulse_until_ready(demo, &demo->pauses.kill_ns);
	if (error) {
		cli_fail(demo->command, "after the kill: %s", strerror(-error));
		return fail_phase(demo, "the daemon serves again after kill -9");
	}
	demo_check(&demo->checks, hostile_counters(demo->hostile)->reconnects > reconnects,
		   "kill -9: the new daemon (pid %d) took over all in flight; the longest request took %s",
		   (int)demo->daemon.pid, text_duration(pause, demo->pauses.kill_ns));
	return CLI_OK;
}

static int take_over(struct demo *demo)
{
	char pause[TEXT_NUMBER_MAX];
	uint64_t reconnects = hostile_counters(demo->hostile)->reconnects;
	pid_t predecessor = demo->daemon.pid;
	int error, status = -1;

	compare_refused(demo, "before the takeover");
	hostile_reset_longest(demo->hostile);
	demo_say(demo, "viaductd --takeover: a new process takes the open connections from pid %d",
		 (int)predecessor);
	error = demo_daemon_start(&demo->daemon, true);
	if (!error)
		error = pulse_until_ready(demo, &demo->pauses.takeover_ns);
	if (!error && waitpid(predecessor, &status, 0) < 0)
		error = -errno;
	if (error) {
		cli_fail(demo->command, "takeover: %s", strerror(-error));
		kill(predecessor, SIGKILL);
		return fail_phase(demo, "the takeover succeeds");
	}
	demo->pauses.takeover = true;
	demo_check(&demo->checks, WIFEXITED(status) && WEXITSTATUS(status) == 0,
		   "takeover: the predecessor ended by itself with exit code 0");
	demo_check(&demo->checks, hostile_counters(demo->hostile)->reconnects == reconnects,
		   "takeover: the connection stayed open; the longest request took %s",
		   text_duration(pause, demo->pauses.takeover_ns));
	return CLI_OK;
}

/* ---- what was proven ---- */

static void check_guest(struct demo *demo, const struct demo_guest *guest)
{
	demo_check(&demo->checks,
		   guest->ended && guest->errors == 0 && guest->error_lines == 0 && guest->rounds > 0,
		   "%s: made a file system, wrote and verified %u rounds of %u MiB, and all %u files once "
		   "more at the end",
		   guest->name, guest->rounds, guest->mib, guest->files);
	demo_check(&demo->checks, guest->ended && guest->kernel_errors == 0 && !guest->rebooted,
		   "%s: its kernel %s saw no I/O error and never rebooted; its longest pause was %u ms",
		   guest->name, guest->kernel, guest->pause_ms);
}

static void check_hostile(struct demo *demo)
{
	const struct hostile_counters *counters = hostile_counters(demo->hostile);

	demo_check(&demo->checks, counters->sent > 0 && counters->refused == counters->sent,
		   "mallory: %llu of %llu requests outside its disk were refused",
		   (unsigned long long)counters->refused, (unsigned long long)counters->sent);
	demo_check(&demo->checks, counters->leaked == 0,
		   "mallory: no refused read changed a byte of the buffer");
	demo_check(&demo->checks, counters->honest > 0 && counters->honest_failed == 0,
		   "mallory: %llu of %llu requests inside its disk were served between them",
		   (unsigned long long)(counters->honest - counters->honest_failed),
		   (unsigned long long)counters->honest);
}

static int collect(struct demo *demo)
{
	char path[CLI_PATH_MAX];

	compare_refused(demo, "at the end");
	demo->status = demo_daemon_get(&demo->daemon, "/v1/status");
	demo->pool = demo_daemon_get(&demo->daemon, "/v1/pools/main");
	if (!demo->status || !demo->pool)
		return fail_phase(demo, "the daemon answers at the end");
	snprintf(path, sizeof(path), "%s/map.json", demo->directory);
	if (json_dump_file(demo->pool, path, JSON_INDENT(2)) < 0)
		return cli_fail(demo->command, "%s cannot be written", path);
	return CLI_OK;
}

static void check_end(struct demo *demo)
{
	const uint64_t lines_per_mib = (1 << 20) / SCAN_PATTERN_BYTES;
	struct demo_expected expected[DEMO_GUESTS + 2];
	unsigned count = 0;
	const json_t *devices = json_object_get(demo->status, "devices");
	int status;

	for (unsigned i = 0; i < demo->guest_count; i++) {
		check_guest(demo, &demo->guests[i]);
		expected[count++] = (struct demo_expected){
			demo->guests[i].name,
			(uint64_t)demo->guests[i].files * demo->guests[i].mib * lines_per_mib,
		};
	}
	expected[count++] = (struct demo_expected){ "mallory", 128 };
	/* 256 blocks by registers, and as many as its driver fills by a ring. */
	expected[count++] = (struct demo_expected){ "nina", 256 * 4096 / SCAN_PATTERN_BYTES };
	check_hostile(demo);
	hostile_close(demo->hostile);
	demo->hostile = NULL;
	status = demo_daemon_stop(&demo->daemon, SIGTERM);
	demo_check(&demo->checks, WIFEXITED(status) && WEXITSTATUS(status) == 0, "viaductd ended cleanly");
	demo_check_metadata(&demo->checks, demo->pool_path);
	demo_check_map(&demo->checks, demo->pool);
	demo_check_sizes(&demo->checks, demo->pool, devices);
	demo_check_pool_file(&demo->checks, demo->pool_path, demo->pool, demo->token, expected, count);
}

static int run_phases(struct demo *demo)
{
	int result = run_phase(demo, "both guests get an address by DHCP and verify their first rounds");

	if (result == CLI_OK) {
		if (demo->guest_count > 0)
			demo_say(demo, "both guests have made a file system and verified %u rounds", ROUNDS);
		result = kill_daemon(demo);
	}
	if (result == CLI_OK)
		result = run_phase(demo, "both guests go on after kill -9");
	if (result == CLI_OK && demo_daemon_has_takeover(&demo->daemon)) {
		result = take_over(demo);
		if (result == CLI_OK)
			result = run_phase(demo, "both guests go on after the takeover");
	}
	if (result == CLI_OK)
		result = demo_registers(demo);
	if (result == CLI_OK)
		result = demo_network(demo);
	if (result == CLI_OK)
		result = demo_seat(demo);
	if (result == CLI_OK && demo->interactive)
		result = demo_seat_stay(demo);
	if (result != CLI_OK)
		return result;
	if (demo->guest_count > 0)
		demo_say(demo, "the guests verify everything once more and end");
	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_guest_stop(&demo->guests[i]);
	result = demo_run_until(demo, all_ended, "both guests end");
	if (result == CLI_OK)
		result = demo_share_time(demo);
	return result == CLI_OK ? collect(demo) : result;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	return remove(path);
}

static void clean_up(struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++)
		demo_guest_kill(&demo->guests[i]);
	hostile_close(demo->hostile);
	demo_daemon_stop(&demo->daemon, SIGKILL);
	json_decref(demo->status);
	json_decref(demo->pool);
	if (demo->directory[0] && demo->keep)
		printf("everything is kept in %s\n", demo->directory);
	else if (demo->directory[0])
		nftw(demo->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int run(struct demo *demo, const char *image)
{
	int result = demo_prepare(demo, image);

	if (result == CLI_OK)
		result = start_daemon(demo);
	if (result == CLI_OK)
		result = start_guests(demo);
	if (result == CLI_OK)
		result = start_hostile(demo);
	if (result == CLI_OK)
		result = run_phases(demo);
	if (result != CLI_OK)
		return result;
	demo_report_print(demo->pool, demo->status, demo->hostile, &demo->pauses, demo->cli->colour);
	demo_network_report(demo);
	puts("\nWhat was proven at the end:");
	check_end(demo);
	return demo->checks.failed == 0 ? CLI_OK : CLI_FAILED;
}

/* --check-pool: the last check alone, on a file and a map from elsewhere. */
static int check_pool_only(struct cli *cli, const struct cli_command *command, const char *file,
			   const char *map_path)
{
	struct demo_checks checks = { .colour = cli->colour };
	json_error_t error;
	json_t *pool = json_load_file(map_path, 0, &error);

	if (!pool)
		return cli_fail(command, "%s:%d: %s", map_path, error.line, error.text);
	demo_check_map(&checks, pool);
	demo_check_pool_file(&checks, file, pool, NULL, NULL, 0);
	json_decref(pool);
	return checks.failed == 0 ? CLI_OK : CLI_FAILED;
}

int command_demo(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct demo demo = { .cli = cli,
			     .command = command,
			     .checks = { .colour = cli->colour },
			     .start_ns = clock_now_ns(),
			     .guests = { { .name = "alice" }, { .name = "bob" } } };
	const char *image = NULL, *check_pool = NULL, *seconds = NULL;
	const struct cli_option options[] = {
		{ "guest-image", &image, NULL },
		{ "check-pool", &check_pool, NULL },
		{ "seconds", &seconds, NULL },
		{ "keep", NULL, &demo.keep },
		{ "interactive", NULL, &demo.interactive },
		/* For the test that sees the checks fail: */
		{ "without-guests", NULL, &demo.without_guests },
		{ "break-bound", NULL, &demo.break_bound },
		{ "break-shares", NULL, &demo.break_shares },
		{ "break-guard", NULL, &demo.break_guard },
		{ 0 },
	};
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, options, 0, 1, &arguments);
	long limit_s = seconds ? strtol(seconds, NULL, 10) : SECONDS_DEFAULT;

	if (result == CLI_OK && (check_pool != NULL) != (arguments.count == 1))
		result = cli_usage(command, "--check-pool goes with two names: --check-pool FILE MAP.json");
	if (result == CLI_OK && (limit_s < 1 || limit_s > INT_MAX))
		result = cli_usage(command, "--seconds: \"%s\" is not a number of seconds", seconds);
	if (result != CLI_OK)
		return result;
	if (check_pool)
		return check_pool_only(cli, command, check_pool, arguments.words[0]);
	demo.guest_count = demo.without_guests ? 0 : DEMO_GUESTS;
	demo.daemon.apart = demo.guests[0].apart = demo.guests[1].apart = demo.interactive;
	demo.deadline_ns = demo.start_ns + (uint64_t)limit_s * NS_PER_S;
	stream_catch_signals();
	signal(SIGPIPE, SIG_IGN);
	result = run(&demo, image);
	clean_up(&demo);
	printf("\n%u checks hold, %u failed, %.0f s\n", demo.checks.passed, demo.checks.failed,
	       (double)(clock_now_ns() - demo.start_ns) / (double)NS_PER_S);
	return result;
}
