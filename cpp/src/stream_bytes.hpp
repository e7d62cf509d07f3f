// A saved state as bytes: what one machine writes another of the same byte order reads.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace conv2d::detail {

// FNV-1a over 64 bits: against damage, not against intent.
class Checksum {
  public:
    void add(std::span<const std::byte> bytes) {
        for (const std::byte one : bytes) {
            value_ = (value_ ^ static_cast<std::uint64_t>(one)) * 0x100000001b3u;
        }
    }
    template <typename T> void add_values(std::span<const T> values) {
        static_assert(std::is_arithmetic_v<T>);
        add(std::as_bytes(values));
    }
    [[nodiscard]] std::uint64_t value() const { return value_; }

  private:
    std::uint64_t value_ = 0xcbf29ce484222325u;
};

class ByteWriter {
  public:
    template <typename T> void value(T one) {
        static_assert(std::is_arithmetic_v<T>);
        raw(std::as_bytes(std::span<const T>(&one, 1)));
    }
    // The number of values, then the values.
    template <typename T> void values(std::span<const T> many) {
        value(static_cast<std::uint64_t>(many.size()));
        raw(std::as_bytes(many));
    }
    void raw(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
    [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

  private:
    std::vector<std::byte> bytes_;
};

class ByteReader {
  public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <typename T> T value() {
        static_assert(std::is_arithmetic_v<T>);
        T one;
        std::memcpy(&one, take(sizeof one).data(), sizeof one);
        return one;
    }
    template <typename T> std::vector<T> values() {
        const auto count = value<std::uint64_t>();
        if (count > bytes_.size() / sizeof(T)) {
            refuse();
        }
        std::vector<T> many(static_cast<std::size_t>(count));
        if (count > 0) {
            std::memcpy(many.data(), take(many.size() * sizeof(T)).data(), many.size() * sizeof(T));
        }
        return many;
    }
    std::span<const std::byte> take(std::size_t count) {
        if (count > bytes_.size()) {
            refuse();
        }
        const auto taken = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return taken;
    }
    [[nodiscard]] bool done() const { return bytes_.empty(); }

    [[noreturn]] static void refuse() {
        throw std::invalid_argument("the saved state is damaged, expected the bytes that save() gave; save it again");
    }

  private:
    std::span<const std::byte> bytes_;
};

} // namespace conv2d::detail
