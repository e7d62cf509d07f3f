#include "harness.hpp"

#include <fstream>
#include <thread>

namespace conv2d::bench {
namespace {

std::string first_line(const std::string &path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string cpu_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("model name", 0) == 0 || line.rfind("Model", 0) == 0) {
            return line.substr(line.find(':') + 2);
        }
    }
    // An ARM kernel names only the board, in the device tree, with a zero at the end.
    std::string board = first_line("/proc/device-tree/model");
    return board.substr(0, board.find('\0'));
}

} // namespace

std::map<std::string, std::string> machine_state() {
    const std::map<std::string, std::string> files{
        {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"},
        {"clock_khz", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"},
        {"temperature_millicelsius", "/sys/class/thermal/thermal_zone0/temp"},
        {"throttled", "/sys/devices/platform/soc/soc:firmware/get_throttled"},
        {"load", "/proc/loadavg"},
    };
    std::map<std::string, std::string> state{{"cpu", cpu_model()},
                                             {"cores", std::to_string(std::thread::hardware_concurrency())},
                                             {"compiler", __VERSION__}};
    for (const auto &[name, path] : files) {
        const std::string line = first_line(path);
        state[name] = line.empty() ? "NOT_MEASURED" : line;
    }
    return state;
}

} // namespace conv2d::bench
