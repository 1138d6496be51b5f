// When a delivery is tried again, when an endpoint is left alone, when it is given up.
import {
  afterFailure,
  endingOf,
  isGivenUp,
  NO_TROUBLE,
  nextTryAt,
  retryAfterOf,
  TRIES_MAX,
  type Trouble,
} from '../../src/webhooks/schedule.ts';

const NOW = Date.UTC(2026, 10, 24, 12);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const waitAfter = (tries: number, random = 0.5, retryAfterMs: number | null = null) => {
  const at = nextTryAt({ tries, retryAfterMs }, NOW, random);
  return at === null ? null : at - NOW;
};

it('ten tries are made within 75.6 hours', () => {
  expect(TRIES_MAX).toBe(10);
  const waits = Array.from({ length: 10 }, (_, index) => waitAfter(index + 1));
  expect(waits.at(-1)).toBeNull();
  const sum = waits.reduce<number>((total, wait) => total + (wait ?? 0), 0);
  expect(sum / 3_600_000).toBeCloseTo(75.6, 1);
  expect(waits.slice(0, 3)).toEqual([5_000, 5 * MINUTE_MS, 30 * MINUTE_MS]);
});

it('each wait is a fifth longer or shorter at most', () => {
  expect(waitAfter(1, 0)).toBe(4_000);
  expect(waitAfter(1, 0.999_999)).toBeLessThanOrEqual(6_000);
  expect(waitAfter(9, 0)).toBe(0.8 * DAY_MS);
});

it('a pause that a receiver asks for is kept, up to a day', () => {
  expect(waitAfter(1, 0.5, 120_000)).toBe(120_000);
  expect(waitAfter(3, 0, 120_000)).toBe(24 * MINUTE_MS);
  expect(waitAfter(1, 0, 30 * DAY_MS)).toBe(DAY_MS);
  expect(waitAfter(10, 0, 1_000)).toBeNull();
});

test.each([
  ['120', 120_000],
  [' 0 ', 0],
  ['Tue, 24 Nov 2026 12:02:00 GMT', 120_000],
  ['Tue, 24 Nov 2026 11:00:00 GMT', 0],
  [['7', '9'], 7_000],
  ['-1', null],
  ['1.5', null],
  ['soon', null],
  ['', null],
  [undefined, null],
])('Retry-After %j asks for %j ms', (header, expected) => {
  expect(retryAfterOf(header, NOW)).toBe(expected);
});

test.each([
  [200, { kind: 'delivered' }],
  [299, { kind: 'delivered' }],
  [301, { kind: 'failed', retryAfterMs: null }],
  [410, { kind: 'gone' }],
  [429, { kind: 'failed', retryAfterMs: 60_000 }],
  [500, { kind: 'failed', retryAfterMs: null }],
  [503, { kind: 'failed', retryAfterMs: 60_000 }],
])('status %i with Retry-After 60', (statusCode, ending) => {
  expect(endingOf({ statusCode, retryAfter: '60' }, NOW)).toEqual(ending);
});

it('after five failures in a row an endpoint is left alone, longer with each probe that fails', () => {
  const pauses: (number | null)[] = [];
  let trouble: Trouble = NO_TROUBLE;
  for (let n = 1; n <= 10; n += 1) {
    const at = trouble.openUntil ?? NOW;
    trouble = afterFailure(trouble, at);
    pauses.push(trouble.openUntil === null ? null : (trouble.openUntil - at) / 1_000);
  }
  expect(pauses).toEqual([null, null, null, null, 30, 60, 120, 240, 300, 300]);
});

it('what was on its way when the pause began makes it no longer', () => {
  let trouble: Trouble = NO_TROUBLE;
  for (let n = 1; n <= 60; n += 1) trouble = afterFailure(trouble, NOW + n);
  expect(trouble).toEqual({ failures: 5, failingSince: NOW + 1, openUntil: NOW + 5 + 30_000 });
});

it('an endpoint that has failed for five days is given up, and one that answered in between is not', () => {
  const since = afterFailure(NO_TROUBLE, NOW);
  expect(isGivenUp(afterFailure(since, NOW + 5 * DAY_MS - 1), NOW + 5 * DAY_MS - 1)).toBe(false);
  expect(isGivenUp(afterFailure(since, NOW + 5 * DAY_MS), NOW + 5 * DAY_MS)).toBe(true);
  expect(isGivenUp(NO_TROUBLE, NOW + 50 * DAY_MS)).toBe(false);
});
