/** Scalar functions that `Math` lacks or defines otherwise. */

const SQRT_PI_INVERSE = 0.5641895835477563

/**
 * The error function to double precision, by the rational approximations of W. J. Cody, "Rational Chebyshev approximations
 * for the error function", Math. Comp. 23 (1969): one for |x| ≤ 0.46875, then two for erfc.
 */
export function erf(x: number): number {
  const y = Math.abs(x)
  if (y <= 0.46875) {
    const t = y > 1.11e-16 ? y * y : 0
    const top = (((0.18577770618460315 * t + 3.1611237438705655) * t + 113.86415415105016) * t + 377.485237685302) * t + 3209.3775891384694
    const bottom = (((t + 23.601290952344122) * t + 244.02463793444417) * t + 1282.6165260773723) * t + 2844.236833439171
    return (x * top) / bottom
  }
  // beyond 6, erfc is less than half a unit in the last place of 1
  if (y > 6) return x > 0 ? 1 : -1
  if (Number.isNaN(y)) return x
  const rest = y <= 4 ? middle(y) : tail(y)
  // exp(−y²) in two factors: squaring a rounded y loses digits for large y
  const high = Math.floor(y * 16) / 16
  const erfc = Math.exp(-high * high) * Math.exp(-(y - high) * (y + high)) * rest
  return x > 0 ? 1 - erfc : erfc - 1
}

/** exp(y²)·erfc(y) for 0.46875 < y ≤ 4. */
function middle(y: number): number {
  const top =
    (((((((2.1531153547440383e-8 * y + 0.5641884969886701) * y + 8.883149794388377) * y + 66.11919063714163) * y + 298.6351381974001) * y +
      881.952221241769) *
      y +
      1712.0476126340707) *
      y +
      2051.0783778260716) *
      y +
    1230.3393547979972
  const bottom =
    (((((((y + 15.744926110709835) * y + 117.6939508913125) * y + 537.1811018620099) * y + 1621.3895745666903) * y + 3290.7992357334597) *
      y +
      4362.619090143247) *
      y +
      3439.3676741437216) *
      y +
    1230.3393548037495
  return top / bottom
}

/** exp(y²)·erfc(y) for y > 4. */
function tail(y: number): number {
  const t = 1 / (y * y)
  const top =
    ((((0.016315387137302097 * t + 0.30532663496123236) * t + 0.36034489994980445) * t + 0.12578172611122926) * t + 0.016083785148742275) *
      t +
    0.0006587491615298378
  const bottom =
    ((((t + 2.568520192289822) * t + 1.8729528499234604) * t + 0.5279051029514285) * t + 0.06051834131244132) * t + 0.0023352049762686918
  return (SQRT_PI_INVERSE - (t * top) / bottom) / y
}

/** C's pow: 1 to any power and −1 to an infinite one are 1, where `Math.pow` gives NaN. */
export function pow(a: number, b: number): number {
  if (a === 1 || (a === -1 && (b === Infinity || b === -Infinity))) return 1
  return a ** b
}

/** a − floor(a/b)·b, without the rounding of the quotient: the remainder with the sign of b. */
export function mod(a: number, b: number): number {
  const rest = a % b
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest
}

/** To the nearest integer, half to even. */
export function roundHalfEven(x: number): number {
  const up = Math.round(x)
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up
}

/** ln(1 + eˣ) without overflow. */
export function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
}

/** To int32: truncated, saturating, NaN → 0. */
export const toInt32 = (x: number): number => (x >= 2147483647 ? 2147483647 : x <= -2147483648 ? -2147483648 : x | 0)

/** aᵇ of integers, modulo 2³²; truncated where b is negative. */
export function powInt32(a: number, b: number): number {
  let exponent = toInt32(b)
  if (exponent < 0) return toInt32(pow(a, b))
  let base = toInt32(a)
  let power = 1
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) power = Math.imul(power, base)
    base = Math.imul(base, base)
  }
  return power
}
