// What Python sees of shared_ranks.h: arrays that are checked, and the region kept alive.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "shared_ranks.h"

namespace nb = nanobind;

namespace sglite {
namespace {

using Array = nb::ndarray<nb::device::cpu, nb::c_contig>;

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

class HeldRanks {
public:
    HeldRanks(Array region, int rank, int num_ranks, double timeout_s)
        : region_(region),
          num_ranks_((size_t)num_ranks),
          ranks_((uint8_t*)region.data(), region.nbytes(), rank, num_ranks, timeout_s) {}

    void all_reduce(Array x) {
        const bool is_float = x.dtype() == nb::dtype<float>();
        require(is_float || x.dtype() == nb::dtype<int64_t>(), "x must be float32 or int64");
        nb::gil_scoped_release release;
        if (is_float)
            ranks_.all_reduce((float*)x.data(), x.size());
        else
            ranks_.all_reduce((uint64_t*)x.data(), x.size());
    }

    void broadcast(Array x, int source) {
        require(source >= 0 && (size_t)source < num_ranks_, "no such rank");
        nb::gil_scoped_release release;
        ranks_.broadcast((uint8_t*)x.data(), x.nbytes(), source);
    }

    void gather(Array part, nb::object joined) {
        require(part.ndim() == 2, "part must be a matrix");
        uint8_t* target = nullptr;
        if (!joined.is_none()) {
            const Array whole = nb::cast<Array>(joined);
            require(whole.dtype() == part.dtype() && whole.nbytes() == num_ranks_ * part.nbytes(),
                    "joined must hold the parts of all ranks");
            target = (uint8_t*)whole.data();
        }
        const size_t num_rows = part.shape(0);
        nb::gil_scoped_release release;
        ranks_.gather((const uint8_t*)part.data(), target, num_rows,
                      num_rows ? part.nbytes() / num_rows : 0);
    }

private:
    Array region_;
    const size_t num_ranks_;
    SharedRanks ranks_;
};

}  // namespace

void bind_shared_ranks(nb::module_& m) {
    nb::class_<HeldRanks>(m, "SharedRanks")
        .def(nb::init<Array, int, int, double>(), nb::arg("region"), nb::arg("rank"),
             nb::arg("num_ranks"), nb::arg("timeout_s"))
        .def_static("region_bytes", &SharedRanks::region_bytes, nb::arg("num_ranks"))
        .def("all_reduce", &HeldRanks::all_reduce, nb::arg("x"))
        .def("broadcast", &HeldRanks::broadcast, nb::arg("x"), nb::arg("source"))
        .def("gather", &HeldRanks::gather, nb::arg("part"), nb::arg("joined").none());
}

}  // namespace sglite
