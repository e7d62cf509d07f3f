#include "hsmm_workspace.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace conv2d::detail {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kHugeFrom = std::size_t{1} << 22;
constexpr std::size_t kKeptBytes = std::size_t{1} << 28; // by each thread, at most
constexpr std::size_t kKeptBlocks = 8;

struct Kept {
    Kept() = default;
    Kept(const Kept &) = delete;
    Kept &operator=(const Kept &) = delete;
    ~Kept() {
        for (const Block &block : blocks) {
            std::free(block.data);
        }
        alive = false;
    }

    struct Block {
        void *data = nullptr;
        std::size_t bytes = 0;
    };
    Block blocks[kKeptBlocks];
    std::size_t total = 0;
    inline static thread_local bool alive = true; // a block may be freed by a thread that is about to end
};

thread_local Kept kept;

void give_back(void *data, std::size_t bytes) {
    if (data == nullptr) {
        return;
    }
    if (Kept::alive && bytes <= kKeptBytes) {
        Kept::Block *smallest =
            std::min_element(kept.blocks, kept.blocks + kKeptBlocks,
                             [](const Kept::Block &a, const Kept::Block &b) { return a.bytes < b.bytes; });
        if (bytes > smallest->bytes && kept.total - smallest->bytes + bytes <= kKeptBytes) {
            kept.total += bytes - smallest->bytes;
            std::swap(data, smallest->data);
            smallest->bytes = bytes;
        }
    }
    std::free(data);
}

} // namespace

WorkBlock::WorkBlock(std::size_t doubles) {
    if (doubles > std::numeric_limits<std::size_t>::max() / 2 / sizeof(double) - kHugePage) {
        throw std::bad_alloc();
    }
    const std::size_t wanted = std::max<std::size_t>(doubles * sizeof(double), 64);
    Kept::Block *best = nullptr;
    for (Kept::Block &block : kept.blocks) {
        if (block.bytes >= wanted && block.bytes / 4 <= wanted + kHugePage / 8 &&
            (best == nullptr || block.bytes < best->bytes)) {
            best = &block;
        }
    }
    if (best != nullptr) {
        data_ = static_cast<double *>(std::exchange(best->data, nullptr));
        bytes_ = std::exchange(best->bytes, 0);
        kept.total -= bytes_;
        return;
    }
    const bool huge = wanted >= kHugeFrom;
    const std::size_t step = huge ? kHugePage : 64;
    bytes_ = (wanted + step - 1) / step * step;
    data_ = static_cast<double *>(std::aligned_alloc(step, bytes_));
    if (data_ == nullptr) {
        throw std::bad_alloc();
    }
#if defined(__linux__)
    if (huge) {
        madvise(data_, bytes_, MADV_HUGEPAGE); // a wish: refused, it costs time only
    }
#endif
}

WorkBlock::~WorkBlock() { give_back(data_, bytes_); }

WorkBlock &WorkBlock::operator=(WorkBlock &&other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

} // namespace conv2d::detail
