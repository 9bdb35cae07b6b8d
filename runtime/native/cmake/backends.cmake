# Which back ends can be built in. Nothing of Intel or NVIDIA is linked: their headers are read, their libraries are
# loaded at run time.
set(CSFLOW_OPENVINO_INCLUDE "" CACHE PATH "Folder with openvino/c/openvino.h; empty: look in Python and the system")

function(csflow_find_openvino)
  if(NOT CSFLOW_OPENVINO_INCLUDE)
    find_package(Python3 QUIET COMPONENTS Interpreter)
    if(Python3_FOUND)
      execute_process(COMMAND ${Python3_EXECUTABLE} -c
        "from importlib.util import find_spec; s = find_spec('openvino'); print(s.submodule_search_locations[0] if s else '')"
        OUTPUT_VARIABLE wheel OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
    find_path(openvino_include openvino/c/openvino.h HINTS "${wheel}/include" NO_CACHE)
    if(openvino_include)
      set(CSFLOW_OPENVINO_INCLUDE "${openvino_include}" CACHE PATH "" FORCE)
    endif()
  endif()
endfunction()

function(csflow_add_openvino target)
  csflow_find_openvino()
  if(NOT EXISTS "${CSFLOW_OPENVINO_INCLUDE}/openvino/c/openvino.h")
    message(STATUS "csflow: OpenVINO missing: no openvino/c/openvino.h. Devices auto and openvino-* will be "
                   "unavailable. pip install openvino, or -DCSFLOW_OPENVINO_INCLUDE=...")
    return()
  endif()
  target_include_directories(${target} SYSTEM PRIVATE "${CSFLOW_OPENVINO_INCLUDE}")
  target_compile_definitions(${target} PRIVATE CSFLOW_WITH_OPENVINO)
  # The wheel's library carries its release in the name.
  file(GLOB library RELATIVE "${CSFLOW_OPENVINO_INCLUDE}/../libs" "${CSFLOW_OPENVINO_INCLUDE}/../libs/libopenvino_c.so*")
  if(library)
    list(GET library 0 library)
    target_compile_definitions(${target} PRIVATE CSFLOW_OPENVINO_SONAME="${library}")
    # A wheel is built in a temporary folder that anybody may make again, and finds OpenVINO beside itself.
    if(NOT DEFINED SKBUILD)
      get_filename_component(libraries "${CSFLOW_OPENVINO_INCLUDE}/../libs" ABSOLUTE)
      target_compile_definitions(${target} PRIVATE CSFLOW_OPENVINO_BUILT="${libraries}/${library}")
    endif()
  endif()
  message(STATUS "csflow: OpenVINO found: headers in ${CSFLOW_OPENVINO_INCLUDE}")
endfunction()

set(CSFLOW_TENSORRT_INCLUDE "" CACHE STRING "Folders with NvInferRuntime.h, one for each major version of TensorRT")
set(CSFLOW_CUDA_INCLUDE "" CACHE STRING "Folders with cuda_runtime_api.h and crt/host_defines.h")

# libcsflow_trt<major>.so for the headers in `include`: TensorRT's classes differ from one major version to the next.
function(csflow_add_tensorrt include)
  file(STRINGS "${include}/NvInferVersion.h" line REGEX "define (NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) +[0-9]+" LIMIT_COUNT 1)
  string(REGEX MATCH "[0-9]+" major "${line}")
  add_library(csflow_trt${major} MODULE ${PROJECT_SOURCE_DIR}/runtime/native/src/engine/tensorrt/shim.cpp)
  set_target_properties(csflow_trt${major} PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden
    PREFIX lib)
  target_include_directories(csflow_trt${major} SYSTEM PRIVATE "${include}" ${CSFLOW_CUDA_INCLUDE})
  target_include_directories(csflow_trt${major} PRIVATE ${PROJECT_SOURCE_DIR}/runtime/native/include
    ${PROJECT_SOURCE_DIR}/runtime/native/src)
  target_link_libraries(csflow_trt${major} PRIVATE csflow_warnings)
  set(csflow_shims ${csflow_shims} csflow_trt${major} PARENT_SCOPE)
  message(STATUS "csflow: TensorRT ${major} found: headers in ${include}")
endfunction()

function(csflow_no_engine)
  set(kind WARNING)
  if(CSFLOW_REQUIRE_ENGINE)
    set(kind FATAL_ERROR)
  endif()
  message(${kind} "csflow: there is no engine to build in: this libcsflow can open no model but with the device fake. "
                  "Install OpenVINO for the Python that CMake finds (pip install openvino), name its headers "
                  "(-DCSFLOW_OPENVINO_INCLUDE=...) or TensorRT's (-DCSFLOW_TENSORRT_INCLUDE=...), or say that none is wanted "
                  "(-DCSFLOW_REQUIRE_ENGINE=OFF)")
endfunction()

function(csflow_add_backends target)
  csflow_add_openvino(${target})
  foreach(include ${CSFLOW_TENSORRT_INCLUDE})
    if(NOT EXISTS "${include}/NvInferRuntime.h" OR NOT EXISTS "${include}/NvInferVersion.h")
      message(FATAL_ERROR "CSFLOW_TENSORRT_INCLUDE: no NvInferRuntime.h in ${include}")
    endif()
    csflow_add_tensorrt("${include}")
  endforeach()
  set(csflow_shims ${csflow_shims} PARENT_SCOPE)
  if(NOT CSFLOW_TENSORRT_INCLUDE)
    message(STATUS "csflow: TensorRT missing: no headers were named. Devices tensorrt-fp32 and tensorrt-fp16 will be "
                   "unavailable. -DCSFLOW_TENSORRT_INCLUDE=...")
    if(NOT EXISTS "${CSFLOW_OPENVINO_INCLUDE}/openvino/c/openvino.h")
      csflow_no_engine()
    endif()
  endif()
endfunction()
