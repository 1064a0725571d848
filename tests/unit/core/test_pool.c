/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pool.h"
#include "helper/unit.h"

struct object {
    struct rth_pool_object pooled;
    _Atomic uint32_t users;
    uint32_t mark;
};
static struct rth_pool pool = {.object_bytes = sizeof(struct object)};

static void an_object_that_was_given_is_taken_again(void **state)
{
    (void)state;
    struct object *one = rth__pool_take_nomalloc(&pool), *two = rth__pool_take_nomalloc(&pool);
    assert_non_null(one);
    assert_ptr_not_equal(one, two);
    assert_int_equal(one->mark, 0);
    one->mark = 5;
    rth__pool_give_nomalloc(&pool, one);
    assert_ptr_equal(rth__pool_take_nomalloc(&pool), one);
    assert_ptr_not_equal(rth__pool_take_nomalloc(&pool), one);
}

static void the_last_number_is_the_end(void **state)
{
    (void)state;
    unsigned count = 0;
    struct object *last = NULL, *taken;
    while ((taken = rth__pool_take_nomalloc(&pool)) != NULL) {
        taken->mark = ++count;
        last = taken;
    }
    assert_int_equal(count, RTH_POOL_CHUNKS_MAX * RTH_POOL_CHUNK_OBJECTS);
    assert_int_equal(last->mark, count);
    rth__pool_give_nomalloc(&pool, last);
    assert_ptr_equal(rth__pool_take_nomalloc(&pool), last);
}

static void an_object_is_found_by_its_number(void **state)
{
    (void)state;
    assert_int_equal(rth__pool_handed(&pool), 0);
    assert_null(rth__pool_at(&pool, 1));
    struct object *one = rth__pool_take_nomalloc(&pool), *two = rth__pool_take_nomalloc(&pool);
    assert_int_equal(rth__pool_handed(&pool), 2);
    assert_ptr_equal(rth__pool_at(&pool, one->pooled.number), one);
    assert_ptr_equal(rth__pool_at(&pool, two->pooled.number), two);
    assert_null(rth__pool_at(&pool, 0));
    assert_null(rth__pool_at(&pool, 3));
}

enum { THREADS = 4, ROUNDS = 100000, HELD = 8 };
static _Atomic uint32_t shared_twice;

static void *take_and_give(void *argument)
{
    (void)argument;
    struct object *held[HELD] = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct object **place = &held[i * 7 % HELD];
        if (*place != NULL) {
            atomic_fetch_sub_explicit(&(*place)->users, 1, memory_order_relaxed);
            rth__pool_give_nomalloc(&pool, *place);
        }
        *place = rth__pool_take_nomalloc(&pool);
        shared_twice += atomic_fetch_add_explicit(&(*place)->users, 1, memory_order_relaxed) != 0;
    }
    return NULL;
}

static void no_two_threads_ever_have_the_same_object(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(shared_twice, 0);
    assert_true(pool.handed <= THREADS * HELD);
}

static void a_child_has_the_objects_of_its_parent(void **state)
{
    (void)state;
    struct object *object = rth__pool_take_nomalloc(&pool);
    object->mark = 3;
    pid_t pid = fork();
    if (pid == 0) {
        bool fine = object->mark == 3;
        rth__pool_give_nomalloc(&pool, object);
        fine = fine && rth__pool_take_nomalloc(&pool) == object;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(an_object_that_was_given_is_taken_again),
              cmocka_unit_test(an_object_is_found_by_its_number),
              cmocka_unit_test(the_last_number_is_the_end),
              cmocka_unit_test(no_two_threads_ever_have_the_same_object),
              cmocka_unit_test(a_child_has_the_objects_of_its_parent))
