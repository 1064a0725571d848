/* SPDX-License-Identifier: MIT */
// Throws 100,000 exceptions in four threads, with destructors on the way.
#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::atomic<long> destroyed{0};

struct Counted {
    ~Counted()
    {
        destroyed++;
    }
};

static int descend(int depth, int number)
{
    Counted counted;
    if (depth == 0)
        throw std::runtime_error("number " + std::to_string(number));
    return descend(depth - 1, number) + 1;
}

int main()
{
    std::atomic<long> caught{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; thread++) {
        threads.emplace_back([&] {
            for (int i = 0; i < 25000; i++) {
                try {
                    descend(5, i);
                } catch (const std::exception &error) {
                    if (error.what() == "number " + std::to_string(i))
                        caught++;
                }
            }
        });
    }
    for (auto &thread : threads)
        thread.join();
    std::printf("caught %ld destroyed %ld\n", caught.load(), destroyed.load());
    return caught == 100000 && destroyed == 600000 ? 0 : 1;
}
