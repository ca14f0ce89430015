# SPDX-License-Identifier: Apache-2.0
# The vendor's libraries for the card's bench, each where it is found:
#   ISDA_CUBLAS   CUDA::cublas of the toolkit
#   ISDA_CUDNN    cuDNN 9, from -DCUDNN_ROOT=, the system or the toolkit, or the wheel that PyTorch brings (site-packages/nvidia/cudnn)
set(ISDA_CUBLAS "")
if(TARGET CUDA::cublas)
  set(ISDA_CUBLAS CUDA::cublas)
endif()

set(cudnn_places ${CUDNN_ROOT} $ENV{CUDNN_ROOT})
find_program(ISDA_PYTHON_OF_WHEELS NAMES python3 python)
mark_as_advanced(ISDA_PYTHON_OF_WHEELS)
if(ISDA_PYTHON_OF_WHEELS)
  execute_process(COMMAND ${ISDA_PYTHON_OF_WHEELS} -c "import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0])"
                  OUTPUT_VARIABLE cudnn_wheel OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
# NOTE: the wheel last; it has no link libcudnn.so. The library of the header that was found, before any other.
find_path(CUDNN_INCLUDE_DIR cudnn.h HINTS ${cudnn_places} ${CUDAToolkit_INCLUDE_DIRS} PATHS ${cudnn_wheel} PATH_SUFFIXES include)
find_library(CUDNN_LIBRARY NAMES cudnn libcudnn.so.9 NAMES_PER_DIR HINTS ${CUDNN_INCLUDE_DIR}/.. ${cudnn_places} ${CUDAToolkit_LIBRARY_DIR}
             PATHS ${cudnn_wheel} PATH_SUFFIXES lib lib64)
mark_as_advanced(CUDNN_INCLUDE_DIR CUDNN_LIBRARY)

set(ISDA_CUDNN "")
if(CUDNN_INCLUDE_DIR AND CUDNN_LIBRARY)
  set(version "")
  if(EXISTS ${CUDNN_INCLUDE_DIR}/cudnn_version.h)
    file(STRINGS ${CUDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) ")
    string(REGEX REPLACE "[^0-9;]" "" version "${lines}")
  endif()
  list(GET version 0 major)
  string(REPLACE ";" "." version "${version}")
  if(major VERSION_GREATER_EQUAL 9)
    add_library(isda_cudnn UNKNOWN IMPORTED)
    set_target_properties(isda_cudnn PROPERTIES IMPORTED_LOCATION ${CUDNN_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES "${CUDNN_INCLUDE_DIR}")
    set(ISDA_CUDNN isda_cudnn)
    message(STATUS "The card's bench is built with cuDNN ${version}: ${CUDNN_LIBRARY}")
  else()
    message(STATUS "The card's bench is built without cuDNN: ${CUDNN_LIBRARY} is ${version}, 9 is needed")
  endif()
else()
  message(STATUS "The card's bench is built without cuDNN: not found; name its folder by -DCUDNN_ROOT=")
endif()
