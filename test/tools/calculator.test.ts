// Expressions and the very text that the model is given for each.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createCalculator } from '../../src/tools/calculator/index.ts';

const calculator = createCalculator();
afterAll(() => calculator.close());

const run = (expression: string, signal = new AbortController().signal) =>
  calculator.run({ expression }, { signal });

test.each([
  ['1+1', '2'],
  ['0.1 + 0.2', '0.3'],
  ['2^70', '1180591620717411303424'],
  ['1/3', '0.33333333333333333333 (inexact: rounded)'],
  ['sqrt(2)', '1.4142135623730950488 (inexact: rounded)'],
  ['sqrt(16)', '4'],
  ['pi', '3.1415926535897932385 (inexact: rounded)'],
  ['e', '2.7182818284590452354 (inexact: rounded)'],
  ['10!', '3628800'],
  ['factorial(30)', '265252859812191058636308480000000'],
  ['5 km to mile', '3.1068559611866698481 mile (inexact: rounded)'],
  ['5 km to m', '5000 m'],
  ['100 cm to inch', '39.370078740157480315 inch (inexact: rounded)'],
  ['32 degF to degC', '0 degC'],
  ['2 hours + 30 minutes', '2.5 hours'],
  ['60 km/h to m/s', '16.666666666666666667 m / s (inexact: rounded)'],
  ['[1,2;3,4]*[5;6]', '[[17], [39]]'],
  ['det([1,2;3,4])', '-2'],
  ['inv([2,0;0,4])', '[[0.5, 0], [0, 0.25]]'],
  ['transpose([1,2;3,4])', '[[1, 3], [2, 4]]'],
  ['sqrt(-1)', 'i'],
  ['sqrt(-2)', '1.4142135623730951i (inexact: rounded)'],
  ['(2+3i)*(1-i)', '5 + i'],
  ['mean(1,2,3,4)', '2.5'],
  ['median([3,1,2])', '2'],
  ['std([2,4,4,4,5,5,7,9])', '2.1380899352993950775 (inexact: rounded)'],
  ['gcd(12,18)', '6'],
  ['lcm(4,6)', '12'],
  ['17 mod 5', '2'],
  ['-17 mod 5', '3'],
  ['floor(2.7)', '2'],
  ['round(2.345, 2)', '2.35'],
  ['round(1/3, 4)', '0.3333'],
  ['log(100, 10)', '2'],
  ['log10(1000)', '3'],
  ['log2(8)', '3'],
  ['log(e)', '1 (inexact: rounded)'],
  ['sin(0)', '0'],
  ['sin(pi/2)', '1'],
  ['sin(30 deg)', '0.5 (inexact: rounded)'],
  ['cos(pi)', '-1'],
  ['1e21', '1000000000000000000000'],
  ['1e-7', '0.0000001'],
  ['1e21+1', '1000000000000000000001'],
  ['123456789*987654321', '121932631112635269'],
  ['0.1*3', '0.3'],
  ['1.1^10', '2.5937424601'],
  ['100*1.0825^5', '148.641310326103515625'],
  ['combinations(52,5)', '2598960'],
  ['permutations(5,2)', '20'],
  ['max(3,9,4)', '9'],
  ['min([3,9,4])', '3'],
  ['sum([1,2,3])', '6'],
  ['1 == 1', 'true'],
  ['2 > 3', 'false'],
  ['true and false', 'false'],
  ['x = 5\nx * 2', '5\n10'],
  ['f(x) = x^2\nf(3)', '9'],
  ['50 + 20%', '60'],
  ['bin(10)', '0b1010'],
  ['hex(255)', '0xff'],
  ['0xff + 1', '256'],
  ['isPrime(97)', 'true'],
  ['2^521 - 1 - 2^521', '-1'],
  ['"abc"', 'abc'],
  ['concat("a","b")', 'ab'],
  ['1:5', '[1, 2, 3, 4, 5]'],
  ['range(1,20)', '[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]'],
  ['identity(2)', '[[1, 0], [0, 1]]'],
  ['3 ft 4 in', '144 in^2'],
  ['1 GB to MB', '1000 MB'],
  ['9.81 m/s^2 * 2 s', '19.62 m / s'],
  ['exp(1)', '2.7182818284590452354 (inexact: rounded)'],
  ['abs(-3.50)', '3.5'],
  ['1e200 * 1e200', '1e+400'],
  ['2^0.5*2^0.5', '2 (inexact: rounded)'],
  ['-0', '0'],
  ['ceil(-0.5)', '0'],
  ['unit("5 cm")', '5 cm'],
  ['nthRoot(27,3)', '3'],
  ['cbrt(8)', '2'],
  ['xgcd(36,163)', '[1, 77, -17]'],
  ['5 kg * 2', '10 kg'],
  ['hypot(3,4)', '5'],
  ['to(5 km, m)', '5000 m'],
  ['[1,2,3] .* [4,5,6]', '[4, 10, 18]'],
  ['cross([1,0,0],[0,1,0])', '[0, 0, 1]'],
  ['dot([1,2,3],[4,5,6])', '32'],
  ['atan2(1,1)', '0.78539816339744830962 (inexact: rounded)'],
  ['sqrt(2)*sqrt(2)', '2 (inexact: rounded)'],
  ['variance([1,2,3,4])', '1.6666666666666666667 (inexact: rounded)'],
  ['mode([1,1,2])', '[1]'],
  ['7 / 2', '3.5'],
  ['1 / 8', '0.125'],
  ['(1/3)*3', '1 (inexact: rounded)'],
  ['2^-3', '0.125'],
  ['bitAnd(12,10)', '8'],
  ['6 & 3', '2'],
  ['5 xor 3', 'false'],
  ['1 << 4', '16'],
  ['exp(i*pi)', '-1 (inexact: rounded)'],
])('%j is %j', async (expression, result) => {
  expect(await run(expression)).toEqual({ result, isError: false });
});

test.each([
  ['fraction(1,3)+fraction(1,6)', 'Too many arguments in function fraction (expected: 1, actual: 2)'],
  ['f(x)=x^2', 'The expression has no value: it only defines a function'],
  ['20% of 50', 'Undefined symbol of'],
  ['isPrime(2^521-1)', 'isPrime takes numbers up to 1e30'],
  ['1/0', 'The result is too large, or a division by zero'],
  ['0/0', 'The result is not a number'],
  ['9^9^9^9', 'The result is too large, or a division by zero'],
  ['1 +', 'Unexpected end of expression (char 4)'],
  ['foo(1)', 'Undefined function foo'],
  ['y + 1', 'Undefined symbol y'],
  ['createUnit("foo")', "The function 'createUnit' is not available"],
  ['evaluate("1+1")', "The function 'evaluate' is not available"],
  ['parse("1")', "The function 'parse' is not available"],
  ['simplify("x+x")', "The function 'simplify' is not available"],
  ['derivative("x^2","x")', "The function 'derivative' is not available"],
  ['config({})', "The function 'config' is not available"],
  ['"".constructor', 'No access to property "constructor"'],
  ['{}.constructor', 'No access to property "constructor"'],
  ['[].constructor("return 1")', 'No access to method "constructor"'],
  ['cos.constructor("return process")()', 'Value expected (char 35)'],
  ['{a:1}.__proto__', 'No access to property "__proto__"'],
  ['{a: 1}', 'The result is no number, unit, matrix or text'],
  ['f(x) = f(x)\nf(1)', 'The expression is nested too deeply, or its result is too large.'],
  ['5 usd to eur', 'Undefined symbol usd'],
  ['typeof(1)', 'Undefined function typeof'],
  ['chain(3)', 'Undefined function chain'],
  ['parser()', "The function 'parser' is not available"],
  ['typed("x")', 'No signatures provided'],
  ['1 2', 'Unexpected part "2" (char 3)'],
  ['eigs([2,0;0,3])', 'The result is no number, unit, matrix or text'],
  ['help("sin")', "The function 'help' is not available"],
  ['[1,2][5]', 'Index out of range (5 > 2)'],
])('%j is refused: %s', async (expression, result) => {
  expect(await run(expression)).toEqual({ result, isError: true });
});

describe('a value that is not exact keeps every digit of its whole part, and says so', () => {
  const third = (whole: string, decimals: number) => `${whole}.${'3'.repeat(decimals)} (inexact: rounded)`;
  test.each([
    ['2^70 + 1/3', third('1180591620717411303424', 10)],
    ['-(2^70) - 1/3', third('-1180591620717411303424', 10)],
    ['(2^70 + 1/3) m to m', '1180591620717411303424.3333333333 m (inexact: rounded)'],
    ['1/3 km to m', '333.33333333333333333 m (inexact: rounded)'],
    ['10^15 + 1/3', third('1000000000000000', 10)],
    ['1234567890/7', '176366841.42857142857 (inexact: rounded)'],
    ['1e310 + 1/3', third(`1${'0'.repeat(310)}`, 10)],
    ['1e321/3', third('3'.repeat(321), 10)],
    ['1e322/3', '3.3333333333333333333e+321 (inexact: rounded)'],
    ['2^1200', '1.7218479456385750618e+361 (inexact: rounded)'],
    ['-1/3', third('-0', 20)],
    ['1e-400/3', '3.3333333333333333333e-401 (inexact: rounded)'],
    ['(1e319 + 1/3) - 1e319', third('0', 20)],
    // What is exact beside it keeps all its digits.
    [
      '[2^70 + 1/3, 1/2^30]',
      '[1180591620717411303424.3333333333, 0.000000000931322574615478515625] (inexact: rounded)',
    ],
    [
      'a = 2^70 + 1/3\nb = 5\n[2^80, 1/3]',
      `${third('1180591620717411303424', 10)}\n5\n[1208925819614629174706176, 0.33333333333333333333] (inexact: rounded)`,
    ],
  ])('%j', async (expression, result) => {
    expect(await run(expression)).toEqual({ result, isError: false });
  });
});

describe('53 bits have no more digits than they know, and say that they are not exact wherever they stand', () => {
  test.each([
    ['2^69 + i', '5.902958103587057e+20 + i (inexact: rounded)'],
    ['-(2^70) - 1/3 - 2i', '-1.1805916207174113e+21 - 2i (inexact: rounded)'],
    ['3 - 1e20/3*i', '3 - 3.333333333333333e+19i (inexact: rounded)'],
    ['number(2^70)', '1.1805916207174113e+21 (inexact: rounded)'],
    ['123456789 + i/3', '123456789 + 0.3333333333333333i (inexact: rounded)'],
    ['[sqrt(-2), 1]', '[1.4142135623730951i, 1] (inexact: rounded)'],
    ['[2 + 3i, 1]', '[2 + 3i, 1]'],
    ['sqrt(-2) m', '(1.4142135623730951i) m (inexact: rounded)'],
    ['[number(1/3)]', '[0.3333333333333333] (inexact: rounded)'],
    ['sqrt(-2)\n7', '1.4142135623730951i (inexact: rounded)\n7'],
  ])('%j is %j', async (expression, result) => {
    expect(await run(expression)).toEqual({ result, isError: false });
  });
});

test('whole numbers are exact up to 320 digits', async () => {
  expect(await run('2^1000')).toEqual({ result: (2n ** 1000n).toString(), isError: false });
});

const HOSTILE = [
  'ones(1e5, 1e5)',
  '1:1e12',
  'factorial(1e9)',
  'sum(1:1e7)',
  'fib(n) = n < 2 ? n : fib(n-1) + fib(n-2)\nfib(45)',
  'setPowerset(1:30)',
  `${'('.repeat(900)}1${')'.repeat(900)}`,
];
/** The 4 s after which a calculation is killed, and the start of a new process on a busy machine. */
const HOSTILE_MS_MAX = 10_000;

test('hostile expressions end soon, in words, keep the event loop free, and the next call is answered', async () => {
  const delay = monitorEventLoopDelay({ resolution: 5 });
  await run('1');
  delay.enable();
  for (const expression of HOSTILE) {
    const before = Date.now();
    const answer = await run(expression);
    expect({ expression, ...answer }).toEqual({
      ...{ expression, isError: true },
      result: expect.stringMatching(/took longer|too long|more memory|too deeply/),
    });
    expect(Date.now() - before).toBeLessThan(HOSTILE_MS_MAX);
    expect(await run('1 + 1')).toEqual({ result: '2', isError: false });
  }
  delay.disable();
  expect(delay.percentile(99) / 1e6).toBeLessThan(100);
}, 90_000);

test('an aborted calculation ends at once, and its process with it', async () => {
  const abort = new AbortController();
  const running = run('combinations(1e9, 5e8)', abort.signal);
  setTimeout(() => abort.abort(new Error('enough')), 100);
  const before = Date.now();
  await expect(running).rejects.toThrow('enough');
  expect(Date.now() - before).toBeLessThan(1_500);
  expect(await run('1 + 1')).toEqual({ result: '2', isError: false });
});

test('its schema refuses what is no expression, or too long a one', () => {
  expect(calculator.inputSchema).toMatchObject({
    ...{ required: ['expression'], additionalProperties: false },
    properties: { expression: { minLength: 1, maxLength: 2_000 } },
  });
});
