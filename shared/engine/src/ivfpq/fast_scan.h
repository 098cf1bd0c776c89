// FAISS's 4-bit fast scan, with tables that are right.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/utils/distances.h>

#include "row_lists.h"

namespace genai {

using faiss::idx_t;

// The rows of a list that a selector selects; all of them without one.
inline size_t count_selected(const uint8_t* selector, size_t start, size_t end) {
    if (!selector) {
        return end - start;
    }
    size_t count = 0;
    for (size_t row = start; row < end;) {
        if (row % 8 == 0 && row + 8 <= end) {
            count += __builtin_popcount(selector[row / 8]);
            row += 8;
        } else {
            count += selector[row / 8] >> (row % 8) & 1;
            row++;
        }
    }
    return count;
}

// Fast scan adds up 8-bit distances in 16 bits, from tables that FAISS rounds itself. Three things go wrong there:
// - It scales first, so that the largest sum is 65535, and rounds then. With more than 257 sub-quantizers, or with
//   residuals, the rounded sum can pass 65535, and the best inner product (or the worst distance) starts again at 0. A
//   query that equals a stored row of +1 and -1 did not find it.
// - For residuals and L2, what lies between near and far lists is not part of that sum, and passes 65535 by far.
// - For residuals it takes the index's nprobe for the one of the search, and reads and writes out of bounds.
// So here the tables are made, scaled and rounded before, such that FAISS's rounding changes nothing; and lists that
// cannot have one of the k best rows are left out before that, to have the 65536 steps for those that can.
struct FastScan final : faiss::IndexIVFPQFastScan {
    using faiss::IndexIVFPQFastScan::IndexIVFPQFastScan;

    struct Tables {
        faiss::AlignedTable<float> entries; // (1 or lists) x M x ksub
        faiss::AlignedTable<float> biases;  // lists, or nothing
    };

    // FAISS asks for tables without saying for which search: this thread's current one. Null: FAISS's own will do.
    inline static thread_local Tables* prepared = nullptr;

    void compute_LUT(
            size_t n,
            const float* x,
            const CoarseQuantized& cq,
            faiss::AlignedTable<float>& tables,
            faiss::AlignedTable<float>& biases) const override {
        if (prepared) {
            tables = prepared->entries;
            biases = prepared->biases;
        } else {
            IndexIVFPQFastScan::compute_LUT(n, x, cq, tables, biases);
        }
    }

    // To be called when the codebooks are there.
    void measure_codebooks() {
        reach.assign(M, 0);
        for (size_t m = 0; m < M; m++) {
            for (size_t c = 0; c < ksub; c++) {
                reach[m] = std::max(reach[m], std::sqrt(faiss::fvec_norm_L2sqr(pq.get_centroids(m, c), pq.dsub)));
            }
        }
    }

    bool needs_preparation() const {
        return by_residual || M > 65535 / 255;
    }

    // The tables of one query, and in `lists` those that can have one of the k best selected rows.
    void prepare(
            const float* query,
            size_t k,
            const uint8_t* selector,
            const RowLists& rows,
            std::vector<idx_t>& lists,
            Tables& out) const {
        size_t table = M * ksub;
        auto& entries = out.entries;
        if (!by_residual) {
            entries.resize(table);
            if (metric_type == faiss::METRIC_INNER_PRODUCT) {
                pq.compute_inner_prod_tables(1, query, entries.get());
            } else {
                pq.compute_distance_tables(1, query, entries.get());
            }
        } else if (metric_type == faiss::METRIC_INNER_PRODUCT) {
            entries.resize(table);
            pq.compute_inner_prod_tables(1, query, entries.get());
            out.biases.resize(lists.size());
            const auto& coarse = dynamic_cast<const faiss::IndexFlat&>(*quantizer);
            for (size_t i = 0; i < lists.size(); i++) {
                out.biases[i] = faiss::fvec_inner_product(query, coarse.get_xb() + lists[i] * d, d);
            }
        } else {
            std::vector<float> residuals(lists.size() * d);
            for (size_t i = 0; i < lists.size(); i++) {
                quantizer->compute_residual(query, residuals.data() + i * d, lists[i]);
            }
            leave_out_far_lists(k, selector, rows, lists, residuals);
            entries.resize(lists.size() * table);
            pq.compute_distance_tables(lists.size(), residuals.data(), entries.get());
            out.biases.resize(lists.size());
            std::fill_n(out.biases.get(), lists.size(), 0.0f);
        }
        std::vector<float> spans = to_spans(out);
        if (by_residual) {
            leave_out(k, selector, rows, lists, out, spans);
        }
        round(out, spans);
    }

private:
    std::vector<float> reach; // the length of each sub-quantizer's longest codeword

    // Tables that start at 0; what they started at goes into the biases where those differ. Returns the largest entry
    // of each sub-quantizer's table.
    std::vector<float> to_spans(Tables& tables) const {
        size_t count = tables.entries.size() / (M * ksub);
        std::vector<float> spans(count * M);
        for (size_t i = 0; i < count; i++) {
            double least_sum = 0;
            for (size_t m = 0; m < M; m++) {
                float* entries = tables.entries.get() + (i * M + m) * ksub;
                float least = entries[0], most = entries[0];
                for (size_t c = 1; c < ksub; c++) {
                    least = entries[c] < least ? entries[c] : least;
                    most = entries[c] > most ? entries[c] : most;
                }
                for (size_t c = 0; c < ksub; c++) {
                    entries[c] -= least;
                }
                spans[i * M + m] = most - least;
                least_sum += least;
            }
            if (count > 1) {
                tables.biases[i] += float(least_sum);
            }
        }
        return spans;
    }

    // Tables are dear when each list has its own: the triangle inequality, in each sub-quantizer, tells beforehand that
    // some lists are too far. In tight clusters it tells of most.
    void leave_out_far_lists(
            size_t k,
            const uint8_t* selector,
            const RowLists& rows,
            std::vector<idx_t>& lists,
            std::vector<float>& residuals) const {
        std::vector<double> best(lists.size(), 0), worst(lists.size(), 0);
        for (size_t i = 0; i < lists.size(); i++) {
            for (size_t m = 0; m < M; m++) {
                float length = std::sqrt(faiss::fvec_norm_L2sqr(residuals.data() + i * d + m * pq.dsub, pq.dsub));
                float least = std::max(length - reach[m], 0.0f), most = length + reach[m];
                best[i] += least * least;
                worst[i] += most * most;
            }
            best[i] *= 1 - 1e-5;
            worst[i] *= 1 + 1e-5;
        }
        std::vector<size_t> kept = contenders(k, selector, rows, lists, best, worst);
        for (size_t i = 0; i < kept.size(); i++) {
            lists[i] = lists[kept[i]];
            std::copy_n(residuals.begin() + kept[i] * d, d, residuals.begin() + i * d);
        }
        lists.resize(kept.size());
    }

    // The same with the tables: a row of list i is between biases[i] and biases[i] + the sum of its spans.
    void leave_out(
            size_t k,
            const uint8_t* selector,
            const RowLists& rows,
            std::vector<idx_t>& lists,
            Tables& tables,
            std::vector<float>& spans) const {
        const bool shared = spans.size() == M;
        const bool most_is_best = metric_type == faiss::METRIC_INNER_PRODUCT;
        std::vector<double> best(lists.size()), worst(lists.size());
        for (size_t i = 0; i < lists.size(); i++) {
            const float* own = spans.data() + (shared ? 0 : i * M);
            double bias = tables.biases[i], range = std::accumulate(own, own + M, 0.0);
            // Room for what f32 has rounded away.
            double margin = 1e-5 * (std::fabs(bias) + range);
            best[i] = (most_is_best ? -bias - range : bias) - margin;
            worst[i] = (most_is_best ? -bias : bias + range) + margin;
        }
        std::vector<size_t> kept = contenders(k, selector, rows, lists, best, worst);
        float* entries = tables.entries.get();
        for (size_t i = 0; i < kept.size(); i++) {
            lists[i] = lists[kept[i]];
            tables.biases[i] = tables.biases[kept[i]];
            if (!shared && i < kept[i]) {
                std::copy_n(spans.begin() + kept[i] * M, M, spans.begin() + i * M);
                std::copy_n(entries + kept[i] * M * ksub, M * ksub, entries + i * M * ksub);
            }
        }
        lists.resize(kept.size());
        tables.biases.resize(kept.size());
        if (!shared) {
            spans.resize(kept.size() * M);
            tables.entries.resize(kept.size() * M * ksub);
        }
    }

    // The lists, by their place in `lists`, that can have one of the k best rows, all rows of a list being between its
    // `best` and its `worst`, smaller being better: once lists with k rows are known to be at least so good, those that
    // are all worse do not count.
    std::vector<size_t> contenders(
            size_t k,
            const uint8_t* selector,
            const RowLists& rows,
            const std::vector<idx_t>& lists,
            const std::vector<double>& best,
            const std::vector<double>& worst) const {
        std::vector<size_t> places(lists.size());
        std::iota(places.begin(), places.end(), size_t(0));
        std::sort(places.begin(), places.end(), [&](size_t a, size_t b) { return worst[a] < worst[b]; });
        size_t found = 0;
        double limit = HUGE_VAL;
        for (size_t i : places) {
            found += count_selected(selector, rows.starts[lists[i]], rows.starts[lists[i] + 1]);
            if (found >= k) {
                limit = worst[i];
                break;
            }
        }
        std::sort(places.begin(), places.end());
        places.erase(
                std::remove_if(places.begin(), places.end(), [&](size_t i) { return best[i] > limit; }), places.end());
        return places;
    }

    // Rounds entries and biases to whole steps such that the largest entry is 255 or the largest sum is 65535, neither
    // more: FAISS's scale is 1 then (or so near to it that whole numbers stay what they are).
    void round(Tables& tables, const std::vector<float>& spans) const {
        const size_t count = spans.size() / M;
        float* biases = tables.biases.get();
        const size_t bias_count = tables.biases.size();
        float least_bias = 0, bias_range = 0;
        if (bias_count > 0) {
            auto [low, high] = std::minmax_element(biases, biases + bias_count);
            least_bias = *low;
            bias_range = *high - *low;
        }
        auto bias_of = [&](size_t table) { return count == 1 ? bias_range : biases[table] - least_bias; };
        auto steps = [](double value, double scale) { return int64_t(value * scale + 0.5); };

        double widest = 0, longest = 0;
        for (size_t i = 0; i < count; i++) {
            double sum = bias_of(i);
            for (size_t m = 0; m < M; m++) {
                sum += spans[i * M + m];
                widest = std::max(widest, double(spans[i * M + m]));
            }
            longest = std::max(longest, sum);
        }
        if (!(longest > 0)) {
            return; // nothing differs
        }
        double scale = std::min(widest > 0 ? 255 / widest : HUGE_VAL, 65535 / longest);
        int64_t largest = 0; // sum
        size_t largest_at = 0;
        for (int attempt = 0; attempt < 20; attempt++) {
            largest = 0;
            for (size_t i = 0; i < count; i++) {
                int64_t sum = steps(bias_of(i), scale);
                for (size_t m = 0; m < M; m++) {
                    sum += steps(spans[i * M + m], scale);
                }
                if (sum > largest) {
                    largest = sum;
                    largest_at = i;
                }
            }
            if (largest <= 65535) {
                break;
            }
            scale *= 65535.0 / double(largest) * (1 - 1e-7);
        }
        // Where neither is reached, the missing steps go to the spans of the longest table, evenly.
        std::vector<float> factors(M, float(scale));
        int64_t missing = steps(widest, scale) >= 255 ? 0 : std::max<int64_t>(65535 - largest, 0);
        size_t wide = 0;
        for (size_t m = 0; m < M; m++) {
            wide += steps(spans[largest_at * M + m], scale) > 0;
        }
        for (size_t m = 0, nth = 0; m < M && wide > 0; m++) {
            float span = spans[largest_at * M + m];
            int64_t own = steps(span, scale);
            if (own > 0) {
                int64_t more = missing / int64_t(wide) + (int64_t(nth) < missing % int64_t(wide));
                factors[m] = float(std::min<int64_t>(own + more, 255)) / span;
                nth++;
            }
        }
        for (size_t i = 0; i < count; i++) {
            for (size_t m = 0; m < M; m++) {
                float factor = i == largest_at ? factors[m] : float(scale);
                float* entries = tables.entries.get() + (i * M + m) * ksub;
                for (size_t c = 0; c < ksub; c++) {
                    entries[c] = float(int32_t(entries[c] * factor + 0.5f));
                }
            }
        }
        for (size_t i = 0; i < bias_count; i++) {
            biases[i] = float(steps(biases[i] - least_bias, scale));
        }
    }
};

} // namespace genai
