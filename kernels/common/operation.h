// SPDX-License-Identifier: Apache-2.0
// The grammar of kernels/: an operation is a struct of named arguments, and run(context, operation) is the only verb.
//
// An operation `Scale` brings, found by argument-dependent lookup in namespace isda::kernels:
//   static constexpr auto name = "scale";           the name in messages, traces and benches
//   void check(const Scale&);                       throws Error with what was got and expected
//   Cost cost(const Scale&);                        floating-point operations and bytes of memory traffic
//   void run(Reference, const Context&, const Scale&);   the definition
//   void run(Cpu, const Context&, const Scale&);         the fast version
//   void run(Cuda, const Context&, const Scale&);        the kernels, in .cu files; a program may be linked without
// The macro ISDA_OPERATION(Scale) declares these.
#pragma once
#include "kernels/common/context.h"
#include "kernels/common/cuda_device.h"
#include "kernels/common/error.h"
#include "kernels/common/trace.h"
#include "kernels/common/view.h"

namespace isda::kernels {

// Tags that choose the version of an operation.
struct Reference {};
struct Cpu {};
struct Cuda {};

template <class Operation>
void run(const Context& context, const Operation& operation) {
  check(operation);
  const Trace trace(Operation::name, [&] { return cost(operation); });
  if (OperationLog::is_dry()) [[unlikely]]
    return;
  switch (context.device()) {
    case Device::reference: return run(Reference{}, context, operation);
    case Device::cpu: return run(Cpu{}, context, operation);
    case Device::cuda: {
      require(has_cuda(operation), "[{}] has no CUDA version in this build; run with --device cpu", Operation::name);
      const cuda::Range range(Operation::name);
      return run(Cuda{}, context, operation);
    }
  }
}

}  // namespace isda::kernels

// NOTE: a weak function that nobody defines has no address: so a program is linked with the kernels of a card, of the emulator, or without.
#define ISDA_OPERATION(Operation)                                                                                                   \
  void check(const Operation&);                                                                                                     \
  Cost cost(const Operation&);                                                                                                      \
  void run(Reference, const Context&, const Operation&);                                                                            \
  void run(Cpu, const Context&, const Operation&);                                                                                  \
  __attribute__((weak)) void run(Cuda, const Context&, const Operation&);                                                           \
  inline bool has_cuda(const Operation&) { return static_cast<void (*)(Cuda, const Context&, const Operation&)>(&run) != nullptr; } \
  static_assert(true)
