/** The public surface. */

export { checkpoint, customGradient, grad, hessian, hvp, jacobian, jvp, valueAndGrad, vjp } from './autodiff/transforms.js'
import './primitives/methods.js'
