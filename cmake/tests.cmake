# SPDX-License-Identifier: MIT
set(RTH_TEST_TIMEOUT_S 60)

# unit/<component>/test_<file>.c becomes unit.<component>.<file>.<case> for each case in it.
function(rth_add_unit_test source)
    get_filename_component(file ${source} NAME_WE)
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(component ${folder} NAME)
    set(target unit_${component}_${file})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE rth_testing PkgConfig::CMOCKA m)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    # Cases look for their functions on stacks: no copies of them under other names.
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANG_AND_ID:C,GNU>:-fno-ipa-cp;-fno-ipa-icf>)
    target_compile_definitions(${target} PRIVATE
        RTH_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
    if(component STREQUAL "interpose")
        # These run over the real object, with a runtime of their own.
        if(NOT TARGET interpose_test_helpers)
            add_subdirectory(${PROJECT_SOURCE_DIR}/tests/unit/interpose/helper
                ${PROJECT_BINARY_DIR}/tests/interpose_helper)
        endif()
        target_link_libraries(${target} PRIVATE rthooks_interpose interpose_test_helpers)
    endif()
    if(component STREQUAL "tools")
        target_link_libraries(${target} PRIVATE rth_testing_tools)
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} lines REGEX "cmocka_unit_test\\(")
    string(REGEX REPLACE "^test_" "" short ${file})
    foreach(line IN LISTS lines)
        string(REGEX MATCHALL "cmocka_unit_test\\(([a-zA-Z0-9_]+)\\)" cases "${line}")
        foreach(case IN LISTS cases)
            string(REGEX REPLACE "cmocka_unit_test\\((.*)\\)" "\\1" name "${case}")
            set(test unit.${component}.${short}.${name})
            add_test(NAME ${test} COMMAND ${target} ${name})
            set_tests_properties(${test} PROPERTIES TIMEOUT ${RTH_TEST_TIMEOUT_S}
                SKIP_REGULAR_EXPRESSION "skipped: " LABELS "unit")
        endforeach()
    endforeach()
endfunction()
