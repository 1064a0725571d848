# SPDX-License-Identifier: MIT
# librthooks.so, librthooks.a and librthooks_interpose.so.

# Everything is bound and write-protected before the host's main: no lazy binding in a signal
# handler, no unload while a thread of ours runs.
set(RTH_SHARED_LINK_OPTIONS -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete -Wl,-z,noexecstack)
if(NOT RTH_SANITIZE)
    # clang leaves the sanitizer runtime to the executable.
    list(APPEND RTH_SHARED_LINK_OPTIONS -Wl,--no-undefined)
endif()

add_library(rthooks SHARED $<TARGET_OBJECTS:rth_base> $<TARGET_OBJECTS:rth_runtime>)
target_link_libraries(rthooks PRIVATE rth_flags rth_archives)
target_include_directories(rthooks INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_options(rthooks PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/src/rthooks.map ${RTH_SHARED_LINK_OPTIONS})
set_target_properties(rthooks PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/src/rthooks.map)
add_library(rthooks::rthooks ALIAS rthooks)

add_library(rthooks_interpose SHARED ${RTH_INTERPOSE_SOURCES})
set_target_properties(rthooks_interpose PROPERTIES LINKER_LANGUAGE C EXPORT_NAME interpose)
target_link_libraries(rthooks_interpose PRIVATE rth_flags)
# See versions.map.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    set(RTH_INTERPOSE_MAP ${PROJECT_SOURCE_DIR}/src/interpose/versions.map)
else()
    set(RTH_INTERPOSE_MAP ${PROJECT_SOURCE_DIR}/src/interpose/interpose.map)
endif()
target_link_options(rthooks_interpose PRIVATE
    -Wl,--version-script=${RTH_INTERPOSE_MAP} ${RTH_SHARED_LINK_OPTIONS})
set_target_properties(rthooks_interpose PROPERTIES VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${RTH_INTERPOSE_MAP})
add_library(rthooks::interpose ALIAS rthooks_interpose)

# librthooks.a is one object in which every symbol but the public ones is local, so that a program
# that links it sees the names of the shared library and no others. It carries the ELF note by
# which `rthooks run` knows not to preload a second runtime (docs/adr/0002). A sanitizer's own
# per-object symbols do not survive localizing.
if(NOT RTH_SANITIZE)
    add_library(rth_note OBJECT src/note.c)
    target_link_libraries(rth_note PRIVATE rth_flags)
    set(single ${PROJECT_BINARY_DIR}/rthooks-single.o)
    set(public_symbols ${PROJECT_BINARY_DIR}/rthooks-public-symbols.txt)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS src/rthooks.map)
    file(STRINGS src/rthooks.map map_lines REGEX "^ *rth_[a-z0-9_]+;")
    list(TRANSFORM map_lines REPLACE "[ ;]" "")
    list(JOIN map_lines "\n" map_text)
    file(GENERATE OUTPUT ${public_symbols} CONTENT "${map_text}\n")
    add_custom_command(OUTPUT ${single}
        COMMAND ${CMAKE_LINKER} -r -o ${single}.all $<TARGET_OBJECTS:rth_base>
                $<TARGET_OBJECTS:rth_runtime> $<TARGET_OBJECTS:rth_note>
                ${RTH_ZLIB_ARCHIVE}
        COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${public_symbols} ${single}.all ${single}
        DEPENDS $<TARGET_OBJECTS:rth_base> $<TARGET_OBJECTS:rth_runtime>
                $<TARGET_OBJECTS:rth_note> ${public_symbols} src/rthooks.map
        COMMAND_EXPAND_LISTS VERBATIM COMMENT "Joining librthooks.a into one object")
    set_source_files_properties(${single} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
    add_library(rthooks_static STATIC ${single})
    set_target_properties(rthooks_static PROPERTIES LINKER_LANGUAGE C OUTPUT_NAME rthooks
        EXPORT_NAME static)
    # The threads library and the loader's are apart from libc before glibc 2.34.
    find_package(Threads REQUIRED)
    target_link_libraries(rthooks_static INTERFACE Threads::Threads ${CMAKE_DL_LIBS})
    target_include_directories(rthooks_static INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    add_library(rthooks::static ALIAS rthooks_static)
endif()
