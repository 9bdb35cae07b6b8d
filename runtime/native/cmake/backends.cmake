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
    message(STATUS "csflow: OpenVINO missing: no openvino/c/openvino.h. Devices auto, openvino-fp32 and openvino-bf16 "
                   "will be unavailable. pip install openvino, or -DCSFLOW_OPENVINO_INCLUDE=...")
    return()
  endif()
  target_include_directories(${target} SYSTEM PRIVATE "${CSFLOW_OPENVINO_INCLUDE}")
  target_compile_definitions(${target} PRIVATE CSFLOW_WITH_OPENVINO)
  # The wheel's library carries its release in the name.
  file(GLOB library RELATIVE "${CSFLOW_OPENVINO_INCLUDE}/../libs" "${CSFLOW_OPENVINO_INCLUDE}/../libs/libopenvino_c.so*")
  if(library)
    list(GET library 0 library)
    target_compile_definitions(${target} PRIVATE CSFLOW_OPENVINO_SONAME="${library}")
  endif()
  message(STATUS "csflow: OpenVINO found: headers in ${CSFLOW_OPENVINO_INCLUDE}")
endfunction()

function(csflow_add_backends target)
  csflow_add_openvino(${target})
endfunction()
