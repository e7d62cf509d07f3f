#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

namespace conv2d {

Timeline hsmm_viterbi(Matrix<const double> log_emissions, const HsmmModel &model) {
    detail::check_model(log_emissions, model);
    const std::size_t frames = log_emissions.rows;
    const bool by_frame = model.log_transitions.rows != log_emissions.cols;
    if (!by_frame) {
        detail::check_transitions(model.log_transitions);
    }
    if (frames == 0) {
        return {};
    }
    detail::ViterbiPass pass(model, frames);
    pass.push(log_emissions,
              model.log_transitions.rows == log_emissions.cols ? Matrix<const double>{} : model.log_transitions);
    const auto scores = pass.end_scores();
    const auto last = std::max_element(scores.begin(), scores.end()); // the first of equals
    if (*last == kNever) {
        detail::throw_impossible(log_emissions, model);
    }
    return {pass.absolute(*last), pass.path(static_cast<std::size_t>(last - scores.begin()))};
}

std::vector<Timeline> hsmm_viterbi_many(std::span<const Matrix<const double>> log_emissions, const HsmmModel &model,
                                        std::size_t threads) {
    const std::size_t count = log_emissions.size();
    std::vector<Timeline> timelines(count);
    std::vector<std::exception_ptr> errors(count);
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t n = next++; n < count; n = next++) {
            try {
                timelines[n] = hsmm_viterbi(log_emissions[n], model);
            } catch (...) {
                errors[n] = std::current_exception();
            }
        }
    };
    const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
    {
        std::vector<std::jthread> others;
        for (std::size_t n = 1; n < std::min(threads == 0 ? processors : threads, count); ++n) {
            others.emplace_back(work);
        }
        work();
    }
    for (std::size_t n = 0; n < count; ++n) {
        if (errors[n]) {
            try {
                std::rethrow_exception(errors[n]);
            } catch (const std::invalid_argument &error) {
                throw std::invalid_argument("recording " + std::to_string(n) + ": " + error.what());
            }
        }
    }
    return timelines;
}

} // namespace conv2d
