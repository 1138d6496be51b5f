// Formats results as tables for the terminal and for docs/benchmarks.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCUMENT = join(import.meta.dirname, '..', 'docs', 'benchmarks.md');
const BEGIN = '<!-- written by `npm run bench -- --write` -->';
const END = '<!-- end of the written part -->';

const round = (value) => {
  if (typeof value !== 'number') return value ?? '-';
  if (Number.isNaN(value)) return '-';
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
};

function table(head, rows) {
  const line = (cells) => `| ${cells.map(round).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** A peer's figure as a multiple of OpenClaw's. */
const ratioTo = (own, value) => (own && value ? `${round(value / own)} x` : '-');

function delays(title, results, measure) {
  const rows = Object.entries(results).filter(([, figures]) => figures[measure]);
  if (rows.length === 0) return [];
  const own = results.openclaw?.[measure]?.p50;
  const cells = rows.map(([name, { [measure]: delay }]) => [
    ...[name, delay.directP50, delay.min, delay.p50, delay.p95],
    ratioTo(own, delay.p50),
  ]);
  const head = ['system', 'direct call p50', 'added min', 'added p50', 'added p95', 'p50 to OpenClaw'];
  return [`**${title}** (milliseconds)`, table(head, cells)];
}

function parallels(results) {
  const rows = Object.entries(results).flatMap(([name, figures]) =>
    [1, 16, 64].flatMap((sessions) => {
      const found = figures[`parallel${sessions}`];
      const own = results.openclaw?.[`parallel${sessions}`]?.perSecond;
      if (!found) return [];
      const split = found.ownCpuMs ? `${round(found.ownCpuMs)} + ${round(found.temporalCpuMs)}` : '-';
      const ratio = ratioTo(own, found.perSecond);
      return [[name, sessions, found.perSecond, ratio, found.p50, found.cpuMs, split]];
    }),
  );
  if (rows.length === 0) return [];
  const head = [
    'system',
    'sessions',
    'turns/s',
    'to OpenClaw',
    'p50 ms',
    'CPU ms a turn',
    'server + Temporal',
  ];
  return ['**Parallel sessions**', table(head, rows)];
}

const SINGLES = {
  idle: {
    beforeMiB: 'memory before, MiB (PSS, all processes)',
    onceMiB: 'with N idle sessions',
    twiceMiB: 'with 2 N idle sessions',
    kibPerFurtherSession: 'KiB for each of the second N',
  },
  paused: {
    beforeMiB: 'memory before any session waits for a tool, MiB',
    onceMiB: 'with W sessions that wait for a tool',
    twiceMiB: 'with 2 W of them',
    kibPerFurtherSession: 'KiB for each of the second W',
    takenMs: 'results for the W oldest are taken after, ms',
    continuedMs: 'all W have continued and ended their turn after, ms',
  },
  sockets: {
    beforeMiB: 'memory before any WebSocket, MiB',
    idleMiB: 'with S idle WebSockets, each of a session of its own',
    deafMiB: 'with those of S / 20 clients besides, which read nothing, at most',
    cpuBefore: 'CPU of the server before, % of a core',
    cpuIdle: 'CPU of the server with S idle WebSockets, %',
    aloneP99: 'p99 of the turns of 10 clients that speak, without any of these, ms',
    withP99: 'p99 beside all of these, ms',
    deaf: 'WebSockets that read nothing, one after the other of each client',
    letGo: 'of them let go by the server',
  },
  webhooks: {
    turnsWithout: 'turns/s of 16 sessions, without a webhook',
    turnsWith: 'with one for all of their events, its receiver answers at once',
    perSecond: 'events/s that it is sent meanwhile',
    cpuMs: 'CPU for each of them, ms',
    fullP50: 'from the event to its receiver, of 16 sessions that leave no time, p50 ms',
    fullP95: 'p95',
    fullP99: 'p99',
    aloneP50: 'of 16 visitors whose model takes a second, p50 ms',
    aloneP95: 'p95',
    aloneP99: 'p99',
    queued: 'deliveries queued for an endpoint that never answers',
    besideP50: 'of such visitors, whose events that endpoint is to be sent too, p50 ms',
    besideP95: 'p95',
    besideP99: 'p99',
    backlogPerSecond: 'what was queued, sent when the endpoint is back, events/s',
  },
  age: {
    youngAddedMs: 'added latency at message 10, ms',
    oldAddedMs: 'added latency when old, ms',
    latencyRatio: 'ratio',
    youngCpuMs: 'CPU a turn at message 10, ms',
    oldCpuMs: 'CPU a turn when old, ms',
    cpuRatio: 'ratio of CPU',
  },
  disk: { kibPerTurn: "KiB a turn leaves in the data directory, with Temporal's history" },
  growth: {
    onceKib: 'KiB of events of a turn with R results of 100 KiB that come one by one',
    twiceKib: 'with 2 R results',
    ratio: 'ratio (2: the log grows with the work)',
  },
  recover: {
    afterReadyMs: "kill -9 in a model call: answer after the ready line, beyond the model's own time, ms",
    afterKillMs: 'the same after the kill, with the start of the process, ms',
  },
};

const WORDS = {
  eventWords1: ['server-sent events', 1],
  eventWords100: ['server-sent events', 100],
  socketWords1: ['WebSocket', 1],
  socketWords100: ['WebSocket', 100],
};

function wordDelays(figures = {}) {
  const rows = Object.entries(WORDS).flatMap(([measure, cells]) => {
    const found = figures[measure];
    return found ? [[...cells, found.min, found.p50, found.p95]] : [];
  });
  if (rows.length === 0) return [];
  const title = "**Delay of a word** of a live answer, from the model's to its reader's (milliseconds)";
  return [title, table(['channel', 'answers at once', 'min', 'p50', 'p95'], rows)];
}

const ROUND_TRIPS = { customTool: 'custom tool, its client answers at once', calculator: 'calculator' };

function roundTrips(figures = {}) {
  const rows = Object.entries(ROUND_TRIPS).flatMap(([measure, words]) => {
    const found = figures[measure];
    return found ? [[words, found.min, found.p50, found.p95]] : [];
  });
  if (rows.length === 0) return [];
  const title =
    "**Round trip of a tool**, from the end of the model's answer to the next question (milliseconds)";
  return [title, table(['tool', 'min', 'p50', 'p95'], rows)];
}

function singles(figures = {}, counts) {
  const rows = Object.entries(SINGLES).flatMap(([measure, names]) =>
    Object.entries(names).flatMap(([field, words]) =>
      figures[measure] ? [[words, figures[measure][field]]] : [],
    ),
  );
  if (rows.length === 0) return [];
  return [
    `**OpenClaw alone** (N = ${counts.idle}, W = ${counts.paused}, S = ${counts.sockets}, R = ${counts.results}, old = message ${counts.age})`,
    table(['figure', 'median'], rows),
  ];
}

/** @param results medians over the rounds, by system and measure. */
export function render({ results, conditions, counts }) {
  const facts = Object.entries(conditions).map(([name, value]) => `${name} ${value}`);
  return [
    ...delays('Added latency of a synchronous turn', results, 'turn'),
    ...delays('Added time to the first token', results, 'ttft'),
    ...wordDelays(results.openclaw),
    ...roundTrips(results.openclaw),
    ...parallels(results),
    ...singles(results.openclaw, counts),
    `Conditions: ${facts.join(', ')}.`,
  ].join('\n\n');
}

/** Replaces the generated part of docs/benchmarks.md. */
export function write(text) {
  const document = readFileSync(DOCUMENT, 'utf8');
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`${DOCUMENT} has lost its markers`);
  writeFileSync(DOCUMENT, `${before}${BEGIN}\n\n${text}\n\n${END}${after}`);
}
