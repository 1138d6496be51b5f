// Measures the time a turn adds to the model's own: each turn is compared with a direct call with the same history.
import { call, timeToEvent } from '../client.mjs';
import { summary } from '../statistics.mjs';

/** `age` measures long conversations. The sessions here stay short. */
const TURNS_PER_SESSION = 10;
const WARM_UP_TURNS = 5;

export const direct = async (modelUrl, messages) => {
  const body = { model: 'claude-haiku', max_tokens: 1_000, messages };
  return (await call('POST', `${modelUrl}/v1/messages`, body)).content[0].text;
};

async function timed(work) {
  const start = performance.now();
  const result = await work();
  return { ms: performance.now() - start, result };
}

/** Runs pairs of a direct call and a turn. @param each gets both times, in milliseconds. */
async function pairs(count, { system, double }, each) {
  let id;
  let history = [];
  for (let index = -WARM_UP_TURNS; index < count; index += 1) {
    if (id === undefined || history.length >= 2 * TURNS_PER_SESSION) {
      id = await system.create();
      history = [];
    }
    const content = `turn ${index}`;
    history.push({ role: 'user', content });
    const alone = await timed(() => direct(double.url, history));
    const through = await timed(() => system.send(id, content));
    if (through.result !== alone.result) throw new Error(`A wrong answer: ${through.result}`);
    history.push({ role: 'assistant', content: through.result });
    if (index >= 0) each(alone.ms, through.ms);
  }
}

/** Milliseconds that a synchronous turn adds to a direct call. */
export async function turn(context) {
  const added = [];
  const alone = [];
  await pairs(context.counts.turns, context, (aloneMs, throughMs) => {
    alone.push(aloneMs);
    added.push(throughMs - aloneMs);
  });
  const { min, p50, p95 } = summary(added);
  return { directP50: summary(alone).p50, min, p50, p95 };
}

const directBody = (content) => ({
  model: 'claude-haiku',
  max_tokens: 1_000,
  stream: true,
  messages: [{ role: 'user', content }],
});
const isDelta = ({ type }) => type === 'content_block_delta';

/** Milliseconds by which the first token comes later than from the model itself. The model sends a word every 10 ms. */
export async function firstToken({ system, double, counts }) {
  double.settings.wordMs = 10;
  try {
    const added = [];
    const alone = [];
    let id;
    for (let index = -WARM_UP_TURNS; index < counts.streams; index += 1) {
      if (id === undefined || index % TURNS_PER_SESSION === 0) id = await system.create();
      const content = `stream ${index}`;
      const aloneMs = await timeToEvent(`${double.url}/v1/messages`, directBody(content), {}, isDelta);
      const throughMs = await system.timeToFirstToken(id, content);
      if (index < 0) continue;
      alone.push(aloneMs);
      added.push(throughMs - aloneMs);
    }
    const { min, p50, p95 } = summary(added);
    return { directP50: summary(alone).p50, min, p50, p95 };
  } finally {
    double.settings.wordMs = 0;
  }
}
