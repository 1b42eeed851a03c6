// The Prepare functions of all rooms, for the registry.
#pragma once

#include "kernel.h"

namespace wengert {

// X(name, Name), in the order in which programs number them.
// clang-format off
#define WENGERT_KERNELS(X) \
  X(elementwise, Elementwise) X(matmul, Matmul) X(sum, Sum) X(prod, Prod) X(max, Max) X(min, Min) X(any, Any) \
  X(all, All) X(argmax, Argmax) X(argmin, Argmin) X(cumsum, Cumsum) X(softmax, Softmax) X(logSoftmax, LogSoftmax) \
  X(logSumExp, LogSumExp) X(copy, Copy) X(concat, Concat) X(gather, Gather) X(scatterAdd, ScatterAdd) \
  X(takeAlong, TakeAlong) X(putAlong, PutAlong) X(oneHot, OneHot) X(softmaxCrossEntropy, SoftmaxCrossEntropy) \
  X(softmaxCrossEntropyGrad, SoftmaxCrossEntropyGrad) X(accumulate, Accumulate) X(dropout, Dropout) \
  X(toIndex, ToIndex) X(random, Random) \
  X(conv, Conv) X(convInput, ConvInput) X(convWeight, ConvWeight) X(maxPool, MaxPool) X(poolTake, PoolTake) \
  X(poolPut, PoolPut) X(argsort, Argsort) X(allReduce, AllReduce) \
  X(convInputPooled, ConvInputPooled) X(convWeightPooled, ConvWeightPooled) \
  X(attention, Attention) X(attentionGrad, AttentionGrad) X(rowwise, Rowwise)
// clang-format on

#define WENGERT_PREPARE(name, Name) std::unique_ptr<Instruction> Prepare##Name(const Call& call);
WENGERT_KERNELS(WENGERT_PREPARE)
#undef WENGERT_PREPARE

}  // namespace wengert
