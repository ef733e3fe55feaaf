/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/door/fd_judge.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/fd.h"
#include "interfaces/endpoint_fd.h"

#define KEPT_MIN 16u
/*
 * After so many strangers nothing more is read. An honest peer sends none: pipes (for a device's state) and
 * files on a disk (an NVDIMM's) are none.
 */
#define STRANGERS_MAX 32u
/* Besides what is kept: one message's, the strangers, and those that the doorman works with. */
#define OTHER_FDS (FD_MESSAGE_MAX + 2 * STRANGERS_MAX)

static unsigned room_to_keep(unsigned fds_max)
{
	if (fds_max < OTHER_FDS + KEPT_MIN)
		return KEPT_MIN;
	return fds_max - OTHER_FDS < FD_JUDGE_KEPT_MAX ? fds_max - OTHER_FDS : FD_JUDGE_KEPT_MAX;
}

void fd_judge_init(struct fd_judge *judge, int blank, int blank_file, unsigned fds_max)
{
	*judge = (struct fd_judge){
		.blank = blank,
		.blank_file = blank_file,
		.kept_max = room_to_keep(fds_max),
	};
	for (unsigned i = 0; i < FD_JUDGE_KEPT_MAX; i++)
		judge->kept[i] = -1;
}

bool fd_judge_is_tired(const struct fd_judge *judge)
{
	return judge->strangers > STRANGERS_MAX;
}

static void keep(struct fd_judge *judge, int fd)
{
	int *place = &judge->kept[judge->next_kept++ % judge->kept_max];

	fd_close(place);
	*place = fd;
}

/* It stays open: to close it may wait, and this peer is still to be served. */
void fd_judge_drop(struct fd_judge *judge, int fd)
{
	judge->strangers++;
}

/* A file on a disk stays open, too, until there are too many. */
int fd_judge_refuse(struct fd_judge *judge, int fd)
{
	if (endpoint_fd_is_pipe(fd)) {
		close(fd);
	} else if (endpoint_fd_may_be_file(fd)) {
		keep(judge, fd);
		return judge->blank_file;
	} else {
		fd_judge_drop(judge, fd);
	}
	return judge->blank;
}

int fd_judge_prove(struct fd_judge *judge, int fd)
{
	if (endpoint_fd_is_memory(fd)) {
		/* May wait for whoever changes the file's size. */
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
		return fd;
	}
	return endpoint_fd_is_eventfd(fd) ? fd : fd_judge_refuse(judge, fd);
}

void fd_judge_passed(struct fd_judge *judge, int fd)
{
	if (fd != judge->blank && fd != judge->blank_file)
		keep(judge, fd);
}
