// A key that ends while its calls are being answered: streams end, waits are refused, nobody else notices.
import { ApiError } from '../../src/contracts/errors.ts';
import { createKeyWatch } from '../../src/http/key-watch.ts';
import { addSession } from './support/fake-services.ts';
import { makeEvent } from './support/fixtures.ts';
import { expectError, type Harness, startHarness } from './support/server.ts';

const ALL_BUT_INTERVALS = [
  'Date',
  'hrtime',
  'nextTick',
  'performance',
  'queueMicrotask',
  'setImmediate',
  'clearImmediate',
  'setTimeout',
  'clearTimeout',
] as const;

const revoked = new ApiError('invalid_api_key', 'This API key is not valid');

describe('the watch', () => {
  const refusals = new Map<string, unknown>();
  const asked: string[] = [];
  const watch = createKeyWatch(async (key) => {
    asked.push(key);
    if (refusals.has(key)) throw refusals.get(key);
    return { accountId: 'acct', keyId: key, level: 'standard' };
  });
  beforeEach(() => {
    jest.useFakeTimers();
    refusals.clear();
    asked.length = 0;
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('asks for a key once a look, and for none when no call is open', async () => {
    const ends = [watch.add('one', jest.fn()), watch.add('one', jest.fn()), watch.add('two', jest.fn())];
    await jest.advanceTimersByTimeAsync(4_000);
    expect(asked).toEqual(['one', 'two', 'one', 'two']);
    for (const end of ends) end();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('ends every call of the key that is refused, within 5 seconds', async () => {
    const [mine, alsoMine, others] = [jest.fn(), jest.fn(), jest.fn()];
    const ends = [watch.add('one', mine), watch.add('one', alsoMine), watch.add('two', others)];
    refusals.set('one', revoked);
    await jest.advanceTimersByTimeAsync(5_000);
    expect(mine).toHaveBeenCalledWith(revoked);
    expect(alsoMine).toHaveBeenCalledWith(revoked);
    expect(others).not.toHaveBeenCalled();
    for (const end of ends) end();
  });

  it('takes a store that is away for no refusal', async () => {
    const abort = jest.fn();
    const end = watch.add('one', abort);
    refusals.set('one', new ApiError('unavailable', 'The store is away'));
    await jest.advanceTimersByTimeAsync(5_000);
    refusals.set('one', new Error('connect ECONNREFUSED'));
    await jest.advanceTimersByTimeAsync(5_000);
    expect(abort).not.toHaveBeenCalled();
    end();
  });
});

describe('a key that is revoked in the middle of a call', () => {
  let app: Harness;
  let id: string;
  let isRevoked: boolean;
  beforeEach(async () => {
    app = await startHarness();
    id = addSession(app).id;
    isRevoked = false;
    const { authenticate } = app.services;
    app.services.authenticate = async (key) => {
      if (isRevoked && key === 'a-standard') throw revoked;
      return authenticate(key);
    };
  });
  afterEach(() => app.close());

  const aborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));

  it('ends its stream without a final event', async () => {
    app.script.events = async function* (signal) {
      yield makeEvent({ type: 'message.content_started', data: { step: 1 } });
      await aborted(signal);
    };
    const body = { content: 'go', stream: true };
    const stream = await app.fetch('POST', `/v1/sessions/${id}/messages`, { body, key: 'a-standard' });
    isRevoked = true;
    const text = await stream.text();
    expect(text).toContain('event: content_start\n');
    expect(text).not.toContain('event: message\n');
  });

  it('is looked at no more when its client left before it was known', async () => {
    const { authenticate } = app.services;
    const leaving = new AbortController();
    let hasLeft = new Promise<void>(() => {});
    app.http.server.prependOnceListener('request', (_req, res) => {
      hasLeft = new Promise((resolve) => res.once('close', resolve));
    });
    let asked = 0;
    app.services.authenticate = async (key) => {
      asked += 1;
      leaving.abort();
      await hasLeft;
      return authenticate(key);
    };
    jest.useFakeTimers({ now: Date.now(), doNotFake: [...ALL_BUT_INTERVALS] });
    const headers = { authorization: 'Bearer a-standard' };
    await fetch(`${app.url}/v1/sessions`, { headers, signal: leaving.signal }).catch(() => undefined);
    await hasLeft;
    // What goes on after that needs no more than this.
    await new Promise(setImmediate);
    await jest.advanceTimersByTimeAsync(5_000);
    jest.useRealTimers();
    expect(asked).toBe(1);
  });

  it('refuses who waits for an answer', async () => {
    const { waitForReply } = app.services.messages;
    app.services.messages.waitForReply = async (accepted, signal) => {
      isRevoked = true;
      await aborted(signal);
      return waitForReply(accepted, signal);
    };
    const call = { body: { content: 'go' }, key: 'a-standard' };
    expectError(await app.call('POST', `/v1/sessions/${id}/messages`, call), 401, 'invalid_api_key');
  });
});
