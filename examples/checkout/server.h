/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_SERVER_H
#define CHECKOUT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;
struct server;
struct service;

#define ROUTE_PARAMETERS_MAX 4

struct route {
    const char *path;
    /* Runs on one of the server's threads, labelled handler=path. Replies once. */
    void (*handle)(struct service *service, struct request *request);
    const char *description;
    /* What may be in the query; anything else is a 400. Ends at the first NULL. */
    const char *parameters[ROUTE_PARAMETERS_MAX];
};

struct server_options {
    uint16_t port; /* of 127.0.0.1; 0 for any that is free */
    unsigned threads;
    const struct route *routes; /* must outlive the server, like service */
    size_t route_count;
    struct service *service;
};

/* Returns 0 or a negative errno. */
int server_start(const struct server_options *options, struct server **ret_server);
uint16_t server_port(const struct server *server);
/* Takes no more requests and waits for those that run. */
void server_stop(struct server *server);

/* A parameter of the query, NULL when it is not there. */
const char *request_text(const struct request *request, const char *name);

/* A whole number of the query, fallback when it is not there. False when it is no such number: then
 * the request has its 400 and the handler returns. */
bool request_number(struct request *request, const char *name, uint64_t fallback, uint64_t min,
                    uint64_t max, uint64_t *ret_number);

/* Of several replies to one request the first one counts. */
void reply_text(struct request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reply_json(struct request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with a ready body, from malloc, which the server frees. */
void reply_json_body(struct request *request, char *body);
/* What went wrong, as a negative errno: 503 when trying again may help, else 500. */
void reply_error(struct request *request, int error);

#endif
