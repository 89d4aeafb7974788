#include <algorithm>
#include <bit>
#include <concepts>
#include <coroutine>
#include <cstdio>
#include <execution>
#include <filesystem>
#include <numbers>
#include <ranges>
#include <span>
#include <thread>
#include <vector>

template <std::integral T> T twice(T x) { return 2 * x; }
struct Point { int x; auto operator<=>(const Point &) const = default; };

int main() {
    std::vector<int> v{3, 1, 2};
    std::ranges::sort(v);
    std::sort(std::execution::par, v.begin(), v.end());
    std::jthread thread([&] { v.push_back(std::popcount(7u)); });
    thread.join();
    bool known = std::filesystem::exists(".") && std::span(v).size() == 4 && std::numbers::pi > 3;
    std::puts(known && twice(v[0]) == 2 && Point{1} < Point{2} ? "quirk" : "wrong");
}
