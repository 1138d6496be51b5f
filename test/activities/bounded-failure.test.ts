import { ApplicationFailure } from '@temporalio/common';
import { withBoundedFailure } from '../../activities/bounded-failure.ts';

const LONG = 'x'.repeat(5_000_000);

const thrownBy = (error: unknown): Promise<unknown> =>
  withBoundedFailure(async () => {
    throw error;
  })(undefined).catch((caught: unknown) => caught);

test('a failure keeps all that Temporal reads of it, and a bounded part of its words', async () => {
  const failure = ApplicationFailure.create({
    ...{ message: LONG, type: 'model_overloaded', nextRetryDelay: 7_000, cause: new TypeError(LONG) },
  });
  const caught = (await thrownBy(failure)) as ApplicationFailure;
  expect(caught).toBe(failure);
  expect(caught).toMatchObject({ type: 'model_overloaded', nonRetryable: false, nextRetryDelay: 7_000 });
  expect(caught.cause).toBeInstanceOf(TypeError);
  for (const error of [caught, caught.cause as Error]) {
    expect(error.message).toBe('x'.repeat(2_000));
    expect(error.stack?.length).toBeLessThanOrEqual(4_000);
  }
});

test('a chain of causes has an end, also one that leads back to itself', async () => {
  const error = new Error('outer');
  error.cause = new Error('inner', { cause: error });
  let layers = 0;
  for (let layer: unknown = await thrownBy(error); layer instanceof Error; layer = layer.cause) layers += 1;
  expect(layers).toBeLessThanOrEqual(5);
});

test('what is no error at all is bounded as well', async () => {
  expect(await thrownBy(LONG)).toBe('x'.repeat(2_000));
});

test('a short failure and a result are left as they are', async () => {
  const error = new Error('Short');
  const stack = error.stack;
  expect(await thrownBy(error)).toBe(error);
  expect(error).toMatchObject({ message: 'Short', stack });
  expect(await withBoundedFailure(async (n: number) => n + 1)(1)).toBe(2);
});
