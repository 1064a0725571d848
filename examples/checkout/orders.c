/* SPDX-License-Identifier: MIT */
/*
 * The orders, in SQLite. A session is a connection with its prepared statements, which one thread
 * uses at a time: an operation takes a free one, opens one when there is none, and puts it back. So
 * there are as many as threads that were here at once. With write-ahead logging readers run beside
 * the writer, and writers wait for each other for BUSY_TIMEOUT_MS.
 */
#include "orders.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000

struct session {
    struct session *next;
    sqlite3 *database;
    sqlite3_stmt *add, *latest, *sold;
};

struct orders {
    char *path;
    pthread_mutex_t mutex;
    struct session *free; /* under mutex */
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS orders ("
    "  id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL,"
    "  cents INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS orders_by_item ON orders (item, quantity);";

/* SQLite's result as a negative errno, and what it has to say. */
static int failed(const struct orders *orders, sqlite3 *database, int result)
{
    (void)fprintf(stderr, "checkout: %s: %s\n", orders->path,
                  database ? sqlite3_errmsg(database) : sqlite3_errstr(result));
    switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOTADB:
        return -EINVAL;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EACCES;
    default:
        return -EIO;
    }
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void session_close(struct session *session)
{
    (void)sqlite3_finalize(session->add);
    (void)sqlite3_finalize(session->latest);
    (void)sqlite3_finalize(session->sold);
    (void)sqlite3_close(session->database);
    free(session);
}

static int session_prepare(struct session *session)
{
    const struct {
        const char *sql;
        sqlite3_stmt **ret_statement;
    } statements[] = {
        {"INSERT INTO orders (item, quantity, cents) VALUES (?1, ?2, ?3)", &session->add},
        {"SELECT id, item, quantity, cents FROM orders ORDER BY id DESC LIMIT ?1",
         &session->latest},
        {"SELECT count(*), coalesce(sum(quantity), 0) FROM orders WHERE item = ?1", &session->sold},
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        int result =
            sqlite3_prepare_v3(session->database, statements[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                               statements[i].ret_statement, NULL);
        if (result != SQLITE_OK)
            return result;
    }
    return SQLITE_OK;
}

/* set_up: SQL that must have run before the statements can be prepared, or NULL. */
static int session_open(struct orders *orders, const char *set_up, struct session **ret_session)
{
    struct session *session = calloc(1, sizeof(*session));
    if (!session)
        return -ENOMEM;
    int result =
        sqlite3_open_v2(orders->path, &session->database,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_busy_timeout(session->database, BUSY_TIMEOUT_MS);
    /* In WAL mode this loses no order when the program dies, only when the machine does. */
    if (result == SQLITE_OK)
        result = sqlite3_exec(session->database, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
    if (result == SQLITE_OK && set_up)
        result = sqlite3_exec(session->database, set_up, NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = session_prepare(session);
    if (result != SQLITE_OK) {
        int error = failed(orders, session->database, result);
        session_close(session);
        return error;
    }
    *ret_session = session;
    return 0;
}

static int session_take(struct orders *orders, struct session **ret_session)
{
    (void)pthread_mutex_lock(&orders->mutex);
    struct session *session = orders->free;
    if (session)
        orders->free = session->next;
    (void)pthread_mutex_unlock(&orders->mutex);
    if (!session)
        return session_open(orders, NULL, ret_session);
    *ret_session = session;
    return 0;
}

static void session_give(struct orders *orders, struct session *session)
{
    (void)pthread_mutex_lock(&orders->mutex);
    session->next = orders->free;
    orders->free = session;
    (void)pthread_mutex_unlock(&orders->mutex);
}

/* Ends an operation: result is the last of sqlite3_step. */
static int finish(struct orders *orders, struct session *session, sqlite3_stmt *statement,
                  int result)
{
    int error = result == SQLITE_DONE || result == SQLITE_ROW
                    ? 0
                    : failed(orders, session->database, result);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    session_give(orders, session);
    return error;
}

/* ---- operations ---------------------------------------------------------------------------- */

int orders_add(struct orders *orders, const struct order *order, int64_t *ret_id)
{
    struct session *session;
    int error = session_take(orders, &session);
    if (error != 0)
        return error;
    int result = sqlite3_bind_text(session->add, 1, order->item, -1, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_bind_int64(session->add, 2, order->quantity);
    if (result == SQLITE_OK)
        result = sqlite3_bind_int64(session->add, 3, order->cents);
    if (result == SQLITE_OK)
        result = sqlite3_step(session->add);
    int64_t id = sqlite3_last_insert_rowid(session->database);
    error = finish(orders, session, session->add, result);
    if (error == 0)
        *ret_id = id;
    return error;
}

int orders_latest(struct orders *orders, uint64_t limit,
                  void (*fn)(const struct order *order, void *argument), void *argument)
{
    struct session *session;
    int error = session_take(orders, &session);
    if (error != 0)
        return error;
    sqlite3_stmt *statement = session->latest;
    int result = sqlite3_bind_int64(statement, 1, (sqlite3_int64)limit);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    while (result == SQLITE_ROW) {
        const char *item = (const char *)sqlite3_column_text(statement, 1);
        if (!item) {
            result = SQLITE_NOMEM;
            break;
        }
        struct order order = {.id = sqlite3_column_int64(statement, 0),
                              .item = item,
                              .quantity = sqlite3_column_int64(statement, 2),
                              .cents = sqlite3_column_int64(statement, 3)};
        fn(&order, argument);
        result = sqlite3_step(statement);
    }
    return finish(orders, session, statement, result);
}

int orders_sold(struct orders *orders, const char *item, int64_t *ret_orders, int64_t *ret_pieces)
{
    struct session *session;
    int error = session_take(orders, &session);
    if (error != 0)
        return error;
    int result = sqlite3_bind_text(session->sold, 1, item, -1, SQLITE_STATIC);
    if (result == SQLITE_OK)
        result = sqlite3_step(session->sold);
    int64_t count = sqlite3_column_int64(session->sold, 0);
    int64_t pieces = sqlite3_column_int64(session->sold, 1);
    error = finish(orders, session, session->sold, result);
    if (error == 0) {
        *ret_orders = count;
        *ret_pieces = pieces;
    }
    return error;
}

/* ---- start and end ------------------------------------------------------------------------- */

/* The mode is a property of the file, so it is set once, by the first session. */
static int set_wal_mode(struct orders *orders)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_open(orders->path, &database);
    if (result == SQLITE_OK)
        result = sqlite3_busy_timeout(database, BUSY_TIMEOUT_MS);
    if (result == SQLITE_OK)
        result = sqlite3_prepare_v2(database, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    int error = 0;
    if (result != SQLITE_ROW) {
        error = failed(orders, database, result);
    } else if (strcmp((const char *)sqlite3_column_text(statement, 0), "wal") != 0) {
        (void)fprintf(stderr, "checkout: %s: must be a file that can be in WAL mode\n",
                      orders->path);
        error = -EINVAL;
    }
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(database);
    return error;
}

int orders_open(const char *path, struct orders **ret_orders)
{
    struct orders *orders = calloc(1, sizeof(*orders));
    if (!orders)
        return -ENOMEM;
    (void)pthread_mutex_init(&orders->mutex, NULL);
    orders->path = strdup(path);
    int error = orders->path ? set_wal_mode(orders) : -ENOMEM;
    struct session *session;
    if (error == 0)
        error = session_open(orders, schema, &session);
    if (error != 0) {
        orders_close(orders);
        return error;
    }
    session_give(orders, session);
    *ret_orders = orders;
    return 0;
}

void orders_close(struct orders *orders)
{
    if (!orders)
        return;
    while (orders->free) {
        struct session *session = orders->free;
        orders->free = session->next;
        session_close(session);
    }
    (void)pthread_mutex_destroy(&orders->mutex);
    free(orders->path);
    free(orders);
}
