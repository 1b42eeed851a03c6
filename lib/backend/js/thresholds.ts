/**
 * The numbers by which this engine chooses its way: nothing but speed depends on them. Each says what it counts, and what was
 * measured beside it (Node 20, microseconds of processor time, the least of several turns in one run).
 */

export const thresholds = {
  /**
   * Elements of a tile: the live tiles of a micro-program stay in the first-level cache. Four operations on 100,000 elements, at a
   * tile of 128: 975; 512: 921; 2,048: 1,006; 8,192: 923. It hardly matters; the smallest that costs nothing.
   */
  tile: 512,
  /**
   * Multiplications below which three plain loops do a product. 4 × 4 × 4 by plain loops and packed: 0.75, 0.70; 6 × 6 × 6: 1.06, 0.95;
   * 8 × 8 × 8: 1.73, 1.17; 10 × 10 × 10: 2.86, 1.72.
   */
  smallProduct: 256,
  /** Doubles of packed b kept at a time, inside the second-level cache. 256 × 256 × 1,024 at 8,192: 40,700; 65,536: 32,800; 524,288: 32,300. */
  panel: 65536,
  /**
   * What a step brings to a line at most: elements of a grid, and multiply-adds of a product. Half, double and four times as much
   * are the same within noise on one update of 2-2-1 (0.5 to 0.6); without lines it takes 1.7 times as long.
   */
  lineElements: 8,
  lineProducts: 32,
  /** Operations of a line, and words of its code from which it takes no further step. */
  lineOperations: 256,
  longestLine: 5 * 256,
  /** A block of a training yields to the event loop so often: a frame of an animation has 16. */
  sliceMilliseconds: 10,
  /** A finished epoch is published when the last was so long ago. */
  snapshotMilliseconds: 25,
} as const
