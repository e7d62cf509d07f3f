// The part of doctest that these tests use: TEST_CASE, CHECK, REQUIRE, and --test-case=PREFIX* on the command line.
#pragma once

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace conv2d::tests::fallback {

struct Case {
    const char *name;
    void (*run)();
};

struct Stop {}; // thrown by REQUIRE

inline std::vector<Case> &cases() {
    static std::vector<Case> all;
    return all;
}

inline int &failures() {
    static int count = 0;
    return count;
}

inline bool add(const char *name, void (*run)()) {
    cases().push_back({name, run});
    return true;
}

inline bool check(bool holds, const char *what, const char *file, int line) {
    if (!holds) {
        ++failures();
        std::printf("%s:%d: %s does not hold\n", file, line, what);
    }
    return holds;
}

inline int run(int argc, char **argv) {
    const std::string option = "--test-case=";
    std::string prefix;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument.compare(0, option.size(), option) == 0) {
            prefix = argument.substr(option.size());
            prefix = prefix.substr(0, prefix.find('*'));
        }
    }
    int ran = 0;
    for (const Case &test : cases()) {
        if (std::string(test.name).compare(0, prefix.size(), prefix) != 0) {
            continue;
        }
        ++ran;
        const int before = failures();
        try {
            test.run();
        } catch (const Stop &) {
            // counted where it was thrown
        } catch (const std::exception &error) {
            check(false, error.what(), test.name, 0);
        }
        std::printf("%s  %s\n", failures() == before ? "ok  " : "FAIL", test.name);
    }
    std::printf("%d cases, %d failures\n", ran, failures());
    return failures() == 0 && ran > 0 ? 0 : 1;
}

} // namespace conv2d::tests::fallback

#define CONV2D_JOIN_(a, b) a##b
#define CONV2D_JOIN(a, b) CONV2D_JOIN_(a, b)
#define CONV2D_CASE(name, function)                                                                                    \
    static void function();                                                                                            \
    [[maybe_unused]] static const bool CONV2D_JOIN(function, _added) = conv2d::tests::fallback::add(name, &function);  \
    static void function()
#define TEST_CASE(name) CONV2D_CASE(name, CONV2D_JOIN(conv2d_case_, __LINE__))
#define CHECK(...) conv2d::tests::fallback::check(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
#define REQUIRE(...)                                                                                                   \
    do {                                                                                                               \
        if (!CHECK(__VA_ARGS__)) {                                                                                     \
            throw conv2d::tests::fallback::Stop{};                                                                     \
        }                                                                                                              \
    } while (false)
