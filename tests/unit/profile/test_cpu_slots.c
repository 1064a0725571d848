/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "profile/cpu/slots.h"
#include "thread/cpu_timer.h"

static struct rth_cpu_slot *take(int tid, int timer_id)
{
    struct rth_cpu_slot *slot = rth__cpu_slot_take_locked(tid);
    assert_non_null(slot);
    atomic_store(&slot->timer_id, timer_id);
    return slot;
}

static void a_slot_is_found_by_its_thread_until_it_is_given(void **state)
{
    (void)state;
    struct rth_cpu_slot *first = take(1000, 1), *second = take(1000 + 1024, 2); /* one bucket */
    assert_ptr_equal(rth__cpu_slot_find_locked(1000), first);
    assert_ptr_equal(rth__cpu_slot_find_locked(1000 + 1024), second);
    assert_null(rth__cpu_slot_find_locked(1001));
    rth__cpu_slot_give_locked(first);
    assert_null(rth__cpu_slot_find_locked(1000));
    assert_ptr_equal(rth__cpu_slot_find_locked(1000 + 1024), second);
    rth__cpu_slot_give_locked(second);
}

static void a_cookie_leads_to_its_slot_and_to_no_later_bearer(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(2000, 7);
    uint32_t cookie = rth__cpu_slot_cookie(slot);
    assert_ptr_equal(rth__cpu_slot_enter_sigsafe(cookie, 7), slot);
    rth__cpu_slot_leave_sigsafe(slot);
    rth__cpu_slot_give_locked(slot);
    assert_null(rth__cpu_slot_enter_sigsafe(cookie, 7));
    struct rth_cpu_slot *next = take(2001, 8);
    assert_ptr_equal(next, slot);
    assert_null(rth__cpu_slot_enter_sigsafe(cookie, 7));
    assert_int_not_equal(rth__cpu_slot_cookie(next), cookie);
    rth__cpu_slot_give_locked(next);
}

/* The generation has 15 bits in a cookie: a signal that was pending all that time is told by the
 * number of its timer. */
static void a_cookie_that_has_come_around_needs_its_timer_too(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(3000, 70);
    uint32_t cookie = rth__cpu_slot_cookie(slot);
    for (int i = 0; i < 1 << 15; i++) {
        rth__cpu_slot_give_locked(slot);
        assert_ptr_equal(take(3000, 71 + i), slot);
    }
    assert_int_equal(rth__cpu_slot_cookie(slot), cookie);
    assert_null(rth__cpu_slot_enter_sigsafe(cookie, 70));
    assert_ptr_equal(rth__cpu_slot_enter_sigsafe(cookie, 70 + (1 << 15)), slot);
    rth__cpu_slot_leave_sigsafe(slot);
    rth__cpu_slot_give_locked(slot);
}

static void cookies_of_no_slot_lead_nowhere(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(4000, 5);
    uint32_t even = 0;
    assert_null(rth__cpu_slot_enter_sigsafe(UINT32_MAX, 5));
    assert_null(rth__cpu_slot_enter_sigsafe(even, RTH_CPU_NO_TIMER));
    assert_null(rth__cpu_slot_enter_sigsafe(0x0001ffff, 5));
    rth__cpu_slot_give_locked(slot);
}

static void a_slot_is_not_used_again_while_a_handler_is_in_it(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(5000, 9);
    assert_ptr_equal(rth__cpu_slot_enter_sigsafe(rth__cpu_slot_cookie(slot), 9), slot);
    rth__cpu_slot_give_locked(slot);
    struct rth_cpu_slot *others[200];
    for (int i = 0; i < 200; i++) {
        others[i] = take(6000 + i, 10 + i);
        assert_ptr_not_equal(others[i], slot);
    }
    rth__cpu_slot_leave_sigsafe(slot);
    bool used_again = false;
    struct rth_cpu_slot *more[200];
    for (int i = 0; i < 200; i++) {
        more[i] = take(7000 + i, 300 + i);
        used_again = used_again || more[i] == slot;
    }
    assert_true(used_again);
    for (int i = 0; i < 200; i++) {
        rth__cpu_slot_give_locked(others[i]);
        rth__cpu_slot_give_locked(more[i]);
    }
}

static void trimming_keeps_what_a_handler_is_writing(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(8000, 9);
    assert_ptr_equal(rth__cpu_slot_enter_sigsafe(rth__cpu_slot_cookie(slot), 9), slot);
    slot->frames[0] = 4711;
    rth__cpu_slot_give_locked(slot);
    rth__cpu_slots_trim();
    assert_true(slot->frames[0] == 4711);
    rth__cpu_slot_leave_sigsafe(slot);
    rth__cpu_slots_trim();
    assert_true(slot->frames[0] == 0);
}

static void a_new_bearer_inherits_nothing(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(9000, 9);
    atomic_store(&slot->stack_high, 1);
    atomic_store(&slot->seen_sp, 1);
    atomic_store(&slot->periods, 1);
    atomic_store(&slot->frame_count, 1);
    atomic_store(&slot->unanswered, 1);
    slot->masked = slot->filtered = slot->looked = slot->is_active = true;
    rth__cpu_slot_give_locked(slot);
    assert_ptr_equal(rth__cpu_slot_take_locked(9001), slot);
    assert_int_equal(slot->timer_id, RTH_CPU_NO_TIMER);
    assert_int_equal(slot->stack_high + slot->seen_sp + slot->periods, 0);
    assert_int_equal(slot->frame_count + slot->unanswered, 0);
    assert_false(slot->masked || slot->filtered || slot->looked || slot->is_active);
    rth__cpu_slot_give_locked(slot);
}

static void count_slot(struct rth_cpu_slot *slot, void *userdata)
{
    (void)slot;
    ++*(int *)userdata;
}

static int count_slots(void)
{
    int count = 0;
    uint32_t place = 0;
    while (rth__cpu_slots_some_locked(&place, count_slot, &count))
        ;
    return count;
}

static void slots_are_visited_some_at_a_time(void **state)
{
    (void)state;
    struct rth_cpu_slot *slots[300];
    for (int i = 0; i < 300; i++)
        slots[i] = take(11000 + i, i);
    int count = 0;
    uint32_t place = 0;
    assert_true(rth__cpu_slots_some_locked(&place, count_slot, &count));
    assert_true(count > 0 && count < 100);
    while (rth__cpu_slots_some_locked(&place, count_slot, &count))
        ;
    assert_int_equal(count, 300);
    for (int i = 0; i < 300; i++)
        rth__cpu_slot_give_locked(slots[i]);
}

/* Memory stays bounded: the many do without, and borrow frames for the time of a handler. */
static void only_the_first_thousand_have_memory_of_their_own(void **state)
{
    (void)state;
    enum { MANY = 3000, LENT_MAX = 4096 };
    static struct rth_cpu_slot *slots[MANY];
    static rth_frame *lent[LENT_MAX];
    int own = 0;
    for (int i = 0; i < MANY; i++) {
        slots[i] = take(20000 + i, i);
        assert_true((slots[i]->frames == NULL) == (slots[i]->cache == NULL));
        own += slots[i]->frames != NULL;
    }
    assert_true(own > 0 && own <= 1024);
    for (int i = 0; i < MANY; i++)
        rth__cpu_slot_give_locked(slots[i]);
    rth__cpu_slots_trim();
    int count = 0;
    while ((lent[count] = rth__cpu_frames_borrow_sigsafe()) != NULL)
        lent[count++][RTH_UNWIND_FRAMES_MAX - 1] = 1;
    assert_true(count >= 16);
    rth__cpu_frames_return_sigsafe(lent[7]);
    assert_ptr_equal(rth__cpu_frames_borrow_sigsafe(), lent[7]);
    for (int i = 0; i < count; i++)
        rth__cpu_frames_return_sigsafe(lent[i]);
}

static void a_child_begins_with_no_slots(void **state)
{
    (void)state;
    struct rth_cpu_slot *slot = take(10000, 9);
    uint32_t cookie = rth__cpu_slot_cookie(slot);
    pid_t pid = fork();
    if (pid == 0) {
        bool fine = rth__cpu_slot_enter_sigsafe(cookie, 9) == NULL; /* reads as zero */
        rth__cpu_slots_child_reset();
        fine = fine && count_slots() == 0 && rth__cpu_slot_find_locked(10000) == NULL &&
               rth__cpu_slot_take_locked(10000) != NULL;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(count_slots(), 1);
    rth__cpu_slot_give_locked(slot);
}

RTH_TEST_MAIN(cmocka_unit_test(a_slot_is_found_by_its_thread_until_it_is_given),
              cmocka_unit_test(a_cookie_leads_to_its_slot_and_to_no_later_bearer),
              cmocka_unit_test(a_cookie_that_has_come_around_needs_its_timer_too),
              cmocka_unit_test(cookies_of_no_slot_lead_nowhere),
              cmocka_unit_test(a_slot_is_not_used_again_while_a_handler_is_in_it),
              cmocka_unit_test(trimming_keeps_what_a_handler_is_writing),
              cmocka_unit_test(a_new_bearer_inherits_nothing),
              cmocka_unit_test(slots_are_visited_some_at_a_time),
              cmocka_unit_test(only_the_first_thousand_have_memory_of_their_own),
              cmocka_unit_test(a_child_begins_with_no_slots))
