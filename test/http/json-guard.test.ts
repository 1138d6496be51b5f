// The walk over a body, with values that nobody thought of.
import fc from 'fast-check';
import { ApiError } from '../../src/contracts/errors.ts';
import { bodyPath } from '../../src/http/field-path.ts';
import { guardJson } from '../../src/http/json-guard.ts';

describe('the walk over a body', () => {
  const names = { noun: 'field', path: bodyPath } as const;

  it('lets every harmless value pass, however it is built', () => {
    const harmless = fc.jsonValue({ maxDepth: 20, noUnicodeString: false } as never);
    fc.assert(
      fc.property(harmless, (value) => {
        const text = JSON.stringify({ value });
        fc.pre(!/\\u0000|\\ud[89a-f]|__proto__/i.test(text));
        expect(() => guardJson(JSON.parse(text), names)).not.toThrow();
      }),
    );
  });

  it('finds one bad text or number wherever it lies, and names the place', () => {
    const steps = fc.array(fc.oneof(fc.nat(3), fc.constantFrom('a', 'b', 'long_name')), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(
        steps,
        fc.constantFrom<unknown>('\u0000', '\ud800', 'a\udfffb', JSON.parse('1e400')),
        (path, bad) => {
          const value = path.reduceRight<unknown>(
            (inner, step) =>
              typeof step === 'number' ? [...Array(step).fill('ok'), inner] : { first: 1, [step]: inner },
            bad,
          );
          const root = { root: value };
          const expected = bodyPath(['root', ...path]);
          try {
            guardJson(root, names);
            throw new Error('nothing was found');
          } catch (error) {
            expect(error).toBeInstanceOf(ApiError);
            expect((error as ApiError).options.param).toBe(expected);
          }
        },
      ),
    );
  });
});
