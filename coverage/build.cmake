# SPDX-License-Identifier: BSD-2-Clause
#
# The preset `coverage` has project() include this: every program of the build writes its counters also when it
# ends through _exit(). Only at the end of the top directory are all the programs known.
set(FLUSH_SOURCE ${CMAKE_CURRENT_LIST_DIR}/flush.c)

function(flush_at_exit)
    get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
    add_library(coverage_flush OBJECT ${FLUSH_SOURCE})
    foreach(target ${targets})
        get_target_property(type ${target} TYPE)
        if(type STREQUAL "EXECUTABLE")
            target_sources(${target} PRIVATE $<TARGET_OBJECTS:coverage_flush>)
            target_link_options(${target} PRIVATE LINKER:--wrap=_exit)
        endif()
    endforeach()
endfunction()

cmake_language(DEFER CALL flush_at_exit)
