# SPDX-License-Identifier: Apache-2.0
# The .cu files of kernels/, twice: for a card by nvcc (ISDA_CARD, what the program is linked with), and as C++ for the emulated card
# (kernels/emulator, what the tests are linked with). Neither is needed to build the program.

# ---- for a card ----
set(ISDA_CARD "")
if(NOT ISDA_CUDA STREQUAL "off")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # NOTE: PTX of sm_90 lets cards newer than this build run it. Developers name one architecture to build faster.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
    endif()
    enable_language(CUDA)
    # NOTE: CMake 3.25 does not know that nvcc can do C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit REQUIRED)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS kernels/*.cu)
    add_library(isda_cuda OBJECT ${cuda_sources})
    set(werror $<$<BOOL:${ISDA_WERROR}>:-Werror=all-warnings>)
    # NOTE: the standard library's constexpr functions, and our Philox, are called in kernels. -lineinfo costs nothing and names lines in a
    # profiler. 1675: headers shared with the CPU have pragmas of GCC.
    target_compile_options(isda_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -lineinfo -diag-suppress=1675 -Xptxas=-v
                                             -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers ${werror}>)
    # NOTE: nvcc cannot check fmt's format strings at compile time; the emulated build of the same files does.
    target_compile_definitions(isda_cuda PRIVATE FMT_CONSTEVAL= FMT_USE_CONSTEXPR=1)
    target_link_libraries(isda_cuda PUBLIC isda_kernels CUDA::cudart_static)
    # What ptxas says of each kernel is kept for scripts/kernel_resources.py.
    set_property(TARGET isda_cuda PROPERTY RULE_LAUNCH_COMPILE "${PROJECT_SOURCE_DIR}/scripts/keep_ptxas_report.sh <OBJECT>")
    set(ISDA_CARD isda_cuda)
  elseif(ISDA_CUDA STREQUAL "on")
    message(FATAL_ERROR "ISDA_CUDA=on, but no nvcc was found: install the CUDA toolkit, or name it by -DCMAKE_CUDA_COMPILER=")
  else()
    message(STATUS "No nvcc was found: the program is built without CUDA")
  endif()
endif()

# ---- for the emulated card ----
# The toolkit's headers, from the toolkit or from where scripts/setup.sh puts them.
find_path(ISDA_CUDA_HEADERS cuda_runtime.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ${PROJECT_SOURCE_DIR}/build/tools/cuda /usr/local/cuda/include NO_CACHE)
if(ISDA_TESTS AND NOT ISDA_TESTS_ON_CARD AND NOT ISDA_CUDA_HEADERS)
  message(FATAL_ERROR "The tests need the headers of the CUDA runtime for the emulated card: run scripts/setup.sh, or configure with -DISDA_TESTS=OFF")
endif()
if(ISDA_TESTS AND NOT ISDA_TESTS_ON_CARD)
  add_subdirectory(kernels/emulator)
endif()
