# SPDX-License-Identifier: BSD-2-Clause
#
# Writes story-cc beside vfake, the script that compiles stories of other files for it (ci/story-cc.in).

# One word, or several, as a shell reads them.
function(quote_for_shell output)
    set(words "")
    foreach(word IN LISTS ARGN)
        string(REPLACE "'" "'\\''" word "${word}")
        list(APPEND words "'${word}'")
    endforeach()
    list(JOIN words " " words)
    set(${output} "${words}" PARENT_SCOPE)
endfunction()

set(words -D_GNU_SOURCE ${CMAKE_C11_EXTENSION_COMPILE_OPTION} ${VFAKE_WARNINGS})
foreach(directory harness scenarios include scenarios/bugs)
    list(APPEND words "-I${PROJECT_SOURCE_DIR}/${directory}")
endforeach()
list(APPEND words ${CMOCKA_CFLAGS} -fPIC -shared -Wl,-Bsymbolic)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND words -fno-toplevel-reorder) # stories are found in the order of their addresses
endif()
list(TRANSFORM STACK_WRAPS REPLACE "^LINKER:" "-Wl," OUTPUT_VARIABLE wraps)
quote_for_shell(words ${words} ${wraps})
quote_for_shell(STORY_COMPILER "${CMAKE_C_COMPILER}")
string(TOUPPER "${CMAKE_BUILD_TYPE}" type)
set(flags "${CMAKE_C_COMPILER_ARG1} ${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${type}} ${CMAKE_SHARED_LINKER_FLAGS}")
# No counters: they would be written beside the object, which is gone by then.
string(REGEX REPLACE "(--coverage|-ftest-coverage|-fprofile-[^ ]*)" "" flags "${flags}")
set(STORY_FLAGS "${flags} ${words}")
configure_file(ci/story-cc.in ${PROJECT_BINARY_DIR}/story-cc @ONLY FILE_PERMISSIONS
               OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
