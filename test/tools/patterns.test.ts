// Patterns of other dialects than JavaScript's: those with one meaning everywhere are checked, the rest is taken unchecked and
// named, and only what is broken or has a back reference is refused.
import fc from 'fast-check';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';

const checker = createSchemaChecker();

const schemaOf = (pattern: string) => ({ type: 'object', properties: { x: { type: 'string', pattern } } });

/** Why a pattern is not checked, what is wrong with it, or 'checked'. */
function verdict(pattern: string): string {
  const found = checker.inspect(schemaOf(pattern));
  return found.fault ? found.fault.message : (found.unchecked[0]?.reason ?? 'checked');
}

const matches = (pattern: string, x: string): boolean => checker.apply(schemaOf(pattern), { x }).ok;

describe('spellings with one meaning in all dialects are checked', () => {
  test.each<[pattern: string, fitting: string, other: string]>([
    ['\\Aab\\Z', 'ab', 'xab'],
    ['\\Aab\\z', 'ab', 'abx'],
    ['^ab\\Z', 'ab', 'ab\n'],
    ['(?i)^ab$', 'AB', 'xab'],
    ['^(?i:a)b$', 'Ab', 'aB'],
    ['^a(?i)b$', 'aB', 'Ab'],
    ['(?s)^a.b$', 'a\nb', 'ab'],
    ['(?m)^b$', 'a\nb', 'ab'],
    ['(?im)^\\Ab$', 'B\na', 'a\nb'],
    ['^(?P<year>\\d{4})$', '2026', '26'],
    ['^(?<jahr_ü>\\d{4})$', '2026', '26'],
    ['^[\\w\\-\\.]+\\@[\\w\\-]+$', 'a-b.c@d', 'a b@d'],
    ['^[\\w-.]+$', 'a-b.c', 'a+b'],
    ['^[+-\\d]+$', '+-5', ','],
    ['^\\<\\_\\"\\ \\#\\/$', '<_" #/', '<_"#/'],
    ['^{[a-z]+}$', '{ab}', 'ab'],
    ['^a{2$', 'a{2', 'aa'],
    ['^[^]$', '\n', ''],
    ['^(a+)+$', 'aaa', 'aab'],
    ['^\\s\\S.$', '\u00a0ab', 'ab '],
    ['^[\\s]$', '\ufeff', 'a'],
    ['^[\\S]$', 'a', '\u2003'],
    ['^.$', 'a', '\r'],
    ['^\\p{Lu}$', 'Ä', 'ä'],
    ['^\\u{1F600}$', '😀', '😁'],
  ])('%s', (pattern, fitting, other) => {
    expect([verdict(pattern), matches(pattern, fitting), matches(pattern, other)]).toEqual([
      'checked',
      true,
      false,
    ]);
  });
});

describe('what this server cannot check faithfully is taken, and every text passes', () => {
  test.each<[pattern: string, reason: string]>([
    // PCRE, Perl and Ruby
    ['^\\h+$', 'foreign'],
    ['^\\H\\V\\R\\X\\N$', 'foreign'],
    ['\\Gab', 'foreign'],
    ['ab\\Kc', 'foreign'],
    ['^[[:alpha:]_]+$', 'foreign'],
    ['^[^[:space:]]+$', 'foreign'],
    ['(?|a|b)', 'foreign'],
    ['^(?R)$', 'foreign'],
    ['(?(1)a|b)', 'foreign'],
    ['(?#digits)\\d', 'foreign'],
    ['(?x) \\d+ # digits', 'foreign'],
    ['^\\x{41}$', 'foreign'],
    ['^\\101$', 'back reference'],
    ['^\\01$', 'foreign'],
    // Java and .NET
    ['^[a-z]++$', 'foreign'],
    ['^[a-z]*+[0-9]?+x{2}+$', 'foreign'],
    ['^(?>a|ab)c$', 'foreign'],
    ['^\\Qa.b\\E$', 'foreign'],
    ['^[a-z&&[^aeiou]]$', 'foreign'],
    ['^[a-z-[aeiou]]$', 'foreign'],
    ['^\\p{IsAlphabetic}$', 'foreign'],
    ['^\\p{IsGreek}$', 'foreign'],
    ["(?'year'\\d{4})", 'foreign'],
    ['(?n)(a)', 'foreign'],
    // Python, Go, XML Schema
    ['^a{,3}$', 'foreign'],
    ['(?u)\\w', 'foreign'],
    ['(?aiLmsux)a', 'foreign'],
    ['^\\U0001F600$', 'foreign'],
    ['^\\a$', 'foreign'],
    ['^[]a]+$', 'foreign'],
    ['^[^]a]+$', 'foreign'],
    ['^\\pL$', 'foreign'],
    ['(?U)a+', 'foreign'],
    ['^\\i\\c*$', 'foreign'],
    // JavaScript without the flag u
    ['^\\u41$', 'foreign'],
    ['^[a-z]{1,2000}$', 'too large'],
    ['^(?:[a-z]{100}){100}$', 'too large'],
    ['^[a-z]{99999999999}$', 'too large'],
    ['^\\p{Script=Greek}$', 'too large'],
    ['(?!a)b', 'look-around'],
    ['(?i)(?<=a)b', 'look-around'],
    ['(?=(a))\\1', 'look-around'],
    ['(?!a)\\h', 'look-around'],
  ])('%s', (pattern, reason) => {
    if (reason === 'back reference') return expect(verdict(pattern)).toMatch(/linear time/);
    expect([verdict(pattern), matches(pattern, 'anything at all')]).toEqual([reason, true]);
    const names = { patternProperties: { [pattern]: { type: 'integer' } }, additionalProperties: false };
    expect(checker.apply(names, { 'anything at all': 'x' }).ok).toBe(true);
  });
});

describe('back references and broken patterns are refused', () => {
  test.each<[pattern: string, message: RegExp]>([
    ['^(a)\\1$', /linear time/],
    ['^(?<q>["\'])a\\k<q>$', /linear time/],
    ['^(?P<q>["\'])a(?P=q)$', /linear time/],
    ['^(?<q>a)\\k{q}\\g{1}$', /linear time/],
    ['(', /no regular expression/],
    ['a)', /no regular expression/],
    ['[a', /no regular expression/],
    ['a**', /no regular expression/],
    ['*a', /no regular expression/],
    ['a{2,1}', /no regular expression/],
    ['[z-a]', /no regular expression/],
    ['(?=a', /no regular expression/],
    ['\\', /no regular expression/],
  ])('%s', (pattern, message) => expect(verdict(pattern)).toMatch(message));
});

test('patterns beyond the budget of a schema are taken unchecked, and smaller ones after them are checked', () => {
  const large = Array.from({ length: 4 }, (_, index) => ({ pattern: `^[a-z]{1,900}${index}$` }));
  const found = checker.inspect({ properties: { x: { allOf: [...large, { pattern: '^a$' }] } } });
  expect(found).toMatchObject({
    fault: null,
    unchecked: [{ path: ['properties', 'x', 'allOf', 3, 'pattern'], reason: 'too large' }],
  });
});

describe('the model is shown what JavaScript reads', () => {
  test.each<[pattern: string, shown: string | undefined]>([
    ['^a$', '^a$'],
    ['\\A(?P<n>a)\\-\\Z', '^(?<n>a)-$'],
    ['(?!a)b', '(?!a)b'],
    ['(?i)a', undefined],
    ['\\h', undefined],
  ])('%s', (pattern, shown) => {
    const { properties } = checker.wireOf(schemaOf(pattern)).inputSchema as any;
    expect(properties.x.pattern).toBe(shown);
  });
});

test('a checked pattern matches what JavaScript matches', () => {
  const part = fc.constantFrom(
    ...[
      'a',
      'b',
      '.',
      '\\s',
      '\\S',
      '\\w',
      '\\W',
      '\\d',
      '\\b',
      '\\B',
      '[a\\s]',
      '[^\\S]',
      '[^a.]',
      '[\\S-]',
    ],
    ...[
      '$',
      '^',
      '(?:a|b)',
      '(?<n>b)',
      '\\n',
      '\\x41',
      '\\u2028',
      '\\t',
      '[^]',
      '\\/',
      '\\.',
      '\\p{L}',
      '\\P{L}',
    ],
  );
  const repeated = fc
    .tuple(part, fc.constantFrom('', '', '*', '+', '?', '{2}', '*?'))
    .filter(([each, repeat]) => repeat === '' || !/^(?:\$|\^|\\[bB])$/.test(each));
  const pattern = fc
    .array(repeated, { minLength: 1, maxLength: 4 })
    .map((parts) => parts.map((each) => each.join('')).join(''))
    .filter((each) => each.split('<n>').length <= 2);
  const text = fc.string({
    unit: fc.constantFrom(
      'a',
      'b',
      'A',
      ' ',
      '\n',
      '\r',
      '\v',
      '\u00a0',
      '\u2028',
      '\ufeff',
      'é',
      '😀',
      '1',
      '/',
      '.',
    ),
    maxLength: 5,
  });
  fc.assert(
    fc.property(pattern, text, (given, each) => {
      expect([verdict(given), matches(given, each)]).toEqual(['checked', new RegExp(given, 'u').test(each)]);
    }),
    { numRuns: 3_000 },
  );
});
