// What must hold of any input whatever: it is read as it was meant, or refused by name, and nothing else can happen.
import fc from 'fast-check';
import { canonicalJson } from '../../src/contracts/canonical-json.ts';
import { ApiError } from '../../src/contracts/errors.ts';
import { IDEMPOTENCY_KEY_FORMS, readIdempotency } from '../../src/http/idempotency.ts';
import { guardJson } from '../../src/http/json-guard.ts';
import { createCursors } from '../../src/http/pagination.ts';
import { readQuery } from '../../src/http/query.ts';
import { createRoutes } from '../../src/http/routes/index.ts';
import { BODY, parseInput } from '../../src/http/validation.ts';
import { isLong } from '../support/long.ts';
import { addSession, createFake } from './support/fake-services.ts';
import { type Harness, startHarness } from './support/server.ts';

fc.configureGlobal({ numRuns: isLong ? 20_000 : 200 });

/** @returns the value, or the refusal; anything else that is thrown is a bug. */
function attempt<T>(read: () => T): { value: T } | { refusal: ApiError } {
  try {
    return { value: read() };
  } catch (error) {
    if (error instanceof ApiError && error.status === 400) return { refusal: error };
    throw error;
  }
}

/** What can come out of JSON.parse: without the minus of zero, which JSON.stringify drops. */
const json = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.parse(JSON.stringify(value)));
const object = fc.dictionary(fc.string(), json, { maxKeys: 8 });
/** Every character there is, without what a body or a query may not have. */
const text = (size: { minLength?: number; maxLength?: number } = {}) =>
  fc.string({ unit: 'binary', ...size }).filter((value) => value.isWellFormed() && !value.includes('\0'));

describe('canonical JSON', () => {
  it('is the same value', () => {
    fc.assert(fc.property(json, (value) => expect(JSON.parse(canonicalJson(value))).toEqual(value)));
  });

  it('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(object, (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        expect(canonicalJson(turned)).toBe(canonicalJson(value));
      }),
    );
  });

  it('is another text for another value', () => {
    const isSame = (one: unknown, other: unknown) => {
      try {
        expect(one).toEqual(other);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(
        json,
        json,
        (one, other) => (canonicalJson(one) === canonicalJson(other)) === isSame(one, other),
      ),
    );
  });
});

describe('an Idempotency-Key', () => {
  const read = (header: string) => attempt(() => readIdempotency([header], 'POST /v1/sessions', {})?.key);
  const printable = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 120 });
  const quoted = (key: string) => `"${key.replace(/["\\]/g, '\\$&')}"`;

  it('in quotes is the same as without', () => {
    fc.assert(
      fc.property(printable, (key) => {
        expect(read(quoted(key))).toEqual({ value: key });
        if (!key.startsWith('"')) expect(read(key)).toEqual({ value: key });
      }),
    );
  });

  it('is taken when the documented pattern takes it, and refused by its name otherwise', () => {
    const header = fc
      .oneof(
        fc.string(),
        fc.string({ unit: 'binary' }),
        printable,
        printable.map(quoted),
        printable.map((key) => `"${key}`),
      )
      .map((value) => value.replace(/^[ \t]+|[ \t]+$/g, ''));
    fc.assert(
      fc.property(header, (value) => {
        const result = read(value);
        expect('value' in result).toBe(IDEMPOTENCY_KEY_FORMS.test(value));
        if ('refusal' in result) expect(result.refusal.options.param).toBe('Idempotency-Key');
      }),
    );
  });
});

describe('a cursor', () => {
  const cursors = createCursors(Buffer.alloc(32, 1));
  const position = fc.array(fc.oneof(fc.string(), fc.integer()), { minLength: 1, maxLength: 3 });
  const scope = fc.record({ accountId: fc.string(), path: fc.string(), filter: object });
  const decode = (cursor: string, where: Parameters<typeof cursors.decode>[1]) =>
    attempt(() => cursors.decode(cursor, where));

  it('leads back to where it was made', () => {
    fc.assert(
      fc.property(position, scope, (place, where) => {
        expect(decode(cursors.encode(place, where), where)).toEqual({ value: place });
      }),
    );
  });

  it('leads nowhere when a character of it, the account, the path or the filter is another', () => {
    const changed = fc.tuple(fc.nat(), fc.constantFrom(...'ABCabc019-_=. %'));
    fc.assert(
      fc.property(position, scope, scope, changed, (place, where, elsewhere, [at, letter]) => {
        const cursor = cursors.encode(place, where);
        const index = at % cursor.length;
        const spoilt = cursor.slice(0, index) + letter + cursor.slice(index + 1);
        if (spoilt !== cursor) expect(decode(spoilt, where)).toHaveProperty('refusal');
        for (const part of ['accountId', 'path', 'filter'] as const) {
          const other = { ...where, [part]: elsewhere[part] };
          if (canonicalJson(other) !== canonicalJson(where))
            expect(decode(cursor, other)).toHaveProperty('refusal');
        }
      }),
    );
  });

  it('that somebody made up is refused by its name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String()), scope, (made, where) => {
        const result = decode(made, where);
        expect('refusal' in result && result.refusal.options.param).toBe('cursor');
      }),
    );
  });
});

describe('a query', () => {
  const encode = encodeURIComponent;
  const name = text({ minLength: 1 }).filter(
    (value) => !value.startsWith('metadata') && value !== '__proto__',
  );

  it('is read as it was written', () => {
    const key = text().filter((value) => value !== '__proto__');
    fc.assert(
      fc.property(
        fc.dictionary(name, text(), { maxKeys: 5 }),
        fc.dictionary(key, text(), { maxKeys: 5 }),
        (plain, metadata) => {
          const pairs = [
            ...Object.entries(plain).map(([key, value]) => `${encode(key)}=${encode(value)}`),
            ...Object.entries(metadata).map(
              ([key, value]) => `${encode(`metadata[${key}]`)}=${encode(value)}`,
            ),
          ];
          const expected =
            Object.keys(metadata).length > 0 ? { ...plain, metadata: { ...metadata } } : { ...plain };
          expect(readQuery(`/v1/sessions?${pairs.join('&')}`)).toEqual(expected);
        },
      ),
    );
  });

  it('of any characters is read or refused', () => {
    const written = fc.array(
      fc.oneof(
        fc.string(),
        fc.constantFrom('%', '&', '=', '[', ']', 'metadata', '__proto__', '+', '%00', '%ff', '#', '?'),
      ),
    );
    fc.assert(
      fc.property(written, (parts) => {
        const result = attempt(() => readQuery(`/x?${parts.join('')}`));
        if ('refusal' in result) expect(result.refusal.message.length).toBeGreaterThan(10);
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
    );
  });
});

describe('a body', () => {
  const settings = { cursorSecret: Buffer.alloc(32), version: '0.1.0', syncWaitSeconds: 240 };
  const routes = createRoutes({ services: createFake().services, settings });
  const bodies = routes.filter(({ method }) => method !== 'get');
  const VALID: Record<string, unknown> = {
    ...{
      model: 'claude-haiku',
      content: 'Hello',
      name: 'a',
      level: 'admin',
      metadata: { a: 'b' },
      tools: ['calculator'],
    },
    ...{
      message: { content: [{ type: 'text', text: 'a' }] },
      thinking: { type: 'adaptive' },
      temperature: 0.5,
    },
  };
  const fields = fc.constantFrom(
    ...Object.keys(VALID),
    'max_tokens',
    'on_busy',
    'stream',
    'expires_after_seconds',
  );

  it.each(bodies.map((route) => [route.operationId, route] as const))(
    'of %s that is any JSON is taken, or refused by the name of a field',
    (_name, route) => {
      const known = Object.fromEntries(
        Object.entries(VALID).filter(([key, value]) => {
          const issues = route.body.safeParse({ [key]: value }).error?.issues ?? [];
          return issues.every(({ code }) => code !== 'unrecognized_keys');
        }),
      );
      const nearlyValid = fc.tuple(fields, json).map(([field, value]) => ({ ...known, [field]: value }));
      fc.assert(
        fc.property(fc.oneof(object, nearlyValid), (body) => {
          const result = attempt(() => {
            guardJson(body, BODY);
            return parseInput(route.body, body, BODY);
          });
          if ('value' in result) return;
          const { message, options } = result.refusal;
          // Empty when the name of an unknown field is.
          expect(options.param).toEqual(expect.any(String));
          expect(message).toContain(`'${options.param}'`);
          expect(message.length).toBeLessThan(1_000);
        }),
      );
    },
  );
});

describe('the place in a log', () => {
  let app: Harness;
  beforeAll(async () => {
    app = await startHarness();
  });
  afterAll(() => app.close());

  it('is a number of up to 15 digits, and nothing else', async () => {
    const { id } = addSession(app);
    const after = fc.oneof(
      fc.string(),
      fc.maxSafeNat().map(String),
      fc.double().map(String),
      fc.bigInt().map(String),
    );
    await fc.assert(
      fc.asyncProperty(after, async (value) => {
        const { status, body } = await app.call(
          'GET',
          `/v1/sessions/${id}/events?after=${encodeURIComponent(value)}`,
        );
        expect([value, status]).toEqual([value, /^\d{1,15}$/.test(value) ? 200 : 400]);
        if (status === 400) expect(body.error.param).toBe('after');
      }),
      { numRuns: 100 },
    );
  });
});
