// Memory for tables and histories of the decoders. New pages cost more than the work that fills them: each thread
// keeps what it used last, and blocks of several megabytes ask for huge pages.
#pragma once

#include <cstddef>

namespace conv2d::detail {

// Uninitialised doubles at a multiple of 64 bytes. Moves, does not copy.
class WorkBlock {
  public:
    WorkBlock() = default;
    // Room for `doubles` of them, and as many bytes as that; throws std::bad_alloc.
    explicit WorkBlock(std::size_t doubles);
    ~WorkBlock();
    WorkBlock(WorkBlock &&other) noexcept : data_(other.data_), bytes_(other.bytes_) {
        other.data_ = nullptr;
        other.bytes_ = 0;
    }
    WorkBlock &operator=(WorkBlock &&other) noexcept;
    WorkBlock(const WorkBlock &) = delete;
    WorkBlock &operator=(const WorkBlock &) = delete;

    [[nodiscard]] double *data() const { return data_; }

  private:
    double *data_ = nullptr;
    std::size_t bytes_ = 0;
};

} // namespace conv2d::detail
