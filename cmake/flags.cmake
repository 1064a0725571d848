# SPDX-License-Identifier: MIT
# Warnings, sanitizers and include paths of everything we compile; never exported.
add_library(rth_flags INTERFACE)
target_include_directories(rth_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
target_compile_definitions(rth_flags INTERFACE _GNU_SOURCE)
target_compile_options(rth_flags INTERFACE
    -fno-omit-frame-pointer
    -Wall -Wextra -Wshadow -Wundef -Wcast-qual -Wformat=2 -Wvla
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)
if(RTH_WERROR)
    target_compile_options(rth_flags INTERFACE -Werror)
endif()
if(RTH_SANITIZE)
    target_compile_options(rth_flags INTERFACE -fsanitize=${RTH_SANITIZE})
    target_link_options(rth_flags INTERFACE -fsanitize=${RTH_SANITIZE})
endif()
# Debug builds check lock ranks and internal invariants.
target_compile_definitions(rth_flags INTERFACE $<$<CONFIG:Debug>:RTH_DEBUG=1>)

# Optimised with line tables: users read our frames in their profiles.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
