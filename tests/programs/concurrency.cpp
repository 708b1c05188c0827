// C++: threads, futures, condition variables, exceptions across a library's border and between threads.
#include <atomic>
#include <condition_variable>
#include <future>
#include <iostream>
#include <mutex>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <thread>
#include <vector>

extern "C++" void throw_from_library(int value);
extern "C++" int catch_in_library(void (*thrower)());

int main()
{
    std::vector<std::thread> threads;
    std::atomic<long> sum{0};
    for (int i = 0; i < 8; i++)
        threads.emplace_back([&sum, i] {
            for (int j = 0; j < 10000; j++)
                sum += i;
        });
    for (auto &thread : threads)
        thread.join();
    std::cout << "sum " << sum << "\n";

    auto part = [](int from) {
        std::vector<long> numbers(1000);
        std::iota(numbers.begin(), numbers.end(), from);
        return std::accumulate(numbers.begin(), numbers.end(), 0L);
    };
    std::vector<std::future<long>> futures;
    for (int i = 0; i < 4; i++)
        futures.push_back(std::async(std::launch::async, part, i * 1000));
    long total = 0;
    for (auto &future : futures)
        total += future.get();
    std::cout << "total " << total << "\n";

    std::queue<int> queue;
    std::mutex mutex;
    std::condition_variable changed;
    std::thread consumer([&] {
        long consumed = 0;
        for (int i = 0; i < 1000; i++) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return !queue.empty(); });
            consumed += queue.front();
            queue.pop();
        }
        std::cout << "consumed " << consumed << "\n";
    });
    for (int i = 0; i < 1000; i++) {
        std::lock_guard lock(mutex);
        queue.push(i);
        changed.notify_one();
    }
    consumer.join();

    try {
        throw_from_library(7);
    } catch (const std::exception &error) {
        std::cout << error.what() << "\n";
    }
    std::cout << "caught in the library: " << catch_in_library([] { throw 42; }) << "\n";
    auto failing = std::async(std::launch::async, [] { throw_from_library(8); });
    try {
        failing.get();
    } catch (const std::exception &error) {
        std::cout << "through a future: " << error.what() << "\n";
    }
    return 0;
}
