# SPDX-License-Identifier: MIT
# docs/environment.md equals what PRINTER says. scripts/gen-environment-docs writes it.
execute_process(COMMAND ${PRINTER} OUTPUT_VARIABLE printed RESULT_VARIABLE status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "${PRINTER}: ${status}")
endif()
file(READ ${DOCUMENT} written)
if(NOT written STREQUAL printed)
    message(FATAL_ERROR "docs/environment.md differs from the option rows: "
                        "run scripts/gen-environment-docs")
endif()
