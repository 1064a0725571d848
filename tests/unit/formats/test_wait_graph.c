/* SPDX-License-Identifier: MIT */
/* Who waits for whom. */
#include <stdlib.h>

#include "formats/wait_graph.h"
#include "helper/unit.h"

#define MANY 50000u

static struct rth_wait_node nodes[MANY];
static struct rth_wait_graph graph;

/* Memory with something in it: whatever it is, it does not matter. */
static void make(size_t count)
{
    size_t bytes = rth__wait_graph_bytes(count);
    static void *memory;
    free(memory);
    memory = malloc(bytes);
    assert_non_null(memory);
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)memory)[i] = (unsigned char)(i * 7 + 3);
    rth__wait_graph_make(nodes, count, memory, &graph);
}

static void set(size_t index, int tid, uint64_t object, int holder_tid)
{
    nodes[index] = (struct rth_wait_node){tid, holder_tid, object};
}

static void assert_cycle(uint32_t cycle, uint32_t first, size_t length)
{
    assert_int_equal(rth__wait_graph_cycle_first(&graph, cycle), first);
    assert_int_equal(rth__wait_graph_cycle_length(&graph, first), length);
}

static void a_chain_that_ends_is_no_cycle(void **state)
{
    (void)state;
    set(0, 10, 0xa, 11);
    set(1, 11, 0xb, 12);
    set(2, 12, 0, 0);
    make(3);
    assert_int_equal(graph.cycle_count, 0);
    assert_int_equal(graph.holder[0], 1);
    assert_int_equal(graph.holder[1], 2);
    assert_int_equal(graph.holder[2], RTH_WAIT_NOBODY);
}

static void two_and_three_and_one_are_cycles(void **state)
{
    (void)state;
    set(0, 3, 0xa, 9);
    set(1, 5, 0xb, 6);
    set(2, 6, 0xc, 7);
    set(3, 7, 0xd, 5);
    set(4, 8, 0xe, 8);
    set(5, 9, 0xf, 3);
    make(6);
    assert_int_equal(graph.cycle_count, 3);
    assert_cycle(1, 0, 2);
    assert_cycle(2, 1, 3);
    assert_cycle(3, 4, 1);
    assert_int_equal(graph.holder[1], 2);
    assert_int_equal(graph.holder[3], 1);
}

static void who_waits_for_a_cycle_is_not_in_it(void **state)
{
    (void)state;
    set(0, 1, 0xa, 2);
    set(1, 2, 0xb, 3);
    set(2, 3, 0xc, 4);
    set(3, 4, 0xb, 3);
    make(4);
    assert_int_equal(graph.cycle_count, 1);
    assert_cycle(1, 2, 2);
    assert_int_equal(graph.cycle[0], 0);
    assert_int_equal(graph.cycle[1], 0);
}

static void whoever_waits_for_no_lock_waits_for_nobody(void **state)
{
    (void)state;
    set(0, 1, 0, 2); /* of a condition, say: a holder means nothing */
    set(1, 2, 0xa, 1);
    set(2, 3, 0xb, 77); /* of another process */
    set(3, 4, 0xc, 0);
    set(4, 5, 0xd, -3);
    make(5);
    assert_int_equal(graph.cycle_count, 0);
    assert_int_equal(graph.holder[0], RTH_WAIT_NOBODY);
    assert_int_equal(graph.holder[1], 0);
    for (size_t i = 2; i < 5; i++)
        assert_int_equal(graph.holder[i], RTH_WAIT_NOBODY);
    assert_int_equal(graph.object_count, 4);
}

static void locks_come_by_the_number_of_their_waiters(void **state)
{
    (void)state;
    set(0, 1, 0x30, 0);
    set(1, 2, 0x20, 9);
    set(2, 3, 0x10, 9);
    set(3, 4, 0x20, 9);
    set(4, 5, 0x30, 9); /* the first did not see who holds it */
    set(5, 6, 0x20, 9);
    set(6, 9, 0, 0);
    make(7);
    assert_int_equal(graph.object_count, 3);
    static const uint64_t objects[] = {0x20, 0x30, 0x10};
    static const uint32_t waiters[] = {3, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(nodes[graph.objects[i].first].object, objects[i]);
        assert_int_equal(graph.objects[i].waiters, waiters[i]);
        assert_int_equal(graph.objects[i].holder, 6);
        uint32_t listed = 0;
        for (uint32_t at = graph.objects[i].first; at != RTH_WAIT_NOBODY;
             at = graph.next_waiter[at]) {
            assert_int_equal(nodes[at].object, objects[i]);
            listed++;
        }
        assert_int_equal(listed, waiters[i]);
    }
}

static void of_as_many_waiters_the_lower_lock_comes_first(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        set(i, (int)i + 1, (i * 37 % 50 + 1) * 16, 0);
    make(100);
    assert_int_equal(graph.object_count, 50);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(graph.objects[i].waiters, 2);
        assert_int_equal(nodes[graph.objects[i].first].object, (i + 1) * 16);
    }
}

static void a_cycle_of_all_threads_is_one(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        set(i, (int)i + 1, i + 1, (int)((i + 1) % MANY) + 1);
    make(MANY);
    assert_int_equal(graph.cycle_count, 1);
    assert_cycle(1, 0, MANY);
}

static void nobody_at_all_is_fine(void **state)
{
    (void)state;
    make(0);
    assert_int_equal(graph.cycle_count, 0);
    assert_int_equal(graph.object_count, 0);
    assert_int_equal(rth__wait_graph_cycle_first(&graph, 1), RTH_WAIT_NOBODY);
}

RTH_TEST_MAIN(cmocka_unit_test(a_chain_that_ends_is_no_cycle),
              cmocka_unit_test(two_and_three_and_one_are_cycles),
              cmocka_unit_test(who_waits_for_a_cycle_is_not_in_it),
              cmocka_unit_test(whoever_waits_for_no_lock_waits_for_nobody),
              cmocka_unit_test(locks_come_by_the_number_of_their_waiters),
              cmocka_unit_test(of_as_many_waiters_the_lower_lock_comes_first),
              cmocka_unit_test(a_cycle_of_all_threads_is_one),
              cmocka_unit_test(nobody_at_all_is_fine))
