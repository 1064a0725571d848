/* SPDX-License-Identifier: MIT */
/* A plugin in C++ for a program in C: its constructor waits for a thread that is the first in the
 * process to use operator new, and a block that cannot be had throws. */
#include <cstdint>
#include <new>

#include <pthread.h>

namespace
{

bool worked;

void *first_new(void *)
{
    int *block = new int[100];
    __asm__ volatile("" : "+r"(block));
    delete[] block;
    worked = true;
    return nullptr;
}

__attribute__((constructor)) void begin()
{
    pthread_t thread;
    if (pthread_create(&thread, nullptr, first_new, nullptr) == 0)
        pthread_join(thread, nullptr);
}

} // namespace

extern "C" int plugin_run()
{
    if (!worked)
        return 1;
    volatile std::size_t all = PTRDIFF_MAX - 4096;
    int thrown = 0;
    try {
        ::operator delete(::operator new(all));
    } catch (const std::bad_alloc &) {
        thrown++;
    }
    try {
        ::operator delete(::operator new(all, std::align_val_t(64)), std::align_val_t(64));
    } catch (const std::bad_alloc &) {
        thrown++;
    }
    if (::operator new(all, std::nothrow) != nullptr)
        return 2;
    return thrown == 2 ? 0 : 3;
}
