/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaductd. Start-up phases, in this order: options, configuration, directories, files that are given up,
 * workers, devices (as root, when started so), sockets, privileges, sandbox, READY; then the control loop
 * until SIGTERM. A start as a successor (--takeover) is the same, with the devices and sockets of the
 * predecessor.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/loop_rescue.h"
#include "core/memory_guard.h"
#include "core/reaper.h"
#include "daemon/api/api.h"
#include "daemon/config/config.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/daemon.h"
#include "daemon/device/device.h"
#include "daemon/device/reload.h"
#include "daemon/device/takeover.h"
#include "daemon/plan.h"
#include "daemon/privileges.h"
#include "daemon/privileges_porter.h"
#include "daemon/seat/seat_config.h"
#include "daemon/seat/seat_room.h"
#include "daemon/seat/seat_viewer_process.h"
#include "daemon/seat/seat_web_process.h"
#include "interfaces/door/porter.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vmm_display/vmm_display.h"

enum { EXIT_OK, EXIT_FAILED, EXIT_USAGE };

struct options {
	const char *config, *runtime_dir, *force_format;
	bool check, takeover, help, version, print_reference;
};

/* What main() watches in the control loop. */
struct control {
	struct daemon *daemon;
	struct loop *loop;
	int signals;
	struct loop_watch signal_watch;
	struct loop_timer watchdog;
	uint64_t watchdog_ns;
};

/* ---- options ---- */

static const char usage_text[] =
	"Usage: viaductd [OPTION]...\n"
	"Shares the host's disks, network cards and screens among virtual machines. Runs in the\n"
	"foreground.\n\n"
	"  --config FILE        configuration (default: /etc/viaduct/viaduct.conf; for a plain user\n"
	"                       $XDG_CONFIG_HOME/viaduct/viaduct.conf)\n"
	"  --runtime-dir DIR    directory of the sockets (default: /run/viaduct; for a plain user\n"
	"                       $XDG_RUNTIME_DIR/viaduct)\n"
	"  --check              validate the configuration, print what a start would do, and end\n"
	"  --takeover           take the guests over from the viaductd that runs, without a break\n"
	"  --force-format POOL  format this pool's disk even if it holds something else\n"
	"  --help-config        print the reference of the configuration and end\n"
	"  --version, --help\n\n"
	"Exit codes: 0 ok, 1 failed, 2 usage. See viaductd(8), viaduct.conf(5).\n";

/* Returns false when the arguments make no sense. */
static bool parse_options(int argc, char **argv, struct options *ret_options)
{
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "check", no_argument, NULL, 'k' },
		{ "takeover", no_argument, NULL, 't' },
		{ "force-format", required_argument, NULL, 'f' },
		{ "help-config", no_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'c': ret_options->config = optarg; break;
		case 'r': ret_options->runtime_dir = optarg; break;
		case 'k': ret_options->check = true; break;
		case 't': ret_options->takeover = true; break;
		case 'f': ret_options->force_format = optarg; break;
		case 'p': ret_options->print_reference = true; break;
		case 'v': ret_options->version = true; break;
		case 'h': ret_options->help = true; break;
		default: return false;
		}
	}
	if (optind < argc)
		fprintf(stderr, "viaductd: '%s' is not an option\n", argv[optind]);
	return optind == argc;
}

/* A string to free. */
static char *default_config_path(void)
{
	const char *config_home = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;

	if (geteuid() == 0)
		return strdup("/etc/viaduct/viaduct.conf");
	if (config_home && config_home[0] == '/')
		return asprintf(&path, "%s/viaduct/viaduct.conf", config_home) < 0 ? NULL : path;
	return asprintf(&path, "%s/.config/viaduct/viaduct.conf", home ? home : "") < 0 ? NULL : path;
}

static void print_messages(const struct config_messages *messages)
{
	for (unsigned i = 0; i < messages->kept; i++)
		fprintf(stderr, "%s\n", messages->text[i]);
	if (messages->count > messages->kept)
		fprintf(stderr, "… and %u more\n", messages->count - messages->kept);
}

static int check(const struct config *config, const struct options *options)
{
	struct config_messages messages = { .count = 0 };
	char *runtime_dir = daemon_runtime_dir(options->runtime_dir, config);
	int code;

	print_messages(&config->warnings);
	plan_print(config, runtime_dir ? runtime_dir : "", options->force_format, stdout, &messages);
	print_messages(&messages);
	code = messages.count > 0 ? EXIT_FAILED : EXIT_OK;
	free(runtime_dir);
	config_messages_finish(&messages);
	return code;
}

/* False when a message says why the configuration cannot be used here. */
static bool fits_host(const struct config *config, const struct options *options,
		      struct config_messages *messages)
{
	char *runtime_dir = daemon_runtime_dir(options->runtime_dir, config);

	if (runtime_dir)
		devices_check_host(config, runtime_dir, messages);
	free(runtime_dir);
	return messages->count == 0;
}

/* ---- signals, watchdog ---- */

static void on_signals(struct loop_watch *watch, unsigned events)
{
	struct control *control = container_of(watch, struct control, signal_watch);
	struct signalfd_siginfo info;

	while (read(control->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			daemon_stop(control->daemon);
		else if (control->daemon->suspended || control->daemon->stopping)
			log_warning(NULL, "reload: not during a takeover; try again");
		else
			reload_on_signal(control->daemon);
	}
}

static void on_watchdog(struct loop_timer *timer)
{
	struct control *control = container_of(timer, struct control, watchdog);

	notify_send("WATCHDOG=1");
	loop_timer_start(control->loop, timer, clock_now_ns() + control->watchdog_ns);
}

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

/* Before any thread is made, so that all threads have the signals blocked. */
static void block_signals(void)
{
	sigset_t set;

	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* The porter is the only child, and its end shows on its socket. */
	signal(SIGCHLD, SIG_IGN);
}

static int watch_control(struct control *control, struct error *error)
{
	sigset_t set;

	signal_set(&set);
	control->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (control->signals < 0)
		return error_set(error, -errno, "cannot watch for signals: %s", strerror(errno));
	control->signal_watch.ready = on_signals;
	if (loop_watch_start(control->loop, &control->signal_watch, control->signals, POLLIN) < 0)
		return error_set(error, -ENOMEM, "out of memory");
	control->watchdog.expired = on_watchdog;
	control->watchdog_ns = notify_watchdog_interval_ns();
	if (control->watchdog_ns > 0)
		loop_timer_start(control->loop, &control->watchdog, clock_now_ns() + control->watchdog_ns);
	return 0;
}

/* ---- phases ---- */

/* Each queue holds two or three descriptors; the soft limit of 1024 is for programs with select(). */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int fork_porter(const struct porter_service *service, int (*confine)(void *config),
		       struct config *config, int *ret_porter, struct error *error)
{
	const struct porter_setup setup = {
		.name = "viaduct-porter",
		.service = service,
		.confine = confine,
		.context = config,
	};

	*ret_porter = porter_fork(&setup);
	if (*ret_porter >= 0)
		return 0;
	return error_set(error, *ret_porter, "cannot start the process that makes each %s: %s",
			 service->name, strerror(-*ret_porter));
}

/* No file is opened after it. */
static int confine_web(void *config)
{
	int code = seat_web_prepare();

	return code ? code : privileges_confine_seat_porter(config);
}

/* A daemon of other kinds of devices has no such section at all. */
static bool has_seats(const struct config *config)
{
	const struct config_section *section = config_section_find("seat");

	return section && config_list(config, section);
}

/* First of all, while there are neither threads nor disks. */
static int fork_porters(struct config *config, struct daemon_parts *parts, struct error *error)
{
	int code = fork_porter(&vhost_user_doorman, privileges_confine_porter, config, &parts->porter, error);

	if (code || !has_seats(config))
		return code;
	code = fork_porter(&vmm_display_porter_service, privileges_confine_seat_porter, config,
			   &parts->display_porter, error);
	if (!code)
		code = fork_porter(&seat_viewer_porter_service, privileges_confine_seat_porter, config,
				   &parts->viewer_porter, error);
	if (!code && seats_have_web(config))
		code = fork_porter(&seat_web_porter_service, confine_web, config, &parts->web_porter, error);
	return code;
}

/* The loop of the control thread, and the threads that look after all loops and give back memory. */
static int start_control(struct daemon_parts *parts, struct error *error)
{
	struct loop_options options = { .name = "control" };
	int code = memory_guard_install();

	if (!code)
		code = reaper_start();
	if (!code)
		code = loop_rescue_start(&parts->rescue);
	if (!code)
		code = loop_create(&options, &parts->control);
	if (!code)
		code = loop_rescue_add(parts->rescue, parts->control);
	if (!code)
		return 0;
	return error_set(error, code, "cannot start: %s%s", strerror(-code),
			 code == -EPERM || code == -ENOSYS
				 ? " (io_uring is switched off: see kernel.io_uring_disabled)"
				 : "");
}

/* Devices and sockets: from the predecessor's hands, or made. */
static int open_everything(struct daemon *daemon, bool takeover, struct error *error)
{
	struct error ignored;
	int code = 0;

	if (takeover)
		code = takeover_offer_receive(daemon->runtime_dir, &daemon->offer, error);
	if (!code)
		code = daemon_lock(daemon, error);	/* first: two daemons must not open one pool */
	if (!code && !takeover)
		code = api_create(daemon, &daemon->api, error);
	if (code)
		return code;
	daemon_open_resources(daemon);
	code = devices_check_start(daemon, error);
	if (!code && takeover)
		code = takeover_offer_commit(daemon->offer, error);
	if (code < 0 && takeover) {
		log_error(NULL, "%s", error->text);
		_exit(EXIT_FAILED);	/* nothing of ours may touch the pools any more */
	}
	if (code < 0)
		return code;
	daemon_open_devices(daemon);
	if (takeover)
		code = api_create(daemon, &daemon->api, error);
	if (!code && takeover_create(daemon, &daemon->takeover, &ignored) < 0)
		log_warning(NULL, "%s; --takeover will not be possible", ignored.text);
	if (takeover)
		takeover_offer_done(daemon->offer, daemon);
	daemon->offer = NULL;
	return code;
}

static int give_up_privileges(struct daemon *daemon, struct error *error)
{
	const struct config_daemon *settings = config_daemon(daemon->config);
	int code = privileges_drop(settings, error);
	struct privileges_needs needs = {
		.screens = has_seats(daemon->config) && seats_have_screens(daemon->config),
		.input = has_seats(daemon->config) && seats_have_input(daemon->config),
	};

	for (unsigned i = 0; device_kinds[i]; i++) {
		if (device_kinds[i]->needs_internet && device_kinds[i]->needs_internet(daemon->config))
			needs.internet = true;
		if (device_kinds[i]->needs_interfaces && device_kinds[i]->needs_interfaces(daemon->config))
			needs.interfaces = true;
	}
	if (code || !settings->sandbox)
		return code;
	daemon->no_internet = !needs.internet;
	return privileges_sandbox(&needs, error);
}

static void say_ready(const struct daemon *daemon)
{
	unsigned served, failed = devices_count(daemon, &served) + seats_failed(daemon);

	log_info(NULL, "ready: %u device%s served%s", served, served == 1 ? "" : "s",
		 failed ? ", others are not: see above" : "");
	notify_send("READY=1\nMAINPID=%d\nSTATUS=%u device%s served, %u not", (int)getpid(), served,
		    served == 1 ? "" : "s", failed);
}

/*
 * Large memory always comes from the kernel, as pages of zeroes that cost nothing before they are used:
 * starting a ring asks for megabytes (virtqueue.c). Left alone, the allocator keeps what was freed, and
 * clears it each time.
 */
static void map_large_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
}

/* Runs a daemon from its first object to its last. Takes the configuration. */
static int run(const struct options *options, const char *config_path, struct config *config)
{
	struct control control = { .signals = -1 };
	struct error error = { .text = "" };
	struct daemon_options daemon_options = {
		.config = config, .config_path = config_path, .runtime_dir = options->runtime_dir,
		.force_format = options->force_format,
	};
	struct daemon_parts parts = {
		.porter = -1, .display_porter = -1, .viewer_porter = -1, .web_porter = -1,
	};
	int code;

	log_set_level((enum log_level)config_daemon(config)->log_level);
	for (unsigned i = 0; i < config->warnings.kept; i++)
		log_warning(NULL, "%s", config->warnings.text[i]);
	raise_file_limit();
	map_large_memory();
	block_signals();
	code = fork_porters(config, &parts, &error);
	if (!code)
		code = daemon_create(&daemon_options, &control.daemon, &error);
	if (code)
		config_destroy(config);
	if (!code)
		code = start_control(&parts, &error);
	control.loop = parts.control;
	if (!code)
		code = daemon_start(control.daemon, &parts, &error);
	if (!code) {
		if (notify_fds_receive(&control.daemon->fds) < 0)
			log_warning(NULL,
				    "the descriptors passed by the service manager make no sense: ignored");
		code = open_everything(control.daemon, options->takeover, &error);
	}
	if (!code)
		code = watch_control(&control, &error);
	if (!code)
		code = give_up_privileges(control.daemon, &error);
	if (!code) {
		control.daemon->serving = true;
		say_ready(control.daemon);
		code = loop_run(control.loop);
	} else {
		log_error(NULL, "%s", error.text);
		if (control.daemon && control.daemon->devices) {
			daemon_stop(control.daemon);
			loop_run(control.loop);
		}
	}
	if (control.signals >= 0)
		loop_watch_stop(control.loop, &control.signal_watch);
	daemon_destroy(control.daemon);
	loop_destroy(control.loop);
	loop_rescue_stop(parts.rescue);
	reaper_stop();
	fd_close(&control.signals);
	return code ? EXIT_FAILED : EXIT_OK;
}

int main(int argc, char **argv)
{
	struct options options = { .config = NULL };
	struct config_messages messages = { .count = 0 };
	struct config *config;
	char *config_path;
	int code = EXIT_FAILED;

	if (!parse_options(argc, argv, &options)) {
		fputs("Try viaductd --help.\n", stderr);
		return EXIT_USAGE;
	}
	if (options.help)
		return fputs(usage_text, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
	if (options.version)
		return puts("viaductd " VIADUCT_VERSION) < 0 ? EXIT_FAILED : EXIT_OK;
	if (options.print_reference) {
		config_print_reference(stdout);
		return EXIT_OK;
	}
	config_path = options.config ? strdup(options.config) : default_config_path();
	if (!config_path)
		return EXIT_FAILED;
	if (config_load(config_path, &config, &messages) < 0) {
		print_messages(&messages);
	} else if (!fits_host(config, &options, &messages)) {
		print_messages(&messages);
		config_destroy(config);
	} else if (options.check) {
		code = check(config, &options);
		config_destroy(config);
	} else {
		code = run(&options, config_path, config);
	}
	config_messages_finish(&messages);
	free(config_path);
	return code;
}
