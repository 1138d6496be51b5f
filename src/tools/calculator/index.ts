// The calculator: exact decimal arithmetic, units and matrices, in processes that can be killed.
import type { BuiltInTool } from '../built-in.ts';
import { type Evaluator, startEvaluator } from './evaluator.ts';

const EXPRESSION_LENGTH_MAX = 2_000;
/** Further calculations wait, because each of these processes may take a core for two seconds. */
const EVALUATORS_MAX = 2;

const DESCRIPTION =
  'Evaluates a mathematical expression: exact decimal arithmetic with big numbers, functions (sqrt, sin, log, factorial, ' +
  'mean, det ...), constants (pi, e), units ("5 km to mile"), fractions (fraction("1/3") + fraction("1/6")), complex numbers ' +
  'and matrices ("[1,2;3,4] * [5;6]"). Several expressions are separated by newlines. A rounded result says that it is inexact.';

const INPUT_SCHEMA = {
  type: 'object',
  properties: {
    expression: {
      type: 'string',
      minLength: 1,
      maxLength: EXPRESSION_LENGTH_MAX,
      description: 'For example "(0.1 + 0.2) * 3" or "2^70"',
    },
  },
  required: ['expression'],
  additionalProperties: false,
};

export function createCalculator(start = startEvaluator): BuiltInTool {
  const idle: Evaluator[] = [];
  const waiting: (() => void)[] = [];
  const alive = new Set<Evaluator>();
  let taken = 0;

  async function acquire(): Promise<Evaluator> {
    while (taken >= EVALUATORS_MAX) await new Promise<void>((resolve) => waiting.push(resolve));
    taken += 1;
    try {
      for (let free = idle.pop(); free; free = idle.pop()) if (free.isAlive()) return free;
      const started = await start();
      alive.add(started);
      return started;
    } catch (error) {
      release();
      throw error;
    }
  }

  function release(evaluator?: Evaluator): void {
    taken -= 1;
    if (evaluator?.isAlive()) idle.push(evaluator);
    else if (evaluator) alive.delete(evaluator);
    waiting.shift()?.();
  }

  return {
    name: 'calculator',
    description: DESCRIPTION,
    inputSchema: INPUT_SCHEMA,
    async run({ expression }, { signal }) {
      const evaluator = await acquire();
      try {
        return await evaluator.evaluate(String(expression), signal);
      } finally {
        release(evaluator);
      }
    },
    async close() {
      for (const each of alive) each.kill();
      alive.clear();
    },
  };
}
