// SPDX-License-Identifier: Apache-2.0
// The grammar of kernels/: an operation is a struct of named arguments, and run(context, operation) is the only verb.
//
// An operation `Scale` brings, found by argument-dependent lookup in namespace isda::kernels:
//   static constexpr auto name = "scale";           the name in messages, traces and benches
//   void check(const Scale&);                       throws Error with what was got and expected
//   Cost cost(const Scale&);                        floating-point operations and bytes of memory traffic
//   void run(Reference, const Context&, const Scale&);   the definition
//   void run(Cpu, const Context&, const Scale&);         the fast version
// The macro ISDA_OPERATION(Scale) declares these four.
#pragma once
#include "kernels/common/context.h"
#include "kernels/common/error.h"
#include "kernels/common/trace.h"
#include "kernels/common/view.h"

namespace isda::kernels {

// Tags that choose the version of an operation.
struct Reference {};
struct Cpu {};
struct Cuda {};

// NOTE: chosen only where an operation declares no version for CUDA, since a template ranks behind a function.
template <class Operation>
void run(Cuda, const Context&, const Operation&) {
  fail("[{}] this build has no CUDA; run with --device cpu", Operation::name);
}

template <class Operation>
void run(const Context& context, const Operation& operation) {
  check(operation);
  const Trace trace(Operation::name, [&] { return cost(operation); });
  switch (context.device()) {
    case Device::reference: return run(Reference{}, context, operation);
    case Device::cpu: return run(Cpu{}, context, operation);
    case Device::cuda: return run(Cuda{}, context, operation);
  }
}

}  // namespace isda::kernels

#define ISDA_OPERATION(Operation)                        \
  void check(const Operation&);                          \
  Cost cost(const Operation&);                           \
  void run(Reference, const Context&, const Operation&); \
  void run(Cpu, const Context&, const Operation&)
