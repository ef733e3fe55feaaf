/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of which kind is a descriptor that a peer sent? Asked before anything else is done with it: a read, a write
 * or a close of some kinds waits for another process.
 */
#ifndef VIADUCT_INTERFACES_ENDPOINT_FD_H
#define VIADUCT_INTERFACES_ENDPOINT_FD_H

#include <stdbool.h>

bool endpoint_fd_is_eventfd(int fd);

/* A file in memory (memfd, tmpfs, hugetlbfs). memory_file_accept() says whether it can be mapped, too. */
bool endpoint_fd_is_memory(int fd);

/*
 * May it be a file on a disk? It is open for reading and writing and has a path, not in /dev. Its file system
 * is asked nothing. The daemon gets a stand-in for it (doorman.h), which endpoint_fd_is_file() knows.
 */
bool endpoint_fd_may_be_file(int fd);
bool endpoint_fd_is_file(int fd);

/* An end of a pipe without a name. Its close waits for nobody. */
bool endpoint_fd_is_pipe(int fd);

/* A UNIX stream socket that does not listen. Nothing says that it is connected, or to what. */
bool endpoint_fd_is_stream(int fd);

#endif
