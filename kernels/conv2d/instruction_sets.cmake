# SPDX-License-Identifier: Apache-2.0
# The convolution's inner loops are compiled once per instruction set and chosen at run time (microkernels.h): each file gets
# its own flags, whatever the rest of the program is compiled for.
set(folder ${CMAKE_CURRENT_LIST_DIR})
set_source_files_properties(${folder}/microkernels_baseline.cpp PROPERTIES COMPILE_OPTIONS "-ffp-contract=fast")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${folder}/microkernels_avx2.cpp PROPERTIES COMPILE_OPTIONS "-ffp-contract=fast;-mavx2;-mfma")
  set_source_files_properties(${folder}/microkernels_avx512.cpp PROPERTIES COMPILE_OPTIONS "-ffp-contract=fast;-mavx512f;-mfma")
endif()
# NOTE: a precompiled header is of one instruction set.
set_source_files_properties(${folder}/microkernels_baseline.cpp ${folder}/microkernels_avx2.cpp ${folder}/microkernels_avx512.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
