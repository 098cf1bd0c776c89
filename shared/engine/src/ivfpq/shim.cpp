// The parts of FAISS that this room uses, behind functions that Rust can call. native.rs declares them and says what it
// guarantees: here lengths and ranges are not checked again.
//
// Every function that can fail returns 0, or 1 with FAISS's text in `message`. No exception leaves, and no call uses
// more than the calling thread (omp_set_num_threads is per thread, so each call sets it).

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>
#include <vector>

#include <omp.h>

#include <faiss/Clustering.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/pq4_fast_scan.h>
#include <faiss/utils/distances.h>

#include "fast_scan.h"
#include "row_lists.h"

namespace {

using faiss::idx_t;
using genai::FastScan;
using genai::RowLists;

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
        int by_residual,
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
        ivf->index->by_residual = by_residual != 0;
        ivf->index->is_trained = true;
        std::memcpy(ivf->pq->centroids.data(), codebooks, ivf->pq->centroids.size() * sizeof(float));
        if (auto* scan = dynamic_cast<FastScan*>(ivf->index.get())) {
            scan->measure_codebooks();
        }
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
        float* estimates, // or null
        size_t* found) {
    return guard(message, [&] {
        std::vector<idx_t> keys(lists, lists + probes);
        FastScan::Tables tables;
        if (auto* scan = dynamic_cast<const FastScan*>(ivf->index.get()); scan && scan->needs_preparation()) {
            scan->prepare(query, k, selector, *ivf->lists, keys, tables);
            FastScan::prepared = &tables;
        }
        struct Reset {
            ~Reset() {
                FastScan::prepared = nullptr;
            }
        } reset;
        probes = keys.size();
        std::vector<float> coarse(probes, 0); // residuals are FastScan's alone, and it has what it wants
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
        for (size_t i = 0; i < k; i++) {
            if (labels[i] >= 0) {
                if (estimates) {
                    estimates[count] = distances[i];
                }
                rows[count++] = uint32_t(labels[i]);
            }
        }
        *found = count;
    });
}

} // extern "C"
