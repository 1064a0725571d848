/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_ORDERS_H
#define CHECKOUT_ORDERS_H

#include <stdint.h>

struct orders;

struct order {
    int64_t id;
    const char *item;
    int64_t quantity;
    int64_t cents;
};

/* All return 0 or a negative errno: -EBUSY when another process holds the database for too long,
 * -EINVAL for a file that cannot be a database in WAL mode. What SQLite says goes to standard
 * error. Any thread may call them at any time between open and close. */
int orders_open(const char *path, struct orders **ret_orders);
void orders_close(struct orders *orders);

int orders_add(struct orders *orders, const struct order *order, int64_t *ret_id);

/* Calls fn for the latest orders, newest first. */
int orders_latest(struct orders *orders, uint64_t limit,
                  void (*fn)(const struct order *order, void *argument), void *argument);

/* How many orders of an item there are, and how many pieces they come to. */
int orders_sold(struct orders *orders, const char *item, int64_t *ret_orders, int64_t *ret_pieces);

#endif
