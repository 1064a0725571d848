/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <stdio.h>
#include <string.h>

#include "admin/route.h"
#include "core/capability.h"

static int write_nothing(struct rth_call *call, struct rth_sink *sink)
{
    (void)call, (void)sink;
    return 0;
}

static const char *name_below(size_t index)
{
    static const char *const names[] = {"connections", "a.b-c_9"};
    return index < 2 ? names[index] : NULL;
}

static const struct rth_artefact first_artefacts[] = {
    {.name = "index", .path = "/debug/pprof/", .write = write_nothing},
    {.name = "symbol", .path = "/debug/pprof/symbol", .flags = RTH_ARTEFACT_POST},
    {.name = "livez", .path = "/livez", .flags = RTH_ARTEFACT_PUBLIC},
    {.name = "status", .path = "/debug/runtime/status"},
    {.name = "readyz", .path = "/readyz/", .flags = RTH_ARTEFACT_PREFIX | RTH_ARTEFACT_PUBLIC},
    {.name = "deep", .path = "/readyz/deep/", .flags = RTH_ARTEFACT_PREFIX},
    {.name = "exact", .path = "/readyz/deep/exact"},
    {.name = "flight", .path = "/debug/flight"},
    {.name = "custom",
     .path = "/debug/pprof/",
     .flags = RTH_ARTEFACT_PREFIX,
     .name_below = name_below},
};
static const struct rth_action first_actions[] = {
    {.name = "flight", .path = "/debug/flight", .run = write_nothing},
    {.name = "purge", .path = "/debug/purge", .run = write_nothing},
};
static const struct rth_artefact idle_artefacts[] = {
    {.name = "heap", .path = "/debug/pprof/heap", .flags = RTH_ARTEFACT_PROFILE},
    {.name = "livez", .path = "/livez", .flags = RTH_ARTEFACT_PUBLIC},
    {.name = "metrics", .path = "/metrics", .flags = RTH_ARTEFACT_PUBLIC},
};
static const struct rth_action idle_actions[] = {{.name = "stop", .path = "/debug/stop"}};
static const struct rth_capability idle = {.name = "heap",
                                           .artefacts = idle_artefacts,
                                           .artefact_count = 3,
                                           .actions = idle_actions,
                                           .action_count = 1};
static const struct rth_capability first = {.name = "first",
                                            .artefacts = first_artefacts,
                                            .artefact_count = 9,
                                            .actions = first_actions,
                                            .action_count = 2};
static const struct rth_capability *const rows[] = {&idle, &first};

static struct rth_route route;
static struct rth_http_request request;

static void find(enum rth_http_method method, const char *path, bool is_public, bool read_only)
{
    rth__capability_table_set(rows, 2);
    struct rth_capability_runtime *runtime = rth__capability_runtime_at(0);
    runtime->state = RTH_CAPABILITY_ABSENT;
    (void)snprintf(runtime->reason, sizeof(runtime->reason), "static je_malloc");
    rth__capability_runtime_at(1)->state = RTH_CAPABILITY_RUNNING;
    memset(&request, 0, sizeof(request));
    request.method = method;
    (void)snprintf(request.path, sizeof(request.path), "%s", path);
    rth__route_find(&request, is_public, read_only, &route);
    assert_int_equal((route.artefact != NULL) + (route.action != NULL), route.status == 200);
    assert_int_equal(route.message[0] == '\0', route.status == 200);
    assert_int_equal(route.allow != NULL, route.status == 405);
}

static void assert_artefact(const char *path, const char *name, const char *subpath)
{
    find(RTH_HTTP_GET, path, false, false);
    assert_int_equal(route.status, 200);
    assert_string_equal(route.artefact->name, name);
    assert_string_equal(route.subpath, subpath);
}

static void an_exact_path_beats_the_longest_prefix(void **state)
{
    (void)state;
    assert_artefact("/debug/runtime/status", "status", "");
    assert_artefact("/readyz/db", "readyz", "db");
    assert_artefact("/readyz/deep/x/y", "deep", "x/y");
    assert_artefact("/readyz/deep/exact", "exact", "");
    assert_artefact("/readyz/deep/exactly", "deep", "exactly");
    assert_artefact("/debug/pprof/", "index", "");
}

static void unknown_paths_are_404_in_gos_words(void **state)
{
    (void)state;
    static const char *const other[] = {"/", "/livez/", "/LIVEZ", "//livez", "/debug/pprofx", ""};
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        find(RTH_HTTP_GET, other[i], false, false);
        assert_int_equal(route.status, 404);
        assert_string_equal(route.message, "404 page not found");
        assert_false(route.is_pprof);
    }
    find(RTH_HTTP_GET, "/debug/pprof/nosuch", false, false);
    assert_int_equal(route.status, 404);
    assert_string_equal(route.message, "Unknown profile");
    assert_true(route.is_pprof);
}

static void pprof_without_the_slash_moves(void **state)
{
    (void)state;
    find(RTH_HTTP_GET, "/debug/pprof", false, false);
    assert_int_equal(route.status, 301);
    assert_string_equal(route.location, "/debug/pprof/");
    assert_string_equal(route.content_type, "text/html; charset=utf-8");
}

static void wrong_methods_are_405_and_name_the_right_ones(void **state)
{
    (void)state;
    find(RTH_HTTP_POST, "/debug/runtime/status", false, false);
    assert_int_equal(route.status, 405);
    assert_string_equal(route.allow, "GET, HEAD");
    find(RTH_HTTP_GET, "/debug/purge", false, false);
    assert_int_equal(route.status, 405);
    assert_string_equal(route.allow, "POST");
    find(RTH_HTTP_HEAD, "/debug/purge", false, false);
    assert_int_equal(route.status, 405);
}

static void a_path_may_be_both_read_and_changed(void **state)
{
    (void)state;
    find(RTH_HTTP_HEAD, "/debug/flight", false, false);
    assert_ptr_equal(route.artefact, &first_artefacts[7]);
    find(RTH_HTTP_POST, "/debug/flight", false, false);
    assert_ptr_equal(route.action, &first_actions[0]);
    find(RTH_HTTP_POST, "/debug/pprof/symbol", false, false);
    assert_ptr_equal(route.artefact, &first_artefacts[1]);
}

static void read_only_refuses_actions_and_nothing_else(void **state)
{
    (void)state;
    find(RTH_HTTP_POST, "/debug/flight", false, true);
    assert_int_equal(route.status, 403);
    find(RTH_HTTP_GET, "/debug/flight", false, true);
    assert_int_equal(route.status, 200);
    find(RTH_HTTP_POST, "/debug/pprof/symbol", false, true);
    assert_int_equal(route.status, 200);
}

static void a_row_that_does_not_run_says_why(void **state)
{
    (void)state;
    find(RTH_HTTP_GET, "/debug/pprof/heap", false, false);
    assert_int_equal(route.status, 501);
    assert_string_equal(route.message, "heap is absent: static je_malloc");
    assert_true(route.is_pprof);
    find(RTH_HTTP_POST, "/debug/stop", false, true);
    assert_int_equal(route.status, 501);
    assert_artefact("/livez", "livez", ""); /* another row that runs has it too */
}

static void the_public_listener_knows_exact_public_paths_and_get(void **state)
{
    (void)state;
    find(RTH_HTTP_GET, "/livez", true, false);
    assert_int_equal(route.status, 200);
    find(RTH_HTTP_HEAD, "/livez", true, false);
    assert_int_equal(route.status, 405);
    assert_string_equal(route.allow, "GET");
    find(RTH_HTTP_POST, "/livez", true, false);
    assert_int_equal(route.status, 405);
    find(RTH_HTTP_GET, "/metrics", true, false);
    assert_int_equal(route.status, 501);
    static const char *const hidden[] = {"/debug/runtime/status",
                                         "/debug/pprof",
                                         "/debug/pprof/",
                                         "/debug/pprof/heap",
                                         "/readyz/db",
                                         "/debug/flight",
                                         "/debug/purge",
                                         "/"};
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        find(RTH_HTTP_GET, hidden[i], true, false);
        assert_int_equal(route.status, 404);
        assert_string_equal(route.message, "404 page not found");
        find(RTH_HTTP_POST, hidden[i], true, false);
        assert_int_equal(route.status, 404);
    }
}

/* Such a prefix takes nothing away from who says better why there is no answer. */
static void a_prefix_with_names_is_those_names_alone(void **state)
{
    (void)state;
    assert_artefact("/debug/pprof/connections", "custom", "connections");
    assert_artefact("/debug/pprof/a.b-c_9", "custom", "a.b-c_9");
    assert_artefact("/debug/pprof/", "index", "");
    assert_artefact("/debug/pprof/symbol", "symbol", "");
    static const char *const unknown[] = {"/debug/pprof/connection", "/debug/pprof/connections/",
                                          "/debug/pprof/connections/x", "/debug/pprof//"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        find(RTH_HTTP_GET, unknown[i], false, false);
        assert_int_equal(route.status, 404);
        assert_string_equal(route.message, "Unknown profile");
    }
    find(RTH_HTTP_GET, "/debug/pprof/heap", false, false);
    assert_non_null(strstr(route.message, "static je_malloc"));
    find(RTH_HTTP_POST, "/debug/pprof/connections", false, false);
    assert_int_equal(route.status, 405);
}

RTH_TEST_MAIN(cmocka_unit_test(a_prefix_with_names_is_those_names_alone),
              cmocka_unit_test(an_exact_path_beats_the_longest_prefix),
              cmocka_unit_test(unknown_paths_are_404_in_gos_words),
              cmocka_unit_test(pprof_without_the_slash_moves),
              cmocka_unit_test(wrong_methods_are_405_and_name_the_right_ones),
              cmocka_unit_test(a_path_may_be_both_read_and_changed),
              cmocka_unit_test(read_only_refuses_actions_and_nothing_else),
              cmocka_unit_test(a_row_that_does_not_run_says_why),
              cmocka_unit_test(the_public_listener_knows_exact_public_paths_and_get))
