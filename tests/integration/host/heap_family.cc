/* SPDX-License-Identifier: MIT */
/*
 * Every way to allocate, each three times at a site of its own, with sizes that are known:
 * `heap_family KIND…`, KIND one of c, cxx, jemalloc, tcmalloc, mimalloc, or (what not every
 * allocator has or does well) reallocarray, pvalloc, realloc0, sized, thrown. Prints "SITE BYTES
 * ALLOCS" per site, "ready" and waits for a line; frees everything, prints "freed" and waits for
 * another. What an allocator exports beside malloc is asked for as programs do that can do without
 * it: by weak symbols; a site whose symbol is missing prints "SITE missing".
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <malloc.h>

#define WEAK __attribute__((weak))

extern "C" {
WEAK void *mallocx(size_t, int);
WEAK void *rallocx(void *, size_t, int);
WEAK size_t xallocx(void *, size_t, size_t, int);
WEAK void dallocx(void *, int);
WEAK void sdallocx(void *, size_t, int);

WEAK void *tc_malloc(size_t);
WEAK void *tc_calloc(size_t, size_t);
WEAK void *tc_realloc(void *, size_t);
WEAK void *tc_memalign(size_t, size_t);
WEAK int tc_posix_memalign(void **, size_t, size_t);
WEAK void *tc_valloc(size_t);
WEAK void *tc_new(size_t);
WEAK void *tc_newarray(size_t);
WEAK void *tc_new_nothrow(size_t, const std::nothrow_t &);
WEAK void *tc_new_aligned(size_t, std::align_val_t);
WEAK void tc_free(void *);
WEAK void tc_free_sized(void *, size_t);
WEAK void tc_delete(void *);
WEAK void tc_deletearray(void *);
WEAK void tc_delete_sized(void *, size_t);
WEAK void tc_delete_aligned(void *, std::align_val_t);

WEAK void *mi_malloc(size_t);
WEAK void *mi_malloc_small(size_t);
WEAK void *mi_zalloc(size_t);
WEAK void *mi_calloc(size_t, size_t);
WEAK void *mi_mallocn(size_t, size_t);
WEAK void *mi_realloc(void *, size_t);
WEAK void *mi_rezalloc(void *, size_t);
WEAK void *mi_recalloc(void *, size_t, size_t);
WEAK void *mi_malloc_aligned(size_t, size_t);
WEAK void *mi_zalloc_aligned(size_t, size_t);
WEAK void *mi_realloc_aligned(void *, size_t, size_t);
WEAK void *mi_memalign(size_t, size_t);
WEAK int mi_posix_memalign(void **, size_t, size_t);
WEAK void *mi_new(size_t);
WEAK void *mi_new_aligned(size_t, size_t);
WEAK char *mi_strdup(const char *);
WEAK char *mi_strndup(const char *, size_t);
WEAK void mi_free(void *);
WEAK void mi_free_size(void *, size_t);
WEAK void mi_free_aligned(void *, size_t);
WEAK void free_sized(void *, size_t);
WEAK void free_aligned_sized(void *, size_t, size_t);
}

namespace
{

typedef void release(void *block, size_t bytes);

struct site {
    const char *kind, *name;
    size_t bytes;
    int allocs; /* per call */
    bool is_zero, is_there;
    size_t alignment;
    void *(*allocate)();
    release *give_back;
};

/* jemalloc's flags: log2 of the alignment, and 64 for zeroes. */
const int ALIGN_256 = 8, ZERO = 64;

void *stored(int error, void *const &block)
{
    return error == 0 ? block : nullptr;
}

void plain_free(void *block, size_t)
{
    std::free(block);
}

void any_free_sized(void *block, size_t bytes)
{
    free_sized(block, bytes);
}

void any_free_aligned_sized(void *block, size_t bytes)
{
    free_aligned_sized(block, 64, bytes);
}

/* The program is built without what the compiler knows of these functions. */
#define BODY(NAME, EXPRESSION)                                                                     \
    extern "C" __attribute__((noinline)) void *site_##NAME()                                       \
    {                                                                                              \
        void *block = (EXPRESSION);                                                                \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }

/* ---- C ---- */
BODY(malloc, std::malloc(100))
BODY(calloc, std::calloc(3, 67))
BODY(realloc_new, std::realloc(nullptr, 302))
BODY(realloc_grown, std::realloc(std::malloc(40), 70001))
BODY(realloc_shrunk, std::realloc(std::malloc(9000), 55))
BODY(reallocarray, reallocarray(std::malloc(40), 7, 101))
BODY(memalign, memalign(256, 1003))
BODY(aligned_alloc, aligned_alloc(64, 640))
BODY(valloc, valloc(701))
BODY(pvalloc, pvalloc(801))
BODY(large, std::malloc(3000001))
BODY(page, std::malloc(4096))
BODY(for_free_sized, std::malloc(118))
BODY(for_free_aligned_sized, aligned_alloc(64, 192))
extern "C" __attribute__((noinline)) void *site_posix_memalign()
{
    void *block = nullptr;
    return stored(posix_memalign(&block, 512, 2001), block);
}
extern "C" __attribute__((noinline)) void *site_realloc_failed()
{
    void *block = std::malloc(123);
    void *moved = std::realloc(block, PTRDIFF_MAX - 4096);
    if (moved != nullptr)
        std::abort();
    return block;
}
extern "C" __attribute__((noinline)) void *site_realloc_to_nothing()
{
    void *block = std::realloc(std::malloc(124), 0);
    std::free(block);
    return std::malloc(125);
}

/* ---- C++ ---- */
struct alignas(128) wide {
    char bytes[384];
};
BODY(new, ::operator new(110))
BODY(new_array, ::operator new[](111))
BODY(new_nothrow, ::operator new(112, std::nothrow))
BODY(new_array_nothrow, ::operator new[](113, std::nothrow))
BODY(new_aligned, ::operator new(256, std::align_val_t(128)))
BODY(new_array_aligned, ::operator new[](512, std::align_val_t(128)))
BODY(new_aligned_nothrow, ::operator new(768, std::align_val_t(128), std::nothrow))
BODY(new_array_aligned_nothrow, ::operator new[](1024, std::align_val_t(128), std::nothrow))
BODY(new_sized_delete, ::operator new(114))
BODY(new_array_sized_delete, ::operator new[](115))
BODY(new_aligned_sized_delete, ::operator new(1280, std::align_val_t(128)))
BODY(new_object, new wide)
extern "C" __attribute__((noinline)) void *site_new_thrown()
{
    try {
        return ::operator new(PTRDIFF_MAX - 4096);
    } catch (const std::bad_alloc &) {
        return ::operator new(116);
    }
}

/* ---- jemalloc ---- */
BODY(mallocx, mallocx(200, 0))
BODY(mallocx_aligned, mallocx(201, ALIGN_256))
BODY(mallocx_zero, mallocx(202, ZERO))
BODY(rallocx, rallocx(mallocx(64, 0), 50003, 0))
BODY(for_sdallocx, mallocx(208, 0))
extern "C" __attribute__((noinline)) void *site_xallocx()
{
    void *block = mallocx(16384, 0);
    if (xallocx(block, 16384, 0, 0) != malloc_usable_size(block))
        std::abort();
    return block;
}

/* ---- tcmalloc ---- */
BODY(tc_malloc, tc_malloc(300))
BODY(tc_calloc, tc_calloc(3, 103))
BODY(tc_realloc, tc_realloc(tc_malloc(31), 40001))
BODY(tc_memalign, tc_memalign(256, 303))
BODY(tc_valloc, tc_valloc(304))
BODY(tc_new, tc_new(305))
BODY(tc_newarray, tc_newarray(306))
BODY(tc_new_nothrow, tc_new_nothrow(307, std::nothrow))
BODY(tc_new_aligned, tc_new_aligned(384, std::align_val_t(128)))
BODY(for_tc_free_sized, tc_malloc(308))
BODY(for_tc_delete_sized, tc_new(309))
extern "C" __attribute__((noinline)) void *site_tc_posix_memalign()
{
    void *block = nullptr;
    return stored(tc_posix_memalign(&block, 512, 2003), block);
}

/* ---- mimalloc ---- */
BODY(mi_malloc, mi_malloc(400))
BODY(mi_malloc_small, mi_malloc_small(401))
BODY(mi_zalloc, mi_zalloc(402))
BODY(mi_calloc, mi_calloc(3, 135))
BODY(mi_mallocn, mi_mallocn(3, 137))
BODY(mi_realloc, mi_realloc(mi_malloc(41), 40003))
BODY(mi_rezalloc, mi_rezalloc(mi_zalloc(41), 40005))
BODY(mi_recalloc, mi_recalloc(mi_calloc(2, 41), 3, 40007))
BODY(mi_malloc_aligned, mi_malloc_aligned(410, 256))
BODY(mi_zalloc_aligned, mi_zalloc_aligned(411, 256))
BODY(mi_realloc_aligned, mi_realloc_aligned(mi_malloc_aligned(41, 256), 40009, 256))
BODY(mi_memalign, mi_memalign(256, 412))
BODY(mi_new, mi_new(413))
BODY(mi_new_aligned, mi_new_aligned(414, 256))
BODY(mi_strdup, mi_strdup("nine char"))
BODY(mi_strndup, mi_strndup("nine char and more", 9))
BODY(for_mi_free_size, mi_malloc(415))
BODY(for_mi_free_aligned, mi_malloc_aligned(416, 256))
extern "C" __attribute__((noinline)) void *site_mi_posix_memalign()
{
    void *block = nullptr;
    return stored(mi_posix_memalign(&block, 512, 2005), block);
}

#define RELEASE(NAME, CALL)                                                                        \
    void NAME(void *block, size_t bytes)                                                           \
    {                                                                                              \
        (void)bytes;                                                                               \
        CALL;                                                                                      \
    }
RELEASE(by_delete, ::operator delete(block))
RELEASE(by_delete_array, ::operator delete[](block))
RELEASE(by_delete_nothrow, ::operator delete(block, std::nothrow))
RELEASE(by_delete_array_nothrow, ::operator delete[](block, std::nothrow))
RELEASE(by_delete_aligned, ::operator delete(block, std::align_val_t(128)))
RELEASE(by_delete_array_aligned, ::operator delete[](block, std::align_val_t(128)))
RELEASE(by_delete_aligned_nothrow, ::operator delete(block, std::align_val_t(128), std::nothrow))
RELEASE(by_delete_array_aligned_nothrow,
        ::operator delete[](block, std::align_val_t(128), std::nothrow))
RELEASE(by_delete_sized, ::operator delete(block, bytes))
RELEASE(by_delete_array_sized, ::operator delete[](block, bytes))
RELEASE(by_delete_aligned_sized, ::operator delete(block, bytes, std::align_val_t(128)))
RELEASE(by_delete_object, delete static_cast<wide *>(block))
RELEASE(by_dallocx, dallocx(block, 0))
RELEASE(by_sdallocx, sdallocx(block, bytes, 0))
RELEASE(by_tc_free, tc_free(block))
RELEASE(by_tc_free_sized, tc_free_sized(block, bytes))
RELEASE(by_tc_delete, tc_delete(block))
RELEASE(by_tc_deletearray, tc_deletearray(block))
RELEASE(by_tc_delete_sized, tc_delete_sized(block, bytes))
RELEASE(by_tc_delete_aligned, tc_delete_aligned(block, std::align_val_t(128)))
RELEASE(by_mi_free, mi_free(block))
RELEASE(by_mi_free_size, mi_free_size(block, bytes))
RELEASE(by_mi_free_aligned, mi_free_aligned(block, 256))

#define SITE(KIND, NAME, BYTES, ALLOCS, ZEROED, ALIGNMENT, THERE, GIVE_BACK)                       \
    {                                                                                              \
        KIND, "site_" #NAME, BYTES, ALLOCS, ZEROED, (THERE) != nullptr, ALIGNMENT, site_##NAME,    \
            GIVE_BACK                                                                              \
    }
#define C(NAME, BYTES, ALLOCS, ZEROED, ALIGNMENT)                                                  \
    SITE("c", NAME, BYTES, ALLOCS, ZEROED, ALIGNMENT, plain_free, plain_free)
#define CXX(NAME, BYTES, ALIGNMENT, GIVE_BACK)                                                     \
    SITE("cxx", NAME, BYTES, 1, false, ALIGNMENT, plain_free, GIVE_BACK)

const site sites[] = {
    C(malloc, 100, 1, false, 16),
    C(calloc, 201, 1, true, 16),
    C(realloc_new, 302, 1, false, 16),
    C(realloc_grown, 70001, 2, false, 16),
    C(realloc_shrunk, 55, 2, false, 16),
    C(realloc_failed, 123, 1, false, 16),
    C(memalign, 1003, 1, false, 256),
    C(aligned_alloc, 640, 1, false, 64),
    C(posix_memalign, 2001, 1, false, 512),
    C(valloc, 701, 1, false, 4096),
    C(large, 3000001, 1, false, 16),
    C(page, 4096, 1, false, 16),
    SITE("reallocarray", reallocarray, 707, 2, false, 16, plain_free, plain_free),
    SITE("pvalloc", pvalloc, 801, 1, false, 4096, plain_free, plain_free),
    SITE("realloc0", realloc_to_nothing, 125, 2, false, 16, plain_free, plain_free),
    SITE("sized", for_free_sized, 118, 1, false, 16, free_sized, any_free_sized),
    SITE("sized", for_free_aligned_sized, 192, 1, false, 64, free_aligned_sized,
         any_free_aligned_sized),
    CXX(new, 110, 16, by_delete),
    CXX(new_array, 111, 16, by_delete_array),
    CXX(new_nothrow, 112, 16, by_delete_nothrow),
    CXX(new_array_nothrow, 113, 16, by_delete_array_nothrow),
    CXX(new_aligned, 256, 128, by_delete_aligned),
    CXX(new_array_aligned, 512, 128, by_delete_array_aligned),
    CXX(new_aligned_nothrow, 768, 128, by_delete_aligned_nothrow),
    CXX(new_array_aligned_nothrow, 1024, 128, by_delete_array_aligned_nothrow),
    CXX(new_sized_delete, 114, 16, by_delete_sized),
    CXX(new_array_sized_delete, 115, 16, by_delete_array_sized),
    CXX(new_aligned_sized_delete, 1280, 128, by_delete_aligned_sized),
    CXX(new_object, sizeof(wide), 128, by_delete_object),
    SITE("thrown", new_thrown, 116, 2, false, 16, plain_free, by_delete),
    SITE("jemalloc", mallocx, 200, 1, false, 16, mallocx, by_dallocx),
    SITE("jemalloc", mallocx_aligned, 201, 1, false, 256, mallocx, by_dallocx),
    SITE("jemalloc", mallocx_zero, 202, 1, true, 16, mallocx, by_dallocx),
    SITE("jemalloc", rallocx, 50003, 2, false, 16, rallocx, by_dallocx),
    SITE("jemalloc", for_sdallocx, 208, 1, false, 16, sdallocx, by_sdallocx),
    SITE("jemalloc", xallocx, 16384, 1, false, 16, xallocx, by_dallocx),
    SITE("tcmalloc", tc_malloc, 300, 1, false, 16, tc_malloc, by_tc_free),
    SITE("tcmalloc", tc_calloc, 309, 1, true, 16, tc_calloc, by_tc_free),
    SITE("tcmalloc", tc_realloc, 40001, 2, false, 16, tc_realloc, by_tc_free),
    SITE("tcmalloc", tc_memalign, 303, 1, false, 256, tc_memalign, by_tc_free),
    SITE("tcmalloc", tc_posix_memalign, 2003, 1, false, 512, tc_posix_memalign, by_tc_free),
    SITE("tcmalloc", tc_valloc, 304, 1, false, 4096, tc_valloc, by_tc_free),
    SITE("tcmalloc", tc_new, 305, 1, false, 16, tc_new, by_tc_delete),
    SITE("tcmalloc", tc_newarray, 306, 1, false, 16, tc_newarray, by_tc_deletearray),
    SITE("tcmalloc", tc_new_nothrow, 307, 1, false, 16, tc_new_nothrow, by_tc_delete),
    SITE("tcmalloc", tc_new_aligned, 384, 1, false, 128, tc_new_aligned, by_tc_delete_aligned),
    SITE("tcmalloc", for_tc_free_sized, 308, 1, false, 16, tc_free_sized, by_tc_free_sized),
    SITE("tcmalloc", for_tc_delete_sized, 309, 1, false, 16, tc_delete_sized, by_tc_delete_sized),
    SITE("mimalloc", mi_malloc, 400, 1, false, 16, mi_malloc, by_mi_free),
    SITE("mimalloc", mi_malloc_small, 401, 1, false, 16, mi_malloc_small, by_mi_free),
    SITE("mimalloc", mi_zalloc, 402, 1, true, 16, mi_zalloc, by_mi_free),
    SITE("mimalloc", mi_calloc, 405, 1, true, 16, mi_calloc, by_mi_free),
    SITE("mimalloc", mi_mallocn, 411, 1, false, 16, mi_mallocn, by_mi_free),
    SITE("mimalloc", mi_realloc, 40003, 2, false, 16, mi_realloc, by_mi_free),
    SITE("mimalloc", mi_rezalloc, 40005, 2, true, 16, mi_rezalloc, by_mi_free),
    SITE("mimalloc", mi_recalloc, 120021, 2, true, 16, mi_recalloc, by_mi_free),
    SITE("mimalloc", mi_malloc_aligned, 410, 1, false, 256, mi_malloc_aligned, by_mi_free),
    SITE("mimalloc", mi_zalloc_aligned, 411, 1, true, 256, mi_zalloc_aligned, by_mi_free),
    SITE("mimalloc", mi_realloc_aligned, 40009, 2, false, 256, mi_realloc_aligned, by_mi_free),
    SITE("mimalloc", mi_memalign, 412, 1, false, 256, mi_memalign, by_mi_free),
    SITE("mimalloc", mi_posix_memalign, 2005, 1, false, 512, mi_posix_memalign, by_mi_free),
    SITE("mimalloc", mi_new, 413, 1, false, 16, mi_new, by_mi_free),
    SITE("mimalloc", mi_new_aligned, 414, 1, false, 256, mi_new_aligned, by_mi_free),
    SITE("mimalloc", mi_strdup, 10, 1, false, 1, mi_strdup, by_mi_free),
    SITE("mimalloc", mi_strndup, 10, 1, false, 1, mi_strndup, by_mi_free),
    SITE("mimalloc", for_mi_free_size, 415, 1, false, 16, mi_free_size, by_mi_free_size),
    SITE("mimalloc", for_mi_free_aligned, 416, 1, false, 256, mi_free_aligned, by_mi_free_aligned),
};
const size_t SITES = sizeof(sites) / sizeof(sites[0]);
const int TIMES = 3;
void *blocks[SITES][TIMES];

bool wanted(const site &site, char **kinds)
{
    for (; *kinds != nullptr; kinds++)
        if (std::strcmp(site.kind, *kinds) == 0)
            return true;
    return false;
}

void allocate(size_t index)
{
    const site &site = sites[index];
    for (int i = 0; i < TIMES; i++) {
        /* What was there before must not pass for zeroes. */
        void *dirt = std::malloc(site.bytes);
        std::memset(dirt, 0x5a, site.bytes);
        __asm__ volatile("" : "+r"(dirt));
        std::free(dirt);
        unsigned char *block = static_cast<unsigned char *>(site.allocate());
        if (block == nullptr || reinterpret_cast<uintptr_t>(block) % site.alignment != 0) {
            std::printf("%s gives %p\n", site.name, static_cast<void *>(block));
            std::exit(1);
        }
        for (size_t at = 0; site.is_zero && at < site.bytes; at++)
            if (block[at] != 0) {
                std::printf("%s is not zero at %zu\n", site.name, at);
                std::exit(1);
            }
        std::memset(block, 0xa5, site.bytes);
        blocks[index][i] = block;
    }
    std::printf("%s %zu %d\n", site.name, site.bytes * TIMES, site.allocs * TIMES);
}

void wait_for_line(const char *word)
{
    std::puts(word);
    std::fflush(stdout);
    while (std::getchar() != '\n')
        if (std::feof(stdin))
            std::exit(2);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    for (size_t i = 0; i < SITES; i++) {
        if (!wanted(sites[i], argv + 1))
            continue;
        if (sites[i].is_there)
            allocate(i);
        else
            std::printf("%s missing\n", sites[i].name);
    }
    wait_for_line("ready");
    for (size_t i = 0; i < SITES; i++)
        for (void *block : blocks[i])
            if (block != nullptr)
                sites[i].give_back(block, sites[i].bytes);
    wait_for_line("freed");
    std::puts("end");
    return 0;
}
