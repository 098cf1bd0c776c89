// The parts of FAISS that this room uses, behind functions that Rust can call. native.rs declares them and says what it
// guarantees: here lengths and ranges are not checked again.
//
// Every function that can fail returns 0, or 1 with FAISS's text in `message`. No exception leaves, and no call uses
// more than the calling thread (omp_set_num_threads is per thread, so each call sets it).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include <omp.h>

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/pq4_fast_scan.h>
#include <faiss/invlists/InvertedLists.h>
#include <faiss/utils/AlignedTable.h>
#include <faiss/utils/distances.h>

namespace {

using faiss::idx_t;

constexpr size_t kBlockRows = 32;
constexpr size_t kMessageBytes = 512;

// FAISS chooses between two ways of comparing rows with centroids by the number of rows, and they round differently.
// Always taking the BLAS one makes a row's list independent of the rows it is assigned with. The block of products is
// then kept small enough for the second-level cache (and for 16 threads at once: FAISS's own is 16 MB).
void configure_once() {
    static const bool done = [] {
        faiss::distance_compute_blas_threshold = 0;
        faiss::distance_compute_blas_query_bs = 256;
        return true;
    }();
    (void)done;
}

template <class F>
int guard(char* message, F&& f) {
    const char* what = nullptr;
    try {
        omp_set_num_threads(1);
        configure_once();
        f();
        return 0;
    } catch (const std::exception& error) {
        what = error.what();
        std::snprintf(message, kMessageBytes, "%s", what);
    } catch (...) {
        std::snprintf(message, kMessageBytes, "unknown exception");
    }
    return 1;
}

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

// Fast scan adds up 8-bit distances in 16 bits, and scales them so that the largest sum is 65535. But it rounds them
// afterwards: with more than 257 sub-quantizers the sum of the rounded ones can pass 65535, and the best inner product
// (or the worst distance) starts again at 0. A query that equals a stored row of +1 and -1 did not find it.
struct FastScan final : faiss::IndexIVFPQFastScan {
    using faiss::IndexIVFPQFastScan::IndexIVFPQFastScan;

    void compute_LUT(
            size_t n,
            const float* x,
            const CoarseQuantized& cq,
            faiss::AlignedTable<float>& tables,
            faiss::AlignedTable<float>& biases) const override {
        IndexIVFPQFastScan::compute_LUT(n, x, cq, tables, biases);
        if (M > 65535 / 255) {
            for (size_t i = 0; i < n; i++) {
                fit_spans(tables.get() + i * M * ksub);
            }
        }
    }

    // Makes the span of each sub-quantizer's table a whole number of steps, 65535 steps together, so that nothing is
    // left to round. Does nothing where the rounded sum stays in range.
    void fit_spans(float* tables) const {
        std::vector<float> least(M), span(M);
        double total = 0;
        float widest = 0;
        for (size_t m = 0; m < M; m++) {
            auto [low, high] = std::minmax_element(tables + m * ksub, tables + (m + 1) * ksub);
            least[m] = *low;
            span[m] = *high - *low;
            total += span[m];
            widest = std::max(widest, span[m]);
        }
        double scale = std::min(255 / double(widest), 65535 / total);
        if (!std::isfinite(scale)) {
            return;
        }
        int64_t rounded = 0, floored = 0;
        std::vector<std::pair<double, size_t>> remainders(M);
        std::vector<int64_t> steps(M);
        for (size_t m = 0; m < M; m++) {
            double exact = span[m] * scale;
            steps[m] = int64_t(exact);
            rounded += int64_t(exact + 0.5);
            floored += steps[m];
            remainders[m] = {steps[m] - exact, m}; // most negative first: the largest remainder
        }
        // FAISS computes in f32: leave a margin.
        if (rounded < 65535 - 64) {
            return;
        }
        std::sort(remainders.begin(), remainders.end());
        int64_t missing = std::min<int64_t>(65535 - floored, M);
        for (int64_t i = 0; i < missing; i++) {
            steps[remainders[i].second] += steps[remainders[i].second] < 255;
        }
        for (size_t m = 0; m < M; m++) {
            float factor = span[m] > 0 ? float(steps[m] / (span[m] * scale)) : 0;
            for (size_t c = 0; c < ksub; c++) {
                float& entry = tables[m * ksub + c];
                entry = least[m] + (entry - least[m]) * factor;
            }
        }
    }
};

} // namespace

// Not in a namespace, to have the name that native.rs knows; nothing else sees it.
struct Ivf {
    faiss::IndexFlat coarse;
    std::unique_ptr<faiss::IndexIVF> index;
    faiss::ProductQuantizer* pq = nullptr; // of `index`
    RowLists* lists = nullptr;             // of `index`

    Ivf(size_t dimension, faiss::MetricType metric) : coarse(dimension, metric) {}

    bool packed() const {
        return pq->nbits == 4;
    }
};

extern "C" {

int genai_cluster(
        char* message,
        size_t dimension,
        size_t count,
        int inner_product,
        int rounds,
        int seed,
        size_t rows,
        const float* sample,
        float* centroids) {
    return guard(message, [&] {
        faiss::ClusteringParameters parameters;
        parameters.niter = rounds;
        parameters.seed = seed;
        parameters.spherical = inner_product != 0;
        parameters.min_points_per_centroid = 1; // fewer than 39 are no reason to print a warning
        parameters.max_points_per_centroid = int(rows / count + 1); // the sample is the caller's: take all of it
        faiss::Clustering clustering(int(dimension), int(count), parameters);
        faiss::IndexFlat assigner(dimension, inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2);
        clustering.train(rows, sample, assigner);
        std::copy(clustering.centroids.begin(), clustering.centroids.end(), centroids);
    });
}

int genai_new(
        char* message,
        size_t dimension,
        int inner_product,
        size_t nlist,
        size_t m,
        size_t bits,
        const uint8_t* centroids,
        const uint8_t* codebooks,
        Ivf** out) {
    return guard(message, [&] {
        auto metric = inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2;
        auto ivf = std::make_unique<Ivf>(dimension, metric);
        auto& coarse = ivf->coarse;
        coarse.codes.resize(nlist * dimension * sizeof(float));
        std::memcpy(coarse.codes.data(), centroids, coarse.codes.size());
        coarse.ntotal = nlist;

        if (bits == 4) {
            auto index =
                    std::make_unique<FastScan>(&coarse, dimension, nlist, m, bits, metric, int(kBlockRows), false);
            ivf->pq = &index->pq;
            ivf->index = std::move(index);
        } else {
            auto index = std::make_unique<faiss::IndexIVFPQ>(&coarse, dimension, nlist, m, bits, metric, false);
            ivf->pq = &index->pq;
            ivf->index = std::move(index);
        }
        ivf->index->by_residual = false;
        ivf->index->is_trained = true;
        std::memcpy(ivf->pq->centroids.data(), codebooks, ivf->pq->centroids.size() * sizeof(float));
        *out = ivf.release();
    });
}

void genai_free(Ivf* ivf) {
    delete ivf;
}

int genai_allocate_lists(char* message, Ivf* ivf, const uint32_t* starts) {
    return guard(message, [&] {
        auto& index = *ivf->index;
        size_t block_rows = ivf->packed() ? kBlockRows : 1;
        auto lists = std::make_unique<RowLists>(index.nlist, ivf->pq->code_size, block_rows, starts);
        index.replace_invlists(lists.get(), true);
        ivf->lists = lists.release();
        index.ntotal = starts[index.nlist];
    });
}

int genai_pack(char* message, Ivf* ivf, const uint8_t* flat) {
    return guard(message, [&] {
        auto& lists = *ivf->lists;
        size_t code_size = ivf->pq->code_size;
        if (!ivf->packed()) {
            std::memcpy(lists.codes.get(), flat, lists.codes.size());
            return;
        }
        for (size_t i = 0; i < lists.nlist; i++) {
            size_t rows = lists.list_size(i);
            size_t padded = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
            faiss::pq4_pack_codes(
                    flat + lists.starts[i] * code_size,
                    rows,
                    ivf->pq->M,
                    padded,
                    kBlockRows,
                    code_size * 2,
                    lists.codes.get() + lists.offsets[i]);
        }
    });
}

int genai_unpack(char* message, const Ivf* ivf, size_t list, uint8_t* flat) {
    return guard(message, [&] {
        const auto& lists = *ivf->lists;
        size_t code_size = ivf->pq->code_size;
        size_t rows = lists.list_size(list);
        const uint8_t* codes = lists.get_codes(list);
        if (!ivf->packed()) {
            std::memcpy(flat, codes, rows * code_size);
            return;
        }
        faiss::CodePackerPQ4 packer(code_size * 2, kBlockRows);
        for (size_t i = 0; i < rows; i++) {
            packer.unpack_1(codes, i, flat + i * code_size);
        }
    });
}

const uint8_t* genai_centroids(const Ivf* ivf) {
    return ivf->coarse.codes.data();
}

const uint8_t* genai_codebooks(const Ivf* ivf) {
    return reinterpret_cast<const uint8_t*>(ivf->pq->centroids.data());
}

const uint8_t* genai_codes(const Ivf* ivf) {
    return ivf->lists->codes.get();
}

uint8_t* genai_codes_mut(Ivf* ivf) {
    return ivf->lists->codes.get();
}

int genai_assign(char* message, const Ivf* ivf, size_t rows, const float* values, uint32_t* lists) {
    return guard(message, [&] {
        std::vector<idx_t> nearest(rows);
        ivf->coarse.assign(rows, values, nearest.data());
        for (size_t i = 0; i < rows; i++) {
            if (nearest[i] < 0 || nearest[i] >= idx_t(ivf->index->nlist)) {
                throw std::runtime_error("a row is near no centroid");
            }
            lists[i] = uint32_t(nearest[i]);
        }
    });
}

// One row at a time, unlike FAISS's compute_codes: it takes the BLAS way for wide sub-quantizers, where a code would
// depend on the rows it is computed with, and where the table of a batch takes rows x m x codewords floats.
int genai_encode(char* message, const Ivf* ivf, size_t rows, const float* values, uint8_t* codes) {
    return guard(message, [&] {
        const auto& pq = *ivf->pq;
        for (size_t i = 0; i < rows; i++) {
            pq.compute_code(values + i * pq.d, codes + i * pq.code_size);
        }
    });
}

int genai_coarse_distances(char* message, const Ivf* ivf, const float* query, float* distances) {
    return guard(message, [&] {
        const auto& coarse = ivf->coarse;
        size_t nlist = coarse.ntotal;
        if (coarse.metric_type == faiss::METRIC_INNER_PRODUCT) {
            faiss::fvec_inner_products_ny(distances, query, coarse.get_xb(), coarse.d, nlist);
            std::transform(distances, distances + nlist, distances, [](float product) { return -product; });
        } else {
            faiss::fvec_L2sqr_ny(distances, query, coarse.get_xb(), coarse.d, nlist);
        }
    });
}

int genai_search(
        char* message,
        const Ivf* ivf,
        const float* query,
        size_t probes,
        const uint32_t* lists,
        size_t k,
        const uint8_t* selector,
        size_t selector_bytes,
        uint32_t* rows,
        size_t* found) {
    return guard(message, [&] {
        std::vector<idx_t> keys(lists, lists + probes);
        std::vector<float> coarse(probes, 0); // codes are not residuals: the distance to the centroid adds nothing
        std::vector<float> distances(k);
        std::vector<idx_t> labels(k, -1);
        faiss::IDSelectorBitmap bits(selector_bytes, selector);
        faiss::SearchParametersIVF parameters;
        parameters.nprobe = probes;
        parameters.sel = selector ? &bits : nullptr;
        ivf->index->search_preassigned(
                1, query, k, keys.data(), coarse.data(), distances.data(), labels.data(), false, &parameters);
        // Missing results are labelled -1, at the end; their distances mean nothing.
        size_t count = 0;
        for (idx_t label : labels) {
            if (label >= 0) {
                rows[count++] = uint32_t(label);
            }
        }
        *found = count;
    });
}

} // extern "C"
