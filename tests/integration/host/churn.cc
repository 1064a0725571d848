/* SPDX-License-Identifier: MIT */
/*
 * Threads that do what is hard on a profiler: `churn SECONDS LIBRARY` loops over dlopen and
 * dlclose, throw and catch, fork, exec in children, pthread_create and exit, swapcontext fibers,
 * each in threads of its own. Every second it prints "alive" and how often each loop went around;
 * at the end "done". Exit status 0 when every answer was what it should be.
 */
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <stdexcept>

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

namespace
{

std::atomic<bool> stop;
enum Loop { LOADS, THROWS, FORKS, EXECS, THREADS, FIBERS, LOOPS };
const char *const loop_name[LOOPS] = {"loads", "throws", "forks", "execs", "threads", "fibers"};
std::atomic<unsigned long> rounds[LOOPS];
const char *library;

[[noreturn]] void fail(const char *what)
{
    std::perror(what);
    std::fflush(nullptr);
    _exit(3);
}

void burn(int times)
{
    volatile unsigned long sink = 1;
    for (int i = 0; i < times; i++)
        sink = sink * 6364136223846793005u + 1;
}

void load()
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr)
        fail("dlopen");
    if (dlsym(handle, "no_such_symbol") != nullptr || dlsym(RTLD_DEFAULT, "malloc") == nullptr)
        fail("dlsym");
    burn(2000);
    if (dlclose(handle) != 0)
        fail("dlclose");
}

__attribute__((noinline)) int deep(int depth)
{
    if (depth == 0)
        throw std::runtime_error("bottom");
    burn(50);
    return deep(depth - 1) + 1;
}

void throw_and_catch()
{
    try {
        (void)deep(20);
        fail("no exception");
    } catch (const std::runtime_error &) {
    }
}

void reap(pid_t pid, int expected)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != expected)
        fail("a child's status");
}

void fork_one()
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        burn(20000);
        _exit(7);
    }
    reap(pid, 7);
}

void exec_one()
{
    pid_t pid = rounds[EXECS] % 2 == 0 ? fork() : vfork();
    if (pid < 0)
        fail("fork to exec");
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", static_cast<char *>(nullptr));
        _exit(10);
    }
    reap(pid, 9);
}

void *short_thread(void *argument)
{
    burn(3000);
    if (argument != nullptr)
        pthread_exit(argument);
    return argument;
}

void create_and_join()
{
    pthread_t threads[4];
    for (pthread_t &thread : threads)
        if (pthread_create(&thread, nullptr, short_thread, &thread == threads ? &thread : nullptr))
            fail("pthread_create");
    for (pthread_t &thread : threads)
        if (pthread_join(thread, nullptr))
            fail("pthread_join");
}

constexpr size_t FIBER_BYTES = 64 * 1024, PAGE = 4096;
thread_local ucontext_t outside, inside;

void fiber()
{
    for (;;) {
        burn(1000);
        swapcontext(&inside, &outside);
    }
}

/* On a stack between two guard pages, which is gone afterwards. */
void run_fiber()
{
    char *stack = static_cast<char *>(
        mmap(nullptr, FIBER_BYTES + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (stack == MAP_FAILED || mprotect(stack + PAGE, FIBER_BYTES, PROT_READ | PROT_WRITE) != 0)
        fail("the stack of a fiber");
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack + PAGE;
    inside.uc_stack.ss_size = FIBER_BYTES;
    inside.uc_link = nullptr;
    makecontext(&inside, fiber, 0);
    for (int i = 0; i < 50; i++)
        swapcontext(&outside, &inside);
    munmap(stack, FIBER_BYTES + 2 * PAGE);
}

void *loop(void *argument)
{
    static void (*const bodies[LOOPS])() = {load,     throw_and_catch, fork_one,
                                            exec_one, create_and_join, run_fiber};
    long which = reinterpret_cast<long>(argument);
    while (!stop) {
        bodies[which]();
        rounds[which]++;
    }
    return nullptr;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    library = argv[2];
    pthread_t threads[2 * LOOPS];
    for (long i = 0; i < 2 * LOOPS; i++)
        if (pthread_create(&threads[i], nullptr, loop, reinterpret_cast<void *>(i % LOOPS)))
            fail("pthread_create");
    long seconds = std::strtol(argv[1], nullptr, 10);
    for (long i = 0; i < seconds; i++) {
        struct timespec second = {1, 0};
        if (nanosleep(&second, nullptr) != 0)
            fail("nanosleep");
        std::printf("alive");
        for (int which = 0; which < LOOPS; which++)
            std::printf(" %s=%lu", loop_name[which], rounds[which].load());
        std::printf("\n");
        std::fflush(stdout);
    }
    stop = true;
    for (pthread_t &thread : threads)
        if (pthread_join(thread, nullptr))
            fail("pthread_join");
    std::printf("done\n");
    return 0;
}
