# SPDX-License-Identifier: MIT
# Installed: both libraries, the archive, the tool, the headers, and the files by which CMake and
# pkg-config find them. Nothing in them names the prefix, so the installed tree may be moved.
include(CMakePackageConfigHelpers)

install(TARGETS rthooks rthooks_interpose EXPORT rthooks
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET rthooks_static)
    install(TARGETS rthooks_static EXPORT rthooks ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET rthooks_cli)
    file(RELATIVE_PATH libdir_from_bindir
        ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
    set_target_properties(rthooks_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${libdir_from_bindir}")
    install(TARGETS rthooks_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/rthooks DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
install(FILES ${PROJECT_BINARY_DIR}/include/rthooks/version.h
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/rthooks)

set(RTH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/rthooks)
install(EXPORT rthooks NAMESPACE rthooks:: FILE rthooks-targets.cmake DESTINATION ${RTH_CMAKE_DIR})
configure_package_config_file(cmake/rthooks-config.cmake.in
    ${PROJECT_BINARY_DIR}/rthooks-config.cmake INSTALL_DESTINATION ${RTH_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rthooks-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rthooks-config.cmake
    ${PROJECT_BINARY_DIR}/rthooks-config-version.cmake DESTINATION ${RTH_CMAKE_DIR})

# From where the .pc files lie back to the prefix: libdir may be lib, lib64 or lib/TRIPLET.
set(RTH_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RTH_PREFIX_FROM_PC ${CMAKE_INSTALL_PREFIX}/${RTH_PC_DIR} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" RTH_PREFIX_FROM_PC "${RTH_PREFIX_FROM_PC}")
foreach(name rthooks rthooks-interpose)
    configure_file(cmake/${name}.pc.in ${PROJECT_BINARY_DIR}/${name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${RTH_PC_DIR})
endforeach()
