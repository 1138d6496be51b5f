// Several requests at once on one connection.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { eventually } from '../support/api-client.ts';
import { type Harness, startHarness } from './support/server.ts';

let app: Harness;
let client: Socket;
let text: string;
/** Each ends one call that is being answered. */
let answers: (() => void)[];
beforeEach(async () => {
  app = await startHarness();
  answers = [];
  const readiness = await app.services.health.readiness();
  app.services.health.readiness = () =>
    new Promise((resolve) => {
      answers.push(() => resolve(readiness));
    });
  client = connect(app.http.port, '127.0.0.1');
  client.on('error', () => undefined);
  await once(client, 'connect');
  text = '';
  client.on('data', (chunk) => {
    text += chunk;
  });
});
afterEach(async () => {
  client.destroy();
  for (const answer of answers) answer();
  await app.close();
});

const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

const statuses = (): string[] => [...text.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status = '']) => status);

const until = (condition: () => boolean) => eventually(async () => condition(), Boolean);

it('each request begins when the answers to earlier ones are out', async () => {
  client.write(request('/readyz') + request('/readyz') + request('/nothing'));
  await until(() => answers.length > 0);
  // The server has read what this call has overtaken.
  expect((await app.call('GET', '/healthz')).status).toBe(200);
  expect([answers.length, text]).toEqual([1, '']);
  answers[0]?.();
  await until(() => answers.length > 1 && text !== '');
  expect(statuses()).toEqual(['200']);
  answers[1]?.();
  await until(() => statuses().length === 3);
  expect(statuses()).toEqual(['200', '200', '404']);
  expect(answers).toHaveLength(2);
});

it('requests that wait are never begun when their connection closes', async () => {
  client.write(request('/readyz').repeat(3));
  await until(() => answers.length > 0);
  client.destroy();
  await until(() => app.logs.some(({ aborted }) => aborted));
  answers[0]?.();
  expect((await app.call('GET', '/healthz')).status).toBe(200);
  expect(answers).toHaveLength(1);
});

it('a connection on which more than 100 requests wait is cut off', async () => {
  client.write(request('/readyz').repeat(101));
  await until(() => answers.length > 0);
  expect((await app.call('GET', '/healthz')).status).toBe(200);
  expect(client.closed).toBe(false);
  client.write(request('/readyz'));
  await until(() => client.closed);
});
