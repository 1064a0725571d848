/* SPDX-License-Identifier: MIT */
/* mmap, munmap and mremap: the answers are libc's, and the runtime hears of what changed. */
#include "helper/unit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

#define PAGE     ((size_t)4096)
#define READABLE (PROT_READ | PROT_WRITE)
#define PRIVATE  (MAP_PRIVATE | MAP_ANONYMOUS)

/* Never inlined, so that the caller the runtime hears of lies in here. */
static __attribute__((noinline)) void *map_pages(size_t pages)
{
    void *mapped = mmap(NULL, pages * PAGE, READABLE, PRIVATE, -1, 0);
    assert_true(mapped != MAP_FAILED);
    return mapped;
}

static void anonymous_memory_is_told_of_with_its_caller(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    char *mapped = map_pages(3);
    mapped[3 * PAGE - 1] = 1;
    assert_int_equal(fake.maps_added, 1);
    assert_int_equal(fake.map.address, (uintptr_t)mapped);
    assert_int_equal(fake.map.bytes, 3 * PAGE);
    assert_true(fake.map.is_anonymous);
    assert_true(fake.map.caller > (uintptr_t)map_pages &&
                fake.map.caller < (uintptr_t)map_pages + 256);
    void *shared = mmap64(NULL, PAGE, READABLE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    assert_int_equal(fake.maps_added, 2);
    assert_true(fake.map.is_anonymous);
    assert_int_equal(munmap(shared, PAGE), 0);
    assert_int_equal(munmap(mapped, 3 * PAGE), 0);
}

static void a_file_is_told_of_as_no_memory(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(mapped != MAP_FAILED);
    assert_int_equal(fake.maps_added, 1);
    assert_false(fake.map.is_anonymous);
    assert_memory_equal(mapped, "\177ELF", 4);
    assert_int_equal(munmap(mapped, PAGE), 0);
    (void)close(fd);
}

static void the_mark_is_taken_before_memory_goes(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    void *mapped = map_pages(2);
    fake.marks = 40;
    assert_int_equal(munmap(mapped, PAGE + 1), 0);
    assert_int_equal(fake.marks, 41);
    assert_int_equal(fake.maps_removed, 1);
    assert_int_equal(fake.map.mark, 41);
    assert_int_equal(fake.map.address, (uintptr_t)mapped);
    assert_int_equal(fake.map.bytes, PAGE + 1);
}

static void failures_are_libcs_and_nobody_hears_of_them(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    void *mapped = map_pages(1);
    int told = fake.maps_added;
    errno = 0;
    assert_true(mmap(NULL, 0, READABLE, PRIVATE, -1, 0) == MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_true(mmap(NULL, PAGE, READABLE, MAP_PRIVATE, -1, 0) == MAP_FAILED);
    assert_int_equal(errno, EBADF);
    errno = 0;
    assert_true(mmap64(NULL, PAGE, READABLE, MAP_PRIVATE, 0, 1) == MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_int_equal(munmap((char *)mapped + 1, PAGE), -1);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_true(mremap((char *)mapped + 1, PAGE, PAGE, 0) == MAP_FAILED);
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_true(mremap(mapped, PAGE, (size_t)1 << 46, MREMAP_MAYMOVE) == MAP_FAILED);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fake.maps_added, told);
    assert_int_equal(fake.maps_removed, 0);
    assert_int_equal(fake.maps_moved, 0);
    assert_int_equal(munmap(mapped, PAGE), 0);
}

static void success_leaves_errno_alone(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    errno = 4321;
    void *mapped = mmap(NULL, PAGE, READABLE, PRIVATE, -1, 0);
    mapped = mremap(mapped, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    assert_int_equal(munmap(mapped, 2 * PAGE), 0);
    assert_int_equal(errno, 4321);
}

static void mremap_tells_both_places(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    char *mapped = map_pages(2);
    char *target = map_pages(4);
    mapped[0] = 'x';
    fake.known_map = (uintptr_t)mapped;
    char *moved = mremap(mapped, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    assert_true(moved == target);
    assert_int_equal(moved[0], 'x');
    assert_int_equal(fake.maps_moved, 1);
    assert_true(fake.map.known);
    assert_int_equal(fake.map.mark, fake.marks);
    assert_int_equal(fake.map.before, (uintptr_t)mapped);
    assert_int_equal(fake.map.before_bytes, 2 * PAGE);
    assert_int_equal(fake.map.address, (uintptr_t)target);
    assert_int_equal(fake.map.bytes, 4 * PAGE);
    assert_true(mremap(moved, 4 * PAGE, PAGE, 0) == moved);
    assert_false(fake.map.known);
    assert_int_equal(fake.map.before_bytes, 4 * PAGE);
    assert_int_equal(fake.map.bytes, PAGE);
    assert_int_equal(munmap(moved, PAGE), 0);
}

static void memory_that_stays_in_its_place_is_not_told_to_have_gone(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    char *mapped = map_pages(1);
    fake.known_map = (uintptr_t)mapped;
    char *second = mremap(mapped, PAGE, PAGE, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, NULL);
    if (second == MAP_FAILED)
        RTH_SKIP("this kernel does not know MREMAP_DONTUNMAP");
    assert_int_equal(fake.map.before_bytes, 0);
    assert_true(fake.map.known);
    mapped[0] = 1;
    assert_int_equal(munmap(mapped, PAGE), 0);
    assert_int_equal(munmap(second, PAGE), 0);
}

static void the_break_is_told_of_as_it_moves(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    char *before = sbrk(0);
    assert_int_equal(fake.maps_added + fake.marks, 0);
    assert_true(sbrk(3 * (intptr_t)PAGE) == before);
    before[3 * PAGE - 1] = 1;
    assert_int_equal(fake.maps_added, 1);
    assert_true(fake.map.is_anonymous);
    assert_int_equal(fake.map.address, (uintptr_t)before);
    assert_int_equal(fake.map.bytes, 3 * PAGE);
    assert_true(sbrk(-2 * (intptr_t)PAGE) == before + 3 * PAGE);
    assert_int_equal(fake.maps_removed, 1);
    assert_int_equal(fake.map.mark, fake.marks);
    assert_int_equal(fake.map.address, (uintptr_t)before + PAGE);
    assert_int_equal(fake.map.bytes, 2 * PAGE);
    errno = 0;
    assert_true(sbrk(INTPTR_MAX) == (void *)-1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fake.maps_added, 1);
    assert_true(sbrk(-(intptr_t)PAGE) == before + PAGE);
    assert_true(sbrk(0) == before);
}

static void without_a_runtime_calls_pass_through(void **state)
{
    (void)state;
    assert_int_equal(rth_interpose_attach(NULL, NULL), 0);
    (void)fake_runtime_new();
    void *mapped = map_pages(1);
    mapped = mremap(mapped, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    assert_true(mapped != MAP_FAILED);
    assert_int_equal(munmap(mapped, 3 * PAGE), 0);
    assert_int_equal(fake.marks + fake.maps_added + fake.maps_removed + fake.maps_moved, 0);
}

static void an_unadopted_child_tells_nothing(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    pid_t pid = fork();
    if (pid == 0) {
        void *mapped = mmap(NULL, PAGE, READABLE, PRIVATE, -1, 0);
        bool fine = mapped != MAP_FAILED && munmap(mapped, PAGE) == 0 && fake.maps_added == 0 &&
                    fake.maps_removed == 0 && fake.marks == 0;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void what_malloc_takes_from_the_kernel_does_not_come_here(void **state)
{
    (void)state;
    assert_int_equal(fake_runtime_attach(), 0);
    void *volatile block = malloc((size_t)64 << 20);
    assert_non_null(block);
    assert_int_equal(fake.maps_added, 0);
    free(block);
    assert_int_equal(fake.maps_removed, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(anonymous_memory_is_told_of_with_its_caller),
              cmocka_unit_test(a_file_is_told_of_as_no_memory),
              cmocka_unit_test(the_mark_is_taken_before_memory_goes),
              cmocka_unit_test(failures_are_libcs_and_nobody_hears_of_them),
              cmocka_unit_test(success_leaves_errno_alone),
              cmocka_unit_test(mremap_tells_both_places),
              cmocka_unit_test(memory_that_stays_in_its_place_is_not_told_to_have_gone),
              cmocka_unit_test(the_break_is_told_of_as_it_moves),
              cmocka_unit_test(without_a_runtime_calls_pass_through),
              cmocka_unit_test(an_unadopted_child_tells_nothing),
              cmocka_unit_test(what_malloc_takes_from_the_kernel_does_not_come_here))
