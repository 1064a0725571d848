/* SPDX-License-Identifier: MIT */
/* The shop, and the table of all that is answered. */
#include "service.h"
#include "work.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CPU_MS_MAX   UINT64_C(10000)
#define QUANTITY_MAX UINT64_C(1000)
#define LIMIT_MAX    UINT64_C(1000)
#define ORDER_BYTES  256

static const struct item {
    const char *name;
    int64_t cents;
} catalogue[] = {{"book", 1250}, {"lamp", 3400}, {"mug", 890}};

/* The item that is asked for, a book by default; NULL when we have no such thing and said so. */
static const struct item *requested_item(struct request *request)
{
    const char *name = request_text(request, "item");
    if (!name)
        return &catalogue[0];
    for (size_t i = 0; i < sizeof(catalogue) / sizeof(catalogue[0]); i++)
        if (strcmp(catalogue[i].name, name) == 0)
            return &catalogue[i];
    reply_text(request, 400, "item takes book, lamp or mug, not '%.40s'\n", name);
    return NULL;
}

/* ---- placing an order ---------------------------------------------------------------------- */

struct purchase {
    struct service *service;
    struct order order;
    uint64_t cpu_ms;
    int error;     /* once it is placed */
    char *receipt; /* from malloc */
};

static void print_order(const struct order *order, char text[ORDER_BYTES])
{
    (void)snprintf(text, ORDER_BYTES,
                   "{\"order\":%" PRId64 ",\"item\":\"%s\",\"quantity\":%" PRId64
                   ",\"cents\":%" PRId64 "}",
                   order->id, order->item, order->quantity, order->cents);
}

__attribute__((noinline)) static char *build_receipt(const struct order *order)
{
    char *receipt = malloc(ORDER_BYTES);
    if (receipt)
        print_order(order, receipt);
    return receipt;
}

static void place_order(void *argument)
{
    struct purchase *purchase = argument;
    burn_cpu(purchase->cpu_ms);
    purchase->error = orders_add(purchase->service->orders, &purchase->order, &purchase->order.id);
    if (purchase->error != 0)
        return;
    purchase->receipt = build_receipt(&purchase->order);
    if (!purchase->receipt)
        purchase->error = -ENOMEM;
}

/* False when the request has its 400. */
static bool read_purchase(struct service *service, struct request *request,
                          struct purchase *ret_purchase)
{
    uint64_t quantity, cpu_ms;
    const struct item *item = requested_item(request);
    if (!item || !request_number(request, "quantity", 1, 1, QUANTITY_MAX, &quantity) ||
        !request_number(request, "cpu_ms", 0, 0, CPU_MS_MAX, &cpu_ms))
        return false;
    *ret_purchase = (struct purchase){.service = service,
                                      .order = {.item = item->name,
                                                .quantity = (int64_t)quantity,
                                                .cents = item->cents * (int64_t)quantity},
                                      .cpu_ms = cpu_ms};
    return true;
}

static void reply_purchase(struct request *request, const struct purchase *purchase)
{
    if (purchase->error != 0)
        reply_error(request, purchase->error);
    else
        reply_json_body(request, purchase->receipt);
}

static void handle_checkout(struct service *service, struct request *request)
{
    struct purchase purchase;
    if (!read_purchase(service, request, &purchase))
        return;
    place_order(&purchase);
    reply_purchase(request, &purchase);
}

/* The same on a worker of the pool, which does it under this request's labels. */
static void handle_handover(struct service *service, struct request *request)
{
    struct purchase purchase;
    if (!read_purchase(service, request, &purchase))
        return;
    int error = pool_call(service->pool, "order", place_order, &purchase);
    if (error != 0)
        reply_error(request, error);
    else
        reply_purchase(request, &purchase);
}

/* ---- looking around ------------------------------------------------------------------------ */

struct listing {
    FILE *text;
    const char *separator;
};

static void list_order(const struct order *order, void *argument)
{
    struct listing *listing = argument;
    char text[ORDER_BYTES];
    print_order(order, text);
    (void)fprintf(listing->text, "%s\n%s", listing->separator, text);
    listing->separator = ",";
}

static void handle_orders(struct service *service, struct request *request)
{
    uint64_t limit;
    if (!request_number(request, "limit", 20, 1, LIMIT_MAX, &limit))
        return;
    char *body = NULL;
    size_t size;
    struct listing listing = {.text = open_memstream(&body, &size), .separator = ""};
    if (!listing.text) {
        reply_error(request, -ENOMEM);
        return;
    }
    (void)fputs("[", listing.text);
    int error = orders_latest(service->orders, limit, list_order, &listing);
    (void)fputs("\n]\n", listing.text);
    if (ferror(listing.text) != 0 && error == 0)
        error = -ENOMEM;
    if (fclose(listing.text) != 0 && error == 0)
        error = -ENOMEM;
    if (error != 0) {
        free(body);
        reply_error(request, error);
        return;
    }
    reply_json_body(request, body);
}

static void handle_search(struct service *service, struct request *request)
{
    uint64_t cpu_ms;
    const struct item *item = requested_item(request);
    if (!item || !request_number(request, "cpu_ms", 0, 0, CPU_MS_MAX, &cpu_ms))
        return;
    burn_cpu(cpu_ms);
    int64_t orders, pieces;
    int error = orders_sold(service->orders, item->name, &orders, &pieces);
    if (error != 0)
        reply_error(request, error);
    else
        reply_json(request,
                   "{\"item\":\"%s\",\"cents\":%" PRId64 ",\"orders\":%" PRId64
                   ",\"pieces\":%" PRId64 "}\n",
                   item->name, item->cents, orders, pieces);
}

static void handle_healthz(struct service *service, struct request *request)
{
    (void)service;
    reply_text(request, 200, "ok\n");
}

/* ---- the table ----------------------------------------------------------------------------- */

const struct route service_routes[] = {
    {"/checkout", handle_checkout, "places an order", {"item", "quantity", "cpu_ms"}},
    {"/handover",
     handle_handover,
     "places an order, on a worker thread",
     {"item", "quantity", "cpu_ms"}},
    {"/orders", handle_orders, "the latest orders", {"limit"}},
    {"/search", handle_search, "what an item costs, and how many were sold", {"item", "cpu_ms"}},
    {"/allocate",
     handle_allocate,
     "allocates and frees count blocks of so many bytes",
     {"bytes", "count"}},
    {"/leak", handle_leak, "allocates the same and keeps it", {"bytes", "count"}},
    {"/leak/free", handle_leak_free, "frees what /leak keeps", {NULL}},
    {"/leak-thread", handle_leak_thread, "starts a thread that never ends", {NULL}},
    {"/leak-task", handle_leak_task, "queues a task that is never finished", {NULL}},
    {"/lock", handle_lock, "sleeps while it holds the one lock", {"hold_ms"}},
    {"/crash", handle_crash, "ends the program: how=segv, abort or overflow", {"how"}},
    {"/healthz", handle_healthz, "whether requests are answered", {NULL}},
};
const size_t service_route_count = sizeof(service_routes) / sizeof(service_routes[0]);
