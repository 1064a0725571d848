// SPDX-License-Identifier: MIT
// Labels in C++: exceptions, destructors, lambdas. Says "fine", or what is not.
#include <rthooks/rthooks.hpp>

#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

static int wrong;

static void want(bool is_true, const char *what)
{
    if (is_true)
        return;
    std::printf("wrong: %s\n", what);
    wrong = 1;
}

// Empty as long as a thread never had labels, and after.
static uint32_t current()
{
    return rth_label_current == RTH_LABEL_UNSEEN ? 0 : rth_label_current;
}

static void thrower(void *)
{
    throw std::runtime_error("out");
}

static void by_exception()
{
    uint32_t before = current();
    try {
        RTH_WITH_LABELS("way", "throw") {
            RTH_WITH_LABELS("inner", "yes") {
                throw std::runtime_error("out");
            }
        }
    } catch (const std::runtime_error &) {
    }
    want(current() == before, "an exception ends the blocks");
    const char *const pairs[] = {"way", "rth_do"};
    rth_labels *labels = nullptr;
    want(rth_labels_new(pairs, 2, &labels) == 0, "rth_labels_new");
    try {
        rth_do(labels, thrower, nullptr);
        want(false, "rth_do throws");
    } catch (const std::runtime_error &) {
    }
    rth_labels_free(labels);
    want(current() == before, "an exception ends rth_do");
    try {
        std::string tenant = "acme";
        rthooks::label_scope scope("tenant", tenant.c_str());
        want(current() != before, "a scope has its label");
        throw std::runtime_error("out");
    } catch (const std::runtime_error &) {
    }
    want(current() == before, "an exception ends a scope");
}

static void by_callback()
{
    std::function<void()> later;
    uint32_t inside = 0, outside = current();
    RTH_WITH_LABELS("handler", "/callback") {
        inside = current();
        later = [context = rthooks::context::current(), inside] {
            rthooks::context_scope scope(context);
            want(current() == inside, "a callback has its context");
        };
    }
    later();
    want(current() == outside, "a callback puts back what was there");
    std::thread(later).join();
    rthooks::context copy = rthooks::context::current(), other;
    other = copy;
    other = std::move(copy);
    want(other.get() == nullptr, "the empty context is null");
}

template <typename Text> [[gnu::always_inline]] inline uint32_t set_of(const Text &text)
{
    RTH_WITH_LABELS("tenant", text.c_str())
        return current();
    return 0;
}

[[gnu::always_inline]] inline uint32_t set_of(const char *text)
{
    RTH_WITH_LABELS("tenant", text)
        return current();
    return 0;
}

// A string that is no literal where it is written is looked at each time.
static void by_value()
{
    std::string a = "a", b = "b";
    for (int round = 0; round < 2; round++) {
        want(set_of(a) != set_of(b), "strings differ");
        want(set_of("a") == set_of(a) && set_of("b") == set_of(b), "copies of a call site differ");
    }
}

int main()
{
    by_exception(); // the thread's first labels
    RTH_WITH_LABELS("around", "yes")
        by_exception();
    by_callback();
    by_value();
    want(rth_context_current() == nullptr, "nothing is left behind");
    if (!wrong)
        std::printf("fine\n");
    return wrong;
}
