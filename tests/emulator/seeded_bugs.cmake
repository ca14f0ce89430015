# SPDX-License-Identifier: Apache-2.0
# What each seeded bug must be noticed by. One process each: a sanitizer ends it.
#
# isda_must_notice(MODE REPORT BUG...)   MODE: plain, address, thread, memory (what the build is for); REPORT: a regular expression, in which
# @line@ is the file and line that are marked "BUG: NAME" in the source.

if(ISDA_SANITIZE MATCHES "address|thread|memory")
  set(bug_mode ${CMAKE_MATCH_0})
else()
  set(bug_mode plain)
endif()

# Where each bug is: variables line_NAME.
file(RELATIVE_PATH here ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
foreach(source IN LISTS bug_sources)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  get_filename_component(name ${source} NAME)
  execute_process(COMMAND awk [[/\/\/ BUG: / { sub(/.*BUG: /, ""); count = split($0, bugs, " "); for (i = 1; i <= count; ++i) print bugs[i] " " NR }]] ${source}
                  OUTPUT_VARIABLE marks OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE "\n" ";" marks "${marks}")
  foreach(mark IN LISTS marks)
    string(REPLACE " " ";" mark ${mark})
    list(GET mark 0 bug)
    list(GET mark 1 number)
    string(REPLACE "." "\\." line_${bug} "${here}/${name}:${number}[^0-9]")
  endforeach()
endforeach()

set(bugs_expected "")
function(isda_must_notice mode report)
  set(bugs_expected ${bugs_expected} ${ARGN} PARENT_SCOPE)
  if(NOT mode STREQUAL bug_mode)
    return()
  endif()
  foreach(bug IN LISTS ARGN)
    if(report MATCHES "@line@" AND NOT line_${bug})
      message(FATAL_ERROR "No line of ${here} is marked // BUG: ${bug}")
    endif()
    string(REPLACE "@line@" "${line_${bug}}" expected "${report}")
    # NOTE: without a sanitizer under every schedule, else under one: they do not depend on it.
    if(mode STREQUAL plain)
      add_test(NAME emulator.bug.${bug} COMMAND commit_bug ${bug})
    else()
      add_test(NAME emulator.bug.${bug} COMMAND commit_bug ${bug} forward)
    endif()
    set_tests_properties(emulator.bug.${bug} PROPERTIES PASS_REGULAR_EXPRESSION "${expected}" TIMEOUT 120)
  endforeach()
endfunction()

# ---- without a sanitizer ----
set(always "noticed under 10 of 10 schedules")
# The emulated card tells the line.
isda_must_notice(plain "divergent barrier: [^\n]* at @line@.*${always}" divergent_barrier early_return_before_barrier barrier_in_unequal_loop)
isda_must_notice(plain "deadlock: [^\n]*\n[^\n]* at @line@.*${always}" deadlock early_return_before_shuffle mismatched_masks product_by_half_a_warp)
isda_must_notice(plain "by a lane that is not in its mask, by thread [^\n]* at @line@.*${always}" lane_not_in_mask)
isda_must_notice(plain "atomicAdd of floats, whose sum depends on the order of threads, by thread [^\n]* at @line@.*${always}" sum_by_float_atomics)
isda_must_notice(plain "waits in [^\n]* at @line@.*${always}" mismatched_collectives)
isda_must_notice(plain "of dynamic shared memory, the launch asked for 508, by thread [^\n]* at @line@.*${always}" carved_more_than_launched)
isda_must_notice(plain "declares 49156 bytes of shared memory, at most 49152 [^\n]* at @line@.*${always}" declared_too_much_shared)
isda_must_notice(plain "the source of cp.async is not aligned to its size, by thread [^\n]* at @line@.*${always}" async_source_misaligned)
isda_must_notice(plain "the destination of cp.async lies outside every array [^\n]* at @line@.*${always}" async_destination_outside)
isda_must_notice(plain "the source of cp.async lies outside every allocation [^\n]* at @line@.*${always}" padding_test_wrong)
isda_must_notice(plain "an access of a whole packet that is not aligned to its size, by thread [^\n]* at @line@.*${always}" misaligned_vector_load)
# It tells the kernel; AddressSanitizer tells the line.
isda_must_notice(plain "wrote behind an array of shared memory.*${always}" shared_array_one_short write_across_pieces)
isda_must_notice(plain "copy: the kernel wrote at byte 488 of an allocation of 488 bytes.*${always}" global_write_past_the_end)
isda_must_notice(plain "product: the kernel wrote at byte 800 of an allocation of 800 bytes.*${always}" row_guard_missing_in_store)
# It tells the kernel and the argument.
isda_must_notice(plain "argument 2 is a pointer to memory that is not the card's.*${always}" use_after_free host_pointer_in_kernel freed_between_capture_and_replay)
# It tells the call.
isda_must_notice(plain "cudaMalloc while a stream is being captured.*${always}" allocation_in_capture)
isda_must_notice(plain "cudaStreamSynchronize while a stream is being captured.*${always}" synchronisation_in_capture)
isda_must_notice(plain "another stream joined the capture and did not come back.*${always}" fork_not_joined_in_capture)
isda_must_notice(plain "cudaMemcpyAsync: the destination is not memory of the card.*${always}" copy_in_the_wrong_direction)
isda_must_notice(plain "cudaMemcpyAsync: the destination is smaller than what is copied.*${always}" copy_longer_than_the_array)
isda_must_notice(plain "cudaFree: the pointer was not allocated on the card, or freed before.*${always}" double_free)
isda_must_notice(plain "add: a block of more than 1024 threads.*${always}" too_many_threads)
isda_must_notice(plain "add: a grid or block without threads.*${always}" empty_grid)
isda_must_notice(plain "add: more than 227 KiB of shared memory.*${always}" too_much_dynamic_shared)
# A counter tells it: nothing is wrong, it is slow.
isda_must_notice(plain "bank conflicts: 48 in 48 reads of ldmatrix.*${always}" rows_without_padding)
# A value is wrong whatever the schedule: permuted, poison, or NaN.
isda_must_notice(plain "wrong value.*${always}" fragment_lanes_permuted async_wait_one_group_late read_before_async_wait async_copy_not_committed
                 shuffle_from_outside_of_mask shared_not_initialised branch_on_shared_not_initialised global_read_past_the_end global_not_initialised
                 host_read_before_synchronise pinned_memory_written_too_early)
# A value is wrong under some schedules.
isda_must_notice(plain "wrong value.*noticed under [1-9]" barrier_missing_before_read barrier_missing_before_reuse barrier_missing_in_tree
                 barrier_missing_before_product barrier_missing_before_next_copy barrier_missing_behind_async_copy syncwarp_missing syncwarp_of_half_a_warp
                 race_between_blocks blocks_overlap_by_one event_missing_between_streams edge_missing_between_branches)

# ---- ThreadSanitizer: whatever the schedule, with the line ----
isda_must_notice(thread "ThreadSanitizer: data race.*@line@" barrier_missing_before_read barrier_missing_before_reuse barrier_missing_in_tree
                 barrier_missing_before_product barrier_missing_before_next_copy barrier_missing_behind_async_copy syncwarp_missing syncwarp_of_half_a_warp
                 shuffle_used_as_fence histogram_without_atomics race_between_blocks blocks_overlap_by_one fence_missing_before_counter
                 async_copy_not_committed host_read_before_synchronise pinned_memory_written_too_early)
# Between streams, and between branches of a graph: the lines are those of the two kernels.
isda_must_notice(thread "ThreadSanitizer: data race.*add_kernel[^\n]*${here}/seeded_host\\.cu:.*add_kernel[^\n]*${here}/seeded_host\\.cu:"
                 event_missing_between_streams edge_missing_between_branches)

# ---- AddressSanitizer: with the line ----
isda_must_notice(address "AddressSanitizer: use-after-poison.*@line@" shared_array_one_short write_across_pieces device_pointer_on_the_host
                 host_read_before_synchronise read_before_async_wait async_wait_one_group_late async_copy_not_committed)
isda_must_notice(address "AddressSanitizer: heap-buffer-overflow.*@line@" global_read_past_the_end global_write_past_the_end row_guard_missing_in_store
                 padding_test_wrong copy_longer_than_the_hosts_array)
isda_must_notice(address "AddressSanitizer: heap-use-after-free.*@line@" use_after_free_by_structure)

# ---- MemorySanitizer: with the line ----
isda_must_notice(memory "MemorySanitizer: use-of-uninitialized-value.*@line@" branch_on_shared_not_initialised global_not_initialised
                 shared_not_initialised shuffle_from_outside_of_mask sums_not_initialised)

# No bug is without an expectation.
list(REMOVE_DUPLICATES bugs_expected)
add_test(NAME emulator.bugs_are_expected COMMAND commit_bug --are ${bugs_expected})
