# What `cmake --install` and `cpack -G DEB` give: library, header, find_package, pkg-config.
include(CMakePackageConfigHelpers)

set(shims ${csflow_shims})
if(DEFINED SKBUILD)
  # Inside the wheel there are no symbolic links; found by importlib.resources.
  install(TARGETS csflow ${csflow_worker} ${shims} LIBRARY DESTINATION csflow/runtime RUNTIME DESTINATION csflow/runtime)
  return()
endif()

set_target_properties(csflow PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
install(TARGETS csflow csflow_static EXPORT csflow-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(csflow_worker)
  # A program of the library's, of one architecture: not in bin, and where the library finds it under any prefix.
  install(TARGETS ${csflow_worker} RUNTIME DESTINATION ${CMAKE_INSTALL_LIBDIR}/csflow)
endif()
if(shims)
  install(TARGETS ${shims} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(FILES runtime/native/include/csflow.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT csflow-targets NAMESPACE csflow:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/csflow)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/csflow-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/csflow-config-version.cmake" runtime/native/cmake/csflow-config.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/csflow)
file(RELATIVE_PATH pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" pc_to_prefix "${pc_to_prefix}")
configure_file(runtime/native/cmake/csflow.pc.in "${PROJECT_BINARY_DIR}/csflow.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/csflow.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(CPACK_PACKAGE_NAME libcsflow)
set(CPACK_PACKAGE_CONTACT "The csflow developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
