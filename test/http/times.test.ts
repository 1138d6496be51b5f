// Times that a client sends: every spelling of RFC 3339, and nothing else.
import { expectError, type Harness, startHarness } from './support/server.ts';

let app: Harness;
beforeAll(async () => {
  app = await startHarness();
});
afterAll(() => app.close());

const filter = (name: string, time: string) =>
  app.call('GET', `/v1/sessions?${name}=${encodeURIComponent(time)}`);

describe.each([
  ['created_after', 'createdAfterMs'],
  ['created_before', 'createdBeforeMs'],
])('%s', (name, field) => {
  it.each([
    ['2026-02-20T10:30:00Z', '2026-02-20T10:30:00Z'],
    ['2026-02-20t10:30:00z', '2026-02-20T10:30:00Z'],
    ['2026-02-20T10:30:00z', '2026-02-20T10:30:00Z'],
    ['2026-02-20t10:30:00.5Z', '2026-02-20T10:30:00.500Z'],
    ['2026-02-20T10:30:00.123456789Z', '2026-02-20T10:30:00.123Z'],
    ['2026-02-20t10:30:00+02:00', '2026-02-20T08:30:00Z'],
    ['2026-02-20T10:30:00-00:00', '2026-02-20T10:30:00Z'],
    ['2026-02-20T23:59:59-23:59', '2026-02-21T23:58:59Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00Z'],
    ['2016-12-31t23:59:60.25z', '2017-01-01T00:00:00.250Z'],
    ['2016-12-31T15:59:60-08:00', '2017-01-01T00:00:00Z'],
    ['2017-01-01T05:29:60+05:30', '2017-01-01T00:00:00Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00Z'],
    ['2026-02-20', '2026-02-20T00:00:00Z'],
  ])('takes %s', async (time, meant) => {
    expect((await filter(name, time)).status).toBe(200);
    const [, filters] = app.calls.filter((call) => call.name === 'sessions.list').at(-1)?.arguments ?? [];
    expect(filters).toMatchObject({ [field]: Date.parse(meant) });
  });

  it.each([
    '2026-02-20T10:30:61Z',
    '2026-02-20T10:60:00Z',
    '2026-02-20T24:00:00Z',
    '2026-02-30T10:30:00Z',
    '2025-02-29T10:30:60Z',
    '2026-13-01T10:30:00Z',
    '2026-02-20T10:30:00',
    '2026-02-20T10:30:00.Z',
    '2026-02-20T10:30:00+0200',
    '2026-02-20T10:30:00+24:00',
    '2026-02-20T10:30:00ZZ',
    '2026-2-20T10:30:00Z',
    '+002026-02-20T10:30:00Z',
    ' 2026-02-20T10:30:00Z',
    'Fri, 20 Feb 2026 10:30:00 GMT',
    '1771583400',
    '',
  ])('refuses %p', async (time) => {
    expectError(await filter(name, time), 400, 'invalid_request', name);
  });
});
