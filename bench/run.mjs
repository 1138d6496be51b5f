// `npm run bench`: OpenClaw as built beside direct calls of the model double, and beside peers, in one run.
// npm run bench -- [--quick] [--only turn,ttft,words,tools,parallel,disk,growth,age,idle,paused,sockets,webhooks,recover]
//                  [--rounds N] [--peers restate,dbos,temporal-min] [--deaf-minutes N] [--json FILE] [--write]
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { closeConnections } from './client.mjs';
import { startDouble } from './double.mjs';
import { parallel } from './measures/parallel.mjs';
import { recover } from './measures/recover.mjs';
import { age, disk, idle } from './measures/sizes.mjs';
import { sockets, words } from './measures/streams.mjs';
import { calculator, customTool, growth, paused } from './measures/tools.mjs';
import { firstToken, turn } from './measures/turn.mjs';
import { webhooks } from './measures/webhooks.mjs';
import { loadAverage } from './processes.mjs';
import { render, write } from './report.mjs';
import { medianOf } from './statistics.mjs';
import { PEER_NAMES, startOpenClaw, startPeer } from './systems.mjs';

const FULL = {
  turns: 150,
  streams: 60,
  roundTrips: 100,
  parallelMs: 6_000,
  idle: 1_000,
  paused: 1_000,
  words: 100,
  sockets: 1_000,
  age: 2_000,
  ageSamples: 30,
  diskTurns: 50,
  results: 30,
  settleMs: 10_000,
  deafMs: 45_000,
  queued: 10_000,
  // Twice the 30 s of an endpoint's first pause.
  visitMs: 60_000,
  webhookClients: 16,
};
const QUICK = {
  turns: 40,
  streams: 20,
  roundTrips: 30,
  parallelMs: 2_000,
  idle: 100,
  paused: 100,
  words: 40,
  sockets: 100,
  age: 200,
  ageSamples: 10,
  diskTurns: 10,
  results: 10,
  settleMs: 3_000,
  deafMs: 45_000,
  queued: 1_000,
  visitMs: 20_000,
  webhookClients: 16,
};
/** For the test of the benchmark itself: every measure runs, but the figures mean nothing. */
const TINY = {
  turns: 3,
  streams: 2,
  roundTrips: 3,
  parallelMs: 100,
  idle: 5,
  paused: 5,
  words: 3,
  sockets: 20,
  age: 20,
  ageSamples: 2,
  diskTurns: 2,
  results: 2,
  settleMs: 100,
  deafMs: 100,
  queued: 20,
  visitMs: 100,
  webhookClients: 2,
};

/** All measures, in order. Peers run only FOR_PEERS. */
const MEASURES = {
  turn: { turn },
  ttft: { ttft: firstToken },
  words: {
    eventWords1: words('eventStream', 1),
    eventWords100: words('eventStream', 100),
    socketWords1: words('socketStream', 1),
    socketWords100: words('socketStream', 100),
  },
  tools: { customTool, calculator },
  parallel: { parallel1: parallel(1), parallel16: parallel(16), parallel64: parallel(64) },
  disk: { disk },
  growth: { growth },
  age: { age },
  idle: { idle },
  paused: { paused },
  sockets: { sockets },
  webhooks: { webhooks },
  recover: { recover },
};
const FOR_PEERS = ['turn', 'ttft', 'parallel'];

const list = (text) => text.split(',').filter(Boolean);

function options() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      tiny: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      only: { type: 'string', default: Object.keys(MEASURES).join(',') },
      peers: { type: 'string', default: '' },
      rounds: { type: 'string' },
      'deaf-minutes': { type: 'string' },
      json: { type: 'string' },
    },
  });
  const only = list(values.only);
  const peers = list(values.peers);
  const unknown = [
    ...only.filter((name) => !(name in MEASURES)),
    ...peers.filter((name) => !PEER_NAMES.includes(name)),
  ];
  if (unknown.length > 0)
    throw new Error(
      `Unknown: ${unknown.join(', ')}. Measures: ${Object.keys(MEASURES).join(', ')}; peers: ${PEER_NAMES.join(', ')}`,
    );
  const counts = { ...(values.tiny ? TINY : values.quick ? QUICK : FULL) };
  const deafMinutes = Number(values['deaf-minutes'] ?? counts.deafMs / 60_000);
  if (!(deafMinutes > 0)) throw new Error('--deaf-minutes is a number of minutes');
  counts.deafMs = deafMinutes * 60_000;
  return {
    ...values,
    only,
    peers,
    counts,
    rounds: Number(values.rounds ?? (values.quick || values.tiny ? 1 : 3)),
  };
}

const peersDirectory =
  process.env.BENCH_PEERS_DIR ?? join(import.meta.dirname, '..', '..', 'shared', 'bench', 'peers');
const say = (words) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${words}\n`);

/** Runs the wanted measures on one system, which starts from empty data. */
async function measure(system, { only, counts }, double) {
  const figures = {};
  for (const name of only.filter((each) => system.name === 'openclaw' || FOR_PEERS.includes(each)))
    for (const [figure, work] of Object.entries(MEASURES[name])) {
      figures[figure] = await work({ system, double, counts });
      say(`${system.name} ${figure} ${JSON.stringify(figures[figure])}`);
    }
  return figures;
}

async function conditions(before, { rounds, quick }) {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  return {
    cores: cpus().length,
    node: process.version,
    commit,
    date: new Date().toISOString().slice(0, 10),
    rounds: `${rounds}${quick ? ' (quick)' : ''}`,
    'load average before/after': `${before}/${loadAverage()}`,
  };
}

async function main() {
  const wanted = options();
  const loadBefore = loadAverage();
  const double = await startDouble();
  const rounds = {};
  // The order A B C A B C spreads a noisy minute over all systems.
  for (let index = 0; index < wanted.rounds; index += 1)
    for (const name of ['openclaw', ...wanted.peers]) {
      const system =
        name === 'openclaw'
          ? await startOpenClaw(double.url)
          : await startPeer(name, double.url, peersDirectory);
      try {
        rounds[name] = [...(rounds[name] ?? []), await measure(system, wanted, double)];
      } finally {
        await system.stop();
      }
    }
  const figuresOf = (all) =>
    Object.fromEntries(
      Object.keys(all[0]).map((figure) => [figure, medianOf(all.map((each) => each[figure]))]),
    );
  const results = Object.fromEntries(Object.entries(rounds).map(([name, all]) => [name, figuresOf(all)]));
  const report = { results, conditions: await conditions(loadBefore, wanted), counts: wanted.counts };
  if (wanted.json) writeFileSync(wanted.json, JSON.stringify({ ...report, rounds }, null, 2));
  const text = render(report);
  process.stdout.write(`${text}\n`);
  if (wanted.write) write(text);
  closeConnections();
  await double.close();
}

await main();
