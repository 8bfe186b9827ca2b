# What `make install` puts where: programs, the library of readers with its header, what completes commands in shells, documents.
include(GNUInstallDirs)

install(TARGETS nashswarm nashswarmd nashswarm-engine RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS nashswarm_capi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES core/capi/nashswarm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# The program writes them itself, so they know every command and flag it has.
set(COMPLETIONS ${CMAKE_BINARY_DIR}/completions)
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${COMPLETIONS}/${shell} DEPENDS nashswarm VERBATIM
    COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 sh -c "mkdir -p ${COMPLETIONS} && $<TARGET_FILE:nashswarm> completion ${shell} >${COMPLETIONS}/${shell}")
endforeach()
add_custom_target(completions ALL DEPENDS ${COMPLETIONS}/bash ${COMPLETIONS}/zsh ${COMPLETIONS}/fish)
add_dependencies(programs completions)
install(FILES ${COMPLETIONS}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME nashswarm)
install(FILES ${COMPLETIONS}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _nashswarm)
install(FILES ${COMPLETIONS}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME nashswarm.fish)

file(GLOB DOCUMENTS CONFIGURE_DEPENDS docs/*.md docs/*.png)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${DOCUMENTS} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
