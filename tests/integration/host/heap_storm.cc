/* SPDX-License-Identifier: MIT */
/*
 * Allocations in places that are hard on who watches them. `heap_storm MODE…`:
 *   threads N          N short threads, 50 at a time, which allocate and free in pthread keys'
 *                      destructors, all four rounds, and in those of thread_local objects
 *   signals MS         four threads allocate while a timer's signal at 1 kHz allocates on them, at
 *                      any instant (the allocator must be able to bear that)
 *   flagged MS         the same for any allocator: not while the thread itself is in an allocation
 *   maps MS            four threads map and unmap memory while the signal's handler does, and
 *                      allocates
 *   small MS           threads on the smallest stack there is allocate
 *   forks N KIND       N children by fork, _Fork or clone while eight threads allocate; each child
 *                      allocates and ends
 *   spawns N           N programs by posix_spawn and vfork, alternating, while threads allocate
 *   plain MS           four threads allocate, free, move and hand blocks over
 * Prints what it did as one line "done …", then waits for a line when it is called with "wait" as
 * the last argument. Every child has a watchdog; a child that hangs is named and ends the run with
 * status 1.
 */
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace
{

std::atomic<bool> stop;
std::atomic<unsigned long> rounds, handled, rounds_of_keys, objects_gone;

[[noreturn]] void fail(const char *what)
{
    std::printf("failed: %s (%d)\n", what, errno);
    std::fflush(stdout);
    _exit(1);
}

void keep(void *&block)
{
    __asm__ volatile("" : "+r"(block));
}

long resident_kib()
{
    long pages = 0;
    FILE *file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%*s %ld", &pages) != 1)
        fail("statm");
    std::fclose(file);
    return pages * 4;
}

/* ---- threads -------------------------------------------------------------------------------- */

const int KEYS = 3;
pthread_key_t keys[KEYS];

struct late {
    unsigned rounds;
    void *block;
};

extern "C" __attribute__((noinline)) void storm_key_destructor(void *value)
{
    late *mine = static_cast<late *>(value);
    std::free(mine->block);
    rounds_of_keys++;
    if (mine->rounds == 0) {
        std::free(mine);
        return;
    }
    late *next = static_cast<late *>(std::malloc(sizeof(late)));
    next->rounds = mine->rounds - 1;
    next->block = std::malloc(200 + mine->rounds);
    std::free(mine);
    for (pthread_key_t key : keys)
        if (pthread_getspecific(key) == nullptr) {
            pthread_setspecific(key, next);
            return;
        }
    fail("no free key");
}

struct local_object {
    std::string *text = nullptr;
    ~local_object()
    {
        delete text;
        std::vector<int> more(100);
        text = new std::string(more.size(), 'x');
        delete text;
        objects_gone++;
    }
};

extern "C" __attribute__((noinline)) void *storm_short_thread(void *handed)
{
    static thread_local local_object object;
    object.text = new std::string(64, 'a');
    for (pthread_key_t key : keys) {
        late *mine = static_cast<late *>(std::malloc(sizeof(late)));
        mine->rounds = 3;
        mine->block = std::calloc(1, 300);
        pthread_setspecific(key, mine);
    }
    std::free(handed);
    return std::malloc(48);
}

void short_threads(unsigned long count)
{
    const unsigned BATCH = 50;
    long early = 0;
    for (pthread_key_t &key : keys)
        if (pthread_key_create(&key, storm_key_destructor) != 0)
            fail("pthread_key_create");
    for (unsigned long done = 0; done < count; done += BATCH) {
        pthread_t threads[BATCH];
        for (pthread_t &thread : threads)
            if (pthread_create(&thread, nullptr, storm_short_thread, std::malloc(32)) != 0)
                fail("pthread_create");
        for (pthread_t &thread : threads) {
            void *handed;
            if (pthread_join(thread, &handed) != 0)
                fail("pthread_join");
            std::free(handed);
        }
        if (done < count / 4)
            early = resident_kib();
    }
    std::printf("done threads=%lu keys=%lu objects=%lu grown_kib=%ld\n", count,
                rounds_of_keys.load(), objects_gone.load(), resident_kib() - early);
}

/* ---- those who allocate --------------------------------------------------------------------- */

thread_local volatile sig_atomic_t inside;
bool flags_used;

extern "C" __attribute__((noinline)) void *storm_allocate(size_t bytes)
{
    inside = 1;
    void *block = std::malloc(bytes);
    keep(block);
    inside = 0;
    return block;
}

extern "C" __attribute__((noinline)) void storm_free(void *block)
{
    inside = 1;
    std::free(block);
    inside = 0;
}

std::atomic<void *> handed_over[64];

extern "C" __attribute__((noinline)) void *storm_worker(void *seed_value)
{
    unsigned long seed = reinterpret_cast<unsigned long>(seed_value) + 1;
    while (!stop) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        size_t bytes = (seed >> 33) % 2000 + 8;
        void *block = storm_allocate(bytes);
        if (block == nullptr)
            fail("malloc");
        std::memset(block, 1, bytes);
        if (seed >> 60 == 0) {
            inside = 1;
            void *moved = std::realloc(block, bytes * 3);
            keep(moved);
            inside = 0;
            if (moved == nullptr)
                fail("realloc");
            block = moved;
        }
        void *others = handed_over[(seed >> 20) % 64].exchange(block);
        storm_free(others);
        rounds++;
    }
    return nullptr;
}

struct crew {
    std::vector<pthread_t> threads;
    explicit crew(unsigned count, void *(*body)(void *) = storm_worker, long stack_bytes = 0)
    {
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        if (stack_bytes != 0)
            pthread_attr_setstacksize(&attributes, static_cast<size_t>(stack_bytes));
        for (unsigned long i = 0; i < count; i++) {
            pthread_t thread;
            if (pthread_create(&thread, &attributes, body, reinterpret_cast<void *>(i)) != 0)
                fail("pthread_create");
            threads.push_back(thread);
        }
    }
    ~crew()
    {
        stop = true;
        for (pthread_t thread : threads)
            pthread_join(thread, nullptr);
        for (std::atomic<void *> &block : handed_over)
            std::free(block.exchange(nullptr));
    }
};

void sleep_ms(long ms)
{
    timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

/* ---- signals -------------------------------------------------------------------------------- */

extern "C" __attribute__((noinline)) void storm_handler(int)
{
    int saved_errno = errno;
    if (!flags_used || !inside) {
        void *block = std::malloc(77);
        keep(block);
        std::free(block);
        handled++;
    }
    errno = saved_errno;
}

void *signaller(void *threads_value)
{
    const auto &threads = *static_cast<std::vector<pthread_t> *>(threads_value);
    for (size_t i = 0; !stop; i++) {
        (void)pthread_kill(threads[i % threads.size()], SIGUSR1);
        timespec pause = {0, 250000};
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    return nullptr;
}

void signals(long ms, bool flagged)
{
    flags_used = flagged;
    struct sigaction action = {};
    action.sa_handler = storm_handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    {
        crew workers(4);
        pthread_t sender;
        std::vector<pthread_t> threads = workers.threads;
        if (pthread_create(&sender, nullptr, signaller, &threads) != 0)
            fail("pthread_create");
        sleep_ms(ms);
        stop = true;
        pthread_join(sender, nullptr);
    }
    std::printf("done rounds=%lu handled=%lu\n", rounds.load(), handled.load());
}

/* ---- mappings -------------------------------------------------------------------------------- */

extern "C" __attribute__((noinline)) void storm_mapping_handler(int)
{
    int saved_errno = errno;
    void *block = std::malloc(77);
    keep(block);
    std::free(block);
    void *pages = mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages != MAP_FAILED)
        munmap(pages, 8192);
    handled++;
    errno = saved_errno;
}

extern "C" __attribute__((noinline)) void *storm_mapper(void *)
{
    while (!stop) {
        void *pages =
            mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED)
            fail("mmap");
        pages = mremap(pages, 65536, 131072, MREMAP_MAYMOVE);
        if (pages == MAP_FAILED || munmap(pages, 131072) != 0)
            fail("mremap");
        rounds++;
    }
    return nullptr;
}

void maps(long ms)
{
    struct sigaction action = {};
    action.sa_handler = storm_mapping_handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, nullptr);
    {
        crew workers(4, storm_mapper);
        pthread_t sender;
        std::vector<pthread_t> threads = workers.threads;
        if (pthread_create(&sender, nullptr, signaller, &threads) != 0)
            fail("pthread_create");
        sleep_ms(ms);
        stop = true;
        pthread_join(sender, nullptr);
    }
    std::printf("done rounds=%lu handled=%lu\n", rounds.load(), handled.load());
}

void small(long ms)
{
    {
        crew workers(4, storm_worker, PTHREAD_STACK_MIN);
        sleep_ms(ms);
    }
    std::printf("done rounds=%lu\n", rounds.load());
}

/* ---- children ------------------------------------------------------------------------------- */

void child_allocates()
{
    void *blocks[100];
    for (int i = 0; i < 100; i++) {
        blocks[i] = std::malloc(100 + static_cast<size_t>(i));
        keep(blocks[i]);
    }
    blocks[0] = std::realloc(blocks[0], 5000);
    for (void *block : blocks)
        std::free(block);
    for (std::atomic<void *> &block : handed_over)
        std::free(block.exchange(nullptr));
}

pid_t child_by(const char *kind)
{
    if (std::strcmp(kind, "fork") == 0)
        return fork();
    if (std::strcmp(kind, "_Fork") == 0)
        return _Fork();
    return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

void await_child(pid_t child)
{
    for (int ms = 0; ms < 20000; ms += 2) {
        int status;
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                std::printf("child ended with %#x\n", static_cast<unsigned>(status));
                fail("child");
            }
            return;
        }
        sleep_ms(2);
    }
    std::printf("child %d hangs\n", child);
    kill(child, SIGKILL);
    fail("child hangs");
}

void forks(unsigned long count, const char *kind)
{
    {
        crew workers(8);
        for (unsigned long i = 0; i < count; i++) {
            pid_t child = child_by(kind);
            if (child < 0)
                fail("fork");
            if (child == 0) {
                child_allocates();
                _exit(0);
            }
            await_child(child);
        }
    }
    std::printf("done forks=%lu rounds=%lu\n", count, rounds.load());
}

void spawns(unsigned long count)
{
    {
        crew workers(4);
        char program[] = "/bin/true";
        char *argv[] = {program, nullptr};
        for (unsigned long i = 0; i < count; i++) {
            pid_t child;
            if (i % 2 == 0) {
                if (posix_spawn(&child, program, nullptr, nullptr, argv, environ) != 0)
                    fail("posix_spawn");
            } else {
                child = vfork();
                if (child == 0) {
                    execve(program, argv, environ);
                    _exit(127);
                }
                if (child < 0)
                    fail("vfork");
            }
            await_child(child);
        }
    }
    std::printf("done spawns=%lu rounds=%lu\n", count, rounds.load());
}

void plain(long ms)
{
    {
        crew workers(4);
        sleep_ms(ms);
    }
    std::printf("done rounds=%lu\n", rounds.load());
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    std::string mode = argv[1];
    unsigned long number = std::strtoul(argv[2], nullptr, 10);
    if (mode == "threads")
        short_threads(number);
    else if (mode == "signals" || mode == "flagged")
        signals(static_cast<long>(number), mode == "flagged");
    else if (mode == "maps")
        maps(static_cast<long>(number));
    else if (mode == "small")
        small(static_cast<long>(number));
    else if (mode == "forks" && argc > 3)
        forks(number, argv[3]);
    else if (mode == "spawns")
        spawns(number);
    else if (mode == "plain")
        plain(static_cast<long>(number));
    else
        return 2;
    std::fflush(stdout);
    if (std::strcmp(argv[argc - 1], "wait") == 0)
        while (std::getchar() != '\n')
            if (std::feof(stdin))
                return 3;
    return 0;
}
