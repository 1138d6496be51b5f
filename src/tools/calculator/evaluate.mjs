// The calculator's own process. Evaluates one expression at a time and can be killed at any moment. Plain JavaScript, because
// both the sources and the build start this file directly.
import vm from 'node:vm';
// The library's single-file build. Loading takes 0.1 s of CPU instead of 2.5 s for 1,200 modules, and half the memory.
import mathjs from 'mathjs/lib/browser/math.js';

/** Significant digits of the first and of the second calculation. A value that differs between the two was rounded. */
const PRECISION = 320;
const MORE_PRECISION = 360;
/** Significant digits shown for an inexact value. A value with a long whole part gets this many decimals instead. */
const SHOWN_DIGITS = 20;
const SHOWN_DECIMALS = 10;
/** A smaller part of a complex number is only the rounding error of the other part. */
const COMPLEX_ERROR = 1e-15;
/** Larger exponents are shown in exponential notation. */
const PLAIN_EXPONENT_MAX = 320;
const RESULT_LENGTH_MAX = 20_000;
const TIME_LIMIT_MS = 2_000;

/** These functions change the calculator, run or build code, or work on expressions instead of numbers. */
const DISABLED = [
  ...['import', 'createUnit', 'evaluate', 'parse', 'compile', 'parser', 'chain', 'help'],
  ...[
    'simplify',
    'simplifyCore',
    'simplifyConstant',
    'derivative',
    'symbolicEqual',
    'rationalize',
    'resolve',
  ],
  ...['leafCount', 'reviver', 'replacer', 'print'],
];
/** The library calls these itself, so expressions can't see them but the functions stay in place. */
const HIDDEN = ['config', 'format'];

const WHOLE_NUMBER_MAX = '1e30';

const refusal = (name) => [
  name,
  () => {
    throw new Error(`The function '${name}' is not available`);
  },
];

const newScope = () => new Map(HIDDEN.map(refusal));

function calculator(precision) {
  const tolerance = { relTol: 1e-60, absTol: 1e-60 };
  const math = mathjs.create({ number: 'BigNumber', precision, ...tolerance });
  const own = { evaluate: math.evaluate, format: math.format, math };
  const { isPrime, bignumber } = math;
  const refusals = DISABLED.map(refusal);
  // isPrime would answer wrongly for a number rounded on its way here, and nothing would show the error.
  const checkedIsPrime = (value) => {
    if (math.isNumeric(value) && bignumber(value).abs().gt(WHOLE_NUMBER_MAX))
      throw new Error(`isPrime takes numbers up to ${WHOLE_NUMBER_MAX}`);
    return isPrime(value);
  };
  math.import({ ...Object.fromEntries(refusals), isPrime: checkedIsPrime }, { override: true });
  return own;
}

const first = calculator(PRECISION);
const second = calculator(MORE_PRECISION);

/** Digits beyond 53 bits are unknown, and zeros in their place would look exact. An exponent shows how many digits count. */
const double = (value) => (Math.abs(value) > Number.MAX_SAFE_INTEGER ? value.toExponential() : String(value));

const isPlain = ({ e }) => Math.abs(e) <= PLAIN_EXPONENT_MAX;
const plain = (value) => (isPlain(value) ? value.toFixed() : value.toString());

/** Keeps all digits of the whole part, because a zero in place of a digit would look exact. */
const rounded = (value) => {
  const wanted = isPlain(value) ? Math.max(SHOWN_DIGITS, value.e + 1 + SHOWN_DECIMALS) : SHOWN_DIGITS;
  return plain(value.toSignificantDigits(wanted));
};

const numberOf = (value) => {
  const number = first.math.bignumber(value);
  if (number.isNaN()) throw new Error('The result is not a number');
  if (!number.isFinite()) throw new Error('The result is too large, or a division by zero');
  return number;
};

/** A number with all its digits. */
function exactly(value) {
  if (value?.isFraction) return value.toFraction();
  if (typeof value === 'bigint') return value.toString();
  const number = numberOf(value);
  return typeof value === 'number' ? double(value) : plain(number);
}

/** Complex numbers and a few functions calculate with 53 bits. A result that isn't a safe integer may be rounded. */
const isRoundedDouble = (value) => typeof value === 'number' && !Number.isSafeInteger(value);

/** Formats a value. @param show formats each number in the value. Parts of complex numbers are passed individually. */
function text(value, { format }, show) {
  if (value === undefined) throw new Error('The expression has no value');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'function') throw new Error('The expression has no value: it only defines a function');
  const numeric = value.isBigNumber || value.isComplex || value.isFraction || value.isUnit || value.isMatrix;
  if (!numeric && typeof value !== 'number' && typeof value !== 'bigint' && !Array.isArray(value))
    throw new Error('The result is no number, unit, matrix or text');
  return format(value, show);
}

const withoutError = (part) => (Math.abs(part) < COMPLEX_ERROR ? 0 : part);
const tidy = (value) =>
  value?.isComplex ? second.math.complex(withoutError(value.re), withoutError(value.im)) : value;

/** The value of each line with a value. */
function linesOf(value) {
  if (!value?.isResultSet) return [value];
  const lines = value.entries.filter((entry) => typeof entry !== 'function');
  if (lines.length === 0) throw new Error('The expression has no value');
  return lines;
}

/** Values on which both calculations agree are exact. For the others, the more precise value is shown rounded. */
function shown(value, better) {
  const known = [];
  text(value, first, (each) => {
    known.push(exactly(each));
    return '';
  });
  let isExact = true;
  const words = text(tidy(better), second, (each) => {
    const whole = exactly(each);
    if (known.shift() === whole && !isRoundedDouble(each)) return whole;
    isExact = false;
    return each?.isBigNumber ? rounded(each) : whole;
  });
  return isExact ? words : `${words} (inexact: rounded)`;
}

function calculate(expression) {
  const values = linesOf(first.evaluate(expression, newScope()));
  const better = linesOf(second.evaluate(expression, newScope()));
  const result = values.map((value, index) => shown(value, better[index])).join('\n');
  if (result.length > RESULT_LENGTH_MAX)
    throw new Error(`The result has more than ${RESULT_LENGTH_MAX} characters`);
  return result;
}

// The time limit also works from inside: a process whose parent was killed must not calculate forever.
globalThis.calculateNow = calculate;
const script = new vm.Script('calculateNow(calculateInput)');

function answer(expression) {
  globalThis.calculateInput = expression;
  try {
    return { result: script.runInThisContext({ timeout: TIME_LIMIT_MS }), isError: false };
  } catch (error) {
    if (error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return { result: `The calculation took longer than ${TIME_LIMIT_MS / 1_000} seconds.`, isError: true };
    if (error?.name === 'RangeError' && /call stack|invalid .* length/i.test(error.message))
      return { result: 'The expression is nested too deeply, or its result is too large.', isError: true };
    const message = String(error?.message ?? error).slice(0, 500);
    return { result: message, isError: true };
  }
}

process.on('message', ({ id, expression }) => process.send({ id, ...answer(expression) }));
process.on('disconnect', () => process.exit(0));
process.send({ ready: true });
