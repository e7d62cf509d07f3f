#include "machine.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace conv2d::bench {
namespace {

constexpr const char *kUnknown = "NOT_MEASURED";
constexpr const char *kCpuFreq = "/sys/devices/system/cpu/cpu0/cpufreq/";
constexpr const char *kThrottleFlags = "/sys/devices/platform/soc/soc:firmware/get_throttled"; // kernel of the Pi

std::string first_line(const std::string &path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<double> number(const std::string &path) {
    const std::string line = first_line(path);
    char *end = nullptr;
    const double value = std::strtod(line.c_str(), &end);
    return end == line.c_str() ? std::nullopt : std::optional(value);
}

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(": ");
        if ((line.rfind("model name", 0) == 0 || line.rfind("Model", 0) == 0) && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    // An ARM kernel names only the board, in the device tree, with a zero at the end.
    const std::string board = first_line("/proc/device-tree/model");
    return board.substr(0, board.find('\0'));
}

// The clock by what the kernel sets, else by what /proc/cpuinfo says (a guest of a virtual machine has only that).
std::optional<double> clock_mhz() {
    if (const auto khz = number(std::string(kCpuFreq) + "scaling_cur_freq")) {
        return *khz / 1e3;
    }
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("cpu MHz", 0) == 0) {
            return std::strtod(line.substr(line.find(':') + 1).c_str(), nullptr);
        }
    }
    return std::nullopt;
}

std::optional<unsigned long> throttle_flags() {
    const std::string hex = first_line(kThrottleFlags);
    return hex.empty() ? std::nullopt : std::optional(std::strtoul(hex.c_str(), nullptr, 16));
}

// Under-voltage, as the hwmon driver of the Pi's firmware reports it.
std::optional<bool> under_voltage() {
    std::error_code none;
    for (const auto &entry : std::filesystem::directory_iterator("/sys/class/hwmon", none)) {
        if (first_line(entry.path() / "name") == "rpi_volt") {
            return number(entry.path() / "in0_lcrit_alarm").value_or(0.0) != 0.0;
        }
    }
    return std::nullopt;
}

std::string text(const std::optional<double> &value) {
    if (!value) {
        return kUnknown;
    }
    std::string digits = std::to_string(*value); // six decimals, of which one is enough
    return digits.substr(0, digits.find('.') + 2);
}

} // namespace

ClockState clock_state() {
    ClockState state;
    state.clock_mhz = clock_mhz();
    if (const auto millicelsius = number("/sys/class/thermal/thermal_zone0/temp")) {
        state.temperature_celsius = *millicelsius / 1e3;
    }
    constexpr unsigned long kNow = 0xf; // under-voltage, clock capped, throttled, soft limit of the temperature
    const auto flags = throttle_flags();
    const auto low = under_voltage();
    if (flags || low) {
        state.throttled = (flags.value_or(0) & kNow) != 0 || low.value_or(false);
    }
    const std::string events = "/sys/devices/system/cpu/cpu0/thermal_throttle/";
    const auto core = number(events + "core_throttle_count");
    const auto package = number(events + "package_throttle_count");
    if (core || package) {
        state.throttle_events = static_cast<long>(core.value_or(0.0) + package.value_or(0.0));
    }
    return state;
}

std::map<std::string, std::string> machine_state() {
    const ClockState clock = clock_state();
    const std::string model = cpu_model();
    std::map<std::string, std::string> state{
        {"cpu", model.empty() ? kUnknown : model},
        {"cores", std::to_string(std::thread::hardware_concurrency())},
        {"compiler", __VERSION__},
        {"clock_mhz", text(clock.clock_mhz)},
        {"temperature_celsius", text(clock.temperature_celsius)},
        {"throttled", clock.throttled ? (*clock.throttled ? "yes" : "no") : kUnknown},
        {"throttle_events", clock.throttle_events ? std::to_string(*clock.throttle_events) : kUnknown},
    };
    const std::map<std::string, std::string> files{
        {"governor", std::string(kCpuFreq) + "scaling_governor"},
        {"clock_max_khz", std::string(kCpuFreq) + "scaling_max_freq"},
        {"throttle_flags", kThrottleFlags}, // hexadecimal; from bit 16 on what happened since the machine started
        {"load", "/proc/loadavg"},
    };
    for (const auto &[name, path] : files) {
        const std::string line = first_line(path);
        state[name] = line.empty() ? kUnknown : line;
    }
    return state;
}

std::string why_figures_mean_nothing() {
#if defined(__aarch64__)
    // Every arm64 kernel has this file; a program that qemu translates sees the files of the machine it runs on.
    if (!std::filesystem::exists("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1")) {
        return "this processor is emulated: these figures say that the code runs, and nothing about its speed";
    }
#endif
    return "";
}

} // namespace conv2d::bench
