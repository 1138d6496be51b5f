// Reads patterns as JSON Schema defines them: JavaScript's, with the flag `u`. Generators in Python, Java, Go and .NET write
// their own dialects. Spellings with the same meaning everywhere are rewritten. The rest is foreign: its meaning here is unknown.

/** One pattern, for JavaScript and for RE2. */
export interface Reading {
  javaScript: string;
  re2: string;
  /** Whether `javaScript` leaves out flags such as `(?i)`. */
  hasFlags: boolean;
  hasLookAround: boolean;
  hasBackReference: boolean;
  /** JavaScript lacks this syntax, or has it only without the flag `u`. */
  isForeign: boolean;
  /** No known dialect can read the pattern. */
  isBroken: boolean;
  /**
   * An upper bound for the number of instructions, times a small constant. Rather too high than too low: `{n}` after a
   * parenthesis counts as repeating everything before it.
   */
  cost: number;
}

/** True if JavaScript can parse the pattern. JSON Schema uses the flag `u`. The pattern never runs. */
export function isRegExp(source: string, flags = 'u'): boolean {
  try {
    return new RegExp(source, flags) instanceof RegExp;
  } catch {
    return false;
  }
}

const ESCAPE = /\\(?:[pPu]\{[^}]{0,80}\}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|c[a-zA-Z]|k<[^>]{0,80}>|0\d|[\s\S])/u;
const GROUP = /\(\?(?:P?<[^>=!][^>]{0,80}>|P=|<?[=!]|[a-zA-Z-]{0,8}[:)]|)/u;

/** Each part is bounded or ends at its own kind of character, so matching takes linear time. */
const TOKEN_IN_CLASS = new RegExp(`${ESCAPE.source}|[\\s\\S]`, 'uy');
const TOKEN_OUTSIDE = new RegExp(`${ESCAPE.source}|${GROUP.source}|\\{\\d*(?:,\\d*)?\\}|[\\s\\S]`, 'uy');

interface Token {
  text: string;
  isInClass: boolean;
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let isInClass = false;
  for (let index = 0; index < source.length; ) {
    const kind = isInClass ? TOKEN_IN_CLASS : TOKEN_OUTSIDE;
    kind.lastIndex = index;
    const [text = ''] = kind.exec(source) ?? [];
    tokens.push({ text, isInClass });
    if (text === '[') isInClass = true;
    if (text === ']') isInClass = false;
    index += text.length;
  }
  return tokens;
}

const LOOK_AROUND = /^\(\?<?[=!]$/;
const NAMED_GROUP = /^\(\?P?(<[^>=!].*>)$/su;
const FLAGS = /^\(\?[ims-]+[:)]$/;
const BACK_REFERENCE = /^(?:\\[1-9kg]|\(\?P=)/;
/** `{,3}` is a repeat in Python and text in Go. */
const OPEN_REPEAT = /^\{,\d+\}$/;
const REPEAT = /^(?:[*+?]|\{\d.*\})$/;
const CLASS_ESCAPE = /^\\[dDwWsSpP]/;
const JAVASCRIPT_ESCAPE = /^\\(?:[dDwWsSbBnrtvf0]|[pPu]\{.*\}|x..|u....|c.)$/su;
const ESCAPED_CHARACTER = /^\\([^a-zA-Z0-9])$/u;
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/;
const SYNTAX_IN_CLASS = /[\^$\\.*+?()[\]{}|/-]/;

/** RE2 counts fewer characters as white space and line ends. */
const SPACES =
  '\\s\\v\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}';
const NO_SPACES =
  '\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}' +
  '\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}';
const IN_RE2: Record<string, string> = {
  '\\s': `[${SPACES}]`,
  '\\S': `[${NO_SPACES}]`,
  '.': '[^\\n\\r\\x{2028}\\x{2029}]',
};
const IN_CLASS_OF_RE2: Record<string, string> = { '\\s': SPACES, '\\S': NO_SPACES };

/** A Unicode class has hundreds of ranges to sort and merge: measured 0.6 ms. */
const UNICODE_CLASS_COST = 30;
const UNICODE_CLASS = /^\\[pP]/;

/** RE2 refuses more repeats. */
const REPEATS_MAX = 1_000;

const tokenCost = (token: string): number =>
  token.length + (UNICODE_CLASS.test(token) ? UNICODE_CLASS_COST : 0);

/** The cost of everything up to a repeat. RE2 allows flags in between: `(a)(?i){2}`. */
function repeatedCost(repeat: string, before: string, cost: number): number {
  const times = Math.max(1, ...(repeat.match(/\d+/g) ?? []).map(Number));
  if (times > REPEATS_MAX) return Number.POSITIVE_INFINITY;
  return before === ')' || FLAGS.test(before) ? cost * times : cost + times;
}

interface Piece {
  javaScript: string;
  re2: string;
  isForeign?: boolean;
}

const same = (text: string): Piece => ({ javaScript: text, re2: text });
const foreign = (text: string): Piece => ({ ...same(text), isForeign: true });

/** @param syntax the syntax characters that JavaScript allows in an escape. */
function escapeOf(token: string, syntax: RegExp, inRe2: Record<string, string>): Piece {
  const [, escaped] = ESCAPED_CHARACTER.exec(token) ?? [];
  if (escaped !== undefined) return same(syntax.test(escaped) ? token : escaped);
  if (token !== '\\' && !JAVASCRIPT_ESCAPE.test(token)) return foreign(token);
  return { javaScript: token, re2: inRe2[token] ?? token };
}

/** A token within `[...]`. */
function inClass(token: string, before: string, after: string): Piece {
  // `[[:alpha:]]`, or Java's `[a&&[^b]]`.
  if (token === '[') return { javaScript: token, re2: '\\[', isForeign: true };
  // JavaScript without `u` accepts `[\w-.]`.
  if (
    token === '-' &&
    (CLASS_ESCAPE.test(before) || CLASS_ESCAPE.test(after)) &&
    before !== '[' &&
    after !== ']'
  )
    return same('\\-');
  return token.startsWith('\\') ? escapeOf(token, SYNTAX_IN_CLASS, IN_CLASS_OF_RE2) : same(token);
}

/** An opening of a group, or flags. */
function group(token: string): Piece {
  const [, name] = NAMED_GROUP.exec(token) ?? [];
  if (name !== undefined) return { javaScript: `(?${name}`, re2: '(' };
  if (FLAGS.test(token)) return { javaScript: token.endsWith(':') ? '(?:' : '', re2: token };
  return token === '(?:' || LOOK_AROUND.test(token) ? same(token) : foreign(token);
}

const ANCHORS: Record<string, Piece> = {
  '\\A': { javaScript: '^', re2: '\\A' },
  '\\Z': { javaScript: '$', re2: '\\z' },
  '\\z': { javaScript: '$', re2: '\\z' },
};

/** A token outside of `[...]`. */
function outside(token: string, before: string): Piece {
  if (token.startsWith('(?')) return group(token);
  if (token.startsWith('\\')) return ANCHORS[token] ?? escapeOf(token, SYNTAX, IN_RE2);
  const isPossessive = token === '+' && REPEAT.test(before);
  if (isPossessive || OPEN_REPEAT.test(token)) return foreign(token);
  if (/^(?:\{(?!\d)|[}\]])/.test(token)) return same(token.replaceAll(/[{}\]]/g, '\\$&'));
  return { javaScript: token, re2: IN_RE2[token] ?? token };
}

/** In other dialects `[]a]` is a class with a bracket. In JavaScript `[]` is an empty class. */
function isEmptyClass(tokens: Token[], end: number): boolean {
  const [first, second] = [tokens[end - 1]?.text, tokens[end - 2]];
  return first === '[' || (first === '^' && second?.text === '[' && !second.isInClass);
}

function pieceAt(tokens: Token[], index: number): Piece {
  const [before = '', text = '', after = ''] = [-1, 0, 1].map((step) => tokens[index + step]?.text);
  if (!tokens[index]?.isInClass) return outside(text, before);
  return text === ']' && isEmptyClass(tokens, index) ? foreign(text) : inClass(text, before, after);
}

function costOf(tokens: Token[]): number {
  let cost = 0;
  for (const [index, { text, isInClass }] of tokens.entries())
    if (!isInClass && REPEAT.test(text)) cost = repeatedCost(text, tokens[index - 1]?.text ?? '', cost);
    else cost += tokenCost(text);
  return cost;
}

export function readPattern(source: string): Reading {
  const tokens = tokensOf(source);
  const pieces = tokens.map((_, index) => pieceAt(tokens, index));
  const has = (kind: RegExp): boolean => tokens.some(({ text, isInClass }) => !isInClass && kind.test(text));
  const hasFlags = has(FLAGS);
  const javaScript = pieces.map((piece) => piece.javaScript).join('');
  // Dialects with flags have fewer line ends, like RE2.
  const re2 = pieces
    .map((piece, index) => (hasFlags && tokens[index]?.text === '.' ? '.' : piece.re2))
    .join('');
  const isJavaScript = isRegExp(source);
  const hasForeign = pieces.some((piece) => piece.isForeign === true);
  const isForeign = !isJavaScript && (hasForeign || !isRegExp(javaScript));
  return {
    javaScript: isJavaScript ? source : javaScript,
    re2,
    hasFlags,
    hasLookAround: has(LOOK_AROUND),
    hasBackReference: has(BACK_REFERENCE),
    isForeign,
    isBroken: isForeign && !hasForeign && !isRegExp(source, ''),
    cost: costOf(tokens),
  };
}
