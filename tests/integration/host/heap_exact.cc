/* SPDX-License-Identifier: MIT */
/*
 * Every way to allocate and to free, each in a function of its own whose numbers are known to the
 * byte. At a line on standard input it does all and prints "site NAME ALLOC_OBJECTS ALLOC_SPACE
 * INUSE_OBJECTS INUSE_SPACE" per function, -1 for what its C++ runtime decides, and "done"; ends at
 * the next one.
 */
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <pthread.h>
#include <string>
#include <vector>

#define SITE extern "C" __attribute__((noinline)) void

/* What compilers may not look through. */
template <typename T> static T hide(T value)
{
    __asm__ volatile("" : "+r"(value) : : "memory");
    return value;
}

static const size_t too_many = hide(static_cast<size_t>(PTRDIFF_MAX));

static void expect(const char *name, long alloc_objects, long alloc_space, long inuse_objects,
                   long inuse_space)
{
    std::printf("site %s %ld %ld %ld %ld\n", name, alloc_objects, alloc_space, inuse_objects,
                inuse_space);
}

static void want(bool is_true, const char *what)
{
    if (!is_true) {
        std::printf("wrong: %s\n", what);
        std::exit(3);
    }
}

/* ---- C -----------------------------------------------------------------------------------------
 */

SITE by_malloc()
{
    void *freed = hide(std::malloc(1000));
    want(hide(std::malloc(1)) != nullptr && hide(std::malloc(0)) != nullptr &&
             hide(std::malloc(100000)) != nullptr && hide(std::malloc(3 << 20)) != nullptr,
         "malloc");
    want(hide(std::malloc(too_many)) == nullptr, "malloc of too many");
    std::free(freed);
    std::free(hide<void *>(nullptr));
}

SITE by_calloc()
{
    auto *block = hide(static_cast<unsigned char *>(std::calloc(3, 7)));
    want(block != nullptr && block[20] == 0, "calloc");
    want(hide(std::calloc(too_many, 4)) == nullptr, "calloc of too many");
    std::free(hide(std::calloc(100, 100)));
}

SITE by_realloc_that_grows()
{
    char *block = hide(static_cast<char *>(std::malloc(10)));
    std::strcpy(block, "grown");
    block = hide(static_cast<char *>(std::realloc(block, 10000)));
    want(std::strcmp(block, "grown") == 0, "realloc that grows");
}

SITE by_realloc_that_shrinks()
{
    want(hide(std::realloc(hide(std::malloc(1000)), 10)) != nullptr, "realloc that shrinks");
}

SITE by_realloc_in_place()
{
    void *block = hide(std::malloc(100));
    auto before = reinterpret_cast<uintptr_t>(block);
    block = hide(std::realloc(block, 101));
    want(reinterpret_cast<uintptr_t>(block) == before, "realloc in place");
}

SITE by_realloc_that_fails()
{
    void *block = hide(std::malloc(64)), *same = hide(block);
    want(hide(std::realloc(block, too_many)) == nullptr, "realloc that fails");
    want(hide(reallocarray(same, too_many, 4)) == nullptr, "reallocarray that fails");
}

SITE by_realloc_to_nothing()
{
    void *block = hide(std::malloc(64));
    want(hide(std::realloc(block, hide<size_t>(0))) == nullptr, "realloc to nothing");
}

SITE by_realloc_from_nothing()
{
    want(hide(std::realloc(hide<void *>(nullptr), 77)) != nullptr, "realloc from nothing");
}

SITE by_reallocarray()
{
    void *block = hide(reallocarray(hide<void *>(nullptr), 10, 12));
    block = hide(reallocarray(block, 100, 12));
    want(block != nullptr, "reallocarray");
}

SITE by_posix_memalign()
{
    void *kept = nullptr, *freed = nullptr;
    want(posix_memalign(&kept, 64, 1000) == 0, "posix_memalign");
    want(posix_memalign(&freed, 4096, 500) == 0, "posix_memalign");
    want(posix_memalign(&freed, hide<size_t>(3), 500) == EINVAL, "posix_memalign of a bad one");
    std::free(hide(freed));
}

SITE by_memalign()
{
    want(hide(memalign(32, 200)) != nullptr && hide(aligned_alloc(64, 640)) != nullptr, "memalign");
    std::free(hide(memalign(1 << 16, 10)));
}

SITE by_valloc()
{
    want(hide(valloc(10)) != nullptr && hide(pvalloc(5000)) != nullptr, "valloc");
}

SITE by_strdup()
{
    want(hide(strdup("hello")) != nullptr && hide(strndup("hello world", 4)) != nullptr, "strdup");
    std::free(hide(strdup("freed again")));
}

static size_t line_room;

SITE by_getline(FILE *file)
{
    char *line = nullptr;
    ssize_t length = getline(&line, &line_room, file);
    want(length == 1000 && line != nullptr, "getline");
}

SITE by_asprintf()
{
    char *text = nullptr;
    want(asprintf(&text, "%d", 12345) == 5, "asprintf");
}

static void by_lines_of_a_file()
{
    static char memory[1001], buffer[4096];
    std::memset(memory, 'x', 1000);
    memory[999] = '\n';
    FILE *file = fmemopen(memory, 1000, "r");
    (void)std::setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    by_getline(file);
    (void)std::fclose(file);
}

/* ---- C++ ---------------------------------------------------------------------------------------
 */

static const std::align_val_t aligned{128};

SITE by_new()
{
    want(hide(::operator new(100)) != nullptr, "new");
    ::operator delete(hide(::operator new(200)));
    ::operator delete(hide(::operator new(300)), 300);
    ::operator delete(hide(::operator new(400)), std::nothrow);
}

SITE by_new_array()
{
    want(hide(::operator new[](100)) != nullptr, "new[]");
    ::operator delete[](hide(::operator new[](200)));
    ::operator delete[](hide(::operator new[](300)), 300);
    ::operator delete[](hide(::operator new[](400)), std::nothrow);
}

SITE by_new_nothrow()
{
    want(hide(::operator new(100, std::nothrow)) != nullptr, "new nothrow");
    ::operator delete(hide(::operator new(200, std::nothrow)));
}

SITE by_new_array_nothrow()
{
    want(hide(::operator new[](100, std::nothrow)) != nullptr, "new[] nothrow");
    ::operator delete[](hide(::operator new[](200, std::nothrow)));
}

SITE by_new_aligned()
{
    want(hide(::operator new(128, aligned)) != nullptr, "new aligned");
    ::operator delete(hide(::operator new(256, aligned)), aligned);
    ::operator delete(hide(::operator new(384, aligned)), 384, aligned);
    ::operator delete(hide(::operator new(512, aligned)), aligned, std::nothrow);
}

SITE by_new_array_aligned()
{
    want(hide(::operator new[](128, aligned)) != nullptr, "new[] aligned");
    ::operator delete[](hide(::operator new[](256, aligned)), aligned);
    ::operator delete[](hide(::operator new[](384, aligned)), 384, aligned);
    ::operator delete[](hide(::operator new[](512, aligned)), aligned, std::nothrow);
}

SITE by_new_aligned_nothrow()
{
    want(hide(::operator new(128, aligned, std::nothrow)) != nullptr, "new aligned nothrow");
    ::operator delete(hide(::operator new(256, aligned, std::nothrow)), aligned);
}

SITE by_new_array_aligned_nothrow()
{
    want(hide(::operator new[](128, aligned, std::nothrow)) != nullptr, "new[] aligned nothrow");
    ::operator delete[](hide(::operator new[](256, aligned, std::nothrow)), aligned);
}

SITE by_new_that_throws()
{
    bool thrown = false;
    try {
        hide(::operator new(too_many));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    want(thrown && hide(::operator new(too_many, std::nothrow)) == nullptr, "new that throws");
}

static std::vector<int> *vector;

SITE by_vector()
{
    for (int i = 0; i < 1000; i++)
        vector->push_back(i);
}

static std::string *text;

SITE by_string()
{
    *text = std::string(hide<size_t>(500), 'x');
}

/* ---- threads -----------------------------------------------------------------------------------
 */

static void *blocks[1000];

SITE by_one_thread()
{
    for (void *&block : blocks)
        block = hide(std::malloc(40));
}

static void *frees_them(void *unused)
{
    for (void *block : blocks)
        std::free(block);
    return unused;
}

static void *grown;

SITE before_another_thread_moves_it()
{
    grown = hide(std::malloc(50));
}

SITE by_another_thread()
{
    grown = hide(std::realloc(grown, 5000));
}

static void *moves_it(void *unused)
{
    by_another_thread();
    return unused;
}

static pthread_key_t key;

SITE freed_in_a_destructor()
{
    (void)pthread_setspecific(key, hide(std::malloc(123)));
}

SITE by_a_destructor()
{
    want(hide(std::malloc(333)) != nullptr, "malloc in a destructor");
    std::free(hide(std::malloc(444)));
}

static void destroy(void *block)
{
    std::free(block);
    by_a_destructor();
}

struct holder {
    void *block = nullptr;
    ~holder()
    {
        std::free(block);
    }
};
static thread_local holder own;

SITE freed_in_a_cxx_destructor()
{
    own.block = hide(std::malloc(234));
}

static void *leaves_much(void *unused)
{
    freed_in_a_destructor();
    freed_in_a_cxx_destructor();
    return unused;
}

SITE by_main_freed_in_a_destructor()
{
    blocks[0] = hide(std::malloc(55));
}

static void *leaves_what_main_made(void *unused)
{
    (void)pthread_setspecific(key, blocks[0]);
    return unused;
}

static void on_a_thread(void *(*function)(void *))
{
    pthread_t thread;
    want(pthread_create(&thread, nullptr, function, nullptr) == 0, "pthread_create");
    want(pthread_join(thread, nullptr) == 0, "pthread_join");
}

static void wait_for_line(const char *said)
{
    (void)std::puts(said);
    (void)std::fflush(stdout);
    for (int c = std::getchar(); c != '\n' && c != EOF; c = std::getchar())
        ;
}

static void do_all()
{
    by_malloc();
    by_calloc();
    by_realloc_that_grows();
    by_realloc_that_shrinks();
    by_realloc_in_place();
    by_realloc_that_fails();
    by_realloc_to_nothing();
    by_realloc_from_nothing();
    by_reallocarray();
    by_posix_memalign();
    by_memalign();
    by_valloc();
    by_strdup();
    by_lines_of_a_file();
    by_asprintf();
    by_new();
    by_new_array();
    by_new_nothrow();
    by_new_array_nothrow();
    by_new_aligned();
    by_new_array_aligned();
    by_new_aligned_nothrow();
    by_new_array_aligned_nothrow();
    by_new_that_throws();
    by_vector();
    by_string();
    by_one_thread();
    on_a_thread(frees_them);
    before_another_thread_moves_it();
    on_a_thread(moves_it);
    on_a_thread(leaves_much);
    by_main_freed_in_a_destructor();
    on_a_thread(leaves_what_main_made);
}

static void expect_all()
{
    expect("by_malloc", 5, 1000 + 1 + 100000 + (3 << 20), 4, 1 + 100000 + (3 << 20));
    expect("by_calloc", 2, 21 + 10000, 1, 21);
    expect("by_realloc_that_grows", 2, 10010, 1, 10000);
    expect("by_realloc_that_shrinks", 2, 1010, 1, 10);
    expect("by_realloc_in_place", 2, 201, 1, 101);
    expect("by_realloc_that_fails", 1, 64, 1, 64);
    expect("by_realloc_to_nothing", 1, 64, 0, 0);
    expect("by_realloc_from_nothing", 1, 77, 1, 77);
    expect("by_reallocarray", 2, 1320, 1, 1200);
    expect("by_posix_memalign", 2, 1500, 1, 1000);
    expect("by_memalign", 3, 850, 2, 840);
    expect("by_valloc", 2, 5010, 2, 5010);
    expect("by_strdup", 3, 6 + 5 + 12, 2, 11);
    expect("by_getline", -1, -1, 1, static_cast<long>(line_room));
    expect("by_asprintf", -1, -1, 1, 6);
    for (const char *name : {"by_new", "by_new_array"})
        expect(name, 4, 1000, 1, 100);
    for (const char *name : {"by_new_nothrow", "by_new_array_nothrow"})
        expect(name, 2, 300, 1, 100);
    for (const char *name : {"by_new_aligned", "by_new_array_aligned"})
        expect(name, 4, 1280, 1, 128);
    for (const char *name : {"by_new_aligned_nothrow", "by_new_array_aligned_nothrow"})
        expect(name, 2, 384, 1, 128);
    expect("by_new_that_throws", -1, -1, 0, 0); /* exceptions */
    expect("by_vector", 11, 4 * 2047, 1, 4096);
    expect("by_string", 1, 501, 1, 501);
    expect("by_one_thread", 1000, 40000, 0, 0);
    expect("before_another_thread_moves_it", 1, 50, 0, 0);
    expect("by_another_thread", 1, 5000, 1, 5000);
    expect("freed_in_a_destructor", 1, 123, 0, 0);
    expect("freed_in_a_cxx_destructor", 2, -1, 0, 0); /* with the destructor's own record */
    expect("by_main_freed_in_a_destructor", 1, 55, 0, 0);
    expect("by_a_destructor", 4, 2 * 777, 2, 666);
}

int main()
{
    want(pthread_key_create(&key, destroy) == 0, "pthread_key_create");
    vector = new std::vector<int>();
    text = new std::string();
    wait_for_line("ready");
    do_all();
    expect_all();
    wait_for_line("done");
    return 0;
}
