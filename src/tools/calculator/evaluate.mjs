// The calculator's own process: evaluates one expression at a time, and can be killed at any moment. Plain JavaScript, for
// it is started as a file both from the sources and from what is built.
import vm from 'node:vm';
import { all, create } from 'mathjs';

/** Significant digits of the calculation, and of a second one: a value that differs between them was rounded. */
const PRECISION = 320;
const MORE_PRECISION = 360;
/** Significant digits shown of a value that is not exact. */
const SHOWN_DIGITS = 20;
/** Plain digits up to here; longer ones are told with an exponent. */
const PLAIN_EXPONENT_MAX = 320;
const RESULT_LENGTH_MAX = 20_000;
const TIME_LIMIT_MS = 2_000;

/** They change the calculator, run or build code, or work on expressions instead of numbers. */
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
/** The library asks these itself: they are hidden from expressions, not replaced. */
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
  const math = create(all, { number: 'BigNumber', precision, ...tolerance });
  const own = { evaluate: math.evaluate, format: math.format, math };
  const { isPrime, bignumber } = math;
  const refusals = DISABLED.map(refusal);
  // A number that was rounded on its way here would be answered wrongly, and nothing would show it.
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

function digits(value, shown) {
  const rounded = shown === null ? value : value.toSignificantDigits(shown);
  return Math.abs(rounded.e) <= PLAIN_EXPONENT_MAX ? rounded.toFixed() : rounded.toString();
}

/** A number as text, with all its digits or so many. */
function scalar(value, shown) {
  if (value?.isFraction) return value.toFraction();
  if (typeof value === 'bigint') return value.toString();
  const number = first.math.bignumber(value);
  if (number.isNaN()) throw new Error('The result is not a number');
  if (!number.isFinite()) throw new Error('The result is too large, or a division by zero');
  return digits(number, shown);
}

function text(value, { format }, shown) {
  if (value === undefined) throw new Error('The expression has no value');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return value;
  if (typeof value === 'function') throw new Error('The expression has no value: it only defines a function');
  if (value.isResultSet) {
    const values = value.entries.filter((entry) => typeof entry !== 'function');
    if (values.length === 0) throw new Error('The expression has no value');
    return values.map((entry) => text(entry, { format }, shown)).join('\n');
  }
  if (value.isComplex) return value.toString();
  const numeric = value.isBigNumber || value.isFraction || value.isUnit || value.isMatrix;
  if (!numeric && typeof value !== 'number' && typeof value !== 'bigint' && !Array.isArray(value))
    throw new Error('The result is no number, unit, matrix or text');
  return format(value, (each) => scalar(each, shown));
}

/** Complex numbers and a few functions calculate with 53 bits: what is not whole may have been rounded. */
const isDouble = (value) =>
  typeof value === 'number'
    ? !Number.isSafeInteger(value)
    : value?.isComplex === true && !(Number.isSafeInteger(value.re) && Number.isSafeInteger(value.im));

function calculate(expression) {
  const value = first.evaluate(expression, newScope());
  const whole = text(value, first, null);
  const again = text(second.evaluate(expression, newScope()), second, null);
  const isExact = whole === again && !isDouble(value);
  const shown = isExact ? whole : `${text(value, first, SHOWN_DIGITS)} (inexact: rounded)`;
  if (shown.length > RESULT_LENGTH_MAX)
    throw new Error(`The result has more than ${RESULT_LENGTH_MAX} characters`);
  return shown;
}

// Ended from inside as well: a process whose parent was killed must not calculate for ever.
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
