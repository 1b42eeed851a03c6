// The numbers by which this engine chooses its way: nothing but speed depends on them. Each says what it counts and what sets
// it. Those that loops of an instruction set need for their registers stand beside those loops (*_isa.cc).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace wengert::thresholds {

// Lines: what one call may bring. Beyond that, a call of the kernel costs less than an operation a number (about a nanosecond).
constexpr std::int64_t kMostOpsInLine = 24;       // elementwise operations × elements
constexpr std::int64_t kMostProductsInLine = 32;  // multiply-adds of a product
constexpr std::int64_t kMostCellsInLine = 8;      // elements of its result
constexpr std::size_t kMostSummedInLine = 8;      // elements of a sum
constexpr std::size_t kMostGatheredInLine = 8;    // elements of a row that is looked up
// A line takes no further step once it has so many operations.
constexpr std::size_t kLongestLine = 256;

// Elementwise: bytes of all the tiles of a micro-program together, operands included. What a first-level cache holds.
constexpr std::size_t kCacheBytes = 32 * 1024;
// Bytes of its scratch on the stack, of a call of many tiles and of a single one.
constexpr std::size_t kScratchBytes = 32 * 1024;
constexpr std::size_t kSmallScratchBytes = 2 * 1024;
// Elements of a tile: at least, at most, and where one operation streams from operands to output.
constexpr std::size_t kNarrowTile = 128;
constexpr std::size_t kWideTile = 2048;
constexpr std::size_t kWidestTile = 16384;
// Work (units of Micro::cost × elements) from which a second thread is worth waking: some tens of microseconds.
constexpr double kSplitWork = 256 * 1024;

// Products: multiply-adds up to which three plain loops win over a call of the BLAS.
constexpr std::int64_t kSmallProduct = 128;
// Multiply-adds from which a batch is worth two threads.
constexpr double kSplitBatch = 500000;
// Multiply-adds, some tens of milliseconds, after which a product looks whether it is wanted still; and the fewest rows
// for which packing b anew costs next to nothing.
constexpr double kStretch = 1e9;
constexpr std::int64_t kStretchRows = 96;

// Convolutions: multiply-adds, and pooling: comparisons, from which a second thread is worth waking.
constexpr double kSplitConvolution = 400000;
constexpr double kSplitPooling = 200000;

// Attention: multiply-adds from which a second thread is worth waking; the numbers of a block of scores, and the fewest and the most
// queries of one. What a core's second-level cache holds with what is multiplied by it.
constexpr double kSplitAttention = 400000;
constexpr std::int64_t kScoresOfBlock = 16 * 1024;
constexpr std::int64_t kFewestQueries = 16;
constexpr std::int64_t kMostQueries = 64;

// Gradients at the largest cells of windows: bytes of weights that every position reads again, and of the part of the image
// that every channel does. What a first-level cache holds beside what streams.
constexpr std::size_t kScatterBytes = 24 * 1024;
constexpr double kGatherBytes = 28 * 1024;

// Sums between hosts that begin before all of it is made: so many pieces at most, and the share of the whole that waits for the end.
constexpr std::int64_t kMostPieces = 8;
constexpr std::int64_t kRestOfSum = 32;

// The pool: how long an idle worker looks for the next job before it sleeps. About the pause between two products of a step.
constexpr std::chrono::microseconds kSpin(40);

// Runners: a finished epoch is published when the last was so long ago, and so many times what publishing it took.
constexpr std::chrono::milliseconds kSnapshotEvery(25);
constexpr int kSnapshotShare = 100;
// While epochs pass faster than this, the clock is looked at after 2, 4, 8 … of them.
constexpr std::chrono::microseconds kLookEvery(100);
constexpr int kMostUnlooked = 256;

}  // namespace wengert::thresholds
