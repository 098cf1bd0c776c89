// Immutable lists, in one allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <vector>

#include <faiss/invlists/InvertedLists.h>
#include <faiss/utils/AlignedTable.h>

namespace genai {

using faiss::idx_t;

// Lists in one allocation. Ids are row numbers, and rows are numbered in the order of the lists.
struct RowLists final : faiss::InvertedLists {
    std::vector<uint32_t> starts;        // nlist + 1
    std::vector<size_t> offsets;         // nlist + 1, in `codes`
    std::vector<idx_t> ids;              // 0, 1, 2, ...
    faiss::AlignedTableTightAlloc<uint8_t> codes;

    // `block_rows` rows share a block; 1 for codes that stand by themselves.
    RowLists(size_t nlist, size_t code_size, size_t block_rows, const uint32_t* starts_in)
            : InvertedLists(nlist, block_rows == 1 ? code_size : INVALID_CODE_SIZE),
              starts(starts_in, starts_in + nlist + 1),
              offsets(nlist + 1, 0),
              ids(starts[nlist]) {
        for (size_t i = 0; i < nlist; i++) {
            size_t blocks = (list_size(i) + block_rows - 1) / block_rows;
            offsets[i + 1] = offsets[i] + blocks * block_rows * code_size;
        }
        std::iota(ids.begin(), ids.end(), idx_t(0));
        codes.resize(offsets[nlist]);
        codes.clear();
    }

    size_t list_size(size_t i) const override {
        return starts[i + 1] - starts[i];
    }
    const uint8_t* get_codes(size_t i) const override {
        return codes.get() + offsets[i];
    }
    const idx_t* get_ids(size_t i) const override {
        return ids.data() + starts[i];
    }

    size_t add_entries(size_t, size_t, const idx_t*, const uint8_t*) override {
        throw std::logic_error("lists are immutable");
    }
    void update_entries(size_t, size_t, size_t, const idx_t*, const uint8_t*) override {
        throw std::logic_error("lists are immutable");
    }
    void resize(size_t, size_t) override {
        throw std::logic_error("lists are immutable");
    }
};

} // namespace genai
