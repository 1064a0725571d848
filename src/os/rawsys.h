/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_RAWSYS_H
#define RTH_OS_RAWSYS_H

/*
 * System calls without libc's help: no cached pid, no cancellation, no errno. All return the
 * kernel's value, a negative errno on failure, and are safe in signal handlers, in vfork children
 * and under any lock.
 */

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <errno.h>

/* Calls through libc's syscall(3), keeping errno; the result is the kernel's. */
#define RTH__RAW(...)                                                                              \
    ({                                                                                             \
        int rth_saved_errno_ = errno;                                                              \
        long rth_result_ = syscall(__VA_ARGS__);                                                   \
        if (rth_result_ == -1)                                                                     \
            rth_result_ = -errno;                                                                  \
        errno = rth_saved_errno_;                                                                  \
        rth_result_;                                                                               \
    })

/*
 * Anonymous memory of our own, straight from the kernel: the interposer wraps mmap and munmap to
 * tell the host's mappings, and must never meet ours. NULL on failure. A sanitizer has to see what
 * is mapped, and is told through libc.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RTH__RAW_MAPS_THROUGH_LIBC 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define RTH__RAW_MAPS_THROUGH_LIBC 1
#endif
#endif

static inline void *rth__raw_map_sigsafe(size_t size_bytes, int flags)
{
#ifdef RTH__RAW_MAPS_THROUGH_LIBC
    int saved_errno = errno;
    void *pages = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    errno = saved_errno;
    return pages != MAP_FAILED ? pages : NULL;
#else
    long address =
        RTH__RAW(SYS_mmap, NULL, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0L);
    return address < 0 ? NULL : (void *)address;
#endif
}

static inline void rth__raw_unmap_sigsafe(void *pages, size_t size_bytes)
{
#ifdef RTH__RAW_MAPS_THROUGH_LIBC
    int saved_errno = errno;
    (void)munmap(pages, size_bytes);
    errno = saved_errno;
#else
    (void)RTH__RAW(SYS_munmap, pages, size_bytes);
#endif
}

static inline pid_t rth__raw_getpid_sigsafe(void)
{
    return (pid_t)RTH__RAW(SYS_getpid);
}

static inline pid_t rth__raw_gettid_sigsafe(void)
{
    return (pid_t)RTH__RAW(SYS_gettid);
}

#endif /* RTH_OS_RAWSYS_H */
