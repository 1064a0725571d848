/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_SERVICE_H
#define CHECKOUT_SERVICE_H

/* What the handlers work with. Made in main before the first request and unchanged until after the
 * last; each part does its own locking. */

#include "faults.h"
#include "orders.h"
#include "pool.h"
#include "server.h"

struct service {
    struct orders *orders;
    struct pool *pool;
    struct faults *faults;
};

/* Every path that is answered. */
extern const struct route service_routes[];
extern const size_t service_route_count;

/* The paths that misbehave on purpose: fault_handlers.c. */
void handle_allocate(struct service *service, struct request *request);
void handle_leak(struct service *service, struct request *request);
void handle_leak_free(struct service *service, struct request *request);
void handle_leak_thread(struct service *service, struct request *request);
void handle_leak_task(struct service *service, struct request *request);
void handle_lock(struct service *service, struct request *request);
void handle_crash(struct service *service, struct request *request);

#endif
