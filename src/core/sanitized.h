/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is this a build with a sanitizer, whose run-time makes system calls of its own? */
#ifndef VIADUCT_CORE_SANITIZED_H
#define VIADUCT_CORE_SANITIZED_H

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#endif
