/* SPDX-License-Identifier: MIT */
/* The paths that misbehave on purpose: what they are asked for, done by faults.c and work.c. */
#include "faults.h"
#include "service.h"
#include "work.h"

#include <inttypes.h>
#include <string.h>

#define BLOCK_BYTES_MAX (UINT64_C(1) << 30)
#define BLOCK_COUNT_MAX UINT64_C(1000000)
#define LEAK_BYTES_MAX  (UINT64_C(1) << 30)
#define HOLD_MS_MAX     UINT64_C(10000)

void handle_allocate(struct service *service, struct request *request)
{
    (void)service;
    uint64_t bytes, count;
    if (!request_number(request, "bytes", 1024, 1, BLOCK_BYTES_MAX, &bytes) ||
        !request_number(request, "count", 1, 1, BLOCK_COUNT_MAX, &count))
        return;
    int error = allocate_and_free(bytes, count);
    if (error != 0)
        reply_error(request, error);
    else
        reply_json(request, "{\"allocated\":%" PRIu64 ",\"bytes_each\":%" PRIu64 "}\n", count,
                   bytes);
}

void handle_leak(struct service *service, struct request *request)
{
    uint64_t bytes, count;
    if (!request_number(request, "bytes", 1024, sizeof(void *), BLOCK_BYTES_MAX, &bytes) ||
        !request_number(request, "count", 1, 1, BLOCK_COUNT_MAX, &count))
        return;
    if (count > LEAK_BYTES_MAX / bytes) {
        reply_text(request, 400, "bytes times count is at most %" PRIu64 "\n", LEAK_BYTES_MAX);
        return;
    }
    int error = leak_memory(service->faults, bytes, count);
    if (error != 0)
        reply_error(request, error);
    else
        reply_json(request, "{\"leaked\":%" PRIu64 ",\"bytes_each\":%" PRIu64 "}\n", count, bytes);
}

void handle_leak_free(struct service *service, struct request *request)
{
    uint64_t blocks, bytes;
    free_leaked_memory(service->faults, &blocks, &bytes);
    reply_json(request, "{\"freed\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", blocks, bytes);
}

void handle_leak_thread(struct service *service, struct request *request)
{
    int error = leak_thread(service->faults);
    if (error != 0)
        reply_error(request, error);
    else
        reply_json(request, "{\"leaked_threads\":1}\n");
}

void handle_leak_task(struct service *service, struct request *request)
{
    int error = leak_task(service->faults);
    if (error != 0)
        reply_error(request, error);
    else
        reply_json(request, "{\"leaked_tasks\":1}\n");
}

void handle_lock(struct service *service, struct request *request)
{
    uint64_t hold_ms;
    if (!request_number(request, "hold_ms", 10, 0, HOLD_MS_MAX, &hold_ms))
        return;
    uint64_t waited_ns = hold_lock_ns(service->faults, hold_ms);
    reply_json(request, "{\"waited_ms\":%" PRIu64 ",\"held_ms\":%" PRIu64 "}\n",
               waited_ns / 1000000, hold_ms);
}

void handle_crash(struct service *service, struct request *request)
{
    (void)service;
    const char *how = request_text(request, "how");
    if (how && strcmp(how, "segv") == 0)
        crash_by_segv();
    else if (how && strcmp(how, "abort") == 0)
        crash_by_abort();
    else if (how && strcmp(how, "overflow") == 0)
        crash_by_stack_overflow();
    reply_text(request, 400, "how takes segv, abort or overflow\n");
}
