/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/unit.h"
#include "record/facts.h"

static const struct rth_facts_header *header_of(const void *memory)
{
    uintptr_t page = (uintptr_t)memory & ~(uintptr_t)4095;
    while (*(const uint64_t *)page != RTH_FACTS_MAGIC)
        page -= 4096;
    return (const struct rth_facts_header *)page;
}

/* True when the directory has memory under that name. */
static bool is_listed(const struct rth_facts_header *header, const char *name, const void *memory)
{
    for (uint32_t i = 0; i < header->entry_count; i++)
        if (strcmp(header->entries[i].name, name) == 0 &&
            (const char *)header + header->entries[i].offset == memory)
            return true;
    return false;
}

static void what_is_reserved_does_not_overlap_and_is_zero(void **state)
{
    (void)state;
    char *one = rth__facts_reserve("one", 5000), *kept = rth__facts_reserve_inherited("kept", 100);
    char *two = rth__facts_reserve("two", 100);
    assert_non_null(one);
    assert_non_null(kept);
    assert_true(two >= one + 8192);
    assert_true(kept >= two + 4096);
    assert_true(is_listed(header_of(one), "kept", kept));
    for (size_t i = 0; i < 4096; i++)
        assert_int_equal(kept[i] | two[i], 0);
    assert_null(rth__facts_reserve("huge", RTH_FACTS_BYTES));
    assert_null(rth__facts_reserve_inherited("huge", SIZE_MAX));
}

static void what_is_left_is_handed_out_to_the_last_page(void **state)
{
    (void)state;
    assert_non_null(rth__facts_reserve_inherited("kept", 4096));
    size_t left = RTH_FACTS_BYTES - rth__facts_reserved_bytes();
    assert_null(rth__facts_reserve("more", left + 1));
    char *rest = rth__facts_reserve("rest", left);
    assert_non_null(rest);
    rest[left - 1] = 1;
    assert_null(rth__facts_reserve("page", 1));
    assert_null(rth__facts_reserve_inherited("page", 1));
    assert_int_equal(rth__facts_reserved_bytes(), RTH_FACTS_BYTES);
}

static void a_child_finds_the_inherited_part_alone_and_starts_over_beside_it(void **state)
{
    (void)state;
    char *record = rth__facts_reserve("record", 4096),
         *kept = rth__facts_reserve_inherited("kept", 4096);
    record[0] = kept[0] = 7;
    pid_t pid = fork();
    if (pid == 0) {
        bool fine = record[0] == 0 && kept[0] == 7;
        record[0] = 9; /* before adoption: forgotten by it */
        rth__facts_child_reset();
        char *own = rth__facts_reserve("own", 4096);
        fine = fine && own == record && own[0] == 0 && kept[0] == 7 &&
               is_listed(header_of(own), "kept", kept) && is_listed(header_of(own), "own", own) &&
               !is_listed(header_of(own), "record", record);
        kept[0] = 8;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(kept[0], 7);
    assert_int_equal(record[0], 7);
}

RTH_TEST_MAIN(cmocka_unit_test(what_is_reserved_does_not_overlap_and_is_zero),
              cmocka_unit_test(what_is_left_is_handed_out_to_the_last_page),
              cmocka_unit_test(a_child_finds_the_inherited_part_alone_and_starts_over_beside_it))
