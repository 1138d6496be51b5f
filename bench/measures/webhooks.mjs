// Measures webhooks: their cost for a turn, their delay, and whether an endpoint that never answers delays others.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../statistics.mjs';
import { run } from './parallel.mjs';
import { shared } from './sizes.mjs';

const MODEL_MS = 1_000;
/** The number of sessions in the backlog. */
const BACKLOG_SESSIONS = 20;
/** Deliveries must pause this long before the pending ones are queried, because the query costs the server time. */
const QUIET_MS = 1_000;
const POLL_MS = 20;

async function textOf(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}

/** Records the delay of each event. @param answer without it, no request gets a response. */
async function startReceiver(answer) {
  const delays = [];
  let lastAt = 0;
  const server = createServer(async (request, response) => {
    const { created_at } = JSON.parse(await textOf(request));
    delays.push(Date.now() - Date.parse(created_at));
    lastAt = performance.now();
    answer?.(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/webhooks`,
    count: () => delays.length,
    lastAt: () => lastAt,
    /** The delays since the last call. */
    take: () => delays.splice(0),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function until(condition) {
  while (!(await condition())) await sleep(POLL_MS);
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const turnsPerSecond = ({ latencies, seconds }) => latencies.length / seconds;

/** Runs the work, then waits for its last event. @returns the work's result, and all the delays. */
async function told(system, { receiver, webhook }, work) {
  const isAllThere = async () =>
    performance.now() - receiver.lastAt() > QUIET_MS && !(await system.owes(webhook));
  receiver.take();
  const start = performance.now();
  const result = await work();
  await until(isAllThere);
  const delays = receiver.take();
  return { ...result, delays, perSecond: delays.length / ((receiver.lastAt() - start) / 1_000) };
}

/** Visitors ask one question per session. The many sessions therefore all have deliveries to a dead endpoint. */
async function visits(system, clients, durationMs) {
  const end = performance.now() + durationMs;
  const visitor = async () => {
    // Spreads the starts over a model call's time.
    await sleep(Math.random() * MODEL_MS);
    do await system.send(await system.create(), `hello [[ms=${MODEL_MS}]]`);
    while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: clients }, visitor));
}

/** Creates undelivered events of ended sessions, which are only rows. @returns a function that replays them. */
async function makeBacklog(system, count) {
  const ids = [];
  await shared(BACKLOG_SESSIONS, async () => {
    const id = await system.create();
    await system.complete(id);
    ids.push(id);
  });
  const from = new Date();
  await shared(count, (index) => system.update(ids[index % ids.length], { metadata: { n: String(index) } }));
  const to = new Date();
  return (webhook) => system.replay(webhook, from, to);
}

const delaysOf = (name, { delays }) => ({
  [`${name}P50`]: quantile(delays, 0.5),
  [`${name}P95`]: quantile(delays, 0.95),
  [`${name}P99`]: quantile(delays, 0.99),
});

/** As many turns as possible, without a webhook and with one. */
async function full(system, { receiver }, { parallelMs, webhookClients }) {
  await run(system, webhookClients, parallelMs / 2);
  const without = await run(system, webhookClients, parallelMs);
  const webhook = await system.createWebhook(receiver.url);
  const withOne = await told(system, { receiver, webhook }, () => run(system, webhookClients, parallelMs));
  const deliveries = withOne.delays.length / withOne.latencies.length;
  const figures = {
    turnsWithout: turnsPerSecond(without),
    turnsWith: turnsPerSecond(withOne),
    perSecond: withOne.perSecond,
    cpuMs: (sum(withOne.cpu) - sum(without.cpu)) / deliveries,
    ...delaysOf('full', withOne),
  };
  return { webhook, figures };
}

/** Visitors alone, then beside an endpoint that accepts requests but never answers. At the end the endpoint recovers. */
async function besideDead(system, { receiver, dead, webhook }, { visitMs, queued, webhookClients }) {
  const own = { receiver, webhook };
  const alone = await told(system, own, () => visits(system, webhookClients, visitMs / 2));
  await system.updateWebhook(webhook, { status: 'disabled' });
  const deadWebhook = await system.createWebhook(dead.url);
  await system.updateWebhook(deadWebhook, { status: 'disabled' });
  const replay = await makeBacklog(system, queued);
  for (const id of [webhook, deadWebhook]) await system.updateWebhook(id, { status: 'enabled' });
  const count = await replay(deadWebhook);
  const beside = await told(system, own, () => visits(system, webhookClients, visitMs));
  await system.updateWebhook(deadWebhook, { url: receiver.url });
  await replay(deadWebhook);
  const start = performance.now();
  await until(() => receiver.count() >= count);
  return {
    ...delaysOf('alone', alone),
    ...delaysOf('beside', beside),
    queued: count,
    backlogPerSecond: count / ((performance.now() - start) / 1_000),
  };
}

export async function webhooks({ system, counts }) {
  const [receiver, dead] = [await startReceiver((response) => response.end()), await startReceiver()];
  try {
    const { webhook, figures } = await full(system, { receiver }, counts);
    return { ...figures, ...(await besideDead(system, { receiver, dead, webhook }, counts)) };
  } finally {
    await Promise.all([receiver.close(), dead.close()]);
  }
}
