/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of `viaduct`, one function each; the table in viaduct.c names them. */
#ifndef VIADUCT_CLI_COMMANDS_H
#define VIADUCT_CLI_COMMANDS_H

#include "cli/cli.h"

/* status/status.c */
int command_status(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_reload(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* top/top.c */
int command_top(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* pool/pool_commands.c */
int command_pool_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_pool_show(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* pool/pool_check.c */
int command_pool_check(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* disk/disk_commands.c */
int command_disk_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_disk_create(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_disk_resize(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_disk_rename(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_disk_delete(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* nic/nic_commands.c */
int command_nic_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* nic/capture.c */
int command_capture(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* nic/nic_link.c */
int command_nic_show(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_nic_link(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* nic/switch_commands.c */
int command_switch_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_switch_show(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* nic/forward_commands.c */
int command_forward_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_forward_add(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_forward_remove(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* seat/seat_commands.c */
int command_seat_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_show(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_scale(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_overview(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_resize(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_focus(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* seat/seat_type.c */
int command_seat_type(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_seat_paste(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* seat/screenshot.c */
int command_screenshot(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* console/console.c */
int command_console(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* share/share_commands.c */
int command_disk_set(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_nic_set(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_guest_set(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_group_set(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* disk/disk_import.c, disk/disk_export.c */
int command_disk_import(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_disk_export(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* vmm/vmm_arguments.c */
int command_qemu_args(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_libvirt_xml(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int command_ch_args(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* vmm/run.c */
int command_run(struct cli *cli, const struct cli_command *command, int argc, char **argv);
/* demo/demo.c */
int command_demo(struct cli *cli, const struct cli_command *command, int argc, char **argv);

#endif
