/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "core/capability.h"
#include "formats/json.h"
#include "formats/sink.h"
#include "helper/unit.h"
#include "rthooks/loop.h"
#include "thread/loops.h"

static struct rth_latency_values values_of(const struct rth_latency *latency)
{
    struct rth_latency_values values;
    rth__latency_read(latency, &values);
    return values;
}

static char text[16384];
static size_t text_bytes;

static int keep(struct rth_sink *sink, const void *data, size_t size_bytes)
{
    (void)sink;
    assert_true(text_bytes + size_bytes < sizeof(text));
    memcpy(text + text_bytes, data, size_bytes);
    text_bytes += size_bytes;
    text[text_bytes] = '\0';
    return 0;
}

static const char *status_text(void)
{
    struct rth_sink sink = {.write = keep};
    struct rth_json json;
    text_bytes = 0;
    rth__json_init(&json, &sink);
    rth__json_object_begin(&json);
    rth__loops_capability.status(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return text;
}

static void a_tick_counts_what_is_known(void **state)
{
    (void)state;
    struct rth_loop *loop;
    assert_int_equal(rth_loop_new("main", &loop), 0);
    rth_loop_tick(loop, 1000, -1);
    rth_loop_tick(loop, 50000000, 0);
    rth_loop_tick(loop, -1, 2000);
    rth_loop_tick(NULL, 1, 1);
    assert_int_equal(values_of(&rth__loop_busy).count, 2);
    assert_int_equal(values_of(&rth__loop_busy).sum_ns, 50001000);
    assert_int_equal(values_of(&rth__loop_timer_late).count, 2);
    assert_int_equal(values_of(&rth__loop_timer_late).sum_ns, 2000);
    assert_non_null(strstr(status_text(),
                           "{\"name\":\"main\",\"iterations\":3,\"busy_ns\":50001000,"
                           "\"busy_max_ns\":50000000,\"timer_late_max_ns\":2000}"));
    rth_loop_free(loop);
    assert_null(strstr(status_text(), "main"));
    rth_loop_free(NULL);
}

static void there_are_as_many_loops_as_promised(void **state)
{
    (void)state;
    struct rth_loop *loops[64], *more = NULL;
    for (int i = 0; i < 64; i++)
        assert_int_equal(rth_loop_new("loop", &loops[i]), 0);
    assert_int_equal(rth_loop_new("loop", &more), -ENOSPC);
    assert_null(more);
    rth_loop_tick(loops[5], 77, -1);
    rth_loop_free(loops[5]);
    assert_int_equal(rth_loop_new("other", &more), 0);
    assert_non_null(strstr(status_text(), "{\"name\":\"other\",\"iterations\":0,\"busy_ns\":0"));
    assert_int_equal(rth_loop_new("", &more), -EINVAL);
    assert_int_equal(rth_loop_new(NULL, &more), -EINVAL);
    assert_int_equal(rth_loop_new("x", NULL), -EINVAL);
}

RTH_TEST_MAIN(cmocka_unit_test(a_tick_counts_what_is_known),
              cmocka_unit_test(there_are_as_many_loops_as_promised))
