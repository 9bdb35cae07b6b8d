// OpenVINO's C interface, loaded at run time.
#pragma once

#include "engine/library.h"

#include <openvino/c/openvino.h>

namespace csflow {

/// The functions that are used, by their declarations in OpenVINO's headers.
struct OpenVinoApi {
    explicit OpenVinoApi(const Library &library)
#define CSFLOW_LOAD(name) name(library.function<decltype(&::name)>(#name))
        : CSFLOW_LOAD(ov_core_create), CSFLOW_LOAD(ov_core_free), CSFLOW_LOAD(ov_core_get_property),
          CSFLOW_LOAD(ov_core_read_model), CSFLOW_LOAD(ov_core_compile_model),
          CSFLOW_LOAD(ov_model_free), CSFLOW_LOAD(ov_model_inputs_size),
          CSFLOW_LOAD(ov_model_const_input_by_index), CSFLOW_LOAD(ov_model_reshape_by_port_indexes),
          CSFLOW_LOAD(ov_port_get_any_name), CSFLOW_LOAD(ov_port_get_partial_shape),
          CSFLOW_LOAD(ov_output_const_port_free), CSFLOW_LOAD(ov_partial_shape_free),
          CSFLOW_LOAD(ov_compiled_model_free), CSFLOW_LOAD(ov_compiled_model_create_infer_request),
          CSFLOW_LOAD(ov_compiled_model_get_property),
          CSFLOW_LOAD(ov_infer_request_free), CSFLOW_LOAD(ov_infer_request_get_tensor),
          CSFLOW_LOAD(ov_infer_request_set_tensor), CSFLOW_LOAD(ov_infer_request_infer), CSFLOW_LOAD(ov_tensor_free),
          CSFLOW_LOAD(ov_tensor_data), CSFLOW_LOAD(ov_tensor_get_byte_size), CSFLOW_LOAD(ov_tensor_get_shape),
          CSFLOW_LOAD(ov_tensor_get_element_type),
          CSFLOW_LOAD(ov_shape_free), CSFLOW_LOAD(ov_free), CSFLOW_LOAD(ov_get_last_err_msg) {}
#undef CSFLOW_LOAD

#define CSFLOW_MEMBER(name) decltype(&::name) name
    CSFLOW_MEMBER(ov_core_create);
    CSFLOW_MEMBER(ov_core_free);
    CSFLOW_MEMBER(ov_core_get_property);
    CSFLOW_MEMBER(ov_core_read_model);
    CSFLOW_MEMBER(ov_core_compile_model);
    CSFLOW_MEMBER(ov_model_free);
    CSFLOW_MEMBER(ov_model_inputs_size);
    CSFLOW_MEMBER(ov_model_const_input_by_index);
    CSFLOW_MEMBER(ov_model_reshape_by_port_indexes);
    CSFLOW_MEMBER(ov_port_get_any_name);
    CSFLOW_MEMBER(ov_port_get_partial_shape);
    CSFLOW_MEMBER(ov_output_const_port_free);
    CSFLOW_MEMBER(ov_partial_shape_free);
    CSFLOW_MEMBER(ov_compiled_model_free);
    CSFLOW_MEMBER(ov_compiled_model_create_infer_request);
    CSFLOW_MEMBER(ov_compiled_model_get_property);
    CSFLOW_MEMBER(ov_infer_request_free);
    CSFLOW_MEMBER(ov_infer_request_get_tensor);
    CSFLOW_MEMBER(ov_infer_request_set_tensor);
    CSFLOW_MEMBER(ov_infer_request_infer);
    CSFLOW_MEMBER(ov_tensor_free);
    CSFLOW_MEMBER(ov_tensor_data);
    CSFLOW_MEMBER(ov_tensor_get_byte_size);
    CSFLOW_MEMBER(ov_tensor_get_shape);
    CSFLOW_MEMBER(ov_tensor_get_element_type);
    CSFLOW_MEMBER(ov_shape_free);
    CSFLOW_MEMBER(ov_free);
    CSFLOW_MEMBER(ov_get_last_err_msg);
#undef CSFLOW_MEMBER

    void check(ov_status_e status, csflow_status ours, const char *doing) const {
        if (status != ov_status_e::OK) {
            const char *said = ov_get_last_err_msg();
            fail(ours, "OpenVINO cannot %s: %.300s", doing, last_line(said != nullptr ? said : "").c_str());
        }
    }
};

/// One of OpenVINO's objects, freed at the end.
template <typename T> class Held {
public:
    explicit Held(void (*release)(T *)) noexcept : release_(release) {}
    ~Held() { reset(); }
    Held(const Held &) = delete;
    Held &operator=(const Held &) = delete;

    void reset() noexcept {
        if (object_ != nullptr) {
            release_(object_);
        }
        object_ = nullptr;
    }
    T **out() noexcept { return &object_; }
    T *get() const noexcept { return object_; }

private:
    void (*release_)(T *);
    T *object_ = nullptr;
};

} // namespace csflow
