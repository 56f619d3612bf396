# SPDX-License-Identifier: BSD-2-Clause
#
# What `cmake --install` puts where. Two packages, each for find_package() and for pkg-config:
#
#   vfio-stack   the stack: targets vfio-stack::vfio-stack (shared) and vfio-stack::static
#   vfake        the fake kernel, and the binding that puts it behind the stack: target vfake::vfake
#
# They need nothing but libc, and may be moved as a whole after the installation.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(vfio_shared PROPERTIES EXPORT_NAME vfio-stack)
set_target_properties(vfio_archive PROPERTIES EXPORT_NAME static)
set_target_properties(vfake_archive PROPERTIES EXPORT_NAME vfake)

install(TARGETS vfake RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS vfio_shared vfio_archive EXPORT vfio-stack INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS vfake_archive EXPORT vfake
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${CMAKE_INSTALL_INCLUDEDIR}/vfake)
install(DIRECTORY include/vfio include/vfake DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
# The ABI of Linux 7.2, for programs that call vfake_ioctl() where <linux/vfio.h> is older.
install(DIRECTORY include/uapi DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/vfake FILES_MATCHING PATTERN *.h)

# Directories as a .pc file spells them: below ${prefix}, which is found from the file's own place.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
    set(PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
    file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
    string(REGEX REPLACE "/$" "" up "${up}")
    set(PC_PREFIX "\${pcfiledir}/${up}")
endif()
set(PC_LIBDIR "\${prefix}")
cmake_path(APPEND PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
set(PC_INCLUDEDIR "\${prefix}")
cmake_path(APPEND PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")

# Before 1.0 a new minor version may change the interface.
foreach(package vfio-stack vfake)
    install(EXPORT ${package} FILE ${package}-config.cmake NAMESPACE ${package}::
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/${package})
    write_basic_package_version_file(${PROJECT_BINARY_DIR}/${package}-config-version.cmake
                                     COMPATIBILITY SameMinorVersion)
    install(FILES ${PROJECT_BINARY_DIR}/${package}-config-version.cmake
            DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/${package})
    configure_file(ci/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
