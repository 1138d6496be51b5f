// JSON that keeps the digits of its numbers: any text, and what the rest of the code asks of such numbers.
import fc from 'fast-check';
import { parse, stringify } from 'lossless-json';
import { canonicalJson } from '../../src/contracts/canonical-json.ts';
import {
  compareNumbers,
  isBeyondDouble,
  isExactMultiple,
  isWhole,
  type JsonNumber,
  parseJson,
  stringifyJson,
  withDoubles,
} from '../../src/contracts/json.ts';
import { isLong } from '../support/long.ts';

fc.configureGlobal({ numRuns: isLong ? 50_000 : 1_000 });

const number = fc.stringMatching(/^-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?$/);
const space = fc.constantFrom('', ' ', '\n', '\t ', '\r\n');
const string = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    number.map((text) => `${text}, "${text}\\": ${text}`),
  )
  .map((text) => JSON.stringify(text));
const between = (open: string, items: string[], close: string, gap: string) =>
  `${open}${gap}${items.join(`${gap},${gap}`)}${gap}${close}`;
/** The text of any JSON value, with numbers as anybody may write them. */
const { text } = fc.letrec<{ text: string }>((tie) => ({
  text: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    number,
    string,
    fc.constantFrom('true', 'false', 'null', '[]', '{}'),
    fc
      .tuple(fc.array(tie('text'), { maxLength: 5 }), space)
      .map(([items, gap]) => between('[', items, ']', gap)),
    fc
      .tuple(fc.uniqueArray(fc.tuple(string, tie('text')), { maxLength: 5, selector: ([key]) => key }), space)
      .map(([fields, gap]) => {
        const texts = fields.map(([key, value]) => `${key}${gap}:${gap}${value}`);
        return between('{', texts, '}', gap);
      }),
  ),
}));

const numberOf = (literal: string) => parseJson<JsonNumber>(literal);

describe('reading and writing', () => {
  it('keeps every number as it was written, and everything else as native JSON has it', () => {
    fc.assert(
      fc.property(text, (json) => {
        // The library keeps every number as its text, in the slow way.
        expect(stringifyJson(parseJson(json))).toBe(stringify(parse(json)));
      }),
    );
  });

  it('is native JSON for numbers that a double holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const json = JSON.stringify(value);
        expect(parseJson(json)).toEqual(JSON.parse(json));
      }),
    );
  });

  it.each([
    '12345678901234567890',
    '-0',
    '-0.0',
    '1E5',
    '0.1',
    '1.10',
    '0.0000001',
    '1e999',
    `0.${'123'.repeat(99)}`,
  ])('keeps %s, by itself and in a value', (literal) => {
    expect(stringifyJson(parseJson(literal))).toBe(literal);
    expect(stringifyJson({ a: [parseJson(literal)] })).toBe(`{"a":[${literal}]}`);
  });

  it.each([
    ['{"a":1.0,"a":2.0}', '{"a":2.0}'],
    ['{"__proto__":{"n":1.0}}', '{"__proto__":{"n":1.0}}'],
    ['{"2":1.0,"1":1e1}', '{"1":1e1,"2":1.0}'],
    ['["\\\\",1.0,"\\"",1.0,"\\\\\\"1.0",1.0]', '["\\\\",1.0,"\\"",1.0,"\\\\\\"1.0",1.0]'],
  ])('reads keys and strings as native JSON does: %s', (json, expected) => {
    expect(stringifyJson(parseJson(json))).toBe(expected);
  });

  it.each(['{"a":1.0', '01.0', '[1.0,]', '1.', '+1e5', '-', '[1e]'])('refuses %s', (json) => {
    expect(() => parseJson(json)).toThrow(SyntaxError);
  });

  it('reads values of any depth, since callers look at the depth', () => {
    const depth = 10_000;
    let value = parseJson<unknown>(`${'['.repeat(depth)}1.0${']'.repeat(depth)}`);
    for (let level = 0; level < depth; level += 1) [value] = value as unknown[];
    expect(stringifyJson(value)).toBe('1.0');
  });

  it('takes no object for a number, whatever its fields', () => {
    const json = '{"isLosslessNumber":true,"value":"1","more":1.0}';
    expect(stringifyJson(parseJson(json))).toBe(json);
  });
});

describe('values', () => {
  it.each([
    ['1e2', '100'],
    ['100.0', '100'],
    ['-0', '0'],
    ['0.0', '0'],
    ['1E+2', '1e2'],
    ['12345678901234567890', '12345678901234567890.0'],
    ['0.10', '1e-1'],
  ])('are equal when numbers are, however they are written: %s and %s', (one, other) => {
    expect(canonicalJson(numberOf(one))).toBe(canonicalJson(numberOf(other)));
    expect(compareNumbers(numberOf(one), numberOf(other))).toBe(0);
  });

  it.each([
    ['9007199254740992', '9007199254740993'],
    ['0.12345678901234567', '0.12345678901234568'],
    ['12345678901234567890', '12345678901234567891'],
    ['1e-400', '1e-399'],
    ['0', '1e-400'],
    ['-12345678901234567891', '-12345678901234567890'],
  ])('differ in any digit: %s is less than %s', (less, more) => {
    expect(canonicalJson(numberOf(less))).not.toBe(canonicalJson(numberOf(more)));
    expect(compareNumbers(numberOf(less), numberOf(more))).toBeLessThan(0);
    expect(compareNumbers(numberOf(more), numberOf(less))).toBeGreaterThan(0);
  });

  it('are whole or not', () => {
    const isWholeText = (literal: string) => isWhole(numberOf(literal));
    expect(
      ['1.0', '12345678901234567890', '1.5e1', '0.0', '-0', '1e300'].filter((each) => !isWholeText(each)),
    ).toEqual([]);
    expect(['0.10', '12345678901234567890.5', '15e-1', '1e-300'].filter(isWholeText)).toEqual([]);
  });

  it('are multiples or not', () => {
    expect(isExactMultiple(numberOf('12345678901234567890'), 10)).toBe(true);
    expect(isExactMultiple(numberOf('12345678901234567891'), 10)).toBe(false);
    expect(isExactMultiple(numberOf('1.10'), numberOf('0.1'))).toBe(true);
    expect(isExactMultiple(numberOf('1e-300'), numberOf('1e300'))).toBe(false);
    expect(isExactMultiple(numberOf(`0.${'1'.repeat(1_000)}`), 1)).toBeNull();
  });

  it('are beyond a double or within', () => {
    expect(
      ['1e999', '-1e400', '1e309', `1${'0'.repeat(400)}`].every((each) => isBeyondDouble(numberOf(each))),
    ).toBe(true);
    expect(['1e308', '-1E5', '1e-400', '1.0'].some((each) => isBeyondDouble(numberOf(each)))).toBe(false);
  });
});

it('doubles stand in for exact numbers in all fields but the named ones', () => {
  const value = parseJson('{"limit":1e2,"result":{"n":1.10},"items":[{"value":1.10,"other":1.10}]}');
  expect(stringifyJson(withDoubles(value, ['result', 'value']))).toBe(
    '{"limit":100,"result":{"n":1.10},"items":[{"value":1.10,"other":1.1}]}',
  );
});
