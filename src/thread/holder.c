/* SPDX-License-Identifier: MIT */
/*
 * glibc keeps the number of the owning thread in each mutex (all types of it) and that of the
 * writer in each rwlock; what readers hold one, it only counts. The layout is part of its ABI: the
 * types are in its public headers, and static initialisers are compiled into every program.
 */
#include "thread/holder.h"

#include <limits.h>
#include <pthread.h>

#include "interpose/abi.h"

#ifdef __GLIBC__

#define MUTEX_MAY_BE_SHARED 128     /* in __kind; of all robust ones, too */
#define OWNER_INCONSISTENT  INT_MAX /* of robust mutexes: the owner has died */
#define READERS_SHIFT       3       /* of __readers: flags are below */

static struct rth_lock_holder mutex_holder(struct rth_image_reader *reader, uint64_t object)
{
    struct rth_lock_holder holder = {0};
    pthread_mutex_t mutex;
    if (rth__image_read(reader, object, &mutex, sizeof(mutex)) != 0)
        return holder;
    int owner = mutex.__data.__owner;
    if (owner <= 0 || owner >= OWNER_INCONSISTENT - 1)
        return holder;
    holder.kind = RTH_HOLDER_THREAD;
    holder.tid = owner;
    holder.may_be_shared = (mutex.__data.__kind & MUTEX_MAY_BE_SHARED) != 0;
    return holder;
}

/* Readers are counted while they wait for a writer, too: only a writer knows that they hold it. */
static struct rth_lock_holder rwlock_holder(struct rth_image_reader *reader, bool waits_to_write,
                                            uint64_t object)
{
    struct rth_lock_holder holder = {0};
    pthread_rwlock_t lock;
    if (rth__image_read(reader, object, &lock, sizeof(lock)) != 0)
        return holder;
    holder.may_be_shared = lock.__data.__shared != 0;
    uint32_t readers = lock.__data.__readers >> READERS_SHIFT;
    if (lock.__data.__cur_writer > 0) {
        holder.kind = RTH_HOLDER_THREAD;
        holder.tid = lock.__data.__cur_writer;
    } else if (waits_to_write && readers > 0) {
        holder.kind = RTH_HOLDER_READERS;
        holder.readers = readers;
    }
    return holder;
}

struct rth_lock_holder rth__lock_holder_read(struct rth_image_reader *reader, uint32_t wait_kind,
                                             uint64_t object)
{
    switch (wait_kind) {
    case RTH_WAIT_MUTEX:
        return mutex_holder(reader, object);
    case RTH_WAIT_RDLOCK:
    case RTH_WAIT_WRLOCK:
        return rwlock_holder(reader, wait_kind == RTH_WAIT_WRLOCK, object);
    default:
        return (struct rth_lock_holder){0};
    }
}

#else /* another C library does not say */

struct rth_lock_holder rth__lock_holder_read(struct rth_image_reader *reader, uint32_t wait_kind,
                                             uint64_t object)
{
    (void)reader;
    (void)wait_kind;
    (void)object;
    return (struct rth_lock_holder){0};
}

#endif
